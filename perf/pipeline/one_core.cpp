#include "perf/pipeline/one_core.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <array>
#include <cstring>

#include "pipelines/wire/be.h"
#include "pipelines/wire/ip.h"

namespace sealwire::perf {
namespace {

void come_from(std::uint32_t host, std::uint8_t* frame) {
  pipelines::wire::store_be(frame + 26, host);
  pipelines::wire::set_ipv4_checksum(frame + 14, 20);
}

std::uint64_t poll_until(pipelines::Lane& lane, const rte_ring* sent, std::size_t count) {
  const std::uint64_t start = rte_rdtsc();
  for (int polls = 0; rte_ring_count(sent) < count; ++polls) {
    lane.poll(true);
    if (polls == 1000) throw std::runtime_error("the lane dropped packets:" + drops_of(lane));
  }
  return rte_rdtsc() - start;
}

// To `to`, or freed if there is none.
void move(rte_ring* from, rte_ring* to, std::size_t count) {
  void* mbufs[pipelines::kBurstPackets];
  if (rte_ring_dequeue_burst(from, mbufs, static_cast<unsigned>(count), nullptr) != count)
    throw std::runtime_error("packets are missing");
  if (to == nullptr) {
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(mbufs), static_cast<unsigned>(count));
  } else {
    rte_ring_enqueue_burst(to, mbufs, static_cast<unsigned>(count), nullptr);
  }
}

}  // namespace

OneCore::OneCore(const SiteSettings& settings, crypto::EngineFactory& factory, rte_mempool* pool)
    : pool_(pool),
      sas_(settings.sas),
      a_(1, settings, factory, pool),
      b_(2, settings, factory, pool) {}

void OneCore::put(MemoryPort& port, const Sizes& sizes) {
  for (const std::uint16_t size : sizes) {
    auto& frame = frames_[size];
    if (frame.empty()) frame = frame_of(size);
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) throw std::runtime_error("the packet pool is empty");
    m->data_off = 256;
    char* const data = rte_pktmbuf_append(m, size);
    std::memcpy(data, frame.data(), size);
    if (sas_ > 1) come_from(host_address(hosts_(random_)), reinterpret_cast<std::uint8_t*>(data));
    if (rte_ring_enqueue(port.rx[0], m) != 0) throw std::runtime_error("the ring is full");
  }
}

std::uint64_t OneCore::seal(const Sizes& sizes) {
  put(a_.inside, sizes);
  const std::uint64_t cycles = poll_until(*a_.egress_lanes[0], a_.outside.tx, sizes.size());
  move(a_.outside.tx, nullptr, sizes.size());
  return cycles;
}

OneCore::Cycles OneCore::pass(const Sizes& sizes) {
  put(a_.inside, sizes);
  const std::uint64_t sealing = poll_until(*a_.egress_lanes[0], a_.outside.tx, sizes.size());
  move(a_.outside.tx, b_.outside.rx[0], sizes.size());
  const std::uint64_t opening = poll_until(*b_.ingress_lanes[0], b_.inside.tx, sizes.size());
  move(b_.inside.tx, nullptr, sizes.size());
  return {sealing, opening};
}

std::uint64_t OneCore::floor(const Sizes& sizes) {
  put(a_.inside, sizes);
  std::array<rte_mbuf*, pipelines::kBurstPackets> mbufs;
  const std::uint64_t start = rte_rdtsc();
  const std::uint16_t n = rte_eth_rx_burst(a_.inside.id, 0, mbufs.data(), mbufs.size());
  const std::uint16_t sent = rte_eth_tx_burst(a_.outside.id, 0, mbufs.data(), n);
  const std::uint64_t cycles = rte_rdtsc() - start;
  if (sent != sizes.size()) throw std::runtime_error("the floor lost packets");
  move(a_.outside.tx, nullptr, sizes.size());
  return cycles;
}

}  // namespace sealwire::perf
