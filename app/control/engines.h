// The crypto engines in use: one factory per kind (and device), self-tested, one instance per
// worker.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model.h"
#include "crypto/aead.h"
#include "crypto/result.h"

namespace sealwire::control {

class Engines {
 public:
  // `workers`: how many instances a device must serve beside the control thread's.
  // `state_directory`: where the plan of auto is kept from one start to the next.
  Engines(std::size_t workers, std::string state_directory)
      : workers_(workers), state_directory_(std::move(state_directory)) {}

  // "auto", "ipsec-mb", "openssl" or "cryptodev:DEVICE": one string per distinct engine.
  static std::string key_of(const config::Engine& engine);

  // Makes the factory and the control thread's own instance, and runs the known-answer self-test on
  // it, unless that was done before. Error: SW-CRY-..., as the engine says.
  Result<void> prepare(const config::Engine& engine);

  // Of the control thread: makes keys that all workers' instances understand. After prepare().
  crypto::Engine& control_instance(const config::Engine& engine);

  // The instance of one worker, made at the first call. After prepare().
  Result<crypto::Engine*> worker_instance(const config::Engine& engine, std::size_t worker);

  struct Status {
    std::string name;
    bool tested = false;
    std::vector<std::string> algorithms;
  };
  std::vector<Status> status() const;

 private:
  struct Kind {
    std::unique_ptr<crypto::EngineFactory> factory;  // outlives the instances
    std::unique_ptr<crypto::Engine> control;
    std::map<std::size_t, std::unique_ptr<crypto::Engine>> workers;
    bool tested = false;
  };
  Result<std::unique_ptr<crypto::EngineFactory>> factory_of(const config::Engine& engine) const;

  std::size_t workers_;
  std::string state_directory_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace sealwire::control
