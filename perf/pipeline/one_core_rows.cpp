#include <algorithm>

#include "perf/pipeline/measure.h"

namespace sealwire::perf {
namespace {

constexpr unsigned kManySas[] = {64, 4096, 100'000};
constexpr unsigned kUsualSas = 4096;

// The greatest (total - floor) / crypto, of 64 octets and above; of ESP the egress.
constexpr double kEspSmall = 1.0, kEspLarge = 0.95, kMacsecSmall = 0.95, kMacsecLarge = 0.93;
constexpr double kIngress = 1.1;  // of ESP, in proportion to egress
constexpr double kBoth = 1.0;     // of both stages, in proportion to each alone less one floor

// With several SAs: the greatest cycles in proportion to one SA's.
double goal_of_sas(unsigned sas) { return sas > 4096 ? 2.2 : 1.4; }

void in_proportion_to_crypto(Measured& measured, double goal) {
  const Runs& runs = measured.runs;
  set_goal(measured, goal, "of the crypto", [&runs](std::size_t run) {
    return (runs.total[run] - runs.floor[run]) / runs.crypto[run];
  });
}

void in_proportion(Measured& measured, double goal, const char* of_what) {
  const Runs& runs = measured.runs;
  set_goal(measured, goal, of_what,
           [&runs](std::size_t run) { return runs.total[run] / runs.beside[0][run]; });
}

Measured esp(Suite& suite, std::uint16_t size, bool ingress) {
  const Case egress{kEsp, size, false};
  if (!ingress) {
    Measured measured = measure(suite, egress);
    in_proportion_to_crypto(measured, size == 64 ? kEspSmall : kEspLarge);
    return measured;
  }
  Measured measured = measure(suite, {kEsp, size, true}, {{egress}});
  if (!measured.runs.beside.empty()) in_proportion(measured, kIngress, "of egress");
  return measured;
}

Measured macsec(Suite& suite, std::uint16_t size, bool ingress) {
  Measured measured = measure(suite, {kMacsec, size, ingress});
  in_proportion_to_crypto(measured, size == 64 ? kMacsecSmall : kMacsecLarge);
  return measured;
}

Measured both(Suite& suite, std::uint16_t size, bool ingress) {
  Measured measured = measure(suite, {kEspMacsec, size, ingress},
                              {{{kEsp, size, ingress}, {kMacsec, size, ingress}}});
  const Runs& runs = measured.runs;
  if (!runs.beside.empty())
    set_goal(measured, kBoth, "of each alone", [&runs](std::size_t run) {
      return runs.total[run] / (runs.beside[0][run] + runs.beside[1][run] - runs.floor[run]);
    });
  return measured;
}

Measured clear(Suite& suite, std::uint16_t size, bool ingress) {
  return measure(suite, {kClear, size, ingress});
}

constexpr struct {
  const Combination& line;
  Measured (*measured)(Suite&, std::uint16_t size, bool ingress);
} kLines[] = {{kClear, clear}, {kEsp, esp}, {kMacsec, macsec}, {kEspMacsec, both}};

void many_sas(Suite& suite, unsigned sas, std::uint16_t size, bool ingress) {
  const std::string name = name_of(kEsp, ingress, size) + " " + std::to_string(sas) + " SAs";
  if (!suite.wants(name)) return;
  Measured measured = measure(suite, {kEsp, size, ingress, sas}, {{{kEsp, size, ingress}}});
  if (!measured.runs.beside.empty()) in_proportion(measured, goal_of_sas(sas), "of one SA");
  put(suite, name, measured.row);
}

}  // namespace

void one_core_rows(Suite& suite) {
  const bool full = suite.options().full;
  if (suite.wants_one_sa())
    for (const auto& [line, measured] : kLines)
      for (const std::uint16_t size : kSizes)
        if (full || (is_usual(size) && (size != 0 || line.stages != kClear.stages)))
          for (const bool ingress : {false, true}) {
            const std::string name = name_of(line, ingress, size);
            if (suite.wants(name)) put(suite, name, measured(suite, size, ingress).row);
          }
  const std::vector<unsigned>& asked = suite.options().sas;
  for (const unsigned sas : kManySas) {
    const bool by_name = std::find(asked.begin(), asked.end(), sas) != asked.end();
    if (asked.empty() ? !full && sas != kUsualSas : !by_name) continue;
    for (const std::uint16_t size : kSizes)
      if (is_usual(size) && (full || by_name || size != 0))
        for (const bool ingress : {false, true}) many_sas(suite, sas, size, ingress);
  }
}

}  // namespace sealwire::perf
