#include "crypto/engines/measure.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "crypto/engines/timed_burst.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

std::string processor() {
  std::string name;
#if defined(__x86_64__)
  for (unsigned leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    std::array<unsigned, 4> part{};
    if (__get_cpuid(leaf, &part[0], &part[1], &part[2], &part[3]) == 0) break;
    name.append(reinterpret_cast<const char*>(part.data()), sizeof part);
  }
  name.resize(name.find_last_not_of(std::string(" ") + '\0') + 1);
  std::array<unsigned, 4> seven{};  // its features: a hypervisor may hide some of them
  __get_cpuid_count(7, 0, &seven[0], &seven[1], &seven[2], &seven[3]);
  name += ", " + std::to_string(seven[1]) + ' ' + std::to_string(seven[2]);
#endif
  return name;
}

constexpr const char* kCompiled =
#if !defined(__OPTIMIZE__)
    "not optimised";
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    "sanitized";
#else
    "optimised";
#endif

std::vector<std::string> names_of(const std::vector<std::unique_ptr<Engine>>& candidates) {
  std::vector<std::string> names;
  for (const auto& candidate : candidates) names.emplace_back(candidate->name());
  return names;
}

}  // namespace

std::string machine_of_measurement() {
  return processor() + "; " + imb_get_version_str() + "; " + OpenSSL_version(OPENSSL_VERSION) +
         "; " + kCompiled;
}

std::optional<EnginePlan> plan_of(const Measurement& earlier,
                                  const std::vector<std::unique_ptr<Engine>>& candidates) {
  if (earlier.machine != machine_of_measurement() || earlier.candidates != names_of(candidates) ||
      earlier.costs.size() != kAlgorithmCount * 2 * kSizeClassCount)
    return std::nullopt;
  EnginePlan plan;
  for (const EngineCost& cost : earlier.costs) {
    const bool supported = std::any_of(candidates.begin(), candidates.end(), [&](const auto& one) {
      return one->supports(cost.algorithm);
    });
    if (cost.chosen == EnginePlan::kNone && supported) return std::nullopt;
    plan.choose(cost.algorithm, cost.direction, cost.size, cost.chosen);
  }
  return plan.fits(candidates) ? std::optional(plan) : std::nullopt;
}

EnginePlan plan_by_measuring(const std::vector<std::unique_ptr<Engine>>& candidates,
                             Measurement& measurement) {
  measurement = {machine_of_measurement(), names_of(candidates), {}, false};
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
