#include "pipelines/stages/gateway.h"

#include <utility>

namespace sealwire::pipelines {

bool Gateway::is_own(const IpAddress& address) const noexcept {
  for (const std::vector<GatewayPort>* side : {&inside, &outside})
    for (const GatewayPort& port : *side)
      for (const Prefix& own : port.addresses)
        if (own.address == address) return true;
  return false;
}

Gateway make_gateway(std::vector<GatewayPort> inside, std::vector<GatewayPort> outside,
                     std::vector<Route> routes, Neighbours& neighbours) {
  for (Side side : {Side::inside, Side::outside}) {
    const std::vector<GatewayPort>& ports = side == Side::inside ? inside : outside;
    for (std::size_t i = 0; i < ports.size(); ++i)
      for (const Prefix& own : ports[i].addresses)
        routes.push_back({own, std::nullopt, side, static_cast<std::uint16_t>(i)});
  }
  Gateway gateway;
  gateway.inside = std::move(inside);
  gateway.outside = std::move(outside);
  gateway.routes = Routes(std::move(routes));
  gateway.neighbours = &neighbours;
  return gateway;
}

}  // namespace sealwire::pipelines
