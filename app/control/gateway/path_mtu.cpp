#include "app/control/gateway/path_mtu.h"

#include <algorithm>
#include <cstring>

#include "pipelines/wire/ip.h"
#include "pipelines/wire/udp.h"

namespace sealwire::control::gateway {

namespace wire = pipelines::wire;

namespace {

constexpr std::uint64_t kKeep = 600'000;  // milliseconds, RFC 1191 §6.3
constexpr std::uint32_t kFloorV4 = 576, kFloorV6 = 1280;

// Is the quoted packet one of this SA's? Eight octets behind the IP header are all that a router
// need quote.
bool is_of(const pipelines::OutboundSaParameters& sa, std::span<const std::uint8_t> quoted,
           bool v6) {
  if (sa.source.v6 != v6 || source_address(quoted.data(), v6) != sa.source ||
      destination_address(quoted.data(), v6) != sa.destination)
    return false;
  const std::size_t header = v6 ? 40 : (quoted[0] & 15U) * std::size_t{4};
  if (quoted.size() < header + 8) return false;
  const std::uint8_t protocol = quoted[v6 ? 6 : 9];
  const std::uint8_t* upper = quoted.data() + header;
  if (!sa.udp)
    return protocol == wire::kProtocolEsp && wire::load_be<std::uint32_t>(upper) == sa.spi.value();
  return protocol == wire::kProtocolUdp &&
         wire::load_be<std::uint16_t>(upper) == sa.udp->source_port &&
         wire::load_be<std::uint16_t>(upper + 2) == sa.udp->destination_port;
}

}  // namespace

void PathMtu::learn(std::span<const std::uint8_t> quoted, std::uint32_t mtu, std::uint64_t now) {
  if (context_.settings.sad == nullptr || quoted.empty() || mtu == 0) return;
  const bool v6 = quoted[0] >> 4 == 6;
  if (quoted.size() < (v6 ? 40U : 20U) || (!v6 && quoted[0] >> 4 != 4)) return;
  if (!limit_.allow(now)) {
    ++context_.counters.rate_limited;
    return;
  }
  const auto lowered =
      static_cast<std::uint16_t>(std::clamp<std::uint32_t>(mtu, v6 ? kFloorV6 : kFloorV4, 0xffff));
  context_.settings.sad->each_outbound(
      [&](pipelines::OutboundSlot& slot, pipelines::OutboundSa& sa) {
        if (!is_of(sa.parameters, quoted, v6)) return;
        const std::uint16_t current = sa.path_mtu.load(std::memory_order_relaxed);
        if (current != 0 && current <= lowered) return;
        sa.path_mtu.store(lowered, std::memory_order_relaxed);
        learnt_[sa.parameters.spi.value()] = {&slot, now + kKeep};
        ++context_.counters.path_mtu_learnt;
      });
}

void PathMtu::tick(std::uint64_t now) {
  std::erase_if(learnt_, [&](const auto& entry) {
    const auto& [spi, learnt] = entry;
    if (now < learnt.until) return false;
    pipelines::OutboundSa* sa = learnt.slot->current.load(std::memory_order_relaxed);
    if (sa != nullptr && sa->parameters.spi.value() == spi)
      sa->path_mtu.store(sa->parameters.path_mtu, std::memory_order_relaxed);
    return true;
  });
}

}  // namespace sealwire::control::gateway
