#include "app/control/worker_plan.h"

#include <algorithm>
#include <string>

namespace sealwire::control {
namespace {

using pipelines::Direction;
using pipelines::Spread;

Result<std::vector<std::size_t>> workers_of(const config::Document& document,
                                            const config::Line& line, Direction direction,
                                            std::vector<unsigned>& load) {
  const bool egress = direction == Direction::egress;
  const config::Cores& cores = egress ? line.workers.egress : line.workers.ingress;
  const std::string place = "lines." + line.name + ".workers." + (egress ? "egress" : "ingress");
  std::vector<std::size_t> chosen;
  if (!cores.lcores.empty()) {
    const auto& all = document.system.workers.lcores;
    for (const auto lcore : cores.lcores) {
      const auto found = std::find(all.begin(), all.end(), lcore);
      if (found == all.end()) {
        return fail("SW-CTL-002", place + ": core " + std::to_string(lcore) + " is no worker",
                    "name cores that system.workers lists");
      }
      chosen.push_back(static_cast<std::size_t>(found - all.begin()));
    }
  } else {
    const std::size_t count = std::max<std::size_t>(cores.count, 1);
    if (count > load.size()) {
      return fail("SW-CTL-001",
                  place + ": " + std::to_string(count) + " cores, but system.workers has " +
                      std::to_string(load.size()),
                  "raise system.workers or lower this");
    }
    std::vector<std::size_t> order(load.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&load](std::size_t a, std::size_t b) { return load[a] < load[b]; });
    chosen.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(chosen.begin(), chosen.end());
  }
  for (const std::size_t worker : chosen) ++load[worker];
  return chosen;
}

}  // namespace

Result<std::vector<LanePlan>> plan_workers(const config::Document& document,
                                           std::span<const OpenPort> ports) {
  std::vector<LanePlan> plan;
  std::vector<unsigned> load(std::max<std::size_t>(document.system.workers.count, 1), 0);
  for (std::size_t index = 0; index < document.lines.size(); ++index) {
    const config::Line& line = document.lines[index];
    for (const Direction direction : {Direction::egress, Direction::ingress}) {
      const auto workers = workers_of(document, line, direction, load);
      if (!workers) return tl::unexpected(workers.error());
      const auto& names = direction == Direction::egress ? line.inside : line.outside;
      std::vector<std::uint16_t> queues;
      for (const std::string& name : names) {
        const auto port = std::find_if(ports.begin(), ports.end(),
                                       [&name](const OpenPort& p) { return p.name == name; });
        queues.push_back(port == ports.end() ? std::uint16_t{1} : port->rx_queues);
      }
      const std::size_t count = workers->size();
      // RSS may spread what comes in clear; nobody spreads 0x88E5 or one SPI.
      const bool own = direction == Direction::egress && count > 1 &&
                       std::all_of(queues.begin(), queues.end(),
                                   [count](std::uint16_t n) { return n >= count; });
      const bool in_turn = count > 1 || line.workers.mode == config::WorkerMode::in_turn;
      const Spread spread = own       ? Spread::own_queues
                            : in_turn ? Spread::shared_queue
                                      : Spread::alone;
      for (std::size_t k = 0; k < count; ++k) {
        LanePlan lane{index, direction, (*workers)[k], spread, {}};
        for (std::size_t p = 0; p < queues.size(); ++p) {
          for (std::uint16_t q = 0; q < queues[p]; ++q) {
            if (own && q % count != k) continue;
            lane.queues.push_back({static_cast<std::uint8_t>(p), q});
          }
        }
        plan.push_back(std::move(lane));
      }
    }
  }
  return plan;
}

}  // namespace sealwire::control
