// What both directions of a gateway do with a frame: take it in, find its next hop, hand it to the
// control thread. For the gateway's stages only.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "pipelines/burst.h"
#include "pipelines/line.h"
#include "pipelines/mark.h"
#include "pipelines/stages/gateway.h"
#include "pipelines/stages/packet_key.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines::forward {

inline constexpr std::uint16_t kEthernetLength = 14;

/// A frame that is a sound IP packet for us to forward or to take.
struct Received {
  std::uint8_t* ip;
  wire::IpPacket packet;
  PacketKey key;
};

/// Layer 2 address, ARP and Neighbour Discovery (punted), IP header; cuts Ethernet padding off.
/// False: the packet is dropped. Drops: NotForUs, NotIp, MalformedIp, Punted.
bool receive(Packet& packet, const LineSnapshot& line, bool from_outside, Received& out);

/// Marks the packet for the control thread and drops it as `reason`; NoHeadroom if the mark has no
/// room.
void punt(Packet& packet, const PuntMark& mark, DropReason reason);

/// A mark with the fields that every reason has.
PuntMark mark_of(const Packet& packet, PuntReason reason, bool from_outside);

/// Next hop for a destination on a side.
struct NextHop {
  const Route* route = nullptr;  // null: no route
  std::uint64_t link = 0;        // Adjacency::link; not resolved: 0
  IpAddress address{};
};
NextHop next_hop(const Gateway& gateway, Side side, const IpAddress& destination);

/// Writes the layer 2 header in front of `ip`: to the neighbour's MAC, from the port's.
inline void write_layer2(std::uint8_t* l2, std::uint64_t link, const std::uint8_t (&mac)[6],
                         bool v6) {
  std::memcpy(l2, &link, 6);
  std::memcpy(l2 + 6, mac, 6);
  l2[12] = v6 ? 0x86 : 0x08;
  l2[13] = v6 ? 0xdd : 0x00;
}

}  // namespace sealwire::pipelines::forward
