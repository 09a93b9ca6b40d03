// The worker: one loop that serves every line direction it is given, alone or in turn with other
// workers.
//
// A lane is one line direction as one worker sees it: its queues, its engine, its counters and its
// few bursts. The loop takes each lane in turn: advance the pending bursts, oldest first, as far as
// they go without waiting; then, if all of them are through their crypt, receive one more.
//
// Control thread: makes Workers and Lanes, publishes lists of lanes, reads counters. Everything
// else is the worker's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "crypto/aead.h"
#include "pipelines/burst.h"
#include "pipelines/counters.h"
#include "pipelines/line.h"
#include "pipelines/tables/spd.h"

struct rte_rcu_qsbr;

namespace sealwire::pipelines {

// spin: benchmarks. sleep: sleeps after each empty loop. auto: sleeps when nothing has come for a
// while.
enum class Idle : std::uint8_t { automatic, spin, sleep };

struct ReceiveQueue {
  std::uint8_t
      port;  // index into the line's receiving ports (inside on egress, outside on ingress)
  std::uint16_t queue;  // its receive queue
};

struct LaneSettings {
  LineDirection* line = nullptr;  // outlives the lane
  std::vector<ReceiveQueue>
      receive;  // shared_queue: the same for all workers; own_queues: this worker's own
  // The transmit queue of this direction on every port it may leave by; used by the holder of the
  // send turn only, so all workers of the direction give the same one, and the other direction of
  // the port's traffic uses another.
  std::uint16_t transmit_queue = 0;
  crypto::Engine* engine =
      nullptr;               // this worker's instance, of the line's kind; outlives the lane
  std::uint16_t worker = 0;  // its index among the direction's workers: RFC 9611 SAs go by it
};

class Lane {
 public:
  static constexpr std::size_t kBursts = 8;  // received and not yet sent, of this worker

  explicit Lane(LaneSettings settings);
  ~Lane();  // frees what is pending; only when no worker runs it
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  const LaneSettings& settings() const { return settings_; }
  const LaneCounters& counters() const { return counters_; }

  // ---- its worker ----
  std::uint32_t poll(bool receive);  // one round; packets moved (received, sent or dropped)
  bool pending() const { return used_ != 0; }

 private:
  std::uint32_t receive_burst();
  void number_at_once(Burst& burst);
  void fill(Burst& burst, const LineSnapshot& line);
  void take_injected(Burst& burst, const LineSnapshot& line);
  bool advance(Burst& burst);
  std::uint32_t send_ready();
  void send(Burst& burst);
  void transmit(Burst& burst, std::size_t first, std::size_t count);

  LaneSettings settings_;
  LaneCounters counters_;
  std::size_t first_ = 0, used_ = 0;  // FIFO in bursts_
  std::size_t next_queue_ = 0;
  std::uint32_t until_timed_ = 0;  // bursts until one whose turns are timed
  std::uint32_t last_mean_ = 0;    // octets of a packet of the burst before
  std::uint64_t retry_cycles_;     // TSC cycles that a full transmit queue is retried
  std::unique_ptr<std::array<Burst, kBursts>> bursts_;
  std::unique_ptr<FlowCache> flows_;
  std::unique_ptr<forward::HopCache> hops_;
};

// What a worker runs; immutable. Freed by control after the grace period that follows publishing
// another.
struct LaneList {
  std::vector<Lane*> lanes;
};

struct WorkerSettings {
  std::uint16_t id = 0;  // also its thread id in the QSBR, below the QSBR's size
  Idle idle = Idle::automatic;
  rte_rcu_qsbr* qsbr = nullptr;  // may be null in tests
};

class Worker {
 public:
  explicit Worker(const WorkerSettings& settings);

  // Control: what to run from now on. The worker first sends what it has pending. After a grace
  // period the old list, and lanes that only it had, are the caller's to free.
  void publish(const LaneList* lanes) { lanes_.store(lanes, std::memory_order_release); }

  // The loop; returns after stop(), with nothing pending. Call it on the worker's own lcore or
  // thread.
  void run();
  void stop() { stop_.store(true, std::memory_order_relaxed); }
  bool running() const { return running_.load(std::memory_order_acquire); }

  const WorkerSettings& settings() const { return settings_; }
  const WorkerCounters& counters() const { return counters_; }

  // True if it runs and its loop has not turned for `limit` TSC cycles as of `now` (TSC): show it,
  // and set its lines' `secure` to false. In turn, its lines stand still by themselves, since no
  // later ticket can be sent.
  bool stalled(std::uint64_t now, std::uint64_t limit) const;

  // One turn of the loop, for tests without threads. Packets moved.
  std::uint32_t step();

 private:
  void rest(std::uint32_t moved);
  bool any_pending() const;

  const WorkerSettings settings_;
  std::atomic<const LaneList*> lanes_{nullptr};
  std::atomic<bool> stop_{false};
  std::atomic<bool> running_{false};
  const LaneList* current_ = nullptr;
  std::uint64_t seen_token_ = 0;
  std::uint64_t last_;       // TSC at the end of the last loop
  std::uint32_t empty_ = 0;  // loops in a row that moved nothing
  WorkerCounters counters_;
};

}  // namespace sealwire::pipelines
