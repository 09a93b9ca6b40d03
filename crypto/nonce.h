// The only place where nonces are built. Whoever calls these has taken a PN or SN from the SA's one
// counter, once.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "crypto/numbers.h"

namespace sealwire::crypto::nonce {

/// 96-bit nonce of GCM and ChaCha20-Poly1305.
inline constexpr std::size_t kLength = 12;
/// The ESP IV that travels with AEADs (RFC 4106 §3.1).
inline constexpr std::size_t kEspIvLength = 8;
/// One AES block.
inline constexpr std::size_t kBlockLength = 16;

/// Salt of an XPN SA, 12 octets in wire order, and of an ESP SA, 4 octets.
using XpnSalt = std::array<std::uint8_t, 12>;
using EspSalt = std::array<std::uint8_t, 4>;

namespace detail {
/// Big-endian store of `value` at `out`.
template <class T>
inline void store_be(T value, std::uint8_t* out) noexcept {
  if constexpr (std::endian::native == std::endian::little) {
    if constexpr (sizeof(T) == 8) {
      value = __builtin_bswap64(value);
    } else {
      value = __builtin_bswap32(value);
    }
  }
  std::memcpy(out, &value, sizeof value);
}
}  // namespace detail

/// GCM-AES-128/256 (802.1AE §14.5): SCI || PN. `pn` must be within 32 bits: the SA's limit is the
/// caller's to hold.
[[gnu::always_inline]] inline void macsec(Sci sci, Pn pn, std::uint8_t* out12) noexcept {
  detail::store_be(sci.value(), out12);
  detail::store_be(pn.low(), out12 + 8);
}

/// GCM-AES-XPN-128/256 (802.1AE §14.7): (SSCI || PN) xor Salt.
inline void macsec_xpn(Ssci ssci, Pn pn, const XpnSalt& salt, std::uint8_t* out12) noexcept {
  std::uint8_t block[kLength];
  detail::store_be(ssci.value(), block);
  detail::store_be(pn.value(), block + 4);
  for (std::size_t i = 0; i < kLength; ++i) out12[i] = block[i] ^ salt[i];
}

/// The explicit 8-octet IV of an outbound AEAD ESP packet: the 64-bit sequence number itself, so
/// that it is unique as long as the sequence number is (RFC 4106 §3.1, RFC 7634 §2). `out8` is the
/// wire's IV field.
[[gnu::always_inline]] inline void esp_iv(SeqNo sequence, std::uint8_t* out8) noexcept {
  detail::store_be(sequence.value(), out8);
}

/// GCM, GMAC and ChaCha20-Poly1305 in ESP: salt || IV as on the wire (RFC 4106 §4, RFC 4543 §3.2,
/// RFC 7634 §2).
[[gnu::always_inline]] inline void esp(const EspSalt& salt, const std::uint8_t* iv8,
                                       std::uint8_t* out12) noexcept {
  std::memcpy(out12, salt.data(), salt.size());
  std::memcpy(out12 + salt.size(), iv8, kEspIvLength);
}

/// CBC: the block that the engine enciphers with the SA's own key to get the wire IV, which makes
/// the IV unpredictable (SP 800-38A Appendix C, first method). Unique per SA because the sequence
/// number is: SPI || 0 || sequence.
inline void cbc_counter_block(Spi spi, SeqNo sequence, std::uint8_t* out16) noexcept {
  detail::store_be(spi.value(), out16);
  std::memset(out16 + 4, 0, 4);
  detail::store_be(sequence.value(), out16 + 8);
}

/// Salt of an XPN SA agreed by MKA (802.1X-2020): the key server's MI with the key number
/// folded into its first four octets.
XpnSalt mka_xpn_salt(std::span<const std::uint8_t, 12> key_server_mi,
                     std::uint32_t key_number) noexcept;

}  // namespace sealwire::crypto::nonce
