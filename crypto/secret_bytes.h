// The only type that key material may live in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "crypto/result.h"

namespace sealwire::crypto {

/// Overwrites `octets` octets with zeroes in a way the compiler may not remove.
void wipe(void* memory, std::size_t octets) noexcept;

/// Equality in time that depends on the lengths only. Unequal lengths are unequal.
bool constant_time_equal(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) noexcept;

/// Octets of key material. Move-only; cannot be printed, compared with == or copied by accident.
/// The memory is kept out of swap and core dumps where the system allows it (mlock, MADV_DONTDUMP),
/// and wiped on destruction, on being moved over, and by clear().
class SecretBytes {
 public:
  /// Identity of the octets, for "same key?" bookkeeping (durable PN reservations). SHA-256
  /// truncated to 128 bits over a domain label, the length and the octets. Not for display: a guess
  /// of a weak key could be confirmed with it.
  using Fingerprint = std::array<std::uint8_t, 16>;

  SecretBytes() noexcept = default;
  /// `length` zero octets, to be filled through mutable_view().
  explicit SecretBytes(std::size_t length);
  /// Copies `octets` in; wiping the source is the caller's.
  explicit SecretBytes(std::span<const std::uint8_t> octets);
  ~SecretBytes();

  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  /// An explicit copy, where two owners are really meant.
  SecretBytes clone() const;

  /// This followed by `tail`, e.g. cipher key then HMAC key as Engine::make_key takes them.
  SecretBytes concat(const SecretBytes& tail) const;

  /// Octets [offset, offset + length). Error SW-CRY-002 when out of range.
  Result<SecretBytes> slice(std::size_t offset, std::size_t length) const;

  /// From hex digits of either case, with optional ':' or '-' between octets. Error SW-CRY-001; its
  /// message never holds the digits.
  static Result<SecretBytes> from_hex(std::string_view hex);

  /// `length` octets from the operating system seeded CSPRNG. Error SW-CRY-003 when it fails.
  static Result<SecretBytes> random(std::size_t length);

  std::span<const std::uint8_t> view() const noexcept { return {data_, size_}; }
  std::span<std::uint8_t> mutable_view() noexcept { return {data_, size_}; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Constant-time for equal lengths.
  bool equal(const SecretBytes& other) const noexcept;

  Fingerprint fingerprint() const;

  /// Wipes and frees; size() is 0 after.
  void clear() noexcept;

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sealwire::crypto
