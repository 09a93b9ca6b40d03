#include "crypto/engines/auto.h"

#include <mutex>
#include <string>
#include <utility>

#include "crypto/engines/batch_gcm.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/measure.h"
#include "crypto/engines/openssl.h"
#include "crypto/engines/sync_engine.h"

namespace sealwire::crypto {
namespace {

constexpr std::size_t kMaxCandidates = 8;

/// What the instances of one factory share, and whose address marks their keys.
struct Core {
  std::vector<std::unique_ptr<EngineFactory>> candidates;
  EnginePlan plan;
};

/// A key as every candidate wants it that the plan names for its algorithm. What an operation reads
/// of it is one cache line, if its candidate is among the first.
class alignas(64) AutoKey final : public AeadKey {
 public:
  AutoKey(Algorithm algorithm, std::shared_ptr<const Core> core) noexcept
      : AeadKey(algorithm, core.get()), core_(std::move(core)) {}

  /// Who does an operation.
  std::uint8_t candidate(Direction direction, std::uint32_t octets) const noexcept {
    return candidates_[static_cast<std::size_t>(direction)]
                      [static_cast<std::size_t>(size_class(octets))];
  }
  void choose(Direction direction, SizeClass size, std::uint8_t candidate) noexcept {
    candidates_[static_cast<std::size_t>(direction)][static_cast<std::size_t>(size)] = candidate;
  }

  /// A candidate's form of the key.
  const std::unique_ptr<AeadKey>& of(std::uint8_t candidate) const noexcept {
    return keys_[candidate];
  }
  std::unique_ptr<AeadKey>& of(std::uint8_t candidate) noexcept { return keys_[candidate]; }

 private:
  std::array<std::array<std::uint8_t, kSizeClassCount>, 2> candidates_{};
  std::array<std::unique_ptr<AeadKey>, kMaxCandidates> keys_;
  std::shared_ptr<const Core> core_;
};

class AutoEngine final : public Engine {
 public:
  AutoEngine(std::shared_ptr<const Core> core, std::vector<std::unique_ptr<Engine>> engines)
      : core_(std::move(core)), engines_(std::move(engines)) {
    for (std::size_t i = 0; i < engines_.size(); ++i) {
      sync_[i] = static_cast<SyncEngine*>(engines_[i].get());
    }
  }

  std::string_view name() const noexcept override { return "auto"; }

  bool supports(Algorithm algorithm) const noexcept override {
    return core_->plan.choice(algorithm, Direction::seal, SizeClass::small) != EnginePlan::kNone;
  }

  Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                            const KeyUse& use) override {
    if (const auto good = check_key_length(algorithm, key); !good)
      return tl::unexpected(good.error());
    if (!supports(algorithm)) {
      return fail("SW-CRY-021", "no engine here does " + std::string(crypto::info(algorithm).name),
                  "use another algorithm");
    }
    auto made = std::make_unique<AutoKey>(algorithm, core_);
    for (const Direction direction : {Direction::seal, Direction::open}) {
      for (const SizeClass size : {SizeClass::small, SizeClass::medium, SizeClass::large}) {
        const std::uint8_t candidate = core_->plan.choice(algorithm, direction, size);
        std::unique_ptr<AeadKey>& inner = made->of(candidate);
        if (inner == nullptr) {
          auto made_inner = engines_[candidate]->make_key(algorithm, key, use);
          if (!made_inner) return tl::unexpected(made_inner.error());
          inner = std::move(*made_inner);
        }
        made->choose(direction, size, candidate);
      }
    }
    return made;
  }

  void submit(AeadBatch& batch) noexcept override {
    std::array<std::size_t, kMaxCandidates> counts{};
    for (std::size_t i = 0; i < batch.count; ++i) {
      AeadOp& op = batch.ops[i];
      if (!well_formed(op, core_.get())) {
        op.status = OpStatus::error;
        continue;
      }
      const auto* key = static_cast<const AutoKey*>(op.key);
      const std::uint8_t candidate = key->candidate(batch.direction, op.length + op.aad_length);
      op.key = key->of(candidate).get();
      lists_[candidate][counts[candidate]++] = &op;
    }
    for (std::size_t i = 0; i < engines_.size(); ++i) {
      if (counts[i] != 0) sync_[i]->run({lists_[i].data(), counts[i]}, batch.direction);
    }
    batch.pending = 0;
  }

  bool poll(AeadBatch& batch) noexcept override { return batch.pending == 0; }

 private:
  std::shared_ptr<const Core> core_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::array<SyncEngine*, kMaxCandidates> sync_{};
  std::array<std::array<AeadOp*, AeadBatch::kCapacity>, kMaxCandidates> lists_{};
};

Result<std::vector<std::unique_ptr<Engine>>> instances_of(
    const std::vector<std::unique_ptr<EngineFactory>>& factories) {
  std::vector<std::unique_ptr<Engine>> engines;
  for (const auto& factory : factories) {
    auto engine = factory->make();
    if (!engine) return tl::unexpected(engine.error());
    if (dynamic_cast<SyncEngine*>(engine->get()) == nullptr) {
      return fail("SW-CRY-031",
                  std::string(factory->name()) + " cannot be a part of the auto engine",
                  "name a crypto device as the engine of the line itself");
    }
    engines.push_back(std::move(*engine));
  }
  return engines;
}

class AutoFactory final : public EngineFactory {
 public:
  explicit AutoFactory(std::shared_ptr<const Core> core) noexcept : core_(std::move(core)) {}

