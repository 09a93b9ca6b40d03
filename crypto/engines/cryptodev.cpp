#include "crypto/engines/cryptodev.h"

#include <rte_cryptodev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "crypto/engines/sync_engine.h"

namespace sealwire::crypto {
namespace {

constexpr std::size_t kMaxAad = 256;
constexpr std::uint16_t kNonce = 12;
constexpr std::uint16_t kBlock = 16;
constexpr std::uint16_t kAeadTag = 16;
constexpr std::uint16_t kDequeueBurst = 64;

// DA, SA and SecTAG without or with SCI, and those with 30 or 50 octets left clear (802.1AE §10.5,
// §14.6).
constexpr std::uint16_t kMacsecAad[] = {20, 28, 50, 58, 70, 78};
// SPI and SN, or SPI and ESN (RFC 4106 §5, RFC 7634 §2.1).
constexpr std::uint16_t kEspAad[] = {8, 12};

/// What a device must be able to read beside the packet: after the operation, in the same memory.
struct DeviceMemory {
  std::uint8_t iv[kBlock];
  std::uint8_t aad[kMaxAad];
  std::uint8_t digest[kMaxIcvLength];
};
constexpr std::uint16_t kMemoryOffset =
    static_cast<std::uint16_t>(sizeof(rte_crypto_op) + sizeof(rte_crypto_sym_op));
constexpr std::uint16_t kIvOffset =
    static_cast<std::uint16_t>(kMemoryOffset + offsetof(DeviceMemory, iv));

tl::unexpected<Error> device_error(const char* id, const std::string& device,
                                   const std::string& why, const char* remedy) {
  return fail(id, "crypto device " + device + ": " + why, remedy);
}

rte_crypto_auth_algorithm auth_of(Hash hash) {
  switch (hash) {
    case Hash::sha1:
      return RTE_CRYPTO_AUTH_SHA1_HMAC;
    case Hash::sha256:
      return RTE_CRYPTO_AUTH_SHA256_HMAC;
    case Hash::sha384:
      return RTE_CRYPTO_AUTH_SHA384_HMAC;
    case Hash::sha512:
      return RTE_CRYPTO_AUTH_SHA512_HMAC;
    case Hash::none:
      break;
  }
  return RTE_CRYPTO_AUTH_NULL;
}

bool offers_auth(std::uint8_t device, rte_crypto_auth_algorithm algorithm, std::uint16_t key,
                 std::uint16_t digest, std::uint16_t iv) {
  rte_cryptodev_sym_capability_idx index{};
  index.type = RTE_CRYPTO_SYM_XFORM_AUTH;
  index.algo.auth = algorithm;
  const auto* capability = rte_cryptodev_sym_capability_get(device, &index);
  return capability != nullptr &&
         rte_cryptodev_sym_capability_check_auth(capability, key, digest, iv) == 0;
}

bool offers_cbc(std::uint8_t device, std::uint16_t key) {
  rte_cryptodev_sym_capability_idx index{};
  index.type = RTE_CRYPTO_SYM_XFORM_CIPHER;
  index.algo.cipher = RTE_CRYPTO_CIPHER_AES_CBC;
  const auto* capability = rte_cryptodev_sym_capability_get(device, &index);
  return capability != nullptr &&
         rte_cryptodev_sym_capability_check_cipher(capability, key, kBlock) == 0;
}

bool offers_aead(std::uint8_t device, rte_crypto_aead_algorithm algorithm, std::uint16_t key) {
  rte_cryptodev_sym_capability_idx index{};
  index.type = RTE_CRYPTO_SYM_XFORM_AEAD;
  index.algo.aead = algorithm;
  const auto* capability = rte_cryptodev_sym_capability_get(device, &index);
  return capability != nullptr && rte_cryptodev_sym_capability_check_aead(capability, key, kAeadTag,
                                                                          kEspAad[0], kNonce) == 0;
}

bool offers(std::uint8_t device, const AlgorithmInfo& facts) {
  const bool gmac =
      offers_auth(device, RTE_CRYPTO_AUTH_AES_GMAC, facts.cipher_key_length, kAeadTag, kNonce);
  switch (facts.cipher) {
    case Cipher::aes_gcm:  // integrity-only frames are done as GMAC
      return gmac && offers_aead(device, RTE_CRYPTO_AEAD_AES_GCM, facts.cipher_key_length);
    case Cipher::aes_gmac:
      return gmac;
    case Cipher::chacha20_poly1305:
      return offers_aead(device, RTE_CRYPTO_AEAD_CHACHA20_POLY1305, facts.cipher_key_length);
    case Cipher::aes_cbc:
      if (!offers_cbc(device, facts.cipher_key_length)) return false;
      break;
    case Cipher::null:
      break;
  }
  return offers_auth(device, auth_of(facts.hash), facts.auth_key_length, facts.icv_length, 0);
}

/// The device, opened and started. Shared by the factory, its engines and their keys.
class Device {
 public:
  static Result<std::shared_ptr<Device>> open(const CryptodevConfig& config);

