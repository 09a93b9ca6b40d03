// The SPD: each action does exactly what it says, both ways.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "pipelines/wire/ip.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

Selector from_to(const char* source, const char* destination) {
  Selector selector;
  if (source != nullptr) selector.source = {prefix(source)};
  if (destination != nullptr) selector.destination = {prefix(destination)};
  return selector;
}

PolicyRule rule(PolicyAction action, Selector selector, OutboundSlot* slot = nullptr) {
  PolicyRule r;
  r.action = action;
  r.selector = std::move(selector);
  if (slot != nullptr) r.slots = {slot};
  return r;
}

class Policy : public ::testing::Test {
 protected:
  Pair pair;
  Site& a = pair.a;

  void add_routes() {
    a.gateway = make_gateway(a.gateway.inside, a.gateway.outside,
                             {{prefix("0.0.0.0/0"), ip("192.0.2.2"), Side::outside, 0},
                              {prefix("10.1.0.0/16"), ip("10.1.0.10"), Side::inside, 0}},
                             a.neighbours);
  }
  DropReason out(const Inner& inner) { return a.egress_one(a.from_inside(inner)).drop; }
  DropReason in(const Inner& inner) {
    return a.ingress_one(frame_of(packet_of(inner), a.snapshot.outside[0].mac)).drop;
  }
  // PROTECT by an SA of its own, which both sites get.
  PolicyRule protecting(std::uint32_t spi, const Selector& selector) {
    OutboundSlot* const slot = a.sad.make_slot();
    TunnelOptions options;
    options.selectors = {selector};
    EXPECT_TRUE(a.sad.install(*slot, a.outbound_parameters(spi, options)));
    pair.b.inbound_sa(spi, options);
    return rule(PolicyAction::protect, selector, slot);
  }
};

TEST_F(Policy, ProtectBypassAndDiscardDoExactlyThatOutbound) {
  add_routes();
  a.set_policy({rule(PolicyAction::protect, from_to("10.1.0.0/24", "10.2.0.0/24"), a.slot),
                rule(PolicyAction::bypass, from_to("10.1.0.0/24", "10.3.0.0/24")),
                rule(PolicyAction::discard, from_to(nullptr, "10.4.0.0/24"))},
               {});
  Outcome sealed = a.egress_one(a.from_inside({}));
  ASSERT_EQ(sealed.drop, DropReason::none);
  EXPECT_EQ(sealed.frame[23], wire::kProtocolEsp);

  Inner bypassed;
  bypassed.destination = "10.3.0.1";
  Outcome clear = a.egress_one(a.from_inside(bypassed));
  ASSERT_EQ(clear.drop, DropReason::none);
  bypassed.ttl = 63;
  EXPECT_EQ(Octets(clear.frame.begin() + 14, clear.frame.end()), packet_of(bypassed));
  EXPECT_EQ(0, std::memcmp(clear.frame.data(), pair.b.snapshot.outside[0].mac, 6));

  EXPECT_EQ(out({.destination = "10.4.0.1"}), DropReason::policy_discard);
  EXPECT_EQ(out({.destination = "10.5.0.1"}), DropReason::policy_discard);  // the last word
  EXPECT_EQ(out({.source = "10.9.0.10"}), DropReason::policy_discard);
}

TEST_F(Policy, ClearInboundPacketsGetTheInboundRules) {
  add_routes();
  a.set_policy({}, {rule(PolicyAction::protect, from_to("10.2.0.0/24", "10.1.0.0/24")),
                    rule(PolicyAction::bypass, from_to("10.3.0.0/24", "10.1.0.0/24")),
                    rule(PolicyAction::discard, from_to("10.4.0.0/24", nullptr))});
  EXPECT_EQ(in({.source = "10.2.0.20", .destination = "10.1.0.10"}), DropReason::esp_clear_inbound);
  EXPECT_EQ(in({.source = "10.4.0.20", .destination = "10.1.0.10"}), DropReason::policy_discard);
  EXPECT_EQ(in({.source = "10.5.0.20", .destination = "10.1.0.10"}), DropReason::policy_discard);
  Inner inner{.source = "10.3.0.20", .destination = "10.1.0.10"};
  Outcome passed = a.ingress_one(frame_of(packet_of(inner), a.snapshot.outside[0].mac));
  ASSERT_EQ(passed.drop, DropReason::none);
  EXPECT_TRUE(passed.to_inside);
  inner.ttl = 63;
  EXPECT_EQ(Octets(passed.frame.begin() + 14, passed.frame.end()), packet_of(inner));
  // What the policy protects does not reach the gateway's own inside address in clear either.
  EXPECT_EQ(in({.source = "10.2.0.20", .destination = "10.1.0.1", .protocol = 1}),
            DropReason::esp_clear_inbound);
}

