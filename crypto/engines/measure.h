// The plan of the auto engine, made by measuring: which candidate is the fastest on this machine.
#pragma once

#include <array>
#include <memory>
#include <optional>
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

/// What was measured, for `sealwire show crypto` and for the next start.
struct Measurement {
  std::string machine;  ///< machine_of_measurement() where it was made
  std::vector<std::string> candidates;
  std::vector<EngineCost> costs;
  bool earlier = false;  ///< by another process: see make_auto_factory()
};

/// What costs depend on: the processor's name, the libraries' versions, how this code was compiled.
std::string machine_of_measurement();

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

/// The plan of an earlier measurement; nothing unless it was made on such a machine, of such
/// candidates, and chose for everything that they support.
std::optional<EnginePlan> plan_of(const Measurement& earlier,
                                  const std::vector<std::unique_ptr<Engine>>& candidates);

/// What make_auto_factory() measured, or took over; empty before its first call.
Measurement auto_measurement();

}  // namespace sealwire::crypto