  ~Device() {
    if (started_) rte_cryptodev_stop(id_);
    if (configured_) rte_cryptodev_close(id_);
    rte_mempool_free(sessions_);
    if (created_) rte_eal_hotplug_remove("vdev", name_.c_str());
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  std::uint8_t id() const noexcept { return id_; }
  const std::string& name() const noexcept { return name_; }
  std::uint16_t operations() const noexcept { return config_.operations; }
  int socket() const noexcept { return config_.socket; }
  bool supports(Algorithm algorithm) const noexcept {
    return supported_[static_cast<std::size_t>(algorithm)];
  }

  /// Sets of sessions that a key needs: one, or one per queue pair.
  std::uint16_t session_sets() const noexcept {
    return private_sessions_ ? config_.queue_pairs : std::uint16_t{1};
  }
  std::uint16_t session_set_of(std::uint16_t queue_pair) const noexcept {
    return private_sessions_ ? queue_pair : std::uint16_t{0};
  }

  /// Null if the device refuses or the pool is empty.
  void* make_session(rte_crypto_sym_xform* transform) {
    return rte_cryptodev_sym_session_create(id_, transform, sessions_);
  }
  /// Wipes it too: the library zeroes a session's private data before it returns to the pool.
  void free_session(void* session) noexcept {
    if (session != nullptr) rte_cryptodev_sym_session_free(id_, session);
  }

  /// A queue pair for one engine; nothing if all are in use.
  std::optional<std::uint16_t> take_queue_pair() {
    const std::scoped_lock lock(mutex_);
    const auto free = std::find(in_use_.begin(), in_use_.end(), false);
    if (free == in_use_.end()) return std::nullopt;
    *free = true;
    return static_cast<std::uint16_t>(free - in_use_.begin());
  }
  void return_queue_pair(std::uint16_t queue_pair) {
    const std::scoped_lock lock(mutex_);
    in_use_[queue_pair] = false;
  }

 private:
  explicit Device(const CryptodevConfig& config) : config_(config), in_use_(config.queue_pairs) {}

  Result<void> find_or_create();
  Result<void> inspect();
  Result<void> set_up();

  CryptodevConfig config_;
  std::string name_;
  std::uint8_t id_ = 0;
  bool created_ = false;
  bool configured_ = false;
  bool started_ = false;
  bool private_sessions_ = false;
  rte_mempool* sessions_ = nullptr;
  std::array<bool, kAlgorithmCount> supported_{};
  std::mutex mutex_;
  std::vector<bool> in_use_;
};

Result<std::shared_ptr<Device>> Device::open(const CryptodevConfig& config) {
  if (config.queue_pairs == 0 || config.operations < AeadBatch::kCapacity || config.sessions == 0) {
    return device_error("SW-CRY-072", config.device,
                        "is given no queue pairs, operations or sessions",
                        "allow at least 1 queue pair, 64 operations and some sessions");
  }
  std::shared_ptr<Device> device(new Device(config));
  if (auto good = device->find_or_create(); !good) return tl::unexpected(good.error());
  if (auto good = device->inspect(); !good) return tl::unexpected(good.error());
  if (auto good = device->set_up(); !good) return tl::unexpected(good.error());
  return device;
}

Result<void> Device::find_or_create() {
  const std::size_t comma = config_.device.find(',');
  name_ = config_.device.substr(0, comma);
  std::string arguments = comma == std::string::npos ? "" : config_.device.substr(comma + 1);
  int id = rte_cryptodev_get_dev_id(name_.c_str());
  if (id < 0 && name_.rfind("crypto_", 0) == 0) {
    if (arguments.find("max_nb_queue_pairs") == std::string::npos) {
      if (!arguments.empty()) arguments += ',';
      arguments += "max_nb_queue_pairs=" + std::to_string(config_.queue_pairs);
    }
    created_ = rte_eal_hotplug_add("vdev", name_.c_str(), arguments.c_str()) == 0;
    id = created_ ? rte_cryptodev_get_dev_id(name_.c_str()) : -1;
  }
  if (id < 0) {
    return device_error("SW-CRY-070", name_, "does not exist and cannot be created",
                        "name a device that is bound to a DPDK driver, or one such as "
                        "crypto_aesni_mb0");
  }
  id_ = static_cast<std::uint8_t>(id);
  return {};
}

Result<void> Device::inspect() {
  rte_cryptodev_info facts{};
  rte_cryptodev_info_get(id_, &facts);
  const std::string driver = facts.driver_name == nullptr ? "" : facts.driver_name;
  if (driver == "crypto_null") {
    return device_error("SW-CRY-071", name_, "the null driver does not encipher anything",
                        "use a device that does, or the auto engine");
  }
  if (facts.max_nb_queue_pairs < config_.queue_pairs) {
    return device_error("SW-CRY-072", name_,
                        "has " + std::to_string(facts.max_nb_queue_pairs) + " queue pairs, not " +
                            std::to_string(config_.queue_pairs),
                        "use fewer workers on this device");
  }
  // Up to 22.11 that driver works on the cipher context within the session itself.
  private_sessions_ = driver == "crypto_openssl";
  bool any = false;
  for (const AlgorithmInfo& algorithm : all_algorithms()) {
    const bool offered = offers(id_, algorithm);
    supported_[static_cast<std::size_t>(algorithm.algorithm)] = offered;
    any = any || offered;
  }
  if (!any) {
    return device_error("SW-CRY-073", name_, "offers none of the algorithms",
                        "use another device, or the auto engine");
  }
  return {};
}

Result<void> Device::set_up() {
  const auto refused = [&](const char* step) {
    return device_error("SW-CRY-072", name_, std::string(step) + " failed",
                        "check that no other line or program uses it and that memory suffices");
  };
  rte_cryptodev_config configuration{};
  configuration.socket_id = config_.socket;
  configuration.nb_queue_pairs = config_.queue_pairs;
  if (rte_cryptodev_configure(id_, &configuration) != 0) return refused("configuring it");
  configured_ = true;
  sessions_ = rte_cryptodev_sym_session_pool_create(
      ("crypto_sessions_" + std::to_string(id_)).c_str(), config_.sessions,
      rte_cryptodev_sym_get_private_session_size(id_), 0, 0, config_.socket);
  if (sessions_ == nullptr) return refused("making its session pool");
  rte_cryptodev_qp_conf queue{};
  queue.nb_descriptors = std::max<std::uint32_t>(2048, config_.operations);
  queue.mp_session = sessions_;
  for (std::uint16_t i = 0; i < config_.queue_pairs; ++i) {
    if (rte_cryptodev_queue_pair_setup(id_, i, &queue, config_.socket) != 0) {
      return refused("setting up a queue pair");
    }
  }
  if (rte_cryptodev_start(id_) != 0) return refused("starting it");
  started_ = true;
  return {};
}

struct SessionPair {
  void* seal = nullptr;
  void* open = nullptr;
  void* of(Direction direction) const noexcept {
    return direction == Direction::seal ? seal : open;
  }
};

struct AadSessions {
  std::uint16_t aad_length = 0;
  SessionPair pair;
};

/// Sessions of one key for one queue pair, or for all.
struct SessionSet {
  static constexpr std::size_t kMaxAadLengths = std::size(kMacsecAad) + std::size(kEspAad);

