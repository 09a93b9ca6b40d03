// Retiring what workers may still look at: unlinked objects wait for a grace period, in batches.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

struct rte_rcu_qsbr;

namespace sealwire::control {

// Control thread only. One grace period is under way at a time; what is retired meanwhile waits for
// the next, so a thousand rekeys cost a few grace periods.
class Publisher {
 public:
  explicit Publisher(std::uint32_t max_workers);
  ~Publisher();  // no worker may run any more; lets go of everything
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  rte_rcu_qsbr* qsbr() const { return qsbr_; }

  // Already unlinked: no worker finds it any more, but some may still use it.
  void retire(std::shared_ptr<void> object);
  template <class T>
  void retire_unique(std::unique_ptr<T> object) {
    if (object) retire(std::shared_ptr<void>(std::shared_ptr<T>(std::move(object))));
  }

  // Lets go of what is through its grace period. Cheap, never waits.
  void poll();
  // Waits until everything retired so far is gone; false after `milliseconds`.
  bool drain(unsigned milliseconds);

  std::size_t waiting() const { return next_.size() + current_.size(); }

 private:
  rte_rcu_qsbr* qsbr_ = nullptr;
  std::vector<std::shared_ptr<void>> current_, next_;
  std::uint64_t token_ = 0;
};

}  // namespace sealwire::control
