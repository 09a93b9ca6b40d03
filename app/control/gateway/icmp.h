// ICMP and ICMPv6 that a gateway says for itself: echo replies, Packet Too Big, Time Exceeded (RFC
// 792, RFC 1191, RFC 4443).
#pragma once

#include <cstdint>

#include "app/control/gateway/outlet.h"
#include "app/control/gateway/path_mtu.h"

namespace sealwire::control::gateway {

class Icmp {
 public:
  Icmp(Context& context, PathMtu& path_mtu) : context_(context), path_mtu_(path_mtu) {}

  /// An ICMP packet to one of our addresses: answers an echo request; learns from a Packet Too Big
  /// about a tunnel. The frame stays the caller's.
  void own(rte_mbuf* m, const pipelines::PuntMark& mark, std::uint64_t now);
  /// To the source of the packet in `m`: it is longer than `mark.mtu`.
  void too_big(rte_mbuf* m, const pipelines::PuntMark& mark, std::uint64_t now);
  /// To the source of the packet in `m`: its TTL ran out here.
  void time_exceeded(rte_mbuf* m, const pipelines::PuntMark& mark, std::uint64_t now);

 private:
  void error(rte_mbuf* cause, const pipelines::PuntMark& mark, std::uint8_t type, std::uint8_t code,
             std::uint32_t rest);
  void answer(rte_mbuf* m, rte_mbuf* cause, const pipelines::PuntMark& mark);

  Context& context_;
  PathMtu& path_mtu_;
  RateLimit errors_{200, 100}, echoes_{1000, 200};
};

}  // namespace sealwire::control::gateway
