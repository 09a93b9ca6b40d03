// The selector fields of a packet that was parsed and found sound.
#pragma once

#include <array>
#include <bit>
#include <cstring>

#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/selector_set.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines {

constexpr bool has_ports(std::uint8_t protocol) {
  return protocol == wire::kProtocolTcp || protocol == wire::kProtocolUdp ||
         protocol == wire::kProtocolSctp || protocol == wire::kProtocolUdpLite ||
         protocol == wire::kProtocolDccp;
}

inline std::uint64_t load_word(const std::uint8_t* at) {
  std::uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

/// An IPv4 address in the first four of eight octets. Made in a register: whoever reads the eight
/// octets right after would wait for a narrower store.
inline std::uint64_t address_word(const std::uint8_t* at) {
  std::uint32_t address;
  std::memcpy(&address, at, 4);
  return std::endian::native == std::endian::little ? std::uint64_t{address}
                                                    : std::uint64_t{address} << 32;
}

inline AddressPair addresses_of(const std::uint8_t* ip, bool v6) {
  if (v6)
    return {{load_word(ip + 8), load_word(ip + 16)}, {load_word(ip + 24), load_word(ip + 32)}};
  return {{address_word(ip + 12), 0}, {address_word(ip + 16), 0}};
}

/// Word by word, into `key`: see wire::parse().
template <wire::Form F>
[[gnu::always_inline]] inline void packet_key(const std::uint8_t* ip, const wire::IpPacket& packet,
                                              PacketKey& key) {
  constexpr bool kV6 = F == wire::Form::ipv6;
  if constexpr (kV6) {
    key.source[0] = load_word(ip + 8);
    key.source[1] = load_word(ip + 16);
    key.destination[0] = load_word(ip + 24);
    key.destination[1] = load_word(ip + 32);
  } else {
    key.source[0] = address_word(ip + 12);
    key.destination[0] = address_word(ip + 16);
    key.source[1] = key.destination[1] = 0;
  }
  std::uint64_t upper = PacketKey::protocol_bits(packet.protocol) | (kV6 ? PacketKey::kV6 : 0);
  if (packet.upper_offset == 0) {
    upper |= PacketKey::kFragment;
  } else if (has_ports(packet.protocol)) {
    // Too short for its ports: as unknown as a later fragment's.
    upper |= packet.upper_offset + 4U <= packet.total_length
                 ? PacketKey::port_bits(wire::load_be<std::uint32_t>(ip + packet.upper_offset))
                 : PacketKey::kFragment;
  }
  key.upper = upper;
}

/// Of either family, for those who are not in a hurry.
inline void packet_key(const std::uint8_t* ip, const wire::IpPacket& packet, PacketKey& key) {
  if (packet.v6) {
    packet_key<wire::Form::ipv6>(ip, packet, key);
  } else {
    packet_key<wire::Form::ipv4>(ip, packet, key);
  }
}

inline IpAddress source_of(const PacketKey& key) {
  IpAddress address{key.v6(), {}};
  std::memcpy(address.octets.data(), key.source, 16);
  return address;
}

inline IpAddress destination_of(const PacketKey& key) {
  IpAddress address{key.v6(), {}};
  std::memcpy(address.octets.data(), key.destination, 16);
  return address;
}

}  // namespace sealwire::pipelines
