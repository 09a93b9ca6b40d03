// What the crypto alone costs, through the burst interface: every engine and every implementation
// in it that runs here x algorithm x direction x size. Bursts of 64 packets under one key, hot in
// the cache; refilling them is not timed.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_eal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "crypto/engines/batch_gcm.h"
#include "crypto/engines/cryptodev.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/openssl.h"
#include "crypto/engines/timed_burst.h"
#include "perf/results.h"

namespace sealwire::perf {
namespace {

// All are multiples of CBC's block; 1424 is what ESP seals of a packet of 1420 octets.
constexpr std::uint32_t kSizes[] = {64, 128, 256, 512, 1024, 1424, 8912};

using crypto::Algorithm;
using crypto::Direction;

/// Measured also without --full: AES-GCM-128 both ways, long and short, and long packets sealed by
/// one algorithm of each kind.
bool is_usual(Algorithm algorithm, Direction direction, std::uint32_t octets) {
  if (algorithm == Algorithm::aes_gcm_128) return octets == 64 || octets == 1424;
  constexpr Algorithm kKinds[] = {Algorithm::aes_gcm_256, Algorithm::chacha20_poly1305,
                                  Algorithm::aes_cbc_128_hmac_sha1_96,
                                  Algorithm::aes_cbc_256_hmac_sha256_128};
  return octets == 1424 && direction == Direction::seal &&
         std::find(std::begin(kKinds), std::end(kKinds), algorithm) != std::end(kKinds);
}

struct Candidate {
  std::string name;
  std::unique_ptr<crypto::EngineFactory> factory;
  std::unique_ptr<crypto::Engine> engine;
};

void start_eal() {
  std::string words[] = {
      "crypto_bench", "--no-pci", "--no-huge", "--no-shconf",    "-m",
      "256",          "-l",       "0",         "--no-telemetry", "--log-level=critical"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
    throw std::runtime_error("EAL does not start");
}

/// All that this processor and DPDK's installed drivers can run.
std::vector<Candidate> candidates() {
  std::vector<Candidate> found;
  const auto add = [&](std::string name, Result<std::unique_ptr<crypto::EngineFactory>> factory) {
    if (!factory) return;
    auto engine = (*factory)->make();
    if (!engine) throw std::runtime_error(name + ": " + engine.error().message);
    found.push_back({std::move(name), std::move(*factory), std::move(*engine)});
  };
  for (const std::string_view kernel : crypto::batch_gcm_kernels())
    add("batch-gcm-" + std::string(kernel), crypto::make_batch_gcm_factory(kernel));
  for (const crypto::IpsecMbCode code : crypto::kIpsecMbCodes)
    add(std::string(crypto::name_of(code)), crypto::make_ipsec_mb_factory(code));
  add("openssl", crypto::make_openssl_factory());
  for (const std::string driver : {"aesni_gcm", "aesni_mb"})
    add("cryptodev-" + driver, crypto::make_cryptodev_factory({.device = "crypto_" + driver}));
  return found;
}

void measure(benchmark::State& state, crypto::Engine& engine, Algorithm algorithm,
             Direction direction, std::uint32_t octets) {
  constexpr std::uint16_t kPackets = crypto::AeadBatch::kCapacity;
  const std::vector<std::uint8_t> secret(crypto::info(algorithm).key_length(), 0x11);
  const auto key = engine.make_key(algorithm, crypto::SecretBytes(secret));
  if (!key) return state.SkipWithError(key.error().message.c_str());
  crypto::TimedBurst burst(**key, octets, kPackets);
  bool good = burst.prepare(engine, direction);
  double total = 0;
  for ([[maybe_unused]] auto iteration : state) {
    const double taken = good ? burst.run(engine, direction) : crypto::TimedBurst::kNever;
    if (taken == crypto::TimedBurst::kNever) return state.SkipWithError("an operation failed");
    state.SetIterationTime(taken * kPackets / 1e9);
    total += taken;
  }
  const double nanoseconds = total / static_cast<double>(state.iterations());
  state.counters["cycles_per_packet"] = nanoseconds * static_cast<double>(rte_get_tsc_hz()) / 1e9;
}

/// Makes a row of the repetitions of each benchmark.
class Rows : public benchmark::BenchmarkReporter {
 public:
  /// Of the benchmark called `name`.
  void expect(const std::string& name, Subject subject) {
    places_[name] = subjects_.size();
    subjects_.push_back(std::move(subject));
    cycles_.emplace_back();
  }
  bool empty() const { return subjects_.empty(); }

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& repetitions) override {
    for (const Run& one : repetitions) {
      const std::string& name = one.run_name.function_name;
      if (one.error_occurred) throw std::runtime_error(name + ": " + one.error_message);
      if (one.run_type == Run::RT_Iteration)
        cycles_[places_.at(name)].push_back(one.counters.at("cycles_per_packet"));
    }
  }

  /// Those that have run, in the order in which they were expected.
  nlohmann::json rows() const {
    nlohmann::json rows = nlohmann::json::array();
    for (std::size_t i = 0; i < subjects_.size(); ++i)
      if (!cycles_[i].empty())
        rows.push_back(row_of(subjects_[i], figure_of(cycles_[i]), subjects_[i].size));
    return rows;
  }

 private:
  std::map<std::string, std::size_t> places_;
  std::vector<Subject> subjects_;
  std::vector<std::vector<double>> cycles_;
};

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  CLI::App app{"The crypto of each engine by itself"};
  std::string only, file;
  bool full = false;
  app.add_option("--only", only, "rows whose name, ENGINE ALGORITHM DIRECTION OCTETS, matches");
  app.add_option("--json", file, "write the rows to this file, and print nothing");
  app.add_flag("--full", full, "every algorithm and size");
  CLI11_PARSE(app, argc, argv);

