// IPv4 fragmentation before ESP, or toward a link (RFC 791 §3.2, RFC 4301 §7).
#pragma once

#include <cstdint>
#include <span>

#include "pipelines/wire/ip.h"

struct rte_mbuf;
struct rte_mempool;

namespace sealwire::pipelines {

/// Room that fragments and own packets leave for headers in front: as RX mbufs have.
inline constexpr std::uint16_t kOwnHeadroom = 128;

/// How many fragments of at most `mtu` octets the packet needs; 0 if `mtu` has no room for 8 octets
/// of payload.
std::uint16_t fragment_count(wire::IpPacket packet, std::uint16_t mtu);

/// Cuts the IPv4 packet at `l2_length` in `m` (one segment, not DF) into rest.size() + 1 =
/// fragment_count() fragments with the same layer 2 header. The first stays in `m`, the others are
/// new mbufs of `pool`, in order. False, with nothing changed, if the pool is empty or its mbufs
/// too small.
bool fragment_ipv4(rte_mbuf* m, std::uint16_t l2_length, const wire::IpPacket& packet,
                   std::uint16_t mtu, rte_mempool* pool, std::span<rte_mbuf*> rest);

}  // namespace sealwire::pipelines
