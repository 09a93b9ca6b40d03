// The SAD, neighbours and routes: changes one by one while readers read.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "pipelines/stages/forward.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

struct SadTest : ::testing::Test {
  SadTest() { pool(); }
  std::vector<std::shared_ptr<void>> retired;
  Sad sad{[this](std::shared_ptr<void> old) { retired.push_back(std::move(old)); }};
  Site site{1, 2};

  InboundSaParameters inbound(std::uint32_t spi) {
    TunnelOptions options;
    options.algorithm = crypto::Algorithm::null_hmac_sha1_96;  // the cheapest key
    options.window = 0;
    return site.inbound_parameters(spi, options);
  }
};

TEST_F(SadTest, AddsFindsReplacesAndRemoves) {
  auto first = sad.add_inbound(inbound(0x5000));
  ASSERT_TRUE(first);
  EXPECT_EQ(sad.find_inbound(0x5000), *first);
  EXPECT_EQ(sad.find_inbound(0x5001), nullptr);
  EXPECT_EQ(sad.find_inbound(0), nullptr);
  auto again = sad.add_inbound(inbound(0x5000));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().id, "SW-SAD-010");
  auto second = sad.replace_inbound(inbound(0x5000));
  ASSERT_TRUE(second);
  EXPECT_EQ(sad.find_inbound(0x5000), *second);
  EXPECT_EQ(retired.size(), 1U);
  EXPECT_EQ(sad.inbound_count(), 1U);
  EXPECT_TRUE(sad.remove_inbound(crypto::Spi(0x5000)));
  EXPECT_FALSE(sad.remove_inbound(crypto::Spi(0x5000)));
  EXPECT_EQ(sad.find_inbound(0x5000), nullptr);
  EXPECT_EQ(retired.size(), 2U);
  EXPECT_EQ(sad.inbound_count(), 0U);
  ASSERT_TRUE(sad.add_inbound(inbound(0x5000)));
  EXPECT_NE(sad.find_inbound(0x5000), nullptr);
}

TEST_F(SadTest, RefusesWrongParametersAndChangesNothing) {
  OutboundSlot* slot = sad.make_slot();
  auto id = [&](auto change) {
    OutboundSaParameters p = site.outbound_parameters(0x100, {});
    change(p);
    auto made = sad.install(*slot, std::move(p));
    return made ? std::string() : made.error().id;
  };
  EXPECT_EQ(id([](auto& p) { p.spi = crypto::Spi(255); }), "SW-SAD-001");
  EXPECT_EQ(id([](auto& p) { p.key.reset(); }), "SW-SAD-002");
  EXPECT_EQ(id([](auto& p) { p.algorithm = crypto::Algorithm::aes_gcm_256; }), "SW-SAD-002");
  EXPECT_EQ(id([](auto& p) { p.source = ip("2001:db8::1"); }), "SW-SAD-003");
  EXPECT_EQ(id([](auto& p) { p.cookie = 1ULL << 48; }), "SW-SAD-004");
  EXPECT_EQ(id([](auto& p) { p.dscp = 64; }), "SW-SAD-005");
  EXPECT_EQ(id([](auto& p) { p.next_sn = crypto::SeqNo(0); }), "SW-SAD-006");
  EXPECT_EQ(slot->current.load(), nullptr);
  EXPECT_EQ(id([](auto&) {}), "");
  InboundSaParameters p = inbound(0x5000);
  p.replay_window = 31;
  EXPECT_FALSE(sad.add_inbound(std::move(p)));
  p = inbound(0x5000);
  p.esn = true;  // with window 0
  EXPECT_FALSE(sad.add_inbound(std::move(p)));
  EXPECT_EQ(sad.inbound_count(), 0U);
}

