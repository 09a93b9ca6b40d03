#include "perf/pipeline/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "perf/pipeline/best_crypto.h"
#include "perf/pipeline/direct_crypto.h"
#include "perf/pipeline/one_core.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {
namespace {

using Part = std::function<std::uint64_t()>;  // TSC cycles of a burst

// The crypto of a burst by itself.
Part crypto_of(const Suite& suite, const Case& what, const Sizes& sizes) {
  if (what.ciphers.esp == kUsualAlgorithm) {
    const bool long_keys = algorithm_of(what.ciphers.macsec) == crypto::Algorithm::aes_gcm_256;
    return [direct = std::make_shared<DirectCrypto>(long_keys, suite.options().aes_ni),
            stages = what.line.stages, &sizes,
            ingress = what.ingress] { return direct->burst(sizes, stages, ingress); };
  }
  const auto direction = what.ingress ? crypto::Direction::open : crypto::Direction::seal;
  return [best = std::make_shared<BestCrypto>(what.ciphers.esp, direction, sizes)] {
    return best->burst();
  };
}

std::shared_ptr<OneCore> bench_of(Suite& suite, const Case& what) {
  return std::make_shared<OneCore>(SiteSettings{.stages = what.line.stages,
                                                .sas = what.sas,
                                                .algorithm = what.ciphers.esp,
                                                .suite = what.ciphers.macsec},
                                   suite.factory(), suite.pool());
}

Part lane_of(std::shared_ptr<OneCore> bench, const Sizes& sizes, bool ingress) {
  return [bench = std::move(bench), &sizes, ingress] {
    return ingress ? bench->pass(sizes).ingress : bench->seal(sizes);
  };
}

}  // namespace

Measured measure(Suite& suite, const Case& what, std::span<const Case> beside) {
  const Sizes sizes = sizes_of(what.size);
  const unsigned rounds = suite.options().rounds;
  const auto packets = static_cast<double>(sizes.size()) * rounds;
  const auto warm = static_cast<unsigned>(4 * what.sas / sizes.size());  // bursts: most SAs met
  const auto bench = bench_of(suite, what);
  Runs runs;
  if (!suite.options().no_goals) runs.beside.resize(beside.size());
  std::vector<std::pair<Part, std::vector<double>&>> parts{
      {lane_of(bench, sizes, what.ingress), runs.total},
      {[&] { return bench->floor(sizes); }, runs.floor},
      {crypto_of(suite, what, sizes), runs.crypto}};
  for (std::size_t i = 0; i < runs.beside.size(); ++i)
    parts.emplace_back(lane_of(bench_of(suite, beside[i]), sizes, beside[i].ingress),
                       runs.beside[i]);
  for (std::size_t run = 0; run <= kRuns; ++run) {  // the first warms up
    for (auto& [part, figures] : parts) {
      std::uint64_t cycles = 0;
      const unsigned times = run == 0 ? std::max(rounds, warm) : rounds;
      for (unsigned i = 0; i < times; ++i) cycles += part();
      if (run != 0) figures.push_back(static_cast<double>(cycles) / packets);
    }
  }
  const Figure total = figure_of(runs.total), floor = figure_of(runs.floor),
               crypto = figure_of(runs.crypto);
  const bool seals = what.line.stages.esp || what.line.stages.macsec;
  nlohmann::json row = row_of({.workload = std::string("pipeline ") + what.line.name,
                               .algorithm = seals ? what.ciphers.name : "none",
                               .size = what.size,
                               .direction = what.ingress ? "ingress" : "egress",
                               .sas = seals ? what.sas : 0},
                              total, mean_of(sizes));
  row["io_floor"] = floor.median;
  row["crypto"] = crypto.median;
  row["overhead"] = total.median - floor.median - crypto.median;
  return {std::move(row), std::move(runs)};
}

void put(Suite& suite, const std::string& name, const nlohmann::json& row) {
  const auto of = [&row](const char* field) { return row[field].get<double>(); };
  std::string line =
      fmt::format("{:<44} {:6} {:8.0f} {:6.1f}% {:7.0f} {:7.0f} {:9.0f} {:7.2f} {:7.2f}", name,
                  row["sas"].get<unsigned>(), of("cycles_per_packet"), 100 * of("spread"),
                  of("io_floor"), of("crypto"), of("overhead"), of("mpps"), of("gbps"));
  if (row.contains("goal"))
    line += "  " + text_of_ratio(row) + " " + row["goal_of"].get<std::string>();
  suite.print(fmt::format("{:<44} {:>6} {:>8} {:>7} {:>7} {:>7} {:>9} {:>7} {:>7}  {}", "row",
                          "sas", "cycles", "spread", "floor", "crypto", "overhead", "Mpps",
                          "Gbit/s", "ratio quartiles (goal) of what"),
              line);
  suite.add(row);
}

}  // namespace sealwire::perf
