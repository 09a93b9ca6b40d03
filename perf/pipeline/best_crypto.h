// What the crypto of a burst costs by the best code on this machine, whatever the lanes use.
#pragma once

#include <rte_cycles.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "crypto/engines/auto.h"
#include "crypto/engines/cryptodev.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/timed_burst.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {

class BestCrypto {
 public:
  /// What ESP enciphers of each frame. Throws if nothing here has the algorithm.
  BestCrypto(crypto::Algorithm algorithm, crypto::Direction direction, const Sizes& sizes)
      : direction_(direction) {
    for (const std::uint16_t size : sizes)
      lengths_.push_back(sealed_of(size, crypto::info(algorithm).block_length));
    const crypto::SecretBytes secret(
        std::vector<std::uint8_t>(crypto::info(algorithm).key_length(), 0x11));
    double least = crypto::TimedBurst::kNever;
    const auto consider = [&](Result<std::unique_ptr<crypto::EngineFactory>> factory) {
      if (!factory) return;
      auto one = candidate(std::move(*factory), algorithm, secret);
      if (one == nullptr) return;
      double taken = crypto::TimedBurst::kNever;
      for (int i = 0; i < kTries; ++i)
        taken = std::min(taken, one->burst.run(*one->engine, direction_));
      if (taken < least) {
        least = taken;
        best_ = std::move(one);
      }
    };
    for (const char* engine : {"batch-gcm", "openssl"})
      consider(crypto::make_software_factory(engine));
    for (const crypto::IpsecMbCode code : crypto::kIpsecMbCodes)
      consider(crypto::make_ipsec_mb_factory(code));
    consider(crypto::make_cryptodev_factory({.device = "crypto_aesni_mb"}));
    if (best_ == nullptr)
      throw std::runtime_error(std::string(crypto::info(algorithm).name) + ": not to be had here");
  }

  /// TSC cycles.
  std::uint64_t burst() {
    const double nanoseconds =
        best_->burst.run(*best_->engine, direction_) * static_cast<double>(lengths_.size());
    return static_cast<std::uint64_t>(nanoseconds * static_cast<double>(rte_get_tsc_hz()) / 1e9);
  }

 private:
  static constexpr int kTries = 200;
  struct Candidate {
    std::unique_ptr<crypto::EngineFactory> factory;
    std::unique_ptr<crypto::Engine> engine;
    std::unique_ptr<const crypto::AeadKey> key;
    crypto::TimedBurst burst;
  };

  std::unique_ptr<Candidate> candidate(std::unique_ptr<crypto::EngineFactory> factory,
                                       crypto::Algorithm algorithm,
                                       const crypto::SecretBytes& secret) const {
    auto engine = factory->make();
    if (!engine || !(*engine)->supports(algorithm)) return nullptr;
    auto key = (*engine)->make_key(algorithm, secret);
    if (!key) return nullptr;
    crypto::TimedBurst burst(**key, lengths_);
    if (!burst.prepare(**engine, direction_)) return nullptr;
    return std::make_unique<Candidate>(
        Candidate{std::move(factory), std::move(*engine), std::move(*key), std::move(burst)});
  }

  const crypto::Direction direction_;
  std::vector<std::uint32_t> lengths_;
  std::unique_ptr<Candidate> best_;
};

}  // namespace sealwire::perf
