#include "crypto/engines/ipsec_mb.h"

#include <intel-ipsec-mb.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "crypto/engines/sync_engine.h"

namespace sealwire::crypto {
namespace {

constexpr std::size_t kBlock = 16;
constexpr std::size_t kAeadTag = 16;
constexpr std::size_t kMaxDigest = 64;
constexpr std::size_t kRoundKeys = 15 * kBlock;

/// Keys bear the address of their code's entry: managers of one code lay out keys alike.
constexpr char kFamilies[5] = {};

const void* family_of(IpsecMbCode code) { return &kFamilies[static_cast<std::size_t>(code)]; }

struct ReleaseManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, ReleaseManager>;

struct Code {
  std::uint64_t needs;  ///< CPU features
  void (*initialise)(IMB_MGR*);
};

Code code_of(IpsecMbCode code) {
  switch (code) {
    case IpsecMbCode::best:
      return {0, [](IMB_MGR* manager) { init_mb_mgr_auto(manager, nullptr); }};
    case IpsecMbCode::sse:
      return {IMB_CPUFLAGS_SSE, init_mb_mgr_sse};
    case IpsecMbCode::avx:
      return {IMB_CPUFLAGS_AVX, init_mb_mgr_avx};
    case IpsecMbCode::avx2:
      return {IMB_CPUFLAGS_AVX2, init_mb_mgr_avx2};
    case IpsecMbCode::avx512:
      return {IMB_CPUFLAGS_AVX512, init_mb_mgr_avx512};
  }
  return {0, nullptr};
}

/// Null if this processor or the library's own self-test does not allow it.
Manager make_manager(IpsecMbCode code) {
  const auto [needs, initialise] = code_of(code);
  Manager manager(alloc_mb_mgr(0));
  if (manager == nullptr || (manager->features & needs) != needs) return nullptr;
  initialise(manager.get());
  const bool tested = (manager->features & IMB_FEATURE_SELF_TEST) != 0;
  const bool passed = (manager->features & IMB_FEATURE_SELF_TEST_PASS) != 0;
  if (imb_get_errno(manager.get()) != 0 || manager->used_arch == IMB_ARCH_NONE ||
      (tested && !passed)) {
    return nullptr;
  }
  return manager;
}

std::size_t key_index(std::uint8_t cipher_key_length) { return cipher_key_length / 8U - 2U; }

class GcmKey final : public AeadKey {
 public:
  GcmKey(Algorithm algorithm, const void* family) noexcept : AeadKey(algorithm, family) {}
  ~GcmKey() override { wipe(&expanded, sizeof expanded); }
  alignas(64) gcm_key_data expanded;
};

class ChaChaKey final : public AeadKey {
 public:
  ChaChaKey(Algorithm algorithm, const void* family) noexcept : AeadKey(algorithm, family) {}
  ~ChaChaKey() override { wipe(key, sizeof key); }
  // The avx2 code loads 48 octets from here although a key has 32.
  alignas(64) std::uint8_t key[64] = {};
};

/// CBC or NULL with HMAC. The HMAC's inner and outer states are those after the one block of padded
/// key.
class HmacKey final : public AeadKey {
 public:
  HmacKey(Algorithm algorithm, const void* family) noexcept : AeadKey(algorithm, family) {}
  ~HmacKey() override {
    wipe(seal, sizeof seal);
    wipe(open, sizeof open);
    wipe(inner, sizeof inner);
    wipe(outer, sizeof outer);
  }
  alignas(16) std::uint8_t seal[kRoundKeys];
  alignas(16) std::uint8_t open[kRoundKeys];
  alignas(16) std::uint8_t inner[kMaxDigest];
  alignas(16) std::uint8_t outer[kMaxDigest];
};

void expand_gcm(IMB_MGR* manager, const std::uint8_t* key, GcmKey& out) {
  switch (out.info().cipher_key_length) {
    case 16:
      IMB_AES128_GCM_PRE(manager, key, &out.expanded);
      break;
    case 24:
      IMB_AES192_GCM_PRE(manager, key, &out.expanded);
      break;
    default:
      IMB_AES256_GCM_PRE(manager, key, &out.expanded);
      break;
  }
}

void expand_cbc(IMB_MGR* manager, const std::uint8_t* key, HmacKey& out) {
  switch (out.info().cipher_key_length) {
    case 16:
      IMB_AES_KEYEXP_128(manager, key, out.seal, out.open);
      break;
    case 24:
      IMB_AES_KEYEXP_192(manager, key, out.seal, out.open);
      break;
    case 32:
      IMB_AES_KEYEXP_256(manager, key, out.seal, out.open);
      break;
    default:  // NULL cipher
      break;
  }
}

void hash_one_block(IMB_MGR* manager, Hash hash, const std::uint8_t* block, std::uint8_t* out) {
  switch (hash) {
    case Hash::sha1:
      IMB_SHA1_ONE_BLOCK(manager, block, out);
      break;
    case Hash::sha256:
      IMB_SHA256_ONE_BLOCK(manager, block, out);
      break;
    case Hash::sha384:
      IMB_SHA384_ONE_BLOCK(manager, block, out);
      break;
    case Hash::sha512:
      IMB_SHA512_ONE_BLOCK(manager, block, out);
      break;
    case Hash::none:
      break;
  }
}

void expand_hmac(IMB_MGR* manager, const std::uint8_t* key, HmacKey& out) {
  // No key is longer than a block: it is the digest's length.
  const Hash hash = out.info().hash;
  const std::size_t block_length = hash == Hash::sha1 || hash == Hash::sha256 ? 64 : 128;
  std::uint8_t block[128];
  const auto pad = [&](std::uint8_t octet) {
    std::fill_n(block, block_length, octet);
    for (std::size_t i = 0; i < out.info().auth_key_length; ++i) block[i] ^= key[i];
  };
  pad(0x36);
  hash_one_block(manager, hash, block, out.inner);
  pad(0x5c);
  hash_one_block(manager, hash, block, out.outer);
  wipe(block, sizeof block);
}

IMB_HASH_ALG imb_hash(Hash hash) {
  switch (hash) {
    case Hash::sha1:
      return IMB_AUTH_HMAC_SHA_1;
    case Hash::sha256:
      return IMB_AUTH_HMAC_SHA_256;
    case Hash::sha384:
      return IMB_AUTH_HMAC_SHA_384;
    case Hash::sha512:
      return IMB_AUTH_HMAC_SHA_512;
    case Hash::none:
      break;
  }
  return IMB_AUTH_NULL;
}

/// The direct functions of one AES key length.
struct GcmCalls {
  aes_gcm_enc_dec_t seal;
  aes_gcm_enc_dec_t open;
  aes_gmac_init_t gmac_init;
  aes_gmac_update_t gmac_update;
  aes_gmac_finalize_t gmac_finalize;
};

class IpsecMbEngine final : public SyncEngine {
 public:
  IpsecMbEngine(IpsecMbCode code, Manager best, Manager sha_ni) noexcept
      : SyncEngine(family_of(code)),
        code_(code),
        best_(std::move(best)),
        sha_ni_(std::move(sha_ni)) {
    IMB_MGR* m = best_.get();
    gcm_[0] = {m->gcm128_enc, m->gcm128_dec, m->gmac128_init, m->gmac128_update,
               m->gmac128_finalize};
    gcm_[1] = {m->gcm192_enc, m->gcm192_dec, m->gmac192_init, m->gmac192_update,
               m->gmac192_finalize};
    gcm_[2] = {m->gcm256_enc, m->gcm256_dec, m->gmac256_init, m->gmac256_update,
               m->gmac256_finalize};
  }
  ~IpsecMbEngine() override { forget(); }