TEST_F(Policy, TheFirstOfOverlappingRulesDecides) {
  add_routes();
  Selector narrow = from_to(nullptr, "10.2.0.128/25");
  Selector wide = from_to(nullptr, "10.2.0.0/24");
  a.set_policy({rule(PolicyAction::discard, narrow), rule(PolicyAction::protect, wide, a.slot)},
               {});
  EXPECT_EQ(out({.destination = "10.2.0.129"}), DropReason::policy_discard);
  EXPECT_EQ(out({.destination = "10.2.0.127"}), DropReason::none);
  a.set_policy({rule(PolicyAction::protect, wide, a.slot), rule(PolicyAction::discard, narrow)},
               {});
  EXPECT_EQ(out({.destination = "10.2.0.129"}), DropReason::none);  // and the flow cache forgot
}

TEST_F(Policy, OneFieldChangedMeetsTheFinalDiscard) {
  Selector selector = from_to("10.1.0.10/32", "10.2.0.20/32");
  selector.protocol = 17;
  selector.source_ports = {{1000, 1000}};
  selector.destination_ports = {{2000, 2009}};
  a.set_policy({rule(PolicyAction::protect, selector, a.slot)}, {});
  EXPECT_EQ(out({}), DropReason::none);
  EXPECT_EQ(out({.destination_port = 2009}), DropReason::none);
  EXPECT_EQ(out({.source = "10.1.0.11"}), DropReason::policy_discard);
  EXPECT_EQ(out({.destination = "10.2.0.21"}), DropReason::policy_discard);
  EXPECT_EQ(out({.protocol = 6}), DropReason::policy_discard);
  EXPECT_EQ(out({.source_port = 1001}), DropReason::policy_discard);
  EXPECT_EQ(out({.source_port = 999}), DropReason::policy_discard);
  EXPECT_EQ(out({.destination_port = 1999}), DropReason::policy_discard);
  EXPECT_EQ(out({.destination_port = 2010}), DropReason::policy_discard);
  EXPECT_EQ(out({.protocol = 1}), DropReason::policy_discard);  // has no ports
  EXPECT_EQ(out({.source = "fd00:1::10", .destination = "fd00:2::10"}), DropReason::policy_discard);
}

TEST_F(Policy, SeveralPrefixesAndRangesOfOneRuleAllCount) {
  Selector selector;
  selector.source = {prefix("10.1.0.0/25"), prefix("10.1.0.192/26"), prefix("fd00:1::/64")};
  selector.destination_ports = {{10, 20}, {30, 40}};
  a.set_policy({rule(PolicyAction::protect, selector, a.slot)}, {});
  for (auto port : std::initializer_list<std::uint16_t>{10, 20, 30, 40})
    EXPECT_EQ(out({.destination_port = port}), DropReason::none);
  for (auto port : std::initializer_list<std::uint16_t>{9, 21, 29, 41})
    EXPECT_EQ(out({.destination_port = port}), DropReason::policy_discard);
  EXPECT_EQ(out({.source = "10.1.0.193", .destination_port = 15}), DropReason::none);
  EXPECT_EQ(out({.source = "10.1.0.129", .destination_port = 15}), DropReason::policy_discard);
  EXPECT_EQ(out({.source = "fd00:1::5", .destination = "fd00:9::1", .destination_port = 15}),
            DropReason::none);
}

