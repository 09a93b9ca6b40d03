#include "perf/pipeline/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "crypto/engines/auto.h"
#include "crypto/engines/batch_gcm.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/measure.h"
#include "perf/pipeline/in_turn.h"

namespace sealwire::perf {
namespace {

std::unique_ptr<crypto::EngineFactory> factory_of(const Options& options) {
  if (!options.aes_ni) return need(crypto::make_software_factory(options.engine));
  std::vector<std::unique_ptr<crypto::EngineFactory>> candidates;
  candidates.push_back(need(crypto::make_batch_gcm_factory("aesni")));
  candidates.push_back(need(crypto::make_ipsec_mb_factory(crypto::IpsecMbCode::avx2)));
  const auto planner = [](const std::vector<std::unique_ptr<crypto::Engine>>& engines) {
    crypto::Measurement unused;
    return crypto::plan_by_measuring(engines, unused);
  };
  return need(crypto::make_auto_factory(std::move(candidates), planner));
}

}  // namespace

std::string name_of(const Combination& stages, bool ingress, std::uint16_t size) {
  return std::string(stages.name) + (ingress ? " ingress " : " egress ") +
         (size == 0 ? "IMIX" : std::to_string(size));
}

Suite::Suite(const Options& options, rte_mempool* pool, std::vector<unsigned> lcores)
    : options_(options),
      wanted_(options.only),
      pool_(pool),
      lcores_(std::move(lcores)),
      factory_(factory_of(options)) {}

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
