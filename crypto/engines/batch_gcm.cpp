#include "crypto/engines/batch_gcm.h"

#include <array>
#include <string>

#include "crypto/batch_gcm/kernel.h"
#include "crypto/engines/sync_engine.h"

namespace sealwire::crypto {
namespace {

using batch_gcm::Kernel;

// The widest first.
#if defined(__x86_64__)
constexpr std::array kKernels{&batch_gcm::kVaes512, &batch_gcm::kAesni};
#else
constexpr std::array<const Kernel*, 0> kKernels{};
#endif

// One family: a key's schedule is the same for every kernel.
constexpr char kFamily = 0;

class BatchGcmEngine final : public SyncEngine {
 public:
  explicit BatchGcmEngine(const Kernel& kernel) : SyncEngine(&kFamily), kernel_(kernel) {}

  std::string_view name() const noexcept override { return "batch-gcm"; }

  bool supports(Algorithm algorithm) const noexcept override {
    const Cipher cipher = info(algorithm).cipher;
    return cipher == Cipher::aes_gcm || cipher == Cipher::aes_gmac;
  }

  Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                            const KeyUse&) override {
    if (!supports(algorithm))
      return tl::unexpected(Error{"SW-CRY-021",
                                  "batch-gcm does not do " + std::string(info(algorithm).name),
                                  "choose engine: auto, or an AES-GCM algorithm"});
    if (auto good = check_key_length(algorithm, key); !good)
      return tl::unexpected(std::move(good.error()));
    auto made = std::make_unique<batch_gcm::Key>(algorithm, &kFamily);
    kernel_.expand(made->schedule, key.view());
    return made;
  }

  void run(std::span<AeadOp* const> ops, Direction direction) noexcept override {
    direction == Direction::seal ? kernel_.seal(ops) : kernel_.open(ops);
  }

 private:
  const Kernel& kernel_;
};

class BatchGcmFactory final : public EngineFactory {
 public:
  explicit BatchGcmFactory(const Kernel& kernel) : kernel_(kernel) {}
  std::string_view name() const noexcept override { return "batch-gcm"; }
  Result<std::unique_ptr<Engine>> make() override {
    return std::make_unique<BatchGcmEngine>(kernel_);
  }

 private:
  const Kernel& kernel_;
};

}  // namespace

std::vector<std::string_view> batch_gcm_kernels() {
  std::vector<std::string_view> names;
  for (const Kernel* kernel : kKernels)
    if (kernel->supported()) names.emplace_back(kernel->name);
  return names;
}

Result<std::unique_ptr<EngineFactory>> make_batch_gcm_factory(std::string_view name) {
  for (const Kernel* kernel : kKernels)
    if (kernel->supported() && (name.empty() || name == kernel->name))
      return std::make_unique<BatchGcmFactory>(*kernel);
  return tl::unexpected(Error{"SW-CRY-050",
                              "this processor cannot run batch-gcm " + std::string(name),
                              "choose engine: auto"});
}

}  // namespace sealwire::crypto
