// Addresses, prefixes and selectors as the tables take them from the control thread.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

namespace sealwire::pipelines {

/// An IPv4 or IPv6 address in network order; IPv4 uses the first four octets and leaves the rest
/// zero.
struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> octets{};

  static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return {false, {a, b, c, d}};
  }
  constexpr std::uint8_t bits() const { return v6 ? 128 : 32; }
  constexpr auto operator<=>(const IpAddress&) const = default;
  /// Two words each: the data path asks this for every packet.
  constexpr bool operator==(const IpAddress& other) const {
    using Words = std::array<std::uint64_t, 2>;
    const auto a = std::bit_cast<Words>(octets), b = std::bit_cast<Words>(other.octets);
    return v6 == other.v6 && ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
  }
};

/// The first `length` bits of an address, the rest zero. Word by word, as the data path asks for
/// it.
constexpr IpAddress network_of(const IpAddress& address, std::uint8_t length) {
  using Words = std::array<std::uint64_t, 2>;
  auto words = std::bit_cast<Words>(address.octets);
  for (unsigned i = 0; i < 2; ++i) {
    const unsigned bits = length <= 64 * i ? 0 : length - 64 * i;
    std::uint64_t mask = bits == 0 ? 0 : bits >= 64 ? ~0ULL : ~0ULL << (64 - bits);
    if constexpr (std::endian::native == std::endian::little) mask = __builtin_bswap64(mask);
    words[i] &= mask;
  }
  return {address.v6, std::bit_cast<std::array<std::uint8_t, 16>>(words)};
}

/// A prefix, or an interface address with its prefix length when the host bits are set.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // bits
  constexpr auto operator<=>(const Prefix&) const = default;

  constexpr bool contains(const IpAddress& a) const {
    return network_of(a, length) == network_of(address, length);
  }
};

/// Inclusive, host order.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  constexpr auto operator<=>(const PortRange&) const = default;
};

/// What a packet looks like (RFC 4301 §4.4.1.1). Empty lists and no protocol match anything. Source
/// and destination are those of the packet as it travels.
struct Selector {
  std::vector<Prefix> source;
  std::vector<Prefix> destination;
  std::optional<std::uint8_t> protocol{};
  std::vector<PortRange> source_ports;
  std::vector<PortRange> destination_ports;
  bool operator==(const Selector&) const = default;
};

}  // namespace sealwire::pipelines