TEST_F(SadTest, HoldsThousandsAndForgetsWhatIsRemoved) {
  constexpr std::uint32_t kCount = 20'000;
  for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_TRUE(sad.add_inbound(inbound(1000 + i * 7)));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    InboundSa* sa = sad.find_inbound(1000 + i * 7);
    ASSERT_NE(sa, nullptr);
    ASSERT_EQ(sa->spi, 1000 + i * 7);
    ASSERT_EQ(sad.find_inbound(1000 + i * 7 + 1), nullptr);
  }
  for (std::uint32_t i = 0; i < kCount; i += 2)
    ASSERT_TRUE(sad.remove_inbound(crypto::Spi(1000 + i * 7)));
  for (std::uint32_t i = 0; i < kCount; ++i)
    ASSERT_EQ(sad.find_inbound(1000 + i * 7) != nullptr, i % 2 == 1);
  EXPECT_EQ(sad.inbound_count(), kCount / 2);
}

TEST_F(SadTest, RekeyingForEverDoesNotGrowTheTableOrLoseAnEntry) {
  for (std::uint32_t i = 0; i < 50; ++i) ASSERT_TRUE(sad.add_inbound(inbound(300 + i)));
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(sad.add_inbound(inbound(350 + i)));
    ASSERT_TRUE(sad.remove_inbound(crypto::Spi(300 + i)));
    retired.clear();
  }
  std::size_t found = 0;
  for (std::uint32_t spi = 300; spi < 30'000; ++spi) found += sad.find_inbound(spi) != nullptr;
  EXPECT_EQ(found, 50U);
}

TEST_F(SadTest, AReaderSeesTheOldSaOrTheNewOneWhileTheWriterRekeys) {
  constexpr std::uint32_t kSteady = 64;
  for (std::uint32_t i = 0; i < kSteady; ++i) ASSERT_TRUE(sad.add_inbound(inbound(1000 + i)));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> lost{0}, wrong{0};
  std::thread reader([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      for (std::uint32_t i = 0; i < kSteady; ++i) {
        const InboundSa* sa = sad.find_inbound(1000 + i);
        if (sa == nullptr)
          ++lost;
        else if (sa->spi != 1000 + i)
          ++wrong;
      }
      if (const InboundSa* sa = sad.find_inbound(5000); sa != nullptr && sa->spi != 5000) ++wrong;
    }
  });
  // Retired objects are kept: the test has no grace period.
  for (std::uint32_t round = 0; round < 3000; ++round) {
    ASSERT_TRUE(sad.add_inbound(inbound(5000 + round % 97)));
    ASSERT_TRUE(sad.replace_inbound(inbound(1000 + round % kSteady)));
    ASSERT_TRUE(sad.remove_inbound(crypto::Spi(5000 + round % 97)));
  }
  stop = true;
  reader.join();
  EXPECT_EQ(lost.load(), 0U);
  EXPECT_EQ(wrong.load(), 0U);
}

TEST_F(SadTest, InstallRetiresTheOldOneInOneStep) {
  OutboundSlot* slot = sad.make_slot();
  auto first = sad.install(*slot, site.outbound_parameters(0x100, {}));
  ASSERT_TRUE(first);
  EXPECT_TRUE(retired.empty());
  auto second = sad.install(*slot, site.outbound_parameters(0x101, {}));
  ASSERT_TRUE(second);
  EXPECT_EQ(slot->current.load(), *second);
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].get(), *first);
  EXPECT_TRUE(sad.remove(*slot));
  EXPECT_FALSE(sad.remove(*slot));
}

TEST_F(SadTest, EventsWaitWhileTheRingIsFull) {
  TunnelOptions options;
  options.lifetime.soft_packets = 1;
  Pair pair(options);
  rte_ring* events = pair.a.slot->current.load()->events;
  unsigned filled = 0;
  while (raise_event(events, 9, SaEventKind::sn_low, false)) ++filled;
  ASSERT_GT(filled, 1000U);
  ASSERT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::none);
  while (auto event = pair.a.sad.poll_event()) EXPECT_EQ(event->cookie, 9U);
  ASSERT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::none);
  auto event = pair.a.sad.poll_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, SaEventKind::soft_packets);
  EXPECT_FALSE(pair.a.sad.poll_event());
}

