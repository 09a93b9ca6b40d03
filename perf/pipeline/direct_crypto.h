// What the crypto of a burst costs without us.
#pragma once

#include <intel-ipsec-mb.h>
#include <rte_cycles.h>

#include <cstdint>

#include "perf/pipeline/site.h"
#include "perf/pipeline/traffic.h"

namespace sealwire::perf {

class DirectCrypto {
 public:
  /// Keys of 256 bits, or of 128. `aes_ni`: the code for AVX2 instead of the best.
  DirectCrypto(bool long_keys, bool aes_ni) : manager_(alloc_mb_mgr(0)) {
    IMB_ARCH chosen;
    if (aes_ni)
      init_mb_mgr_avx2(manager_);
    else
      init_mb_mgr_auto(manager_, &chosen);
    seal_ = long_keys ? manager_->gcm256_enc : manager_->gcm128_enc;
    open_ = long_keys ? manager_->gcm256_dec : manager_->gcm128_dec;
    const std::uint8_t key[32] = {1, 2, 3};
    (long_keys ? manager_->gcm256_pre : manager_->gcm128_pre)(key, &key_);
  }
  ~DirectCrypto() { free_mb_mgr(manager_); }
  DirectCrypto(const DirectCrypto&) = delete;
  DirectCrypto& operator=(const DirectCrypto&) = delete;

  std::uint64_t burst(const Sizes& sizes, Stages stages, bool open) {
    const std::uint64_t start = rte_rdtsc();
    for (const std::uint16_t size : sizes) {
      std::uint64_t length = size - 12U;  // MACsec: all after the addresses
      if (stages.esp) {
        const std::uint64_t sealed = sealed_of(size, 4);
        one(sealed, 8, open);
        length = 2 + 20 + 16 + sealed + 16;  // EtherType, outer IP, ESP header and IV, ICV
      }
      if (stages.macsec) one(length, 28, open);
    }
    return rte_rdtsc() - start;
  }

 private:
  void one(std::uint64_t length, std::uint64_t aad, bool open) {
    std::uint8_t tag[16];
    (open ? open_ : seal_)(&key_, &context_, data_, data_, length, iv_, aad_, aad, tag, 16);
  }

  IMB_MGR* manager_;
  aes_gcm_enc_dec_t seal_, open_;
  alignas(64) gcm_key_data key_;
  alignas(64) gcm_context_data context_;
  alignas(64) std::uint8_t data_[9216] = {}, iv_[16] = {}, aad_[64] = {};
};

}  // namespace sealwire::perf
