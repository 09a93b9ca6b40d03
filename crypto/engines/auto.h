// The default engine: for each algorithm, direction and packet size the engine that a plan names.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// What an operation costs depends on its size more than on anything else: where one implementation
/// overtakes another.
enum class SizeClass : std::uint8_t { small, medium, large };
inline constexpr std::size_t kSizeClassCount = 3;

/// The class of an operation of `octets` AAD and data: below 256, below 1024, or more.
constexpr SizeClass size_class(std::uint32_t octets) noexcept {
  if (octets < 256) return SizeClass::small;
  return octets < 1024 ? SizeClass::medium : SizeClass::large;
}

/// Which candidate does what: candidate index by algorithm, direction and size class.
class EnginePlan {
 public:
  static constexpr std::uint8_t kNone = 0xFF;

  /// The first of `engines` that supports an algorithm does all of it.
  static EnginePlan first_that_supports(const std::vector<std::unique_ptr<Engine>>& engines);

  /// Every choice names an engine that supports it, or for one algorithm all say that none does.
  bool fits(const std::vector<std::unique_ptr<Engine>>& engines) const;

  /// Calls candidate `from` `to`, which no choice names, unless they are the same; whether a choice
  /// named it.
  bool renumber(std::uint8_t from, std::uint8_t to);

  std::uint8_t choice(Algorithm algorithm, Direction direction, SizeClass size) const noexcept {
    return choices_[static_cast<std::size_t>(algorithm)][static_cast<std::size_t>(direction)]
                   [static_cast<std::size_t>(size)];
  }
  void choose(Algorithm algorithm, Direction direction, SizeClass size,
              std::uint8_t candidate) noexcept {
    choices_[static_cast<std::size_t>(algorithm)][static_cast<std::size_t>(direction)]
            [static_cast<std::size_t>(size)] = candidate;
  }

 private:
  std::array<std::array<std::array<std::uint8_t, kSizeClassCount>, 2>, kAlgorithmCount> choices_{};
};

struct Measurement;  // crypto/engines/measure.h

/// Makes a plan from one instance of each candidate, in the order given; may measure. Control path.
using Planner = std::function<EnginePlan(const std::vector<std::unique_ptr<Engine>>&)>;

/// Our batch-gcm, each code of ipsec-mb, and OpenSSL, as far as they run here, planned at the first
/// call: as `earlier` says, if it was measured on such a machine, else by measuring
/// (crypto/engines/measure.h). All calls share one set of candidates and one plan, so that keys are
/// understood by every instance in the process.
Result<std::unique_ptr<EngineFactory>> make_auto_factory(const Measurement& earlier);
Result<std::unique_ptr<EngineFactory>> make_auto_factory();

/// The same with given candidates, at most 8, in order of preference. They must finish in submit():
/// SW-CRY-031. A choice of a candidate that does not support the algorithm: SW-CRY-032. Keys are
/// understood by this factory's instances only.
Result<std::unique_ptr<EngineFactory>> make_auto_factory(
    std::vector<std::unique_ptr<EngineFactory>> candidates,
    const Planner& planner = EnginePlan::first_that_supports);

/// The factory of the engine called `name`: "auto", "batch-gcm", "ipsec-mb" or "openssl". Error
/// SW-CRY-033 for any other. Devices have their own (crypto/engines/cryptodev.h).
Result<std::unique_ptr<EngineFactory>> make_software_factory(std::string_view name);

}  // namespace sealwire::crypto
