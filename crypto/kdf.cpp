#include "crypto/kdf.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace sealwire::crypto {
namespace {

constexpr std::size_t kBlock = 16;
constexpr std::size_t kMaxBlocks = 255;  // an 8-bit counter that starts at 1

struct Free {
  void operator()(EVP_MAC* mac) const noexcept { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }
};

const char* cipher_of(std::size_t key_length) {
  switch (key_length) {
    case 16:
      return "AES-128-CBC";
    case 24:
      return "AES-192-CBC";
    case 32:
      return "AES-256-CBC";
    default:
      return nullptr;
  }
}

}  // namespace

Result<std::array<std::uint8_t, 16>> aes_cmac(const SecretBytes& key,
                                              std::span<const std::uint8_t> message) {
  const char* cipher = cipher_of(key.size());
  if (cipher == nullptr) {
    return fail("SW-CRY-050",
                "AES-CMAC takes a key of 16, 24 or 32 octets, not " + std::to_string(key.size()),
                "check the length of the CAK");
  }
  const std::unique_ptr<EVP_MAC, Free> mac(EVP_MAC_fetch(nullptr, "CMAC", nullptr));
  const std::unique_ptr<EVP_MAC_CTX, Free> context(EVP_MAC_CTX_new(mac.get()));
  // OSSL_PARAM's constructor wants a writable string but does not write.
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, const_cast<char*>(cipher), 0),
      OSSL_PARAM_construct_end()};
  std::array<std::uint8_t, 16> out{};
  std::size_t written = 0;
  if (context == nullptr ||
      EVP_MAC_init(context.get(), key.view().data(), key.size(), parameters) != 1 ||
      EVP_MAC_update(context.get(), message.data(), message.size()) != 1 ||
      EVP_MAC_final(context.get(), out.data(), &written, out.size()) != 1 ||
      written != out.size()) {
    ERR_clear_error();
    return fail("SW-CRY-051", "OpenSSL refused AES-CMAC", "check OpenSSL's providers");
  }
  return out;
}

Result<SecretBytes> kdf(const SecretBytes& key, std::string_view label,
                        std::span<const std::uint8_t> context, std::size_t length) {
  if (length == 0 || length > kMaxBlocks * kBlock) {
    return fail("SW-CRY-052", "a key of " + std::to_string(length) + " octets cannot be derived");
  }
  const std::size_t bits = length * 8;
  std::vector<std::uint8_t> input(1);
  input.insert(input.end(), label.begin(), label.end());
  input.push_back(0);
  input.insert(input.end(), context.begin(), context.end());
  input.push_back(static_cast<std::uint8_t>(bits >> 8));
  input.push_back(static_cast<std::uint8_t>(bits));
  SecretBytes derived(length);
  const std::span<std::uint8_t> out = derived.mutable_view();
  for (std::size_t done = 0; done < length; done += kBlock) {
    ++input[0];
    auto block = aes_cmac(key, input);
    if (!block) return tl::unexpected(block.error());
    std::copy_n(block->begin(), std::min(kBlock, length - done),
                out.begin() + static_cast<std::ptrdiff_t>(done));
    wipe(block->data(), block->size());
  }
  return derived;
}

}  // namespace sealwire::crypto