  SessionPair whole;  ///< GMAC; CBC and NULL with HMAC
  std::array<AadSessions, kMaxAadLengths> by_aad;
  std::size_t aad_lengths = 0;

  void* find(std::uint32_t aad_length, Direction direction) const noexcept {
    for (std::size_t i = 0; i < aad_lengths; ++i) {
      if (by_aad[i].aad_length == aad_length) return by_aad[i].pair.of(direction);
    }
    return nullptr;
  }
};

class CryptodevKey final : public AeadKey {
 public:
  CryptodevKey(Algorithm algorithm, std::shared_ptr<Device> device)
      : AeadKey(algorithm, device.get()),
        device_(std::move(device)),
        sets_(device_->session_sets()) {}

  ~CryptodevKey() override {
    for (const SessionSet& set : sets_) {
      free(set.whole);
      for (const AadSessions& sessions : set.by_aad) free(sessions.pair);
    }
  }

  /// False if the device refuses a session or has none left.
  bool make_sessions(const SecretBytes& key, const KeyUse& use) {
    return std::all_of(sets_.begin(), sets_.end(),
                       [&](SessionSet& set) { return make_set(set, key, use); });
  }

  const SessionSet& set(std::uint16_t index) const noexcept { return sets_[index]; }

 private:
  void free(const SessionPair& pair) noexcept {
    device_->free_session(pair.seal);
    device_->free_session(pair.open);
  }

