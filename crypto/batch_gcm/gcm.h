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
template <class V, int Rounds>
struct Packet {
  using Type = typename V::Type;
  static constexpr std::uint32_t kVector = 16 * V::kBlocks;
  static constexpr std::uint32_t kGroup = kVector * V::kVectors;
  // A whole group's last part: its vectors, and which of the group's is their first.
  static constexpr int kRest = V::kVectors == V::kHead ? V::kHead : V::kVectors - V::kHead;
  static constexpr int kRestFrom = V::kVectors - kRest;
  static_assert(V::kVectors < 10);  // one is hashed after each AES round but the last

  const Schedule& key;
  std::uint8_t* p;                       // the group's data
  Block base;                            // nonce, counter 0
  Block y = _mm_setzero_si128();         // GHASH so far
  Block tag_mask = _mm_setzero_si128();  // E(K, J0)
  Sum edges = {y, y, y};      // products of AAD and length blocks that join the next reduction
  Block aad[2] = {y, y};      // reversed; they join the first group
  unsigned aad_blocks = 0;    // 0, 1 or 2
  std::uint32_t counter = 2;  // of the next block
  typename V::Sum sum = V::zero_sum();  // products of the group
  Type sealed[kRest];  // the last part of the group before, reversed, not hashed yet (seal)

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

  // Multiplies vector `i` of a group, whose first block has `power_of_first`.
  SEALWIRE_INLINE void hash(Type x, int i, unsigned power_of_first) {
    if (i == 0) x = V::add_first(x, y);
    V::multiply_add(sum, x,
                    V::load(power(key, power_of_first - static_cast<unsigned>(i) * V::kBlocks)));
  }
  // The same of vectors `i` and i + 1.
  SEALWIRE_INLINE void hash(Type x, Type next, int i, unsigned power_of_first) {
    if (i == 0) x = V::add_first(x, y);
    const unsigned at = power_of_first - static_cast<unsigned>(i) * V::kBlocks;
    V::multiply_add(sum, x, V::load(power(key, at)), next, V::load(power(key, at - V::kBlocks)));
  }

  SEALWIRE_INLINE void end_hash() {
    y = reduce(add(V::fold(sum), edges));
    edges = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    sum = V::zero_sum();
  }