TEST_F(Policy, ALaterFragmentNeverLeaksPastARuleWithPorts) {
  add_routes();
  Selector web = from_to(nullptr, "10.2.0.0/24");
  web.protocol = 17;
  web.destination_ports = {{2000, 2000}};
  a.set_policy({rule(PolicyAction::protect, web, a.slot),
                rule(PolicyAction::bypass, from_to(nullptr, "10.0.0.0/8"))},
               {});
  EXPECT_EQ(out({.fragment = 100}),
            DropReason::policy_discard);  // could be of the protected datagram
  EXPECT_EQ(out({.protocol = 6, .fragment = 100}), DropReason::none);  // could not
  EXPECT_EQ(out({.destination = "10.3.0.1", .fragment = 100}), DropReason::none);
  // The first fragment shows its ports.
  Outcome first = a.egress_one(a.from_inside({.fragment = 0x2000}));
  ASSERT_EQ(first.drop, DropReason::none);
  EXPECT_EQ(first.frame[23], wire::kProtocolEsp);
  // Behind a rule that protects all ports fragments are simply protected.
  a.set_policy({rule(PolicyAction::protect, web, a.slot),
                rule(PolicyAction::protect, from_to(nullptr, "10.2.0.0/24"), a.slot)},
               {});
  Outcome later = a.egress_one(a.from_inside({.fragment = 100}));
  ASSERT_EQ(later.drop, DropReason::none);
  EXPECT_EQ(later.frame[23], wire::kProtocolEsp);
}

TEST_F(Policy, AProtectRuleWithoutAnSaDropsAndNeverSendsClear) {
  add_routes();
  a.sad.remove(*a.slot);
  Outcome dropped = a.egress_one(a.from_inside({}));
  EXPECT_EQ(dropped.drop, DropReason::esp_no_sa);
}

TEST_F(Policy, SlotsOfOneRuleAreChosenByWorker) {
  OutboundSlot* second = a.sad.make_slot();
  TunnelOptions options;
  ASSERT_TRUE(a.sad.install(*second, a.outbound_parameters(0x7777, options)));
  PolicyRule r = rule(PolicyAction::protect, {}, a.slot);
  r.slots.push_back(second);
  a.set_policy({r}, {});
  for (std::uint16_t worker = 0; worker < 4; ++worker) {
    a.worker = worker;
    Outcome sealed = a.egress_one(a.from_inside({}));
    ASSERT_EQ(sealed.drop, DropReason::none);
    EXPECT_EQ(wire::load_be<std::uint32_t>(sealed.frame.data() + 34),
              worker % 2 == 0 ? 0x1001U : 0x7777U);
  }
}

TEST(SpdBuild, RefusesWhatCannotBe) {
  pool();
  auto built = Spd::build({rule(PolicyAction::protect, {})}, {});
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().id, "SW-SPD-001");
  Selector bad;
  bad.source = {{IpAddress::v4(10, 0, 0, 0), 33}};
  EXPECT_EQ(Spd::build({rule(PolicyAction::discard, bad)}, {}).error().id, "SW-SPD-002");
  bad.source.clear();
  bad.destination_ports = {{5, 4}};
  EXPECT_EQ(Spd::build({}, {rule(PolicyAction::discard, bad)}).error().id, "SW-SPD-002");
  EXPECT_TRUE(Spd::build({}, {rule(PolicyAction::protect, {})}));  // inbound: the SA shows itself
}

