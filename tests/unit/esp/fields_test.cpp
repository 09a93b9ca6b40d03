// What the tunnel does to ECN, DSCP, DF, TTL and the outer header's other fields.
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "pipelines/stages/tunnel.h"
#include "pipelines/wire/ip.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

void set_outer_tos(Octets& frame, std::uint8_t tos) {
  if (frame[14] >> 4 == 6) {
    wire::store_be(frame.data() + 14, static_cast<std::uint16_t>(0x6000U | tos << 4U));
    return;
  }
  frame[15] = tos;
  wire::set_ipv4_checksum(frame.data() + 14, 20);
}

std::uint8_t tos_of(const Octets& frame) {
  auto parsed = wire::parse_ip({frame.data() + 14, frame.size() - 14});
  return parsed ? parsed->tos : std::uint8_t{0xff};
}

// RFC 6040 Figure 4, written out again: inner, outer, result or -1 for drop. 0 Not-ECT, 1 ECT(1), 2
// ECT(0), 3 CE.
constexpr int kRfc6040[16][3] = {
    {0, 0, 0}, {0, 2, 0}, {0, 1, 0}, {0, 3, -1}, {2, 0, 2}, {2, 2, 2}, {2, 1, 1}, {2, 3, 3},
    {1, 0, 1}, {1, 2, 1}, {1, 1, 1}, {1, 3, 3},  {3, 0, 3}, {3, 2, 3}, {3, 1, 3}, {3, 3, 3},
};

class Families : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  bool outer_v6 = std::get<0>(GetParam()), inner_v6 = std::get<1>(GetParam());
  Inner inner(std::uint8_t tos) {
    Inner i;
    if (inner_v6) {
      i.source = "fd00:1::10";
      i.destination = "fd00:2::10";
    }
    i.tos = tos;
    return i;
  }
  TunnelOptions options() {
    TunnelOptions o;
    o.outer_v6 = outer_v6;
    return o;
  }
};

TEST_P(Families, All16EcnPairsAreDecapsulatedAsRfc6040Says) {
  Pair pair(options());
  for (const auto& [in, out, expected] : kRfc6040) {
    const auto tos = static_cast<std::uint8_t>(0x28 | in);
    Octets frame = pair.a.egress_one(pair.a.from_inside(inner(tos))).frame;
    EXPECT_EQ(tos_of(frame), tos);  // normal mode copies
    set_outer_tos(frame, static_cast<std::uint8_t>(0xb8 | out));
    Outcome opened = pair.b.ingress_one(frame);
    if (expected < 0) {
      EXPECT_EQ(opened.drop, DropReason::ecn_invalid);
      continue;
    }
    ASSERT_EQ(opened.drop, DropReason::none) << in << out;
    EXPECT_EQ(tos_of(opened.frame), 0x28 | expected)
        << in << out;  // checksum right, DSCP untouched
  }
  EXPECT_EQ(pair.b.sad.find_inbound(0x1001)->runtime.ecn_drops.read(), 1U);
}

TEST_P(Families, CompatibilityModeSendsNotEct) {
  TunnelOptions o = options();
  o.ecn = EcnPolicy::compatibility;
  Pair pair(o);
  for (std::uint8_t ecn = 0; ecn < 4; ++ecn) {
    const auto tos = static_cast<std::uint8_t>(0x28 | ecn);
    Octets frame = pair.a.egress_one(pair.a.from_inside(inner(tos))).frame;
    EXPECT_EQ(tos_of(frame), 0x28);
    EXPECT_EQ(tos_of(pair.b.ingress_one(frame).frame), tos);
  }
}

TEST_P(Families, DscpIsCopiedOrFixed) {
  Pair copied(options());
  EXPECT_EQ(tos_of(copied.a.egress_one(copied.a.from_inside(inner(0xba))).frame), 0xba);
  TunnelOptions o = options();
  o.dscp = 34;
  Pair fixed(o);
  Octets frame = fixed.a.egress_one(fixed.a.from_inside(inner(0xba))).frame;
  EXPECT_EQ(tos_of(frame), 34U << 2U | 2U);
  EXPECT_EQ(tos_of(fixed.b.ingress_one(frame).frame), 0xba);
}

TEST_P(Families, TtlIsDecrementedOnceByEachGatewayAndTheOuterOneIsItsOwn) {
  Pair pair(options());
  Inner i = inner(0);
  i.ttl = 9;
  Octets frame = pair.a.egress_one(pair.a.from_inside(i)).frame;
  EXPECT_EQ(wire::parse_ip({frame.data() + 14, frame.size() - 14})->ttl, 64);
  Octets opened = pair.b.ingress_one(frame).frame;
  EXPECT_EQ(wire::parse_ip({opened.data() + 14, opened.size() - 14})->ttl, 7);
  i.ttl = 2;
  frame = pair.a.egress_one(pair.a.from_inside(i)).frame;
  EXPECT_EQ(pair.b.ingress_one(frame).drop, DropReason::ttl_expired);
  for (auto ttl : std::initializer_list<std::uint8_t>{0, 1}) {
    i.ttl = ttl;
    EXPECT_EQ(pair.a.egress_one(pair.a.from_inside(i)).drop, DropReason::ttl_expired);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families, ::testing::Combine(::testing::Bool(), ::testing::Bool()));

TEST(OuterHeader, DfIsCopiedSetOrCleared) {
  for (DfPolicy policy : {DfPolicy::copy, DfPolicy::set, DfPolicy::clear}) {
    TunnelOptions options;
    options.df = policy;
    Pair pair(options);
    for (bool inner_df : {false, true}) {
      Octets frame = pair.a.egress_one(pair.a.from_inside({.dont_fragment = inner_df})).frame;
      bool expected = policy == DfPolicy::set || (policy == DfPolicy::copy && inner_df);
      EXPECT_EQ((frame[20] & 0x40) != 0, expected);
    }
    Octets frame =
        pair.a.egress_one(pair.a.from_inside({.source = "fd00:1::10", .destination = "fd00:2::10"}))
            .frame;
    EXPECT_EQ((frame[20] & 0x40) != 0, policy != DfPolicy::clear);  // IPv6 counts as DF
  }
}

TEST(OuterHeader, EveryHeaderSumsUpAndIdsDiffer) {
  Pair pair;
  std::set<std::uint16_t> ids;
  for (int i = 0; i < 300; ++i) {
    Inner inner;
    inner.tos = static_cast<std::uint8_t>(i * 7);
    inner.payload = static_cast<std::uint16_t>(8 + i * 3);
    Octets frame = pair.a.egress_one(pair.a.from_inside(inner)).frame;
    ASSERT_EQ(wire::fold(wire::sum_words(frame.data() + 14, 20)), 0xffff) << i;
    ids.insert(wire::load_be<std::uint16_t>(frame.data() + 18));
  }
  EXPECT_EQ(ids.size(), 300U);
}

TEST(OuterHeader, CarriesTheConfiguredTtl) {
  Pair pair;
  TunnelOptions options;
  OutboundSaParameters p = pair.a.outbound_parameters(0x1009, options);
  p.ttl = 7;
  ASSERT_TRUE(pair.a.sad.install(*pair.a.slot, std::move(p)));
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({})).frame[22], 7);
}

}  // namespace
}  // namespace sealwire::pipelines::test