  std::string_view name() const noexcept override { return name_of(code_); }
  bool supports(Algorithm /*algorithm*/) const noexcept override { return true; }

  Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                            const KeyUse& /*use*/) override {
    if (const auto good = check_key_length(algorithm, key); !good)
      return tl::unexpected(good.error());
    const AlgorithmInfo& facts = crypto::info(algorithm);
    const std::uint8_t* octets = key.view().data();
    switch (facts.cipher) {
      case Cipher::aes_gcm:
      case Cipher::aes_gmac: {
        auto made = std::make_unique<GcmKey>(algorithm, family());
        expand_gcm(best_.get(), octets, *made);
        return made;
      }
      case Cipher::chacha20_poly1305: {
        auto made = std::make_unique<ChaChaKey>(algorithm, family());
        std::memcpy(made->key, octets, facts.cipher_key_length);
        return made;
      }
      case Cipher::aes_cbc:
      case Cipher::null:
        break;
    }
    auto made = std::make_unique<HmacKey>(algorithm, family());
    expand_cbc(best_.get(), octets, *made);
    expand_hmac(manager_of(facts.hash), octets + facts.cipher_key_length, *made);
    return made;
  }

  void run(std::span<AeadOp* const> ops, Direction direction) noexcept override {
    std::size_t left = 0;  // HMAC operations wait here to be done together
    for (AeadOp* op : ops) {
      switch (op->key->info().cipher) {
        case Cipher::aes_gcm:
        case Cipher::aes_gmac:
          run_gcm(*op, direction);
          break;
        case Cipher::chacha20_poly1305:
          run_chacha(*op, direction);
          break;
        case Cipher::aes_cbc:
        case Cipher::null:
          waiting_[left++] = op;
          break;
      }
    }
    while (left != 0) left = run_one_hmac_algorithm(left, direction);
    if (dirty_) forget();
  }

