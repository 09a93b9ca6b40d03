#include "pipelines/stages/forward.h"

#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/icmp.h"

namespace sealwire::pipelines::forward {
namespace {

bool is_neighbour_discovery(const Received& r) {
  if (!r.packet.v6 || r.packet.protocol != wire::kProtocolIcmpv6 || r.packet.ttl != 255)
    return false;
  if (r.packet.upper_offset == 0 || r.packet.upper_offset + 4U > r.packet.total_length)
    return false;
  std::uint8_t type = r.ip[r.packet.upper_offset];
  return type >= wire::kIcmpv6RouterSolicitation && type <= wire::kIcmpv6Redirect;
}

bool is_multicast(const Received& r) {
  std::uint8_t first = r.ip[r.packet.v6 ? 24 : 16];
  return r.packet.v6 ? first == 0xff : first >= 224;  // 224/4 multicast, 240/4 and broadcast
}

bool is_link_local(const Received& r) {
  if (!r.packet.v6) return false;
  for (int at : {8, 24})
    if (r.ip[at] == 0xfe && (r.ip[at + 1] & 0xc0U) == 0x80U) return true;
  return false;
}

}  // namespace

PuntMark mark_of(const Packet& packet, PuntReason reason, bool from_outside) {
  PuntMark mark;
  mark.reason = reason;
  mark.from_outside = from_outside;
  mark.in_port = packet.in_port;
  mark.l2_length = packet.l2_length;
  return mark;
}

void punt(Packet& packet, const PuntMark& mark, DropReason reason) {
  drop(packet, set_mark(packet.mbuf, mark) ? reason : DropReason::no_headroom);
}

bool receive(Packet& packet, const LineSnapshot& line, bool from_outside, Received& out) {
  const LinePort& port = (from_outside ? line.outside : line.inside)[packet.in_port];
  auto* l2 = rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*);
  std::uint32_t length = packet.mbuf->data_len;
  if (packet.l2_length != kEthernetLength || length < kEthernetLength) {
    drop(packet, DropReason::not_ip);
    return false;
  }
  const bool group = (l2[0] & 1U) != 0;
  if (!group && !wire::same_mac(l2, port.mac)) {
    drop(packet, DropReason::not_for_us);
    return false;
  }
  auto type = wire::load_be<std::uint16_t>(l2 + 12);
  if (type == wire::kEtherTypeArp) {
    punt(packet, mark_of(packet, PuntReason::arp, from_outside), DropReason::punted);
    return false;
  }
  if (type != wire::kEtherTypeIpv4 && type != wire::kEtherTypeIpv6) {
    drop(packet, DropReason::not_ip);
    return false;
  }
  out.ip = l2 + kEthernetLength;
  auto parsed = wire::parse_ip({out.ip, length - kEthernetLength});
  if (!parsed || parsed->v6 != (type == wire::kEtherTypeIpv6)) {
    drop(packet, DropReason::malformed_ip);
    return false;
  }
  out.packet = *parsed;
  out.key = packet_key(out.ip, out.packet);
  packet.l3_length = out.packet.header_length;
  packet.mbuf->data_len = static_cast<std::uint16_t>(kEthernetLength + out.packet.total_length);
  packet.mbuf->pkt_len = packet.mbuf->data_len;
  if (is_neighbour_discovery(out)) {
    punt(packet, mark_of(packet, PuntReason::neighbour, from_outside), DropReason::punted);
    return false;
  }
  if (group || is_multicast(out) || is_link_local(out)) {
    drop(packet, DropReason::not_for_us);
    return false;
  }
  return true;
}

NextHop next_hop(const Gateway& gateway, Side side, const IpAddress& destination) {
  NextHop hop;
  auto resolved = [&](const Route& route) {
    const IpAddress& address = route.via ? *route.via : destination;
    const Adjacency* adjacency = gateway.neighbours->find(side, route.port, address);
    hop.link = adjacency == nullptr ? 0 : adjacency->link.load(std::memory_order_acquire);
    return hop.link != 0;
  };
  hop.route = gateway.routes.find(destination, side, resolved);
  if (hop.route != nullptr) hop.address = hop.route->via ? *hop.route->via : destination;
  return hop;
}

}  // namespace sealwire::pipelines::forward
