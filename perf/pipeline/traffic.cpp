#include "perf/pipeline/traffic.h"

#include <cstring>
#include <numeric>

#include "pipelines/burst.h"
#include "pipelines/wire/be.h"
#include "pipelines/wire/ip.h"

namespace sealwire::perf {

Sizes sizes_of(std::uint16_t size) {
  if (size != 0) return Sizes(pipelines::kBurstPackets, size);
  Sizes mix;
  for (std::size_t i = 0; i < 5; ++i)
    for (const int s : {576, 64, 576, 64, 1420, 576, 64, 576, 64, 576, 64, 576})
      mix.push_back(static_cast<std::uint16_t>(s));
  return mix;
}

double mean_of(const Sizes& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), 0.0) / static_cast<double>(sizes.size());
}

std::vector<std::uint8_t> frame_of(std::uint16_t size) {
  std::vector<std::uint8_t> f(size, 0x5a);
  constexpr std::uint8_t head[] = {2, 0xcc, 0,    0, 1, 1,  2,  0xaa, 0, 0, 1,  10,
                                   8, 0,    0x45, 0, 0, 0,  0,  1,    0, 0, 64, 17,
                                   0, 0,    10,   1, 0, 10, 10, 2,    0, 20};
  std::memcpy(f.data(), head, sizeof head);
  pipelines::wire::store_be(f.data() + 16, static_cast<std::uint16_t>(size - 14));
  pipelines::wire::set_ipv4_checksum(f.data() + 14, 20);
  return f;
}

}  // namespace sealwire::perf
