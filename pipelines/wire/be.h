// Big-endian integers as they stand in packets. Built and read explicitly; no arithmetic, so that a
// byte order is never forgotten. Alignment 1: wire structs made of them may lie anywhere.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace sealwire::pipelines::wire {

template <class T>
constexpr T swap_to_big(T value) {
  static_assert(std::is_unsigned_v<T>);
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) {
    return value;
  } else if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    return __builtin_bswap64(value);
  }
}

// Reads and writes a big-endian T at any address.
template <class T>
inline T load_be(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return swap_to_big(value);
}
template <class T>
inline void store_be(void* at, T value) {
  value = swap_to_big(value);
  std::memcpy(at, &value, sizeof value);
}

template <class T>
class BigEndian {
 public:
  using value_type = T;
  BigEndian() = default;
  explicit BigEndian(T value) { store_be(octets_, value); }
  T value() const { return load_be<T>(octets_); }
  friend bool operator==(BigEndian a, BigEndian b) { return a.value() == b.value(); }

 private:
  std::uint8_t octets_[sizeof(T)];
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
using Be64 = BigEndian<std::uint64_t>;

static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1 && std::is_trivially_copyable_v<Be16>);
static_assert(sizeof(Be32) == 4 && alignof(Be32) == 1 && std::is_trivially_copyable_v<Be32>);
static_assert(sizeof(Be64) == 8 && alignof(Be64) == 1 && std::is_trivially_copyable_v<Be64>);

// The struct at `at`, which the caller has shown to hold sizeof(T) octets.
template <class T>
inline T* view_at(std::uint8_t* at) {
  static_assert(alignof(T) == 1 && std::is_trivially_copyable_v<T>);
  return reinterpret_cast<T*>(at);
}
template <class T>
inline const T* view_at(const std::uint8_t* at) {
  static_assert(alignof(T) == 1 && std::is_trivially_copyable_v<T>);
  return reinterpret_cast<const T*>(at);
}

}  // namespace sealwire::pipelines::wire
