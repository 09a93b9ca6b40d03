// The SecTAG of MACsec (802.1AE-2018 clause 9): parse with the validity rules of 9.12, and build.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "pipelines/wire/be.h"
#include "pipelines/wire/ethernet.h"

namespace sealwire::pipelines::wire {

// TCI bits of the TCI/AN octet (9.5).
inline constexpr std::uint8_t kTciVersion = 0x80;
inline constexpr std::uint8_t kTciEs = 0x40;
inline constexpr std::uint8_t kTciSc = 0x20;
inline constexpr std::uint8_t kTciScb = 0x10;
inline constexpr std::uint8_t kTciE = 0x08;
inline constexpr std::uint8_t kTciC = 0x04;
inline constexpr std::uint8_t kTciAn = 0x03;

inline constexpr std::uint16_t kSecTagLength = 8;      // with the EtherType, without SCI
inline constexpr std::uint16_t kSecTagSciLength = 16;  // with SCI
inline constexpr std::uint16_t kMacsecIcvLength = 16;
inline constexpr std::uint16_t kShortLengthLimit = 48;  // SL is 0 from here on (9.7)
inline constexpr std::uint16_t kMacsecOverhead = kSecTagSciLength + kMacsecIcvLength;

inline constexpr std::uint16_t kPortEs = 0x0001;   // SCI = SA || 0001 (9.5: ES)
inline constexpr std::uint16_t kPortScb = 0x0000;  // SCI = SA || 0000 (9.5: SCB)

// A SecTAG with SC=1; with SC=0 it ends before `sci`.
struct SecTag {
  Be16 ether_type;
  std::uint8_t tci_an;
  std::uint8_t sl;
  Be32 pn;
  Be64 sci;
};
static_assert(sizeof(SecTag) == kSecTagSciLength && alignof(SecTag) == 1);

constexpr std::uint16_t sectag_length(std::uint8_t tci) {
  return (tci & kTciSc) != 0 ? kSecTagSciLength : kSecTagLength;
}

// What a valid SecTAG says, host order.
struct SecTagView {
  std::uint8_t tci_an;
  std::uint16_t length;         // 8 or 16
  std::uint32_t pn;             // low 32 bits
  std::uint64_t sci;            // only if tci_an has kTciSc
  std::uint16_t secure_length;  // octets of Secure Data between SecTAG and ICV
  std::uint8_t an() const { return tci_an & kTciAn; }
  bool has(std::uint8_t bit) const { return (tci_an & bit) != 0; }
};

// Octets of Secure Data where `rest` octets are between SecTAG and ICV, or would be if no padding
// followed; 0 if SL is not valid (9.7, 9.12 d).
constexpr std::uint16_t secure_length(std::size_t rest, std::uint8_t sl) {
  if ((sl & 0xC0) != 0 || rest < (sl != 0 ? sl : kShortLengthLimit)) return 0;
  return sl != 0 ? sl : static_cast<std::uint16_t>(rest);
}

// `mpdu` starts at the SecTAG's EtherType and ends with the frame (FCS not included). Nothing
// unless it is valid by 9.12. Octets after the ICV of a short frame are Ethernet padding and
// allowed: the ICV is found by SL. That the PN is not 0 holds for non-XPN suites only, so it is the
// caller's to check.
inline std::optional<SecTagView> parse_sectag(std::span<const std::uint8_t> mpdu) {
  if (mpdu.size() < 17) return std::nullopt;  // 9.12 a
  SecTagView tag{};
  tag.tci_an = mpdu[2];
  const std::uint8_t sl = mpdu[3];
  if (tag.has(kTciVersion)) return std::nullopt;                          // 9.12 b
  if (tag.has(kTciSc) && tag.has(kTciEs | kTciScb)) return std::nullopt;  // 9.12 c
  tag.length = sectag_length(tag.tci_an);
  const std::size_t around = std::size_t{tag.length} + kMacsecIcvLength;
  if (mpdu.size() < around || mpdu.size() > 0xFFFF) return std::nullopt;
  tag.secure_length = secure_length(mpdu.size() - around, sl);
  if (tag.secure_length == 0) return std::nullopt;
  tag.pn = load_be<std::uint32_t>(mpdu.data() + 4);
  if (tag.has(kTciSc)) tag.sci = load_be<std::uint64_t>(mpdu.data() + 8);
  return tag;
}

// Writes a SecTAG of sectag_length(tci_an) octets. `secure_length` in octets; `sci` is written with
// SC=1 only.
inline void write_sectag(std::uint8_t* at, std::uint8_t tci_an, std::uint16_t secure_length,
                         std::uint32_t pn, std::uint64_t sci) {
  const std::uint64_t sl = secure_length < kShortLengthLimit ? secure_length : 0;
  store_be(at, std::uint64_t{kEtherTypeMacsec} << 48 | std::uint64_t{tci_an} << 40 | sl << 32 | pn);
  if ((tci_an & kTciSc) != 0) store_be(at + 8, sci);
}

// The SCI of a frame whose source address stands at `source` (9.9).
inline std::uint64_t sci_of(const std::uint8_t* source, std::uint16_t port) {
  return (std::uint64_t{load_be<std::uint32_t>(source)} << 32) |
         (std::uint64_t{load_be<std::uint16_t>(source + 4)} << 16) | port;
}

}  // namespace sealwire::pipelines::wire
