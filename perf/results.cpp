#include "perf/results.h"

#include <fmt/format.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_version.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace sealwire::perf {

Figure figure_of(std::vector<double> runs) {
  std::sort(runs.begin(), runs.end());
  const double median = runs[runs.size() / 2];
  const double lower = runs[runs.size() / 4], upper = runs[runs.size() * 3 / 4];
  return {median, lower, upper, median > 0 ? (upper - lower) / median : 0};
}

nlohmann::json row_of(const Subject& subject) {
  return {{"workload", subject.workload},
          {"algorithm", subject.algorithm},
          {"size", subject.size == 0 ? nlohmann::json("IMIX") : nlohmann::json(subject.size)},
          {"direction", subject.direction},
          {"cores", subject.cores},
          {"sas", subject.sas}};
}

nlohmann::json row_of(const Subject& subject, const Figure& cycles, double octets) {
  nlohmann::json row = row_of(subject);
  const double pps = subject.cores * static_cast<double>(rte_get_tsc_hz()) / cycles.median;
  row["cycles_per_packet"] = cycles.median;
  row["spread"] = cycles.spread;
  row["mpps"] = pps / 1e6;
  row["gbps"] = pps * octets * 8 / 1e9;
  return row;
}

void set_ratio(nlohmann::json& row, const Figure& ratio, std::optional<double> goal) {
  row["ratio"] = ratio.median;
  row["ratio_quartiles"] = {ratio.lower, ratio.upper};
  if (goal) row["goal"] = *goal;
}

std::string text_of_ratio(const nlohmann::json& row) {
  const auto of = [](const nlohmann::json& value) { return value.get<double>(); };
  const nlohmann::json& quartiles = row["ratio_quartiles"];
  return fmt::format("{:.2f} {:.2f}..{:.2f} ({})", of(row["ratio"]), of(quartiles[0]),
                     of(quartiles[1]),
                     row.contains("goal") ? fmt::format("{:.2f}", of(row["goal"])) : "-");
}

void write_results(const std::string& file, const std::string& engine, const nlohmann::json& rows) {
  const nlohmann::json machine = {{"tsc_hz", rte_get_tsc_hz()},
                                  {"hugepages", rte_eal_has_hugepages() != 0},
                                  {"libraries",
                                   {{"dpdk", rte_version()},
                                    {"ipsec-mb", imb_get_version_str()},
                                    {"openssl", OpenSSL_version(OPENSSL_VERSION)}}}};
  std::ofstream out(file);
  out << nlohmann::json{{"machine", machine}, {"engine", engine}, {"rows", rows}}.dump(1) << '\n';
  if (!out.flush()) throw std::runtime_error("cannot write " + file);
}

}  // namespace sealwire::perf
