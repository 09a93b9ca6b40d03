#include "perf/pipeline/latency.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf_dyn.h>
#include <rte_pause.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>

namespace sealwire::perf {
namespace {

constexpr unsigned kSlots = 16'384;
constexpr std::size_t kWarmUp = 20'000, kPackets = 200'000;
constexpr std::size_t kPrepared = 64;

int due_offset() {
  static const rte_mbuf_dynfield field{"sealwire_bench_due", sizeof(std::uint64_t),
                                       alignof(std::uint64_t), 0};
  static const int offset = rte_mbuf_dynfield_register(&field);
  if (offset < 0) throw std::runtime_error("no room for the due time in a packet");
  return offset;
}

std::uint64_t& due_of(rte_mbuf* m) { return *RTE_MBUF_DYNFIELD(m, due_offset(), std::uint64_t*); }

// What the worker notes when it gives packets away.
struct Exits {
  std::vector<std::uint32_t> cycles;  // each packet's
};

std::uint16_t note_exits(std::uint16_t, std::uint16_t, rte_mbuf** mbufs, std::uint16_t count,
                         void* argument) {
  auto& exits = *static_cast<Exits*>(argument);
  const std::uint64_t now = rte_rdtsc();
  for (std::uint16_t i = 0; i < count; ++i) {
    const std::uint64_t cycles = now - due_of(mbufs[i]);
    exits.cycles.push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(cycles, ~0U)));
  }
  return count;
}

struct Work {
  pipelines::Lane& lane;
  rte_ring* sent;  // freed by the worker, as a driver does it
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> gone{0};
};

int run_work(void* argument) {
  auto& work = *static_cast<Work*>(argument);
  while (!work.stop.load(std::memory_order_relaxed) || work.lane.pending()) {
    work.lane.poll(true);
    void* mbufs[pipelines::kBurstPackets];
    const unsigned n = rte_ring_dequeue_burst(work.sent, mbufs, pipelines::kBurstPackets, nullptr);
    if (n == 0) continue;
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(mbufs), n);
    work.gone.store(work.gone.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  return 0;
}

// Packets ready to go in; fewer than asked for where the pool has no more. Only their headers are
// written: what else is in their memory is payload enough, and warm.
void prepare(std::vector<rte_mbuf*>& prepared, const std::vector<std::uint8_t>& frame,
             rte_mempool* pool) {
  while (prepared.size() < kPrepared) {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) return;
    m->data_off = 256;
    std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size())), frame.data(), 64);
    prepared.push_back(m);
  }
}

struct Brought {
  std::size_t late = 0, missed = 0;
};

// Brings the packets in; those that are due go in together.
Brought generate(rte_ring* ring, const std::vector<std::uint8_t>& frame, double interval,
                 rte_mempool* pool) {
  std::minstd_rand random(1);
  std::exponential_distribution<double> gap(1 / interval);
  const auto lateness = static_cast<double>(rte_get_tsc_hz()) / 1e6;
  std::vector<rte_mbuf*> prepared;
  Brought brought;
  auto due = static_cast<double>(rte_rdtsc()) + 1000 * lateness;  // once all is warm
  for (std::size_t done = 0; done < kWarmUp + kPackets;) {
    prepare(prepared, frame, pool);
    const auto now = static_cast<double>(rte_rdtsc());
    void* going[kPrepared];
    unsigned n = 0;
    for (std::size_t k = 0; k < kPrepared && due <= now; ++k, ++done, due += gap(random)) {
      if (now - due > lateness) ++brought.late;
      if (prepared.empty()) {
        ++brought.missed;
        continue;
      }
      due_of(prepared.back()) = static_cast<std::uint64_t>(due);
      going[n++] = prepared.back();
      prepared.pop_back();
    }
    const unsigned in = rte_ring_enqueue_burst(ring, going, n, nullptr);
    brought.missed += n - in;
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(going) + in, n - in);
  }
  rte_pktmbuf_free_bulk(prepared.data(), static_cast<unsigned>(prepared.size()));
  return brought;
}

// Until all that came in have left.
void wait_for(std::size_t packets, const Work& work) {
  const std::uint64_t end = rte_rdtsc() + 2 * rte_get_tsc_hz();
  while (work.gone.load(std::memory_order_relaxed) < packets)
    if (rte_rdtsc() > end)
      throw std::runtime_error("the lane dropped packets:" + drops_of(work.lane));
}

}  // namespace

Latency latency_of(Stages stages, std::uint16_t size, double interval, unsigned lcore,
                   crypto::EngineFactory& factory, rte_mempool* pool) {
  Site site(1, {.stages = stages, .slots = kSlots}, factory, pool);
  Exits exits;
  exits.cycles.reserve(kWarmUp + kPackets);
  due_offset();
  const rte_eth_rxtx_callback* const callback =
      rte_eth_add_tx_callback(site.outside.id, 0, note_exits, &exits);
  if (callback == nullptr) throw std::runtime_error("no callback at the port");
  Work work{*site.egress_lanes[0], site.outside.tx};
  if (rte_eal_remote_launch(run_work, &work, lcore) != 0)
    throw std::runtime_error("the worker does not start");
  Brought brought;
  std::string failure;
  const std::uint64_t start = rte_rdtsc();
  try {
    brought = generate(site.inside.rx[0], frame_of(size), interval, pool);
    wait_for(kWarmUp + kPackets - brought.missed, work);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  const std::uint64_t cycles = rte_rdtsc() - start;
  work.stop.store(true);
  rte_eal_wait_lcore(lcore);
  rte_eth_remove_tx_callback(site.outside.id, 0, callback);
  if (!failure.empty()) throw std::runtime_error(failure);
  std::vector<std::uint32_t>& all = exits.cycles;
  if (all.size() <= kWarmUp) throw std::runtime_error("hardly a packet found room");
  all.erase(all.begin(), all.begin() + kWarmUp);
  std::sort(all.begin(), all.end());
  const auto at = [&](double share) {
    const auto place = static_cast<std::size_t>(share * static_cast<double>(all.size() - 1));
    return all[place] * 1e6 / static_cast<double>(rte_get_tsc_hz());
  };
  const auto share = [](std::size_t packets) {
    return static_cast<double>(packets) / static_cast<double>(kWarmUp + kPackets);
  };
  return {at(0.5),
          at(0.99),
          at(0.999),
          share(brought.late),
          share(brought.missed),
          static_cast<double>(cycles) / static_cast<double>(kWarmUp + kPackets - brought.missed)};
}

}  // namespace sealwire::perf
