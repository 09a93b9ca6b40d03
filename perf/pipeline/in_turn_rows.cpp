#include <fmt/format.h>

#include <algorithm>

#include "perf/pipeline/in_turn.h"
#include "perf/pipeline/measure.h"
#include "pipelines/burst.h"

namespace sealwire::perf {
namespace {

using pipelines::Spread;

constexpr std::uint16_t kSizesInTurn[] = {64, 1420, 0};
// Cycles of a hop: below the first the two are threads of one core, which no goal is for; below the
// second cores are near. On a virtual machine it changes within minutes.
constexpr double kOneCore = 80, kNear = 250;

struct Shared {
  const Combination& line;
  bool ingress;
  Spread spread;
  std::uint16_t size;
};

// The least speed-up; of ingress stated after it was measured.
std::optional<double> goal_of(const Shared& c, double hop) {
  if (hop < kOneCore) return std::nullopt;
  const bool near = hop < kNear, small = c.size == 64;
  if (c.ingress) return small ? (near ? 1.6 : 1.35) : (near ? 1.7 : 1.55);
  if (!small) return near ? 1.85 : 1.7;
  if (near) return 1.75;
  return c.spread == Spread::own_queues ? 1.65 : 1.45;
}

// Cores may not be equally fast at a time. With a shared queue the mean of their rates counts; with
// own queues each has half of the packets, and the slower decides.
double one_core(double here, double there, bool own_queues) {
  return own_queues ? std::max(here, there) : 2 / (1 / here + 1 / there);
}

bool is_usual(const Shared& c) {
  const bool plain = !c.ingress && c.spread == Spread::shared_queue;
  if (c.size == 64) return c.line.stages.esp || plain;
  return c.size == 1420 && c.line.stages.esp && plain;
}

void put(Suite& suite, const std::string& name, double before, const nlohmann::json& row) {
  const auto of = [](const nlohmann::json& v) { return v.get<double>(); };
  const auto& turns = row["turns"];
  const auto& predicted = row["predicted"];
  suite.print(
      fmt::format("{:<34} {:>8} {:>6} {:>7} {:>5} {:>6} {:>8} {:>6} {:>6} {:>24} {:>5} {:>22}  {}",
                  "row", "one core", "two", "spread", "floor", "crypto", "overhead", "Mpps",
                  "Gbit/s", "times quartiles (goal)", "hop", "turns: rx, number, tx",
                  "predicted times with 4, 8, 16 cores"),
      fmt::format(
          "{:<34} {:8.0f} {:6.0f} {:6.1f}% {:5.0f} {:6.0f} {:8.0f} {:6.2f} {:6.2f} {:>24} {:5.0f} "
          "{:>22}  {:.1f}, {:.1f}, {:.1f}",
          name, before, of(row["cycles_per_packet"]) / 2, 100 * of(row["spread"]),
          of(row["io_floor"]), of(row["crypto"]), of(row["overhead"]), of(row["mpps"]),
          of(row["gbps"]), text_of_ratio(row), of(row["hop"]),
          fmt::format("{:.1f}, {:.1f}, {:.1f}", of(turns["receive"]), of(turns["number"]),
                      of(turns["send"])),
          of(predicted["4"]), of(predicted["8"]), of(predicted["16"])));
  suite.add(row);
}

void one(Suite& suite, const Shared& c, unsigned other_lcore) {
  const bool own = c.spread == Spread::own_queues;
  const std::string name =
      name_of(c.line, c.ingress, c.size) + (own ? " 2 own queues" : " 2 in turn");
  if (!suite.wants(name)) return;
  const Sizes sizes = sizes_of(c.size);
  InTurn here(c.line.stages, Spread::alone, suite.lcores().first(1), suite.factory(),
              suite.many_packets());
  InTurn there(c.line.stages, Spread::alone, suite.lcores().last(1), suite.factory(),
               suite.many_packets());
  InTurn shared(c.line.stages, c.spread, suite.lcores(), suite.factory(), suite.many_packets());
  std::vector<double> one, two, times, hops;
  for (std::size_t run = 0; run <= kRuns; ++run) {  // the first warms up
    const double of_one = one_core(here.run(sizes, c.ingress), there.run(sizes, c.ingress), own);
    const double of_two = shared.run(sizes, c.ingress);
    const double hop = hop_to(other_lcore);
    if (run == 0) continue;
    one.push_back(of_one);
    two.push_back(of_two);
    times.push_back(of_one / of_two);  // at the clock of this moment
    hops.push_back(hop);
  }
  const double before = figure_of(one).median, hop = figure_of(hops).median;
  const Figure wall = figure_of(two);
  const TurnTimes turns = shared.turn_times(c.ingress);
  const nlohmann::json alike = measure(suite, {c.line, c.size, c.ingress}).row;
  nlohmann::json row = row_of(
      {.workload = "pipeline " + std::string(c.line.name) + (own ? " own queues" : " in turn"),
       .algorithm = alike["algorithm"],
       .size = c.size,
       .direction = alike["direction"],
       .cores = 2},
      {.median = 2 * wall.median, .spread = wall.spread}, mean_of(sizes));
  row["io_floor"] = alike["io_floor"];
  row["crypto"] = alike["crypto"];
  row["overhead"] =
      2 * wall.median - alike["io_floor"].get<double>() - alike["crypto"].get<double>();
  set_ratio(row, figure_of(times), goal_of(c, hop));
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
          const Shared c{line, ingress, spread, size};
          if (ingress && spread == Spread::own_queues) continue;
          if (suite.options().full || is_usual(c)) one(suite, c, *other);
        }
}

}  // namespace sealwire::perf
