// What both directions of a gateway do with a frame: take it in, find its next hop, hand it to the
// control thread. For the gateway's stages only.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <memory>

#include "pipelines/burst.h"
#include "pipelines/line.h"
#include "pipelines/mark.h"
#include "pipelines/stages/gateway.h"
#include "pipelines/stages/packet_key.h"
#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/icmp.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines::forward {

inline constexpr std::uint16_t kEthernetLength = 14;

/// A frame that is a sound IP packet for us to forward or to take.
struct Received {
  std::uint8_t* ip;
  wire::IpPacket packet;
  PacketKey key;
};

/// Marks the packet for the control thread and drops it as `reason`; NoHeadroom if the mark has no
/// room.
void punt(Packet& packet, const PuntMark& mark, DropReason reason);

/// Hands over a packet of the link: ARP, Neighbour Discovery.
[[gnu::cold]] void punt_link(Packet& packet, PuntReason reason, bool from_outside);

/// A mark with the fields that every reason has.
PuntMark mark_of(const Packet& packet, PuntReason reason, bool from_outside);

/// Layer 2: is the frame for us, and does it carry IP? ARP is handed over. False: the packet is
/// dropped. Drops: NotForUs, NotIp, Punted.
[[gnu::always_inline]] inline bool admit(Packet& packet, const LinePort& port, bool from_outside,
                                         wire::Form& form) {
  const rte_mbuf* const m = packet.mbuf;
  const auto* const l2 = rte_pktmbuf_mtod(m, const std::uint8_t*);
  if (packet.l2_length != kEthernetLength || m->data_len < kEthernetLength) {
    drop(packet, DropReason::not_ip);
    return false;
  }
  const bool ours = wire::same_mac(l2, port.mac);
  if (!ours && (l2[0] & 1U) == 0) {
    drop(packet, DropReason::not_for_us);
    return false;
  }
  const auto type = wire::load_be<std::uint16_t>(l2 + wire::kMacAddressesLength);
  if (type == wire::kEtherTypeIpv4) {
    const bool plain = ours && m->data_len >= kEthernetLength + sizeof(wire::Ipv4Header) &&
                       wire::is_plain(l2 + kEthernetLength);
    form = plain ? wire::Form::plain_ipv4 : wire::Form::ipv4;
    return true;
  }
  form = wire::Form::ipv6;
  if (type == wire::kEtherTypeIpv6) return true;
  if (type == wire::kEtherTypeArp) {
    punt_link(packet, PuntReason::arp, from_outside);
  } else {
    drop(packet, DropReason::not_ip);
  }
  return false;
}

[[gnu::always_inline]] inline bool is_neighbour_discovery(const Received& r) {
  if (!r.packet.v6 || r.packet.protocol != wire::kProtocolIcmpv6 || r.packet.ttl != 255)
    return false;
  if (r.packet.upper_offset == 0 || r.packet.upper_offset + 4U > r.packet.total_length)
    return false;
  const std::uint8_t type = r.ip[r.packet.upper_offset];
  return type >= wire::kIcmpv6RouterSolicitation && type <= wire::kIcmpv6Redirect;
}

[[gnu::always_inline]] inline bool is_multicast(const Received& r) {
  const std::uint8_t first = r.ip[r.packet.v6 ? 24 : 16];
  return r.packet.v6 ? first == 0xff : first >= 224;  // 224/4 multicast, 240/4 and broadcast
}

[[gnu::always_inline]] inline bool is_link_local(const Received& r) {
  const auto at = [&r](int offset) {
    return r.ip[offset] == 0xfe && (r.ip[offset + 1] & 0xc0U) == 0x80U;
  };
  return r.packet.v6 && (at(8) || at(24));
}

