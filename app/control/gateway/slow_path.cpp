#include "app/control/gateway/slow_path.h"

#include <cstring>
#include <utility>
#include <vector>

#include "app/control/gateway/icmp.h"
#include "app/control/gateway/keepalive.h"
#include "app/control/gateway/outlet.h"
#include "app/control/gateway/path_mtu.h"
#include "app/control/gateway/reassembler.h"
#include "app/control/gateway/resolver.h"
#include "pipelines/stages/forward.h"
#include "pipelines/stages/fragment.h"
#include "pipelines/wire/udp.h"

namespace sealwire::control {

namespace wire = pipelines::wire;
using gateway::layer3;
using pipelines::PuntMark;
using pipelines::PuntReason;
using pipelines::Side;

struct GatewaySlowPath::Parts {
  explicit Parts(SlowPathSettings s)
      : context{std::move(s), nullptr, {}},
        resolver(context),
        path_mtu(context),
        icmp(context, path_mtu),
        reassembler(context),
        keepalive(context) {}

  void own(rte_mbuf* m, const PuntMark& mark, std::uint64_t now);
  void too_big(rte_mbuf* m, const PuntMark& mark, std::uint64_t now);
  void cut(rte_mbuf* m, const PuntMark& mark, const wire::IpPacket& packet);
  bool is_ike(rte_mbuf* m) const;
  void point_sas(std::uint64_t now);

