#include "crypto/engines/openssl.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>
#include <atomic>
#include <bit>
#include <map>
#include <mutex>
#include <utility>

#include "crypto/engines/sync_engine.h"

namespace sealwire::crypto {
namespace {

struct Free {
  void operator()(EVP_CIPHER* cipher) const noexcept { EVP_CIPHER_free(cipher); }
  void operator()(EVP_MAC* mac) const noexcept { EVP_MAC_free(mac); }
  void operator()(EVP_MD* digest) const noexcept { EVP_MD_free(digest); }
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }
};
template <class T>
using Handle = std::unique_ptr<T, Free>;

constexpr std::size_t kTagOfAead = 16;

const char* digest_name(Hash hash) {
  switch (hash) {
    case Hash::sha1:
      return "SHA1";
    case Hash::sha256:
      return "SHA256";
    case Hash::sha384:
      return "SHA384";
    case Hash::sha512:
      return "SHA512";
    case Hash::none:
      break;
  }
  return nullptr;
}

std::string cipher_name(const AlgorithmInfo& facts) {
  const std::string bits = std::to_string(8 * facts.cipher_key_length);
  switch (facts.cipher) {
    case Cipher::aes_gcm:
    case Cipher::aes_gmac:
      return "AES-" + bits + "-GCM";
    case Cipher::chacha20_poly1305:
      return "ChaCha20-Poly1305";
    case Cipher::aes_cbc:
      return "AES-" + bits + "-CBC";
    case Cipher::null:
      break;
  }
  return {};
}

/// What one property query yields, fetched once; and which instance numbers are taken. Never
/// destroyed: keys and engines of any thread may outlive every factory.
struct Family {
  std::string properties;
  std::array<Handle<EVP_CIPHER>, kAlgorithmCount> ciphers;
  Handle<EVP_MAC> hmac;
  std::array<bool, kAlgorithmCount> supported{};
  std::atomic<std::uint64_t> instances{0};
};

std::unique_ptr<Family> fetch_family(const std::string& properties) {
  auto family = std::make_unique<Family>();
  family->properties = properties;
  family->hmac.reset(EVP_MAC_fetch(nullptr, "HMAC", properties.c_str()));
  for (const AlgorithmInfo& facts : all_algorithms()) {
    const auto index = static_cast<std::size_t>(facts.algorithm);
    bool good = true;
    if (const std::string name = cipher_name(facts); !name.empty()) {
      family->ciphers[index].reset(EVP_CIPHER_fetch(nullptr, name.c_str(), properties.c_str()));
      good = family->ciphers[index] != nullptr;
    }
    if (const char* name = digest_name(facts.hash); name != nullptr) {
      const Handle<EVP_MD> digest(EVP_MD_fetch(nullptr, name, properties.c_str()));
      good = good && digest != nullptr && family->hmac != nullptr;
    }
    family->supported[index] = good;
  }
  ERR_clear_error();
  return family;
}

Family* family_of(const std::string& properties) {
  static std::mutex mutex;
  static auto* families = new std::map<std::string, std::unique_ptr<Family>>;
  const std::scoped_lock lock(mutex);
  std::unique_ptr<Family>& family = (*families)[properties];
  if (family == nullptr) family = fetch_family(properties);
  return family.get();
}

/// One worker's contexts of one key.
struct Contexts {
  Handle<EVP_CIPHER_CTX> seal;
  Handle<EVP_CIPHER_CTX> open;
  Handle<EVP_MAC_CTX> mac;
};

class OpenSslKey final : public AeadKey {
 public:
  OpenSslKey(Algorithm algorithm, Family* family, const SecretBytes& key)
      : AeadKey(algorithm, family), family_(family), key_(key.clone()) {}

  /// The contexts of worker `instance`, made if need be; null if OpenSSL fails. Only that worker
  /// touches its slot until the key is destroyed.
  Contexts* contexts(unsigned instance) const noexcept {
    std::unique_ptr<Contexts>& slot = slots_[instance];
    if (slot == nullptr) slot = make_contexts();
    return slot.get();
  }

