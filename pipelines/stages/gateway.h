// A gateway's addresses, routes and neighbours, as the data path sees them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/neighbours.h"
#include "pipelines/tables/routes.h"

namespace sealwire::pipelines {

/// One port of the gateway, in the order of LineSnapshot::inside and ::outside.
struct GatewayPort {
  std::uint16_t ip_mtu =
      1500;  // largest IP packet; on an outside port with MACsec: what is left after its overhead
  std::vector<Prefix> addresses;  // ours, each with the length of the link's prefix
};

/// Immutable, swapped with the snapshot; the neighbour table outlives it.
struct Gateway {
  std::vector<GatewayPort> inside, outside;
  Routes routes;  // holds the links' own prefixes too: use make_gateway
  Neighbours* neighbours = nullptr;
  std::vector<std::uint16_t> nat_t_ports{4500};  // local UDP ports that carry ESP (RFC 3948)

  const std::vector<GatewayPort>& ports(Side side) const {
    return side == Side::inside ? inside : outside;
  }

  /// Is it one of our addresses, on any port?
  bool is_own(const IpAddress& address) const noexcept;
};

/// Builds the gateway; adds a route on the link for every port address.
Gateway make_gateway(std::vector<GatewayPort> inside, std::vector<GatewayPort> outside,
                     std::vector<Route> routes, Neighbours& neighbours);

}  // namespace sealwire::pipelines
