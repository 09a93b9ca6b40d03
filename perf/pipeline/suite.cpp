#include "perf/pipeline/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "crypto/engines/auto.h"
#include "perf/pipeline/in_turn.h"

namespace sealwire::perf {

std::string name_of(const Combination& stages, bool ingress, std::uint16_t size) {
  return std::string(stages.name) + (ingress ? " ingress " : " egress ") +
         (size == 0 ? "IMIX" : std::to_string(size));
}

Suite::Suite(const Options& options, rte_mempool* pool, std::vector<unsigned> lcores)
    : options_(options),
      wanted_(options.only),
      pool_(pool),
      lcores_(std::move(lcores)),
      factory_(need(crypto::make_software_factory(options.engine))) {}

bool Suite::wants_one_sa() const {
  return options_.sas.empty() ||
         std::find(options_.sas.begin(), options_.sas.end(), 1U) != options_.sas.end();
}

rte_mempool* Suite::many_packets() {
  if (many_packets_ == nullptr)
    many_packets_ = rte_pktmbuf_pool_create("many", kInTurnSlots - 1, 256, 0, 2304, SOCKET_ID_ANY);
  if (many_packets_ == nullptr) throw std::runtime_error("no memory for packets");
  return many_packets_;
}

std::optional<unsigned> Suite::other_lcore() const {
  return lcores_.size() < 2 ? std::nullopt : std::optional(lcores_[1]);
}

void Suite::print(const std::string& head, const std::string& line) {
  if (head != head_) fmt::print("{}{}\n", head_.empty() ? "" : "\n", head);
  head_ = head;
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

}  // namespace sealwire::perf
