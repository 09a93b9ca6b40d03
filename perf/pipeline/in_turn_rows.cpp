#include <fmt/format.h>

#include <algorithm>

#include "perf/pipeline/in_turn.h"
#include "perf/pipeline/measure.h"
#include "pipelines/burst.h"

namespace sealwire::perf {
namespace {

using pipelines::Spread;

constexpr std::uint16_t kSizesInTurn[] = {64, 1420, 0};
constexpr double kNear = 250;  // cycles of a hop between cores that are near

struct Case {
  const Combination& line;
  bool ingress;
  Spread spread;
  std::uint16_t size;
};

// The least speed-up; of ingress stated after it was measured.
double goal_of(const Case& c, double hop) {
  const bool near = hop < kNear, small = c.size == 64;
  if (c.ingress) return small ? (near ? 1.6 : 1.35) : (near ? 1.7 : 1.55);
  if (!small) return near ? 1.85 : 1.7;
  if (near) return 1.75;
  return c.spread == Spread::own_queues ? 1.65 : 1.45;
}

bool is_usual(const Case& c) {
  const bool plain = !c.ingress && c.spread == Spread::shared_queue;
  if (c.size == 64) return c.line.stages.esp || plain;
  return c.size == 1420 && c.line.stages.esp && plain;
}

void put(Suite& suite, const std::string& name, double before, const nlohmann::json& row) {
  const auto of = [](const nlohmann::json& v) { return v.get<double>(); };
  const auto& turns = row["turns"];
  const auto& predicted = row["predicted"];
  suite.print(
      fmt::format("{:<36} {:>8} {:>8} {:>7} {:>8} {:>13} {:>6} {:>22} {}", "row", "one core", "two",
                  "spread", "Mpps", "times (goal)", "hop", "turns: rx, number, tx",
                  "predicted times with 4, 8, 16 cores"),
      fmt::format(
          "{:<36} {:8.0f} {:8.1f} {:6.1f}% {:8.2f} {:>13} {:6.0f} {:>22} {:.1f}, {:.1f}, {:.1f}",
          name, before, of(row["cycles_per_packet"]) / 2, 100 * of(row["spread"]), of(row["mpps"]),
          fmt::format("{:.2f} ({:.2f})", of(row["ratio"]), of(row["goal"])), of(row["hop"]),
          fmt::format("{:.1f}, {:.1f}, {:.1f}", of(turns["receive"]), of(turns["number"]),
                      of(turns["send"])),
          of(predicted["4"]), of(predicted["8"]), of(predicted["16"])));
  suite.add(row);
}

void one(Suite& suite, const Case& c, unsigned other_lcore) {
  const bool own = c.spread == Spread::own_queues;
  const std::string name =
      name_of(c.line, c.ingress, c.size) + (own ? " 2 own queues" : " 2 in turn");
  if (!suite.wants(name)) return;
  const Sizes sizes = sizes_of(c.size);
  InTurn alone(c.line.stages, Spread::alone, suite.lcores().first(1), suite.factory(),
               suite.many_packets());
  InTurn shared(c.line.stages, c.spread, suite.lcores(), suite.factory(), suite.many_packets());
  std::vector<double> one, two, hops;
  for (std::size_t run = 0; run <= kRuns; ++run) {  // the first warms up
    const double of_one = alone.run(sizes, c.ingress), of_two = shared.run(sizes, c.ingress);
    hops.push_back(hop_to(other_lcore));
    if (run == 0) continue;
    one.push_back(of_one);
    two.push_back(of_two);
  }
  const double before = figure_of(one).median, hop = figure_of(hops).median;
  const Figure wall = figure_of(two);
  const TurnTimes turns = shared.turn_times(c.ingress);
  const nlohmann::json alike = measure(suite, c.line, 1, c.size, c.ingress);
  nlohmann::json row = row_of(
      {.workload = "pipeline " + std::string(c.line.name) + (own ? " own queues" : " in turn"),
       .algorithm = alike["algorithm"],
       .size = c.size,
       .direction = alike["direction"],
       .cores = 2},
      {2 * wall.median, wall.spread}, mean_of(sizes));
  row["io_floor"] = alike["io_floor"];
  row["crypto"] = alike["crypto"];
  row["overhead"] =
      2 * wall.median - alike["io_floor"].get<double>() - alike["crypto"].get<double>();
  row["ratio"] = before / wall.median;
  row["goal"] = goal_of(c, hop);
  row["hop"] = hop;
  row["turns"] = {{"receive", turns.receive}, {"number", turns.number}, {"send", turns.send}};
  // Every burst passes its turns one after the other, each with a hop from the worker before.
  const double least = turns.longest() + hop / pipelines::kBurstPackets;
  for (const unsigned cores : {4U, 8U, 16U})
    row["predicted"][std::to_string(cores)] = before / std::max(2 * wall.median / cores, least);
  put(suite, name, before, row);
}

}  // namespace

void in_turn_rows(Suite& suite) {
  const auto other = suite.other_lcore();
  if (!other || !suite.wants_one_sa()) return;
  for (const Combination& line : {kEsp, kMacsec})
    for (const bool ingress : {false, true})
      for (const Spread spread : {Spread::shared_queue, Spread::own_queues})
        for (const std::uint16_t size : kSizesInTurn) {
          const Case c{line, ingress, spread, size};
          if (ingress && spread == Spread::own_queues) continue;
          if (suite.options().full || is_usual(c)) one(suite, c, *other);
        }
}

}  // namespace sealwire::perf
