// AES-CMAC and the key derivation function of MKA.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/result.h"
#include "crypto/secret_bytes.h"

namespace sealwire::crypto {

/// AES-CMAC (SP 800-38B, RFC 4493) with a key of 16, 24 or 32 octets: the ICV of MKPDUs. Errors
/// SW-CRY-050 (key length), SW-CRY-051 (OpenSSL refused).
Result<std::array<std::uint8_t, 16>> aes_cmac(const SecretBytes& key,
                                              std::span<const std::uint8_t> message);

/// The KDF of 802.1X-2020 §6.2.1 (SP 800-108 counter mode over AES-CMAC, an 8-bit counter from 1
/// and a 16-bit length in bits): for i = 1, 2, ... CMAC(key, i || label || 0x00 || context ||
/// length). `length` is in octets, 1..4080. Errors SW-CRY-050, SW-CRY-051, SW-CRY-052 (length).
Result<SecretBytes> kdf(const SecretBytes& key, std::string_view label,
                        std::span<const std::uint8_t> context, std::size_t length);

}  // namespace sealwire::crypto
