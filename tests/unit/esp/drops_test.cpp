// One negative test for every reason for which the ESP and gateway stages drop, and bad input of
// every kind.
#include <gtest/gtest.h>

#include <cstring>

#include "crypto/nonce.h"
#include "pipelines/wire/esp.h"
#include "pipelines/wire/ip.h"
#include "pipelines/wire/udp.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

struct Esp : ::testing::Test {
  Pair pair;
  Site &a = pair.a, &b = pair.b;
  InboundSa& sa() { return *b.sad.find_inbound(0x1001); }
  Octets sealed(const Inner& inner = {}) { return a.egress_one(a.from_inside(inner)).frame; }

  // A sealed packet of `plaintext` (inner packet, padding and trailer as given), by GCM-AES-128 as
  // site A would.
  Octets crafted(const Octets& plaintext, std::uint32_t sn = 1,
                 std::optional<std::uint64_t> iv = {}) {
    Octets frame(14 + 20 + 16);
    std::memcpy(frame.data(), b.snapshot.outside[0].mac, 6);
    std::memcpy(frame.data() + 6, a.snapshot.outside[0].mac, 6);
    frame[12] = 8;
    std::uint8_t* outer = frame.data() + 14;
    outer[0] = 0x45;
    wire::store_be(outer + 2, static_cast<std::uint16_t>(20 + 16 + plaintext.size() + 16));
    outer[8] = 64;
    outer[9] = 50;
    std::memcpy(outer + 12, ip("192.0.2.1").octets.data(), 4);
    std::memcpy(outer + 16, ip("192.0.2.2").octets.data(), 4);
    wire::set_ipv4_checksum(outer, 20);
    wire::store_be(outer + 20, std::uint32_t{0x1001});
    wire::store_be(outer + 24, sn);
    wire::store_be(outer + 28, iv.value_or(std::uint64_t{0xabcdef00} + sn));
    frame.insert(frame.end(), plaintext.begin(), plaintext.end());
    frame.resize(frame.size() + 16);
    auto batch = std::make_unique<crypto::AeadBatch>();
    batch->reset(crypto::Direction::seal);
    auto key = engine().make_key(crypto::Algorithm::aes_gcm_128,
                                 key_material(crypto::Algorithm::aes_gcm_128));
    crypto::AeadOp& op = batch->add();
    op.key = key->get();
    op.aad = frame.data() + 34;
    op.aad_length = 8;
    op.data = frame.data() + 50;
    op.length = static_cast<std::uint32_t>(plaintext.size());
    op.tag = op.data + op.length;
    crypto::nonce::esp({1, 2, 3, 4}, frame.data() + 42, op.iv);
    engine().submit(*batch);
    EXPECT_EQ(op.status, crypto::OpStatus::ok);
    return frame;
  }
  static Octets with_trailer(Octets inner, std::uint8_t next_header, std::size_t tfc = 0) {
    inner.resize(inner.size() + tfc);
    std::uint8_t pad = 0;
    for (; (inner.size() + 2) % 4 != 0;) inner.push_back(++pad);
    inner.push_back(pad);
    inner.push_back(next_header);
    return inner;
  }
};

TEST_F(Esp, CraftedPacketsAreGoodToBeginWith) {
  Outcome opened = b.ingress_one(crafted(with_trailer(packet_of({}), 4)));
  ASSERT_EQ(opened.drop, DropReason::none);
  Inner inner;
  inner.ttl = 63;
  EXPECT_EQ(Octets(opened.frame.begin() + 14, opened.frame.end()), packet_of(inner));
}

TEST_F(Esp, TfcPaddingIsCutOff) {
  for (auto tfc : std::initializer_list<std::size_t>{1, 3, 64, 500}) {
    Outcome opened = b.ingress_one(
        crafted(with_trailer(packet_of({}), 4, tfc), static_cast<std::uint32_t>(tfc)));
    ASSERT_EQ(opened.drop, DropReason::none) << tfc;
    EXPECT_EQ(opened.frame.size(), 14U + packet_of({}).size());
  }
}

