// The plan of the auto engine, made by measuring: which candidate is the fastest on this machine.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "crypto/engines/auto.h"

namespace sealwire::crypto {

/// What every candidate costs for one algorithm, direction and size class, and who was chosen.
struct EngineCost {
  Algorithm algorithm;
  Direction direction;
  SizeClass size;
  /// By candidate: nanoseconds a packet, the best of several bursts; 0 where it does not apply.
  std::vector<double> nanoseconds;
  std::uint8_t chosen = EnginePlan::kNone;
};

/// What was measured, for `sealwire show crypto`.
struct Measurement {
  std::vector<std::string> candidates;
  std::vector<EngineCost> costs;
};

/// Octets of data of the packet that stands for a size class.
constexpr std::uint32_t typical_octets(SizeClass size) noexcept {
  constexpr std::array<std::uint32_t, kSizeClassCount> kOctets{64, 512, 1424};
  return kOctets[static_cast<std::size_t>(size)];
}

/// Times bursts of each algorithm in every candidate that supports it (a tenth of a second or so in
/// all) and chooses the fastest, the earlier candidate when they are within 3 %. Fills
/// `measurement`.
EnginePlan plan_by_measuring(const std::vector<std::unique_ptr<Engine>>& candidates,
                             Measurement& measurement);

/// What make_auto_factory() measured; empty before its first call.
Measurement auto_measurement();

}  // namespace sealwire::crypto
