#include <fmt/format.h>
#include <rte_cycles.h>

#include "perf/pipeline/latency.h"
#include "perf/pipeline/suite.h"

namespace sealwire::perf {
namespace {

constexpr std::uint16_t kShortAndLong[] = {64, 1420};

void one(Suite& suite, const Combination& line, std::uint16_t size, double load, double interval,
         unsigned lcore) {
  const Latency l =
      latency_of(line.stages, size, interval, lcore, suite.factory(), suite.many_packets());
  suite.print(fmt::format("{:<36} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}", "row", "load", "p50 us",
                          "p99", "p99.9", "late", "missed"),
              fmt::format("{:<36} {:5.0f}% {:8.2f} {:8.2f} {:8.2f} {:7.2f}% {:7.2f}%",
                          name_of(line, false, size) + " latency", 100 * load, l.p50, l.p99, l.p999,
                          100 * l.late, 100 * l.missed));
  const double pps = static_cast<double>(rte_get_tsc_hz()) / interval;
  nlohmann::json row = row_of({.workload = "latency " + std::string(line.name),
                               .algorithm = "aes-gcm-128",
                               .size = size,
                               .direction = "egress"});
  row.update({{"load", load},
              {"mpps", pps / 1e6},
              {"gbps", pps * size * 8 / 1e9},
              {"p50_us", l.p50},
              {"p99_us", l.p99},
              {"p999_us", l.p999},
              {"late", l.late},
              {"missed", l.missed},
              {"interval", interval}});
  suite.add(row);
}

}  // namespace

void latency_rows(Suite& suite) {
  const auto other = suite.other_lcore();
  if (!other || !suite.wants_one_sa()) return;
  for (const Combination& line : {kEsp, kMacsec})
    for (const std::uint16_t size : kShortAndLong) {
      const bool usual = line.stages.esp ? size == 64 : size == 1420;
      if (!(suite.options().full || usual) || !suite.wants(name_of(line, false, size) + " latency"))
        continue;
      // What this core and the worker reach together, when packets are always due.
      const double full =
          latency_of(line.stages, size, 1, *other, suite.factory(), suite.many_packets()).cycles;
      for (const double load : {0.1, 0.5, 0.8}) one(suite, line, size, load, full / load, *other);
    }
}

}  // namespace sealwire::perf
