// Which worker serves which line direction, and from which receive queues.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "app/control/port.h"
#include "config/model.h"
#include "crypto/result.h"
#include "pipelines/line.h"

namespace sealwire::control {

struct LanePlan {
  std::size_t line = 0;  // index into the document's lines
  pipelines::Direction direction{};
  std::size_t worker = 0;  // 0-based
  pipelines::Spread spread{};
  struct Queue {
    std::uint8_t port;  // index into the line's receiving ports
    std::uint16_t queue;
  };
  std::vector<Queue> queues;
};

// Lanes in the order of lines, egress first. A direction with one core is `alone` on the worker
// that has the fewest lanes; one with several is in turn: with queues of their own where every
// receiving port has enough, else sharing them. Errors: SW-CTL-001 more cores asked for than
// system.workers has, SW-CTL-002 a core that is no worker.
Result<std::vector<LanePlan>> plan_workers(const config::Document& document,
                                           std::span<const OpenPort> ports);

}  // namespace sealwire::control
