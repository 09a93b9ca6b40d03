#include "perf/pipeline/rekey.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_pause.h>

#include <atomic>
#include <string>

#include "pipelines/counters.h"

namespace sealwire::perf {
namespace {

constexpr Stages kEsp{.esp = true, .macsec = false};
constexpr unsigned kSas = 1000;
constexpr unsigned kOverlap = 100;  // rekeys after which an old inbound SA goes
constexpr std::size_t kWindows = 7;
constexpr double kWindow = 0.15;  // seconds

std::uint64_t tsc_of(double seconds) {
  return static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
}

// The worker's part.
struct Load {
  OneCore& bench;
  const Sizes& sizes;
  std::atomic<bool> stop{false};
  pipelines::Counter packets, cycles;
  std::string failure;  // read when it has stopped
};

int run_load(void* argument) {
  Load& load = *static_cast<Load*>(argument);
  try {
    while (!load.stop.load(std::memory_order_relaxed)) {
      const OneCore::Cycles cycles = load.bench.pass(load.sizes);
      load.packets.add(load.sizes.size());
      load.cycles.add(cycles.egress + cycles.ingress);
    }
  } catch (const std::exception& e) {
    load.failure = e.what();
    load.stop.store(true);
  }
  return 0;
}

// Rekeys SA after SA.
class Rekeyer {
 public:
  explicit Rekeyer(OneCore& bench) : bench_(bench) {}
  void one() {
    const unsigned sa = done_ % kSas, generation = done_ / kSas;
    bench_.opening().add_inbound(sa, generation + 1);
    bench_.sealing().rekey_outbound(sa, generation + 1);
    if (done_ >= kOverlap)
      bench_.opening().remove_inbound((done_ - kOverlap) % kSas, (done_ - kOverlap) / kSas);
    ++done_;
  }
  unsigned done() const { return done_; }

 private:
  OneCore& bench_;
  unsigned done_ = 0;
};

}  // namespace

InstallCycles install_cycles(crypto::EngineFactory& factory, rte_mempool* pool) {
  OneCore bench({.stages = kEsp, .sas = kSas}, factory, pool);
  std::vector<double> outbound, inbound;
  for (unsigned generation = 1; generation <= kWindows; ++generation) {
    std::uint64_t start = rte_rdtsc();
    for (unsigned sa = 0; sa < kSas; ++sa) bench.opening().add_inbound(sa, generation);
    inbound.push_back(static_cast<double>(rte_rdtsc() - start) / kSas);
    start = rte_rdtsc();
    for (unsigned sa = 0; sa < kSas; ++sa) bench.sealing().rekey_outbound(sa, generation);
    outbound.push_back(static_cast<double>(rte_rdtsc() - start) / kSas);
  }
  return {figure_of(outbound), figure_of(inbound)};
}

RekeyLoad rekey_under_load(unsigned per_second, unsigned lcore, const Sizes& sizes,
                           crypto::EngineFactory& factory, rte_mempool* pool) {
  OneCore bench({.stages = kEsp, .sas = kSas}, factory, pool);
  Rekeyer rekeyer(bench);
  Load load{.bench = bench, .sizes = sizes, .packets = {}, .cycles = {}, .failure = {}};
  if (rte_eal_remote_launch(run_load, &load, lcore) != 0)
    throw std::runtime_error("the worker does not start");
  std::vector<double> still, rekeying;
  double seconds = 0;
  for (std::size_t window = 0; window < 2 * kWindows + 2 && !load.stop.load(); ++window) {
    const bool rekey = window % 2 == 1;
    const std::uint64_t packets = load.packets.read(), cycles = load.cycles.read();
    const std::uint64_t start = rte_rdtsc(), step = rte_get_tsc_hz() / per_second;
    for (std::uint64_t now = start, next = start; now - start < tsc_of(kWindow);
         now = rte_rdtsc()) {
      if (rekey && now >= next) {
        rekeyer.one();
        next += step;
      }
      rte_pause();
    }
    if (rekey)
      seconds += static_cast<double>(rte_rdtsc() - start) / static_cast<double>(rte_get_tsc_hz());
    if (window < 2) continue;  // warms up
    (rekey ? rekeying : still)
        .push_back(static_cast<double>(load.cycles.read() - cycles) /
                   static_cast<double>(load.packets.read() - packets));
  }
  load.stop.store(true);
  rte_eal_wait_lcore(lcore);
  if (!load.failure.empty()) throw std::runtime_error("while rekeying " + load.failure);
  std::vector<double> losses;
  for (std::size_t i = 0; i < still.size(); ++i) losses.push_back(1 - still[i] / rekeying[i]);
  return {figure_of(still), figure_of(rekeying), figure_of(losses).median,
          rekeyer.done() / seconds};
}

}  // namespace sealwire::perf