TEST_F(Esp, DummyPacketsAreConsumed) {
  EXPECT_EQ(b.ingress_one(crafted(with_trailer(Octets(10), 59))).drop, DropReason::esp_dummy);
  EXPECT_EQ(info(DropReason::esp_dummy).kind, DropKind::used);
  EXPECT_EQ(sa().runtime.dummies.read(), 1U);
  EXPECT_EQ(b.ingress_one(crafted(with_trailer(Octets(0), 59), 1)).drop,
            DropReason::esp_replay);  // it had a number
}

// The octets before the payload are the IV, which its sender chooses: they must not pass for
// padding.
TEST_F(Esp, PaddingDoesNotReachBackIntoTheIv) {
  EXPECT_EQ(b.ingress_one(crafted({1, 2, 2, 59}, 1)).drop, DropReason::esp_dummy);
  EXPECT_EQ(b.ingress_one(crafted({8, 9, 9, 59}, 2, 0x0001020304050607)).drop,
            DropReason::esp_bad_padding);
  EXPECT_EQ(b.ingress_one(crafted({3, 4, 3, 59}, 3, 0x0000000000000001)).drop,
            DropReason::esp_bad_padding);
  EXPECT_EQ(b.ingress_one(crafted({2, 3, 3, 59}, 4, 0x0000000000000001)).drop,
            DropReason::esp_bad_padding);
}

// Of whole words, with room for the trailer (RFC 4303 §2.4).
TEST_F(Esp, AuthenticPayloadsOfNoPossibleLengthAreMalformed) {
  std::uint32_t sn = 0;
  for (const Octets& plain :
       {Octets{}, Octets{59}, Octets{0, 59}, Octets{1, 1, 59}, Octets{1, 2, 3, 4, 4, 59}})
    EXPECT_EQ(b.ingress_one(crafted(plain, ++sn)).drop, DropReason::esp_malformed);
}

TEST_F(Esp, BadPaddingIsDropped) {
  Octets plain = with_trailer(packet_of({.payload = 61}), 4);  // 1 octet of padding
  ASSERT_EQ(plain[plain.size() - 2], 1);
  plain[plain.size() - 3] = 2;  // not 1
  EXPECT_EQ(b.ingress_one(crafted(plain, 1)).drop, DropReason::esp_bad_padding);
  plain[plain.size() - 3] = 1;
  plain[plain.size() - 2] = 255;  // more than there is
  EXPECT_EQ(b.ingress_one(crafted(plain, 2)).drop, DropReason::esp_bad_padding);
  EXPECT_EQ(b.ingress_one(crafted({255, 4, 2, 4}, 3)).drop, DropReason::esp_bad_padding);
  EXPECT_EQ(sa().runtime.malformed.read(), 3U);
  // Authentic all the same: the numbers are spent.
  EXPECT_EQ(b.ingress_one(crafted(with_trailer(packet_of({}), 4), 1)).drop, DropReason::esp_replay);
}

TEST_F(Esp, OtherNextHeadersAreDropped) {
  std::uint32_t sn = 0;
  for (auto next : std::initializer_list<std::uint8_t>{0, 1, 6, 17, 50, 255})
    EXPECT_EQ(b.ingress_one(crafted(with_trailer(packet_of({}), next), ++sn)).drop,
              DropReason::esp_bad_next_header);
}

TEST_F(Esp, AnInnerPacketThatIsNotWhatItSaysIsDropped) {
  EXPECT_EQ(b.ingress_one(crafted(with_trailer(packet_of({}), 41), 1)).drop,
            DropReason::malformed_ip);
  Octets inner = packet_of({});
  inner[10] ^= 1;  // header checksum
  EXPECT_EQ(b.ingress_one(crafted(with_trailer(inner, 4), 2)).drop, DropReason::malformed_ip);
  inner = packet_of({});
  wire::store_be(inner.data() + 2,
                 static_cast<std::uint16_t>(inner.size() + 8));  // longer than it is
  wire::set_ipv4_checksum(inner.data(), 20);
  EXPECT_EQ(b.ingress_one(crafted(with_trailer(inner, 4), 3)).drop, DropReason::malformed_ip);
  EXPECT_EQ(b.ingress_one(crafted({1, 2, 2, 4}, 4)).drop, DropReason::malformed_ip);
}

