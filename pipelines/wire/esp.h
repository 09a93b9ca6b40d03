// ESP header, trailer and padding (RFC 4303 §2).
#pragma once

#include <cstdint>

#include "pipelines/wire/be.h"

namespace sealwire::pipelines::wire {

struct EspHeader {
  Be32 spi;
  Be32 sequence;
};
static_assert(sizeof(EspHeader) == 8 && alignof(EspHeader) == 1);

// The last two octets of what is enciphered; the padding stands before them.
struct EspTrailer {
  std::uint8_t pad_length;
  std::uint8_t next_header;
};
static_assert(sizeof(EspTrailer) == 2 && alignof(EspTrailer) == 1);

// Padding content: 1, 2, 3, ... (RFC 4303 §2.4). A few octets, as AEADs need, are done in one word.
inline constexpr std::uint64_t kFirstPadding = 0x0102030405060708;

// At `at` there is room for 8 octets, however short the padding is.
inline void write_padding(std::uint8_t* at, std::uint32_t length) {
  store_be(at, kFirstPadding);
  for (std::uint32_t i = 8; i < length; ++i) at[i] = static_cast<std::uint8_t>(i + 1);
}

// The padding before `end`, in front of which at least 8 octets may be read.
inline bool padding_good(const std::uint8_t* end, std::uint32_t length) {
  if (length == 0) return true;
  if (length <= 8) {
    const std::uint32_t others = 64 - 8 * length;  // bits of what is in front
    return (load_be<std::uint64_t>(end - 8) << others) == (kFirstPadding >> others << others);
  }
  std::uint8_t wrong = 0;
  for (std::uint32_t i = 0; i < length; ++i)
    wrong = static_cast<std::uint8_t>(wrong | (end[i - std::int64_t{length}] ^ (i + 1)));
  return wrong == 0;
}

}  // namespace sealwire::pipelines::wire
