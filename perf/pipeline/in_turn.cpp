#include "perf/pipeline/in_turn.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "pipelines/wire/be.h"

namespace sealwire::perf {
namespace {

using pipelines::Lane;

constexpr std::size_t kIndexAt = 42;  // octets into a frame, behind UDP: which packet it is

// Hands memory to the cache that the cores share, where a card's DMA leaves what it received: else
// this core would own every packet, and only the others had to fetch theirs. A hint; processors
// without the instruction ignore it.
void demote(const void* memory, std::size_t octets) {
  const auto* const at = static_cast<const char*>(memory);
  for (std::size_t i = 0; i < octets; i += RTE_CACHE_LINE_SIZE) rte_cldemote(at + i);
}

// What a worker does in a run.
struct Job {
  Lane* lane;
  const MemoryPort* port;
  std::atomic<unsigned>* ready;
  const std::atomic<bool>* go;
  std::uint64_t end = 0;  // TSC
};

bool all_received(const MemoryPort& port) {
  return std::all_of(port.rx.begin(), port.rx.end(),
                     [](const rte_ring* ring) { return ring == nullptr || rte_ring_empty(ring); });
}

int run_job(void* argument) {
  Job& job = *static_cast<Job*>(argument);
  job.ready->fetch_add(1);
  while (!job.go->load(std::memory_order_acquire)) rte_pause();
  while (job.lane->poll(true) != 0 || job.lane->pending() || !all_received(*job.port)) {
  }
  job.end = rte_rdtsc();
  return 0;
}

[[noreturn]] void fail_of(const Lanes& lanes, std::string text) {
  for (const auto& lane : lanes) text += drops_of(*lane);
  throw std::runtime_error(text);
}

SiteSettings settings_of(Stages stages, pipelines::Spread spread, std::size_t workers) {
  return {.stages = stages,
          .workers = static_cast<std::uint16_t>(workers),
          .spread = spread,
          .slots = kInTurnSlots};
}

}  // namespace

double TurnTimes::longest() const { return std::max({receive, number, send}); }

InTurn::InTurn(Stages stages, pipelines::Spread spread, std::span<const unsigned> lcores,
               crypto::EngineFactory& factory, rte_mempool* pool)
    : stages_(stages),
      lcores_(lcores.begin(), lcores.end()),
      pool_(pool),
      a_(1, settings_of(stages, spread, lcores.size()), factory, pool),
      b_(2, settings_of(stages, spread, lcores.size()), factory, pool),
      arrived_(kInTurnPackets) {}

// Burst by burst to the queues in turn.
void InTurn::put(const Sizes& sizes) {
  std::vector<rte_ring*> queues;
  for (rte_ring* queue : a_.inside.rx)
    if (queue != nullptr) queues.push_back(queue);
  std::vector<std::vector<std::uint8_t>> frames;
  for (const std::uint16_t size : sizes) frames.push_back(frame_of(size));
  for (std::uint32_t i = 0; i < kInTurnPackets; ++i) {
    const auto& frame = frames[i % frames.size()];
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) throw std::runtime_error("the packet pool is empty");
    m->data_off = 256;
    char* const data = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
    std::memcpy(data, frame.data(), frame.size());
    pipelines::wire::store_be(reinterpret_cast<std::uint8_t*>(data) + kIndexAt, i);
    rte_ring* const queue = queues[i / pipelines::kBurstPackets % queues.size()];
    if (rte_ring_enqueue(queue, m) != 0) throw std::runtime_error("the ring is full");
    demote(data, frame.size());
    demote(m, sizeof *m);
  }
  for (const rte_ring* queue : queues) demote(queue + 1, kInTurnSlots * sizeof(void*));
}

std::uint64_t InTurn::work(Lanes& lanes, const MemoryPort& port) {
  std::atomic<unsigned> ready{0};
  std::atomic<bool> go{false};
  std::vector<Job> jobs;
  for (const auto& lane : lanes) jobs.push_back({lane.get(), &port, &ready, &go});
  unsigned others = 0;
  Job* ours = nullptr;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (lcores_[i] == rte_lcore_id()) {
      ours = &jobs[i];
    } else {
      if (rte_eal_remote_launch(run_job, &jobs[i], lcores_[i]) != 0)
        throw std::runtime_error("a worker does not start");
      ++others;
    }
  }
  while (ready.load() != others) rte_pause();
  const std::uint64_t start = rte_rdtsc();
  go.store(true, std::memory_order_release);
  if (ours != nullptr) run_job(ours);
  for (const unsigned lcore : lcores_)
    if (lcore != rte_lcore_id()) rte_eal_wait_lcore(lcore);
  std::uint64_t end = 0;
  for (const Job& job : jobs) end = std::max(end, job.end);
  return end - start;
}

