// The rows of a run and the file that they go to; docs/benchmarking.md names the fields.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace sealwire::perf {

/// The median of some runs, the quartiles around it, and (upper - lower) / median. Not the
/// extremes: of enough runs on a virtual machine one always falls into a moment when its core was
/// away.
struct Figure {
  double median = 0, lower = 0, upper = 0, spread = 0;
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

/// Sets a row's `ratio` with its quartiles, and the `goal` that it is to reach, if it has one.
void set_ratio(nlohmann::json& row, const Figure& ratio, std::optional<double> goal);

/// The ratio as it is printed: median, quartiles, and in brackets the goal.
std::string text_of_ratio(const nlohmann::json& row);

/// The file of these rows. perf/run adds what it knows without us.
void write_results(const std::string& file, const std::string& engine, const nlohmann::json& rows);

/// Exit code of a benchmark that has no row of the wanted names.
inline constexpr int kNoRow = 3;

}  // namespace sealwire::perf
