#include "pipelines/stages/esp_ingress.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "pipelines/line.h"
#include "pipelines/stages/esp_sa.h"
#include "pipelines/stages/forward.h"
#include "pipelines/stages/tunnel.h"
#include "pipelines/tables/sad.h"
#include "pipelines/tables/spd.h"
#include "pipelines/wire/be.h"
#include "pipelines/wire/esp.h"
#include "pipelines/wire/ip.h"
#include "pipelines/wire/udp.h"

namespace sealwire::pipelines::esp_ingress {
namespace {

using forward::kEthernetLength;

bool alive(const Packet& packet) {
  return packet.drop == DropReason::none && (packet.flags & kPacketSkipEsp) == 0;
}

PuntMark mark_of(const Packet& packet, PuntReason reason) {
  PuntMark mark = forward::mark_of(packet, reason, true);
  mark.decrypted = packet.esp_in != nullptr;
  return mark;
}

// Hands over a packet on its way to the inside. What was opened has no layer 2 header yet.
[[gnu::cold]] void punt_inside(Packet& packet, std::uint8_t* ip, bool v6, const PuntMark& mark,
                               DropReason reason) {
  constexpr std::uint8_t kNoMac[6] = {};
  if (packet.esp_in != nullptr) forward::write_layer2(ip - kEthernetLength, 0, kNoMac, v6);
  forward::punt(packet, mark, reason);
}

// Toward the inside: next hop, TTL, size, layer 2 header. `ip` lies in the mbuf with at least 14
// octets in front.
[[gnu::always_inline]] inline void forward_inside(const Burst& burst, Packet& packet,
                                                  std::uint8_t* ip, const wire::IpPacket& inner,
                                                  const PacketKey& key) {
  const LineSnapshot& line = *burst.line;
  const Gateway& gateway = *line.gateway;
  rte_mbuf* m = packet.mbuf;
  m->data_off =
      static_cast<std::uint16_t>(ip - kEthernetLength - static_cast<std::uint8_t*>(m->buf_addr));
  m->data_len = static_cast<std::uint16_t>(kEthernetLength + inner.total_length);
  m->pkt_len = std::uint32_t{kEthernetLength} + inner.total_length;
  packet.l2_length = kEthernetLength;
  packet.l3_length = inner.header_length;
  if (gateway.is_own(key))
    return punt_inside(packet, ip, inner.v6, mark_of(packet, PuntReason::own), DropReason::punted);
  if (inner.ttl <= 1)
    return punt_inside(packet, ip, inner.v6, mark_of(packet, PuntReason::ttl),
                       DropReason::ttl_expired);
  const forward::Hop hop = burst.hops->find(gateway, Side::inside, key);
  if (hop.link == 0 && !hop.found) [[unlikely]]
    return drop(packet, DropReason::no_route);
  const std::uint16_t mtu = gateway.inside[hop.port].ip_mtu;
  if (inner.total_length > mtu) {
    PuntMark mark = mark_of(packet, PuntReason::too_big);
    mark.mtu = mtu;
    const bool may_cut = !inner.v6 && !inner.dont_fragment;
    return punt_inside(packet, ip, inner.v6, mark,
                       may_cut ? DropReason::punted : DropReason::packet_too_big);
  }
  wire::decrement_ttl(ip, inner.v6);
  forward::write_layer2(ip - kEthernetLength, hop.link, line.inside[hop.port].mac, inner.v6);
  if (hop.link == 0)
    return forward::punt_unresolved(packet, mark_of(packet, PuntReason::unresolved), Side::inside,
                                    forward::next_hop(gateway, Side::inside, destination_of(key)));
  packet.port = static_cast<std::uint8_t>(hop.port);
  packet.to_inside = 1;
  if (inner.v6) packet.flags |= kPacketIpv6;
}

// A packet that came in clear and is not for a port of the outside: RFC 4301 §5.2, 3b and 5.
void apply_policy(const Burst& burst, Packet& packet, const forward::Received& r) {
  const PolicyVerdict& verdict = burst.flows->inbound(*burst.line->spd, r.key);
  if (verdict.action == PolicyAction::protect) return drop(packet, DropReason::esp_clear_inbound);
  if (verdict.action == PolicyAction::discard) return drop(packet, DropReason::policy_discard);
  forward_inside(burst, packet, r.ip, r.packet, r.key);
}

// An ESP packet for us whose SA was found by its SPI alone.
struct EspView {
  std::uint8_t* ip;
  std::uint8_t* esp;
  std::uint32_t length;  // SPI to ICV
  bool udp, v6;
};

// A burst's ESP packets between the passes of build: those whose SA has to be fetched first.
struct Found {
  std::array<EspView, kBurstPackets> views;
  std::array<std::uint8_t, kBurstPackets> packets;
  std::size_t count = 0;
  std::uint32_t last_spi = 0;  // most packets of a burst share their SA
  InboundSa* last = nullptr;
  InboundSa* at_hand = nullptr;  // the first packet's
  // The last destination that was one of ours, as PacketKey has it; none yet: no such family.
  std::uint64_t own[2] = {}, own_family = ~0ULL;
};

// A hint: nothing of the packets is checked yet.
[[gnu::noinline]] void prefetch_sas(Burst& burst) {
  for (const Packet& packet : burst.all()) {
    const std::uint32_t length = packet.mbuf->data_len;
    if (length < packet.l2_length + 40U) continue;
    const auto* const ip = rte_pktmbuf_mtod(packet.mbuf, const std::uint8_t*) + packet.l2_length;
    const bool v6 = ip[0] >> 4 == 6;
    const std::uint32_t udp = ip[v6 ? 6 : 9] == wire::kProtocolUdp ? 8 : 0;
    const std::uint32_t esp = (v6 ? 40U : (ip[0] & 15U) * 4U) + udp;
    if (length < packet.l2_length + esp + 4U) continue;
    burst.line->sad->prefetch(wire::load_be<std::uint32_t>(ip + esp));
  }
}

// Is it the SA of this SPI, and its tunnel the one the packet came by? Its source is not asked
// (RFC 4301 §4.1).
bool is_for(const InboundSa& sa, const EspView& view) {
  if (sa.spi != wire::load_be<std::uint32_t>(view.esp)) return false;
  if (sa.udp != view.udp || sa.outer_v6 != view.v6) return false;
  const std::uint64_t words[2] = {view.v6 ? load_word(view.ip + 24) : address_word(view.ip + 16),
                                  view.v6 ? load_word(view.ip + 32) : 0};
  return ((load_word(sa.destination.data()) ^ words[0]) |
          (load_word(sa.destination.data() + 8) ^ words[1])) == 0;
}

[[gnu::always_inline]] inline void open_esp(Burst& burst, Packet& packet, const EspView& view) {
  InboundSa* const sa = packet.esp_in;
  if (!is_for(*sa, view)) {
    packet.esp_in = nullptr;
    return drop(packet, DropReason::esp_unknown_spi);
  }
  const std::uint32_t around = 8U + sa->iv_length + sa->icv_length;
  if (view.length < around + 2U || ((view.length - around) & sa->pad_mask) != 0)
    return drop(packet, DropReason::esp_malformed);
  if (sa->spent.load(std::memory_order_relaxed))
    return drop(packet, DropReason::esp_lifetime_expired);
  crypto::SeqNo sn;
  if (!sa->window.plausible(wire::load_be<std::uint32_t>(view.esp + 4), sn))
    return drop(packet, DropReason::esp_replay);
  packet.sn = sn.value();
  const auto outer = static_cast<std::uint32_t>(view.esp - view.ip);
  packet.l3_length = static_cast<std::uint16_t>(outer);
  rte_mbuf* const m = packet.mbuf;
  m->pkt_len = packet.l2_length + outer + view.length;
  m->data_len = static_cast<std::uint16_t>(m->pkt_len);
  packet.op = static_cast<std::uint8_t>(burst.batch.count);
  // The outer header has served: the AAD may stand where it ends.
  esp::fill_op(burst.batch.add(), *sa, view.esp, view.length - around, sn.value(), view.esp - 4);
}

// The first packet's SA is not waited for together with others', so its packets are done at once.
[[gnu::always_inline]] inline void find_sa(Burst& burst, Packet& packet, const EspView& view,
                                           Found& found) {
  if (view.length < 8) return drop(packet, DropReason::esp_malformed);
  const auto spi = wire::load_be<std::uint32_t>(view.esp);
  if (spi != found.last_spi) {
    found.last_spi = spi;
    found.last = burst.line->sad->candidate(spi);
    if (found.last != nullptr) found.last->prefetch();
    if (found.at_hand == nullptr) found.at_hand = found.last;
  }
  if (found.last == nullptr) return drop(packet, DropReason::esp_unknown_spi);
  packet.esp_in = found.last;
  if (found.last == found.at_hand) return open_esp(burst, packet, view);
  found.views[found.count] = view;
  found.packets[found.count++] = static_cast<std::uint8_t>(&packet - burst.packets.data());
}

// UDP to one of our NAT-T ports. False: not that.
bool open_udp(Burst& burst, Packet& packet, const forward::Received& r, Found& found) {
  const std::vector<std::uint16_t>& ports = burst.line->gateway->nat_t_ports;
  if (!r.key.ports_known() ||
      std::find(ports.begin(), ports.end(), r.key.destination_port()) == ports.end())
    return false;
  const std::uint32_t room = r.packet.total_length - r.packet.upper_offset;
  std::uint8_t* udp = r.ip + r.packet.upper_offset;
  const std::uint32_t length = room < 8 ? 0 : wire::load_be<std::uint16_t>(udp + 4);
  if (length < 8 || length > room) {
    drop(packet, DropReason::esp_malformed);
    return true;
  }
  switch (wire::classify_nat_t({udp + 8, length - 8})) {
    case wire::NatTPayload::malformed:
      drop(packet, DropReason::esp_malformed);
      break;
    case wire::NatTPayload::keepalive:
      drop(packet, DropReason::nat_keepalive);
      break;
    case wire::NatTPayload::ike:
      forward::punt(packet, mark_of(packet, PuntReason::own), DropReason::punted);
      break;
    case wire::NatTPayload::esp:
      find_sa(burst, packet, {r.ip, udp + 8, length - 8, true, r.packet.v6}, found);
      break;
  }
  return true;
}

bool is_icmp_or_ike(const forward::Received& r) {
  return r.packet.protocol == (r.packet.v6 ? wire::kProtocolIcmpv6 : wire::kProtocolIcmp) ||
         (r.packet.protocol == wire::kProtocolUdp && r.key.ports_known() &&
          r.key.destination_port() == wire::kPortIke);
}

// For one of our outside ports? The last such destination is remembered.
[[gnu::always_inline]] inline bool is_own_outside(const Burst& burst, const PacketKey& key,
                                                  Found& found) {
  const std::uint64_t family = key.upper & PacketKey::kV6;
  if (((key.destination[0] ^ found.own[0]) | (key.destination[1] ^ found.own[1]) |
       (family ^ found.own_family)) == 0)
    return true;
  if (!burst.line->gateway->is_own_outside(key)) return false;
  found.own_family = family;
  found.own[0] = key.destination[0];
  found.own[1] = key.destination[1];
  return true;
}

// All that is not ESP by itself, or not for us.
[[gnu::noinline]] void take_other(Burst& burst, Packet& packet, forward::Received r, Found& found) {
  if (!burst.line->gateway->is_own_outside(r.key)) return apply_policy(burst, packet, r);
  if (r.packet.fragment)
    return forward::punt(packet, mark_of(packet, PuntReason::fragment), DropReason::punted);
  if (r.packet.protocol == wire::kProtocolUdp && open_udp(burst, packet, r, found)) return;
  if (is_icmp_or_ike(r))
    return forward::punt(packet, mark_of(packet, PuntReason::own), DropReason::punted);
  apply_policy(burst, packet, r);
}

template <wire::Form F>
[[gnu::always_inline]] inline void take(Burst& burst, Packet& packet, Found& found) {
  forward::Received r;
  if (!forward::receive<F>(packet, true, r)) return;
  if (r.packet.protocol == wire::kProtocolEsp && !r.packet.fragment && r.packet.upper_offset != 0 &&
      is_own_outside(burst, r.key, found)) {
    const std::uint32_t length = std::uint32_t{r.packet.total_length} - r.packet.upper_offset;
    return find_sa(burst, packet, {r.ip, r.ip + r.packet.upper_offset, length, false, r.packet.v6},
                   found);
  }
  take_other(burst, packet, forward::received_again(packet), found);
}

[[gnu::noinline]] void take_form(Burst& burst, Packet& packet, wire::Form form, Found& found) {
  if (form == wire::Form::ipv4) return take<wire::Form::ipv4>(burst, packet, found);
  take<wire::Form::ipv6>(burst, packet, found);
}

std::uint8_t outer_ecn(const std::uint8_t* outer, bool v6) {
  return v6 ? static_cast<std::uint8_t>(outer[1] >> 4 & 3U)
            : static_cast<std::uint8_t>(outer[1] & 3U);
}

// The inner packet of an authentic one: is it sound, and what the SA is for? `room`: octets until
// the padding. What lies between is TFC padding (RFC 4303 §2.7).
template <wire::Form F>
[[gnu::always_inline]] inline void take_inner(const Burst& burst, Packet& packet,
                                              const std::uint8_t* outer, std::uint8_t* inner,
                                              std::uint32_t room) {
  const InboundSa& sa = *packet.esp_in;
  wire::IpPacket ip;
  if (!wire::parse<F>({inner, room}, ip)) return drop(packet, DropReason::malformed_ip);
  PacketKey key;
  packet_key<F>(inner, ip, key);
  if (!sa.selectors.matches(key)) return drop(packet, DropReason::esp_selector_mismatch);
  const auto inner_ecn = static_cast<std::uint8_t>(ip.tos & 3U);
  const std::uint8_t carried = outer_ecn(outer, sa.outer_v6);
  if (carried != inner_ecn) {  // else it stays as it is, whatever it is
    const std::uint8_t ecn = tunnel::decapsulated_ecn(inner_ecn, carried);
    if (ecn == tunnel::kDropEcn) return drop(packet, DropReason::ecn_invalid);
    if (ecn != inner_ecn) wire::set_ecn(inner, ip.v6, ecn);
  }
  forward_inside(burst, packet, inner, ip, key);
}

[[gnu::noinline]] void take_inner_form(const Burst& burst, Packet& packet,
                                       const std::uint8_t* outer, std::uint8_t* inner,
                                       std::uint32_t room, wire::Form form) {
  if (form == wire::Form::ipv4)
    return take_inner<wire::Form::ipv4>(burst, packet, outer, inner, room);
  take_inner<wire::Form::ipv6>(burst, packet, outer, inner, room);
}

// An authentic ESP packet: what is in it?
[[gnu::always_inline]] inline void open_inner(const Burst& burst, Packet& packet) {
  const InboundSa& sa = *packet.esp_in;
  const rte_mbuf* const m = packet.mbuf;
  const std::uint32_t front =
      packet.l2_length + std::uint32_t{packet.l3_length} + 8U + sa.iv_length;
  auto* const frame = rte_pktmbuf_mtod(m, std::uint8_t*);
  const std::uint8_t* const outer = frame + packet.l2_length;
  std::uint8_t* const inner = frame + front;
  const std::uint32_t sealed = m->data_len - front - sa.icv_length;
  const std::uint8_t* const trailer = inner + sealed - 2;
  const std::uint32_t padding = trailer[0];
  if (padding + 2U > sealed || !wire::padding_good(trailer, padding))
    return drop(packet, DropReason::esp_bad_padding);
  const std::uint32_t room = sealed - 2U - padding;
  switch (trailer[1]) {
    case wire::kProtocolIpv4:
      if (room >= sizeof(wire::Ipv4Header) && wire::is_plain(inner)) [[likely]]
        return take_inner<wire::Form::plain_ipv4>(burst, packet, outer, inner, room);
      return take_inner_form(burst, packet, outer, inner, room, wire::Form::ipv4);
    case wire::kProtocolIpv6:
      return take_inner_form(burst, packet, outer, inner, room, wire::Form::ipv6);
    case wire::kProtocolNone:
      return drop(packet, DropReason::esp_dummy);
    default:
      return drop(packet, DropReason::esp_bad_next_header);
  }
}

[[gnu::noinline]] void count_drop(InboundSa& sa, DropReason reason) {
  InboundRuntime& runtime = sa.runtime;
  switch (reason) {
    case DropReason::esp_replay:
      return runtime.replay_drops.add(1);
    case DropReason::esp_auth_failed:
      return runtime.auth_failed.add(1);
    case DropReason::esp_selector_mismatch:
      return runtime.selector_drops.add(1);
    case DropReason::esp_lifetime_expired:
      return runtime.lifetime_drops.add(1);
    case DropReason::esp_dummy:
      return runtime.dummies.add(1);
    case DropReason::ecn_invalid:
      return runtime.ecn_drops.add(1);
    case DropReason::esp_malformed:
    case DropReason::esp_bad_padding:
    case DropReason::esp_bad_next_header:
    case DropReason::malformed_ip:
      return runtime.malformed.add(1);
    default:
      return;
  }
}

// MACsec's verdict came before: a frame it drops moves nothing here.
bool dropped_by_macsec(DropReason reason) {
  return reason >= DropReason::in_pkts_no_tag && reason <= DropReason::in_pkts_not_valid;
}

void settle(Packet& packet) {
  InboundSa& sa = *packet.esp_in;
  if ((packet.flags & kPacketEspOpened) == 0) {
    // A spent SA's packets come no further: its event may have found the ring full.
    if (packet.drop == DropReason::esp_lifetime_expired) esp::event(sa, SaEventKind::hard);
    return count_drop(sa, packet.drop);
  }
  auto again = sa.window.infer(static_cast<std::uint32_t>(packet.sn));
  if (!again || again->value() != packet.sn ||
      sa.window.accept(*again) != crypto::ReplayVerdict::fresh) {
    packet.drop = DropReason::esp_replay;
    return count_drop(sa, packet.drop);
  }
  // The SA has done its work also for what the control thread gets, as a packet whose neighbour is
  // asked for first.
  const bool accepted = packet.drop == DropReason::none || for_control(packet.drop) ||
                        packet.drop == DropReason::esp_dummy;
  if (accepted) {
    const std::uint32_t octets = packet.drop == DropReason::esp_dummy
                                     ? 0U
                                     : packet.mbuf->data_len - std::uint32_t{kEthernetLength};
    if (!esp::within_lifetime(sa, sa.spent.load(std::memory_order_relaxed), octets)) {
      sa.spent.store(true, std::memory_order_relaxed);
      packet.drop = DropReason::esp_lifetime_expired;
    } else {
      sa.runtime.packets.add(1);
      sa.runtime.octets.add(octets);
    }
  }
  if (packet.drop != DropReason::none) count_drop(sa, packet.drop);
}

}  // namespace

// Passes, so that what many packets need is fetched side by side.
void build(Burst& burst) {
  burst.batch.reset(crypto::Direction::open);
  if (burst.line->sad->is_wide()) prefetch_sas(burst);
  Found found;
  for (Packet& packet : burst.all()) {
    packet.op = kNoOp;
    packet.esp_in = nullptr;
    if (!alive(packet)) continue;
    wire::Form form;
    if (!forward::admit(packet, burst.line->outside[packet.in_port], true, form)) continue;
    if (form == wire::Form::plain_ipv4) [[likely]] {
      take<wire::Form::plain_ipv4>(burst, packet, found);
    } else {
      take_form(burst, packet, form, found);
    }
  }
  const InboundSa* before = nullptr;
  for (std::size_t k = 0; k < found.count; ++k) {
    Packet& packet = burst.packets[found.packets[k]];
    if (packet.esp_in != before) {
      before = packet.esp_in;
      before->prefetch_parts();
    }
    open_esp(burst, packet, found.views[k]);
  }
}

void finish(Burst& burst) {
  for (Packet& packet : burst.all()) {
    if (packet.op == kNoOp || packet.drop != DropReason::none) continue;
    const crypto::OpStatus status = burst.batch.ops[packet.op].status;
    packet.op = kNoOp;
    if (status == crypto::OpStatus::ok) {
      packet.flags |= kPacketEspOpened;
      open_inner(burst, packet);
    } else {
      drop(packet, status == crypto::OpStatus::bad_tag ? DropReason::esp_auth_failed
                                                       : DropReason::crypto_error);
    }
  }
}

void settle(Burst& burst) {
  for (Packet& packet : burst.all())
    if (packet.esp_in != nullptr && !dropped_by_macsec(packet.drop)) settle(packet);
}

}  // namespace sealwire::pipelines::esp_ingress
