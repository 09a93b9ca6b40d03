// The values MKA (IEEE 802.1X-2020 §9, §11) exchanges: identifiers, suites, time. No I/O, no
// secrets.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "crypto/numbers.h"

namespace sealwire::mka {

/// Monotonic time since an arbitrary start. The core never reads a clock: callers pass it in.
using Time = std::chrono::milliseconds;
/// "No deadline".
inline constexpr Time kNever = Time::max();

/// Member Identifier, 96 random bits chosen by each participant (§9.4.2).
using Mi = std::array<uint8_t, 12>;
using MacAddress = std::array<uint8_t, 6>;

using crypto::An;
using crypto::Pn;
using crypto::Sci;
using crypto::Ssci;

/// SCI of port 1 of a station (802.1AE §9.9).
inline Sci sci_of(const MacAddress& address, uint16_t port = 1) {
  uint64_t value = 0;
  for (const uint8_t octet : address) value = value << 8 | octet;
  return Sci(value << 16 | port);
}

/// CAK Name, 1..32 octets (§9.3.1); compared by content and by length.
class Ckn {
 public:
  static constexpr size_t kMaxLength = 32;
  Ckn() = default;
  /// Nothing for 0 or more than 32 octets.
  static std::optional<Ckn> from(std::span<const uint8_t> octets) {
    if (octets.empty() || octets.size() > kMaxLength) return std::nullopt;
    Ckn ckn;
    std::copy(octets.begin(), octets.end(), ckn.octets_.begin());
    ckn.length_ = static_cast<uint8_t>(octets.size());
    return ckn;
  }
  std::span<const uint8_t> view() const { return {octets_.data(), length_}; }
  size_t size() const { return length_; }
  auto operator<=>(const Ckn&) const = default;

 private:
  std::array<uint8_t, kMaxLength> octets_{};
  uint8_t length_ = 0;
};

/// Key Identifier of a SAK: the key server's MI and its Key Number (§9.8). KN 0 means "no key".
struct Ki {
  Mi mi{};
  uint32_t kn = 0;
  bool none() const { return kn == 0; }
  auto operator<=>(const Ki&) const = default;
};

/// 802.1AE Table 14-1.
enum class CipherSuite : uint8_t { gcm_aes_128, gcm_aes_256, gcm_aes_xpn_128, gcm_aes_xpn_256 };

constexpr bool is_xpn(CipherSuite suite) { return suite >= CipherSuite::gcm_aes_xpn_128; }
/// Octets of a SAK of the suite.
constexpr size_t sak_length(CipherSuite suite) {
  return suite == CipherSuite::gcm_aes_128 || suite == CipherSuite::gcm_aes_xpn_128 ? 16 : 32;
}
constexpr std::string_view name(CipherSuite suite) {
  switch (suite) {
    case CipherSuite::gcm_aes_128:
      return "gcm-aes-128";
    case CipherSuite::gcm_aes_256:
      return "gcm-aes-256";
    case CipherSuite::gcm_aes_xpn_128:
      return "gcm-aes-xpn-128";
    case CipherSuite::gcm_aes_xpn_256:
      return "gcm-aes-xpn-256";
  }
  return "";
}

/// Confidentiality offset as coded in a Distributed SAK parameter set (§11.11.2, Table 11-6).
enum class Confidentiality : uint8_t {
  integrity_only = 0,
  offset_0 = 1,
  offset_30 = 2,
  offset_50 = 3
};

/// MACsec Capability of the basic parameter set (Table 11-6): what the SecY can do.
enum class Capability : uint8_t {
  none = 0,
  integrity_only = 1,
  integrity_confidentiality_0 = 2,
  integrity_confidentiality_0_30_50 = 3
};

/// Lower-case hexadecimal, for identifiers only.
inline std::string hex(std::span<const uint8_t> octets) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(octets.size() * 2);
  for (const uint8_t octet : octets) {
    text += kDigits[octet >> 4];
    text += kDigits[octet & 15];
  }
  return text;
}

}  // namespace sealwire::mka
