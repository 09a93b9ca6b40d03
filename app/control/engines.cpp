#include "app/control/engines.h"

#include <utility>

#include "app/control/plan_cache.h"
#include "crypto/engines/auto.h"
#include "crypto/engines/cryptodev.h"
#include "crypto/self_test.h"

namespace sealwire::control {
namespace {

constexpr std::uint32_t kDeviceSessions = 8192;

Result<std::unique_ptr<crypto::EngineFactory>> device_factory(const std::string& device,
                                                              std::size_t workers) {
  crypto::CryptodevConfig config;
  config.device = device;
  config.queue_pairs = static_cast<std::uint16_t>(workers + 1);
  config.sessions = kDeviceSessions;
  return crypto::make_cryptodev_factory(config);
}

}  // namespace

std::string Engines::key_of(const config::Engine& engine) {
  switch (engine.kind) {
    case config::EngineKind::automatic:
      return "auto";
    case config::EngineKind::ipsec_mb:
      return "ipsec-mb";
    case config::EngineKind::openssl:
      return "openssl";
    case config::EngineKind::cryptodev:
      return "cryptodev:" + engine.device;
  }
  return "auto";
}

Result<std::unique_ptr<crypto::EngineFactory>> Engines::factory_of(
    const config::Engine& engine) const {
  if (engine.kind == config::EngineKind::cryptodev) return device_factory(engine.device, workers_);
  if (engine.kind != config::EngineKind::automatic)
    return crypto::make_software_factory(key_of(engine));
  auto factory = crypto::make_auto_factory(read_plan(state_directory_));
  if (const crypto::Measurement measured = crypto::auto_measurement(); !measured.earlier)
    keep_plan(state_directory_, measured);
  return factory;
}

Result<void> Engines::prepare(const config::Engine& engine) {
  const std::string key = key_of(engine);
  if (kinds_.count(key) != 0) return {};
  auto factory = factory_of(engine);
  if (!factory) return tl::unexpected(factory.error());
  Kind kind;
  kind.factory = std::move(*factory);
  auto control = kind.factory->make();
  if (!control) return tl::unexpected(control.error());
  kind.control = std::move(*control);
  if (auto tested = crypto::self_test(*kind.control); !tested) return tested;
  kind.tested = true;
  kinds_.emplace(key, std::move(kind));
  return {};
}

crypto::Engine& Engines::control_instance(const config::Engine& engine) {
  return *kinds_.at(key_of(engine)).control;
}

Result<crypto::Engine*> Engines::worker_instance(const config::Engine& engine, std::size_t worker) {
  Kind& kind = kinds_.at(key_of(engine));
  auto& slot = kind.workers[worker];
  if (!slot) {
    auto made = kind.factory->make();
    if (!made) return tl::unexpected(made.error());
    slot = std::move(*made);
  }
  return slot.get();
}

std::vector<Engines::Status> Engines::status() const {
  std::vector<Status> all;
  for (const auto& [key, kind] : kinds_) {
    Status status{key, kind.tested, {}};
    for (const crypto::AlgorithmInfo& algorithm : crypto::all_algorithms()) {
      if (kind.control->supports(algorithm.algorithm))
        status.algorithms.emplace_back(algorithm.name);
    }
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace sealwire::control
