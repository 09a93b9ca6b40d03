// ARP for IPv4 over Ethernet (RFC 826).
#pragma once

#include <cstdint>

#include "pipelines/wire/be.h"

namespace sealwire::pipelines::wire {

inline constexpr std::uint16_t kArpRequest = 1;
inline constexpr std::uint16_t kArpReply = 2;

struct ArpPacket {
  Be16 hardware;                 // 1: Ethernet
  Be16 protocol;                 // 0x0800
  std::uint8_t hardware_length;  // 6
  std::uint8_t protocol_length;  // 4
  Be16 operation;
  std::uint8_t sender_mac[6];
  std::uint8_t sender_ip[4];
  std::uint8_t target_mac[6];
  std::uint8_t target_ip[4];
};
static_assert(sizeof(ArpPacket) == 28 && alignof(ArpPacket) == 1);

}  // namespace sealwire::pipelines::wire
