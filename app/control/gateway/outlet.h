// How the slow path's own packets leave, and what its parts share.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "app/control/gateway/slow_path.h"
#include "pipelines/tables/ip_address.h"
#include "pipelines/tables/neighbours.h"
#include "pipelines/wire/ip.h"

namespace sealwire::control::gateway {

using Mac = std::array<std::uint8_t, 6>;

/// The slow path's state that all parts see.
struct Context {
  SlowPathSettings settings;
  const pipelines::LineSnapshot* line = nullptr;  // null before the first update
  SlowPathCounters counters;

  const std::vector<pipelines::LinePort>& ports(pipelines::Side side) const {
    return side == pipelines::Side::inside ? line->inside : line->outside;
  }
  const std::vector<pipelines::GatewayPort>& gateway_ports(pipelines::Side side) const {
    return line->gateway->ports(side);
  }
};

/// An empty own frame with headroom for every header, or null (counted).
rte_mbuf* new_frame(Context& context, std::uint16_t length);

/// Sends a whole frame by a port of a side: sealed by MACsec where an outside port has it. Takes
/// the mbuf.
void send(Context& context, rte_mbuf* m, pipelines::Side side, std::uint16_t port);

/// Lets a whole frame pass the line as if received: on egress from inside port `port`, or on
/// ingress, opened, from outside port `port`. Its destination is set to that port's MAC. Takes the
/// mbuf.
void receive_again(Context& context, rte_mbuf* m, pipelines::Direction direction,
                   std::uint16_t port);

/// Our address on a port of that side to speak to `peer` from: on the same link if there is one,
/// else the first of the family.
std::optional<pipelines::IpAddress> own_address(const Context& context, pipelines::Side side,
                                                std::uint16_t port,
                                                const pipelines::IpAddress& peer);
/// Is it ours on this very port?
bool is_own_on(const Context& context, pipelines::Side side, std::uint16_t port,
               const pipelines::IpAddress& address);
bool on_link(const Context& context, pipelines::Side side, std::uint16_t port,
             const pipelines::IpAddress& address);

/// A view of the frame's octets behind the layer 2 header.
inline std::span<std::uint8_t> layer3(rte_mbuf* m) {
  auto* data = rte_pktmbuf_mtod(m, std::uint8_t*);
  return m->data_len < 14 ? std::span<std::uint8_t>{}
                          : std::span<std::uint8_t>{data + 14, m->data_len - std::size_t{14}};
}

void write_ethernet(std::uint8_t* frame, const Mac& destination, const std::uint8_t (&source)[6],
                    std::uint16_t ether_type);

/// A header of an own packet: DSCP 0 (network control 48 << 2 where `urgent`), TTL as given,
/// checksum set.
void write_ip(std::uint8_t* at, const pipelines::IpAddress& source,
              const pipelines::IpAddress& destination, std::uint8_t protocol, std::uint16_t payload,
              std::uint8_t ttl);

pipelines::IpAddress source_address(const std::uint8_t* ip, bool v6);
pipelines::IpAddress destination_address(const std::uint8_t* ip, bool v6);

}  // namespace sealwire::control::gateway
