// The frames of a burst.
#pragma once

#include <cstdint>
#include <vector>

namespace sealwire::perf {

/// Octets of the frames of one burst before sealing.
using Sizes = std::vector<std::uint16_t>;

/// A full burst; 0: IMIX, 5 x 64, 6 x 576 and 1 x 1420.
Sizes sizes_of(std::uint16_t size);

double mean_of(const Sizes& sizes);

/// UDP from site 1's inside to site 2's.
std::vector<std::uint8_t> frame_of(std::uint16_t size);

/// Octets that ESP seals of a frame: the IP packet, two of trailer, and padding to a whole `block`,
/// a power of two.
constexpr std::uint32_t sealed_of(std::uint16_t size, std::uint32_t block) {
  return (size - 14U + 2U + block - 1U) & ~(block - 1U);
}

}  // namespace sealwire::perf