// SAs that take turns within one burst, with packets between them that end early.
TEST_F(Policy, EachPacketOfAMixedBurstMeetsItsOwnSa) {
  constexpr unsigned kSas = 3;
  std::vector<PolicyRule> rules;
  for (unsigned sa = 0; sa < kSas; ++sa) {
    Selector selector = from_to(nullptr, "10.2.0.0/24");
    selector.destination_ports = {{static_cast<std::uint16_t>(sa), static_cast<std::uint16_t>(sa)}};
    rules.push_back(protecting(0x5000 + sa, selector));
  }
  rules.push_back(rule(PolicyAction::protect, from_to(nullptr, "10.2.0.0/24"),
                       a.sad.make_slot()));  // the rest: no SA yet
  a.set_policy(std::move(rules), {});
  std::vector<Octets> frames;
  for (std::uint16_t i = 0; i < 60; ++i) {
    Inner inner;
    inner.destination_port = i % (kSas + 1);
    inner.payload = static_cast<std::uint16_t>(64 + i);
    frames.push_back(a.from_inside(inner));
  }
  std::vector<Octets> sealed;
  std::vector<Outcome> out = a.egress(frames);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool protects = i % (kSas + 1) != kSas;
    ASSERT_EQ(out[i].drop, protects ? DropReason::none : DropReason::esp_no_sa) << i;
    if (!protects) continue;
    ASSERT_EQ(wire::load_be<std::uint32_t>(out[i].frame.data() + 34), 0x5000 + i % (kSas + 1));
    sealed.push_back(out[i].frame);
  }
  for (std::size_t i = 5; i < sealed.size(); i += 5)
    wire::store_be(sealed[i].data() + 34, std::uint32_t{0x7777});
  std::vector<Outcome> in = pair.b.ingress(sealed);
  ASSERT_EQ(in.size(), sealed.size());
  for (std::size_t i = 0, k = 0; i < in.size(); ++i, ++k) {
    if (k % (kSas + 1) == kSas) ++k;
    if (i != 0 && i % 5 == 0) {
      EXPECT_EQ(in[i].drop, DropReason::esp_unknown_spi) << i;
      continue;
    }
    ASSERT_EQ(in[i].drop, DropReason::none) << i;
    EXPECT_EQ(in[i].frame.size(), frames[k].size());
    EXPECT_EQ(in[i].frame[37], frames[k][37]) << "the port that chose the SA";
  }
}

// SAs of one burst that leave by other ports, to other neighbours, in the other family, or carry
// less.
TEST_F(Policy, EachPacketOfAMixedBurstLeavesTheWayOfItsSa) {
  GatewayPort second;
  second.addresses = {prefix("198.51.100.1/24")};
  a.gateway = make_gateway(a.gateway.inside, {a.gateway.outside[0], second}, {}, a.neighbours);
  LinePort port = a.snapshot.outside[0];
  port.mac[5] = 0x55;
  a.snapshot.outside.push_back(port);
  const std::array<std::uint8_t, 6> peer{0x02, 0xbb, 0, 0, 2, 1}, other{0x02, 0xbb, 0, 0, 9, 9};
  a.neighbours.resolve(*a.neighbours.get(Side::outside, 0, ip("192.0.2.77")), other);
  a.neighbours.resolve(*a.neighbours.get(Side::outside, 1, ip("198.51.100.7")), peer);
  struct Way {
    const char* destination;
    bool v6;
    std::uint16_t path_mtu;
    std::array<std::uint8_t, 6> mac;
    std::uint16_t port;
  };
  const std::vector<Way> ways{{"192.0.2.2", false, 0, peer, 0},
                              {"192.0.2.77", false, 0, other, 0},
                              {"198.51.100.7", false, 0, peer, 1},
                              {"2001:db8::2", true, 0, peer, 0},
                              {"192.0.2.2", false, 200, peer, 0}};
  std::vector<PolicyRule> rules;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const auto number = static_cast<std::uint16_t>(i);
    Selector selector = from_to(nullptr, "10.2.0.0/24");
    selector.destination_ports = {{number, number}};
    TunnelOptions options;
    options.outer_v6 = ways[i].v6;
    options.path_mtu = ways[i].path_mtu;
    OutboundSaParameters parameters = a.outbound_parameters(0x5000U + number, options);
    parameters.destination = ip(ways[i].destination);
    OutboundSlot* const slot = a.sad.make_slot();
    ASSERT_TRUE(a.sad.install(*slot, std::move(parameters)));
    rules.push_back(rule(PolicyAction::protect, selector, slot));
  }
  a.set_policy(std::move(rules), {});
  std::vector<std::size_t> which;
  std::vector<Octets> frames;
  for (std::size_t i = 0; i < 60; ++i) {
    which.push_back(i / 2 * 3 % ways.size());
    Inner inner;
    inner.destination_port = static_cast<std::uint16_t>(which.back());
    inner.dont_fragment = true;
    inner.payload = 300;
    frames.push_back(a.from_inside(inner));
  }
  const std::vector<Outcome> out = a.egress(frames);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Way& way = ways[which[i]];
    ASSERT_EQ(out[i].drop, way.path_mtu == 0 ? DropReason::none : DropReason::packet_too_big) << i;
    if (way.path_mtu != 0) continue;
    EXPECT_EQ(out[i].port, way.port) << i;
    EXPECT_EQ(0, std::memcmp(out[i].frame.data(), way.mac.data(), 6)) << i;
    EXPECT_EQ(out[i].frame[11], a.snapshot.outside[way.port].mac[5]) << i;
    EXPECT_EQ(out[i].frame[12], way.v6 ? 0x86 : 0x08) << i;
    EXPECT_EQ(out[i].frame[14] >> 4, way.v6 ? 6 : 4) << i;
  }
}

