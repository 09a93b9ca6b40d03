// The slow path of a gateway line, run by the control thread: what the workers punt and what a
// gateway says for itself. It resolves and answers ARP and Neighbour Discovery, answers echo
// requests, sends Packet Too Big and Time Exceeded, puts outer fragments together, cuts packets of
// more fragments than a burst holds, and keeps NAT mappings alive.
//
// Everything leaves by the line's inject rings, so that a line with MACsec seals it.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "pipelines/line.h"
#include "pipelines/mark.h"
#include "pipelines/stages/gateway.h"

namespace sealwire::control {

/// What the slow path did, for `show` and the metrics.
struct SlowPathCounters {
  std::uint64_t arp_requests = 0, arp_replies = 0;  // sent
  std::uint64_t nd_solicitations = 0, nd_advertisements = 0;
  std::uint64_t resolved = 0, unresolved = 0;  // neighbours that answered, and that did not
  std::uint64_t held = 0, held_dropped = 0;    // packets kept for a neighbour, and given up
  std::uint64_t echo_replies = 0, too_big = 0, time_exceeded = 0;
  std::uint64_t path_mtu_learnt = 0;  // from a router between the tunnel's ends
  std::uint64_t rate_limited = 0;     // ICMP not sent
  std::uint64_t reassembled = 0, fragmented = 0;
  std::uint64_t keepalives = 0;
  std::uint64_t ike = 0;      // given to the IKE handler
  std::uint64_t ignored = 0;  // nothing to do for it
  std::uint64_t inject_full = 0, no_buffer = 0;
};

/// The counters by the names that `show gateway` and the metrics give them.
struct SlowPathCounterName {
  const char* name;
  std::uint64_t SlowPathCounters::*counter;
};
inline constexpr SlowPathCounterName kSlowPathCounterNames[] = {
    {"arp_requests", &SlowPathCounters::arp_requests},
    {"arp_replies", &SlowPathCounters::arp_replies},
    {"nd_solicitations", &SlowPathCounters::nd_solicitations},
    {"nd_advertisements", &SlowPathCounters::nd_advertisements},
    {"resolved", &SlowPathCounters::resolved},
    {"unresolved", &SlowPathCounters::unresolved},
    {"held", &SlowPathCounters::held},
    {"held_dropped", &SlowPathCounters::held_dropped},
    {"echo_replies", &SlowPathCounters::echo_replies},
    {"too_big", &SlowPathCounters::too_big},
    {"time_exceeded", &SlowPathCounters::time_exceeded},
    {"path_mtu_learnt", &SlowPathCounters::path_mtu_learnt},
    {"rate_limited", &SlowPathCounters::rate_limited},
    {"reassembled", &SlowPathCounters::reassembled},
    {"fragmented", &SlowPathCounters::fragmented},
    {"keepalives", &SlowPathCounters::keepalives},
    {"ike", &SlowPathCounters::ike},
    {"ignored", &SlowPathCounters::ignored},
    {"inject_full", &SlowPathCounters::inject_full},
    {"no_buffer", &SlowPathCounters::no_buffer},
};
static_assert(std::size(kSlowPathCounterNames) * sizeof(std::uint64_t) == sizeof(SlowPathCounters));

/// Where the resolution of a neighbour stands, in the words of `ip neighbour`.
enum class NeighbourState : std::uint8_t {
  permanent,   ///< from the configuration
  reachable,   ///< it has answered
  probe,       ///< it has answered, and is asked again because that was long ago
  incomplete,  ///< asked, no answer yet
  failed,      ///< asked several times in vain; packets may start it anew in a few seconds
  none,        ///< nothing has asked for it
};
struct NeighbourStatus {
  pipelines::Side side{};
  std::uint16_t port = 0;  ///< index into that side's ports
  pipelines::IpAddress address;
  NeighbourState state{};
  std::optional<std::array<std::uint8_t, 6>> mac{};
  std::optional<std::uint64_t> age{};  ///< milliseconds since its last answer
  std::size_t held = 0;                ///< packets that wait for it
};

/// Where the slow path sends to, and what it works on. All outlive it.
struct SlowPathSettings {
  pipelines::Neighbours* neighbours = nullptr;
  pipelines::Sad* sad = nullptr;
  rte_ring* egress_inject = nullptr;   // toward outside
  rte_ring* ingress_inject = nullptr;  // toward inside
  rte_mempool* pool = nullptr;
  // UDP 500, and UDP 4500 with the non-ESP marker, to one of our outside addresses. Takes the mbuf,
  // whole frame. None: such packets are ignored.
  std::function<void(rte_mbuf*, const pipelines::PuntMark&)> ike;
};

/// One per gateway line. Control thread only. Times are milliseconds of any monotonic clock.
class GatewaySlowPath {
 public:
  explicit GatewaySlowPath(SlowPathSettings settings);
  ~GatewaySlowPath();
  GatewaySlowPath(const GatewaySlowPath&) = delete;
  GatewaySlowPath& operator=(const GatewaySlowPath&) = delete;

  /// The line's new snapshot: call when it is published. Announces our addresses and starts to
  /// resolve next hops. The snapshot and its gateway must stay until the next update.
  void update(const pipelines::LineSnapshot& line, std::uint64_t now);

  /// One punted packet with a mark of any reason but `eapol`. Takes the mbuf.
  void take(rte_mbuf* m, std::uint64_t now);

  /// Retries, ageing, keepalives, reassembly timeouts. Call every 100 ms or so.
  void tick(std::uint64_t now);

  const SlowPathCounters& counters() const;
  /// All next hops of the line, resolved and not, ordered by side, port and address.
  std::vector<NeighbourStatus> neighbours(std::uint64_t now) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace sealwire::control
