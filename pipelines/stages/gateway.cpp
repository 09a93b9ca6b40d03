#include "pipelines/stages/gateway.h"

#include <atomic>
#include <utility>

namespace sealwire::pipelines {

Gateway make_gateway(std::vector<GatewayPort> inside, std::vector<GatewayPort> outside,
                     std::vector<Route> routes, Neighbours& neighbours) {
  static std::atomic<std::uint64_t> last{0};
  Gateway gateway;
  gateway.generation = ++last;
  for (Side side : {Side::inside, Side::outside}) {
    const std::vector<GatewayPort>& ports = side == Side::inside ? inside : outside;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      for (const Prefix& own : ports[i].addresses) {
        routes.push_back({own, std::nullopt, side, static_cast<std::uint16_t>(i)});
        gateway.add_own(own.address, side);
      }
    }
  }
  gateway.inside = std::move(inside);
  gateway.outside = std::move(outside);
  gateway.routes = Routes(std::move(routes));
  gateway.neighbours = &neighbours;
  return gateway;
}

}  // namespace sealwire::pipelines
