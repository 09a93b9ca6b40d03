// The same figures for Prometheus, over HTTP: docs/reference/metrics.md names them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "app/control/figures.h"
#include "config/model.h"
#include "crypto/result.h"

namespace sealwire::control {

// Served by threads of its own, which read a copy that the control thread makes once a second and
// never touch the tables.
class Metrics {
 public:
  // Error SW-CTL-031: the address cannot be listened on.
  static Result<std::unique_ptr<Metrics>> serve(const config::Endpoint& where);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Control thread. `mka`: what show.mka tells.
  void update(const Figures& figures, const nlohmann::json& mka);

 private:
  struct Parts;
  explicit Metrics(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace sealwire::control
