// What the kinds of rows share: what was asked for, what they run on, and where the rows go.
#pragma once

#include <memory>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "perf/pipeline/site.h"
#include "perf/results.h"

namespace sealwire::perf {

struct Options {
  std::string only, file, engine = "auto";
  unsigned rounds = 170;  // bursts of a run
  bool full = false;
  bool no_goals = false;      // leaves out what only the goals of some rows are in proportion to
  bool aes_ni = false;        // as on a processor without VAES and AVX-512
  std::vector<unsigned> sas;  // none: any
};

inline constexpr std::size_t kRuns = 21;  // of each row, and one before that warms up

struct Combination {
  const char* name;
  Stages stages;
};
inline constexpr Combination kClear{"[]", {false, false}}, kEsp{"[esp]", {true, false}},
    kMacsec{"[macsec]", {false, true}}, kEspMacsec{"[esp, macsec]", {true, true}};

/// Of frames; 0: IMIX.
inline constexpr std::uint16_t kSizes[] = {64, 128, 256, 512, 1024, 1420, 8900, 0};
constexpr bool is_usual(std::uint16_t size) { return size == 0 || size == 64 || size == 1420; }

/// As `--only` sees it, and as it is printed: stages, direction, size.
std::string name_of(const Combination& stages, bool ingress, std::uint16_t size);

class Suite {
 public:
  /// `pool` has room for a few bursts of any size. `lcores`: this one first.
  Suite(const Options& options, rte_mempool* pool, std::vector<unsigned> lcores);

  bool wants(const std::string& name) const { return std::regex_search(name, wanted_); }
  bool wants_one_sa() const;
  const Options& options() const { return options_; }

  crypto::EngineFactory& factory() { return *factory_; }
  rte_mempool* pool() const { return pool_; }
  /// Of thousands of packets up to 1420 octets.
  rte_mempool* many_packets();
  std::span<const unsigned> lcores() const { return lcores_; }
  /// Another than ours, if there is one.
  std::optional<unsigned> other_lcore() const;

  /// Prints a line of a table; the first of each kind after its head.
  void print(const std::string& head, const std::string& line);
  void add(nlohmann::json row) { rows_.push_back(std::move(row)); }
  const nlohmann::json& rows() const { return rows_; }

 private:
  const Options& options_;
  const std::regex wanted_;
  rte_mempool* const pool_;
  rte_mempool* many_packets_ = nullptr;
  const std::vector<unsigned> lcores_;
  const std::unique_ptr<crypto::EngineFactory> factory_;
  std::string head_;  // of the table that is being printed
  nlohmann::json rows_ = nlohmann::json::array();
};

// The kinds of rows, each in a file of its own: measured, printed and added. What needs a second
// core is left out where there is none.

/// Every combination of stages, size and number of SAs on one core, with AES-GCM-128.
void one_core_rows(Suite& suite);
/// The same of one SA with other algorithms and suites.
void cipher_rows(Suite& suite);
/// One SA over two cores in turn.
void in_turn_rows(Suite& suite);
/// The time that egress adds, by load.
void latency_rows(Suite& suite);
/// Installing SAs, and traffic while they are rekeyed.
void rekey_rows(Suite& suite);

}  // namespace sealwire::perf
