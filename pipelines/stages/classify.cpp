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
  wire::EthernetWords layer2;
  std::uint64_t link = 0;     // that layer2 is to
  std::uint16_t port = 0;     // that layer2 is from
  std::uint16_t largest = 0;  // IP packet that fits, before ESP
  bool v6 = false;            // what leaves is IPv6
};

[[gnu::noinline]] void write_exit(Exit& exit, const LineSnapshot& line, const forward::Hop& hop,
                                  bool v6) {
  std::uint8_t layer2[kEthernetLength];
  forward::write_layer2(layer2, hop.link, line.outside[hop.port].mac, v6);
  exit = {wire::EthernetWords(layer2), hop.link, hop.port, exit.largest, v6};
}

// Most exits of a burst differ in nothing but `largest`.
[[gnu::always_inline]] inline void lead(Exit& exit, const LineSnapshot& line,
                                        const forward::Hop& hop, bool v6) {
  if (exit.link == hop.link && exit.port == hop.port && exit.v6 == v6) [[likely]]
    return;
  write_exit(exit, line, hop, v6);
}

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
  const OutboundSa* sa = nullptr;
  Exit exit{};
};

// By the routes. False: `packet` is dropped or waits.
[[gnu::noinline]] bool find_hop(const LineSnapshot& line, const OutboundSa& sa, Packet& packet,
                                forward::Hop& hop) {
  const forward::NextHop found = forward::next_hop(*line.gateway, Side::outside, sa.destination);
  if (found.link == 0) return no_link(packet, found);
  hop = found;
  return true;
}

// False: `packet` is dropped or waits, and `last` is as it was.
[[gnu::always_inline]] inline bool find_exit(const LineSnapshot& line, const OutboundSa& sa,
                                             Packet& packet, LastSa& last) {
  const Gateway& gateway = *line.gateway;
  forward::Hop hop;
  // The SA's own next hop, by the control thread; else by the routes.
  const Adjacency* const known = sa.adjacency.load(std::memory_order_acquire);
  if (known != nullptr && known->port < gateway.outside.size())
    hop = {known->link.load(std::memory_order_acquire), known->port, true};
  if (hop.link == 0 && !find_hop(line, sa, packet, hop)) [[unlikely]]
    return false;
  __builtin_prefetch(sa.key);
  const std::uint16_t outer = gateway.outside[hop.port].ip_mtu;
  const std::uint16_t path = sa.path_mtu.load(std::memory_order_relaxed);
  lead(last.exit, line, hop, sa.outer_v6);
  last.exit.largest = sa.largest_inner(path == 0 ? outer : std::min(path, outer));
  last.sa = &sa;
  return true;
}

// False: there is no SA.
[[gnu::always_inline]] inline bool find_sa(Packet& packet, const OutboundSlot& slot) {
  OutboundSa* const sa = slot.current.load(std::memory_order_acquire);
  packet.esp_out = sa;
  if (sa == nullptr) {
    drop(packet, DropReason::esp_no_sa);
    return false;
  }
  return true;
}

[[gnu::noinline]] bool bypass(const Burst& burst, Packet& packet, Exit& exit) {
  const Gateway& gateway = *burst.line->gateway;
  const PacketKey key = forward::received_again(packet).key;
  const forward::Hop hop = burst.hops->find(gateway, Side::outside, key);
  if (hop.link == 0)
    return no_link(packet, forward::next_hop(gateway, Side::outside, destination_of(key)));
  packet.flags |= kPacketSkipEsp;
  lead(exit, *burst.line, hop, key.v6());
  exit.largest = gateway.outside[hop.port].ip_mtu;
  return true;
}

// The further fragments take places at the burst's end; fit() has seen that there are enough.
[[gnu::noinline]] void fragment(Burst& burst, Packet& packet, std::uint16_t mtu, std::size_t more) {
  const wire::IpPacket received = forward::received_again(packet).packet;
  std::array<rte_mbuf*, kBurstPackets> pieces;
  if (!fragment_ipv4(packet.mbuf, kEthernetLength, received, mtu, burst.direction->pool,
                     {pieces.data(), more}))
    return drop(packet, DropReason::no_buffer);
  for (std::size_t i = 0; i < more; ++i) {
    Packet& piece = burst.packets[burst.count++];
    piece = packet;
    piece.mbuf = pieces[i];
  }
}

// A hint: nothing of the frames is checked yet.
[[gnu::noinline]] void prefetch_policies(Burst& burst) {
  for (const Packet& packet : burst.all()) {
    if (packet.mbuf->data_len < kEthernetLength + 40U) continue;
    const auto* const ip = rte_pktmbuf_mtod(packet.mbuf, const std::uint8_t*) + kEthernetLength;
    const bool v6 = ip[0] >> 4 == 6;
    burst.line->spd->prefetch_outbound(addresses_of(ip, v6), v6);
  }
}

// A packet that does not fit there: punted, or cut into pieces of which it becomes the first.
// False: it does not go on.
[[gnu::cold]] bool fit(Burst& burst, Packet& packet, std::uint16_t largest, std::size_t& more) {
  const wire::IpPacket received = forward::received_again(packet).packet;
  const std::uint16_t pieces =
      received.v6 || received.dont_fragment ? std::uint16_t{0} : fragment_count(received, largest);
  // More than the burst holds: as it came to the control thread, which cuts it at leisure and
  // injects the pieces.
  if (pieces == 0 || burst.count + pieces - 1 > kBurstPackets) {
    too_big(packet, largest, pieces == 0 ? DropReason::packet_too_big : DropReason::punted);
    return false;
  }
  more = pieces - 1U;
  return true;
}