  bool make_set(SessionSet& set, const SecretBytes& key, const KeyUse& use) {
    const bool gcm = info().cipher == Cipher::aes_gcm;
    const bool by_aad = gcm || info().cipher == Cipher::chacha20_poly1305;
    if (!by_aad || gcm) {
      if (!make_pair(set.whole, key, use, 0)) return false;
    }
    if (!by_aad) return true;
    std::vector<std::uint16_t> lengths(std::begin(kEspAad), std::end(kEspAad));
    if (gcm) lengths.insert(lengths.end(), std::begin(kMacsecAad), std::end(kMacsecAad));
    if (use.aad_length != 0) lengths = {use.aad_length};
    for (const std::uint16_t length : lengths) {
      AadSessions& sessions = set.by_aad[set.aad_lengths++];
      sessions.aad_length = length;
      if (!make_pair(sessions.pair, key, use, length)) return false;
    }
    return true;
  }

  bool make_pair(SessionPair& pair, const SecretBytes& key, const KeyUse& use,
                 std::uint16_t aad_length) {
    if (use.seal) pair.seal = make_session(key, Direction::seal, aad_length);
    if (use.open) pair.open = make_session(key, Direction::open, aad_length);
    return (!use.seal || pair.seal != nullptr) && (!use.open || pair.open != nullptr);
  }

  void* make_session(const SecretBytes& key, Direction direction, std::uint16_t aad_length) {
    if (aad_length != 0) return make_aead_session(key, direction, aad_length);
    if (info().aead) return make_gmac_session(key, direction);
    return make_hmac_session(key, direction);
  }

  void* make_aead_session(const SecretBytes& key, Direction direction, std::uint16_t aad_length) {
    rte_crypto_sym_xform transform{};
    transform.type = RTE_CRYPTO_SYM_XFORM_AEAD;
    transform.aead.op =
        direction == Direction::seal ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT;
    transform.aead.algo = info().cipher == Cipher::aes_gcm ? RTE_CRYPTO_AEAD_AES_GCM
                                                           : RTE_CRYPTO_AEAD_CHACHA20_POLY1305;
    transform.aead.key.data = key.view().data();
    transform.aead.key.length = info().cipher_key_length;
    transform.aead.iv.offset = kIvOffset;
    transform.aead.iv.length = kNonce;
    transform.aead.digest_length = kAeadTag;
    transform.aead.aad_length = aad_length;
    return device_->make_session(&transform);
  }

