// The numbers of MACsec and IPsec as types that do not mix. All are in host byte order; wire
// structs convert.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <type_traits>

namespace sealwire::crypto {

/// A number that is explicitly built, compared, and nothing else. `Tag` keeps the types apart.
template <class Tag, class Value>
class StrongNumber {
 public:
  using value_type = Value;
  constexpr StrongNumber() noexcept = default;
  constexpr explicit StrongNumber(Value value) noexcept : value_(value) {}
  constexpr Value value() const noexcept { return value_; }
  friend constexpr auto operator<=>(StrongNumber, StrongNumber) noexcept = default;

 private:
  Value value_{};
};

/// Security Parameters Index (RFC 4303 §2.1). 0 is never on the wire, 1..255 are reserved.
struct Spi : StrongNumber<Spi, std::uint32_t> {
  using StrongNumber::StrongNumber;
};

/// Secure Channel Identifier (802.1AE §9.9): MAC address in the high 48 bits, port number in the
/// low 16.
struct Sci : StrongNumber<Sci, std::uint64_t> {
  using StrongNumber::StrongNumber;
  /// Reserved, never a channel (802.1AE §9.9).
  static constexpr std::uint64_t kReserved = std::numeric_limits<std::uint64_t>::max();
};

/// Short SCI of the XPN suites (802.1X-2020 §10.7.13): the greatest SCI has 1, the next 2, and so
/// on.
struct Ssci : StrongNumber<Ssci, std::uint32_t> {
  using StrongNumber::StrongNumber;
};

/// Association Number: 0..3 (802.1AE §9.5). Always in range.
struct An : StrongNumber<An, std::uint8_t> {
  constexpr An() noexcept = default;
  constexpr explicit An(std::uint8_t value) noexcept : StrongNumber(value & 3U) {}
  constexpr An next() const noexcept { return An(static_cast<std::uint8_t>(value() + 1U)); }
};

/// The greatest PN each kind of suite may use; the PN space of an SA ends there (802.1AE §10.5.2,
/// §14.7).
inline constexpr std::uint64_t kMaxPn32 = 0xFFFF'FFFFULL;
inline constexpr std::uint64_t kMaxPn64 = 0xFFFF'FFFF'FFFF'FFFFULL;

/// Packet Number (802.1AE §9.8): 32 bits used by non-XPN suites, 64 by XPN. 0 is never sent.
struct Pn : StrongNumber<Pn, std::uint64_t> {
  using StrongNumber::StrongNumber;
  constexpr std::uint32_t low() const noexcept { return static_cast<std::uint32_t>(value()); }
  constexpr std::uint32_t high() const noexcept {
    return static_cast<std::uint32_t>(value() >> 32);
  }
  /// This plus `step`; stays at the 64-bit maximum instead of wrapping. The 32-bit limit is a rule
  /// of the SA.
  constexpr Pn next(std::uint64_t step = 1) const noexcept {
    return Pn(step > kMaxPn64 - value() ? kMaxPn64 : value() + step);
  }
};

/// ESP sequence number as the SA counts it: 64 bits with ESN, 32 without (RFC 4303 §2.2). 0 is
/// never sent.
struct SeqNo : StrongNumber<SeqNo, std::uint64_t> {
  using StrongNumber::StrongNumber;
  constexpr std::uint32_t low() const noexcept { return static_cast<std::uint32_t>(value()); }
  constexpr std::uint32_t high() const noexcept {
    return static_cast<std::uint32_t>(value() >> 32);
  }
  constexpr SeqNo next(std::uint64_t step = 1) const noexcept {
    constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
    return SeqNo(step > kMax - value() ? kMax : value() + step);
  }
};

/// 64-bit (extended) sequence number: SeqHi || SeqLo.
using Esn = SeqNo;

/// The 12-octet salt of an XPN SA and the 4-octet salt of an ESP SA are plain octets in wire order,
/// not numbers.

template <class T>
inline constexpr bool kIsPlainNumber =
    std::is_trivially_copyable_v<T>&& std::is_standard_layout_v<T>;

static_assert(sizeof(Spi) == 4 && kIsPlainNumber<Spi>);
static_assert(sizeof(Sci) == 8 && kIsPlainNumber<Sci>);
static_assert(sizeof(Ssci) == 4 && kIsPlainNumber<Ssci>);
static_assert(sizeof(An) == 1 && kIsPlainNumber<An>);
static_assert(sizeof(Pn) == 8 && kIsPlainNumber<Pn>);
static_assert(sizeof(SeqNo) == 8 && kIsPlainNumber<SeqNo>);

}  // namespace sealwire::crypto

template <>
struct std::hash<sealwire::crypto::Spi> {
  std::size_t operator()(sealwire::crypto::Spi spi) const noexcept {
    return std::hash<std::uint32_t>{}(spi.value());
  }
};
template <>
struct std::hash<sealwire::crypto::Sci> {
  std::size_t operator()(sealwire::crypto::Sci sci) const noexcept {
    return std::hash<std::uint64_t>{}(sci.value());
  }
};