// IPv4 with options, and IPv6 addresses that differ at their ends only: not the usual packets.
TEST_F(Policy, OptionsPassAndTheWholeAddressCounts) {
  Octets packet = packet_of({});
  packet.insert(packet.begin() + 20, {1, 1, 1, 0});
  packet[0] = 0x46;
  wire::store_be(packet.data() + 2, static_cast<std::uint16_t>(packet.size()));
  wire::set_ipv4_checksum(packet.data(), 24);
  a.protect_all();
  const Outcome sealed = a.egress_one(frame_of(packet, a.snapshot.inside[0].mac));
  ASSERT_EQ(sealed.drop, DropReason::none);
  const Outcome opened = pair.b.ingress_one(sealed.frame);
  ASSERT_EQ(opened.drop, DropReason::none);
  wire::decrement_ttl(packet.data(), false);
  wire::decrement_ttl(packet.data(), false);
  EXPECT_EQ(Octets(opened.frame.begin() + 14, opened.frame.end()), packet);

  a.set_policy({rule(PolicyAction::discard, from_to(nullptr, "fd00:2::1:0/112")),
                rule(PolicyAction::protect, from_to(nullptr, "fd00:2::/64"), a.slot)},
               {});
  FlowCache flows;
  PacketKey key{};
  key.upper = PacketKey::kV6 | PacketKey::protocol_bits(17) | PacketKey::port_bits(0x03e807d0);
  for (unsigned i = 0; i < 4000; ++i) {
    IpAddress address = ip("fd00:2::");
    address.octets[13] = static_cast<std::uint8_t>(i & 1);
    address.octets[14] = static_cast<std::uint8_t>(i >> 8);
    address.octets[15] = static_cast<std::uint8_t>(i);
    std::memcpy(key.destination, address.octets.data(), 16);
    ASSERT_EQ(flows.outbound(*a.spd, key).action,
              (i & 1) != 0 ? PolicyAction::discard : PolicyAction::protect)
        << i;
  }
}

// Two addresses of other families may begin alike.
TEST_F(Policy, EspForAnAddressThatOnlyBeginsLikeOursIsNotForUs) {
  a.set_policy({}, {});
  const std::uint8_t(&mac)[6] = a.snapshot.outside[0].mac;
  const Octets ours =
      frame_of(packet_of({.source = "192.0.2.2", .destination = "192.0.2.1", .protocol = 50}), mac);
  const Octets alike = frame_of(
      packet_of({.source = "2001:db8::2", .destination = "c000:201::", .protocol = 50}), mac);
  const std::vector<Outcome> in = a.ingress({ours, alike, ours});
  EXPECT_EQ(in[0].drop, DropReason::esp_unknown_spi);
  EXPECT_EQ(in[1].drop, DropReason::policy_discard);
  EXPECT_EQ(in[2].drop, DropReason::esp_unknown_spi);
}

