#include "app/control/plan_cache.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sealwire::control {
namespace {

using nlohmann::json;

json to_json(const crypto::Measurement& measurement) {
  json costs = json::array();
  for (const crypto::EngineCost& cost : measurement.costs)
    costs.push_back({{"algorithm", static_cast<unsigned>(cost.algorithm)},
                     {"name", crypto::info(cost.algorithm).name},
                     {"direction", static_cast<unsigned>(cost.direction)},
                     {"size", static_cast<unsigned>(cost.size)},
                     {"nanoseconds", cost.nanoseconds},
                     {"chosen", cost.chosen}});
  return {{"machine", measurement.machine},
          {"candidates", measurement.candidates},
          {"costs", std::move(costs)}};
}

unsigned below(const json& value, std::size_t end) {
  const auto number = value.get<unsigned>();
  if (number >= end) throw std::out_of_range("crypto plan");
  return number;
}

// Throws where it is none.
crypto::Measurement from_json(const json& plan) {
  crypto::Measurement measurement;
  measurement.machine = plan.at("machine").get<std::string>();
  measurement.candidates = plan.at("candidates").get<std::vector<std::string>>();
  for (const json& row : plan.at("costs")) {
    crypto::EngineCost cost{};
    cost.algorithm =
        static_cast<crypto::Algorithm>(below(row.at("algorithm"), crypto::kAlgorithmCount));
    cost.direction = static_cast<crypto::Direction>(below(row.at("direction"), 2));
    cost.size = static_cast<crypto::SizeClass>(below(row.at("size"), crypto::kSizeClassCount));
    cost.nanoseconds = row.at("nanoseconds").get<std::vector<double>>();
    cost.chosen = static_cast<std::uint8_t>(below(row.at("chosen"), 256));
    if (crypto::info(cost.algorithm).name != row.at("name").get<std::string>() ||
        cost.nanoseconds.size() != measurement.candidates.size())
      throw std::out_of_range("crypto plan");
    measurement.costs.push_back(std::move(cost));
  }
  return measurement;
}

}  // namespace

std::string plan_cache_file(const std::string& directory) {
  return directory + "/crypto-plan.json";
}

crypto::Measurement read_plan(const std::string& directory) {
  std::ifstream file(plan_cache_file(directory));
  if (!file) return {};
  try {
    return from_json(json::parse(file));
  } catch (const std::exception& error) {
    spdlog::warn("{}: not a crypto plan ({}): measuring again", plan_cache_file(directory),
                 error.what());
    return {};
  }
}

void keep_plan(const std::string& directory, const crypto::Measurement& measurement) {
  if (::access(directory.c_str(), F_OK) != 0) return;
  const std::string path = plan_cache_file(directory), fresh = path + ".new";
  {
    std::ofstream file(fresh, std::ios::trunc);
    file << to_json(measurement).dump(1) << '\n';
    if (file.flush() && std::rename(fresh.c_str(), path.c_str()) == 0) return;
  }
  std::remove(fresh.c_str());
  spdlog::debug("{}: cannot be written: the next start measures again", path);
}

}  // namespace sealwire::control
