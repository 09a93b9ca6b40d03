// AES-GCM over many packets, written once for every vector width. Included only by the kernel
// files, each of which is compiled for its processor and brings a vector type V.
//
// A packet is worked in groups of vectors. A group encrypts its counters, combines them with the
// data and adds its blocks times the falling powers of H without reducing; one reduction ends the
// group. Groups of one packet depend on each other only by that one sum, and packets not at all, so
// the processor overlaps the AES of one with the GHASH of another. A short packet with AAD of up to
// 32 octets is one group: one reduction in all.
//
// No branch and no index depends on key or data: only on lengths.
//
// Standard: NIST SP 800-38D. GHASH on reflected blocks with one reduction: Gueron and Kounavis,
// "Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM Mode".
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "crypto/batch_gcm/kernel.h"

namespace sealwire::crypto::batch_gcm {

#define SEALWIRE_INLINE __attribute__((always_inline)) inline

// --- single blocks, for every kernel
// ---------------------------------------------------------------------------------

using Block = __m128i;

SEALWIRE_INLINE Block load_block(const void* p) {
  return _mm_loadu_si128(static_cast<const Block*>(p));
}
SEALWIRE_INLINE Block reverse(Block b) {
  return _mm_shuffle_epi8(b, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

template <class T>
SEALWIRE_INLINE T load_word(const std::uint8_t* p) {
  T word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

SEALWIRE_INLINE Block load_nonce(const std::uint8_t* p) {
  return _mm_insert_epi32(_mm_loadl_epi64(reinterpret_cast<const Block*>(p)), load_word<int>(p + 8),
                          2);
}

// Products of blocks and powers, summed; `middle` is the sum of both cross products.
struct Sum {
  Block low, middle, high;
};

SEALWIRE_INLINE void multiply_add(Sum& sum, Block x, Block power) {
  sum.low = _mm_xor_si128(sum.low, _mm_clmulepi64_si128(x, power, 0x00));
  sum.high = _mm_xor_si128(sum.high, _mm_clmulepi64_si128(x, power, 0x11));
  sum.middle = _mm_xor_si128(sum.middle, _mm_xor_si128(_mm_clmulepi64_si128(x, power, 0x01),
                                                       _mm_clmulepi64_si128(x, power, 0x10)));
}

SEALWIRE_INLINE Sum add(const Sum& a, const Sum& b) {
  return {_mm_xor_si128(a.low, b.low), _mm_xor_si128(a.middle, b.middle),
          _mm_xor_si128(a.high, b.high)};
}

SEALWIRE_INLINE Block reduce(Sum sum) {
  const Block poly = _mm_set_epi64x(static_cast<long long>(0xc200000000000000ULL), 1);
  Block fold = _mm_clmulepi64_si128(sum.low, poly, 0x10);
  sum.middle = _mm_xor_si128(sum.middle, _mm_xor_si128(_mm_shuffle_epi32(sum.low, 0x4e), fold));
  fold = _mm_clmulepi64_si128(sum.middle, poly, 0x10);
  return _mm_xor_si128(sum.high, _mm_xor_si128(_mm_shuffle_epi32(sum.middle, 0x4e), fold));
}

SEALWIRE_INLINE const std::uint8_t* power(const Schedule& key, unsigned i) {
  return key.powers[kPowers - i];
}

// GHASH of octets of any number, zero-padded to blocks, on top of `y`. For AAD beyond two blocks
// (GMAC, integrity only).
template <class V>
SEALWIRE_INLINE Block hash_long(const Schedule& key, Block y, const std::uint8_t* p,
                                std::size_t octets) {
  while (octets != 0) {
    const std::size_t part = octets < 256 ? octets : 256;
    const unsigned blocks = static_cast<unsigned>((part + 15) / 16);
    typename V::Sum sum = V::zero_sum();
    for (unsigned i = 0; i < blocks; i += V::kBlocks) {
      const std::size_t at = std::size_t{16} * i;
      auto x = V::reverse(at + 16 * V::kBlocks <= part ? V::load(p + at)
                                                       : V::load_part(p + at, part - at));
      if (i == 0) x = V::add_first(x, y);
      V::multiply_add(sum, x, V::load(power(key, blocks - i)));
    }
    y = reduce(V::fold(sum));
    p += part;
    octets -= part;
  }
  return y;
}

// A packet on its way through its groups.
template <class V, int Rounds, bool Seal>
struct Packet {
  using Type = typename V::Type;
  static constexpr std::uint32_t kVector = 16 * V::kBlocks;
  static constexpr std::uint32_t kGroup = kVector * V::kVectors;

  const Schedule& key;
  std::uint8_t* p;                       // the group's data
  Block base;                            // nonce, counter 0
  Block y = _mm_setzero_si128();         // GHASH so far
  Block tag_mask = _mm_setzero_si128();  // E(K, J0)
  Sum edges = {y, y, y};      // products of AAD and length blocks that join the next reduction
  Block aad[2] = {y, y};      // reversed; they join the first group
  unsigned aad_blocks = 0;    // 0, 1 or 2
  std::uint32_t counter = 2;  // of the group's first block
  Type sealed[V::kVectors];   // the last group's ciphertext, reversed, not hashed yet (seal)

  SEALWIRE_INLINE Packet(const Schedule& schedule, const AeadOp& op)
      : key(schedule), p(op.data), base(load_nonce(op.iv)) {
    if (op.aad_length > 32) {
      y = hash_long<V>(key, y, op.aad, op.aad_length);
    } else if (op.aad_length > 16) {
      aad_blocks = 2;
      aad[0] = reverse(load_block(op.aad));
      aad[1] = reverse(V::load_block_part(op.aad + 16, op.aad_length - 16));
    } else if (op.aad_length != 0) {
      aad_blocks = 1;
      aad[0] = reverse(V::load_block_part(op.aad, op.aad_length));
    }
  }

  SEALWIRE_INLINE static Type load(const std::uint8_t* p, std::uint32_t at, std::uint32_t octets) {
    return at + kVector <= octets ? V::load(p + at) : V::load_part(p + at, octets - at);
  }

  // Adds vector `i` of a group, whose first block has `power_of_first`, to the sum.
  SEALWIRE_INLINE void hash(typename V::Sum& sum, Type x, int i, unsigned power_of_first) {
    if (i == 0) x = V::add_first(x, y);
    V::multiply_add(sum, x,
                    V::load(power(key, power_of_first - static_cast<unsigned>(i) * V::kBlocks)));
  }

  SEALWIRE_INLINE void end_hash(const typename V::Sum& sum) {
    y = reduce(add(V::fold(sum), edges));
    edges = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
  }

  // One group of `Vectors` vectors, the last of which may be partial. `First` brings the AAD and
  // makes the tag's mask, `last` adds the lengths. Between the AES rounds goes GHASH of what is
  // there already: of this group when opening, of the group before when sealing.
  template <int Vectors, bool First>
  SEALWIRE_INLINE void group(std::uint32_t octets, bool last, Block lengths) {
    constexpr bool kHashBefore = Seal && !First;
    constexpr int kWoven = Seal ? (First ? 0 : V::kVectors) : Vectors;
    const unsigned data_blocks = (octets + 15) / 16;
    const unsigned data_power = data_blocks + (last ? 1 : 0);
    typename V::Sum sum = V::zero_sum();
    if constexpr (First && !Seal) join_aad(data_power);

    Type stream[Vectors ? Vectors : 1];
    const Type whitening = V::broadcast(key.round_keys[0]);
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i)
      stream[i] = V::exclusive_or(
          V::counters(base, counter + static_cast<unsigned>(i) * V::kBlocks), whitening);
    Block j0 = _mm_xor_si128(_mm_insert_epi32(base, 0x01000000, 3), load_block(key.round_keys[0]));
#pragma GCC unroll 16
    for (int round = 1; round < Rounds; ++round) {
      const Type k = V::broadcast(key.round_keys[round]);
#pragma GCC unroll 16
      for (int i = 0; i < Vectors; ++i) stream[i] = V::encrypt(stream[i], k);
      if constexpr (First) j0 = _mm_aesenc_si128(j0, load_block(key.round_keys[round]));
      if (round <= kWoven) {
        const int i = round - 1;
        if constexpr (kHashBefore) {
          hash(sum, sealed[i], i, kGroup / 16);
        } else {
          hash(sum, V::reverse(load(p, static_cast<std::uint32_t>(i) * kVector, octets)), i,
               data_power);
        }
      }
    }
    const Type k = V::broadcast(key.round_keys[Rounds]);
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) stream[i] = V::encrypt_last(stream[i], k);
    if constexpr (First) tag_mask = _mm_aesenclast_si128(j0, load_block(key.round_keys[Rounds]));
    if constexpr (kHashBefore) {
      end_hash(sum);
      sum = V::zero_sum();
    }
    if constexpr (First && Seal) join_aad(data_power);

#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) {
      const std::uint32_t at = static_cast<std::uint32_t>(i) * kVector;
      if (i + 1 < Vectors || at + kVector <= octets) {
        stream[i] = V::exclusive_or(V::load(p + at), stream[i]);
        V::store(p + at, stream[i]);
      } else {
        stream[i] =
            V::keep(V::exclusive_or(V::load_part(p + at, octets - at), stream[i]), octets - at);
        V::store_part(p + at, stream[i], octets - at);
      }
      if constexpr (Seal) {
        if (last) {
          hash(sum, V::reverse(stream[i]), i, data_power);
        } else {
          sealed[i] = V::reverse(stream[i]);
        }
      }
    }
    if (last) {
      multiply_add(edges, data_blocks ? lengths : _mm_xor_si128(lengths, y),
                   load_block(power(key, 1)));
    }
    if (!Seal || last) end_hash(sum);
    p += octets;
    counter += kGroup / 16;
  }

  // Multiplies the AAD's blocks, which stand before `blocks` others; the hash so far goes in with
  // the first of them.
  SEALWIRE_INLINE void join_aad(unsigned blocks) {
    if (aad_blocks == 0) return;
    multiply_add(edges, aad[0], load_block(power(key, blocks + aad_blocks)));
    if (aad_blocks == 2) multiply_add(edges, aad[1], load_block(power(key, blocks + 1)));
  }
};

template <class V, int Rounds, bool Seal>
SEALWIRE_INLINE void packet(const Schedule& key, AeadOp& op) {
  using P = Packet<V, Rounds, Seal>;
  P state(key, op);
  const Block lengths = _mm_set_epi64x(static_cast<long long>(op.aad_length) * 8,
                                       static_cast<long long>(op.length) * 8);
  std::uint32_t rest = op.length;
  if (rest <= P::kGroup) {
    V::for_vectors(
        (rest + P::kVector - 1) / P::kVector, [&]<int Vectors>() __attribute__((always_inline)) {
          state.template group<Vectors, true>(rest, true, lengths);
        });
  } else {
    state.template group<V::kVectors, true>(P::kGroup, false, lengths);
    for (rest -= P::kGroup; rest > P::kGroup; rest -= P::kGroup)
      state.template group<V::kVectors, false>(P::kGroup, false, lengths);
    V::for_vectors(
        (rest + P::kVector - 1) / P::kVector, [&]<int Vectors>() __attribute__((always_inline)) {
          state.template group<Vectors, false>(rest, true, lengths);
        });
  }
  const Block tag = _mm_xor_si128(reverse(state.y), state.tag_mask);
  if constexpr (Seal) {
    _mm_storeu_si128(reinterpret_cast<Block*>(op.tag), tag);
    op.status = OpStatus::ok;
  } else {
    const Block difference = _mm_xor_si128(tag, load_block(op.tag));
    op.status = _mm_testz_si128(difference, difference) != 0 ? OpStatus::ok : OpStatus::bad_tag;
    if (op.status != OpStatus::ok && op.length != 0) std::memset(op.data, 0, op.length);
  }
}

template <class V, bool Seal>
SEALWIRE_INLINE void packets(std::span<AeadOp* const> ops) {
  constexpr std::size_t kAhead = 3;  // packets whose keys are on their way
  const auto prefetch = [](const AeadOp& op) {
    static_cast<const Key*>(op.key)->schedule.prefetch();
  };
  for (std::size_t i = 0; i < std::min(kAhead, ops.size()); ++i) prefetch(*ops[i]);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    AeadOp& op = *ops[i];
    if (i + kAhead < ops.size() && ops[i + kAhead]->key != op.key) prefetch(*ops[i + kAhead]);
    const Schedule& key = static_cast<const Key*>(op.key)->schedule;
    switch (key.rounds) {
      case 10:
        packet<V, 10, Seal>(key, op);
        break;
      case 12:
        packet<V, 12, Seal>(key, op);
        break;
      default:
        packet<V, 14, Seal>(key, op);
        break;
    }
  }
  V::wipe_registers();
}

}  // namespace sealwire::crypto::batch_gcm