/// The IP packet of a frame that admit() says is of this form; cuts Ethernet padding off. False:
/// the packet is dropped. Drops: NotForUs, MalformedIp, Punted (Neighbour Discovery). Inline, so
/// that what it finds stays in registers.
template <wire::Form F>
[[gnu::always_inline]] inline bool receive(Packet& packet, bool from_outside, Received& out) {
  rte_mbuf* const m = packet.mbuf;
  auto* const l2 = rte_pktmbuf_mtod(m, std::uint8_t*);
  const std::uint32_t length = m->data_len;
  out.ip = l2 + kEthernetLength;
  if (!wire::parse<F>({out.ip, length - kEthernetLength}, out.packet)) {
    drop(packet, DropReason::malformed_ip);
    return false;
  }
  packet_key<F>(out.ip, out.packet, out.key);
  packet.l3_length = out.packet.header_length;
  const std::uint32_t whole = std::uint32_t{kEthernetLength} + out.packet.total_length;
  if (whole != length) {
    m->data_len = static_cast<std::uint16_t>(whole);
    m->pkt_len = whole;
  }
  if (is_neighbour_discovery(out)) {
    punt_link(packet, PuntReason::neighbour, from_outside);
    return false;
  }
  const bool group = F != wire::Form::plain_ipv4 && (l2[0] & 1U) != 0;
  if (group || is_multicast(out) || is_link_local(out)) {
    drop(packet, DropReason::not_for_us);
    return false;
  }
  return true;
}

/// What receive() found in a packet that it let pass, once more for those who are not in a hurry.
Received received_again(const Packet& packet);

/// Where a packet leaves. Small enough to be returned in registers.
struct Hop {
  std::uint64_t link = 0;  // Adjacency::link; not resolved: 0
  std::uint16_t port = 0;  // index into the side's ports
  bool found = false;      // there is a route
};

/// What routes and neighbours say of a destination on a side.
struct NextHop : Hop {
  const Adjacency* adjacency = nullptr;  // of `link`, unless a better next hop may come back
  IpAddress address{};
};
NextHop next_hop(const Gateway& gateway, Side side, const IpAddress& destination);

/// Hands over a packet whose next hop is not resolved, to be sent on once it is. `mark`: of the
/// packet, PuntReason::unresolved.
[[gnu::cold]] void punt_unresolved(Packet& packet, PuntMark mark, Side side, const NextHop& hop);

/// A lane's memory of its last next hops, in front of routes and neighbours. Direct-mapped; empties
/// itself when the gateway changes. One writer and reader: its worker's lane.
class HopCache {
 public:
  static constexpr std::size_t kEntries = 256;

  /// For a packet's own destination. Of IPv4 only one word of it is looked at.
  [[gnu::always_inline]] Hop find(const Gateway& gateway, Side side, const PacketKey& key) {
    Entry& entry = entries_[hash(key)];
    std::uint64_t differs = (entry.generation ^ gateway.generation) |
                            (entry.destination[0] ^ key.destination[0]) |
                            (entry.kind ^ kind(side, key));
    if (key.v6()) differs |= entry.destination[1] ^ key.destination[1];
    if (differs == 0) [[likely]] {
      const Adjacency& adjacency = *entry.adjacency;
      const std::uint16_t port = adjacency.port;
      const Hop hop{adjacency.link.load(std::memory_order_acquire), port, true};
      if (hop.link != 0) [[likely]]
        return hop;
    }
    return ask(entry, gateway, side, key);
  }

 private:
  struct Entry {
    std::uint64_t destination[2];
    std::uint64_t kind;
    std::uint64_t generation = 0;
    const Adjacency* adjacency = nullptr;
  };

  // Side and family.
  static std::uint64_t kind(Side side, const PacketKey& key) {
    return (side == Side::inside ? 0U : 2U) | (key.upper & PacketKey::kV6);
  }
  static std::size_t hash(const PacketKey& key) {
    return static_cast<std::size_t>(fold_address(key.destination) * 0x9E3779B97F4A7C15U >> 32) %
           kEntries;
  }
  // The key by value: the caller's stays in registers.
  [[gnu::noinline]] static Hop ask(Entry& entry, const Gateway& gateway, Side side, PacketKey key) {
    const NextHop hop = next_hop(gateway, side, destination_of(key));
    if (hop.link != 0 && hop.adjacency != nullptr) {
      entry = {{key.destination[0], key.destination[1]},
               kind(side, key),
               gateway.generation,
               hop.adjacency};
    }
    return hop;
  }

  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(kEntries);
};

/// Writes the layer 2 header in front of `ip`: to the neighbour's MAC, from the port's.
[[gnu::always_inline]] inline void write_layer2(std::uint8_t* l2, std::uint64_t link,
                                                const std::uint8_t (&mac)[6], bool v6) {
  std::memcpy(l2, &link, 8);  // two octets more than the address: the next line's
  std::memcpy(l2 + 6, mac, 6);
  wire::store_be(l2 + 12, v6 ? wire::kEtherTypeIpv6 : wire::kEtherTypeIpv4);
}

}  // namespace sealwire::pipelines::forward
