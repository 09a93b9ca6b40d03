// The turns of one line direction: how several workers share one SA and still keep wire order equal
// to PN order.
//
// Every burst has a ticket and passes three turns in ticket order (DESIGN, "Three steps"):
//   receive  rx_burst and the ticket, under a try-lock
//   number   order: PN/SN for what classification left
//   send     settle and TX, by the burst's owner
// Between turns a worker builds, encrypts or decrypts its own bursts beside the others. Whoever
// holds a turn is the single writer of what the turn guards; passing it on is a release, seeing
// one's ticket come up an acquire.
//
// Nobody ever waits for a turn: `try_receive`, `may_number` and `may_send` answer at once and the
// worker goes on with its other bursts.
#pragma once

#include <atomic>
#include <cstdint>

namespace sealwire::pipelines {

class Turns {
 public:
  // `shared` false: one worker owns the direction ("alone") and every turn is free.
  explicit Turns(bool shared) : shared_(shared) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  bool shared() const { return shared_; }

  // Enters the receive turn, or returns false when another worker is in it.
  bool try_receive() {
    return !shared_ || (!receiving_.load(std::memory_order_relaxed) &&
                        !receiving_.exchange(true, std::memory_order_acquire));
  }
  // The next ticket. Only inside the receive turn, and only for a burst that will pass all turns.
  std::uint64_t take_ticket() {
    const std::uint64_t ticket = next_ticket_.load(std::memory_order_relaxed);
    next_ticket_.store(ticket + 1, std::memory_order_relaxed);
    return ticket;
  }
  // The next ticket for a worker that receives from queues of its own, without the receive turn. A
  // flow stays in one queue, so with one worker, and its bursts get their tickets in the order they
  // were received. Not to be mixed with take_ticket.
  std::uint64_t take_own_ticket() { return next_ticket_.fetch_add(1, std::memory_order_relaxed); }
  void leave_receive() {
    if (shared_) receiving_.store(false, std::memory_order_release);
  }

  bool may_number(std::uint64_t ticket) const {
    return !shared_ || number_.load(std::memory_order_acquire) == ticket;
  }
  void pass_number(std::uint64_t ticket) {
    if (shared_) number_.store(ticket + 1, std::memory_order_release);
  }

  bool may_send(std::uint64_t ticket) const {
    return !shared_ || send_.load(std::memory_order_acquire) == ticket;
  }
  void pass_send(std::uint64_t ticket) {
    if (shared_) send_.store(ticket + 1, std::memory_order_release);
  }

  // For `show`: the oldest ticket not yet sent. One that does not move while tickets are out is a
  // stalled worker.
  std::uint64_t oldest_unsent() const { return send_.load(std::memory_order_relaxed); }
  std::uint64_t tickets() const { return next_ticket_.load(std::memory_order_relaxed); }

 private:
  // Each on a line of its own: a worker polling `send_` must not slow the one inside the receive
  // turn.
  alignas(64) std::atomic<bool> receiving_{false};
  std::atomic<std::uint64_t> next_ticket_{0};
  alignas(64) std::atomic<std::uint64_t> number_{0};
  alignas(64) std::atomic<std::uint64_t> send_{0};
  alignas(64) const bool shared_;
};

}  // namespace sealwire::pipelines
