// The burst interface to everything that enciphers: keys, operations, batches and engines.
//
// An operation is one packet. All pointers go into memory of the caller, which must stay put until
// the operation is done; everything happens in place. Engines never allocate, log or throw in
// submit() and poll().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "crypto/algorithm.h"
#include "crypto/result.h"
#include "crypto/secret_bytes.h"

namespace sealwire::crypto {

/// Seal: encipher and write the tag. Open: verify the tag and decipher.
enum class Direction : std::uint8_t { seal, open };

/// Where one operation stands. Anything but `ok` means: drop the packet.
enum class OpStatus : std::uint8_t {
  pending,  ///< not submitted yet, or still in a device
  ok,       ///< sealed, or verified and opened
  bad_tag,  ///< open only: the tag does not match; data is zeroed if the algorithm is confidential
  error,  ///< ill-formed (see AeadOp) or refused by the engine; what data and tag hold is undefined
};

/// A key as one kind of engine wants it (expanded, precomputed, or as device sessions). Made by
/// Engine::make_key; usable, read-only, by all instances of that engine kind at once; wiped on
/// destruction. Whoever destroys it has made sure that no operation refers to it any more (QSBR,
/// operations in a device included).
class AeadKey {
 public:
  virtual ~AeadKey() = default;
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;

  Algorithm algorithm() const noexcept { return info_->algorithm; }
  const AlgorithmInfo& info() const noexcept { return *info_; }

  /// Which engine kind (for devices: which device) made the key: an engine answers `error` to the
  /// keys of others.
  const void* family() const noexcept { return family_; }

 protected:
  AeadKey(Algorithm algorithm, const void* family) noexcept
      : info_(&crypto::info(algorithm)), family_(family) {}

 private:
  const AlgorithmInfo* info_;
  const void* family_;
};

/// The longest operation, AAD and data together, in octets: what the 16-bit lanes of multi-buffer
/// code take.
inline constexpr std::uint32_t kMaxOpOctets = 65'000;

/// One packet's operation. The layout that each kind of algorithm needs:
///
/// - GCM, ChaCha20-Poly1305: iv[0..12) is the nonce (crypto/nonce.h). `aad` and `data` may be
/// anywhere; either may be
///   empty. ESP with ESN puts SeqHi into the AAD itself (RFC 4106 §5), append_esn_high is ignored.
/// - GMAC: the same with length 0: everything authenticated is in `aad`, contiguous.
/// - CBC + HMAC (encrypt-then-MAC): contiguous in memory are `aad` (SPI, SN: aad_length octets, not
/// 0), the 16 octets of
///   the wire IV, `data` and `tag`. `length` is a multiple of 16, not 0. Seal: iv[] holds
///   nonce::cbc_counter_block; the engine writes E_k(iv) as the wire IV just before `data` (SP
///   800-38A Appendix C). Open: the wire IV is read from there, iv[] is ignored.
/// - NULL + HMAC: contiguous `aad`, `data`, `tag`; not both empty.
/// - append_esn_high (CBC and NULL): esn_high, big-endian, is appended to the MAC's input and not
/// sent (RFC 4303 §2.2.1).
///   The engine may use the first 4 octets of `tag` for it meanwhile; on open it puts the received
///   ones back.
///
/// `tag` is icv_length octets: written by seal, read by open. aad_length + length may be at most
/// kMaxOpOctets.
struct AeadOp {
  const AeadKey* key = nullptr;  ///< afterwards whatever the engine has left there
  std::uint8_t* data = nullptr;
  std::uint8_t* aad = nullptr;
  std::uint8_t* tag = nullptr;
  std::uint32_t length = 0;      ///< octets at data
  std::uint32_t aad_length = 0;  ///< octets at aad
  std::uint8_t iv[16] = {};
  std::uint32_t esn_high = 0;  ///< host order
  bool append_esn_high = false;
  OpStatus status = OpStatus::pending;
};
static_assert(sizeof(AeadOp) == 64);

/// The operations of one burst, all in one direction, each with its own key and algorithm. Owned by
/// the burst; may not move between submit() and the poll() that says it is done.
struct AeadBatch {
  static constexpr std::size_t kCapacity = 64;