 private:
  std::unique_ptr<Contexts> make_contexts() const noexcept {
    auto made = std::unique_ptr<Contexts>(new (std::nothrow) Contexts);
    if (made == nullptr) return nullptr;
    const std::uint8_t* key = key_.view().data();
    const EVP_CIPHER* cipher = family_->ciphers[static_cast<std::size_t>(algorithm())].get();
    if (cipher != nullptr) {
      made->seal.reset(EVP_CIPHER_CTX_new());
      made->open.reset(EVP_CIPHER_CTX_new());
      if (made->seal == nullptr || made->open == nullptr ||
          EVP_EncryptInit_ex2(made->seal.get(), cipher, key, nullptr, nullptr) != 1 ||
          EVP_DecryptInit_ex2(made->open.get(), cipher, key, nullptr, nullptr) != 1) {
        return nullptr;
      }
      if (info().cipher == Cipher::aes_cbc) {
        EVP_CIPHER_CTX_set_padding(made->seal.get(), 0);
        EVP_CIPHER_CTX_set_padding(made->open.get(), 0);
      }
    }
    if (info().hash != Hash::none) {
      made->mac.reset(EVP_MAC_CTX_new(family_->hmac.get()));
      // OSSL_PARAM's constructor wants writable strings but does not write.
      OSSL_PARAM parameters[] = {
          OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                           const_cast<char*>(digest_name(info().hash)), 0),
          OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_PROPERTIES,
                                           const_cast<char*>(family_->properties.c_str()), 0),
          OSSL_PARAM_construct_end()};
      if (made->mac == nullptr || EVP_MAC_init(made->mac.get(), key + info().cipher_key_length,
                                               info().auth_key_length, parameters) != 1) {
        return nullptr;
      }
    }
    return made;
  }

  Family* family_;
  SecretBytes key_;
  mutable std::array<std::unique_ptr<Contexts>, kMaxOpenSslInstances> slots_;
};

bool seal_aead(EVP_CIPHER_CTX* context, AeadOp& op) noexcept {
  int written = 0;
  std::uint8_t none = 0;
  return EVP_EncryptInit_ex2(context, nullptr, nullptr, op.iv, nullptr) == 1 &&
         (op.aad_length == 0 || EVP_EncryptUpdate(context, nullptr, &written, op.aad,
                                                  static_cast<int>(op.aad_length)) == 1) &&
         (op.length == 0 || EVP_EncryptUpdate(context, op.data, &written, op.data,
                                              static_cast<int>(op.length)) == 1) &&
         EVP_EncryptFinal_ex(context, &none, &written) == 1 &&
         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagOfAead, op.tag) == 1;
}

/// ok, bad_tag (nothing wiped yet) or error.
OpStatus open_aead(EVP_CIPHER_CTX* context, AeadOp& op) noexcept {
  int written = 0;
  std::uint8_t none = 0;
  const bool done =
      EVP_DecryptInit_ex2(context, nullptr, nullptr, op.iv, nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagOfAead, op.tag) == 1 &&
      (op.aad_length == 0 || EVP_DecryptUpdate(context, nullptr, &written, op.aad,
                                               static_cast<int>(op.aad_length)) == 1) &&
      (op.length == 0 ||
       EVP_DecryptUpdate(context, op.data, &written, op.data, static_cast<int>(op.length)) == 1);
  if (!done) return OpStatus::error;
  return EVP_DecryptFinal_ex(context, &none, &written) == 1 ? OpStatus::ok : OpStatus::bad_tag;
}

/// HMAC of `op` into `out`, which has room for any digest.
bool hmac(EVP_MAC_CTX* context, const AeadOp& op,
          std::array<std::uint8_t, EVP_MAX_MD_SIZE>& out) noexcept {
  const std::span<const std::uint8_t> input = hmac_input(op);
  std::uint8_t high[4];
  store_esn_high(op.esn_high, high);
  std::size_t written = 0;
  return EVP_MAC_init(context, nullptr, 0, nullptr) == 1 &&
         EVP_MAC_update(context, input.data(), input.size()) == 1 &&
         (!op.append_esn_high || EVP_MAC_update(context, high, sizeof high) == 1) &&
         EVP_MAC_final(context, out.data(), &written, out.size()) == 1;
}

/// Writes the wire IV too: with a zero IV, enciphering from one block earlier turns the counter
/// block into E_k(counter block) and chains it into the first block of data, which is CBC under
/// that IV.
bool seal_cbc(EVP_CIPHER_CTX* context, AeadOp& op) noexcept {
  static constexpr std::uint8_t kZeroIv[16] = {};
  std::memcpy(op.data - 16, op.iv, 16);
  int written = 0;
  return EVP_EncryptInit_ex2(context, nullptr, nullptr, kZeroIv, nullptr) == 1 &&
         EVP_EncryptUpdate(context, op.data - 16, &written, op.data - 16,
                           static_cast<int>(op.length + 16)) == 1;
}

bool open_cbc(EVP_CIPHER_CTX* context, AeadOp& op) noexcept {
  std::uint8_t iv[16];
  std::memcpy(iv, op.data - 16, sizeof iv);
  int written = 0;
  return EVP_DecryptInit_ex2(context, nullptr, nullptr, iv, nullptr) == 1 &&
         EVP_DecryptUpdate(context, op.data, &written, op.data, static_cast<int>(op.length)) == 1;
}

