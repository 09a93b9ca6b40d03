// Where a gateway sends packets: longest prefix first, then the order given. Immutable, part of the
// Gateway.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/neighbours.h"

namespace sealwire::pipelines {

struct Route {
  Prefix destination;
  std::optional<IpAddress> via{};  // none: on the link (the interface's own prefix)
  Side side = Side::inside;
  std::uint16_t port = 0;  // index into that side's ports
};

class Routes {
 public:
  Routes() = default;
  explicit Routes(std::vector<Route> routes);

  /// The best route for `destination` toward `side`, or null. Several with the same prefix: the
  /// first whose port and next hop `usable` accepts, else the first.
  template <class Usable>
  const Route* find(const IpAddress& destination, Side side, Usable&& usable) const {
    const Route* first = nullptr;
    for (const Route& route : destination.v6 ? v6_ : v4_) {
      if (first != nullptr && route.destination.length != first->destination.length) break;
      if (route.side != side || !route.destination.contains(destination)) continue;
      if (usable(route)) return &route;
      if (first == nullptr) first = &route;
    }
    return first;
  }

  /// Every route, in the order of preference.
  template <class Visit>
  void each(Visit&& visit) const {
    for (const Route& route : v4_) visit(route);
    for (const Route& route : v6_) visit(route);
  }

 private:
  std::vector<Route> v4_, v6_;  // longest prefix first, stable
};

}  // namespace sealwire::pipelines