void InTurn::check_numbers() {
  for (const rte_mbuf* m : arrived_) {
    const auto* frame = rte_pktmbuf_mtod(m, const std::uint8_t*);
    const auto number = pipelines::wire::load_be<std::uint32_t>(frame + (stages_.macsec ? 16 : 38));
    if (number != next_number_++) throw std::runtime_error("a number is out of order on the wire");
  }
}

void InTurn::check_order() {
  for (std::uint32_t i = 0; i < arrived_.size(); ++i) {
    const auto* frame = rte_pktmbuf_mtod(arrived_[i], const std::uint8_t*);
    if (pipelines::wire::load_be<std::uint32_t>(frame + kIndexAt) != i)
      throw std::runtime_error("packets have changed their order");
  }
}

double InTurn::run(const Sizes& sizes, bool ingress) {
  put(sizes);
  auto** const objects = reinterpret_cast<void**>(arrived_.data());
  // With own queues the order among them is open: only ingress keeps that of the wire.
  std::uint64_t cycles = 0;
  if (ingress) {
    while (!all_received(a_.inside) || a_.egress_lanes[0]->pending())
      a_.egress_lanes[0]->poll(true);
  } else {
    cycles = work(a_.egress_lanes, a_.inside);
  }
  if (rte_ring_dequeue_bulk(a_.outside.tx, objects, kInTurnPackets, nullptr) == 0)
    fail_of(a_.egress_lanes, "egress lost packets:");
  check_numbers();
  if (ingress) {
    rte_ring_enqueue_bulk(b_.outside.rx[0], objects, kInTurnPackets, nullptr);
    cycles = work(b_.ingress_lanes, b_.outside);
    if (rte_ring_dequeue_bulk(b_.inside.tx, objects, kInTurnPackets, nullptr) == 0)
      fail_of(b_.ingress_lanes, "ingress lost packets:");
    check_order();
  }
  rte_pktmbuf_free_bulk(arrived_.data(), kInTurnPackets);
  return static_cast<double>(cycles) / kInTurnPackets;
}

TurnTimes InTurn::turn_times(bool ingress) const {
  const auto mean = [&](pipelines::TurnTime pipelines::LaneCounters::*turn) {
    double cycles = 0, packets = 0;
    for (const auto& lane : ingress ? b_.ingress_lanes : a_.egress_lanes) {
      cycles += static_cast<double>((lane->counters().*turn).cycles.read());
      packets += static_cast<double>((lane->counters().*turn).packets.read());
    }
    return packets == 0 ? 0 : cycles / packets;
  };
  using pipelines::LaneCounters;
  return {mean(&LaneCounters::receive_turn), mean(&LaneCounters::number_turn),
          mean(&LaneCounters::send_turn)};
}

namespace {

constexpr std::uint32_t kTrips = 20'000;

struct alignas(64) Ball {
  std::atomic<std::uint32_t> at{0};
};

int return_balls(void* argument) {
  auto& at = static_cast<Ball*>(argument)->at;
  for (std::uint32_t trip = 0; trip < kTrips; ++trip) {
    while (at.load(std::memory_order_acquire) != 2 * trip + 1) rte_pause();
    at.store(2 * trip + 2, std::memory_order_release);
  }
  return 0;
}

}  // namespace

double hop_to(unsigned lcore) {
  Ball ball;
  if (rte_eal_remote_launch(return_balls, &ball, lcore) != 0)
    throw std::runtime_error("the other core does not start");
  const std::uint64_t start = rte_rdtsc();
  for (std::uint32_t trip = 0; trip < kTrips; ++trip) {
    ball.at.store(2 * trip + 1, std::memory_order_release);
    while (ball.at.load(std::memory_order_acquire) != 2 * trip + 2) rte_pause();
  }
  const std::uint64_t cycles = rte_rdtsc() - start;
  rte_eal_wait_lcore(lcore);
  return static_cast<double>(cycles) / (2 * kTrips);
}

}  // namespace sealwire::perf
