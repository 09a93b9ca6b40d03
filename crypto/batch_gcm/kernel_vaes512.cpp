// VAES and VPCLMULQDQ on AVX-512: four blocks a vector. Compiled with those instructions; run only
// where they are.
#include <cpuid.h>

#include "crypto/batch_gcm/gcm.h"

namespace sealwire::crypto::batch_gcm {
namespace {

struct V {
  using Type = __m512i;
  static constexpr unsigned kBlocks = 4;
  static constexpr int kVectors = 9;  // a group: 36 blocks
  static constexpr int kHead = 5;     // in its first part: as many as AES has cycles of latency
  struct Sum {
    Type low, middle, high;
  };

  SEALWIRE_INLINE static __mmask64 first(std::size_t octets) {
    return octets >= 64 ? ~__mmask64{0} : (__mmask64{1} << octets) - 1;
  }
  SEALWIRE_INLINE static Type load(const void* p) { return _mm512_loadu_si512(p); }
  SEALWIRE_INLINE static Type load_part(const void* p, std::size_t octets) {
    return _mm512_maskz_loadu_epi8(first(octets), p);
  }
  SEALWIRE_INLINE static void store(void* p, Type v) { _mm512_storeu_si512(p, v); }
  SEALWIRE_INLINE static void store_part(void* p, Type v, std::size_t octets) {
    _mm512_mask_storeu_epi8(p, first(octets), v);
  }
  SEALWIRE_INLINE static Type keep(Type v, std::size_t octets) {
    return _mm512_maskz_mov_epi8(first(octets), v);
  }
  SEALWIRE_INLINE static Block load_block_part(const std::uint8_t* p, std::size_t octets) {
    return _mm_maskz_loadu_epi8(static_cast<__mmask16>(first(octets)), p);
  }
  SEALWIRE_INLINE static Type broadcast(const void* p) {
    return _mm512_broadcast_i32x4(load_block(p));
  }
  SEALWIRE_INLINE static Type exclusive_or(Type a, Type b) { return _mm512_xor_si512(a, b); }
  SEALWIRE_INLINE static Type encrypt(Type v, Type key) { return _mm512_aesenc_epi128(v, key); }
  SEALWIRE_INLINE static Type encrypt_last(Type v, Type key) {
    return _mm512_aesenclast_epi128(v, key);
  }
  SEALWIRE_INLINE static Type reverse(Type v) {
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                                                      10, 11, 12, 13, 14, 15)));
  }

  // The counter blocks `from`, from+1, ...: the nonce of `base` with a 32-bit big-endian count
  // behind it.
  SEALWIRE_INLINE static Type counters(Block base, std::uint32_t from) {
    const Type lane = _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    const Type count =
        _mm512_maskz_add_epi32(0x8888, lane, _mm512_set1_epi32(static_cast<int>(from)));
    const Type swap =
        _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    return _mm512_or_si512(_mm512_shuffle_epi8(count, swap), _mm512_broadcast_i32x4(base));
  }

  // The four after `counters`, where the count's last octet does not overflow.
  SEALWIRE_INLINE static Type next_counters(Type counters) {
    return _mm512_add_epi32(counters, _mm512_maskz_set1_epi32(0x8888, kBlocks << 24));
  }

  SEALWIRE_INLINE static Sum zero_sum() {
    return {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  }
  SEALWIRE_INLINE static void multiply_add(Sum& sum, Type x, Type power) {
    sum.low = _mm512_xor_si512(sum.low, _mm512_clmulepi64_epi128(x, power, 0x00));
    sum.high = _mm512_xor_si512(sum.high, _mm512_clmulepi64_epi128(x, power, 0x11));
    sum.middle = _mm512_ternarylogic_epi64(sum.middle, _mm512_clmulepi64_epi128(x, power, 0x01),
                                           _mm512_clmulepi64_epi128(x, power, 0x10), 0x96);
  }
  // Two at once: their products join the sum in one instruction each.
  SEALWIRE_INLINE static void multiply_add(Sum& sum, Type x, Type power, Type y, Type power_of_y) {
    const auto three = [](Type a, Type b, Type c) __attribute__((always_inline)) {
      return _mm512_ternarylogic_epi64(a, b, c, 0x96);
    };
    sum.low = three(sum.low, _mm512_clmulepi64_epi128(x, power, 0x00),
                    _mm512_clmulepi64_epi128(y, power_of_y, 0x00));
    sum.high = three(sum.high, _mm512_clmulepi64_epi128(x, power, 0x11),
                     _mm512_clmulepi64_epi128(y, power_of_y, 0x11));
    sum.middle = three(sum.middle, _mm512_clmulepi64_epi128(x, power, 0x01),
                       _mm512_clmulepi64_epi128(x, power, 0x10));
    sum.middle = three(sum.middle, _mm512_clmulepi64_epi128(y, power_of_y, 0x01),
                       _mm512_clmulepi64_epi128(y, power_of_y, 0x10));
  }
  SEALWIRE_INLINE static Type add_first(Type v, Block y) {
    return _mm512_xor_si512(v, _mm512_zextsi128_si512(y));
  }
  SEALWIRE_INLINE static Block fold(Type v) {
    const __m256i half =
        _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  SEALWIRE_INLINE static batch_gcm::Sum fold(const Sum& sum) {
    return {fold(sum.low), fold(sum.middle), fold(sum.high)};
  }

  template <class F>
  SEALWIRE_INLINE static void for_vectors(std::uint32_t vectors, F&& f) {
    switch (vectors) {
      case 0:
        f.template operator()<0>();
        break;
      case 1:
        f.template operator()<1>();
        break;
      case 2:
        f.template operator()<2>();
        break;
      case 3:
        f.template operator()<3>();
        break;
      case 4:
        f.template operator()<4>();
        break;
      case 5:
        f.template operator()<5>();
        break;
      case 6:
        f.template operator()<6>();
        break;
      case 7:
        f.template operator()<7>();
        break;
      case 8:
        f.template operator()<8>();
        break;
      default:
        f.template operator()<9>();
        break;
    }
  }

  static void wipe_registers() {
    _mm256_zeroall();
    __asm__ volatile(
        "vpxorq %%zmm16, %%zmm16, %%zmm16\n vpxorq %%zmm17, %%zmm17, %%zmm17\n"
        "vpxorq %%zmm18, %%zmm18, %%zmm18\n vpxorq %%zmm19, %%zmm19, %%zmm19\n"
        "vpxorq %%zmm20, %%zmm20, %%zmm20\n vpxorq %%zmm21, %%zmm21, %%zmm21\n"
        "vpxorq %%zmm22, %%zmm22, %%zmm22\n vpxorq %%zmm23, %%zmm23, %%zmm23\n"
        "vpxorq %%zmm24, %%zmm24, %%zmm24\n vpxorq %%zmm25, %%zmm25, %%zmm25\n"
        "vpxorq %%zmm26, %%zmm26, %%zmm26\n vpxorq %%zmm27, %%zmm27, %%zmm27\n"
        "vpxorq %%zmm28, %%zmm28, %%zmm28\n vpxorq %%zmm29, %%zmm29, %%zmm29\n"
        "vpxorq %%zmm30, %%zmm30, %%zmm30\n vpxorq %%zmm31, %%zmm31, %%zmm31\n" ::
            : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",
              "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
  }
};

// Not every compiler knows VAES and VPCLMULQDQ by name: leaf 7, ECX. AVX-512 includes the operating
// system's consent.
bool supported() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_VAES) != 0 &&
         (ecx & bit_VPCLMULQDQ) != 0 && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("bmi2");
}
void seal(std::span<AeadOp* const> ops) { packets<V, true>(ops); }
void open(std::span<AeadOp* const> ops) { packets<V, false>(ops); }

}  // namespace

const Kernel kVaes512{"vaes512", expand, supported, seal, open};

}  // namespace sealwire::crypto::batch_gcm
