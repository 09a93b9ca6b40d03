// What installing SAs costs, and what rekeying many costs the traffic.
#pragma once

#include "perf/pipeline/one_core.h"
#include "perf/results.h"

namespace sealwire::perf {

/// TSC cycles of one SA, its key expanded from octets.
struct InstallCycles {
  Figure outbound, inbound;
};
InstallCycles install_cycles(crypto::EngineFactory& factory, rte_mempool* pool);

struct RekeyLoad {
  Figure still, rekeying;  // TSC cycles per packet through egress and the peer's ingress
  double loss = 0;         // of throughput: the median over neighbouring windows
  double per_second = 0;   // rekeys, as they were
};
/// Traffic over 1000 SAs at random on `lcore`; this core rekeys `per_second` of them: new inbound
/// SA, new outbound SA, and later the old inbound SA goes. Windows with and without rekeys take
/// turns. Throws if a packet is lost.
RekeyLoad rekey_under_load(unsigned per_second, unsigned lcore, const Sizes& sizes,
                           crypto::EngineFactory& factory, rte_mempool* pool);

}  // namespace sealwire::perf