class OpenSslEngine final : public SyncEngine {
 public:
  OpenSslEngine(Family* family, unsigned instance) noexcept
      : SyncEngine(family), family_(family), instance_(instance) {}
  ~OpenSslEngine() override {
    family_->instances.fetch_and(~(std::uint64_t{1} << instance_), std::memory_order_release);
  }

  std::string_view name() const noexcept override { return "openssl"; }

  bool supports(Algorithm algorithm) const noexcept override {
    return family_->supported[static_cast<std::size_t>(algorithm)];
  }

  Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                            const KeyUse& /*use*/) override {
    if (const auto good = check_key_length(algorithm, key); !good)
      return tl::unexpected(good.error());
    if (!supports(algorithm)) {
      return fail("SW-CRY-021",
                  "OpenSSL does not offer " + std::string(crypto::info(algorithm).name),
                  "use another algorithm or engine, or check OpenSSL's providers");
    }
    auto made = std::make_unique<OpenSslKey>(algorithm, family_, key);
    // A probe on the control path: whatever OpenSSL refuses about the key is said now.
    if (made->contexts(instance_) == nullptr) {
      ERR_clear_error();
      return fail("SW-CRY-022",
                  "OpenSSL refused a key for " + std::string(crypto::info(algorithm).name),
                  "check OpenSSL's providers and configuration");
    }
    return made;
  }

  void run(std::span<AeadOp* const> ops, Direction direction) noexcept override {
    for (AeadOp* op : ops) run_one(*op, direction);
  }

 private:
  void run_one(AeadOp& op, Direction direction) noexcept {
    op.status = OpStatus::error;
    Contexts* contexts = static_cast<const OpenSslKey*>(op.key)->contexts(instance_);
    if (contexts == nullptr) return;
    const AlgorithmInfo& facts = op.key->info();
    if (facts.aead) {
      run_aead(op, *contexts, direction);
    } else if (direction == Direction::seal) {
      seal_hmac(op, *contexts, facts);
    } else {
      open_hmac(op, *contexts, facts);
    }
  }

  static void run_aead(AeadOp& op, Contexts& contexts, Direction direction) noexcept {
    if (direction == Direction::seal) {
      if (seal_aead(contexts.seal.get(), op)) op.status = OpStatus::ok;
      return;
    }
    op.status = open_aead(contexts.open.get(), op);
    if (op.status != OpStatus::ok) {
      const OpStatus status = op.status;
      reject_tag(op);
      op.status = status;
    }
  }

  static void seal_hmac(AeadOp& op, Contexts& contexts, const AlgorithmInfo& facts) noexcept {
    std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
    if (facts.cipher == Cipher::aes_cbc && !seal_cbc(contexts.seal.get(), op)) return;
    if (!hmac(contexts.mac.get(), op, digest)) return;
    std::memcpy(op.tag, digest.data(), facts.icv_length);
    op.status = OpStatus::ok;
  }

  static void open_hmac(AeadOp& op, Contexts& contexts, const AlgorithmInfo& facts) noexcept {
    std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
    if (!hmac(contexts.mac.get(), op, digest)) return;
    if (!constant_time_equal({digest.data(), facts.icv_length}, {op.tag, facts.icv_length})) {
      reject_tag(op);
      return;
    }
    if (facts.cipher == Cipher::aes_cbc && !open_cbc(contexts.open.get(), op)) return;
    op.status = OpStatus::ok;
  }

  Family* family_;
  unsigned instance_;
};

class OpenSslFactory final : public EngineFactory {
 public:
  explicit OpenSslFactory(Family* family) noexcept : family_(family) {}

  std::string_view name() const noexcept override { return "openssl"; }

  Result<std::unique_ptr<Engine>> make() override {
    std::uint64_t taken = family_->instances.load(std::memory_order_acquire);
    while (~taken != 0) {
      const unsigned free = static_cast<unsigned>(std::countr_one(taken));
      if (family_->instances.compare_exchange_weak(taken, taken | std::uint64_t{1} << free,
                                                   std::memory_order_acq_rel)) {
        return std::make_unique<OpenSslEngine>(family_, free);
      }
    }
    return fail(
        "SW-CRY-023",
        "no more than " + std::to_string(kMaxOpenSslInstances) + " workers can use OpenSSL at once",
        "use fewer cores or the ipsec-mb engine");
  }

 private:
  Family* family_;
};

}  // namespace

Result<std::unique_ptr<EngineFactory>> make_openssl_factory(const std::string& properties) {
  Family* family = family_of(properties);
  bool any = false;
  for (const bool supported : family->supported) any = any || supported;
  if (!any) {
    return fail("SW-CRY-024", "OpenSSL offers none of the algorithms for '" + properties + "'",
                "check the property query and that the provider is activated in openssl.cnf");
  }
  return std::make_unique<OpenSslFactory>(family);
}

}  // namespace sealwire::crypto
