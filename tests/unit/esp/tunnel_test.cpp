// ESP tunnels end to end: what one gateway seals the other opens.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>

#include "pipelines/wire/ip.h"
#include "pipelines/wire/udp.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

Octets payload_of(const Octets& frame, std::size_t l2 = 14) {
  return {frame.begin() + static_cast<long>(l2), frame.end()};
}

// What site B hands to its host: the packet two hops on.
Octets two_hops(Inner inner) {
  inner.ttl = static_cast<std::uint8_t>(inner.ttl - 2);
  return packet_of(inner);
}

TEST(EspTunnel, GcmCarriesAnIpv4PacketThroughBothGateways) {
  Pair pair;
  Inner inner;
  Outcome sealed = pair.a.egress_one(pair.a.from_inside(inner));
  ASSERT_EQ(sealed.drop, DropReason::none);
  EXPECT_FALSE(sealed.to_inside);
  const Octets outer = payload_of(sealed.frame);
  auto parsed = wire::parse_ip(outer);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->protocol, wire::kProtocolEsp);
  EXPECT_EQ(parsed->total_length, outer.size());
  EXPECT_EQ(parsed->ttl, 64);
  EXPECT_EQ(wire::load_be<std::uint32_t>(outer.data() + 20), 0x1001U);
  EXPECT_EQ(wire::load_be<std::uint32_t>(outer.data() + 24), 1U);
  EXPECT_EQ(0, std::memcmp(sealed.frame.data(), pair.b.snapshot.outside[0].mac, 6));
  EXPECT_EQ(0, std::memcmp(sealed.frame.data() + 6, pair.a.snapshot.outside[0].mac, 6));

  Outcome opened = pair.b.ingress_one(sealed.frame);
  ASSERT_EQ(opened.drop, DropReason::none);
  EXPECT_TRUE(opened.to_inside);
  EXPECT_EQ(payload_of(opened.frame), two_hops(inner));
  EXPECT_EQ(opened.frame[0], 0x02);
  EXPECT_EQ(opened.frame[1], 0xaa);
}

using Mode = std::tuple<crypto::Algorithm, bool, bool, bool>;  // outer IPv6, ESN, UDP

class EspModes : public ::testing::TestWithParam<Mode> {};

TEST_P(EspModes, CarriesBothFamiliesAtEverySizeAroundTheBlockEdges) {
  TunnelOptions options;
  std::tie(options.algorithm, options.outer_v6, options.esn, options.udp) = GetParam();
  Pair pair(options);
  std::vector<Octets> frames, expected;
  for (std::uint16_t size = 0; size <= 40; ++size) {
    for (bool v6 : {false, true}) {
      Inner inner;
      if (v6) {
        inner.source = "fd00:1::10";
        inner.destination = "fd00:2::10";
      }
      inner.payload = static_cast<std::uint16_t>(size < 33 ? size : 1300 + size);
      inner.protocol = 50 + 49;  // without ports
      frames.push_back(pair.a.from_inside(inner));
      expected.push_back(two_hops(inner));
    }
  }
  for (std::size_t i = 0; i < frames.size(); i += 41) {
    std::vector<Octets> part(frames.begin() + static_cast<long>(i),
                             frames.begin() + static_cast<long>(i + 41));
    std::vector<Octets> wire_frames;
    for (Outcome& sealed : pair.a.egress(part)) {
      ASSERT_EQ(sealed.drop, DropReason::none);
      auto outer = wire::parse_ip({sealed.frame.data() + 14, sealed.frame.size() - 14});
      ASSERT_TRUE(outer);
      ASSERT_EQ(outer->protocol, options.udp ? wire::kProtocolUdp : wire::kProtocolEsp);
      ASSERT_EQ(outer->v6, options.outer_v6);
      const std::uint8_t* upper = sealed.frame.data() + 14 + outer->upper_offset;
      if (options.udp) {
        auto length = static_cast<std::uint16_t>(outer->total_length - outer->upper_offset);
        ASSERT_EQ(wire::load_be<std::uint16_t>(upper), 4500);
        ASSERT_EQ(wire::load_be<std::uint16_t>(upper + 2), 4500);
        ASSERT_EQ(wire::load_be<std::uint16_t>(upper + 4), length);
        if (options.outer_v6)
          ASSERT_TRUE(wire::ipv6_upper_checksum_good(sealed.frame.data() + 14, upper, length, 17));
        else
          ASSERT_EQ(wire::load_be<std::uint16_t>(upper + 6), 0);
        upper += 8;
      }
      ASSERT_EQ(wire::load_be<std::uint32_t>(upper), 0x1001U);
      wire_frames.push_back(sealed.frame);
    }
    std::vector<Outcome> opened = pair.b.ingress(wire_frames);
    for (std::size_t k = 0; k < opened.size(); ++k) {
      ASSERT_EQ(opened[k].drop, DropReason::none) << i + k;
      ASSERT_EQ(payload_of(opened[k].frame), expected[i + k]) << i + k;
    }
  }
}

std::string mode_name(const ::testing::TestParamInfo<Mode>& info) {
  std::string name(crypto::info(std::get<0>(info.param)).name);
  for (char& c : name)
    if (c == '-') c = '_';
  if (std::get<1>(info.param)) name += "_in_ipv6";
  if (std::get<2>(info.param)) name += "_esn";
  if (std::get<3>(info.param)) name += "_udp";
  return name;
}

std::vector<crypto::Algorithm> every_algorithm() {
  std::vector<crypto::Algorithm> all;
  for (const crypto::AlgorithmInfo& info : crypto::all_algorithms()) all.push_back(info.algorithm);
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, EspModes,
                         ::testing::Combine(::testing::ValuesIn(every_algorithm()),
                                            ::testing::Bool(), ::testing::Bool(),
                                            ::testing::Bool()),
                         mode_name);

}  // namespace
}  // namespace sealwire::pipelines::test
