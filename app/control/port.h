// A port as the control thread knows it once the daemon has opened it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "config/model.h"

struct rte_mempool;

namespace sealwire::control {

struct OpenPort {
  std::string name;
  std::string device;    // as configured
  std::uint16_t id = 0;  // ethdev port number
  std::uint16_t mtu = 0;
  std::uint16_t rx_queues = 1;
  std::array<std::uint8_t, 6> mac{};
  rte_mempool* pool = nullptr;  // of received packets
};

}  // namespace sealwire::control