// So many that rules and SAs are fetched ahead, in a pass that looks at frames nobody has checked.
TEST_F(Policy, OfManySasEachPacketMeetsItsOwnAndStrangersNone) {
  constexpr unsigned kSas = 700;
  const auto host = [](unsigned sa) {
    return "10.1." + std::to_string(sa >> 8) + "." + std::to_string(sa & 255);
  };
  std::vector<PolicyRule> rules;
  for (unsigned sa = 0; sa < kSas; ++sa) {
    rules.push_back(protecting(0x5000 + sa, from_to((host(sa) + "/32").c_str(), "10.2.0.20/32")));
  }
  rules[389].selector.destination_ports = {{5000, 5000}};
  ASSERT_TRUE(a.sad.remove(*rules[78].slots[0]));
  rules[467] = rule(PolicyAction::bypass, rules[467].selector);
  add_routes();
  a.set_policy(std::move(rules), {});
  ASSERT_TRUE(a.spd->outbound_is_wide());
  ASSERT_TRUE(pair.b.sad.is_wide());
  std::vector<Octets> frames;
  std::vector<unsigned> chosen;
  for (unsigned i = 0; i < 57; ++i) {
    chosen.push_back(i % 8 == 7 ? kSas + i : i * 389 % kSas);
    const std::string source = host(chosen.back());
    Inner inner;
    inner.source = source.c_str();
    inner.payload = static_cast<std::uint16_t>(64 + i);
    frames.push_back(a.from_inside(inner));
  }
  for (const std::size_t length : {0U, 13U, 14U, 15U, 53U, 54U})
    frames.emplace_back(frames[0].begin(), frames[0].begin() + static_cast<std::ptrdiff_t>(length));
  const std::vector<Outcome> out = a.egress(frames);
  std::vector<Octets> sealed;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i >= chosen.size() || chosen[i] >= kSas || i == 1 || i == 2) {
      EXPECT_NE(out[i].drop, DropReason::none) << i;
      continue;
    }
    ASSERT_EQ(out[i].drop, DropReason::none) << i;
    if (i == 3) continue;
    EXPECT_EQ(wire::load_be<std::uint32_t>(out[i].frame.data() + 34), 0x5000 + chosen[i]);
    sealed.push_back(out[i].frame);
  }
  EXPECT_EQ(out[7].drop, DropReason::policy_discard) << "a stranger";
  EXPECT_EQ(out[1].drop, DropReason::policy_discard) << "another port than the rule's";
  EXPECT_EQ(out[2].drop, DropReason::esp_no_sa);
  EXPECT_EQ(out[3].frame.size(), frames[3].size()) << "bypasses";
  wire::store_be(sealed[3].data() + 34, std::uint32_t{0x5000 + kSas});
  for (const std::size_t length : {14U, 34U, 37U, 38U})
    sealed.emplace_back(sealed[0].begin(), sealed[0].begin() + static_cast<std::ptrdiff_t>(length));
  const std::vector<Outcome> in = pair.b.ingress(sealed);
  for (std::size_t i = 0; i < in.size(); ++i)
    EXPECT_EQ(in[i].drop == DropReason::none, i != 3 && i < sealed.size() - 4) << i;
  EXPECT_EQ(in[3].drop, DropReason::esp_unknown_spi);
}

// A selector check written once more, the slow way.
bool plainly_matches(const Selector& s, const PacketKey& key) {
  auto any_prefix = [&](const std::vector<Prefix>& prefixes, const std::uint64_t(&words)[2]) {
    if (prefixes.empty()) return true;
    IpAddress address{key.v6(), {}};
    std::memcpy(address.octets.data(), words, 16);
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const Prefix& p) { return p.contains(address); });
  };
  auto any_range = [&](const std::vector<PortRange>& ranges, std::uint16_t port) {
    auto whole = [](const PortRange& r) { return r.first == 0 && r.last == 65535; };
    if (ranges.empty() || std::any_of(ranges.begin(), ranges.end(), whole)) return true;
    return key.ports_known() && std::any_of(ranges.begin(), ranges.end(), [&](const PortRange& r) {
             return port >= r.first && port <= r.last;
           });
  };
  return any_prefix(s.source, key.source) && any_prefix(s.destination, key.destination) &&
         (!s.protocol || *s.protocol == key.protocol()) &&
         any_range(s.source_ports, key.source_port()) &&
         any_range(s.destination_ports, key.destination_port());
}

// What the first matching rule, asked in order, says; kFinalRule also for a fragment that BYPASS
// may not have because an earlier rule asks for ports.
std::uint32_t plainly_first(const std::vector<PolicyRule>& rules, const PacketKey& key) {
  bool claimed = false;
  for (std::uint32_t k = 0; k < rules.size(); ++k) {
    if (plainly_matches(rules[k].selector, key))
      return claimed && rules[k].action == PolicyAction::bypass ? kFinalRule : k;
    Selector addresses = rules[k].selector;
    addresses.source_ports = addresses.destination_ports = {};
    claimed |= key.fragment() && plainly_matches(addresses, key);
  }
  return kFinalRule;
}

