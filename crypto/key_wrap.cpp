#include "crypto/key_wrap.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

namespace sealwire::crypto {
namespace {

constexpr std::size_t kUnit = 8;
constexpr std::size_t kMinKey = 16;
constexpr std::size_t kMaxKey = 4096;  // nothing that is wrapped here comes near

struct Free {
  void operator()(EVP_CIPHER* cipher) const noexcept { EVP_CIPHER_free(cipher); }
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};

/// Runs the wrap cipher; whether all `out.size()` octets came out. `out` has room for one unit more
/// when unwrapping, because OpenSSL uses it.
bool run(const SecretBytes& kek, std::span<const std::uint8_t> in, std::span<std::uint8_t> out,
         std::size_t expected, bool wrap) {
  const std::string name = "AES-" + std::to_string(8 * kek.size()) + "-WRAP";
  const std::unique_ptr<EVP_CIPHER, Free> cipher(EVP_CIPHER_fetch(nullptr, name.c_str(), nullptr));
  const std::unique_ptr<EVP_CIPHER_CTX, Free> context(EVP_CIPHER_CTX_new());
  if (cipher == nullptr || context == nullptr) return false;
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  int written = 0;
  int more = 0;
  const bool done = EVP_CipherInit_ex2(context.get(), cipher.get(), kek.view().data(), nullptr,
                                       wrap ? 1 : 0, nullptr) == 1 &&
                    EVP_CipherUpdate(context.get(), out.data(), &written, in.data(),
                                     static_cast<int>(in.size())) == 1 &&
                    EVP_CipherFinal_ex(context.get(), out.data() + written, &more) == 1 &&
                    static_cast<std::size_t>(written) + static_cast<std::size_t>(more) == expected;
  ERR_clear_error();
  return done;
}

bool good_kek(const SecretBytes& kek) {
  return kek.size() == 16 || kek.size() == 24 || kek.size() == 32;
}

tl::unexpected<Error> bad_length(const char* what, std::size_t length) {
  return fail("SW-CRY-060",
              "a " + std::string(what) + " of " + std::to_string(length) +
                  " octets is not possible in AES Key Wrap",
              "use a KEK of 16, 24 or 32 octets and a key of 16 or more, a multiple of 8");
}

}  // namespace

Result<std::vector<std::uint8_t>> key_wrap(const SecretBytes& kek, const SecretBytes& key) {
  if (!good_kek(kek)) return bad_length("KEK", kek.size());
  if (key.size() < kMinKey || key.size() > kMaxKey || key.size() % kUnit != 0) {
    return bad_length("key", key.size());
  }
  std::vector<std::uint8_t> wrapped(key.size() + kKeyWrapOverhead);
  if (!run(kek, key.view(), wrapped, wrapped.size(), true)) {
    return fail("SW-CRY-061", "OpenSSL refused AES Key Wrap", "check OpenSSL's providers");
  }
  return wrapped;
}

Result<SecretBytes> key_unwrap(const SecretBytes& kek, std::span<const std::uint8_t> wrapped) {
  if (!good_kek(kek)) return bad_length("KEK", kek.size());
  if (wrapped.size() < kMinKey + kKeyWrapOverhead || wrapped.size() > kMaxKey + kKeyWrapOverhead ||
      wrapped.size() % kUnit != 0) {
    return bad_length("wrapped key", wrapped.size());
  }
  SecretBytes room(wrapped.size());
  const std::size_t length = wrapped.size() - kKeyWrapOverhead;
  if (!run(kek, wrapped, room.mutable_view(), length, false)) {
    return fail("SW-CRY-062", "a wrapped key does not unwrap with this key-encrypting key",
                "check that both sides have the same CAK");
  }
  return room.slice(0, length);
}

}  // namespace sealwire::crypto
