#include "crypto/secret_bytes.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <new>
#include <utility>

namespace sealwire::crypto {
namespace {

/// OpenSSL's secure heap: guard pages, mlock, MADV_DONTDUMP. Its size is fixed at first use; when
/// it is full (or the system refuses to lock memory) secrets still get memory that is wiped, only
/// not locked.
constexpr std::size_t kSecureHeapOctets = std::size_t{4} << 20;
constexpr std::size_t kSecureHeapMinimum = 16;

std::uint8_t* allocate(std::size_t length) {
  static const bool initialised =
      CRYPTO_secure_malloc_initialized() == 1 ||
      CRYPTO_secure_malloc_init(kSecureHeapOctets, kSecureHeapMinimum) != 0;
  void* memory = initialised ? OPENSSL_secure_zalloc(length) : nullptr;
  if (memory == nullptr) memory = OPENSSL_zalloc(length);
  if (memory == nullptr) throw std::bad_alloc();
  return static_cast<std::uint8_t*>(memory);
}

void release(std::uint8_t* memory, std::size_t length) noexcept {
  // Serves both heaps, and wipes before it frees.
  if (memory != nullptr) OPENSSL_secure_clear_free(memory, length);
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

bool is_separator(char c) { return c == ':' || c == '-'; }

}  // namespace

void wipe(void* memory, std::size_t octets) noexcept { OPENSSL_cleanse(memory, octets); }

bool constant_time_equal(std::span<const std::uint8_t> a,
                         std::span<const std::uint8_t> b) noexcept {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

SecretBytes::SecretBytes(std::size_t length)
    : data_(length == 0 ? nullptr : allocate(length)), size_(length) {}

SecretBytes::SecretBytes(std::span<const std::uint8_t> octets) : SecretBytes(octets.size()) {
  std::copy(octets.begin(), octets.end(), data_);
}

SecretBytes::~SecretBytes() { clear(); }

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    clear();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SecretBytes SecretBytes::clone() const { return SecretBytes(view()); }

SecretBytes SecretBytes::concat(const SecretBytes& tail) const {
  SecretBytes joined(size_ + tail.size_);
  std::copy_n(data_, size_, joined.data_);
  std::copy_n(tail.data_, tail.size_, joined.data_ + size_);
  return joined;
}

Result<SecretBytes> SecretBytes::slice(std::size_t offset, std::size_t length) const {
  if (offset > size_ || length > size_ - offset) {
    return fail("SW-CRY-002", "a part of a secret beyond its end was asked for",
                "check the key length against the algorithm");
  }
  return SecretBytes(view().subspan(offset, length));
}

Result<SecretBytes> SecretBytes::from_hex(std::string_view hex) {
  const auto bad = [](const char* why) {
    return fail("SW-CRY-001", why,
                "write two hex digits for each octet, with or without ':' between octets");
  };
  // Two passes, so that no digits of the secret pass through memory that is not wiped.
  std::size_t digits = 0;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    if (is_separator(hex[i])) {
      const bool between = digits != 0 && digits % 2 == 0 && !is_separator(hex[i - 1]);
      if (!between || i + 1 == hex.size()) return bad("a separator is misplaced in a hex secret");
      continue;
    }
    if (hex_value(hex[i]) < 0) return bad("a secret holds something other than hex digits");
    ++digits;
  }
  if (digits % 2 != 0) return bad("a hex secret has an odd number of digits");
  SecretBytes secret(digits / 2);
  std::size_t digit = 0;
  for (const char c : hex) {
    if (is_separator(c)) continue;
    std::uint8_t& octet = secret.data_[digit / 2];
    octet = static_cast<std::uint8_t>((octet << 4) | hex_value(c));
    ++digit;
  }
  return secret;
}

Result<SecretBytes> SecretBytes::random(std::size_t length) {
  SecretBytes secret(length);
  if (length != 0 && RAND_priv_bytes(secret.data_, static_cast<int>(length)) != 1) {
    return fail("SW-CRY-003", "the random number generator failed",
                "check the OpenSSL configuration and /dev/urandom");
  }
  return secret;
}

bool SecretBytes::equal(const SecretBytes& other) const noexcept {
  return constant_time_equal(view(), other.view());
}

SecretBytes::Fingerprint SecretBytes::fingerprint() const {
  static constexpr std::string_view kLabel = "sealwire secret fingerprint v1";
  SecretBytes message(kLabel.size() + sizeof(std::uint64_t) + size_);
  std::uint8_t* cursor = std::copy(kLabel.begin(), kLabel.end(), message.data_);
  for (int shift = 56; shift >= 0; shift -= 8) {
    *cursor++ = static_cast<std::uint8_t>(std::uint64_t{size_} >> shift);
  }
  std::copy_n(data_, size_, cursor);
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(message.data_, message.size_, digest.data());
  Fingerprint fingerprint{};
  std::copy_n(digest.begin(), fingerprint.size(), fingerprint.begin());
  return fingerprint;
}

void SecretBytes::clear() noexcept {
  release(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace sealwire::crypto