 private:
  IMB_MGR* manager_of(Hash hash) const noexcept {
    const bool small = hash == Hash::sha1 || hash == Hash::sha256;
    return small && sha_ni_ != nullptr ? sha_ni_.get() : best_.get();
  }

  /// Whatever of keys, key streams and plaintext the library left in our working memory.
  void forget() noexcept {
    wipe(&gcm_context_, sizeof gcm_context_);
    dirty_ = false;
  }

  void finish(AeadOp& op, Direction direction, const std::uint8_t* tag) noexcept {
    if (direction == Direction::open && !constant_time_equal({tag, kAeadTag}, {op.tag, kAeadTag})) {
      reject_tag(op);
      return;
    }
    op.status = OpStatus::ok;
  }

  void run_gcm(AeadOp& op, Direction direction) noexcept {
    const auto& key = static_cast<const GcmKey*>(op.key)->expanded;
    const GcmCalls& call = gcm_[key_index(op.key->info().cipher_key_length)];
    std::uint8_t computed[kAeadTag];
    std::uint8_t* tag = direction == Direction::seal ? op.tag : computed;
    dirty_ = true;
    if (op.length == 0) {
      // The GMAC code hashes several blocks at once, which GCM's own AAD code does not on every
      // processor.
      call.gmac_init(&key, &gcm_context_, op.iv, IMB_GCM_IV_DATA_LEN);
      if (op.aad_length != 0) call.gmac_update(&key, &gcm_context_, op.aad, op.aad_length);
      call.gmac_finalize(&key, &gcm_context_, tag, kAeadTag);
    } else {
      const auto run = direction == Direction::seal ? call.seal : call.open;
      run(&key, &gcm_context_, op.data, op.data, op.length, op.iv, op.aad, op.aad_length, tag,
          kAeadTag);
    }
    finish(op, direction, tag);
  }

  /// A job of its own: it makes the Poly1305 key and the first key stream at once, which the direct
  /// functions do one after the other. Jobs of this algorithm are done when they are submitted.
  void run_chacha(AeadOp& op, Direction direction) noexcept {
    const std::uint8_t* key = static_cast<const ChaChaKey*>(op.key)->key;
    const bool seal = direction == Direction::seal;
    std::uint8_t computed[kAeadTag];
    std::uint8_t* tag = seal ? op.tag : computed;
    IMB_JOB* const job = IMB_GET_NEXT_JOB(best_.get());
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    job->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = job->dec_keys = key;
    job->key_len_in_bytes = 32;
    job->iv = op.iv;
    job->iv_len_in_bytes = 12;
    job->u.CHACHA20_POLY1305.aad = op.aad;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = op.aad_length;
    job->src = job->dst = op.data;
    job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = op.length;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = kAeadTag;
    const IMB_JOB* const done = IMB_SUBMIT_JOB_NOCHECK(best_.get());
    if (done != job || done->status != IMB_STATUS_COMPLETED) {
      op.status = OpStatus::error;
      return;
    }
    finish(op, direction, tag);
  }

