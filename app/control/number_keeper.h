// Packet and sequence numbers of static keys: reserved durably in blocks ahead of use.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/control/state_store.h"
#include "crypto/result.h"

namespace sealwire::control {

// Control thread only. An SA asks for its first block before it is published and is tracked from
// then on; poll() raises its limit when half of the block is used, after the next block is on disk.
// Blocks grow with the rate, so that a fast SA is never held up by a slow disk.
class NumberKeeper {
 public:
  using Clock = std::chrono::steady_clock;

  // `store` may be null: then every request is refused (SW-STA-008).
  explicit NumberKeeper(StateStore* store) : store_(store) {}

  struct Want {
    std::string what{};  // the SA's path, for errors
    NonceSpace space;
    std::uint64_t first = 1;  // configured first number
    std::uint64_t end = 0;    // exclusive end of the SA's number space
  };
  struct Grant {
    StateStore::Fingerprint fingerprint{};
    std::uint64_t first = 0;  // behind everything that may have been used
    std::uint64_t limit = 0;  // exclusive, durable
    std::uint64_t low = 0;    // ask for more when the next number reaches this
    std::uint64_t end = 0;
  };
  // One durable write for all of them. Errors: SW-STA-005, SW-STA-004, SW-STA-007 when a space is
  // used up.
  Result<std::vector<Grant>> reserve(const std::vector<Want>& wants);
  Result<Grant> reserve(const Want& want);

  struct Watch {
    std::function<std::uint64_t()> next;  // next number the SA will use
    std::function<void(std::uint64_t limit, std::uint64_t low)> raise;
  };
  // From now on this SA owns the space; another SA tracked for it (the same key under another name
  // or association number) keeps its limit and gets no more. The ticket is this SA's alone.
  using Ticket = std::uint64_t;
  Ticket track(const Grant& grant, Watch watch);
  // The SA is being retired: its callbacks are not called any more. Its numbers stay recorded. An
  // SA that took over the space goes on.
  void forget(Ticket ticket);

  // Raises limits where needed. The first error since the last call is returned once: the SAs
  // concerned run out at their limit (fail closed) unless a later poll succeeds.
  Result<void> poll(Clock::time_point now);

  // All workers have stopped: gives back what was not used.
  Result<void> release();

  std::size_t tracked() const { return items_.size(); }

 private:
  struct Item {
    Watch watch;
    Ticket ticket = 0;
    std::uint64_t limit = 0, end = 0, block = 0;
    Clock::time_point raised{};
  };
  static std::uint64_t first_block(std::uint64_t end);
  static std::uint64_t largest_block(std::uint64_t end);

  StateStore* store_;
  std::map<StateStore::Fingerprint, Item> items_;
  Ticket last_ticket_ = 0;
  Clock::time_point retry_{};
};

}  // namespace sealwire::control
