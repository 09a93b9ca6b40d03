// A gateway's addresses, routes and neighbours, as the data path sees them.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/neighbours.h"
#include "pipelines/tables/routes.h"
#include "pipelines/tables/selector_set.h"

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

  std::uint64_t generation = 0;  // differs between any two gateways: what a HopCache is valid for

  const std::vector<GatewayPort>& ports(Side side) const {
    return side == Side::inside ? inside : outside;
  }

  /// One more address of a port. Before the gateway is published.
  void add_own(const IpAddress& address, Side side) {
    Own& one = own_.emplace_back();
    std::memcpy(one.words, address.octets.data(), sizeof one.words);
    one.v6 = address.v6;
    one.side = side;
    own_bits_ |= bit_of(one.words);
  }

  /// Is the packet for one of our addresses, on any port?
  bool is_own(const PacketKey& key) const noexcept { return is_own(key, true); }
  bool is_own_outside(const PacketKey& key) const noexcept { return is_own(key, false); }

 private:
  struct Own {
    std::uint64_t words[2];
    bool v6;
    Side side;
  };
  static std::uint64_t bit_of(const std::uint64_t (&words)[2]) noexcept {
    return std::uint64_t{1} << (fold_address(words) * 0x9E3779B97F4A7C15U >> 58);
  }
  bool is_own(const PacketKey& key, bool inside_too) const noexcept {
    if ((own_bits_ & bit_of(key.destination)) == 0) [[likely]]
      return false;
    for (const Own& address : own_) {
      if (((address.words[0] ^ key.destination[0]) | (address.words[1] ^ key.destination[1])) ==
              0 &&
          address.v6 == key.v6() && (inside_too || address.side == Side::outside))
        return true;
    }
    return false;
  }

  // The addresses of all ports, once more: the data path compares them with every packet.
  std::vector<Own> own_;
  std::uint64_t own_bits_ = 0;  // one for each: most packets' destination has another
};

/// Builds the gateway; adds a route on the link for every port address.
Gateway make_gateway(std::vector<GatewayPort> inside, std::vector<GatewayPort> outside,
                     std::vector<Route> routes, Neighbours& neighbours);

}  // namespace sealwire::pipelines