  /// Does the waiting operations that share the first one's algorithm; how many are left, moved to
  /// the front.
  std::size_t run_one_hmac_algorithm(std::size_t count, Direction direction) noexcept {
    const AlgorithmInfo& facts = waiting_[0]->key->info();
    std::size_t same = 0;
    std::size_t left = 0;
    for (std::size_t i = 0; i < count; ++i) {
      AeadOp* op = waiting_[i];
      if (op->key->algorithm() == facts.algorithm) {
        group_[same++] = op;
      } else {
        waiting_[left++] = op;
      }
    }
    if (direction == Direction::seal) {
      seal_group(same, facts);
    } else {
      open_group(same, facts);
    }
    return left;
  }

  void seal_group(std::size_t count, const AlgorithmInfo& facts) noexcept {
    const bool enciphered = facts.cipher == Cipher::null || encipher_group(count, facts);
    const bool hashed = enciphered && hash_group(count, facts);
    for (std::size_t i = 0; i < count; ++i) {
      AeadOp& op = *group_[i];
      if (hashed) std::memcpy(op.tag, digests_[i].data(), facts.icv_length);
      op.status = hashed ? OpStatus::ok : OpStatus::error;
    }
  }

  void open_group(std::size_t count, const AlgorithmInfo& facts) noexcept {
    if (!hash_group(count, facts)) {
      for (std::size_t i = 0; i < count; ++i) group_[i]->status = OpStatus::error;
      return;
    }
    // Only what verified is deciphered.
    std::size_t good = 0;
    for (std::size_t i = 0; i < count; ++i) {
      AeadOp& op = *group_[i];
      if (constant_time_equal({digests_[i].data(), facts.icv_length}, {op.tag, facts.icv_length})) {
        group_[good++] = &op;
      } else {
        reject_tag(op);
      }
    }
    const bool deciphered = facts.cipher == Cipher::null || decipher_group(good, facts);
    for (std::size_t i = 0; i < good; ++i) {
      group_[i]->status = deciphered ? OpStatus::ok : OpStatus::error;
    }
  }

  /// The wire IV comes out too: with a zero IV, enciphering from one block earlier turns the
  /// counter block into E_k(counter block) and chains it into the first block of data, which is CBC
  /// under that IV.
  bool encipher_group(std::size_t count, const AlgorithmInfo& facts) noexcept {
    static constexpr std::uint8_t kZeroIv[kBlock] = {};
    for (std::size_t i = 0; i < count; ++i) {
      AeadOp& op = *group_[i];
      std::memcpy(op.data - kBlock, op.iv, kBlock);
      cipher_job(jobs_[i], op, facts, op.data - kBlock, op.length + kBlock, kZeroIv);
    }
    return cipher_burst(count, facts, IMB_DIR_ENCRYPT);
  }

