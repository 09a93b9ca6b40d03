#include "pipelines/burst.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "pipelines/line.h"

namespace sealwire::pipelines {

void Burst::sweep(LaneCounters& counters) {
  std::uint16_t kept = 0;
  for (Packet& p : all()) {
    if (p.drop == DropReason::none) {
      if (&packets[kept] != &p) packets[kept] = p;
      ++kept;
      continue;
    }
    const bool marked = for_control(p.drop);
    if (marked && (direction->punt == nullptr || rte_ring_enqueue(direction->punt, p.mbuf) != 0)) {
      p.drop = DropReason::punt_full;
    }
    counters.drops[static_cast<std::size_t>(p.drop)].add(1);
    if (!for_control(p.drop)) rte_pktmbuf_free(p.mbuf);
  }
  count = kept;
}

}  // namespace sealwire::pipelines
