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
  DirectCrypto() : manager_(alloc_mb_mgr(0)) {
    IMB_ARCH chosen;
    init_mb_mgr_auto(manager_, &chosen);
    const std::uint8_t key[16] = {1, 2, 3};
    IMB_AES128_GCM_PRE(manager_, key, &key_);
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
    if (open) {
      IMB_AES128_GCM_DEC(manager_, &key_, &context_, data_, data_, length, iv_, aad_, aad, tag, 16);
    } else {
      IMB_AES128_GCM_ENC(manager_, &key_, &context_, data_, data_, length, iv_, aad_, aad, tag, 16);
    }
  }

  IMB_MGR* manager_;
  alignas(64) gcm_key_data key_;
  alignas(64) gcm_context_data context_;
  alignas(64) std::uint8_t data_[9216] = {}, iv_[16] = {}, aad_[64] = {};
};

}  // namespace sealwire::perf
