#include "pipelines/stages/classify.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "pipelines/line.h"
#include "pipelines/stages/forward.h"
#include "pipelines/stages/fragment.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/spd.h"

namespace sealwire::pipelines::gateway_egress {
namespace {

using forward::kEthernetLength;

// Where a packet leaves.
struct Exit {
  std::uint64_t link;
  std::uint16_t port;
  std::uint16_t largest;  // IP packet that fits, before ESP
  bool v6;                // what leaves is IPv6
};

void too_big(Packet& packet, std::uint16_t mtu, DropReason reason) {
  PuntMark mark = forward::mark_of(packet, PuntReason::too_big, false);
  mark.mtu = mtu;
  forward::punt(packet, mark, reason);
}

// False: dropped, or waits with the control thread for its neighbour.
[[gnu::cold]] bool no_link(Packet& packet, const forward::NextHop& hop) {
  if (hop.found) {
    forward::punt_unresolved(packet, forward::mark_of(packet, PuntReason::unresolved, false),
                             Side::outside, hop);
  } else {
    drop(packet, DropReason::no_route);
  }
  return false;
}

// The burst's last SA. Most packets of a burst share it, and for them nothing is asked again.
struct LastSa {
  const OutboundSlot* slot = nullptr;
  OutboundSa* sa = nullptr;
  Exit exit{};
};

// False: `packet` is dropped or waits, and `last` is as it was.
[[gnu::noinline]] bool find_sa(const Gateway& gateway, const OutboundSlot& slot, Packet& packet,
                               LastSa& last) {
  OutboundSa* const sa = slot.current.load(std::memory_order_acquire);
  if (sa == nullptr) {
    drop(packet, DropReason::esp_no_sa);
    return false;
  }
  Exit exit{};
  // The SA's own next hop, by the control thread; else by the routes.
  const Adjacency* const known = sa->adjacency.load(std::memory_order_acquire);
  if (known != nullptr && known->port < gateway.outside.size()) {
    exit.link = known->link.load(std::memory_order_acquire);
    exit.port = known->port;
  }
  if (exit.link == 0) {
    const forward::NextHop hop = forward::next_hop(gateway, Side::outside, sa->destination);
    if (hop.link == 0) return no_link(packet, hop);
    exit.link = hop.link;
    exit.port = hop.port;
  }
  __builtin_prefetch(&sa->runtime, 1);    // for order
  __builtin_prefetch(sa->header.data());  // for build
  const std::uint16_t outer = gateway.outside[exit.port].ip_mtu;
  const std::uint16_t path = sa->path_mtu.load(std::memory_order_relaxed);
  exit.largest = sa->largest_inner(path == 0 ? outer : std::min(path, outer));
  exit.v6 = sa->outer_v6;
  last = {&slot, sa, exit};
  return true;
}

[[gnu::always_inline]] inline bool protect(const Burst& burst, Packet& packet,
                                           const PolicyVerdict& verdict, LastSa& last) {
  const OutboundSlot& slot = verdict.slot(burst.worker);
  if (&slot != last.slot && !find_sa(*burst.line->gateway, slot, packet, last)) return false;
  packet.esp_out = last.sa;
  return true;
}

bool bypass(const Burst& burst, Packet& packet, PacketKey key, Exit& exit) {
  const Gateway& gateway = *burst.line->gateway;
  const forward::Hop hop = burst.hops->find(gateway, Side::outside, key);
  if (hop.link == 0)
    return no_link(packet, forward::next_hop(gateway, Side::outside, destination_of(key)));
  packet.flags |= kPacketSkipEsp;
  exit = {hop.link, hop.port, gateway.outside[hop.port].ip_mtu, key.v6()};
  return true;
}

// The further fragments take places at the burst's end; the caller has seen that there are enough.
[[gnu::noinline]] void fragment(Burst& burst, Packet& packet, wire::IpPacket ip, std::uint16_t mtu,
                                std::size_t more) {
  std::array<rte_mbuf*, kBurstPackets> pieces;
  if (!fragment_ipv4(packet.mbuf, kEthernetLength, ip, mtu, burst.direction->pool,
                     {pieces.data(), more}))
    return drop(packet, DropReason::no_buffer);
  for (std::size_t i = 0; i < more; ++i) {
    Packet& piece = burst.packets[burst.count++];
    piece = packet;
    piece.mbuf = pieces[i];
  }
}

void classify(Burst& burst, Packet& packet, LastSa& last) {
  const LineSnapshot& line = *burst.line;
  forward::Received r;
  if (!forward::receive(packet, line.inside[packet.in_port], false, r)) return;
  if (line.gateway->is_own(r.key))
    return forward::punt(packet, forward::mark_of(packet, PuntReason::own, false),
                         DropReason::punted);
  const PolicyVerdict& verdict = burst.flows->outbound(*line.spd, r.key);
  if (verdict.action == PolicyAction::discard) return drop(packet, DropReason::policy_discard);
  if (r.packet.ttl <= 1)
    return forward::punt(packet, forward::mark_of(packet, PuntReason::ttl, false),
                         DropReason::ttl_expired);
  Exit bypassing;
  const bool protecting = verdict.action == PolicyAction::protect;
  if (!(protecting ? protect(burst, packet, verdict, last)
                   : bypass(burst, packet, r.key, bypassing)))
    return;
  const Exit& exit = protecting ? last.exit : bypassing;
  std::uint16_t pieces = 1;
  if (r.packet.total_length > exit.largest) {
    pieces = r.packet.v6 || r.packet.dont_fragment ? std::uint16_t{0}
                                                   : fragment_count(r.packet, exit.largest);
    if (pieces == 0) return too_big(packet, exit.largest, DropReason::packet_too_big);
    // More than the burst holds: as it came to the control thread, which cuts it at leisure and
    // injects the pieces.
    if (burst.count + pieces - 1 > kBurstPackets)
      return too_big(packet, exit.largest, DropReason::punted);
  }
  wire::decrement_ttl(r.ip, r.packet.v6);
  forward::write_layer2(r.ip - kEthernetLength, exit.link, line.outside[exit.port].mac, exit.v6);
  packet.port = static_cast<std::uint8_t>(exit.port);
  packet.to_inside = 0;
  if (r.packet.v6) packet.flags |= kPacketIpv6;
  if (pieces > 1) fragment(burst, packet, r.packet, exit.largest, pieces - 1U);
}

}  // namespace

void classify(Burst& burst) {
  const std::uint16_t received = burst.count;  // fragments that join are done
  LastSa last;
  for (std::uint16_t i = 0; i < received; ++i) {
    Packet& packet = burst.packets[i];
    if (packet.drop != DropReason::none || (packet.flags & kPacketSkipEsp) != 0) continue;
    packet.esp_out = nullptr;
    classify(burst, packet, last);
  }
}

}  // namespace sealwire::pipelines::gateway_egress