// Onto its way by `exit`, if it fits there.
[[gnu::always_inline]] inline void leave(Burst& burst, Packet& packet, std::uint8_t* ip, bool v6,
                                         const Exit& exit) {
  std::size_t more = 0;  // fragments
  if (packet.mbuf->data_len > exit.largest + kEthernetLength &&
      !fit(burst, packet, exit.largest, more)) [[unlikely]]
    return;
  wire::decrement_ttl(ip, v6);
  exit.layer2.store(ip - kEthernetLength);
  packet.port = static_cast<std::uint8_t>(exit.port);
  if (v6) packet.flags |= kPacketIpv6;
  if (more != 0) [[unlikely]]
    fragment(burst, packet, exit.largest, more);
}

// A burst's packets between the passes.
struct Passes {
  bool wide;    // policies are looked up without the flow cache, slots in a pass of their own
  LastSa last;  // not wide: after the first pass the SA of its first packet
  std::array<std::uint8_t, kBurstPackets> later;
  std::array<const OutboundSlot*, kBurstPackets> slots;  // wide: of those; null: no tunnel
  std::size_t count = 0;
};

// The first pass: what the packet is and which policy it falls under. The first packet's SA is not
// waited for together with others', so its packets leave at once. True: it goes on in the second
// pass, to esp_out's tunnel or without one.
template <wire::Form F>
[[gnu::always_inline]] inline bool look_up(Burst& burst, Packet& packet, Passes& passes) {
  const LineSnapshot& line = *burst.line;
  forward::Received r;
  if (!forward::receive<F>(packet, false, r)) return false;
  if (line.gateway->is_own(r.key)) {
    forward::punt(packet, forward::mark_of(packet, PuntReason::own, false), DropReason::punted);
    return false;
  }
  const PolicyVerdict verdict =
      passes.wide ? line.spd->outbound_of_many(r.key) : burst.flows->outbound(*line.spd, r.key);
  if (verdict.action == PolicyAction::discard) {
    drop(packet, DropReason::policy_discard);
    return false;
  }
  if (r.packet.ttl <= 1) {
    forward::punt(packet, forward::mark_of(packet, PuntReason::ttl, false),
                  DropReason::ttl_expired);
    return false;
  }
  const bool bypassing = verdict.action == PolicyAction::bypass;
  if (passes.wide) {
    const OutboundSlot* const slot = bypassing ? nullptr : &verdict.slot(burst.worker);
    __builtin_prefetch(slot);
    passes.slots[passes.count] = slot;
    return true;
  }
  if (bypassing) return true;
  if (!find_sa(packet, verdict.slot(burst.worker))) return false;
  LastSa& last = passes.last;
  if (last.sa == nullptr && !find_exit(line, *packet.esp_out, packet, last)) return false;
  if (packet.esp_out != last.sa) return true;
  leave(burst, packet, r.ip, r.packet.v6, last.exit);
  return false;
}

[[gnu::noinline]] bool look_up_other(Burst& burst, Packet& packet, wire::Form form,
                                     Passes& passes) {
  return form == wire::Form::ipv4 ? look_up<wire::Form::ipv4>(burst, packet, passes)
                                  : look_up<wire::Form::ipv6>(burst, packet, passes);
}

// Between them, if policies are many: which SA it is. A packet without one goes nowhere.
void find_sas(Burst& burst, Passes& passes) {
  for (std::size_t k = 0; k < passes.count; ++k) {
    if (passes.slots[k] == nullptr) continue;
    Packet& packet = burst.packets[passes.later[k]];
    if (find_sa(packet, *passes.slots[k])) packet.esp_out->prefetch();
  }
}

// The second: where it goes.
[[gnu::always_inline]] inline void send(Burst& burst, Packet& packet, LastSa& last) {
  auto* const ip = rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*) + kEthernetLength;
  const bool v6 = ip[0] >> 4 == 6;
  if (packet.esp_out == nullptr) {
    Exit exit;
    if (bypass(burst, packet, exit)) leave(burst, packet, ip, v6, exit);
    return;
  }
  if (packet.esp_out != last.sa && !find_exit(*burst.line, *packet.esp_out, packet, last)) return;
  leave(burst, packet, ip, v6, last.exit);
}

}  // namespace

// Passes, so that what many packets need is fetched side by side.
void classify(Burst& burst) {
  const std::uint16_t received = burst.count;  // fragments that join are done
  Passes passes;
  passes.wide = burst.line->spd->outbound_is_wide();
  if (passes.wide) prefetch_policies(burst);
  const OutboundSa* before = nullptr;
  for (std::uint16_t i = 0; i < received; ++i) {
    Packet& packet = burst.packets[i];
    if (packet.drop != DropReason::none || (packet.flags & kPacketSkipEsp) != 0) continue;
    packet.esp_out = nullptr;
    wire::Form form;
    if (!forward::admit(packet, burst.line->inside[packet.in_port], false, form)) continue;
    const bool later = form == wire::Form::plain_ipv4
                           ? look_up<wire::Form::plain_ipv4>(burst, packet, passes)
                           : look_up_other(burst, packet, form, passes);
    if (!later) continue;
    passes.later[passes.count++] = static_cast<std::uint8_t>(i);
    if (packet.esp_out != before) {
      before = packet.esp_out;
      if (before != nullptr) before->prefetch();
    }
  }
  if (passes.wide) find_sas(burst, passes);
  for (std::size_t k = 0; k < passes.count; ++k) {
    Packet& packet = burst.packets[passes.later[k]];
    if (packet.drop == DropReason::none) send(burst, packet, passes.last);
  }
}

}  // namespace sealwire::pipelines::gateway_egress
