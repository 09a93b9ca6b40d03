// Counters with one writer at a time and any number of readers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "pipelines/drop_reason.h"

namespace sealwire::pipelines {

// A count that one thread at a time adds to (its worker, or the holder of the turn) and the control
// thread reads. Load and store, no read-modify-write on the bus: the turn, not the counter, makes
// the writer single.
class Counter {
 public:
  void add(std::uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t read() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// How long a turn was held, of the bursts of which it was timed: TSC cycles, and their packets.
struct TurnTime {
  Counter cycles, packets;
};

// What one worker counts for one line direction. Written by that worker, once a burst; the control
// thread adds the workers up.
struct alignas(64) LaneCounters {
  Counter rx_packets, rx_octets;  // taken from the receiving port(s), FCS not counted
  Counter tx_packets, tx_octets;  // accepted by the transmitting port(s)
  Counter linearised;             // chained or shared mbufs made single on the slow path
  Counter tx_retries;             // times the transmit queue was full at first
  std::array<Counter, kDropReasons> drops;
  TurnTime receive_turn, number_turn, send_turn;  // one burst of some, if workers take turns
};

// What one worker counts for itself. Cycles are TSC cycles; busy are those of turns of the loop
// that moved a packet.
struct alignas(64) WorkerCounters {
  Counter loops, busy_loops, busy_cycles, total_cycles, sleeps;
  std::atomic<std::uint64_t> heartbeat{
      0};  // TSC at the last turn of the loop: a stalled worker stops moving it
};

}  // namespace sealwire::pipelines
