// Ethernet and VLAN headers (IEEE 802.3, 802.1Q), PAUSE, EAPOL.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "pipelines/wire/be.h"

namespace sealwire::pipelines::wire {

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;
inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;  // 802.1Q C-tag
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86DD;
inline constexpr std::uint16_t kEtherTypeMacControl = 0x8808;  // 802.3 clause 31
inline constexpr std::uint16_t kEtherTypeEapol = 0x888E;
inline constexpr std::uint16_t kEtherTypeQinq = 0x88A8;  // 802.1ad S-tag
inline constexpr std::uint16_t kEtherTypeMacsec = 0x88E5;

inline constexpr std::uint16_t kMacAddressesLength = 12;  // DA and SA
inline constexpr std::uint16_t kVlanTagLength = 4;
inline constexpr std::size_t kMaxVlanTags = 2;

// Two addresses of 6 octets, compared without a call.
inline bool same_mac(const std::uint8_t* a, const std::uint8_t* b) {
  return load_be<std::uint32_t>(a) == load_be<std::uint32_t>(b) &&
         load_be<std::uint16_t>(a + 4) == load_be<std::uint16_t>(b + 4);
}

using MacAddress = std::array<std::uint8_t, 6>;

struct EthernetHeader {
  std::uint8_t destination[6];
  std::uint8_t source[6];
  Be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

// `Octets` (8 to 16) of a header on their way to another place, in two registers: the words
// overlap, so a copy in memory would be read while its stores are still under way.
template <std::size_t Octets>
class HeaderWords {
  static_assert(Octets >= 8 && Octets <= 16);

 public:
  HeaderWords() = default;
  explicit HeaderWords(const std::uint8_t* from) {
    std::memcpy(&first_, from, 8);
    std::memcpy(&last_, from + Octets - 8, 8);
  }
  void store(std::uint8_t* to) const {
    std::memcpy(to, &first_, 8);
    std::memcpy(to + Octets - 8, &last_, 8);
  }

 private:
  std::uint64_t first_ = 0, last_ = 0;
};
using AddressWords = HeaderWords<kMacAddressesLength>;
using EthernetWords = HeaderWords<sizeof(EthernetHeader)>;

struct VlanTag {
  Be16 tpid;  // 0x8100 or 0x88A8
  Be16 tci;   // priority, DEI, VLAN id
};
static_assert(sizeof(VlanTag) == 4 && alignof(VlanTag) == 1);

constexpr bool is_vlan(std::uint16_t ether_type) {
  return ether_type == kEtherTypeVlan || ether_type == kEtherTypeQinq;
}

// Where the EtherType that is not a VLAN's stands, and what it says.
struct Layer2 {
  std::uint16_t ether_type;  // after the VLAN tags
  std::uint16_t length;      // octets from the frame's start to after that EtherType: 14, 18 or 22
  std::uint8_t vlan_tags;    // 0..max_tags
};

// Walks up to `max_tags` VLAN tags. Nothing if the frame ends before an EtherType; a further tag is
// then the EtherType that is reported.
inline std::optional<Layer2> parse_layer2(std::span<const std::uint8_t> frame,
                                          std::size_t max_tags = kMaxVlanTags) {
  std::size_t at = kMacAddressesLength;
  if (frame.size() < at + 2) return std::nullopt;
  std::uint16_t type = load_be<std::uint16_t>(frame.data() + at);
  std::uint8_t tags = 0;
  while (tags < max_tags && is_vlan(type)) {
    at += kVlanTagLength;
    if (frame.size() < at + 2) return std::nullopt;
    type = load_be<std::uint16_t>(frame.data() + at);
    ++tags;
  }
  return Layer2{type, static_cast<std::uint16_t>(at + 2), tags};
}

// Octets up to after the EtherType that is not a VLAN's; 0 if the frame ends before it.
inline std::uint16_t layer2_length(std::span<const std::uint8_t> frame) {
  if (frame.size() < sizeof(EthernetHeader)) return 0;
  if (!is_vlan(load_be<std::uint16_t>(frame.data() + kMacAddressesLength))) [[likely]]
    return sizeof(EthernetHeader);
  const auto layer2 = parse_layer2(frame);
  return layer2 ? layer2->length : std::uint16_t{0};
}

}  // namespace sealwire::pipelines::wire
