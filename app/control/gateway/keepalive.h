// NAT keepalives (RFC 3948 §4): a UDP-encapsulated SA that has sent nothing for a while sends one
// octet 0xFF.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "app/control/gateway/outlet.h"
#include "pipelines/tables/sad.h"

namespace sealwire::control::gateway {

class Keepalive {
 public:
  explicit Keepalive(Context& context) : context_(context) {}
  void tick(std::uint64_t now);

 private:
  struct Seen {
    std::uint64_t packets = 0;
    std::uint64_t since = 0;
    std::uint64_t round = 0;
  };
  void send_one(const pipelines::OutboundSaParameters& sa);

  Context& context_;
  std::unordered_map<const pipelines::OutboundSlot*, Seen> seen_;
  std::uint64_t next_ = 0, round_ = 0;
};

}  // namespace sealwire::control::gateway
