// Where a gateway sends packets: longest prefix first, then the order given. Immutable, part of the
// Gateway.
#pragma once

#include <array>
#include <cstddef>
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
    for (const Length& length : lengths_[destination.v6 ? 1 : 0]) {
      const IpAddress network = network_of(destination, length.bits);
      const Route* first = nullptr;
      for (auto at = find(length, network); at != length.end && networks_[at] == network; ++at) {
        const Route& route = routes_[at];
        if (route.side != side) continue;
        if (usable(route)) return &route;
        if (first == nullptr) first = &route;
      }
      if (first != nullptr) return first;
    }
    return nullptr;
  }

  /// Every route.
  template <class Visit>
  void each(Visit&& visit) const {
    for (const Route& route : routes_) visit(route);
  }

 private:
  // The routes of one prefix length, by network; of one network in the order given.
  struct Length {
    std::uint8_t bits;
    std::size_t begin, end;
  };
  // The first route of `length` to `network`, or one of another network.
  std::size_t find(const Length& length, const IpAddress& network) const {
    constexpr std::size_t kFew = 8;  // asked one by one sooner than by halves
    if (length.end - length.begin > kFew) return find_of_many(length, network);
    std::size_t at = length.begin;
    while (at + 1 < length.end && networks_[at] != network) ++at;
    return at;
  }
  std::size_t find_of_many(const Length& length, const IpAddress& network) const;

  std::vector<Route> routes_;
  std::vector<IpAddress> networks_;             // of the routes
  std::array<std::vector<Length>, 2> lengths_;  // IPv4, IPv6; longest first
};

}  // namespace sealwire::pipelines
