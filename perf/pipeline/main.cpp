// Cycles per packet of the real lanes, with the I/O floor and the crypto cost of the same run
// beside them. Packets come from memory and are warm in the cache. What ingress opens was sealed
// just before by the peer's egress, with increasing numbers; that is not timed.
#include <fmt/format.h>
#include <rte_eal.h>
#include <sched.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "perf/pipeline/suite.h"

namespace sealwire::perf {
namespace {

constexpr unsigned kMemory = 256;  // MiB

bool hugepages() {
  unsigned free = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> free;
  return free * 2 > kMemory;
}

/// The first two cores that this process may use, or the only one.
std::vector<unsigned> two_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> cores;
  for (unsigned core = 0; core < CPU_SETSIZE && cores.size() < 2; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

void start_eal(bool huge, const std::vector<unsigned>& cores) {
  std::vector<std::string> words{"sealwire_bench",
                                 "--no-pci",
                                 huge ? "--in-memory" : "--no-huge",
                                 "--no-shconf",
                                 "-m",
                                 std::to_string(kMemory),
                                 "-l",
                                 fmt::format("{}", fmt::join(cores, ",")),
                                 "--no-telemetry",
                                 "--log-level=lib.*:error"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0)
    throw std::runtime_error("EAL does not start");
}

int run(int argc, char** argv) {
  CLI::App app{"Cycles per packet of Sealwire's lanes, packets from memory"};
  Options options;
  app.add_option("--only", options.only, "rows whose name matches this expression");
  app.add_option("--json", options.file, "write the rows to this file");
  CLI::Option* const engine =
      app.add_option("--engine", options.engine, "auto, batch-gcm, ipsec-mb or openssl");
  app.add_option("--rounds", options.rounds, "bursts per run")->check(CLI::PositiveNumber);
  app.add_option("--sas", options.sas, "only rows of so many SAs: 1, 64, 4096, 100000")
      ->check(CLI::IsMember({1U, 64U, 4096U, 100'000U}))
      ->delimiter(',');
  app.add_flag("--aes-ni", options.aes_ni,
               "as on a processor without VAES and AVX-512, ipsec-mb beside it too")
      ->excludes(engine);
  app.add_flag("--no-goals", options.no_goals,
               "leave out what only the goals of some rows are in proportion to");
  app.add_flag("--full", options.full, "every size, algorithm and number of SAs");
  CLI11_PARSE(app, argc, argv);

  const bool huge = hugepages();
  const std::vector<unsigned> cores = two_cores();
  start_eal(huge, cores);
  rte_mempool* pool = rte_pktmbuf_pool_create("frames", 1023, 256, 0, 10240, SOCKET_ID_ANY);
  if (pool == nullptr) throw std::runtime_error("no memory for packets");
  Suite suite(options, pool, cores);
  one_core_rows(suite);
  cipher_rows(suite);
  in_turn_rows(suite);
  latency_rows(suite);
  rekey_rows(suite);
  if (suite.rows().empty()) {
    fmt::print("no row of the lanes matches {}\n", options.only);
    return kNoRow;
  }
  if (!options.file.empty())
    write_results(options.file, options.aes_ni ? "aes-ni" : options.engine, suite.rows());
  if (!huge)
    fmt::print(
        "without hugepages: sysctl vm.nr_hugepages=200 makes packets some 15 cycles cheaper\n");
  return 0;
}

}  // namespace
}  // namespace sealwire::perf

int main(int argc, char** argv) try {
  return sealwire::perf::run(argc, argv);
} catch (const std::exception& e) {
  std::fprintf(stderr, "sealwire_bench: %s\n", e.what());
  return 1;
}