TEST_F(Esp, InnerPacketsOutsideTheSelectorsAreDropped) {
  std::uint32_t sn = 0;
  auto open = [&](const Inner& inner) {
    return b.ingress_one(crafted(with_trailer(packet_of(inner), 4), ++sn)).drop;
  };
  EXPECT_EQ(open({.source = "10.3.0.1"}), DropReason::esp_selector_mismatch);
  EXPECT_EQ(open({.destination = "10.3.0.1"}), DropReason::esp_selector_mismatch);
  EXPECT_EQ(sa().runtime.selector_drops.read(), 2U);
  TunnelOptions options;
  Selector only;
  only.source = {prefix("10.1.0.0/16")};
  only.protocol = 17;
  only.destination_ports = {{2000, 2000}};
  options.selectors = {only};
  ASSERT_TRUE(b.sad.replace_inbound(b.inbound_parameters(0x1001, options)));
  EXPECT_EQ(open({}), DropReason::none);
  EXPECT_EQ(open({.destination_port = 2001}), DropReason::esp_selector_mismatch);
  EXPECT_EQ(open({.protocol = 6}), DropReason::esp_selector_mismatch);
  EXPECT_EQ(open({.fragment = 10}), DropReason::esp_selector_mismatch);  // ports unknown
  auto none = b.inbound_parameters(0x1001, options);
  none.selectors.clear();
  ASSERT_TRUE(b.sad.replace_inbound(std::move(none)));
  EXPECT_EQ(open({}), DropReason::esp_selector_mismatch);
}

TEST_F(Esp, UnknownSpiWrongDestinationAndWrongEncapsulationAreTheSame) {
  Octets frame = sealed();
  frame[37] ^= 1;
  EXPECT_EQ(b.ingress_one(frame).drop, DropReason::esp_unknown_spi);
  GatewayPort more = b.gateway.outside[0];
  more.addresses.push_back(prefix("192.0.2.50/24"));
  b.gateway = make_gateway(b.gateway.inside, {more}, {}, b.neighbours);
  frame = sealed();
  frame[33] = 50;  // another address of ours
  wire::set_ipv4_checksum(frame.data() + 14, 20);
  EXPECT_EQ(b.ingress_one(frame).drop, DropReason::esp_unknown_spi);
  TunnelOptions udp;
  udp.udp = true;
  a.outbound_sa(0x1001, udp);  // the peer's SA expects none
  EXPECT_EQ(b.ingress_one(sealed()).drop, DropReason::esp_unknown_spi);
}

TEST_F(Esp, EveryOctetFromSpiToIcvIsAuthentic) {
  for (bool esn : {false, true}) {
    for (auto algorithm :
         {crypto::Algorithm::aes_gcm_128, crypto::Algorithm::chacha20_poly1305,
          crypto::Algorithm::aes_gmac_256, crypto::Algorithm::aes_cbc_256_hmac_sha256_128,
          crypto::Algorithm::null_hmac_sha1_96}) {
      TunnelOptions options;
      options.algorithm = algorithm;
      options.esn = esn;
      Pair p(options);
      Octets good = p.a.egress_one(p.a.from_inside({})).frame;
      InboundSa& in = *p.b.sad.find_inbound(0x1001);
      std::uint64_t failed = 0;
      for (std::size_t at = 34; at < good.size(); ++at) {
        Octets bad = good;
        bad[at] ^= 0x10;
        DropReason drop = p.b.ingress_one(bad).drop;
        if (at < 38) {
          EXPECT_EQ(drop, DropReason::esp_unknown_spi) << at;
        } else if (esn && at < 42 && drop == DropReason::esp_replay) {
          // The high word that a low word so far back would need does not exist yet.
        } else {
          EXPECT_EQ(drop, DropReason::esp_auth_failed) << at << crypto::info(algorithm).name;
          ++failed;
        }
      }
      EXPECT_EQ(in.runtime.auth_failed.read(), failed);
      EXPECT_EQ(in.window.top().value(), 0U);  // nothing forged moved the window
      EXPECT_EQ(p.b.ingress_one(good).drop, DropReason::none);
    }
  }
}

