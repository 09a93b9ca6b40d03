// The algorithms Sealwire can seal with, and the facts about each that framing and configuration
// need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sealwire::crypto {

/// Cipher and integrity, as one choice. The values are stable within one run only: store names, not
/// numbers.
///
/// MACsec uses aes_gcm_128 and aes_gcm_256, for XPN and non-XPN suites alike and for integrity-only
/// too (802.1AE §14.5-14.8: everything is then AAD). aes_gmac_* is the ESP transform of RFC 4543.
/// The CBC and NULL transforms are encrypt-then-MAC with a truncated HMAC (RFC 2404, RFC 4868).
enum class Algorithm : std::uint8_t {
  aes_gcm_128,
  aes_gcm_192,
  aes_gcm_256,
  chacha20_poly1305,
  aes_gmac_128,
  aes_gmac_192,
  aes_gmac_256,
  aes_cbc_128_hmac_sha1_96,
  aes_cbc_128_hmac_sha256_128,
  aes_cbc_128_hmac_sha384_192,
  aes_cbc_128_hmac_sha512_256,
  aes_cbc_192_hmac_sha1_96,
  aes_cbc_192_hmac_sha256_128,
  aes_cbc_192_hmac_sha384_192,
  aes_cbc_192_hmac_sha512_256,
  aes_cbc_256_hmac_sha1_96,
  aes_cbc_256_hmac_sha256_128,
  aes_cbc_256_hmac_sha384_192,
  aes_cbc_256_hmac_sha512_256,
  null_hmac_sha1_96,
  null_hmac_sha256_128,
  null_hmac_sha384_192,
  null_hmac_sha512_256,
};

inline constexpr std::size_t kAlgorithmCount =
    static_cast<std::size_t>(Algorithm::null_hmac_sha512_256) + 1;

/// What is enciphered with.
enum class Cipher : std::uint8_t { aes_gcm, chacha20_poly1305, aes_gmac, aes_cbc, null };

/// The HMAC of the non-AEAD transforms; `none` for the AEADs.
enum class Hash : std::uint8_t { none, sha1, sha256, sha384, sha512 };

/// Facts of one algorithm. All lengths are in octets.
struct AlgorithmInfo {
  Algorithm algorithm;
  std::string_view name;  ///< as in the configuration, e.g. "aes-gcm-128"
  Cipher cipher;
  Hash hash;
  std::uint8_t cipher_key_length;  ///< 0 for NULL
  std::uint8_t auth_key_length;  ///< HMAC key (= digest length, RFC 4868 §2.1.1); 0 for the AEADs
  std::uint8_t salt_length;      ///< ESP salt: 4 for GCM, GMAC, ChaCha20-Poly1305; else 0
  std::uint8_t iv_length;        ///< ESP IV on the wire: 8, 16 (CBC) or 0 (NULL)
  std::uint8_t icv_length;       ///< 12, 16, 24 or 32
  std::uint8_t block_length;     ///< ESP padding alignment: 4, or 16 for CBC
  bool aead;                     ///< a nonce must never repeat under one key (GCM, GMAC, ChaCha20)
  bool confidential;             ///< false for GMAC and NULL

  /// Octets that Engine::make_key takes: cipher key, then HMAC key. Never includes a salt.
  constexpr std::size_t key_length() const {
    return std::size_t{cipher_key_length} + auth_key_length;
  }
};

/// The facts of `algorithm`. Never fails: the table covers the whole enum.
const AlgorithmInfo& info(Algorithm algorithm);

/// The algorithm called `name` in the configuration; nothing if there is none (names are lower
/// case).
std::optional<Algorithm> algorithm_from(std::string_view name);

/// Every algorithm, in enum order, for tables, help and "nearest name" suggestions.
std::span<const AlgorithmInfo, kAlgorithmCount> all_algorithms();

/// The longest ICV of any algorithm, in octets.
inline constexpr std::size_t kMaxIcvLength = 32;

}  // namespace sealwire::crypto
