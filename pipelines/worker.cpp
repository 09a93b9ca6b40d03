#include "pipelines/worker.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>
#include <sched.h>
#include <time.h>

#include <algorithm>

#include "pipelines/egress.h"
#include "pipelines/ingress.h"
#include "pipelines/mark.h"
#include "pipelines/stages/forward.h"

namespace sealwire::pipelines {

namespace {

constexpr unsigned kInjectBurst = 8;        // injected packets taken with one burst
constexpr std::uint32_t kSmallMean = 2048;  // octets: up to here a burst is bounded by its packets
constexpr std::uint16_t kLargeChunk = 16;   // packets asked for at once above that
constexpr std::uint32_t kLargestFrame = 9728;  // octets
constexpr std::uint64_t kTxRetryMicroseconds = 20;
constexpr std::uint32_t kEmptyBeforeYield = 64;             // loops
constexpr std::uint32_t kEmptyBeforeSleep = 256;            // loops
constexpr long kShortSleep = 20'000, kLongSleep = 200'000;  // nanoseconds

constexpr std::uint32_t kBurstsPerTimed = 16;

static_assert(crypto::AeadBatch::kCapacity >= kBurstPackets);

// Times a turn from its beginning to end(), if it is wanted.
class Stopwatch {
 public:
  explicit Stopwatch(bool wanted) : start_(wanted ? rte_rdtsc() : 0) {}
  void end(TurnTime& turn, std::uint16_t packets) const {
    if (start_ == 0) return;
    turn.cycles.add(rte_rdtsc() - start_);
    turn.packets.add(packets);
  }