  void* make_gmac_session(const SecretBytes& key, Direction direction) {
    rte_crypto_sym_xform transform{};
    transform.type = RTE_CRYPTO_SYM_XFORM_AUTH;
    transform.auth.op =
        direction == Direction::seal ? RTE_CRYPTO_AUTH_OP_GENERATE : RTE_CRYPTO_AUTH_OP_VERIFY;
    transform.auth.algo = RTE_CRYPTO_AUTH_AES_GMAC;
    transform.auth.key.data = key.view().data();
    transform.auth.key.length = info().cipher_key_length;
    transform.auth.iv.offset = kIvOffset;
    transform.auth.iv.length = kNonce;
    transform.auth.digest_length = kAeadTag;
    return device_->make_session(&transform);
  }

  void* make_hmac_session(const SecretBytes& key, Direction direction) {
    const bool seal = direction == Direction::seal;
    rte_crypto_sym_xform auth{};
    auth.type = RTE_CRYPTO_SYM_XFORM_AUTH;
    auth.auth.op = seal ? RTE_CRYPTO_AUTH_OP_GENERATE : RTE_CRYPTO_AUTH_OP_VERIFY;
    auth.auth.algo = auth_of(info().hash);
    auth.auth.key.data = key.view().data() + info().cipher_key_length;
    auth.auth.key.length = info().auth_key_length;
    auth.auth.digest_length = info().icv_length;
    if (info().cipher == Cipher::null) return device_->make_session(&auth);
    rte_crypto_sym_xform cipher{};
    cipher.type = RTE_CRYPTO_SYM_XFORM_CIPHER;
    cipher.cipher.op = seal ? RTE_CRYPTO_CIPHER_OP_ENCRYPT : RTE_CRYPTO_CIPHER_OP_DECRYPT;
    cipher.cipher.algo = RTE_CRYPTO_CIPHER_AES_CBC;
    cipher.cipher.key.data = key.view().data();
    cipher.cipher.key.length = info().cipher_key_length;
    cipher.cipher.iv.offset = kIvOffset;
    cipher.cipher.iv.length = kBlock;
    rte_crypto_sym_xform& first = seal ? cipher : auth;
    first.next = seal ? &auth : &cipher;
    return device_->make_session(&first);
  }

  std::shared_ptr<Device> device_;
  std::vector<SessionSet> sets_;
};

rte_iova_t iova_of(const void* address) noexcept {
  return rte_eal_iova_mode() == RTE_IOVA_VA ? std::bit_cast<std::uintptr_t>(address)
                                            : rte_mem_virt2iova(address);
}

class CryptodevEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> make(std::shared_ptr<Device> device);

  ~CryptodevEngine() override {
    // Whoever destroys an engine has seen its batches done; what is left is that of a device that
    // does not answer.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (free_.size() != slots_.size() && std::chrono::steady_clock::now() < deadline) collect();
    rte_mempool_free(pool_);
    device_->return_queue_pair(queue_pair_);
  }

  std::string_view name() const noexcept override { return device_->name(); }
  bool supports(Algorithm algorithm) const noexcept override {
    return device_->supports(algorithm);
  }

  Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                            const KeyUse& use) override {
    if (const auto good = check_key_length(algorithm, key); !good)
      return tl::unexpected(good.error());
    const std::string what(crypto::info(algorithm).name);
    if (!supports(algorithm)) {
      return device_error("SW-CRY-021", device_->name(), "does not offer " + what,
                          "use another algorithm or engine");
    }
    if (use.aad_length > kMaxAad) {
      return device_error("SW-CRY-022", device_->name(), "an AAD may be 256 octets at most",
                          "use another engine");
    }
    auto made = std::make_unique<CryptodevKey>(algorithm, device_);
    if (!made->make_sessions(key, use)) {
      return device_error("SW-CRY-022", device_->name(), "has no session left for " + what,
                          "allow it more sessions, or use another engine");
    }
    return made;
  }

  void submit(AeadBatch& batch) noexcept override {
    rte_crypto_op* ready[AeadBatch::kCapacity];
    std::uint16_t count = 0;
    batch.pending = 0;
    for (std::uint16_t i = 0; i < batch.count; ++i) {
      AeadOp& op = batch.ops[i];
      op.status = OpStatus::error;
      if (!well_formed(op, device_.get())) continue;
      rte_crypto_op* prepared = prepare(op, batch);
      if (prepared == nullptr) continue;
      op.status = OpStatus::pending;
      ++batch.pending;
      ready[count++] = prepared;
    }
    // What the device does not take now waits in order behind what it did not take before.
    std::uint16_t taken = 0;
    if (waiting_.empty() && count != 0) {
      taken = rte_cryptodev_enqueue_burst(device_->id(), queue_pair_, ready, count);
    }
    for (std::uint16_t i = taken; i < count; ++i) waiting_.push_back(ready[i]);
  }