TEST_F(Esp, TruncatedAtEveryLengthNothingPassesOrCrashes) {
  for (bool outer_v6 : {false, true}) {
    for (bool udp : {false, true}) {
      TunnelOptions options;
      options.outer_v6 = outer_v6;
      options.udp = udp;
      Pair p(options);
      const Octets good = p.a.egress_one(p.a.from_inside({})).frame;
      for (std::size_t length = 0; length < good.size(); ++length) {
        Octets cut(good.begin(), good.begin() + static_cast<long>(length));
        EXPECT_NE(p.b.ingress_one(cut).drop, DropReason::none) << length;
        // And with lengths that agree with the cut.
        const std::size_t header = outer_v6 ? 54 : 34;
        if (length < header) continue;
        if (outer_v6) {
          wire::store_be(cut.data() + 18, static_cast<std::uint16_t>(length - 54));
        } else {
          wire::store_be(cut.data() + 16, static_cast<std::uint16_t>(length - 14));
          wire::set_ipv4_checksum(cut.data() + 14, 20);
        }
        if (udp && length >= header + 8)
          wire::store_be(cut.data() + header + 4, static_cast<std::uint16_t>(length - header));
        DropReason drop = p.b.ingress_one(cut).drop;
        EXPECT_TRUE(drop == DropReason::esp_malformed || drop == DropReason::esp_auth_failed ||
                    drop == DropReason::policy_discard)
            << length << info(drop).name;
      }
      EXPECT_EQ(p.b.ingress_one(good).drop, DropReason::none);
    }
  }
}

TEST_F(Esp, CutInnerFramesNeverLeaveTheInside) {
  for (const char* source : {"10.1.0.10", "fd00:1::10"}) {
    Inner inner;
    inner.source = source;
    if (ip(source).v6) inner.destination = "fd00:2::10";
    const Octets good = a.from_inside(inner);
    for (std::size_t length = 0; length < good.size(); ++length) {
      DropReason drop =
          a.egress_one(Octets(good.begin(), good.begin() + static_cast<long>(length))).drop;
      EXPECT_TRUE(drop == DropReason::malformed_ethernet || drop == DropReason::malformed_ip ||
                  drop == DropReason::not_ip)
          << length;
    }
  }
}

TEST_F(Esp, EthernetPaddingIsNotTunnelled) {
  Inner inner;
  inner.payload = 8;
  Octets frame = a.from_inside(inner);
  frame.resize(60, 0xee);
  Octets opened = b.ingress_one(a.egress_one(frame).frame).frame;
  EXPECT_EQ(opened.size(), 14U + 28U);
}

TEST_F(Esp, NatTPortsTakeKeepalivesAndRefuseRubbish) {
  auto datagram = [&](Octets payload) {
    Inner inner;
    inner.source = "192.0.2.1";
    inner.destination = "192.0.2.2";
    inner.destination_port = 4500;
    inner.payload = static_cast<std::uint16_t>(8 + payload.size());
    Octets packet = packet_of(inner);
    wire::store_be(packet.data() + 24, inner.payload);
    std::copy(payload.begin(), payload.end(), packet.begin() + 28);
    return frame_of(packet, b.snapshot.outside[0].mac);
  };
  EXPECT_EQ(b.ingress_one(datagram({0xff})).drop, DropReason::nat_keepalive);
  EXPECT_EQ(b.ingress_one(datagram({0xfe})).drop, DropReason::esp_malformed);
  EXPECT_EQ(b.ingress_one(datagram({})).drop, DropReason::esp_malformed);
  EXPECT_EQ(b.ingress_one(datagram({0, 0, 0})).drop, DropReason::esp_malformed);
  EXPECT_EQ(b.ingress_one(datagram({0, 0, 0x10, 1})).drop,
            DropReason::esp_malformed);  // an SPI and no more
  Outcome ike = b.ingress_one(datagram({0, 0, 0, 0, 1, 2, 3, 4}));
  EXPECT_EQ(ike.drop, DropReason::punted);
  EXPECT_EQ(ike.mark.reason, PuntReason::own);
  Octets bad = datagram({0, 0, 0x10, 1, 0, 0, 0, 1});
  wire::store_be(bad.data() + 38, std::uint16_t{200});  // UDP length beyond the packet
  EXPECT_EQ(b.ingress_one(bad).drop, DropReason::esp_malformed);
}