Prefix any_small_prefix(bool v6) {
  Prefix p;
  p.address.v6 = v6;
  p.length = *rc::gen::element<std::uint8_t>(0, 1, 8, 15, 16, 24, 32);
  for (std::size_t i = 0; i < 4; ++i)
    p.address.octets[i] = *rc::gen::element<std::uint8_t>(10, 11, 128, 255);
  return p;
}

RC_GTEST_PROP(SpdProperty, LookUpFindsTheFirstMatchAndTheCacheAgrees, ()) {
  std::vector<PolicyRule> rules;
  const auto count = *rc::gen::inRange<std::size_t>(0, 40);
  for (std::size_t i = 0; i < count; ++i) {
    PolicyRule r;
    r.action = *rc::gen::element(PolicyAction::discard, PolicyAction::bypass);
    for (int k = *rc::gen::inRange(0, 3); k > 0; --k)
      r.selector.source.push_back(any_small_prefix(*rc::gen::arbitrary<bool>()));
    for (int k = *rc::gen::inRange(0, 3); k > 0; --k)
      r.selector.destination.push_back(any_small_prefix(*rc::gen::arbitrary<bool>()));
    if (*rc::gen::arbitrary<bool>())
      r.selector.protocol = *rc::gen::element<std::uint8_t>(6, 17, 1);
    if (*rc::gen::arbitrary<bool>()) {
      auto first = *rc::gen::inRange<std::uint16_t>(0, 4);
      r.selector.destination_ports = {
          {first, static_cast<std::uint16_t>(first + *rc::gen::inRange(0, 3))}};
    }
    rules.push_back(std::move(r));
  }
  auto spd = Spd::build(rules, rules);
  RC_ASSERT(spd.has_value());
  FlowCache cache;
  for (int i = 0; i < 40; ++i) {
    PacketKey key{};
    if (*rc::gen::arbitrary<bool>()) key.upper |= PacketKey::kV6;
    for (auto* words : {key.source, key.destination})
      for (int octet = 0; octet < 4; ++octet)
        reinterpret_cast<std::uint8_t*>(words)[octet] =
            *rc::gen::element<std::uint8_t>(10, 11, 128, 255);
    key.upper |= PacketKey::protocol_bits(*rc::gen::element<std::uint8_t>(6, 17, 1));
    if (*rc::gen::inRange(0, 4) == 0) {
      key.upper |= PacketKey::kFragment;
    } else if (key.protocol() != 1) {
      key.upper |= PacketKey::port_bits(*rc::gen::inRange(0U, 7U));
    }
    const std::uint32_t expected = plainly_first(rules, key);
    RC_ASSERT((*spd)->outbound(key).rule == expected);
    RC_ASSERT(cache.outbound(**spd, key).rule == expected);
    RC_ASSERT(cache.outbound(**spd, key).rule == expected);
    RC_ASSERT(cache.inbound(**spd, key).rule == expected);
  }
}

PacketKey between(std::uint32_t source, std::uint32_t destination) {
  PacketKey key{};
  wire::store_be(reinterpret_cast<std::uint8_t*>(key.source), source);
  wire::store_be(reinterpret_cast<std::uint8_t*>(key.destination), destination);
  key.upper = PacketKey::protocol_bits(17) | PacketKey::port_bits(0);
  return key;
}

TEST(SpdIndex, EachOfManyHostsFindsItsOwnRuleAndStrangersNone) {
  constexpr std::uint32_t kHosts = 5000, kNet = 172U << 24;
  std::vector<PolicyRule> rules;
  for (std::uint32_t host = 0; host < kHosts; ++host) {
    Prefix one{{}, 32};
    wire::store_be(one.address.octets.data(), kNet + host);
    Selector selector;
    selector.source = {one};
    rules.push_back(rule(PolicyAction::bypass, selector));
  }
  auto spd = Spd::build(rules, {});
  ASSERT_TRUE(spd);
  for (std::uint32_t host = 0; host < kHosts; ++host) {
    ASSERT_EQ((*spd)->outbound(between(kNet + host, 7)).rule, host);
    ASSERT_EQ((*spd)->outbound(between(kNet + kHosts + host, 7)).rule, kFinalRule);
  }
}

}  // namespace
}  // namespace sealwire::pipelines::test