  gateway::Context context;
  gateway::Resolver resolver;
  gateway::PathMtu path_mtu;
  gateway::Icmp icmp;
  gateway::Reassembler reassembler;
  gateway::Keepalive keepalive;
  std::uint64_t next_pointing = 0;
  std::uint64_t resolved_before = 0;
};

GatewaySlowPath::GatewaySlowPath(SlowPathSettings settings)
    : parts_(std::make_unique<Parts>(std::move(settings))) {}

GatewaySlowPath::~GatewaySlowPath() = default;

const SlowPathCounters& GatewaySlowPath::counters() const { return parts_->context.counters; }

std::vector<NeighbourStatus> GatewaySlowPath::neighbours(std::uint64_t now) const {
  return parts_->resolver.neighbours(now);
}

void GatewaySlowPath::update(const pipelines::LineSnapshot& line, std::uint64_t now) {
  const pipelines::LineSnapshot* const before = std::exchange(parts_->context.line, &line);
  parts_->next_pointing = 0;
  parts_->point_sas(now);
  // Our addresses, when they may be new or could not be heard before.
  if (before == nullptr || before->gateway != line.gateway || before->secure != line.secure)
    parts_->resolver.announce();
  line.gateway->routes.each([&](const pipelines::Route& route) {
    if (route.via) parts_->resolver.want(route.side, route.port, *route.via, now);
  });
}

bool GatewaySlowPath::Parts::is_ike(rte_mbuf* m) const {
  const auto packet = layer3(m);
  auto parsed = wire::parse_ip(packet);
  if (!parsed || parsed->protocol != wire::kProtocolUdp || parsed->upper_offset == 0 ||
      parsed->fragment || parsed->upper_offset + 8U > parsed->total_length)
    return false;
  const auto port = wire::load_be<std::uint16_t>(packet.data() + parsed->upper_offset + 2);
  if (port == wire::kPortIke) return true;
  for (std::uint16_t nat_t : context.line->gateway->nat_t_ports)
    if (port == nat_t) return true;
  return false;
}

// Spares the workers the route look-up: every outbound SA knows its next hop, if there is one. One
// that is out of date costs them no more than that look-up.
void GatewaySlowPath::Parts::point_sas(std::uint64_t now) {
  constexpr std::uint64_t kEvery = 5000;  // milliseconds
  if (context.settings.sad == nullptr ||
      (now < next_pointing && resolved_before == context.counters.resolved))
    return;
  next_pointing = now + kEvery;
  resolved_before = context.counters.resolved;
  context.settings.sad->each_outbound([&](pipelines::OutboundSlot&, pipelines::OutboundSa& sa) {
    const auto hop =
        pipelines::forward::next_hop(*context.line->gateway, Side::outside, sa.destination);
    sa.adjacency.store(
        !hop.found ? nullptr
                   : context.settings.neighbours->find(Side::outside, hop.port, hop.address),
        std::memory_order_release);
  });
}

void GatewaySlowPath::Parts::own(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  if (is_ike(m)) {
    // IKE is spoken on the outside, never through a tunnel.
    if (!mark.decrypted && mark.from_outside && context.settings.ike) {
      ++context.counters.ike;
      return context.settings.ike(m, mark);
    }
    ++context.counters.ignored;
  } else {
    icmp.own(m, mark, now);
  }
  rte_pktmbuf_free(m);
}

// Into pieces of at most mark.mtu octets, each of which then goes on like a packet of its own.
void GatewaySlowPath::Parts::cut(rte_mbuf* m, const PuntMark& mark, const wire::IpPacket& packet) {
  const std::uint16_t count = pipelines::fragment_count(packet, mark.mtu);
  std::vector<rte_mbuf*> pieces(count == 0 ? 0 : count - 1U);
  pipelines::forward::NextHop hop;
  std::uint8_t* ip = layer3(m).data();
  const bool inside = mark.from_outside;
  if (inside) {
    hop = pipelines::forward::next_hop(*context.line->gateway, Side::inside,
                                       gateway::destination_address(ip, false));
    if (hop.link != 0) {
      wire::decrement_ttl(ip, false);
      pipelines::forward::write_layer2(ip - 14, hop.link, context.line->inside[hop.port].mac,
                                       false);
    }
  }
  if (count == 0 || (inside && hop.link == 0) ||
      !pipelines::fragment_ipv4(m, 14, packet, mark.mtu, context.settings.pool, pieces)) {
    ++context.counters.ignored;
    return rte_pktmbuf_free(m);
  }
  ++context.counters.fragmented;
  pieces.insert(pieces.begin(), m);
  for (rte_mbuf* piece : pieces) {
    if (inside) {
      gateway::send(context, piece, Side::inside, hop.port);
    } else {
      gateway::receive_again(context, piece, pipelines::Direction::egress, mark.in_port);
    }
  }
}

void GatewaySlowPath::Parts::too_big(rte_mbuf* m, const PuntMark& mark, std::uint64_t now) {
  auto parsed = wire::parse_ip(layer3(m));
  if (parsed && !parsed->v6 && !parsed->dont_fragment) return cut(m, mark, *parsed);
  icmp.too_big(m, mark, now);
  rte_pktmbuf_free(m);
}

void GatewaySlowPath::take(rte_mbuf* m, std::uint64_t now) {
  Parts& p = *parts_;
  const auto mark = pipelines::get_mark<PuntMark>(m);
  const bool outside = mark.from_outside;
  if (p.context.line == nullptr || mark.magic != PuntMark::kMagic ||
      mark.in_port >= (outside ? p.context.line->outside : p.context.line->inside).size()) {
    ++p.context.counters.ignored;
    return rte_pktmbuf_free(m);
  }
  switch (mark.reason) {
    case PuntReason::unresolved:
      return p.resolver.hold(m, mark, now);
    case PuntReason::own:
      return p.own(m, mark, now);
    case PuntReason::too_big:
      return p.too_big(m, mark, now);
    case PuntReason::fragment:
      return p.reassembler.take(m, mark);
    case PuntReason::arp:
      p.resolver.arp(m, mark, now);
      break;
    case PuntReason::neighbour:
      p.resolver.neighbour_discovery(m, mark, now);
      break;
    case PuntReason::ttl:
      p.icmp.time_exceeded(m, mark, now);
      break;
    case PuntReason::eapol:
      ++p.context.counters.ignored;
      break;
  }
  rte_pktmbuf_free(m);
}

void GatewaySlowPath::tick(std::uint64_t now) {
  if (parts_->context.line == nullptr) return;
  parts_->resolver.tick(now);
  parts_->reassembler.tick();
  parts_->path_mtu.tick(now);
  parts_->keepalive.tick(now);
  parts_->point_sas(now);
}

}  // namespace sealwire::control
