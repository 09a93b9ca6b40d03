// What `sealwire show`, the API and the telemetry sockets serve: counters of lines, ports, SAs,
// SecYs, drops and cores as JSON, with rates computed once a second.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/control/engines.h"
#include "app/control/gateway/slow_path.h"
#include "app/control/line_control.h"
#include "app/control/port.h"
#include "crypto/engines/measure.h"
#include "pipelines/worker.h"

namespace sealwire::control {

// One lane as figures see it.
struct LaneView {
  std::size_t line = 0;
  pipelines::Direction direction{};
  std::size_t worker = 0;
  const pipelines::Lane* lane = nullptr;
};

// The auto engine's plan: for every algorithm, direction and size class what each candidate took
// and which was chosen. Candidates that cannot do it are left out; empty when nothing was measured.
nlohmann::json crypto_plan(const crypto::Measurement& measurement, std::uint64_t tsc_hz);

// What figures are taken from; everything belongs to the Appliance and outlives the Figures.
struct FiguresSource {
  const std::vector<std::unique_ptr<LineControl>>* lines = nullptr;
  const std::vector<OpenPort>* ports = nullptr;
  const std::vector<std::unique_ptr<pipelines::Worker>>* workers = nullptr;
  const std::vector<LaneView>* lanes = nullptr;
  const std::vector<std::unique_ptr<GatewaySlowPath>>* slow_paths = nullptr;  // by line
  const Engines* engines = nullptr;
  std::uint64_t tsc_hz = 1;
};

// Control thread only. Nothing here is secret: keys are not reachable from it.
class Figures {
 public:
  explicit Figures(FiguresSource source) : source_(source) {}

  // Once a second: rates are differences to the sample before.
  void sample(Clock::time_point now);

  // `line` empty: all. docs/reference/api.md names the fields.
  nlohmann::json lines(const std::string& line = {}) const;
  nlohmann::json ports(const std::string& line = {}) const;
  // The first `limit` SAs only.
  nlohmann::json sas(const std::string& line = {}, std::size_t limit = SIZE_MAX) const;
  nlohmann::json secys(const std::string& line = {}) const;
  nlohmann::json drops(const std::string& line = {}, bool all = false) const;
  // Next hops of gateway lines, and what those did by themselves.
  nlohmann::json neighbours(const std::string& line = {}) const;
  nlohmann::json gateways(const std::string& line = {}) const;
  nlohmann::json cores() const;
  nlohmann::json crypto() const;

 private:
  struct Totals {
    std::uint64_t rx_packets = 0, rx_octets = 0, tx_packets = 0, tx_octets = 0;
    std::uint64_t linearised = 0, tx_retries = 0;
    std::array<std::uint64_t, pipelines::kDropReasons> drops{};
    std::uint64_t dropped() const;  // of kind `lost`
  };
  // A counter's rate per second over the last sample.
  struct Rate {
    std::uint64_t last = 0;
    double per_second = 0;
    void sample(std::uint64_t now, double seconds) {
      per_second = seconds > 0 ? static_cast<double>(now - last) / seconds : 0;
      last = now;
    }
  };
  struct FlowRates {
    Rate rx_packets, rx_octets, tx_packets, tx_octets;
  };
  struct CoreRates {
    Rate busy, total, loops, sleeps;
    double load = 0;
  };
  Totals totals(std::size_t line, pipelines::Direction direction) const;
  nlohmann::json flow(std::size_t line, pipelines::Direction direction) const;

  FiguresSource source_;
  Clock::time_point sampled_{};
  std::map<std::pair<std::size_t, pipelines::Direction>, FlowRates> flows_;
  std::map<std::pair<std::size_t, pipelines::Direction>, std::array<Rate, pipelines::kDropReasons>>
      drops_;
  std::map<std::uint16_t, FlowRates> ports_;
  std::map<std::size_t, CoreRates> cores_;
};

}  // namespace sealwire::control
