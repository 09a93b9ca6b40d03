// One SA over several workers in turn: the real lanes on cores of their own, all packets waiting in
// the cache that the cores share when they start.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "perf/pipeline/site.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {

/// Packets of one run.
inline constexpr unsigned kInTurnPackets = 12'288;
inline constexpr unsigned kInTurnSlots = 16'384;

/// Cycles per packet for which a turn is held.
struct TurnTimes {
  double receive = 0, number = 0, send = 0;
  double longest() const;
};

class InTurn {
 public:
  /// `pool` has room for kInTurnPackets frames. `lcores`: one for each worker.
  InTurn(Stages stages, pipelines::Spread spread, std::span<const unsigned> lcores,
         crypto::EngineFactory& factory, rte_mempool* pool);

  /// TSC cycles from the start to the last packet, divided by the packets. Throws if a packet is
  /// lost, if a PN or SN is not the one after the last (egress), or if packets have changed their
  /// order (ingress).
  double run(const Sizes& sizes, bool ingress);

  /// Of all runs of that direction.
  TurnTimes turn_times(bool ingress) const;

 private:
  void put(const Sizes& sizes);
  std::uint64_t work(Lanes& lanes, const MemoryPort& port);
  void check_numbers();
  void check_order();

  Stages stages_;
  std::vector<unsigned> lcores_;
  rte_mempool* pool_;
  Site a_, b_;
  std::uint32_t next_number_ = 1;
  std::vector<rte_mbuf*> arrived_;
};

/// TSC cycles for a cache line to go from this core to `lcore`: half of a round trip. It tells
/// cores that are near from those that are far.
double hop_to(unsigned lcore);

}  // namespace sealwire::perf
