// What AES-GCM needs of a key, expanded once: the round keys and the powers of H.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "crypto/secret_bytes.h"

namespace sealwire::crypto::batch_gcm {

inline constexpr unsigned kPowers =
    36;  // a group of 32 blocks, two of AAD and one of lengths, rounded up to a vector

// H^i is the GHASH key's power i in the kernels' form: octet-reversed and multiplied by x, so that
// the product of two reversed blocks needs no shift. Secret; wiped by its owner (Schedule's
// destructor).
struct alignas(64) Schedule {
  std::uint8_t powers[kPowers + 4][16];  // powers[kPowers - i] is H^i: descending; the last four
                                         // are zero padding
  alignas(16) int rounds;                // 10, 12 or 14
  alignas(16) std::uint8_t round_keys[15][16];

  // Starts fetching what a short packet needs: the low powers and all that follows them, six lines
  // of AES-128.
  void prefetch() const {
    for (unsigned i = 0; i < 6; ++i) __builtin_prefetch(powers[kPowers - 8 + 4 * i]);
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
