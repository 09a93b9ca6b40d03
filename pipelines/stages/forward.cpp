#include "pipelines/stages/forward.h"

namespace sealwire::pipelines::forward {

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

void punt_link(Packet& packet, PuntReason reason, bool from_outside) {
  punt(packet, mark_of(packet, reason, from_outside), DropReason::punted);
}

void punt_unresolved(Packet& packet, PuntMark mark, Side side, const NextHop& hop) {
  mark.to_outside = side == Side::outside;
  mark.port = hop.port;
  mark.next_hop = hop.address;
  punt(packet, mark, DropReason::no_neighbour);
}

Received received_again(const Packet& packet) {
  Received r;
  r.ip = rte_pktmbuf_mtod(packet.mbuf, std::uint8_t*) + kEthernetLength;
  r.packet = wire::parse_ip({r.ip, packet.mbuf->data_len - std::size_t{kEthernetLength}})
                 .value_or(wire::IpPacket{});
  packet_key(r.ip, r.packet, r.key);
  return r;
}

NextHop next_hop(const Gateway& gateway, Side side, const IpAddress& destination) {
  NextHop hop;
  bool second_choice = false;
  auto resolved = [&](const Route& route) {
    const IpAddress& address = route.via ? *route.via : destination;
    hop.adjacency = gateway.neighbours->find(side, route.port, address);
    hop.link = hop.adjacency == nullptr ? 0 : hop.adjacency->link.load(std::memory_order_acquire);
    second_choice |= hop.link == 0;
    return hop.link != 0;
  };
  const Route* const route = gateway.routes.find(destination, side, resolved);
  if (route == nullptr) return hop;
  hop.found = true;
  hop.port = route->port;
  hop.address = route->via ? *route->via : destination;
  if (second_choice) hop.adjacency = nullptr;
  return hop;
}

}  // namespace sealwire::pipelines::forward
