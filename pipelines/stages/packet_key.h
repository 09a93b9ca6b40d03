// The selector fields of a packet that parse_ip() accepted.
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

/// An IPv4 address in the first four of eight octets. Made in a register: whoever reads the eight
/// octets right after would wait for a narrower store.
inline std::uint64_t address_word(const std::uint8_t* at) {
  std::array<std::uint32_t, 2> words{};
  std::memcpy(words.data(), at, 4);
  return std::bit_cast<std::uint64_t>(words);
}

inline PacketKey packet_key(const std::uint8_t* ip, const wire::IpPacket& packet) {
  PacketKey key{};
  key.v6 = packet.v6;
  key.protocol = packet.protocol;
  if (packet.v6) {
    std::memcpy(key.source, ip + 8, 16);
    std::memcpy(key.destination, ip + 24, 16);
  } else {
    key.source[0] = address_word(ip + 12);
    key.destination[0] = address_word(ip + 16);
  }
  if (packet.upper_offset == 0) {
    key.fragment = true;
  } else if (has_ports(packet.protocol)) {
    if (packet.upper_offset + 4U <= packet.total_length) {
      key.ports_known = true;
      key.source_port = wire::load_be<std::uint16_t>(ip + packet.upper_offset);
      key.destination_port = wire::load_be<std::uint16_t>(ip + packet.upper_offset + 2);
    } else {
      key.fragment = true;  // too short for its ports: as unknown as a later fragment's
    }
  }
  return key;
}

inline IpAddress source_of(const PacketKey& key) {
  IpAddress address{key.v6, {}};
  std::memcpy(address.octets.data(), key.source, 16);
  return address;
}

inline IpAddress destination_of(const PacketKey& key) {
  IpAddress address{key.v6, {}};
  std::memcpy(address.octets.data(), key.destination, 16);
  return address;
}

}  // namespace sealwire::pipelines