  start_eal();
  const std::vector<Candidate> all = candidates();
  const std::regex wanted(only);
  Rows rows;
  const auto add = [&](const Candidate& candidate, const crypto::AlgorithmInfo& facts,
                       Direction direction, std::uint32_t octets) {
    const std::string way = direction == Direction::seal ? "seal" : "open";
    const auto name = [&](const char* between) {
      return candidate.name + between + std::string(facts.name) + between + way + between +
             std::to_string(octets);
    };
    if (!std::regex_search(name(" "), wanted)) return;
    rows.expect(name("/"), {.workload = "crypto " + candidate.name,
                            .algorithm = std::string(facts.name),
                            .size = octets,
                            .direction = way});
    benchmark::RegisterBenchmark(name("/").c_str(), [&candidate, algorithm = facts.algorithm,
                                                     direction, octets](auto& state) {
      measure(state, *candidate.engine, algorithm, direction, octets);
    })->UseManualTime();
  };
  for (const crypto::AlgorithmInfo& facts : crypto::all_algorithms())
    for (const Direction direction : {Direction::seal, Direction::open})
      for (const std::uint32_t octets : kSizes)
        for (const Candidate& candidate : all)
          if (candidate.engine->supports(facts.algorithm) &&
              (full || is_usual(facts.algorithm, direction, octets)))
            add(candidate, facts, direction, octets);
  if (rows.empty()) {
    std::printf("no row of the crypto matches %s\n", only.c_str());
    return kNoRow;
  }
  const bool ran = benchmark::RunSpecifiedBenchmarks(file.empty() ? nullptr : &rows) != 0;
  benchmark::Shutdown();
  if (const nlohmann::json done = rows.rows(); !done.empty()) write_results(file, "each", done);
  return ran ? 0 : 1;
}

}  // namespace
}  // namespace sealwire::perf

int main(int argc, char** argv) try {
  return sealwire::perf::run(argc, argv);
} catch (const std::exception& e) {
  std::fprintf(stderr, "crypto_bench: %s\n", e.what());
  return 1;
}
