// The keys of MKA: ICK and KEK from a CAK (802.1X-2020 §9.3.3), SAKs (§9.8.1), their wrap (§9.8.2),
// the MKPDU's ICV (§9.4.1) and the XPN salt (§10.7.13). Octets in, octets out.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "app/control/mka/types.h"
#include "crypto/result.h"
#include "crypto/secret_bytes.h"

namespace sealwire::mka {

struct DerivedKeys {
  crypto::SecretBytes ick;  ///< MKPDU integrity, as long as the CAK
  crypto::SecretBytes kek;  ///< SAK wrap, as long as the CAK
};

/// Error SW-MKA-001 unless the CAK has 16 or 32 octets.
Result<DerivedKeys> derive_keys(const crypto::SecretBytes& cak, const Ckn& ckn);

/// AES-CMAC(ICK, frame up to the ICV).
Result<std::array<uint8_t, 16>> mkpdu_icv(const crypto::SecretBytes& ick,
                                          std::span<const uint8_t> authenticated);

/// KDF(CAK, "IEEE8021 SAK", KS-nonce || MI list || KN, length in octets). `nonce` comes from the
/// random source.
Result<crypto::SecretBytes> derive_sak(const crypto::SecretBytes& cak,
                                       std::span<const uint8_t> nonce, std::span<const Mi> members,
                                       uint32_t kn, size_t length);

Result<std::vector<uint8_t>> wrap_sak(const crypto::SecretBytes& kek,
                                      const crypto::SecretBytes& sak);
/// Error when the wrapped octets are not authentic.
Result<crypto::SecretBytes> unwrap_sak(const crypto::SecretBytes& kek,
                                       std::span<const uint8_t> wrapped);

/// Salt of an XPN SA: the key server's MI mixed with the KN.
std::array<uint8_t, 12> xpn_salt(const Ki& ki);

}  // namespace sealwire::mka
