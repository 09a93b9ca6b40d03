// One row of one core, with the I/O floor and the crypto cost of the same run beside it.
#pragma once

#include <span>

#include "perf/pipeline/suite.h"

namespace sealwire::perf {

inline constexpr auto kUsualAlgorithm = crypto::Algorithm::aes_gcm_128;
inline constexpr auto kUsualSuite = pipelines::CipherSuite::gcm_aes_128;

struct Ciphers {
  crypto::Algorithm esp = kUsualAlgorithm;
  pipelines::CipherSuite macsec = kUsualSuite;
  std::string name = std::string(crypto::info(esp).name);  // in the row
};

struct Case {
  Combination line;
  std::uint16_t size;  // of frames; 0: IMIX
  bool ingress;
  unsigned sas = 1;  // of ESP
  Ciphers ciphers = {};
};

/// TSC cycles per packet, by run. What has the same index was measured right after one another: a
/// clock that changes from run to run changes all of it.
struct Runs {
  std::vector<double> total, floor, crypto;
  std::vector<std::vector<double>> beside;
};

struct Measured {
  nlohmann::json row;
  Runs runs;
};

/// Throws where a packet is lost. `beside`: what else each run measures, because the goal is in
/// proportion to it; left empty with --no-goals.
Measured measure(Suite& suite, const Case& what, std::span<const Case> beside = {});

/// Sets the row's goal, and its ratio: the median of `of(run)` over all runs.
template <class Of>
void set_goal(Measured& measured, double goal, const std::string& of_what, Of of) {
  std::vector<double> ratios;
  for (std::size_t run = 0; run < measured.runs.total.size(); ++run) ratios.push_back(of(run));
  set_ratio(measured.row, figure_of(std::move(ratios)), goal);
  measured.row["goal_of"] = of_what;
}

/// Prints the row and adds it.
void put(Suite& suite, const std::string& name, const nlohmann::json& row);

}  // namespace sealwire::perf