TEST_F(SadTest, TheHardEventWaitsWhileTheRingIsFull) {
  TunnelOptions options;
  options.lifetime.hard_packets = 1;
  Pair pair(options);
  rte_ring* events = pair.a.slot->current.load()->events;
  while (raise_event(events, 9, SaEventKind::sn_low, false)) continue;
  ASSERT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::none);
  ASSERT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::esp_lifetime_expired);
  while (auto event = pair.a.sad.poll_event()) EXPECT_EQ(event->cookie, 9U);
  ASSERT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::esp_lifetime_expired);
  auto event = pair.a.sad.poll_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, SaEventKind::hard);
  EXPECT_FALSE(pair.a.sad.poll_event());
}

TEST_F(SadTest, TheHardEventOfASpentInboundSaWaitsToo) {
  TunnelOptions options;
  options.lifetime.hard_packets = 1;
  Pair pair(options);
  std::vector<Octets> frames;
  pair.a.outbound_sa(0x1001, {});  // the peer's has no limit
  for (int i = 0; i < 3; ++i) frames.push_back(pair.a.egress_one(pair.a.from_inside({})).frame);
  rte_ring* events = pair.b.sad.find_inbound(0x1001)->events;
  while (raise_event(events, 9, SaEventKind::sn_low, false)) continue;
  ASSERT_EQ(pair.b.ingress_one(frames[0]).drop, DropReason::none);
  ASSERT_EQ(pair.b.ingress_one(frames[1]).drop, DropReason::esp_lifetime_expired);  // spent now
  while (auto event = pair.b.sad.poll_event()) EXPECT_EQ(event->cookie, 9U);
  ASSERT_EQ(pair.b.ingress_one(frames[2]).drop, DropReason::esp_lifetime_expired);
  auto event = pair.b.sad.poll_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, SaEventKind::hard);
  EXPECT_TRUE(event->inbound);
  EXPECT_FALSE(pair.b.sad.poll_event());
}

TEST(Rekey, OldAndNewSaOverlapWithoutALostPacket) {
  Pair pair;
  std::vector<Octets> in_flight;
  std::size_t delivered = 0, sent = 0;
  for (std::uint32_t round = 0; round < 50; ++round) {
    for (int i = 0; i < 20; ++i, ++sent)
      in_flight.push_back(pair.a.egress_one(pair.a.from_inside({})).frame);
    const std::uint32_t fresh = 0x3000 + round;
    pair.b.inbound_sa(fresh, {});   // receive first
    pair.a.outbound_sa(fresh, {});  // then send
    for (int i = 0; i < 20; ++i, ++sent)
      in_flight.push_back(pair.a.egress_one(pair.a.from_inside({})).frame);
    for (const Outcome& outcome : pair.b.ingress(in_flight))
      delivered += outcome.drop == DropReason::none;
    in_flight.clear();
    ASSERT_TRUE(pair.b.sad.remove_inbound(crypto::Spi(round == 0 ? 0x1001 : fresh - 1)));
  }
  EXPECT_EQ(delivered, sent);
}

