// AES Key Wrap (RFC 3394): how MKA distributes a SAK.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "crypto/result.h"
#include "crypto/secret_bytes.h"

namespace sealwire::crypto {

/// Octets by which a wrapped key is longer.
inline constexpr std::size_t kKeyWrapOverhead = 8;

/// Wraps `key` (16 octets or more, a multiple of 8) with `kek` (16, 24 or 32 octets) under the
/// default initial value. Errors SW-CRY-060 (a length), SW-CRY-061 (OpenSSL refused).
Result<std::vector<std::uint8_t>> key_wrap(const SecretBytes& kek, const SecretBytes& key);

/// The reverse. Errors SW-CRY-060, SW-CRY-062 (not wrapped with this KEK, or altered).
Result<SecretBytes> key_unwrap(const SecretBytes& kek, std::span<const std::uint8_t> wrapped);

}  // namespace sealwire::crypto