  std::string_view name() const noexcept override { return "auto"; }

  Result<std::unique_ptr<Engine>> make() override {
    auto engines = instances_of(core_->candidates);
    if (!engines) return tl::unexpected(engines.error());
    return std::make_unique<AutoEngine>(core_, std::move(*engines));
  }

 private:
  std::shared_ptr<const Core> core_;
};

Result<std::shared_ptr<const Core>> make_core(
    std::vector<std::unique_ptr<EngineFactory>> candidates, const Planner& planner) {
  if (candidates.empty() || candidates.size() > kMaxCandidates) {
    return fail("SW-CRY-032", "the auto engine takes 1 to 8 candidates",
                "check that ipsec-mb or OpenSSL can run here");
  }
  auto engines = instances_of(candidates);
  if (!engines) return tl::unexpected(engines.error());
  auto core = std::make_shared<Core>();
  core->plan = planner(*engines);
  if (!core->plan.fits(*engines)) {
    return fail("SW-CRY-032", "the auto engine's plan names an engine that cannot do its part",
                "report this as a bug");
  }
  // Those that have nothing to do are left out.
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto place = static_cast<std::uint8_t>(core->candidates.size());
    if (core->plan.renumber(static_cast<std::uint8_t>(i), place))
      core->candidates.push_back(std::move(candidates[i]));
  }
  return core;
}

}  // namespace

bool EnginePlan::fits(const std::vector<std::unique_ptr<Engine>>& engines) const {
  for (const AlgorithmInfo& facts : all_algorithms()) {
    std::size_t none = 0;
    for (const Direction direction : {Direction::seal, Direction::open}) {
      for (const SizeClass size : {SizeClass::small, SizeClass::medium, SizeClass::large}) {
        const std::uint8_t candidate = choice(facts.algorithm, direction, size);
        if (candidate == kNone) {
          ++none;
        } else if (candidate >= engines.size() || !engines[candidate]->supports(facts.algorithm)) {
          return false;
        }
      }
    }
    if (none != 0 && none != 2 * kSizeClassCount) return false;
  }
  return true;
}

bool EnginePlan::renumber(std::uint8_t from, std::uint8_t to) {
  bool named = false;
  for (auto& of_algorithm : choices_)
    for (auto& of_direction : of_algorithm)
      for (std::uint8_t& candidate : of_direction) {
        if (candidate != from) continue;
        candidate = to;
        named = true;
      }
  return named;
}

EnginePlan EnginePlan::first_that_supports(const std::vector<std::unique_ptr<Engine>>& engines) {
  EnginePlan plan;
  for (const AlgorithmInfo& facts : all_algorithms()) {
    std::uint8_t first = kNone;
    for (std::size_t i = engines.size(); i-- > 0;) {
      if (engines[i]->supports(facts.algorithm)) first = static_cast<std::uint8_t>(i);
    }
    for (const Direction direction : {Direction::seal, Direction::open}) {
      for (const SizeClass size : {SizeClass::small, SizeClass::medium, SizeClass::large}) {
        plan.choose(facts.algorithm, direction, size, first);
      }
    }
  }
  return plan;
}

namespace {

std::mutex shared_mutex;
std::shared_ptr<const Core> shared;
Measurement shared_measurement;

}  // namespace

Result<std::unique_ptr<EngineFactory>> make_auto_factory() {
  return make_auto_factory(Measurement{});
}

Result<std::unique_ptr<EngineFactory>> make_auto_factory(const Measurement& earlier) {
  const std::scoped_lock lock(shared_mutex);
  if (shared == nullptr) {
    std::vector<std::unique_ptr<EngineFactory>> candidates;
    if (auto batch_gcm = make_batch_gcm_factory()) candidates.push_back(std::move(*batch_gcm));
    for (auto code = kIpsecMbCodes.rbegin(); code != kIpsecMbCodes.rend(); ++code)
      if (auto ipsec_mb = make_ipsec_mb_factory(*code)) candidates.push_back(std::move(*ipsec_mb));
    if (auto openssl = make_openssl_factory()) candidates.push_back(std::move(*openssl));
    auto core = make_core(std::move(candidates), [&earlier](const auto& engines) {
      const std::optional<EnginePlan> known = plan_of(earlier, engines);
      if (!known) return plan_by_measuring(engines, shared_measurement);
      shared_measurement = earlier;
      shared_measurement.earlier = true;
      return *known;
    });
    if (!core) return tl::unexpected(core.error());
    shared = std::move(*core);
  }
  return std::make_unique<AutoFactory>(shared);
}

Result<std::unique_ptr<EngineFactory>> make_auto_factory(
    std::vector<std::unique_ptr<EngineFactory>> candidates, const Planner& planner) {
  auto core = make_core(std::move(candidates), planner);
  if (!core) return tl::unexpected(core.error());
  return std::make_unique<AutoFactory>(std::move(*core));
}

Measurement auto_measurement() {
  const std::scoped_lock lock(shared_mutex);
  return shared_measurement;
}

Result<std::unique_ptr<EngineFactory>> make_software_factory(std::string_view name) {
  if (name == "auto") return make_auto_factory();
  if (name == "batch-gcm") return make_batch_gcm_factory();
  if (name == "ipsec-mb") return make_ipsec_mb_factory();
  if (name == "openssl") return make_openssl_factory();
  return fail("SW-CRY-033", "there is no engine called '" + std::string(name) + "'",
              "use auto, batch-gcm, ipsec-mb, openssl or a crypto device");
}

}  // namespace sealwire::crypto
