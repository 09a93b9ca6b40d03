// Path MTU of tunnels (RFC 4301 §8.2): what routers on the way say about our ESP packets is kept at
// the SA for a while, so that the next packet that is too long is told so to its sender.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

#include "app/control/gateway/outlet.h"
#include "app/control/gateway/rate_limit.h"
#include "pipelines/tables/sad.h"

namespace sealwire::control::gateway {

class PathMtu {
 public:
  explicit PathMtu(Context& context) : context_(context) {}

  /// `quoted` is what an ICMP error holds of our packet. Nobody vouches for it: it only ever lowers
  /// the MTU, to no less than 576 or 1280 octets, and is forgotten after ten minutes.
  void learn(std::span<const std::uint8_t> quoted, std::uint32_t mtu, std::uint64_t now);
  void tick(std::uint64_t now);

 private:
  struct Learnt {
    pipelines::OutboundSlot* slot;
    std::uint64_t until;
  };

  Context& context_;
  RateLimit limit_{10, 20};
  std::unordered_map<std::uint32_t, Learnt> learnt_;  // by SPI
};

}  // namespace sealwire::control::gateway