TEST(NeighbourTable, KeepsSidesPortsAndFamiliesApart) {
  Neighbours table(8);
  Adjacency* one = table.get(Side::inside, 0, ip("10.0.0.1"));
  Adjacency* two = table.get(Side::outside, 0, ip("10.0.0.1"));
  Adjacency* three = table.get(Side::inside, 1, ip("10.0.0.1"));
  Adjacency* four = table.get(Side::inside, 0, ip("a00:1::"));  // the same octets as 10.0.0.1
  EXPECT_EQ(std::set<Adjacency*>({one, two, three, four}).size(), 4U);
  EXPECT_EQ(table.get(Side::inside, 0, ip("10.0.0.1")), one);
  EXPECT_EQ(table.find(Side::inside, 0, ip("10.0.0.2")), nullptr);
  table.resolve(*one, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(one->link.load() & 0xffffffffffffULL, 0x060504030201ULL);
  for (int i = 0; i < 4; ++i)
    table.get(Side::inside, 0, IpAddress::v4(10, 1, 0, static_cast<std::uint8_t>(i)));
  EXPECT_EQ(table.get(Side::inside, 0, ip("10.9.9.9")), nullptr);  // full
  EXPECT_EQ(table.find(Side::inside, 0, ip("10.9.9.9")), nullptr);
}

TEST(RouteTable, LongestPrefixThenOrderThenUsable) {
  Routes routes({{prefix("0.0.0.0/0"), ip("1.1.1.1"), Side::outside, 0},
                 {prefix("10.0.0.0/8"), ip("1.1.1.2"), Side::outside, 0},
                 {prefix("10.0.0.0/8"), ip("1.1.1.3"), Side::outside, 1},
                 {prefix("10.1.0.0/16"), std::nullopt, Side::inside, 0}});
  auto via = [&](const char* to, Side side, auto usable) -> std::string {
    const Route* r = routes.find(ip(to), side, usable);
    if (r == nullptr) return "none";
    return r->via ? std::to_string(r->via->octets[3]) : "link";
  };
  auto all = [](const Route&) { return true; };
  auto port1 = [](const Route& r) { return r.port == 1; };
  auto none = [](const Route&) { return false; };
  EXPECT_EQ(via("10.1.2.3", Side::inside, all), "link");
  EXPECT_EQ(via("10.1.2.3", Side::outside, all), "2");
  EXPECT_EQ(via("10.1.2.3", Side::outside, port1), "3");
  EXPECT_EQ(via("10.1.2.3", Side::outside, none), "2");
  EXPECT_EQ(via("11.1.2.3", Side::outside, all), "1");
  EXPECT_EQ(via("11.1.2.3", Side::inside, all), "none");
  EXPECT_EQ(via("fd00::1", Side::outside, all), "none");
}

// Against the plain rule: of the routes that contain the destination the longest, of those the
// first that is usable, else the first.
RC_GTEST_PROP(RouteTable, FindsWhatAScanFinds, ()) {
  const auto address = [] {
    const bool v6 = *rc::gen::arbitrary<bool>();
    IpAddress made{v6, {}};
    for (int i = 0; i < (v6 ? 16 : 4); ++i)
      made.octets[static_cast<std::size_t>(i)] = *rc::gen::element<std::uint8_t>(0, 1, 128, 255);
    return made;
  };
  std::vector<Route> given;
  const int count = *rc::gen::inRange(0, 150);  // up to some 20 of a length
  for (int i = 0; i < count; ++i) {
    const IpAddress network = address();
    const auto length = *rc::gen::element<std::uint8_t>(0, 7, 16, 32);
    given.push_back({{network, length},
                     std::nullopt,
                     *rc::gen::arbitrary<bool>() ? Side::inside : Side::outside,
                     static_cast<std::uint16_t>(i)});
  }
  const Routes routes(given);
  const auto usable = [](const Route& route) { return route.port % 3 != 0; };
  for (int i = 0; i < 20; ++i) {
    const IpAddress to = address();
    for (const Side side : {Side::inside, Side::outside}) {
      const Route* best = nullptr;
      for (const Route& route : given) {
        if (route.side != side || !route.destination.contains(to)) continue;
        if (best == nullptr || route.destination.length > best->destination.length ||
            (route.destination.length == best->destination.length && !usable(*best) &&
             usable(route)))
          best = &route;
      }
      const Route* const found = routes.find(to, side, usable);
      RC_ASSERT((found == nullptr) == (best == nullptr));
      if (best != nullptr) RC_ASSERT(found->port == best->port);
    }
  }
}

// A packet to `to`, as far as a next hop is concerned.
PacketKey key_to(const char* to) {
  const IpAddress address = ip(to);
  PacketKey key{};
  std::memcpy(key.destination, address.octets.data(), 16);
  if (address.v6) key.upper |= PacketKey::kV6;
  return key;
}

TEST(HopCache, FollowsNeighboursAndRoutesAtOnce) {
  Neighbours neighbours;
  GatewayPort port;
  port.addresses = {prefix("192.0.2.1/24")};
  const auto gateway_by = [&](const char* first, const char* second) {
    return make_gateway({}, {port, port},
                        {{prefix("10.0.0.0/8"), ip(first), Side::outside, 0},
                         {prefix("10.0.0.0/8"), ip(second), Side::outside, 1}},
                        neighbours);
  };
  const Gateway gateway = gateway_by("192.0.2.2", "192.0.2.3");
  Adjacency& first = *neighbours.get(Side::outside, 0, ip("192.0.2.2"));
  Adjacency& second = *neighbours.get(Side::outside, 1, ip("192.0.2.3"));
  forward::HopCache cache;
  const auto hop = [&](const char* to = "10.1.2.3") {
    return cache.find(gateway, Side::outside, key_to(to));
  };
  EXPECT_TRUE(hop().found);
  EXPECT_EQ(hop().link, 0U);
  neighbours.resolve(second, {2, 0, 0, 0, 0, 3});
  EXPECT_EQ(hop().port, 1);  // a second choice
  neighbours.resolve(first, {2, 0, 0, 0, 0, 2});
  EXPECT_EQ(hop().port, 0);  // gives way as soon as the first answers
  EXPECT_EQ(hop().link, first.link.load());
  neighbours.resolve(first, {2, 0, 0, 0, 0, 9});
  EXPECT_EQ(hop().link, first.link.load());  // a new MAC
  neighbours.forget(first);
  EXPECT_EQ(hop().port, 1);
  neighbours.resolve(first, {2, 0, 0, 0, 0, 2});
  EXPECT_EQ(hop().port, 0);
  // Another gateway, side or family is another question.
  EXPECT_EQ(
      cache.find(gateway_by("192.0.2.3", "192.0.2.2"), Side::outside, key_to("10.1.2.3")).link, 0U);
  EXPECT_EQ(hop().port, 0);
  EXPECT_FALSE(cache.find(gateway, Side::inside, key_to("10.1.2.3")).found);
  EXPECT_FALSE(hop("0a01:0203::").found);
  EXPECT_FALSE(hop("11.1.2.3").found);
}

TEST(HopCache, TellsManyHostsOfOneLinkApart) {
  Neighbours neighbours;
  GatewayPort port;
  port.addresses = {prefix("fd00::1/64")};
  const Gateway gateway = make_gateway({}, {port}, {}, neighbours);
  forward::HopCache cache;
  const auto host = [](unsigned i) {
    IpAddress address = ip("fd00::");
    address.octets[14] = static_cast<std::uint8_t>(i >> 8);
    address.octets[15] = static_cast<std::uint8_t>(i);
    return address;
  };
  for (unsigned i = 2; i < 1000; ++i) {
    const auto low = static_cast<std::uint8_t>(i), high = static_cast<std::uint8_t>(i >> 8);
    neighbours.resolve(*neighbours.get(Side::outside, 0, host(i)), {2, 0, 0, 0, high, low});
  }
  for (unsigned i = 2; i < 1000; ++i) {
    PacketKey key{};
    std::memcpy(key.destination, host(i).octets.data(), 16);
    key.upper = PacketKey::kV6;
    ASSERT_EQ(cache.find(gateway, Side::outside, key).link,
              neighbours.find(Side::outside, 0, host(i))->link.load())
        << i;
  }
}

TEST(PrefixTest, ContainsExactlyItsAddresses) {
  EXPECT_TRUE(prefix("10.1.2.128/25").contains(ip("10.1.2.129")));
  EXPECT_FALSE(prefix("10.1.2.128/25").contains(ip("10.1.2.127")));
  EXPECT_TRUE(prefix("0.0.0.0/0").contains(ip("255.1.2.3")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(ip("::1")));
  EXPECT_TRUE(prefix("2001:db8::/127").contains(ip("2001:db8::1")));
  EXPECT_FALSE(prefix("2001:db8::/127").contains(ip("2001:db8::2")));
  EXPECT_FALSE(prefix("10.0.0.1/32").contains(ip("10.0.0.2")));
}

}  // namespace
}  // namespace sealwire::pipelines::test