  alignas(64) std::array<AeadOp, kCapacity> ops;
  std::uint16_t count = 0;    ///< ops[0..count) are to be done
  std::uint16_t pending = 0;  ///< how many of them are not done: the engine's to write
  Direction direction = Direction::seal;

  /// Empties the batch. Not while operations are pending.
  void reset(Direction new_direction) noexcept {
    count = 0;
    pending = 0;
    direction = new_direction;
  }
  bool full() const noexcept { return count == kCapacity; }
  /// The next operation, with the status pending and everything else as it was left: fill in every
  /// field. Not when full.
  AeadOp& add() noexcept {
    AeadOp& op = ops[count++];
    op.status = OpStatus::pending;
    op.append_esn_high = false;
    return op;
  }
};

/// What a key is for. Software ignores it. Devices need a session per direction and AAD length:
/// without a hint sessions for both directions and every AAD length that MACsec and ESP produce are
/// made.
struct KeyUse {
  bool seal = true;
  bool open = true;
  std::uint16_t aad_length = 0;  ///< the only AAD length, octets; 0: all the usual ones
};

/// One engine as one worker uses it. Not thread-safe; make one per worker, by an EngineFactory.
/// Keys are shared.
class Engine {
 public:
  virtual ~Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// As in the configuration: "ipsec-mb", "openssl", "auto", or the device's name.
  virtual std::string_view name() const noexcept = 0;

  virtual bool supports(Algorithm algorithm) const noexcept = 0;

  /// Control path. `key` is cipher key || HMAC key without any salt, exactly
  /// info(algorithm).key_length() octets. Errors: SW-CRY-020 (length), SW-CRY-021 (algorithm not
  /// supported), SW-CRY-022 (the library or device refused).
  virtual Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                                    const KeyUse& use = {}) = 0;

  /// Starts batch.ops[0..count). Engines without a device finish here: batch.pending is 0 after.
  virtual void submit(AeadBatch& batch) noexcept = 0;

  /// Collects what is done, of any batch of this instance; true when `batch` is done. Never waits.
  /// Cheap when it is.
  virtual bool poll(AeadBatch& batch) noexcept = 0;

 protected:
  Engine() = default;
};

/// Makes one Engine per worker; all of them understand each other's keys. Control thread only;
/// outlives its engines.
class EngineFactory {
 public:
  virtual ~EngineFactory() = default;
  virtual std::string_view name() const noexcept = 0;
  virtual Result<std::unique_ptr<Engine>> make() = 0;
};

/// Whether `op` keeps the rules at AeadOp for an engine of `family`. Engines answer `error` where
/// it does not.
inline bool well_formed(const AeadOp& op, const void* family) noexcept {
  if (op.key == nullptr || op.key->family() != family || op.tag == nullptr) return false;
  if (op.length > kMaxOpOctets || op.aad_length > kMaxOpOctets - op.length) return false;
  if (op.data == nullptr || op.aad == nullptr) [[unlikely]] {
    if ((op.length != 0 && op.data == nullptr) || (op.aad_length != 0 && op.aad == nullptr))
      return false;
  }
  const Cipher cipher = op.key->info().cipher;
  if (cipher == Cipher::aes_gcm) [[likely]]
    return true;
  switch (cipher) {
    case Cipher::aes_gcm:
    case Cipher::chacha20_poly1305:
      return true;
    case Cipher::aes_gmac:
      return op.length == 0;
    case Cipher::aes_cbc:
      return op.length != 0 && op.length % 16 == 0 && op.aad_length != 0 &&
             op.aad + op.aad_length + 16 == op.data && op.data + op.length == op.tag;
    case Cipher::null:
      return op.length + op.aad_length != 0 && op.aad != nullptr &&
             op.aad + op.aad_length + op.length == op.tag &&
             (op.length == 0 || op.aad + op.aad_length == op.data);
  }
  return false;
}

/// SW-CRY-020 unless `key` has the length of `algorithm`. For engines' make_key.
Result<void> check_key_length(Algorithm algorithm, const SecretBytes& key);

}  // namespace sealwire::crypto
