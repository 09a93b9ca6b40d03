// ICMP and ICMPv6 that a gateway says for itself: echo replies, Packet Too Big, Time Exceeded (RFC
// 792, RFC 1191, RFC 4443).
#pragma once

#include <cstdint>

#include "app/control/gateway/outlet.h"

namespace sealwire::control::gateway {

/// At most `rate` a second, `burst` at once.
class RateLimit {
 public:
  RateLimit(std::uint32_t rate, std::uint32_t burst)
      : rate_(rate), burst_(burst), milli_tokens_(burst * 1000ULL) {}
  bool allow(std::uint64_t now);

 private:
  std::uint32_t rate_, burst_;
  std::uint64_t milli_tokens_, last_ = 0;
};

class Icmp {
 public:
  explicit Icmp(Context& context) : context_(context) {}

  /// An ICMP packet to one of our addresses: answers an echo request. The frame stays the caller's.
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
  RateLimit errors_{200, 100}, echoes_{1000, 200};
};

}  // namespace sealwire::control::gateway
