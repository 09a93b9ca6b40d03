#include "crypto/engines/measure.h"

#include <algorithm>

#include "crypto/engines/timed_burst.h"

namespace sealwire::crypto {
namespace {

constexpr std::uint16_t kPackets = 16;
constexpr int kBursts = 4;
constexpr double kClearlyFaster = 0.97;

double best_of(Engine& engine, Algorithm algorithm, Direction direction, SizeClass size) {
  const std::vector<std::uint8_t> octets(info(algorithm).key_length(), 0x11);
  const auto key = engine.make_key(algorithm, SecretBytes(octets), KeyUse{});
  if (!key) return TimedBurst::kNever;
  TimedBurst burst(**key, typical_octets(size), kPackets);
  if (!burst.prepare(engine, direction)) return TimedBurst::kNever;
  double best = TimedBurst::kNever;
  for (int i = 0; i < kBursts; ++i) best = std::min(best, burst.run(engine, direction));
  return best;
}

EngineCost measure(const std::vector<std::unique_ptr<Engine>>& candidates, Algorithm algorithm,
                   Direction direction, SizeClass size) {
  EngineCost cost{algorithm, direction, size, std::vector<double>(candidates.size()),
                  EnginePlan::kNone};
  double best = TimedBurst::kNever;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i]->supports(algorithm)) continue;
    const double taken = best_of(*candidates[i], algorithm, direction, size);
    if (taken == TimedBurst::kNever) continue;
    cost.nanoseconds[i] = taken;
    if (cost.chosen == EnginePlan::kNone || taken < best * kClearlyFaster) {
      best = taken;
      cost.chosen = static_cast<std::uint8_t>(i);
    }
  }
  return cost;
}

}  // namespace

EnginePlan plan_by_measuring(const std::vector<std::unique_ptr<Engine>>& candidates,
                             Measurement& measurement) {
  measurement = {};
  for (const auto& candidate : candidates) measurement.candidates.emplace_back(candidate->name());
  EnginePlan plan;
  for (const AlgorithmInfo& facts : all_algorithms()) {
    for (const Direction direction : {Direction::seal, Direction::open}) {
      for (const SizeClass size : {SizeClass::small, SizeClass::medium, SizeClass::large}) {
        EngineCost cost = measure(candidates, facts.algorithm, direction, size);
        plan.choose(facts.algorithm, direction, size, cost.chosen);
        measurement.costs.push_back(std::move(cost));
      }
    }
  }
  return plan;
}

}  // namespace sealwire::crypto