TEST_F(Esp, FramesForOthersAndOtherProtocolsAreDropped) {
  Octets frame = a.from_inside({});
  frame[5] ^= 1;
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::not_for_us);
  frame = a.from_inside({});
  frame[12] = 0x88;
  frame[13] = 0xcc;  // LLDP
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::not_ip);
  frame = a.from_inside({});
  frame[0] = 0x03;  // multicast at layer 2, not above
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::not_for_us);
  frame = a.from_inside({.destination = "224.0.0.5"});
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::not_for_us);
  frame = a.from_inside({.source = "fe80::1", .destination = "fd00:2::10"});
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::not_for_us);
  frame = a.from_inside({});
  frame[12] = 0x86;
  frame[13] = 0xdd;  // says IPv6
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::malformed_ip);
  frame = a.from_inside({});
  frame[24] ^= 0x40;  // header checksum
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::malformed_ip);
}

TEST_F(Esp, NoRouteAndNoNeighbour) {
  TunnelOptions options;
  OutboundSaParameters p = a.outbound_parameters(0x1005, options);
  p.destination = ip("203.0.113.1");
  ASSERT_TRUE(a.sad.install(*a.slot, std::move(p)));
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::no_route);
  p = a.outbound_parameters(0x1006, options);
  p.destination = ip("192.0.2.200");
  ASSERT_TRUE(a.sad.install(*a.slot, std::move(p)));
  Outcome waiting = a.egress_one(a.from_inside({}));
  EXPECT_EQ(waiting.drop, DropReason::no_neighbour);
  EXPECT_EQ(waiting.mark.next_hop, ip("192.0.2.200"));
  EXPECT_TRUE(waiting.mark.to_outside);
  EXPECT_EQ(waiting.frame, a.from_inside({}));  // not touched
  // Inbound.
  TunnelOptions wide;
  wide.selectors = {Selector{}};
  ASSERT_TRUE(b.sad.replace_inbound(b.inbound_parameters(0x1001, wide)));
  EXPECT_EQ(
      b.ingress_one(crafted(with_trailer(packet_of({.destination = "10.77.0.1"}), 4), 1)).drop,
      DropReason::no_route);
  EXPECT_EQ(
      b.ingress_one(crafted(with_trailer(packet_of({.destination = "10.2.0.99"}), 4), 2)).drop,
      DropReason::no_neighbour);
  EXPECT_EQ(b.sad.find_inbound(0x1001)->runtime.packets.read(), 1U);  // it goes on once resolved
  // The route of the redundant pair whose neighbour answers is taken.
  LinePort second = a.snapshot.outside[0];
  second.mac[4] = 9;
  a.snapshot.outside.push_back(second);
  GatewayPort more;
  more.addresses = {prefix("198.51.100.1/24")};
  a.gateway = make_gateway(a.gateway.inside, {a.gateway.outside[0], more},
                           {{prefix("203.0.113.0/24"), ip("192.0.2.200"), Side::outside, 0},
                            {prefix("203.0.113.0/24"), ip("198.51.100.2"), Side::outside, 1}},
                           a.neighbours);
  a.neighbours.resolve(*a.neighbours.get(Side::outside, 1, ip("198.51.100.2")), {2, 7, 7, 7, 7, 7});
  p = a.outbound_parameters(0x1007, options);
  p.destination = ip("203.0.113.1");
  ASSERT_TRUE(a.sad.install(*a.slot, std::move(p)));
  Outcome sent = a.egress_one(a.from_inside({}));
  ASSERT_EQ(sent.drop, DropReason::none);
  EXPECT_EQ(sent.port, 1);
  EXPECT_EQ(sent.frame[1], 7);
  EXPECT_EQ(sent.frame[10], 9);
}

