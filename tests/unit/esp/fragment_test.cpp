// Fragmentation before ESP, long and chained packets, and that every engine opens what every other
// sealed.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "pipelines/stages/fragment.h"
#include "pipelines/wire/ip.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

TEST(Fragment, NonDfPacketsAreCutBeforeEspAndEachPieceIsNumbered) {
  Pair pair;
  Inner inner;
  inner.payload = 3000;
  const Octets whole = packet_of(inner);
  auto outcomes =
      pair.a.egress({pair.a.from_inside({}), pair.a.from_inside(inner), pair.a.from_inside({})});
  ASSERT_EQ(outcomes.size(), 5U);  // two more pieces
  std::vector<std::uint32_t> numbers;
  Octets joined(3000);
  std::size_t octets = 0;
  for (const Outcome& outcome : outcomes) {
    ASSERT_EQ(outcome.drop, DropReason::none);
    EXPECT_LE(outcome.frame.size(), 14U + 1500U);
    numbers.push_back(wire::load_be<std::uint32_t>(outcome.frame.data() + 38));
    Outcome opened = pair.b.ingress_one(outcome.frame);
    ASSERT_EQ(opened.drop, DropReason::none);
    auto piece = wire::parse_ip({opened.frame.data() + 14, opened.frame.size() - 14});
    ASSERT_TRUE(piece);
    EXPECT_EQ(piece->ttl, 62);
    if (!piece->fragment) continue;
    auto field = wire::load_be<std::uint16_t>(opened.frame.data() + 20);
    const std::size_t at = (field & 0x1fffU) * 8U, length = piece->total_length - 20U;
    ASSERT_LE(at + length, 3000U);
    EXPECT_EQ((field & 0x2000U) != 0, at + length < 3000);
    std::memcpy(joined.data() + at, opened.frame.data() + 34, length);
    octets += length;
  }
  EXPECT_EQ(octets, 3000U);
  EXPECT_EQ(0, std::memcmp(joined.data(), whole.data() + 20, 3000));
  EXPECT_EQ(numbers, (std::vector<std::uint32_t>{1, 2, 3, 4, 5}));
}

TEST(Fragment, DfAndIpv6AreNotCut) {
  Pair pair;
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({.dont_fragment = true, .payload = 1480})).drop,
            DropReason::packet_too_big);
  Inner v6{.source = "fd00:1::10", .destination = "fd00:2::10", .payload = 1460};
  Outcome big = pair.a.egress_one(pair.a.from_inside(v6));
  EXPECT_EQ(big.drop, DropReason::packet_too_big);
  EXPECT_EQ(big.mark.mtu, 1446);
}

TEST(Fragment, ThePathMtuOfTheSaCounts) {
  TunnelOptions options;
  options.path_mtu = 1400;
  options.algorithm = crypto::Algorithm::aes_cbc_256_hmac_sha256_128;
  Pair pair(options);
  Outcome big = pair.a.egress_one(pair.a.from_inside({.dont_fragment = true, .payload = 1480}));
  ASSERT_EQ(big.drop, DropReason::packet_too_big);
  EXPECT_EQ(big.mark.mtu, 1326);  // what the clouds' guides say for 1400
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({.dont_fragment = true, .payload = 1306})).drop,
            DropReason::none);
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({.dont_fragment = true, .payload = 1307})).drop,
            DropReason::packet_too_big);
  options.algorithm = crypto::Algorithm::aes_gcm_256;
  Pair gcm(options);
  EXPECT_EQ(gcm.a.egress_one(gcm.a.from_inside({.dont_fragment = true, .payload = 1480})).mark.mtu,
            1346);
}

TEST(Fragment, TheLargestInnerPacketOfEveryAlgorithmJustFits) {
  for (const crypto::AlgorithmInfo& algorithm : crypto::all_algorithms()) {
    for (auto mtu : std::initializer_list<std::uint16_t>{576, 1280, 1400, 1499, 1500, 9000}) {
      TunnelOptions options;
      options.algorithm = algorithm.algorithm;
      options.path_mtu = mtu;
      options.udp = true;
      Pair pair(options);
      pair.a.gateway.outside[0].ip_mtu = 9000;
      const std::uint16_t largest = pair.a.slot->current.load()->largest_inner(mtu);
      Inner inner;
      inner.dont_fragment = true;
      inner.payload = static_cast<std::uint16_t>(largest - 20);
      Outcome fits = pair.a.egress_one(pair.a.from_inside(inner));
      ASSERT_EQ(fits.drop, DropReason::none) << algorithm.name << mtu;
      ASSERT_LE(fits.frame.size(), 14U + mtu);
      ASSERT_GT(fits.frame.size() + algorithm.block_length, 14U + mtu) << algorithm.name << mtu;
      ++inner.payload;
      ASSERT_EQ(pair.a.egress_one(pair.a.from_inside(inner)).drop, DropReason::packet_too_big);
    }
  }
}

