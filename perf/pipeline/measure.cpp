#include "perf/pipeline/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "perf/pipeline/best_crypto.h"
#include "perf/pipeline/direct_crypto.h"
#include "perf/pipeline/one_core.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {
namespace {

// The crypto of a burst by itself.
std::function<std::uint64_t()> crypto_of(Stages stages, const Ciphers& ciphers, const Sizes& sizes,
                                         bool ingress) {
  if (ciphers.esp == kUsualAlgorithm) {
    const bool long_keys = algorithm_of(ciphers.macsec) == crypto::Algorithm::aes_gcm_256;
    return [direct = std::make_shared<DirectCrypto>(long_keys), stages, &sizes, ingress] {
      return direct->burst(sizes, stages, ingress);
    };
  }
  const auto direction = ingress ? crypto::Direction::open : crypto::Direction::seal;
  return [best = std::make_shared<BestCrypto>(ciphers.esp, direction, sizes)] {
    return best->burst();
  };
}

}  // namespace

nlohmann::json measure(Suite& suite, const Combination& line, unsigned sas, std::uint16_t size,
                       bool ingress, const Ciphers& ciphers) {
  const Stages stages = line.stages;
  OneCore bench({.stages = stages, .sas = sas, .algorithm = ciphers.esp, .suite = ciphers.macsec},
                suite.factory(), suite.pool());
  const Sizes sizes = sizes_of(size);
  const unsigned rounds = suite.options().rounds;
  const auto packets = static_cast<double>(sizes.size()) * rounds;
  const auto warm = static_cast<unsigned>(4 * sas / sizes.size());  // bursts: most SAs met
  std::array<std::vector<double>, 3> runs;
  const std::function<std::uint64_t()> parts[] = {
      [&] { return ingress ? bench.pass(sizes).ingress : bench.seal(sizes); },
      [&] { return bench.floor(sizes); }, crypto_of(stages, ciphers, sizes, ingress)};
  for (std::size_t run = 0; run <= kRuns; ++run) {  // the first warms up
    for (std::size_t part = 0; part < runs.size(); ++part) {
      std::uint64_t cycles = 0;
      const unsigned times = run == 0 && part == 0 ? std::max(rounds, warm) : rounds;
      for (unsigned i = 0; i < times; ++i) cycles += parts[part]();
      if (run != 0) runs[part].push_back(static_cast<double>(cycles) / packets);
    }
  }
  const Figure total = figure_of(runs[0]), floor = figure_of(runs[1]), crypto = figure_of(runs[2]);
  const bool seals = stages.esp || stages.macsec;
  nlohmann::json row = row_of({.workload = std::string("pipeline ") + line.name,
                               .algorithm = seals ? ciphers.name : "none",
                               .size = size,
                               .direction = ingress ? "ingress" : "egress",
                               .sas = seals ? sas : 0},
                              total, mean_of(sizes));
  row["io_floor"] = floor.median;
  row["crypto"] = crypto.median;
  row["overhead"] = total.median - floor.median - crypto.median;
  return row;
}

void put(Suite& suite, const std::string& name, const nlohmann::json& row) {
  const auto of = [&row](const char* field) { return row[field].get<double>(); };
  std::string line =
      fmt::format("{:<44} {:6} {:8.0f} {:6.1f}% {:7.0f} {:7.0f} {:9.0f} {:7.2f} {:7.2f}", name,
                  row["sas"].get<unsigned>(), of("cycles_per_packet"), 100 * of("spread"),
                  of("io_floor"), of("crypto"), of("overhead"), of("mpps"), of("gbps"));
  if (row.contains("goal"))
    line += fmt::format("  {:.2f} ({:.2f}) {}", of("ratio"), of("goal"), row.value("goal_of", ""));
  suite.print(fmt::format("{:<44} {:>6} {:>8} {:>7} {:>7} {:>7} {:>9} {:>7} {:>7}  {}", "row",
                          "sas", "cycles", "spread", "floor", "crypto", "overhead", "Mpps",
                          "Gbit/s", "(total - floor) / crypto (goal)"),
              line);
  suite.add(row);
}

}  // namespace sealwire::perf