  bool poll(AeadBatch& batch) noexcept override {
    if (batch.pending == 0) return true;
    collect();
    return batch.pending == 0;
  }

 private:
  /// What belongs to one rte_crypto_op but no device reads: a packet buffer's header over the
  /// caller's memory, and whose it is.
  struct Slot {
    rte_mbuf buffer;
    AeadBatch* batch;
    AeadOp* op;
    std::uint8_t received[4];  ///< octets of the tag under the ESN's high word
    std::uint16_t index;
  };

  CryptodevEngine(std::shared_ptr<Device> device, std::uint16_t queue_pair)
      : device_(std::move(device)),
        queue_pair_(queue_pair),
        session_set_(device_->session_set_of(queue_pair)) {}

  static DeviceMemory& memory_of(rte_crypto_op& op) noexcept {
    return *rte_crypto_op_ctod_offset(&op, DeviceMemory*, kMemoryOffset);
  }

  rte_crypto_op* prepare(AeadOp& op, AeadBatch& batch) noexcept;
  void prepare_aead(AeadOp& op, rte_crypto_op& out, Slot& slot) noexcept;
  void prepare_gmac(AeadOp& op, rte_crypto_op& out, Slot& slot) noexcept;
  void prepare_hmac(AeadOp& op, rte_crypto_op& out, Slot& slot, Direction direction) noexcept;
  void collect() noexcept;
  void complete(rte_crypto_op& done) noexcept;

  static void wrap(Slot& slot, std::uint8_t* memory, std::size_t length) noexcept {
    rte_mbuf& buffer = slot.buffer;
    buffer.buf_addr = memory;
    buffer.buf_iova = iova_of(memory);
    buffer.data_off = 0;
    buffer.buf_len = static_cast<std::uint16_t>(length);
    buffer.data_len = static_cast<std::uint16_t>(length);
    buffer.pkt_len = static_cast<std::uint32_t>(length);
  }

  /// A first-in first-out queue with room for every operation there is.
  class Waiting {
   public:
    void reserve(std::size_t count) { ring_.resize(count); }
    bool empty() const noexcept { return count_ == 0; }
    void push_back(rte_crypto_op* op) noexcept { ring_[(first_ + count_++) % ring_.size()] = op; }
    /// The longest run at the front that is contiguous in memory.
    std::span<rte_crypto_op*> front() noexcept {
      return {ring_.data() + first_, std::min(count_, ring_.size() - first_)};
    }
    void pop_front(std::size_t count) noexcept {
      first_ = (first_ + count) % ring_.size();
      count_ -= count;
    }

   private:
    std::vector<rte_crypto_op*> ring_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
  };