TEST(Fragment, AnEmptyPoolDropsThePacketAndLeaksNothing) {
  Pair pair;
  static rte_mempool* const small = rte_pktmbuf_pool_create("small", 3, 0, 0, 2048, SOCKET_ID_ANY);
  pair.a.egress_line.pool = small;
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({.payload = 8000})).drop, DropReason::no_buffer);
  EXPECT_EQ(rte_mempool_avail_count(small), 3U);
}

TEST(Fragment, OptionsStayInTheFirstPieceUnlessTheyAreCopied) {
  // 24 octets of header: NOP, then Record Route of length 3 (not copied on fragmentation).
  Octets packet(24 + 400);
  packet[0] = 0x46;
  wire::store_be(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  packet[8] = 64;
  packet[9] = 17;
  packet[20] = 1;
  packet[21] = 7;
  packet[22] = 3;
  packet[23] = 4;
  wire::set_ipv4_checksum(packet.data(), 24);
  rte_mbuf* m = mbuf_of(frame_of(packet, {2, 0, 0, 0, 0, 1}));
  auto parsed = wire::parse_ip(packet);
  ASSERT_TRUE(parsed);
  ASSERT_EQ(fragment_count(*parsed, 300), 2);
  rte_mbuf* rest[1];
  ASSERT_TRUE(fragment_ipv4(m, 14, *parsed, 300, pool(), rest));
  EXPECT_EQ(octets_of(m)[14 + 21], 7);
  Octets second = octets_of(rest[0]);
  EXPECT_EQ(second[14 + 21], 1);
  EXPECT_TRUE(wire::parse_ip({second.data() + 14, second.size() - 14}));
  rte_pktmbuf_free(m);
  rte_pktmbuf_free(rest[0]);
}

TEST(Long, JumboAndChainedPacketsPassBothWays) {
  Pair pair;
  for (Site* site : {&pair.a, &pair.b}) {
    site->gateway.outside[0].ip_mtu = 9600;
    site->gateway.inside[0].ip_mtu = 9600;
  }
  for (auto payload : std::initializer_list<std::uint16_t>{1400, 4000, 8900}) {
    for (auto segment : std::initializer_list<std::size_t>{0, 64, 700}) {
      pair.a.segment = pair.b.segment = segment;
      Inner inner;
      inner.payload = payload;
      Outcome sealed = pair.a.egress_one(pair.a.from_inside(inner));
      ASSERT_EQ(sealed.drop, DropReason::none) << payload << ' ' << segment;
      Outcome opened = pair.b.ingress_one(sealed.frame);
      ASSERT_EQ(opened.drop, DropReason::none);
      inner.ttl = 62;
      EXPECT_EQ(Octets(opened.frame.begin() + 14, opened.frame.end()), packet_of(inner));
    }
  }
}

TEST(Engines, EachOpensWhatTheOtherSealed) {
  for (const crypto::AlgorithmInfo& algorithm : crypto::all_algorithms()) {
    for (bool esn : {false, true}) {
      for (bool forward : {false, true}) {
        const char* first = forward ? "openssl" : "ipsec-mb";
        const char* second = forward ? "ipsec-mb" : "openssl";
        TunnelOptions seal, open;
        seal.algorithm = open.algorithm = algorithm.algorithm;
        seal.esn = open.esn = esn;
        seal.engine = first;
        open.engine = second;
        Site a(1, 2), b(2, 1);
        a.outbound_sa(0x1001, seal);
        b.inbound_sa(0x1001, open);
        std::vector<Octets> frames, wire_frames;
        for (std::uint16_t size = 0; size < 60; ++size)
          frames.push_back(
              a.from_inside({.protocol = 99, .payload = static_cast<std::uint16_t>(size * 23)}));
        for (Outcome& sealed : a.egress(frames, first)) {
          ASSERT_EQ(sealed.drop, DropReason::none);
          wire_frames.push_back(sealed.frame);
        }
        std::uint16_t size = 0;
        for (Outcome& opened : b.ingress(wire_frames, second)) {
          ASSERT_EQ(opened.drop, DropReason::none) << algorithm.name << size;
          ASSERT_EQ(
              Octets(opened.frame.begin() + 14, opened.frame.end()),
              packet_of(
                  {.protocol = 99, .ttl = 62, .payload = static_cast<std::uint16_t>(size++ * 23)}));
        }
      }
    }
  }
}

RC_GTEST_PROP(SealOpen, IsTheIdentityOverSizesLayoutsAndModes, ()) {
  TunnelOptions options;
  options.algorithm =
      crypto::all_algorithms()[*rc::gen::inRange<std::size_t>(0, crypto::kAlgorithmCount)]
          .algorithm;
  options.outer_v6 = *rc::gen::arbitrary<bool>();
  options.esn = *rc::gen::arbitrary<bool>();
  options.udp = *rc::gen::arbitrary<bool>();
  options.first_sn = *rc::gen::element<std::uint64_t>(1, 2, 65535, 0x7fffffff);
  Pair pair(options);
  for (Site* site : {&pair.a, &pair.b}) {
    site->gateway.outside[0].ip_mtu = site->gateway.inside[0].ip_mtu = 9600;
    site->segment = *rc::gen::element<std::size_t>(0, 0, 200, 333, 2000);
  }
  std::vector<Octets> frames, expected, wire_frames;
  for (int i = *rc::gen::inRange(1, 12); i > 0; --i) {
    Inner inner;
    if (*rc::gen::arbitrary<bool>()) {
      inner.source = "fd00:1::10";
      inner.destination = "fd00:2::10";
    }
    inner.tos = *rc::gen::arbitrary<std::uint8_t>();
    inner.ttl = *rc::gen::inRange<std::uint8_t>(3, 255);
    inner.payload = *rc::gen::inRange<std::uint16_t>(4, 9300);
    frames.push_back(pair.a.from_inside(inner));
    inner.ttl = static_cast<std::uint8_t>(inner.ttl - 2);
    expected.push_back(packet_of(inner));
  }
  for (Outcome& sealed : pair.a.egress(frames)) {
    RC_ASSERT(sealed.drop == DropReason::none);
    RC_ASSERT(wire::parse_ip({sealed.frame.data() + 14, sealed.frame.size() - 14}).has_value());
    wire_frames.push_back(sealed.frame);
  }
  std::size_t i = 0;
  for (Outcome& opened : pair.b.ingress(wire_frames)) {
    RC_ASSERT(opened.drop == DropReason::none);
    RC_ASSERT(Octets(opened.frame.begin() + 14, opened.frame.end()) == expected[i++]);
  }
}

RC_GTEST_PROP(ParseIp, NeverReadsBeyondAndReadsWhatWasBuilt, (Octets rubbish)) {
  if (!rubbish.empty())
    rubbish[0] = static_cast<std::uint8_t>((rubbish[0] & 15U) |
                                           (*rc::gen::arbitrary<bool>() ? 0x40U : 0x60U));
  auto parsed = wire::parse_ip(rubbish);
  if (parsed) {
    RC_ASSERT(parsed->total_length <= rubbish.size());
    RC_ASSERT(parsed->upper_offset <= parsed->total_length);
  }
  Inner inner;
  inner.tos = *rc::gen::arbitrary<std::uint8_t>();
  inner.ttl = *rc::gen::arbitrary<std::uint8_t>();
  inner.protocol = *rc::gen::element<std::uint8_t>(1, 6, 17, 99);
  inner.payload = *rc::gen::inRange<std::uint16_t>(0, 2000);
  inner.dont_fragment = *rc::gen::arbitrary<bool>();
  Octets packet = packet_of(inner);
  auto good = wire::parse_ip(packet);
  RC_ASSERT(good.has_value());
  RC_ASSERT(good->tos == inner.tos);
  RC_ASSERT(good->ttl == inner.ttl);
  RC_ASSERT(good->protocol == inner.protocol);
  RC_ASSERT(good->dont_fragment == inner.dont_fragment);
  RC_ASSERT(good->total_length == packet.size());
}

TEST(Ipv6Extensions, AreWalkedAndCutOnesAreOpaque) {
  auto build = [](std::initializer_list<Octets> headers, std::uint8_t last) {
    Octets p(40);
    p[0] = 0x60;
    p[7] = 64;
    std::size_t next_at = 6;
    for (const Octets& h : headers) {
      p[next_at] = h[0];
      next_at = p.size();
      p.insert(p.end(), h.begin() + 1, h.end());
    }
    p[next_at] = last;
    p.resize(p.size() + 12, 0x11);
    wire::store_be(p.data() + 4, static_cast<std::uint16_t>(p.size() - 40));
    return p;
  };
  const Octets hop{0, 0, 0, 1, 4, 0, 0, 0, 0},
      options{60, 0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  auto parsed = wire::parse_ip(build({hop, options}, 17));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->protocol, 17);
  EXPECT_EQ(parsed->upper_offset, 40 + 8 + 16);
  Octets whole{44, 0, 0, 0, 0, 0, 0, 0, 1}, first{44, 0, 0, 0, 1, 0, 0, 0, 1},
      later{44, 0, 0, 0, 9, 0, 0, 0, 1};
  parsed = wire::parse_ip(build({whole}, 17));
  EXPECT_FALSE(parsed->fragment);
  EXPECT_EQ(parsed->upper_offset, 48);
  parsed = wire::parse_ip(build({first}, 17));
  EXPECT_TRUE(parsed->fragment);
  EXPECT_FALSE(parsed->later_fragment);
  EXPECT_EQ(parsed->upper_offset, 48);
  parsed = wire::parse_ip(build({later}, 17));
  EXPECT_TRUE(parsed->later_fragment);
  EXPECT_EQ(parsed->upper_offset, 0);
  Octets beyond{0, 0, 200, 1, 4, 0, 0, 0, 0};
  parsed = wire::parse_ip(build({beyond}, 17));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->upper_offset, 0);
  parsed = wire::parse_ip(build({hop, hop, hop, hop, hop, hop, hop, hop, hop}, 17));
  EXPECT_EQ(parsed->upper_offset, 0);
}

}  // namespace
}  // namespace sealwire::pipelines::test
