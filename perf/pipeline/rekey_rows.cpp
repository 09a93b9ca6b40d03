#include <fmt/format.h>
#include <rte_cycles.h>

#include "perf/pipeline/rekey.h"
#include "perf/pipeline/suite.h"

namespace sealwire::perf {
namespace {

constexpr std::uint16_t kSize = 1420;
constexpr unsigned kSas = 1000, kPerSecond = 1000;
constexpr double kMostLoss = 0.02;  // of throughput

void install(Suite& suite) {
  const InstallCycles cycles = install_cycles(suite.factory(), suite.pool());
  const auto hertz = static_cast<double>(rte_get_tsc_hz());
  for (const auto& [direction, figure] :
       {std::pair{"egress", cycles.outbound}, std::pair{"ingress", cycles.inbound}}) {
    suite.print(
        fmt::format("{:<36} {:>8} {:>7} {:>9}", "row", "cycles", "spread", "a second"),
        fmt::format("{:<36} {:8.0f} {:6.1f}% {:9.0f}", std::string("[esp] install ") + direction,
                    figure.median, 100 * figure.spread, hertz / figure.median));
    suite.add({{"workload", "install SA"},
               {"algorithm", "aes-gcm-128"},
               {"direction", direction},
               {"cores", 1},
               {"cycles_per_sa", figure.median},
               {"spread", figure.spread},
               {"per_second", hertz / figure.median}});
  }
}

void under_load(Suite& suite, const std::string& name, unsigned lcore) {
  const RekeyLoad r =
      rekey_under_load(kPerSecond, lcore, sizes_of(kSize), suite.factory(), suite.pool());
  nlohmann::json row = row_of({.workload = "rekey under load",
                               .algorithm = "aes-gcm-128",
                               .size = kSize,
                               .direction = "both",
                               .sas = kSas},
                              r.rekeying, kSize);
  row.update({{"without", r.still.median},
              {"per_second", r.per_second},
              {"loss", r.loss},
              {"goal", kMostLoss}});
  suite.print(
      fmt::format("{:<36} {:>8} {:>8} {:>7} {:>7} {:>7} {:>9} {}", "row", "cycles", "without",
                  "spread", "Mpps", "Gbit/s", "rekeys/s", "less throughput (goal)"),
      fmt::format("{:<36} {:8.0f} {:8.0f} {:6.1f}% {:7.2f} {:7.2f} {:9.0f} {:.1f} % ({:.1f})", name,
                  r.rekeying.median, r.still.median, 100 * r.rekeying.spread,
                  row["mpps"].get<double>(), row["gbps"].get<double>(), r.per_second, 100 * r.loss,
                  100 * kMostLoss));
  suite.add(row);
}

}  // namespace

void rekey_rows(Suite& suite) {
  if (suite.wants("[esp] install") && suite.wants_one_sa()) install(suite);
  const std::string name = "[esp] 1420 1000 SAs, 1000 rekeys/s";
  const auto other = suite.other_lcore();
  if (other && suite.options().sas.empty() && suite.wants(name)) under_load(suite, name, *other);
}

}  // namespace sealwire::perf
