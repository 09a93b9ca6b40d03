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

// Padding content: 1, 2, 3, ... (RFC 4303 §2.4).
inline void write_padding(std::uint8_t* at, std::uint32_t length) {
  for (std::uint32_t i = 0; i < length; ++i) at[i] = static_cast<std::uint8_t>(i + 1);
}

inline bool padding_good(const std::uint8_t* at, std::uint32_t length) {
  std::uint8_t wrong = 0;
  for (std::uint32_t i = 0; i < length; ++i)
    wrong = static_cast<std::uint8_t>(wrong | (at[i] ^ (i + 1)));
  return wrong == 0;
}

}  // namespace sealwire::pipelines::wire
