// UDP header (RFC 768), and what travels on NAT-T ports (RFC 3948).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "pipelines/wire/be.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines::wire {

struct UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  std::uint8_t checksum[2];
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

inline constexpr std::uint16_t kPortIke = 500;
inline constexpr std::uint16_t kPortNatT = 4500;

enum class NatTPayload : std::uint8_t { malformed, keepalive, ike, esp };

/// RFC 3948 §2.1-2.3: one octet 0xFF is a keepalive, four zero octets mark IKE, the rest is ESP.
inline NatTPayload classify_nat_t(std::span<const std::uint8_t> payload) {
  if (payload.size() == 1 && payload[0] == 0xff) return NatTPayload::keepalive;
  if (payload.size() < 4) return NatTPayload::malformed;
  return load_be<std::uint32_t>(payload.data()) == 0 ? NatTPayload::ike : NatTPayload::esp;
}

/// One's complement sum of an upper layer packet in IPv6 with its pseudo header (RFC 8200 §8.1).
inline std::uint32_t sum_ipv6_upper(const std::uint8_t* ipv6, const std::uint8_t* upper,
                                    std::uint16_t length, std::uint8_t protocol) {
  std::uint8_t rest[8] = {};
  store_be(rest + 2, length);
  rest[7] = protocol;
  return sum_words(upper, length, sum_words(rest, sizeof rest, sum_words(ipv6 + 8, 32)));
}

/// Writes the checksum of a UDP or ICMPv6 packet in IPv6 at `at`, which lies within `upper`; 0 is
/// sent as 0xffff.
inline void set_ipv6_upper_checksum(const std::uint8_t* ipv6, const std::uint8_t* upper,
                                    std::uint16_t length, std::uint8_t protocol, std::uint8_t* at) {
  at[0] = at[1] = 0;
  std::uint16_t checksum = checksum_of(sum_ipv6_upper(ipv6, upper, length, protocol));
  if (checksum == 0) checksum = 0xffff;
  std::memcpy(at, &checksum, 2);
}

inline bool ipv6_upper_checksum_good(const std::uint8_t* ipv6, const std::uint8_t* upper,
                                     std::uint16_t length, std::uint8_t protocol) {
  return fold(sum_ipv6_upper(ipv6, upper, length, protocol)) == 0xffff;
}

}  // namespace sealwire::pipelines::wire