  bool decipher_group(std::size_t count, const AlgorithmInfo& facts) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      AeadOp& op = *group_[i];
      // In place: the IV must not be read after the block that follows it was written.
      std::memcpy(ivs_[i].data(), op.data - kBlock, kBlock);
      cipher_job(jobs_[i], op, facts, op.data, op.length, ivs_[i].data());
    }
    return cipher_burst(count, facts, IMB_DIR_DECRYPT);
  }

  static void cipher_job(IMB_JOB& job, AeadOp& op, const AlgorithmInfo& facts, std::uint8_t* start,
                         std::size_t length, const std::uint8_t* iv) noexcept {
    const auto* key = static_cast<const HmacKey*>(op.key);
    job.enc_keys = key->seal;
    job.dec_keys = key->open;
    job.key_len_in_bytes = facts.cipher_key_length;
    job.src = start;
    job.dst = start;
    job.cipher_start_src_offset_in_bytes = 0;
    job.msg_len_to_cipher_in_bytes = length;
    job.iv = iv;
    job.iv_len_in_bytes = kBlock;
    job.status = IMB_STATUS_BEING_PROCESSED;
  }

  bool cipher_burst(std::size_t count, const AlgorithmInfo& facts,
                    IMB_CIPHER_DIRECTION direction) noexcept {
    if (count == 0) return true;
    const auto n = static_cast<std::uint32_t>(count);
    return IMB_SUBMIT_CIPHER_BURST(best_.get(), jobs_.data(), n, IMB_CIPHER_CBC, direction,
                                   static_cast<IMB_KEY_SIZE_BYTES>(facts.cipher_key_length)) == n;
  }

  /// HMACs of group_[0..count) into digests_.
  bool hash_group(std::size_t count, const AlgorithmInfo& facts) noexcept {
    std::uint8_t received[AeadBatch::kCapacity][4];
    for (std::size_t i = 0; i < count; ++i) {
      AeadOp& op = *group_[i];
      const auto* key = static_cast<const HmacKey*>(op.key);
      const std::span<const std::uint8_t> input = hmac_input(op);
      IMB_JOB& job = jobs_[i];
      job.src = input.data();
      job.hash_start_src_offset_in_bytes = 0;
      job.msg_len_to_hash_in_bytes = input.size();
      job.auth_tag_output = digests_[i].data();
      job.auth_tag_output_len_in_bytes = facts.icv_length;
      job.u.HMAC._hashed_auth_key_xor_ipad = key->inner;
      job.u.HMAC._hashed_auth_key_xor_opad = key->outer;
      job.status = IMB_STATUS_BEING_PROCESSED;
      if (op.append_esn_high) {
        std::memcpy(received[i], op.tag, sizeof received[i]);
        store_esn_high(op.esn_high, op.tag);
        job.msg_len_to_hash_in_bytes += 4;
      }
    }
    const auto n = static_cast<std::uint32_t>(count);
    const bool done =
        IMB_SUBMIT_HASH_BURST(manager_of(facts.hash), jobs_.data(), n, imb_hash(facts.hash)) == n;
    for (std::size_t i = 0; i < count; ++i) {
      if (group_[i]->append_esn_high) std::memcpy(group_[i]->tag, received[i], sizeof received[i]);
    }
    return done;
  }

  IpsecMbCode code_;
  Manager best_;
  Manager sha_ni_;  ///< only where it is better for SHA-1 and SHA-256
  std::array<GcmCalls, 3> gcm_;
  bool dirty_ = false;
  alignas(64) gcm_context_data gcm_context_{};
  std::array<AeadOp*, AeadBatch::kCapacity> waiting_{};
  std::array<AeadOp*, AeadBatch::kCapacity> group_{};
  std::array<IMB_JOB, AeadBatch::kCapacity> jobs_{};
  std::array<std::array<std::uint8_t, kBlock>, AeadBatch::kCapacity> ivs_{};
  std::array<std::array<std::uint8_t, kMaxDigest>, AeadBatch::kCapacity> digests_{};
};

class IpsecMbFactory final : public EngineFactory {
 public:
  explicit IpsecMbFactory(IpsecMbCode code) noexcept : code_(code) {}

  std::string_view name() const noexcept override { return name_of(code_); }

  Result<std::unique_ptr<Engine>> make() override {
    Manager best = make_manager(code_);
    if (best == nullptr) {
      return fail(
          "SW-CRY-030",
          std::string(name_of(code_)) + " does not run on this processor or failed its self-test",
          "use the openssl engine");
    }
    // In version 1.3 only the sse code has SHA-NI. Sixteen AVX-512 lanes do as well on full
    // batches, eight AVX2 lanes do not.
    Manager sha_ni;
    if (best->used_arch < IMB_ARCH_AVX512 && (best->features & IMB_FEATURE_SHANI) != 0) {
      sha_ni = make_manager(IpsecMbCode::sse);
    }
    return std::make_unique<IpsecMbEngine>(code_, std::move(best), std::move(sha_ni));
  }

 private:
  IpsecMbCode code_;
};

}  // namespace

std::string_view name_of(IpsecMbCode code) {
  constexpr std::array<std::string_view, 5> kNames{"ipsec-mb", "ipsec-mb-sse", "ipsec-mb-avx",
                                                   "ipsec-mb-avx2", "ipsec-mb-avx512"};
  return kNames[static_cast<std::size_t>(code)];
}

Result<std::unique_ptr<EngineFactory>> make_ipsec_mb_factory(IpsecMbCode code) {
  auto factory = std::make_unique<IpsecMbFactory>(code);
  if (const auto probe = factory->make(); !probe) return tl::unexpected(probe.error());
  return factory;
}

}  // namespace sealwire::crypto