TEST_F(Esp, SequenceNumbersEndAndALimitRaisedLetsGoOn) {
  TunnelOptions options;
  options.first_sn = 0xfffffffe;
  a.outbound_sa(0x1010, options);
  auto outcomes = a.egress(std::vector<Octets>(4, a.from_inside({})));
  EXPECT_EQ(outcomes[0].drop, DropReason::none);
  EXPECT_EQ(outcomes[1].drop, DropReason::none);
  EXPECT_EQ(wire::load_be<std::uint32_t>(outcomes[1].frame.data() + 38), 0xffffffffU);
  EXPECT_EQ(outcomes[2].drop, DropReason::esp_sn_exhausted);
  EXPECT_EQ(outcomes[3].drop, DropReason::esp_sn_exhausted);
  raise_limit(*a.slot->current.load(), ~0ULL, ~0ULL);  // without ESN there is no more
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::esp_sn_exhausted);
  auto event = a.sad.poll_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, SaEventKind::sn_exhausted);
  EXPECT_FALSE(a.sad.poll_event());

  options.esn = true;
  options.first_sn = ~0ULL - 1;
  a.outbound_sa(0x1012, options);
  outcomes = a.egress(std::vector<Octets>(3, a.from_inside({})));
  EXPECT_EQ(outcomes[0].drop, DropReason::none);
  EXPECT_EQ(outcomes[1].drop, DropReason::esp_sn_exhausted);
  EXPECT_EQ(outcomes[2].drop, DropReason::esp_sn_exhausted);
  ASSERT_TRUE(a.sad.poll_event());

  options.esn = false;
  options.first_sn = 1;
  options.sn_limit = 3;
  a.outbound_sa(0x1011, options);
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::none);
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::none);
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::esp_sn_exhausted);
  raise_limit(*a.slot->current.load(), 4, 3);
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::none);
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::esp_sn_exhausted);
  std::vector<SaEventKind> kinds;
  while (auto next = a.sad.poll_event()) kinds.push_back(next->kind);
  EXPECT_EQ(kinds, (std::vector{SaEventKind::sn_exhausted, SaEventKind::sn_low,
                                SaEventKind::sn_exhausted}));
}

TEST_F(Esp, LowWaterIsToldOnceForEachRaisedLimitAmidABurst) {
  TunnelOptions options;
  options.sn_limit = 100;
  a.outbound_sa(0x1013, options);
  OutboundSa& sa = *a.slot->current.load();
  const auto told = [&](std::size_t packets) {
    for (const Outcome& one : a.egress(std::vector<Octets>(packets, a.from_inside({}))))
      EXPECT_EQ(one.drop, DropReason::none);
    std::vector<SaEventKind> kinds;
    while (auto next = a.sad.poll_event()) kinds.push_back(next->kind);
    return kinds;
  };
  const std::vector<SaEventKind> none, low{SaEventKind::sn_low};
  raise_limit(sa, 100, 5);
  EXPECT_EQ(told(4), none);  // 1 to 4
  EXPECT_EQ(told(4), low);   // 5 to 8
  EXPECT_EQ(told(4), none);
  raise_limit(sa, 200, 20);
  EXPECT_EQ(told(4), none);  // 13 to 16
  EXPECT_EQ(told(4), low);   // 17 to 20
  EXPECT_EQ(sa.runtime.next_sn.load(), 21U);
  EXPECT_EQ(sa.runtime.packets.read(), 20U);
  EXPECT_EQ(sa.runtime.octets.read(), 20U * packet_of({}).size());
}

