// How long packets stay in a lane, by load.
#pragma once

#include "perf/pipeline/site.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {

/// Microseconds from when a packet was due at the receiving port to when it is given to the
/// transmitting one.
struct Latency {
  double p50 = 0, p99 = 0, p999 = 0;
  // Shares of packets: brought in more than 1 us after they were due; found no room in 16384
  // places.
  double late = 0, missed = 0;
  double cycles = 0;  // TSC cycles per packet that left, from the first to the last
};

/// Egress of one worker on `lcore`. This core brings packets of `size` octets, at intervals
/// distributed exponentially around `interval` TSC cycles: each is due whether or not those before
/// have left. Throws if the lane
/// loses one.
Latency latency_of(Stages stages, std::uint16_t size, double interval, unsigned lcore,
                   crypto::EngineFactory& factory, rte_mempool* pool);

}  // namespace sealwire::perf
