// The rows of a run and the file that they go to; docs/benchmarking.md names the fields.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sealwire::perf {

struct Figure {
  double median = 0, spread = 0;  // spread: (largest - smallest) / median
};
Figure figure_of(std::vector<double> runs);

/// What perf/compare pairs rows by.
struct Subject {
  std::string workload, algorithm;
  std::uint32_t size = 0;  // octets; 0: IMIX
  std::string direction;
  unsigned cores = 1, sas = 1;
};
nlohmann::json row_of(const Subject& subject);

/// Of packets that have `octets` on average: TSC cycles of all cores for each, and the rates that
/// follow from them.
nlohmann::json row_of(const Subject& subject, const Figure& cycles, double octets);

/// The file of these rows. perf/run adds what it knows without us.
void write_results(const std::string& file, const std::string& engine, const nlohmann::json& rows);

/// Exit code of a benchmark that has no row of the wanted names.
inline constexpr int kNoRow = 3;

}  // namespace sealwire::perf
