#include "crypto/nonce.h"

#include <algorithm>

namespace sealwire::crypto::nonce {

XpnSalt mka_xpn_salt(std::span<const std::uint8_t, 12> key_server_mi,
                     std::uint32_t key_number) noexcept {
  XpnSalt salt{};
  std::copy(key_server_mi.begin(), key_server_mi.end(), salt.begin());
  salt[0] ^= static_cast<std::uint8_t>(key_number >> 8);
  salt[1] ^= static_cast<std::uint8_t>(key_number);
  salt[2] ^= static_cast<std::uint8_t>(key_number >> 24);
  salt[3] ^= static_cast<std::uint8_t>(key_number >> 16);
  return salt;
}

}  // namespace sealwire::crypto::nonce
