#include "app/control/publisher.h"

#include <rte_rcu_qsbr.h>

#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>

namespace sealwire::control {

Publisher::Publisher(std::uint32_t max_workers) {
  const std::size_t octets = rte_rcu_qsbr_get_memsize(max_workers);
  const std::size_t rounded =
      (octets + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
  qsbr_ = static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, rounded));
  if (qsbr_ == nullptr) throw std::bad_alloc();
  rte_rcu_qsbr_init(qsbr_, max_workers);
}

Publisher::~Publisher() {
  current_.clear();
  next_.clear();
  std::free(qsbr_);
}

void Publisher::retire(std::shared_ptr<void> object) {
  if (object) next_.push_back(std::move(object));
}

void Publisher::poll() {
  if (!current_.empty() && rte_rcu_qsbr_check(qsbr_, token_, false) == 1) current_.clear();
  if (current_.empty() && !next_.empty()) {
    current_.swap(next_);
    token_ = rte_rcu_qsbr_start(qsbr_);
  }
}

bool Publisher::drain(unsigned milliseconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  for (;;) {
    poll();
    if (waiting() == 0) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace sealwire::control