  // The key stream of the next `Vectors` vectors, and with `First` the tag's mask. Between the AES
  // rounds goes GHASH of `Woven` vectors that are there already, the first of them the group's
  // vector `from`: `ciphertext(i)` gives its vector i.
  template <int Vectors, bool First, int Woven, class Ciphertext>
  SEALWIRE_INLINE void key_stream(Type* stream, int from, unsigned power_of_first,
                                  Ciphertext&& ciphertext) {
    const Type whitening = V::broadcast(key.round_keys[0]);
    // Counters are big-endian: the last octet alone can be counted on in place, unless it
    // overflows.
    if ((counter & 0xff) + Vectors * V::kBlocks <= 0x100) [[likely]] {
      Type count = V::counters(base, counter);
#pragma GCC unroll 16
      for (int i = 0; i < Vectors; ++i) {
        stream[i] = V::exclusive_or(count, whitening);
        count = V::next_counters(count);
      }
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < Vectors; ++i)
        stream[i] = V::exclusive_or(
            V::counters(base, counter + static_cast<unsigned>(i) * V::kBlocks), whitening);
    }
    counter += static_cast<unsigned>(Vectors) * V::kBlocks;
    Block j0 = _mm_xor_si128(_mm_insert_epi32(base, 0x01000000, 3), load_block(key.round_keys[0]));
#pragma GCC unroll 16
    for (int round = 1; round < Rounds; ++round) {
      const Type k = V::broadcast(key.round_keys[round]);
#pragma GCC unroll 16
      for (int i = 0; i < Vectors; ++i) stream[i] = V::encrypt(stream[i], k);
      if constexpr (First) j0 = _mm_aesenc_si128(j0, load_block(key.round_keys[round]));
      if (round > Woven) continue;
      const int i = from + round - 1;
      if (round % 2 == 0) {
        hash(ciphertext(i - 1), ciphertext(i), i - 1, power_of_first);
      } else if (round == Woven) {
        hash(ciphertext(i), i, power_of_first);
      }
    }
    const Type k = V::broadcast(key.round_keys[Rounds]);
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) stream[i] = V::encrypt_last(stream[i], k);
    if constexpr (First) tag_mask = _mm_aesenclast_si128(j0, load_block(key.round_keys[Rounds]));
  }

  // Combines `Vectors` vectors of key stream with the group's data from vector `from` on, of which
  // the group's last may be partial. `took(i)` follows each: stream[i] is what came out.
  template <int Vectors, class Took>
  SEALWIRE_INLINE void combine(Type* stream, int from, bool to_end, std::uint32_t octets,
                               Took&& took) {
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) {
      const std::uint32_t at = static_cast<std::uint32_t>(from + i) * kVector;
      if (i + 1 < Vectors || !to_end || at + kVector <= octets) {
        stream[i] = V::exclusive_or(V::load(p + at), stream[i]);
        V::store(p + at, stream[i]);
      } else {
        stream[i] =
            V::keep(V::exclusive_or(V::load_part(p + at, octets - at), stream[i]), octets - at);
        V::store_part(p + at, stream[i], octets - at);
      }
      took(i);
    }
  }

  // One group of `Vectors` vectors; `First` brings the AAD, `last` adds the lengths. Its first part
  // is hashed while its second is enciphered, that while the next group's first part is: with
  // nothing but AES or nothing but GHASH for long, half the processor would idle.
  template <int Vectors, bool First>
  SEALWIRE_INLINE void seal(std::uint32_t octets, bool last, Block lengths) {
    constexpr int kFirstPart = Vectors > V::kHead ? V::kHead : Vectors;
    constexpr int kSecondPart = Vectors - kFirstPart;
    const unsigned data_blocks = (octets + 15) / 16;
    const unsigned data_power = data_blocks + (last ? 1 : 0);
    Type head[kFirstPart ? kFirstPart : 1];
    key_stream<kFirstPart, First, First ? 0 : kRest>(
        head, kRestFrom,
        kGroup / 16, [&](int i) __attribute__((always_inline)) { return sealed[i - kRestFrom]; });
    if constexpr (First) {
      join_aad(data_power);
    } else {
      end_hash();
    }
    // The packet's last part is hashed at once, another group's last part with the next group.
    const auto hash_last = [&](int from, Type* part, int i) __attribute__((always_inline)) {
      part[i] = V::reverse(part[i]);
      if (last) {
        hash(part[i], from + i, data_power);
      } else if (i < kRest) {
        sealed[i] = part[i];
      }
    };
    if constexpr (kSecondPart == 0) {
      combine<kFirstPart>(
          head, 0, true,
          octets, [&](int i) __attribute__((always_inline)) { hash_last(0, head, i); });
    } else {
      combine<kFirstPart>(
          head, 0, false,
          octets, [&](int i) __attribute__((always_inline)) { head[i] = V::reverse(head[i]); });
      Type tail[kSecondPart];
      key_stream<kSecondPart, false, kFirstPart>(
          tail, 0, data_power, [&](int i) __attribute__((always_inline)) { return head[i]; });
      combine<kSecondPart>(
          tail, kFirstPart, true,
          octets, [&](int i) __attribute__((always_inline)) { hash_last(kFirstPart, tail, i); });
    }
    if (last) {
      join_lengths(data_blocks, lengths);
      end_hash();
    }
    p += octets;
  }

  // The same for opening, where the ciphertext is there from the beginning.
  template <int Vectors, bool First>
  SEALWIRE_INLINE void open(std::uint32_t octets, bool last, Block lengths) {
    const unsigned data_blocks = (octets + 15) / 16;
    const unsigned data_power = data_blocks + (last ? 1 : 0);
    if constexpr (First) join_aad(data_power);
    Type stream[Vectors ? Vectors : 1];
    key_stream<Vectors, First, Vectors>(
        stream, 0, data_power, [&](int i) __attribute__((always_inline)) {
          return V::reverse(load(p, static_cast<std::uint32_t>(i) * kVector, octets));
        });
    combine<Vectors>(stream, 0, true, octets, [](int) {});
    if (last) join_lengths(data_blocks, lengths);
    end_hash();
    p += octets;
  }

  template <bool Seal, int Vectors, bool First>
  SEALWIRE_INLINE void group(std::uint32_t octets, bool last, Block lengths) {
    if constexpr (Seal) {
      seal<Vectors, First>(octets, last, lengths);
    } else {
      open<Vectors, First>(octets, last, lengths);
    }
  }

  // Multiplies the AAD's blocks, which stand before `blocks` others; the hash so far goes in with
  // the first of them.
  SEALWIRE_INLINE void join_aad(unsigned blocks) {
    if (aad_blocks == 0) return;
    multiply_add(edges, aad[0], load_block(power(key, blocks + aad_blocks)));
    if (aad_blocks == 2) multiply_add(edges, aad[1], load_block(power(key, blocks + 1)));
  }

  // The lengths' block comes last; the hash so far with it, if no data came in between.
  SEALWIRE_INLINE void join_lengths(unsigned data_blocks, Block lengths) {
    multiply_add(edges, data_blocks ? lengths : _mm_xor_si128(lengths, y),
                 load_block(power(key, 1)));
  }
};

template <class V, int Rounds, bool Seal>
SEALWIRE_INLINE void packet(const Schedule& key, AeadOp& op) {
  using P = Packet<V, Rounds>;
  P state(key, op);
  const Block lengths = _mm_set_epi64x(static_cast<long long>(op.aad_length) * 8,
                                       static_cast<long long>(op.length) * 8);
  std::uint32_t rest = op.length;
  if (rest <= P::kGroup) {
    V::for_vectors(
        (rest + P::kVector - 1) / P::kVector, [&]<int Vectors>() __attribute__((always_inline)) {
          state.template group<Seal, Vectors, true>(rest, true, lengths);
        });
  } else {
    state.template group<Seal, V::kVectors, true>(P::kGroup, false, lengths);
    for (rest -= P::kGroup; rest > P::kGroup; rest -= P::kGroup)
      state.template group<Seal, V::kVectors, false>(P::kGroup, false, lengths);
    V::for_vectors(
        (rest + P::kVector - 1) / P::kVector, [&]<int Vectors>() __attribute__((always_inline)) {
          state.template group<Seal, Vectors, false>(rest, true, lengths);
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