 private:
  std::uint64_t start_;
};

void begin_packet(Packet& p, rte_mbuf* m, std::uint8_t port, std::uint8_t to_inside) {
  p = Packet{};
  p.mbuf = m;
  p.in_port = port;
  p.to_inside = to_inside;
  p.op = kNoOp;
}

}  // namespace

Lane::Lane(LaneSettings settings)
    : settings_(std::move(settings)),
      retry_cycles_(rte_get_tsc_hz() / 1'000'000 * kTxRetryMicroseconds),
      bursts_(std::make_unique<std::array<Burst, kBursts>>()),
      flows_(std::make_unique<FlowCache>()),
      hops_(std::make_unique<forward::HopCache>()) {
  for (Burst& burst : *bursts_) {
    burst.worker = settings_.worker;
    burst.flows = flows_.get();
    burst.hops = hops_.get();
  }
}

Lane::~Lane() {
  for (std::size_t i = 0; i < used_; ++i) {
    for (Packet& p : (*bursts_)[(first_ + i) % kBursts].all()) rte_pktmbuf_free(p.mbuf);
  }
}

std::uint32_t Lane::poll(bool receive) {
  std::uint32_t moved = 0;
  bool all_crypted = true;
  for (std::size_t i = 0; i < used_; ++i) {
    all_crypted &= advance((*bursts_)[(first_ + i) % kBursts]);
  }
  moved += send_ready();
  if (receive && all_crypted && used_ < kBursts) {
    const std::uint32_t received = receive_burst();
    if (received != 0) moved += received + send_ready();
  }
  return moved;
}

// Sends own bursts, oldest first, whose turn it is.
std::uint32_t Lane::send_ready() {
  std::uint32_t moved = 0;
  while (used_ != 0) {
    Burst& oldest = (*bursts_)[first_];
    if (oldest.step != BurstStep::crypted || !settings_.line->turns.may_send(oldest.ticket)) break;
    moved += oldest.count;
    send(oldest);
    first_ = (first_ + 1) % kBursts;
    --used_;
  }
  if (used_ == 0) first_ = 0;  // the same burst again, still in cache
  return moved;
}

// The receive turn. A burst gets a ticket only if it holds a packet, so that none waits for an
// empty one.
std::uint32_t Lane::receive_burst() {
  LineDirection& direction = *settings_.line;
  const bool locked = direction.spread == Spread::shared_queue;
  if (locked && !direction.turns.try_receive()) return 0;
  Burst& burst = (*bursts_)[(first_ + used_) % kBursts];
  burst.count = 0;
  burst.timed = direction.turns.shared() && until_timed_ == 0;
  const Stopwatch watch(burst.timed && locked);
  if (const LineSnapshot* line = direction.snapshot.load(std::memory_order_acquire)) {
    burst.direction = &direction;
    burst.line = line;
    fill(burst, *line);
    if (burst.count != 0) {
      burst.ticket = direction.spread == Spread::own_queues ? direction.turns.take_own_ticket()
                                                            : direction.turns.take_ticket();
    }
  }
  burst.numbered = false;
  if (locked && burst.count != 0) number_at_once(burst);
  if (locked) direction.turns.leave_receive();
  if (burst.count == 0) return 0;
  watch.end(counters_.receive_turn, burst.count);
  until_timed_ = until_timed_ == 0 ? kBurstsPerTimed - 1 : until_timed_ - 1;
  burst.step = BurstStep::received;
  ++used_;
  const std::uint32_t moved = burst.count;
  advance(burst);
  return moved;
}

// A wire's frames need no look at them to be numbered, so their PNs are taken inside the receive
// turn and the number turn costs nothing. What classification drops afterwards has spent its PN.
void Lane::number_at_once(Burst& burst) {
  Turns& turns = settings_.line->turns;
  if (settings_.line->direction != Direction::egress || burst.line->esp ||
      !turns.may_number(burst.ticket)) {
    return;
  }
  egress::number(burst);
  turns.pass_number(burst.ticket);
  burst.numbered = true;
}

void Lane::take_injected(Burst& burst, const LineSnapshot& line) {
  rte_ring* const ring = settings_.line->inject;
  if (ring == nullptr || rte_ring_empty(ring) != 0) return;
  void* objects[kInjectBurst];
  const unsigned n = rte_ring_dequeue_burst(ring, objects, kInjectBurst, nullptr);
  const bool inside = settings_.line->direction == Direction::ingress;
  const auto& out = inside ? line.inside : line.outside;
  const auto& in = inside ? line.outside : line.inside;
  for (unsigned i = 0; i < n; ++i) {
    auto* const m = static_cast<rte_mbuf*>(objects[i]);
    const auto mark = get_mark<InjectMark>(m);
    Packet& p = burst.packets[burst.count++];
    begin_packet(p, m, 0, inside ? 1 : 0);
    p.flags = kPacketControl;
    const bool full = mark.stages == InjectStages::full;
    if (mark.magic != InjectMark::kMagic || mark.port >= (full ? in : out).size()) {
      drop(p, DropReason::no_route);
    } else if (full) {
      p.in_port = static_cast<std::uint8_t>(mark.port);
      // A reassembled datagram has been through MACsec fragment by fragment.
      if (inside) p.flags |= kPacketSkipMacsec;
    } else {
      p.port = static_cast<std::uint8_t>(mark.port);
      p.flags |= kPacketSkipEsp;
      if (inside || mark.stages == InjectStages::clear) p.flags |= kPacketSkipMacsec;
    }
  }
}

void Lane::fill(Burst& burst, const LineSnapshot& line) {
  take_injected(burst, line);
  const bool inside = settings_.line->direction == Direction::ingress;
  const auto& ports = inside ? line.outside : line.inside;
  const std::size_t queues = settings_.receive.size();
  rte_mbuf* received[kBurstPackets];
  std::uint32_t octets = 0;
  std::uint16_t packets = 0;
  for (std::size_t tried = 0; tried < queues && burst.count < kBurstPackets; ++tried) {
    const ReceiveQueue& queue = settings_.receive[next_queue_];
    next_queue_ = next_queue_ + 1 == queues ? 0 : next_queue_ + 1;
    if (queue.port >= ports.size()) continue;
    for (;;) {
      auto room = static_cast<std::uint16_t>(kBurstPackets - burst.count);
      if (last_mean_ > kSmallMean) room = std::min(room, kLargeChunk);
      const std::uint16_t n = rte_eth_rx_burst(ports[queue.port].id, queue.queue, received, room);
      for (std::uint16_t i = 0; i < n; ++i) {
        octets += rte_pktmbuf_pkt_len(received[i]);
        begin_packet(burst.packets[burst.count++], received[i], queue.port, inside ? 1 : 0);
      }
      packets = static_cast<std::uint16_t>(packets + n);
      if (n < room || burst.count == kBurstPackets ||
          octets + kLargeChunk * kLargestFrame > kBurstOctets) {
        break;
      }
    }
    if (octets + kLargeChunk * kLargestFrame > kBurstOctets) break;
  }
  if (packets == 0) return;
  last_mean_ = octets / packets;
  counters_.rx_packets.add(packets);
  counters_.rx_octets.add(octets);
}

// As far as it goes without waiting; true when it waits for nothing but its send turn.
bool Lane::advance(Burst& burst) {
  Turns& turns = settings_.line->turns;
  const bool egress = settings_.line->direction == Direction::egress;
  if (burst.step == BurstStep::received) {
    if (egress) {
      egress::classify(burst, counters_);
    } else {
      ingress::classify(burst, counters_);
    }
  }
  if (burst.step == BurstStep::classified && burst.numbered) burst.step = BurstStep::build_first;
  if (burst.step == BurstStep::classified) {
    if (!turns.may_number(burst.ticket)) return false;
    const Stopwatch watch(burst.timed);
    egress::number(burst);
    turns.pass_number(burst.ticket);
    watch.end(counters_.number_turn, burst.count);
  }
  if (burst.step == BurstStep::crypted) return true;
  return egress ? egress::crypt(burst, *settings_.engine)
                : ingress::crypt(burst, *settings_.engine);
}

// The send turn, by the burst's owner. The mbufs are the driver's afterwards.
void Lane::send(Burst& burst) {
  const Stopwatch watch(burst.timed);
  const std::uint16_t packets = burst.count;
  if (settings_.line->direction == Direction::egress) {
    egress::settle(burst);
  } else {
    ingress::settle(burst);
  }
  burst.sweep(counters_);
  for (std::size_t first = 0; first < burst.count;) {
    std::size_t end = first + 1;
    while (end < burst.count && burst.packets[end].port == burst.packets[first].port &&
           burst.packets[end].to_inside == burst.packets[first].to_inside) {
      ++end;
    }
    transmit(burst, first, end - first);
    first = end;
  }
  burst.count = 0;
  settings_.line->turns.pass_send(burst.ticket);
  watch.end(counters_.send_turn, packets);
}

// Packets [first, first + count) leave by one port. What a full queue does not take within
// microseconds is dropped.
void Lane::transmit(Burst& burst, std::size_t first, std::size_t count) {
  const Packet& head = burst.packets[first];
  const auto& ports = head.to_inside != 0 ? burst.line->inside : burst.line->outside;
  rte_mbuf* mbufs[kBurstPackets];
  std::uint64_t octets = 0;
  for (std::size_t i = 0; i < count; ++i) {
    mbufs[i] = burst.packets[first + i].mbuf;
    octets += rte_pktmbuf_pkt_len(mbufs[i]);
  }
  const std::uint16_t port = ports[head.port].id;
  const auto all = static_cast<std::uint16_t>(count);
  std::uint16_t sent = rte_eth_tx_burst(port, settings_.transmit_queue, mbufs, all);
  if (sent < all) {
    counters_.tx_retries.add(1);
    const std::uint64_t deadline = rte_rdtsc() + retry_cycles_;
    while (sent < all && rte_rdtsc() < deadline) {
      rte_pause();
      sent = static_cast<std::uint16_t>(
          sent + rte_eth_tx_burst(port, settings_.transmit_queue, mbufs + sent,
                                  static_cast<std::uint16_t>(all - sent)));
    }
    for (std::uint16_t i = sent; i < all; ++i) octets -= rte_pktmbuf_pkt_len(mbufs[i]);
    rte_pktmbuf_free_bulk(mbufs + sent, static_cast<unsigned>(all - sent));
    counters_.drops[static_cast<std::size_t>(DropReason::tx_full)].add(
        static_cast<std::uint64_t>(all - sent));
  }
  counters_.tx_packets.add(sent);
  counters_.tx_octets.add(octets);
}

Worker::Worker(const WorkerSettings& settings) : settings_(settings), last_(rte_rdtsc()) {}

bool Worker::any_pending() const {
  return current_ != nullptr && std::any_of(current_->lanes.begin(), current_->lanes.end(),
                                            [](const Lane* lane) { return lane->pending(); });
}

std::uint32_t Worker::step() {
  const std::uint64_t start = rte_rdtsc();
  const LaneList* const wanted = lanes_.load(std::memory_order_acquire);
  const std::uint64_t token =
      settings_.qsbr == nullptr ? 0 : __atomic_load_n(&settings_.qsbr->token, __ATOMIC_ACQUIRE);
  // On a new epoch, a new list or a stop: send what is pending, receive nothing more until then.
  const bool drain =
      wanted != current_ || token != seen_token_ || stop_.load(std::memory_order_relaxed);
  std::uint32_t moved = 0;
  if (current_ != nullptr) {
    for (Lane* lane : current_->lanes) moved += lane->poll(!drain);
  }
  if (drain && !any_pending()) {
    current_ = wanted;
    seen_token_ = token;
    if (settings_.qsbr != nullptr && running_.load(std::memory_order_relaxed)) {
      rte_rcu_qsbr_quiescent(settings_.qsbr, settings_.id);
    }
  }
  const std::uint64_t end = rte_rdtsc();
  counters_.loops.add(1);
  counters_.total_cycles.add(end - last_);  // resting included
  last_ = end;
  if (moved != 0) {
    counters_.busy_loops.add(1);
    counters_.busy_cycles.add(end - start);
  }
  counters_.heartbeat.store(end, std::memory_order_relaxed);
  return moved;
}

void Worker::rest(std::uint32_t moved) {
  if (moved != 0) {
    empty_ = 0;
    return;
  }
  ++empty_;
  if (any_pending()) {
    // Another worker holds the turn. It may be waiting for this core.
    if (settings_.idle != Idle::spin && empty_ % kEmptyBeforeYield == 0) sched_yield();
    rte_pause();
    return;
  }
  if (settings_.idle == Idle::spin ||
      (settings_.idle == Idle::automatic && empty_ < kEmptyBeforeSleep)) {
    rte_pause();
    return;
  }
  const timespec pause{0, empty_ < 2 * kEmptyBeforeSleep ? kShortSleep : kLongSleep};
  nanosleep(&pause, nullptr);
  counters_.sleeps.add(1);
}

void Worker::run() {
  if (settings_.qsbr != nullptr) {
    rte_rcu_qsbr_thread_register(settings_.qsbr, settings_.id);
    rte_rcu_qsbr_thread_online(settings_.qsbr, settings_.id);
  }
  last_ = rte_rdtsc();
  counters_.heartbeat.store(last_, std::memory_order_relaxed);
  running_.store(true, std::memory_order_release);
  while (!stop_.load(std::memory_order_relaxed) || any_pending()) rest(step());
  if (settings_.qsbr != nullptr) {
    rte_rcu_qsbr_thread_offline(settings_.qsbr, settings_.id);
    rte_rcu_qsbr_thread_unregister(settings_.qsbr, settings_.id);
  }
  running_.store(false, std::memory_order_release);
}

bool Worker::stalled(std::uint64_t now, std::uint64_t limit) const {
  const std::uint64_t beat = counters_.heartbeat.load(std::memory_order_relaxed);
  return running() && now > beat && now - beat > limit;
}

}  // namespace sealwire::pipelines
