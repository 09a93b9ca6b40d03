// What a tunnel does to the fields that both headers have: ECN (RFC 6040), DSCP, DF, TTL (RFC 4301
// §5.1.2).
#pragma once

#include <cstdint>

#include "pipelines/tables/sad.h"
#include "pipelines/wire/ip.h"

namespace sealwire::pipelines::tunnel {

inline constexpr std::uint8_t kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
inline constexpr std::uint8_t kDropEcn = 0xff;

/// Outer DSCP and ECN for an inner packet's TOS. Normal mode copies ECN, compatibility mode sends
/// Not-ECT (RFC 6040 §4.1).
inline std::uint8_t outer_tos(const OutboundSa& sa, std::uint8_t inner) {
  std::uint8_t dscp = sa.dscp_fixed ? static_cast<std::uint8_t>(sa.dscp << 2U)
                                    : static_cast<std::uint8_t>(inner & 0xfcU);
  return sa.ecn == EcnPolicy::compatibility ? dscp : static_cast<std::uint8_t>(dscp | (inner & 3U));
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

/// Outer DF. An IPv6 inner packet may not be fragmented by routers: DF set.
inline bool outer_df(DfPolicy policy, bool inner_v6, bool inner_df) {
  switch (policy) {
    case DfPolicy::set:
      return true;
    case DfPolicy::clear:
      return false;
    case DfPolicy::copy:
      break;
  }
  return inner_v6 || inner_df;
}

}  // namespace sealwire::pipelines::tunnel
