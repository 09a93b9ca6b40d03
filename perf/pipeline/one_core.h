// One lane of each direction on one core, burst by burst.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "perf/pipeline/site.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {

/// Throws where a packet is lost, with the drop reasons.
class OneCore {
 public:
  OneCore(const SiteSettings& settings, crypto::EngineFactory& factory, rte_mempool* pool);

  /// TSC cycles of one burst through egress.
  std::uint64_t seal(const Sizes& sizes);

  struct Cycles {
    std::uint64_t egress, ingress;
  };
  /// Of one burst through egress and the peer's ingress.
  Cycles pass(const Sizes& sizes);

  /// Of one burst received and sent, and nothing else.
  std::uint64_t floor(const Sizes& sizes);

  Site& sealing() { return a_; }
  Site& opening() { return b_; }

 private:
  void put(MemoryPort& port, const Sizes& sizes);

  rte_mempool* pool_;
  unsigned sas_;
  Site a_, b_;
  std::minstd_rand random_{1};  // the same packets in every run of the program
  std::uniform_int_distribution<std::uint32_t> hosts_{0, sas_ - 1};
  std::map<std::uint16_t, std::vector<std::uint8_t>> frames_;
};

}  // namespace sealwire::perf