  std::shared_ptr<Device> device_;
  std::uint16_t queue_pair_;
  std::uint16_t session_set_;
  rte_mempool* pool_ = nullptr;
  std::vector<Slot> slots_;
  std::vector<rte_crypto_op*> ops_;  ///< by slot
  std::vector<std::uint16_t> free_;  ///< slots, last in first out: the warmest first
  Waiting waiting_;
};

Result<std::unique_ptr<Engine>> CryptodevEngine::make(std::shared_ptr<Device> device) {
  const auto queue_pair = device->take_queue_pair();
  if (!queue_pair) {
    return device_error("SW-CRY-074", device->name(), "all its queue pairs are in use",
                        "allow it more queue pairs or use fewer workers");
  }
  const std::uint16_t count = device->operations();
  std::unique_ptr<CryptodevEngine> engine(new CryptodevEngine(std::move(device), *queue_pair));
  static std::atomic<unsigned> serial{0};
  const std::string pool = "crypto_ops_" + std::to_string(serial.fetch_add(1));
  engine->pool_ = rte_crypto_op_pool_create(pool.c_str(), RTE_CRYPTO_OP_TYPE_SYMMETRIC, count, 0,
                                            sizeof(DeviceMemory), engine->device_->socket());
  engine->ops_.resize(count);
  if (engine->pool_ == nullptr ||
      rte_crypto_op_bulk_alloc(engine->pool_, RTE_CRYPTO_OP_TYPE_SYMMETRIC, engine->ops_.data(),
                               count) != count) {
    return device_error("SW-CRY-072", engine->device_->name(),
                        "there is no memory for its operations",
                        "give EAL more memory or allow fewer operations");
  }
  engine->slots_.resize(count);
  engine->waiting_.reserve(count);
  for (std::uint16_t i = 0; i < count; ++i) {
    Slot& slot = engine->slots_[i];
    slot.index = i;
    slot.buffer.nb_segs = 1;
    rte_mbuf_refcnt_set(&slot.buffer, 1);
    // m_dst leads from the operation back to its slot; it is the same buffer, as in place
    // operations have it.
    engine->ops_[i]->sym->m_src = &slot.buffer;
    engine->ops_[i]->sym->m_dst = nullptr;
    engine->free_.push_back(i);
  }
  return engine;
}

rte_crypto_op* CryptodevEngine::prepare(AeadOp& op, AeadBatch& batch) noexcept {
  const SessionSet& sessions = static_cast<const CryptodevKey*>(op.key)->set(session_set_);
  const bool aead = op.key->info().aead;
  // ChaCha20-Poly1305 without data keeps its session by AAD length: it has no other.
  const bool by_aad =
      aead && (op.length != 0 || op.key->info().cipher == Cipher::chacha20_poly1305);
  void* session =
      by_aad ? sessions.find(op.aad_length, batch.direction) : sessions.whole.of(batch.direction);
  if (session == nullptr || free_.empty()) return nullptr;
  const std::uint16_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.batch = &batch;
  slot.op = &op;
  rte_crypto_op& out = *ops_[index];
  out.status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
  rte_crypto_op_attach_sym_session(&out, session);
  if (by_aad) {
    prepare_aead(op, out, slot);
  } else if (aead) {
    prepare_gmac(op, out, slot);
  } else {
    prepare_hmac(op, out, slot, batch.direction);
  }
  return &out;
}

void CryptodevEngine::prepare_aead(AeadOp& op, rte_crypto_op& out, Slot& slot) noexcept {
  DeviceMemory& memory = memory_of(out);
  std::memcpy(memory.iv, op.iv, kNonce);
  std::memcpy(memory.aad, op.aad, op.aad_length);
  wrap(slot, op.length != 0 ? op.data : op.tag, op.length);
  auto& aead = out.sym->aead;
  aead.data.offset = 0;
  aead.data.length = op.length;
  aead.digest.data = op.tag;
  aead.digest.phys_addr = iova_of(op.tag);
  aead.aad.data = memory.aad;
  aead.aad.phys_addr =
      rte_crypto_op_ctophys_offset(&out, kMemoryOffset + offsetof(DeviceMemory, aad));
}

void CryptodevEngine::prepare_gmac(AeadOp& op, rte_crypto_op& out, Slot& slot) noexcept {
  std::memcpy(memory_of(out).iv, op.iv, kNonce);
  wrap(slot, op.aad_length != 0 ? op.aad : op.tag, op.aad_length);
  auto& auth = out.sym->auth;
  auth.data.offset = 0;
  auth.data.length = op.aad_length;
  auth.digest.data = op.tag;
  auth.digest.phys_addr = iova_of(op.tag);
  out.sym->cipher.data.offset = 0;
  out.sym->cipher.data.length = 0;
}

void CryptodevEngine::prepare_hmac(AeadOp& op, rte_crypto_op& out, Slot& slot,
                                   Direction direction) noexcept {
  const AlgorithmInfo& facts = op.key->info();
  DeviceMemory& memory = memory_of(out);
  const std::span<std::uint8_t> input = hmac_input(op);
  auto& cipher = out.sym->cipher;
  cipher.data.offset = 0;
  cipher.data.length = 0;
  if (facts.cipher == Cipher::aes_cbc) {
    if (direction == Direction::seal) {
      // With a zero IV, enciphering from one block earlier turns the counter block into E_k(counter
      // block), the wire IV, and chains it into the first block of data, which is CBC under that
      // IV.
      std::memset(memory.iv, 0, kBlock);
      std::memcpy(op.data - kBlock, op.iv, kBlock);
      cipher.data.offset = op.aad_length;
      cipher.data.length = op.length + kBlock;
    } else {
      std::memcpy(memory.iv, op.data - kBlock, kBlock);
      cipher.data.offset = op.aad_length + kBlock;
      cipher.data.length = op.length;
    }
  }
  std::size_t length = input.size();
  auto& auth = out.sym->auth;
  auth.digest.data = op.tag;
  auth.digest.phys_addr = iova_of(op.tag);
  if (op.append_esn_high) {
    // The high word takes the tag's place in memory, so the tag is kept elsewhere until the device
    // is done.
    std::memcpy(memory.digest, op.tag, facts.icv_length);
    std::memcpy(slot.received, op.tag, sizeof slot.received);
    store_esn_high(op.esn_high, op.tag);
    length += 4;
    auth.digest.data = memory.digest;
    auth.digest.phys_addr =
        rte_crypto_op_ctophys_offset(&out, kMemoryOffset + offsetof(DeviceMemory, digest));
  }
  auth.data.offset = 0;
  auth.data.length = static_cast<std::uint32_t>(length);
  wrap(slot, input.data(), length);
}

void CryptodevEngine::collect() noexcept {
  while (!waiting_.empty()) {
    const std::span<rte_crypto_op*> front = waiting_.front();
    const auto want =
        static_cast<std::uint16_t>(std::min<std::size_t>(front.size(), kDequeueBurst));
    const std::uint16_t taken =
        rte_cryptodev_enqueue_burst(device_->id(), queue_pair_, front.data(), want);
    waiting_.pop_front(taken);
    if (taken < want) break;
  }
  rte_crypto_op* done[kDequeueBurst];
  const std::uint16_t count =
      rte_cryptodev_dequeue_burst(device_->id(), queue_pair_, done, kDequeueBurst);
  for (std::uint16_t i = 0; i < count; ++i) complete(*done[i]);
}

void CryptodevEngine::complete(rte_crypto_op& done) noexcept {
  static_assert(offsetof(Slot, buffer) == 0);
  Slot& slot = *static_cast<Slot*>(static_cast<void*>(done.sym->m_src));
  AeadOp& op = *slot.op;
  AeadBatch& batch = *slot.batch;
  DeviceMemory& memory = memory_of(done);
  const bool seal = batch.direction == Direction::seal;
  const bool good = done.status == RTE_CRYPTO_OP_STATUS_SUCCESS;
  if (op.append_esn_high) {
    if (seal && good) {
      std::memcpy(op.tag, memory.digest, op.key->info().icv_length);
    } else {
      std::memcpy(op.tag, slot.received, sizeof slot.received);
    }
  }
  if (good) {
    op.status = OpStatus::ok;
  } else if (!seal) {
    reject_tag(op);
    if (done.status != RTE_CRYPTO_OP_STATUS_AUTH_FAILED) op.status = OpStatus::error;
  } else {
    op.status = OpStatus::error;
  }
  --batch.pending;
  free_.push_back(slot.index);
}

class CryptodevFactory final : public EngineFactory {
 public:
  explicit CryptodevFactory(std::shared_ptr<Device> device) noexcept : device_(std::move(device)) {}

  std::string_view name() const noexcept override { return device_->name(); }
  Result<std::unique_ptr<Engine>> make() override { return CryptodevEngine::make(device_); }

 private:
  std::shared_ptr<Device> device_;
};

}  // namespace

Result<std::unique_ptr<EngineFactory>> make_cryptodev_factory(const CryptodevConfig& config) {
  auto device = Device::open(config);
  if (!device) return tl::unexpected(device.error());
  return std::make_unique<CryptodevFactory>(std::move(*device));
}

}  // namespace sealwire::crypto
