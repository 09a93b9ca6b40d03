#include "crypto/engines/measure.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>

namespace sealwire::crypto {
namespace {

constexpr std::uint16_t kPackets = 16;
constexpr int kBursts = 4;
constexpr std::uint32_t kAadOctets = 8;
constexpr std::uint32_t kIvOctets = 16;
constexpr double kClearlyFaster = 0.97;

/// A burst of packets laid out as every algorithm wants it: AAD, IV, data, tag.
class Burst {
 public:
  Burst(const AeadKey& key, std::uint32_t octets)
      : key_(key),
        octets_(octets),
        packet_(kAadOctets + kIvOctets + octets + kMaxIcvLength),
        clear_(packet_ * kPackets, 0x5a),
        memory_(clear_) {}

  /// Seals once, so that opening has something valid to work on.
  bool prepare(Engine& engine, Direction direction) {
    if (direction == Direction::seal) return true;
    const bool good = run(engine, Direction::seal) < kNever;
    clear_ = memory_;
    return good;
  }

  /// Nanoseconds a packet of one burst; kNever when an operation fails.
  double run(Engine& engine, Direction direction) {
    memory_ = clear_;
    batch_.reset(direction);
    for (std::uint16_t i = 0; i < kPackets; ++i) fill(batch_.add(), memory_.data() + packet_ * i);
    const auto begin = std::chrono::steady_clock::now();
    engine.submit(batch_);
    const auto end = std::chrono::steady_clock::now();
    for (std::uint16_t i = 0; i < kPackets; ++i) {
      if (batch_.ops[i].status != OpStatus::ok) return kNever;
    }
    return std::chrono::duration<double, std::nano>(end - begin).count() / kPackets;
  }

  static constexpr double kNever = std::numeric_limits<double>::max();

 private:
  void fill(AeadOp& op, std::uint8_t* packet) const {
    const AlgorithmInfo& facts = key_.info();
    const std::uint32_t iv = facts.cipher == Cipher::null ? 0 : kIvOctets;
    op.key = &key_;
    op.aad = packet;
    op.aad_length = kAadOctets;
    op.data = packet + kAadOctets + iv;
    op.length = octets_;
    op.tag = op.data + octets_;
    if (facts.cipher == Cipher::aes_gmac) {
      op.aad_length += iv + octets_;
      op.length = 0;
    }
    std::memset(op.iv, 1, sizeof op.iv);
    op.esn_high = 0;
  }

  const AeadKey& key_;
  std::uint32_t octets_;
  std::size_t packet_;
  std::vector<std::uint8_t> clear_, memory_;
  AeadBatch batch_;
};

double best_of(Engine& engine, Algorithm algorithm, Direction direction, SizeClass size) {
  const std::vector<std::uint8_t> octets(info(algorithm).key_length(), 0x11);
  const auto key = engine.make_key(algorithm, SecretBytes(octets), KeyUse{});
  if (!key) return Burst::kNever;
  Burst burst(**key, typical_octets(size));
  if (!burst.prepare(engine, direction)) return Burst::kNever;
  double best = Burst::kNever;
  for (int i = 0; i < kBursts; ++i) best = std::min(best, burst.run(engine, direction));
  return best;
}

EngineCost measure(const std::vector<std::unique_ptr<Engine>>& candidates, Algorithm algorithm,
                   Direction direction, SizeClass size) {
  EngineCost cost{algorithm, direction, size, std::vector<double>(candidates.size()),
                  EnginePlan::kNone};
  double best = Burst::kNever;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates[i]->supports(algorithm)) continue;
    const double taken = best_of(*candidates[i], algorithm, direction, size);
    if (taken == Burst::kNever) continue;
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
