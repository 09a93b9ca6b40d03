#include <algorithm>
#include <map>

#include "perf/pipeline/measure.h"

namespace sealwire::perf {
namespace {

constexpr unsigned kManySas[] = {64, 4096, 100'000};
constexpr unsigned kUsualSas = 4096;

// The greatest (total - floor) / crypto.
struct Goal {
  const Combination& line;
  double small, large;  // 64 octets; above
};
constexpr Goal kGoals[] = {{kEsp, 1.0, 0.95}, {kMacsec, 0.95, 0.93}};

// With several SAs: the greatest cycles in proportion to one SA's.
double goal_of_sas(unsigned sas) { return sas > 4096 ? 2.2 : 1.4; }

void one_sa(Suite& suite, const Combination& line, std::uint16_t size, bool ingress,
            std::map<std::string, double>& cycles) {
  const std::string name = name_of(line, ingress, size);
  if (!suite.wants(name)) return;
  nlohmann::json row = measure(suite, line, 1, size, ingress);
  cycles[name] = row["cycles_per_packet"];
  const auto goal = std::find_if(std::begin(kGoals), std::end(kGoals),
                                 [&](const Goal& g) { return g.line.stages == line.stages; });
  if (goal != std::end(kGoals)) {
    row["goal"] = size == 64 ? goal->small : goal->large;
    row["ratio"] = (cycles[name] - row["io_floor"].get<double>()) / row["crypto"].get<double>();
  }
  put(suite, name, row);
}

// Of ESP. `cycles` has those of one SA, or gets them.
void many_sas(Suite& suite, unsigned sas, std::uint16_t size, bool ingress,
              std::map<std::string, double>& cycles) {
  const std::string one = name_of(kEsp, ingress, size);
  const std::string name = one + " " + std::to_string(sas) + " SAs";
  if (!suite.wants(name)) return;
  nlohmann::json row = measure(suite, kEsp, sas, size, ingress);
  if (!cycles.contains(one))
    cycles[one] = measure(suite, kEsp, 1, size, ingress)["cycles_per_packet"];
  row["goal"] = goal_of_sas(sas);
  row["goal_of"] = "of one SA";
  row["ratio"] = row["cycles_per_packet"].get<double>() / cycles[one];
  put(suite, name, row);
}

}  // namespace

void one_core_rows(Suite& suite) {
  const bool full = suite.options().full;
  std::map<std::string, double> cycles;  // of one SA, by name
  if (suite.wants_one_sa())
    for (const Combination& line : {kClear, kEsp, kMacsec, kEspMacsec})
      for (const std::uint16_t size : kSizes)
        if (full || (is_usual(size) && (size != 0 || line.stages != kClear.stages)))
          for (const bool ingress : {false, true}) one_sa(suite, line, size, ingress, cycles);
  const std::vector<unsigned>& asked = suite.options().sas;
  for (const unsigned sas : kManySas) {
    const bool by_name = std::find(asked.begin(), asked.end(), sas) != asked.end();
    if (asked.empty() ? !full && sas != kUsualSas : !by_name) continue;
    for (const std::uint16_t size : kSizes)
      if (is_usual(size) && (full || by_name || size != 0))
        for (const bool ingress : {false, true}) many_sas(suite, sas, size, ingress, cycles);
  }
}

}  // namespace sealwire::perf
