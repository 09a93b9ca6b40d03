#include "crypto/algorithm.h"

#include <array>

namespace sealwire::crypto {
namespace {

constexpr AlgorithmInfo aead(Algorithm algorithm, std::string_view name, Cipher cipher,
                             std::uint8_t key_length) {
  return {.algorithm = algorithm,
          .name = name,
          .cipher = cipher,
          .hash = Hash::none,
          .cipher_key_length = key_length,
          .auth_key_length = 0,
          .salt_length = 4,
          .iv_length = 8,
          .icv_length = 16,
          .block_length = 4,
          .aead = true,
          .confidential = cipher != Cipher::aes_gmac};
}

struct HmacLengths {
  std::uint8_t key;
  std::uint8_t icv;
};

constexpr HmacLengths lengths_of(Hash hash) {
  switch (hash) {
    case Hash::sha1:
      return {20, 12};
    case Hash::sha256:
      return {32, 16};
    case Hash::sha384:
      return {48, 24};
    case Hash::sha512:
      return {64, 32};
    case Hash::none:
      break;
  }
  return {0, 0};
}

constexpr AlgorithmInfo hmac(Algorithm algorithm, std::string_view name, std::uint8_t cipher_key,
                             Hash hash) {
  const bool null = cipher_key == 0;
  const HmacLengths lengths = lengths_of(hash);
  return {.algorithm = algorithm,
          .name = name,
          .cipher = null ? Cipher::null : Cipher::aes_cbc,
          .hash = hash,
          .cipher_key_length = cipher_key,
          .auth_key_length = lengths.key,
          .salt_length = 0,
          .iv_length = static_cast<std::uint8_t>(null ? 0 : 16),
          .icv_length = lengths.icv,
          .block_length = static_cast<std::uint8_t>(null ? 4 : 16),
          .aead = false,
          .confidential = !null};
}

using enum Algorithm;

constexpr std::array<AlgorithmInfo, kAlgorithmCount> kTable{
    aead(aes_gcm_128, "aes-gcm-128", Cipher::aes_gcm, 16),
    aead(aes_gcm_192, "aes-gcm-192", Cipher::aes_gcm, 24),
    aead(aes_gcm_256, "aes-gcm-256", Cipher::aes_gcm, 32),
    aead(chacha20_poly1305, "chacha20-poly1305", Cipher::chacha20_poly1305, 32),
    aead(aes_gmac_128, "aes-gmac-128", Cipher::aes_gmac, 16),
    aead(aes_gmac_192, "aes-gmac-192", Cipher::aes_gmac, 24),
    aead(aes_gmac_256, "aes-gmac-256", Cipher::aes_gmac, 32),
    hmac(aes_cbc_128_hmac_sha1_96, "aes-cbc-128-hmac-sha1-96", 16, Hash::sha1),
    hmac(aes_cbc_128_hmac_sha256_128, "aes-cbc-128-hmac-sha256-128", 16, Hash::sha256),
    hmac(aes_cbc_128_hmac_sha384_192, "aes-cbc-128-hmac-sha384-192", 16, Hash::sha384),
    hmac(aes_cbc_128_hmac_sha512_256, "aes-cbc-128-hmac-sha512-256", 16, Hash::sha512),
    hmac(aes_cbc_192_hmac_sha1_96, "aes-cbc-192-hmac-sha1-96", 24, Hash::sha1),
    hmac(aes_cbc_192_hmac_sha256_128, "aes-cbc-192-hmac-sha256-128", 24, Hash::sha256),
    hmac(aes_cbc_192_hmac_sha384_192, "aes-cbc-192-hmac-sha384-192", 24, Hash::sha384),
    hmac(aes_cbc_192_hmac_sha512_256, "aes-cbc-192-hmac-sha512-256", 24, Hash::sha512),
    hmac(aes_cbc_256_hmac_sha1_96, "aes-cbc-256-hmac-sha1-96", 32, Hash::sha1),
    hmac(aes_cbc_256_hmac_sha256_128, "aes-cbc-256-hmac-sha256-128", 32, Hash::sha256),
    hmac(aes_cbc_256_hmac_sha384_192, "aes-cbc-256-hmac-sha384-192", 32, Hash::sha384),
    hmac(aes_cbc_256_hmac_sha512_256, "aes-cbc-256-hmac-sha512-256", 32, Hash::sha512),
    hmac(null_hmac_sha1_96, "null-hmac-sha1-96", 0, Hash::sha1),
    hmac(null_hmac_sha256_128, "null-hmac-sha256-128", 0, Hash::sha256),
    hmac(null_hmac_sha384_192, "null-hmac-sha384-192", 0, Hash::sha384),
    hmac(null_hmac_sha512_256, "null-hmac-sha512-256", 0, Hash::sha512),
};

constexpr bool in_enum_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].algorithm) != i) return false;
  }
  return true;
}
static_assert(in_enum_order(), "info() indexes the table by the enum");

}  // namespace

const AlgorithmInfo& info(Algorithm algorithm) {
  return kTable[static_cast<std::size_t>(algorithm)];
}

std::optional<Algorithm> algorithm_from(std::string_view name) {
  for (const AlgorithmInfo& entry : kTable) {
    if (entry.name == name) return entry.algorithm;
  }
  return std::nullopt;
}

std::span<const AlgorithmInfo, kAlgorithmCount> all_algorithms() { return kTable; }

}  // namespace sealwire::crypto
