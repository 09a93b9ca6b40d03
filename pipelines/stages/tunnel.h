// What a tunnel does to the fields that both headers have: ECN (RFC 6040), DSCP, DF, TTL (RFC 4301
// §5.1.2).
#pragma once

#include <cstdint>

#include "pipelines/tables/sad.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines::tunnel {

inline constexpr std::uint8_t kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
inline constexpr std::uint8_t kDropEcn = 0xff;

/// Outer DSCP and ECN for an inner packet's TOS: as the SA says, each copied or fixed.
inline std::uint8_t outer_tos(const OutboundSa& sa, std::uint8_t inner) {
  return static_cast<std::uint8_t>((inner & sa.tos_copied) | sa.tos_set);
}

/// The inner packet's new ECN, or kDropEcn (RFC 6040 Figure 4). Indexed by inner, then outer.
inline std::uint8_t decapsulated_ecn(std::uint8_t inner, std::uint8_t outer) {
  static constexpr std::uint8_t kTable[4][4] = {
      //            outer Not-ECT  ECT(1)   ECT(0)   CE
      /* Not-ECT */ {kNotEct, kNotEct, kNotEct, kDropEcn},
      /* ECT(1)  */ {kEct1, kEct1, kEct1, kCe},
      /* ECT(0)  */ {kEct0, kEct1, kEct0, kCe},
      /* CE      */ {kCe, kCe, kCe, kCe},
  };
  return kTable[inner & 3U][outer & 3U];
}

/// The outer DF bit in its place in the header's flags, for those of an IPv4 inner packet or
/// kIpv4DontFragment for an IPv6 one, which routers may not fragment. Host order.
inline std::uint16_t outer_df(const OutboundSa& sa, std::uint16_t inner) {
  return static_cast<std::uint16_t>((inner & sa.df_copied) | sa.df_set);
}

}  // namespace sealwire::pipelines::tunnel
