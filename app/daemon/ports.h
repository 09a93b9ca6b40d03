// Opening, starting and closing the DPDK devices behind the ports of the configuration.
#pragma once

#include <string>
#include <vector>

#include "app/control/port.h"
#include "config/model.h"
#include "crypto/result.h"

namespace sealwire::daemon {

class Ports {
 public:
  // Opens and starts all ports. Errors name the port and what its driver said: SW-POR-001 no such
  // device, SW-POR-002 the device refuses a setting, SW-POR-003 out of memory. What was opened is
  // closed again on an error.
  static Result<Ports> open(const config::Document& document);
  Ports(Ports&& other) noexcept;
  Ports& operator=(Ports&&) = delete;
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;
  ~Ports();
  // Stops and closes all, then frees their buffers; no worker may run any more.
  void close();

  const std::vector<control::OpenPort>& all() const { return ports_; }

 private:
  Ports() = default;
  Result<void> open_one(const config::Document& document, const config::Port& port);
  std::vector<control::OpenPort> ports_;
};

}  // namespace sealwire::daemon
