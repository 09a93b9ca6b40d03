// AES-NI and PCLMULQDQ: one block a vector, eight in flight.
#include "crypto/batch_gcm/gcm.h"

namespace sealwire::crypto::batch_gcm {
namespace {

struct V {
  using Type = Block;
  using Sum = batch_gcm::Sum;
  static constexpr unsigned kBlocks = 1;
  static constexpr int kVectors = 8;  // a group: 8 blocks
  static constexpr int kHead = 8;     // all in one part

  SEALWIRE_INLINE static Type load(const void* p) { return load_block(p); }
  // 0..16 octets, the rest zero, by words that overlap: never reads beyond them, no round trip
  // through the stack.
  SEALWIRE_INLINE static Type load_part(const std::uint8_t* p, std::size_t octets) {
    std::uint64_t low = 0, high = 0;
    if (octets >= 8) {
      low = load_word<std::uint64_t>(p);
      if (octets > 8) high = load_word<std::uint64_t>(p + octets - 8) >> (8 * (16 - octets));
    } else if (octets >= 4) {
      low = load_word<std::uint32_t>(p);
      if (octets > 4)
        low |= std::uint64_t{load_word<std::uint32_t>(p + octets - 4)} << (8 * (octets - 4));
    } else {
      for (std::size_t i = 0; i < octets; ++i) low |= std::uint64_t{p[i]} << (8 * i);
    }
    return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
  }
  SEALWIRE_INLINE static Block load_block_part(const std::uint8_t* p, std::size_t octets) {
    return load_part(p, octets);
  }
  SEALWIRE_INLINE static void store(void* p, Type v) {
    _mm_storeu_si128(static_cast<Block*>(p), v);
  }
  SEALWIRE_INLINE static void store_part(std::uint8_t* p, Type v, std::size_t octets) {
    std::uint64_t word = static_cast<std::uint64_t>(_mm_cvtsi128_si64(v));
    if (octets >= 8) {
      std::memcpy(p, &word, 8);
      word = static_cast<std::uint64_t>(_mm_extract_epi64(v, 1));
      p += 8;
      octets -= 8;
    }
    if (octets >= 4) {
      std::memcpy(p, &word, 4);
      word >>= 32;
      p += 4;
      octets -= 4;
    }
    for (; octets != 0; --octets, word >>= 8) *p++ = static_cast<std::uint8_t>(word);
  }
  SEALWIRE_INLINE static Type keep(Type v, std::size_t octets) {
    const Type index = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm_and_si128(v, _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(octets)), index));
  }
  SEALWIRE_INLINE static Type broadcast(const void* p) { return load_block(p); }
  SEALWIRE_INLINE static Type exclusive_or(Type a, Type b) { return _mm_xor_si128(a, b); }
  SEALWIRE_INLINE static Type encrypt(Type v, Type key) { return _mm_aesenc_si128(v, key); }
  SEALWIRE_INLINE static Type encrypt_last(Type v, Type key) {
    return _mm_aesenclast_si128(v, key);
  }
  SEALWIRE_INLINE static Type reverse(Type v) { return batch_gcm::reverse(v); }
  SEALWIRE_INLINE static Type counters(Block base, std::uint32_t from) {
    return _mm_insert_epi32(base, static_cast<int>(__builtin_bswap32(from)), 3);
  }
  // The block after `counter`, where the count's last octet does not overflow.
  SEALWIRE_INLINE static Type next_counters(Type counter) {
    return _mm_add_epi32(counter, _mm_set_epi32(kBlocks << 24, 0, 0, 0));
  }
  SEALWIRE_INLINE static Sum zero_sum() {
    return {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
  }
  SEALWIRE_INLINE static void multiply_add(Sum& sum, Type x, Type power) {
    batch_gcm::multiply_add(sum, x, power);
  }
  SEALWIRE_INLINE static void multiply_add(Sum& sum, Type x, Type power, Type y, Type power_of_y) {
    multiply_add(sum, x, power);
    multiply_add(sum, y, power_of_y);
  }
  SEALWIRE_INLINE static Type add_first(Type v, Block y) { return _mm_xor_si128(v, y); }
  SEALWIRE_INLINE static Sum fold(const Sum& sum) { return sum; }

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
      default:
        f.template operator()<8>();
        break;
    }
  }

  static void wipe_registers() {
    __asm__ volatile(
        "pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n pxor %%xmm2, %%xmm2\n pxor %%xmm3, %%xmm3\n"
        "pxor %%xmm4, %%xmm4\n pxor %%xmm5, %%xmm5\n pxor %%xmm6, %%xmm6\n pxor %%xmm7, %%xmm7\n"
        "pxor %%xmm8, %%xmm8\n pxor %%xmm9, %%xmm9\n pxor %%xmm10, %%xmm10\n pxor %%xmm11, "
        "%%xmm11\n"
        "pxor %%xmm12, %%xmm12\n pxor %%xmm13, %%xmm13\n pxor %%xmm14, %%xmm14\n pxor %%xmm15, "
        "%%xmm15\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  }
};

bool supported() {
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
         __builtin_cpu_supports("sse4.1");
}
void seal(std::span<AeadOp* const> ops) { packets<V, true>(ops); }
void open(std::span<AeadOp* const> ops) { packets<V, false>(ops); }

}  // namespace

const Kernel kAesni{"aesni", expand, supported, seal, open};

}  // namespace sealwire::crypto::batch_gcm
