// What AES-GCM needs of a key, expanded once: the round keys and the powers of H.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/secret_bytes.h"

namespace sealwire::crypto::batch_gcm {

inline constexpr unsigned kPowers =
    40;  // a group of 36 blocks, two of AAD and one of lengths, rounded up to a vector

// H^i is the GHASH key's power i in the kernels' form: octet-reversed and multiplied by x, so that
// the product of two reversed blocks needs no shift. Secret; wiped by its owner (Schedule's
// destructor).
struct alignas(64) Schedule {
  // powers[kPowers - i] is H^i: descending. A vector that begins with one of the last three reads
  // on into what follows, for blocks that are zero.
  std::uint8_t powers[kPowers][16];
  alignas(16) int rounds;  // 10, 12 or 14
  alignas(16) std::uint8_t round_keys[15][16];

  // Starts fetching what a short packet needs: the low powers and all that follows them, five lines
  // of AES-128.
  void prefetch() const {
    const auto* const low = reinterpret_cast<const char*>(powers[kPowers - 8]);
    for (unsigned i = 0; i < 5; ++i) __builtin_prefetch(low + 64 * i);
  }

  Schedule() = default;
  Schedule(const Schedule&) = delete;
  Schedule& operator=(const Schedule&) = delete;
  ~Schedule() { wipe(this, sizeof *this); }
};
static_assert(sizeof(Schedule) == 14 * 64);

/// Expands an AES key of 16, 24 or 32 octets.
void expand(Schedule& schedule, std::span<const std::uint8_t> key);

}  // namespace sealwire::crypto::batch_gcm
