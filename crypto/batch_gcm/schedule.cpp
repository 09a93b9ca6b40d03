// Key expansion: once per key, the same for every kernel. Compiled with AES-NI, which every kernel
// needs anyway.
#include "crypto/batch_gcm/schedule.h"

#include <immintrin.h>

#include <bit>
#include <cstring>

namespace sealwire::crypto::batch_gcm {
namespace {

using U128 = unsigned __int128;
constexpr U128 kTop = U128{1} << 127;

// Product in GF(2^128) with GCM's bit order (SP 800-38D §6.3): the first octet's top bit is the
// constant term. Runs in constant time: every step is done, masked.
U128 multiply(U128 x, U128 y) {
  constexpr U128 kR = U128{0xe1} << 120;
  U128 z = 0;
  for (int i = 0; i < 128; ++i) {
    z ^= y & -((x >> (127 - i)) & 1);
    y = (y >> 1) ^ (kR & -(y & 1));
  }
  return z;
}

U128 load_big_endian(const std::uint8_t* p) {
  U128 v = 0;
  for (int i = 0; i < 16; ++i) v = v << 8 | p[i];
  return v;
}

// FIPS 197 SubWord by the AES instruction: with four equal columns ShiftRows changes nothing.
std::uint32_t sub_word(std::uint32_t w) {
  const __m128i columns = _mm_set1_epi32(static_cast<int>(w));
  return static_cast<std::uint32_t>(
      _mm_cvtsi128_si32(_mm_aesenclast_si128(columns, _mm_setzero_si128())));
}

// The kernels' form of a power: times x in the reflected order, stored as two little-endian words.
void store_power(std::uint8_t* p, U128 h) {
  constexpr U128 kPoly = U128{0xc200000000000000ULL} << 64 | 1;
  const U128 shifted = (h << 1) ^ (kPoly & -((h & kTop) >> 127));
  std::memcpy(p, &shifted, 16);
}

}  // namespace

void expand(Schedule& schedule, std::span<const std::uint8_t> key) {
  auto& [powers, rounds, round_keys] = schedule;
  const std::size_t words = key.size() / 4;  // Nk of FIPS 197 §5.2
  rounds = static_cast<int>(words) + 6;
  const std::size_t total = 4 * (static_cast<std::size_t>(rounds) + 1);
  std::uint32_t w[60] = {};
  std::memcpy(w, key.data(), key.size());
  std::uint32_t rcon = 1;
  for (std::size_t i = words; i < total; ++i) {
    std::uint32_t t = w[i - 1];
    if (i % words == 0) {
      t = sub_word(std::rotr(t, 8)) ^ rcon;
      rcon = rcon << 1 ^ (rcon & 0x80 ? 0x11b : 0);
    } else if (words > 6 && i % words == 4) {
      t = sub_word(t);
    }
    w[i] = w[i - words] ^ t;
  }
  std::memcpy(round_keys, w, sizeof round_keys);
  wipe(w, sizeof w);

  __m128i block = _mm_load_si128(reinterpret_cast<const __m128i*>(round_keys[0]));
  for (int i = 1; i < rounds; ++i)
    block =
        _mm_aesenc_si128(block, _mm_load_si128(reinterpret_cast<const __m128i*>(round_keys[i])));
  block = _mm_aesenclast_si128(
      block, _mm_load_si128(reinterpret_cast<const __m128i*>(round_keys[rounds])));
  std::uint8_t h_octets[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(h_octets), block);
  const U128 h = load_big_endian(h_octets);
  wipe(h_octets, sizeof h_octets);
  U128 h_power = h;
  std::memset(powers, 0, sizeof powers);
  for (unsigned i = 1; i <= kPowers; ++i) {
    store_power(powers[kPowers - i], h_power);
    h_power = multiply(h_power, h);
  }
}

}  // namespace sealwire::crypto::batch_gcm
