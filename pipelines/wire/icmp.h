// ICMP (RFC 792), ICMPv6 (RFC 4443) and Neighbour Discovery (RFC 4861), as far as a gateway speaks
// them.
#pragma once

#include <cstdint>

#include "pipelines/wire/be.h"

namespace sealwire::pipelines::wire {

inline constexpr std::uint8_t kIcmpEchoReply = 0;
inline constexpr std::uint8_t kIcmpUnreachable = 3;
inline constexpr std::uint8_t kIcmpFragmentationNeeded = 4;  // code of Unreachable
inline constexpr std::uint8_t kIcmpRedirect = 5;
inline constexpr std::uint8_t kIcmpEchoRequest = 8;
inline constexpr std::uint8_t kIcmpTimeExceeded = 11;

inline constexpr std::uint8_t kIcmpv6Unreachable = 1;
inline constexpr std::uint8_t kIcmpv6PacketTooBig = 2;
inline constexpr std::uint8_t kIcmpv6TimeExceeded = 3;
inline constexpr std::uint8_t kIcmpv6EchoRequest = 128;
inline constexpr std::uint8_t kIcmpv6EchoReply = 129;
inline constexpr std::uint8_t kIcmpv6RouterSolicitation = 133;
inline constexpr std::uint8_t kIcmpv6NeighbourSolicitation = 135;
inline constexpr std::uint8_t kIcmpv6NeighbourAdvertisement = 136;
inline constexpr std::uint8_t kIcmpv6Redirect = 137;

inline constexpr std::uint8_t kNdSourceLinkLayer = 1;
inline constexpr std::uint8_t kNdTargetLinkLayer = 2;

// Shared by errors and echo; `rest` depends on type and code: id and sequence, or an MTU.
struct IcmpHeader {
  std::uint8_t type;
  std::uint8_t code;
  std::uint8_t checksum[2];
  Be32 rest;
};
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

// Neighbour Solicitation or Advertisement with one link-layer address option.
struct NdMessage {
  std::uint8_t type;
  std::uint8_t code;
  std::uint8_t checksum[2];
  Be32 flags;  // of an advertisement
  std::uint8_t target[16];
  std::uint8_t option_type;
  std::uint8_t option_length;  // 1: in units of 8 octets
  std::uint8_t link_layer[6];
};
static_assert(sizeof(NdMessage) == 32 && alignof(NdMessage) == 1);
inline constexpr std::uint32_t kNdWithoutOption = 24;  // octets

inline constexpr std::uint32_t kNaRouter = 0x80000000;
inline constexpr std::uint32_t kNaSolicited = 0x40000000;
inline constexpr std::uint32_t kNaOverride = 0x20000000;

}  // namespace sealwire::pipelines::wire