TEST_F(Esp, LifetimesRaiseOneSoftEventAndEndTheSaAtTheHardLimit) {
  const std::uint64_t octets = packet_of({}).size();
  for (bool by_octets : {false, true}) {
    LifetimeLimits limits;
    (by_octets ? limits.soft_octets : limits.soft_packets) = by_octets ? 3 * octets : 3;
    (by_octets ? limits.hard_octets : limits.hard_packets) = by_octets ? 5 * octets : 5;
    TunnelOptions options;
    options.lifetime = limits;
    a.outbound_sa(0x1020, options);
    b.retired.clear();
    ASSERT_TRUE(b.sad.replace_inbound(b.inbound_parameters(0x1020, {})));
    for (int i = 0; i < 8; ++i)
      EXPECT_EQ(a.egress_one(a.from_inside({})).drop,
                i < 5 ? DropReason::none : DropReason::esp_lifetime_expired);
    auto soft = a.sad.poll_event();
    ASSERT_TRUE(soft);
    EXPECT_EQ(soft->kind, by_octets ? SaEventKind::soft_octets : SaEventKind::soft_packets);
    EXPECT_EQ(soft->cookie, 0x1020U);
    EXPECT_FALSE(soft->inbound);
    auto hard = a.sad.poll_event();
    ASSERT_TRUE(hard);
    EXPECT_EQ(hard->kind, SaEventKind::hard);
    EXPECT_FALSE(a.sad.poll_event());
    EXPECT_EQ(a.slot->current.load()->runtime.packets.read(), 5U);
    EXPECT_EQ(a.slot->current.load()->runtime.lifetime_drops.read(), 3U);
    // The same on the way in.
    TunnelOptions open;
    a.outbound_sa(0x1021, open);
    ASSERT_TRUE(b.sad.replace_inbound(b.inbound_parameters(0x1021, options)));
    for (int i = 0; i < 8; ++i)
      EXPECT_EQ(b.ingress_one(sealed()).drop,
                i < 5 ? DropReason::none : DropReason::esp_lifetime_expired)
          << i;
    std::vector<SaEventKind> kinds;
    while (auto next = b.sad.poll_event()) {
      EXPECT_TRUE(next->inbound);
      kinds.push_back(next->kind);
    }
    ASSERT_EQ(kinds.size(), 2U);
    EXPECT_EQ(kinds[1], SaEventKind::hard);
    EXPECT_EQ(b.sad.find_inbound(0x1021)->runtime.packets.read(), 5U);
  }
}

TEST_F(Esp, ACryptoErrorDropsThePacketBothWays) {
  // A key of another engine's family: the engine refuses the operation.
  TunnelOptions options;
  options.engine = "ipsec-mb";
  a.outbound_sa(0x1030, options);
  EXPECT_EQ(a.egress_one(a.from_inside({})).drop, DropReason::crypto_error);
  ASSERT_TRUE(b.sad.add_inbound(b.inbound_parameters(0x1031, options)));
  a.outbound_sa(0x1031, {});
  Octets frame = sealed();
  EXPECT_EQ(b.ingress_one(frame).drop, DropReason::crypto_error);
  EXPECT_EQ(b.sad.find_inbound(0x1031)->window.top().value(), 0U);
}

TEST_F(Esp, WithoutRoomNothingLeavesUnprotected) {
  TunnelOptions options;
  options.outer_v6 = true;
  options.udp = true;
  options.algorithm = crypto::Algorithm::aes_cbc_256_hmac_sha512_256;
  a.outbound_sa(0x1040, options);
  Octets frame = a.from_inside({});
  a.headroom = 60;
  Outcome dropped = a.egress_one(frame);
  EXPECT_EQ(dropped.drop, DropReason::no_headroom);
  a.headroom = 72;  // 40 + 8 + 8 + 16, to the octet
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::none);
  TunnelOptions esn;
  esn.esn = true;
  a.outbound_sa(0x1041, esn);
  a.headroom = 47;
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::no_headroom);
  a.headroom = 48;  // 20 + 8 + 8, and SPI and 64-bit number to be authenticated
  EXPECT_EQ(a.egress_one(frame).drop, DropReason::none);
  a.outbound_sa(0x1040, options);
  // Tail too short, head has plenty: the frame moves forward.
  static rte_mempool* const tight =
      rte_pktmbuf_pool_create("tight", 15, 0, 0, 256 + 14 + 20 + 64 + 3, SOCKET_ID_ANY);
  a.pool = tight;
  a.headroom = 256;
  ASSERT_TRUE(b.sad.add_inbound(b.inbound_parameters(0x1040, options)));
  Outcome moved = a.egress_one(frame);
  ASSERT_EQ(moved.drop, DropReason::none);
  EXPECT_EQ(b.ingress_one(moved.frame).drop, DropReason::none);
}

TEST_F(Esp, AMarkWithoutRoomDropsThePacket) {
  a.headroom = 8;
  EXPECT_EQ(a.egress_one(a.from_inside({.destination = "10.1.0.1"})).drop, DropReason::no_headroom);
}

}  // namespace
}  // namespace sealwire::pipelines::test
