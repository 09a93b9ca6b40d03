#include "app/control/mka/keys.h"

#include <algorithm>

#include "crypto/kdf.h"
#include "crypto/key_wrap.h"

namespace sealwire::mka {

using crypto::SecretBytes;

Result<DerivedKeys> derive_keys(const SecretBytes& cak, const Ckn& ckn) {
  if (cak.size() != 16 && cak.size() != 32) {
    return fail("SW-MKA-001", "a CAK has 16 or 32 octets, not " + std::to_string(cak.size()),
                "give 32 or 64 hex digits");
  }
  std::array<uint8_t, 16> context{};
  std::copy_n(ckn.view().begin(), std::min(ckn.size(), context.size()), context.begin());
  auto ick = crypto::kdf(cak, "IEEE8021 ICK", context, cak.size());
  if (!ick) return tl::unexpected(ick.error());
  auto kek = crypto::kdf(cak, "IEEE8021 KEK", context, cak.size());
  if (!kek) return tl::unexpected(kek.error());
  return DerivedKeys{std::move(*ick), std::move(*kek)};
}

Result<std::array<uint8_t, 16>> mkpdu_icv(const SecretBytes& ick,
                                          std::span<const uint8_t> authenticated) {
  return crypto::aes_cmac(ick, authenticated);
}

Result<SecretBytes> derive_sak(const SecretBytes& cak, std::span<const uint8_t> nonce,
                               std::span<const Mi> members, uint32_t kn, size_t length) {
  std::vector<uint8_t> context(nonce.begin(), nonce.end());
  for (const Mi& member : members) context.insert(context.end(), member.begin(), member.end());
  for (int shift = 24; shift >= 0; shift -= 8) context.push_back(static_cast<uint8_t>(kn >> shift));
  auto sak = crypto::kdf(cak, "IEEE8021 SAK", context, length);
  crypto::wipe(context.data(), context.size());
  return sak;
}

Result<std::vector<uint8_t>> wrap_sak(const SecretBytes& kek, const SecretBytes& sak) {
  return crypto::key_wrap(kek, sak);
}

Result<SecretBytes> unwrap_sak(const SecretBytes& kek, std::span<const uint8_t> wrapped) {
  return crypto::key_unwrap(kek, wrapped);
}

std::array<uint8_t, 12> xpn_salt(const Ki& ki) {
  std::array<uint8_t, 12> salt = ki.mi;
  salt[0] ^= static_cast<uint8_t>(ki.kn >> 8);
  salt[1] ^= static_cast<uint8_t>(ki.kn);
  salt[2] ^= static_cast<uint8_t>(ki.kn >> 24);
  salt[3] ^= static_cast<uint8_t>(ki.kn >> 16);
  return salt;
}

}  // namespace sealwire::mka
