// The slow path of a gateway: what it sends for what the workers punt.
#include "app/control/gateway/slow_path.h"

#include <gtest/gtest.h>
#include <rte_ring.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "pipelines/wire/arp.h"
#include "pipelines/wire/icmp.h"
#include "pipelines/wire/udp.h"
#include "tests/unit/esp/site.h"

namespace sealwire::control {
namespace {

namespace wire = pipelines::wire;
using namespace pipelines::test;
using pipelines::DropReason;
using pipelines::InjectMark;
using pipelines::InjectStages;
using pipelines::PuntReason;

struct Injected {
  Octets frame;
  InjectMark mark;
};

rte_ring* ring(const char* name) {
  pool();
  static std::map<std::string, rte_ring*> made;
  rte_ring*& r = made[name];
  if (r == nullptr) r = rte_ring_create(name, 256, SOCKET_ID_ANY, 0);
  void* m;
  while (rte_ring_dequeue(r, &m) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
  return r;
}

std::vector<Injected> drain(rte_ring* r) {
  std::vector<Injected> out;
  void* object;
  while (rte_ring_dequeue(r, &object) == 0) {
    auto* m = static_cast<rte_mbuf*>(object);
    out.push_back({octets_of(m), pipelines::get_mark<InjectMark>(m)});
    EXPECT_EQ(out.back().mark.magic, InjectMark::kMagic);
    rte_pktmbuf_free(m);
  }
  return out;
}

class SlowPath : public ::testing::Test {
 protected:
  explicit SlowPath(const TunnelOptions& options = {}) : pair(options) {
    settings.neighbours = &pair.a.neighbours;
    settings.sad = &pair.a.sad;
    settings.egress_inject = to_outside = ring("egress-inject");
    settings.ingress_inject = to_inside = ring("ingress-inject");
    settings.pool = pool();
    settings.ike = [this](rte_mbuf* m, const pipelines::PuntMark&) {
      ike.push_back(octets_of(m));
      rte_pktmbuf_free(m);
    };
    free_before = rte_mempool_avail_count(pool());
    slow = std::make_unique<GatewaySlowPath>(settings);
    slow->update(pair.a.snapshot, now);
    drain(to_inside);
    drain(to_outside);
  }
  ~SlowPath() override {
    slow.reset();
    drain(to_inside);
    drain(to_outside);
    EXPECT_EQ(rte_mempool_avail_count(pool()), free_before) << "mbufs leaked";
  }

  // Gives the slow path what the data path would have punted.
  void take(const Outcome& punted) {
    ASSERT_TRUE(pipelines::for_control(punted.drop)) << info(punted.drop).name;
    rte_mbuf* m = mbuf_of(punted.frame);
    ASSERT_TRUE(pipelines::set_mark(m, punted.mark));
    slow->take(m, now);
  }

  Octets arp(std::uint16_t operation, const char* sender, const char* target, bool broadcast,
             bool outside) {
    const auto& port = outside ? pair.a.snapshot.outside[0] : pair.a.snapshot.inside[0];
    Octets f(14 + sizeof(wire::ArpPacket));
    if (broadcast)
      std::fill_n(f.begin(), 6, 0xff);
    else
      std::copy_n(port.mac, 6, f.begin());
    std::copy_n(host_mac, 6, f.begin() + 6);
    wire::store_be(f.data() + 12, std::uint16_t{0x0806});
    auto* a = wire::view_at<wire::ArpPacket>(f.data() + 14);
    a->hardware = wire::Be16(1);
    a->protocol = wire::Be16(0x0800);
    a->hardware_length = 6;
    a->protocol_length = 4;
    a->operation = wire::Be16(operation);
    std::memcpy(a->sender_mac, host_mac, 6);
    std::memcpy(a->sender_ip, ip(sender).octets.data(), 4);
    std::memcpy(a->target_ip, ip(target).octets.data(), 4);
    return f;
  }

  // An echo request from `source` to `destination`, with a right checksum.
  static Octets echo(const char* source, const char* destination, std::uint16_t payload = 64) {
    Inner inner;
    inner.source = source;
    inner.destination = destination;
    inner.payload = payload;
    bool v6 = ip(source).v6;
    inner.protocol = v6 ? 58 : 1;
    Octets p = packet_of(inner);
    std::uint8_t* message = p.data() + (v6 ? 40 : 20);
    message[0] = v6 ? 128 : 8;
    message[1] = 0;
    message[2] = message[3] = 0;
    if (v6) {
      wire::set_ipv6_upper_checksum(p.data(), message, payload, 58, message + 2);
    } else {
      std::uint16_t checksum = wire::checksum_of(wire::sum_words(message, payload));
      std::memcpy(message + 2, &checksum, 2);
    }
    return p;
  }

  static constexpr std::uint8_t host_mac[6] = {0x02, 0xdd, 1, 2, 3, 4};
  std::uint64_t now = 1000;
  unsigned free_before = 0;
  Pair pair;
  SlowPathSettings settings;
  rte_ring *to_inside, *to_outside;
  std::vector<Octets> ike;
  std::unique_ptr<GatewaySlowPath> slow;
};

TEST_F(SlowPath, AnswersArpForItsOwnAddressOnThatPortOnly) {
  take(pair.a.ingress_one(arp(1, "192.0.2.77", "192.0.2.1", true, true)));
  auto sent = drain(to_outside);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].mark.stages, InjectStages::seal);
  EXPECT_EQ(0, std::memcmp(sent[0].frame.data(), host_mac, 6));
  const auto* reply = wire::view_at<wire::ArpPacket>(sent[0].frame.data() + 14);
  EXPECT_EQ(reply->operation.value(), wire::kArpReply);
  EXPECT_EQ(0, std::memcmp(reply->sender_mac, pair.a.snapshot.outside[0].mac, 6));
  EXPECT_EQ(0, std::memcmp(reply->sender_ip, ip("192.0.2.1").octets.data(), 4));
  EXPECT_EQ(0, std::memcmp(reply->target_ip, ip("192.0.2.77").octets.data(), 4));

  take(pair.a.ingress_one(arp(1, "192.0.2.77", "192.0.2.9", true, true)));  // another's
  take(pair.a.ingress_one(arp(1, "192.0.2.77", "10.1.0.1", true, true)));   // ours, inside
  EXPECT_TRUE(drain(to_outside).empty());
  take(pair.a.egress_one(arp(1, "10.1.0.33", "10.1.0.1", true, false)));
  EXPECT_EQ(drain(to_inside).size(), 1U);
}

// At the start, with another gateway and once the link is secure; not with each change of policies.
TEST_F(SlowPath, AnnouncesItsAddressesWhenTheyMayBeNew) {
  GatewaySlowPath fresh(settings);
  const auto announced = [&](const pipelines::LineSnapshot& line) {
    fresh.update(line, now);
    drain(to_inside);
    for (const auto& sent : drain(to_outside)) {
      const auto* request = wire::view_at<wire::ArpPacket>(sent.frame.data() + 14);
      if (sent.frame[12] == 0x08 && sent.frame[13] == 0x06 &&
          std::memcmp(request->target_ip, ip("192.0.2.1").octets.data(), 4) == 0 &&
          std::memcmp(request->sender_ip, request->target_ip, 4) == 0)
        return true;
    }
    return false;
  };
  pipelines::LineSnapshot first = pair.a.snapshot, second = first, other = first, insecure = first;
  const pipelines::Gateway gateway = *first.gateway;
  other.gateway = &gateway;
  insecure.secure = false;
  EXPECT_TRUE(announced(first));
  EXPECT_FALSE(announced(second));
  EXPECT_TRUE(announced(other));
  EXPECT_TRUE(announced(insecure));
  EXPECT_TRUE(announced(first));
}

TEST_F(SlowPath, HoldsPacketsUntilTheirNeighbourAnswers) {
  Inner inner;
  inner.source = "10.2.0.20";
  inner.destination = "10.1.0.99";  // nobody knows it yet
  Outcome sealed = pair.b.egress_one(pair.b.from_inside(inner));
  ASSERT_EQ(sealed.drop, DropReason::none);
  Outcome waiting = pair.a.ingress_one(sealed.frame);
  ASSERT_EQ(waiting.drop, DropReason::no_neighbour);
  take(waiting);
  auto asked = drain(to_inside);
  ASSERT_EQ(asked.size(), 1U);
  const auto* request = wire::view_at<wire::ArpPacket>(asked[0].frame.data() + 14);
  EXPECT_EQ(request->operation.value(), wire::kArpRequest);
  EXPECT_EQ(0, std::memcmp(request->target_ip, ip("10.1.0.99").octets.data(), 4));
  EXPECT_EQ(0, std::memcmp(request->sender_ip, ip("10.1.0.1").octets.data(), 4));

  take(pair.a.egress_one(arp(2, "10.1.0.99", "10.1.0.1", false, false)));
  auto sent = drain(to_inside);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(0, std::memcmp(sent[0].frame.data(), host_mac, 6));
  inner.ttl = 62;
  EXPECT_EQ(Octets(sent[0].frame.begin() + 14, sent[0].frame.end()), packet_of(inner));
  // And from now on the fast path knows.
  EXPECT_EQ(pair.a.ingress_one(pair.b.egress_one(pair.b.from_inside(inner)).frame).drop,
            DropReason::none);
}

TEST_F(SlowPath, SendsAnOutboundPacketThroughTheLineOnceThePeerIsResolved) {
  auto* peer = pair.a.neighbours.get(pipelines::Side::outside, 0, ip("192.0.2.2"));
  pair.a.neighbours.forget(*peer);
  Octets frame = pair.a.from_inside({});
  Outcome waiting = pair.a.egress_one(frame);
  ASSERT_EQ(waiting.drop, DropReason::no_neighbour);
  take(waiting);
  EXPECT_EQ(drain(to_outside).size(), 1U);  // ARP request
  take(pair.a.ingress_one(arp(2, "192.0.2.2", "192.0.2.1", false, true)));
  auto again = drain(to_outside);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].mark.stages, InjectStages::full);
  EXPECT_EQ(again[0].frame, frame);  // untouched: it passes policy and ESP as if new
  Outcome sealed = pair.a.egress_one(again[0].frame);
  ASSERT_EQ(sealed.drop, DropReason::none);
  EXPECT_EQ(0, std::memcmp(sealed.frame.data(), host_mac, 6));
}

TEST_F(SlowPath, AsksThreeTimesThenGivesThePacketsUp) {
  Inner inner;
  inner.source = "10.2.0.20";
  inner.destination = "10.1.0.98";
  for (int i = 0; i < 3; ++i)
    take(pair.a.ingress_one(pair.b.egress_one(pair.b.from_inside(inner)).frame));
  EXPECT_EQ(drain(to_inside).size(), 1U);
  for (int i = 0; i < 10; ++i) {
    now += 500;
    slow->tick(now);
  }
  EXPECT_EQ(drain(to_inside).size(), 2U);
  EXPECT_EQ(slow->counters().held, 3U);
  EXPECT_EQ(slow->counters().held_dropped, 3U);
  EXPECT_EQ(slow->counters().unresolved, 1U);
}

// What `show neighbours` says of a next hop from the first packet for it on.
TEST_F(SlowPath, TellsWhereTheResolutionOfANeighbourStands) {
  const auto of = [this](const char* address) {
    for (const NeighbourStatus& one : slow->neighbours(now)) {
      if (one.address == ip(address)) return one;
    }
    ADD_FAILURE() << "no neighbour " << address;
    return NeighbourStatus{};
  };
  const auto wait = [this](std::uint64_t time) {
    for (const std::uint64_t end = now + time; now < end; slow->tick(now)) now += 500;
    drain(to_inside);
  };
  Inner inner;
  inner.source = "10.2.0.20";
  inner.destination = "10.1.0.97";
  take(pair.a.ingress_one(pair.b.egress_one(pair.b.from_inside(inner)).frame));
  drain(to_inside);
  NeighbourStatus seen = of("10.1.0.97");
  EXPECT_EQ(seen.state, NeighbourState::incomplete);
  EXPECT_EQ(seen.side, pipelines::Side::inside);
  EXPECT_FALSE(seen.mac);
  EXPECT_FALSE(seen.age);
  EXPECT_EQ(seen.held, 1U);
  wait(4000);
  EXPECT_EQ(of("10.1.0.97").state, NeighbourState::failed);
  EXPECT_EQ(of("10.1.0.97").held, 0U);

  take(pair.a.egress_one(arp(1, "10.1.0.97", "10.1.0.1", true, false)));
  drain(to_inside);
  now += 1500;
  seen = of("10.1.0.97");
  EXPECT_EQ(seen.state, NeighbourState::reachable);
  ASSERT_TRUE(seen.mac);
  EXPECT_TRUE(std::equal(seen.mac->begin(), seen.mac->end(), host_mac));
  EXPECT_EQ(seen.age, 1500U);
  wait(59'000);  // asked again after a minute
  EXPECT_EQ(of("10.1.0.97").state, NeighbourState::probe);
  EXPECT_TRUE(of("10.1.0.97").mac);
  wait(4000);
  EXPECT_EQ(of("10.1.0.97").state, NeighbourState::failed);
  EXPECT_FALSE(of("10.1.0.97").mac);
  wait(6000);
  EXPECT_EQ(of("10.1.0.97").state, NeighbourState::none);

  auto* peer = pair.a.neighbours.get(pipelines::Side::outside, 0, ip("192.0.2.2"));
  peer->permanent = true;
  pair.a.neighbours.resolve(*peer, {2, 0, 0, 0, 0, 9});
  EXPECT_EQ(of("192.0.2.2").state, NeighbourState::permanent);
  EXPECT_FALSE(of("192.0.2.2").age);
}

TEST_F(SlowPath, AnArpPacketOfAStrangerTeachesNothing) {
  take(pair.a.ingress_one(arp(1, "192.0.2.66", "192.0.2.9", true, true)));  // not for us
  EXPECT_EQ(pair.a.neighbours.find(pipelines::Side::outside, 0, ip("192.0.2.66")), nullptr);
  take(pair.a.ingress_one(arp(2, "10.2.0.66", "192.0.2.1", false, true)));  // not of this link
  EXPECT_EQ(pair.a.neighbours.find(pipelines::Side::outside, 0, ip("10.2.0.66")), nullptr);
  take(pair.a.ingress_one(arp(2, "192.0.2.1", "192.0.2.1", false, true)));  // our own address
  EXPECT_EQ(pair.a.neighbours.find(pipelines::Side::outside, 0, ip("192.0.2.1")), nullptr);
}

TEST_F(SlowPath, APermanentNeighbourIsNotChangedByArp) {
  auto* peer = pair.a.neighbours.get(pipelines::Side::outside, 0, ip("192.0.2.2"));
  peer->permanent = true;
  std::uint64_t before = peer->link.load();
  take(pair.a.ingress_one(arp(2, "192.0.2.2", "192.0.2.1", false, true)));
  EXPECT_EQ(peer->link.load(), before);
}

TEST_F(SlowPath, AnswersNeighbourSolicitations) {
  Octets p(40 + sizeof(wire::NdMessage));
  wire::store_be(p.data(), std::uint32_t{6} << 28);
  wire::store_be(p.data() + 4, std::uint16_t{sizeof(wire::NdMessage)});
  p[6] = 58;
  p[7] = 255;
  std::memcpy(p.data() + 8, ip("2001:db8::2").octets.data(), 16);
  std::memcpy(p.data() + 24, ip("ff02::1:ff00:1").octets.data(), 16);
  auto* nd = wire::view_at<wire::NdMessage>(p.data() + 40);
  nd->type = wire::kIcmpv6NeighbourSolicitation;
  std::memcpy(nd->target, ip("2001:db8::1").octets.data(), 16);
  nd->option_type = wire::kNdSourceLinkLayer;
  nd->option_length = 1;
  std::memcpy(nd->link_layer, host_mac, 6);
  wire::set_ipv6_upper_checksum(p.data(), p.data() + 40, sizeof(wire::NdMessage), 58, nd->checksum);
  const std::uint8_t group[6] = {0x33, 0x33, 0xff, 0, 0, 1};
  take(pair.a.ingress_one(frame_of(p, group)));
  auto sent = drain(to_outside);
  ASSERT_EQ(sent.size(), 1U);
  const Octets& f = sent[0].frame;
  EXPECT_EQ(0, std::memcmp(f.data(), host_mac, 6));
  EXPECT_EQ(f[14 + 7], 255);
  const auto* na = wire::view_at<wire::NdMessage>(f.data() + 54);
  EXPECT_EQ(na->type, wire::kIcmpv6NeighbourAdvertisement);
  EXPECT_EQ(na->flags.value(), 0xe0000000U);
  EXPECT_EQ(0, std::memcmp(na->link_layer, pair.a.snapshot.outside[0].mac, 6));
  EXPECT_TRUE(
      wire::ipv6_upper_checksum_good(f.data() + 14, f.data() + 54, sizeof(wire::NdMessage), 58));

  p[60] ^= 1;  // checksum wrong now
  take(pair.a.ingress_one(frame_of(p, group)));
  EXPECT_TRUE(drain(to_outside).empty());
  p[60] ^= 1;
  p[7] = 254;  // came over a router: no ND
  EXPECT_EQ(pair.a.ingress_one(frame_of(p, group)).drop, DropReason::not_for_us);
}

TEST_F(SlowPath, ResolvesIpv6Neighbours) {
  Inner inner;
  inner.source = "fd00:2::10";
  inner.destination = "fd00:1::77";
  take(pair.a.ingress_one(pair.b.egress_one(pair.b.from_inside(inner)).frame));
  auto asked = drain(to_inside);
  ASSERT_EQ(asked.size(), 1U);
  const Octets& f = asked[0].frame;
  EXPECT_EQ(f[0], 0x33);
  EXPECT_EQ(f[4], 0);
  EXPECT_EQ(f[5], 0x77);
  EXPECT_EQ(f[54], wire::kIcmpv6NeighbourSolicitation);
  Octets p(40 + sizeof(wire::NdMessage));
  wire::store_be(p.data(), std::uint32_t{6} << 28);
  wire::store_be(p.data() + 4, std::uint16_t{sizeof(wire::NdMessage)});
  p[6] = 58;
  p[7] = 255;
  std::memcpy(p.data() + 8, ip("fd00:1::77").octets.data(), 16);
  std::memcpy(p.data() + 24, ip("fd00:1::1").octets.data(), 16);
  auto* nd = wire::view_at<wire::NdMessage>(p.data() + 40);
  nd->type = wire::kIcmpv6NeighbourAdvertisement;
  nd->flags = wire::Be32(wire::kNaSolicited | wire::kNaOverride);
  std::memcpy(nd->target, ip("fd00:1::77").octets.data(), 16);
  nd->option_type = wire::kNdTargetLinkLayer;
  nd->option_length = 1;
  std::memcpy(nd->link_layer, host_mac, 6);
  wire::set_ipv6_upper_checksum(p.data(), p.data() + 40, sizeof(wire::NdMessage), 58, nd->checksum);
  take(pair.a.egress_one(frame_of(p, pair.a.snapshot.inside[0].mac)));
  auto sent = drain(to_inside);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(0, std::memcmp(sent[0].frame.data(), host_mac, 6));
}

TEST_F(SlowPath, AnswersEchoFromInsideFromOutsideAndThroughTheTunnel) {
  take(pair.a.egress_one(frame_of(echo("10.1.0.10", "10.1.0.1"), pair.a.snapshot.inside[0].mac)));
  auto inside = drain(to_inside);
  ASSERT_EQ(inside.size(), 1U);
  const Octets& f = inside[0].frame;
  EXPECT_EQ(f[34], wire::kIcmpEchoReply);
  EXPECT_EQ(wire::fold(wire::sum_words(f.data() + 34, f.size() - 34)), 0xffff);
  EXPECT_TRUE(wire::parse_ip({f.data() + 14, f.size() - 14}));
  EXPECT_EQ(0, std::memcmp(f.data() + 30, ip("10.1.0.10").octets.data(), 4));

  take(
      pair.a.ingress_one(frame_of(echo("192.0.2.2", "192.0.2.1"), pair.a.snapshot.outside[0].mac)));
  EXPECT_EQ(drain(to_outside).size(), 1U);

  // B's host pings A's inside address: the answer must go back through policy.
  Octets request = frame_of(echo("10.2.0.20", "10.1.0.1"), pair.b.snapshot.inside[0].mac);
  Outcome punted = pair.a.ingress_one(pair.b.egress_one(request).frame);
  ASSERT_EQ(punted.drop, DropReason::punted);
  EXPECT_TRUE(punted.mark.decrypted);
  take(punted);
  auto tunnelled = drain(to_outside);
  ASSERT_EQ(tunnelled.size(), 1U);
  EXPECT_EQ(tunnelled[0].mark.stages, InjectStages::full);
  Outcome sealed = pair.a.egress_one(tunnelled[0].frame);
  ASSERT_EQ(sealed.drop, DropReason::none);
  EXPECT_EQ(sealed.frame[14 + 9], wire::kProtocolEsp);
  Outcome back = pair.b.ingress_one(sealed.frame);
  ASSERT_EQ(back.drop, DropReason::none);
  EXPECT_EQ(back.frame[34], wire::kIcmpEchoReply);

  Octets ipv6 = frame_of(echo("fd00:1::10", "fd00:1::1"), pair.a.snapshot.inside[0].mac);
  take(pair.a.egress_one(ipv6));
  auto reply = drain(to_inside);
  ASSERT_EQ(reply.size(), 1U);
  EXPECT_EQ(reply[0].frame[54], wire::kIcmpv6EchoReply);
  EXPECT_TRUE(wire::ipv6_upper_checksum_good(reply[0].frame.data() + 14, reply[0].frame.data() + 54,
                                             64, 58));
}

TEST_F(SlowPath, SendsPacketTooBigWithTheMtuThatFitsTheTunnel) {
  Inner inner;
  inner.dont_fragment = true;
  inner.payload = 1480;  // 1500 octets: too long with ESP around
  Outcome big = pair.a.egress_one(pair.a.from_inside(inner));
  ASSERT_EQ(big.drop, DropReason::packet_too_big);
  take(big);
  auto sent = drain(to_inside);
  ASSERT_EQ(sent.size(), 1U);
  const Octets& f = sent[0].frame;
  EXPECT_EQ(f[34], wire::kIcmpUnreachable);
  EXPECT_EQ(f[35], wire::kIcmpFragmentationNeeded);
  const std::uint32_t mtu = wire::load_be<std::uint32_t>(f.data() + 38);
  EXPECT_EQ(mtu, 1446U);  // 1500 - 20 outer IP - 8 ESP - 8 IV - 16 ICV = 1448, less trailer
  EXPECT_EQ(wire::fold(wire::sum_words(f.data() + 34, f.size() - 34)), 0xffff);
  // A packet of that size does pass, and one octet more does not.
  inner.payload = static_cast<std::uint16_t>(mtu - 20);
  Outcome fits = pair.a.egress_one(pair.a.from_inside(inner));
  ASSERT_EQ(fits.drop, DropReason::none);
  EXPECT_LE(fits.frame.size(), 14U + 1500U);
  EXPECT_GT(fits.frame.size() + 4, 14U + 1500U);
  ++inner.payload;
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside(inner)).drop, DropReason::packet_too_big);

  Inner v6;
  v6.source = "fd00:1::10";
  v6.destination = "fd00:2::10";
  v6.payload = 1460;
  Outcome big6 = pair.a.egress_one(pair.a.from_inside(v6));
  ASSERT_EQ(big6.drop, DropReason::packet_too_big);
  take(big6);
  sent = drain(to_inside);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame[54], wire::kIcmpv6PacketTooBig);
  EXPECT_EQ(wire::load_be<std::uint32_t>(sent[0].frame.data() + 58), 1446U);
  EXPECT_LE(sent[0].frame.size(), 14U + 1280U);
  auto length = static_cast<std::uint16_t>(sent[0].frame.size() - 54);
  EXPECT_TRUE(wire::ipv6_upper_checksum_good(sent[0].frame.data() + 14, sent[0].frame.data() + 54,
                                             length, 58));
}

TEST_F(SlowPath, LearnsThePathMtuOfATunnelFromARouterOnTheWay) {
  Octets frame =
      pair.a.egress_one(pair.a.from_inside({.dont_fragment = true, .payload = 1400})).frame;
  auto told = [&](std::uint32_t mtu, std::uint32_t spi) {
    Octets p = packet_of(
        {.source = "192.0.2.99", .destination = "192.0.2.1", .protocol = 1, .payload = 8 + 28});
    std::uint8_t* message = p.data() + 20;
    std::fill_n(message, 8, 0);
    message[0] = wire::kIcmpUnreachable;
    message[1] = wire::kIcmpFragmentationNeeded;
    wire::store_be(message + 4, mtu);
    std::memcpy(message + 8, frame.data() + 14, 28);
    wire::store_be(message + 28, spi);
    std::uint16_t checksum = wire::checksum_of(wire::sum_words(message, 36));
    std::memcpy(message + 2, &checksum, 2);
    take(pair.a.ingress_one(frame_of(p, pair.a.snapshot.outside[0].mac)));
  };
  auto& mtu = pair.a.slot->current.load()->path_mtu;
  told(1400, 0x9999);  // not ours
  EXPECT_EQ(mtu.load(), 0);
  told(1400, 0x1001);
  EXPECT_EQ(mtu.load(), 1400);
  Outcome big = pair.a.egress_one(pair.a.from_inside({.dont_fragment = true, .payload = 1400}));
  EXPECT_EQ(big.drop, DropReason::packet_too_big);
  EXPECT_EQ(big.mark.mtu, 1346);
  told(1450, 0x1001);  // only lower
  EXPECT_EQ(mtu.load(), 1400);
  told(68, 0x1001);  // and not below the floor
  EXPECT_EQ(mtu.load(), 576);
  slow->tick(now + 599'000);
  EXPECT_EQ(mtu.load(), 576);
  slow->tick(now + 601'000);
  EXPECT_EQ(mtu.load(), 0);
  drain(to_outside);
}

TEST_F(SlowPath, PointsEverySaAtItsNextHop) {
  slow->tick(now += 6000);
  const auto* adjacency = pair.a.slot->current.load()->adjacency.load();
  ASSERT_NE(adjacency, nullptr);
  EXPECT_EQ(adjacency->address, ip("192.0.2.2"));
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::none);
  pair.a.neighbours.forget(*pair.a.neighbours.get(pipelines::Side::outside, 0, ip("192.0.2.2")));
  EXPECT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::no_neighbour);
}

TEST_F(SlowPath, LimitsTheRateOfErrorsAndSendsNoneAboutErrors) {
  Inner inner;
  inner.dont_fragment = true;
  inner.payload = 1480;
  Octets frame = pair.a.from_inside(inner);
  for (int i = 0; i < 150; ++i) take(pair.a.egress_one(frame));
  EXPECT_EQ(drain(to_inside).size(), 100U);
  EXPECT_EQ(slow->counters().rate_limited, 50U);
  now += 1000;
  take(pair.a.egress_one(frame));
  EXPECT_EQ(drain(to_inside).size(), 1U);
  inner.protocol = 1;
  Octets packet = packet_of(inner);
  packet[20] = wire::kIcmpUnreachable;
  take(pair.a.egress_one(frame_of(packet, pair.a.snapshot.inside[0].mac)));
  EXPECT_TRUE(drain(to_inside).empty());
}

TEST_F(SlowPath, SendsTimeExceeded) {
  Inner inner;
  inner.ttl = 1;
  Outcome expired = pair.a.egress_one(pair.a.from_inside(inner));
  ASSERT_EQ(expired.drop, DropReason::ttl_expired);
  take(expired);
  auto sent = drain(to_inside);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame[34], wire::kIcmpTimeExceeded);
}

TEST_F(SlowPath, ReassemblesOuterFragments) {
  Octets whole = pair.b
                     .egress_one(pair.b.from_inside(
                         {.source = "10.2.0.20", .destination = "10.1.0.10", .payload = 1200}))
                     .frame;
  // The network cuts the ESP packet in two, and delivers the pieces in the wrong order.
  auto piece = [&](std::size_t from, std::size_t to, bool more) {
    Octets f(whole.begin(), whole.begin() + 34);
    f.insert(f.end(), whole.begin() + 34 + static_cast<long>(from),
             whole.begin() + 34 + static_cast<long>(to));
    wire::store_be(f.data() + 16, static_cast<std::uint16_t>(20 + to - from));
    wire::store_be(f.data() + 20, static_cast<std::uint16_t>((more ? 0x2000U : 0U) | from / 8));
    wire::set_ipv4_checksum(f.data() + 14, 20);
    return f;
  };
  const std::size_t length = whole.size() - 34;
  for (const Octets& f : {piece(800, length, false), piece(0, 800, true)}) {
    Outcome punted = pair.a.ingress_one(f);
    ASSERT_EQ(punted.drop, DropReason::punted);
    ASSERT_EQ(punted.mark.reason, PuntReason::fragment);
    take(punted);
  }
  auto again = drain(to_inside);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].mark.stages, InjectStages::full);
  Outcome opened = pair.a.ingress_one(again[0].frame);
  ASSERT_EQ(opened.drop, DropReason::none);
  EXPECT_EQ(opened.frame.size(), 14U + 20U + 1200U);
}

TEST_F(SlowPath, ReassemblesOuterIpv6Fragments) {
  TunnelOptions options;
  options.outer_v6 = true;
  pair.b.outbound_sa(0x2002, options);
  pair.a.inbound_sa(0x2002, options);
  Octets whole = pair.b
                     .egress_one(pair.b.from_inside(
                         {.source = "10.2.0.20", .destination = "10.1.0.10", .payload = 1200}))
                     .frame;
  ASSERT_EQ(whole[14] >> 4, 6);
  auto piece = [&](std::size_t from, std::size_t to, bool more) {
    Octets f(whole.begin(), whole.begin() + 54);
    f[14 + 6] = 44;
    wire::store_be(f.data() + 18, static_cast<std::uint16_t>(8 + to - from));
    Octets header(8);
    header[0] = 50;
    wire::store_be(header.data() + 2, static_cast<std::uint16_t>(from | (more ? 1U : 0U)));
    header[7] = 9;
    f.insert(f.end(), header.begin(), header.end());
    f.insert(f.end(), whole.begin() + 54 + static_cast<long>(from),
             whole.begin() + 54 + static_cast<long>(to));
    return f;
  };
  const std::size_t length = whole.size() - 54;
  for (const Octets& f : {piece(0, 800, true), piece(800, length, false)}) {
    Outcome punted = pair.a.ingress_one(f);
    ASSERT_EQ(punted.drop, DropReason::punted);
    take(punted);
  }
  auto again = drain(to_inside);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(pair.a.ingress_one(again[0].frame).drop, DropReason::none);
}

TEST_F(SlowPath, CutsWhatABurstCannotHold) {
  pair.a.gateway.outside[0].ip_mtu = 120;
  Inner inner;
  inner.payload = 8000;
  Outcome punted = pair.a.egress_one(pair.a.from_inside(inner));
  ASSERT_EQ(punted.drop, DropReason::punted);
  ASSERT_EQ(punted.mark.reason, PuntReason::too_big);
  take(punted);
  auto pieces = drain(to_outside);
  ASSERT_GT(pieces.size(), 64U);
  std::size_t octets = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(pieces[i].mark.stages, InjectStages::full);
    Outcome sealed = pair.a.egress_one(pieces[i].frame);
    ASSERT_EQ(sealed.drop, DropReason::none) << i;
    octets += pieces[i].frame.size() - 34;
  }
  EXPECT_EQ(octets, 8000U);
}

TEST_F(SlowPath, GivesIkeToItsHandler) {
  Inner inner;
  inner.source = "192.0.2.2";
  inner.destination = "192.0.2.1";
  inner.destination_port = 500;
  take(pair.a.ingress_one(frame_of(packet_of(inner), pair.a.snapshot.outside[0].mac)));
  EXPECT_EQ(ike.size(), 1U);
  inner.destination_port = 4500;
  Octets marked = packet_of(inner);
  wire::store_be(marked.data() + 24, std::uint16_t{64});  // UDP length
  std::fill_n(marked.begin() + 28, 4, 0);                 // non-ESP marker
  take(pair.a.ingress_one(frame_of(marked, pair.a.snapshot.outside[0].mac)));
  EXPECT_EQ(ike.size(), 2U);
}

TEST_F(SlowPath, KeepsTheNatMappingAliveOnlyWhenIdle) {
  TunnelOptions options;
  options.udp = true;
  pair.a.outbound_sa(0x1003, options);
  pair.b.inbound_sa(0x1003, options);
  slow->tick(now);
  for (int second = 0; second < 15; ++second) slow->tick(now += 1000);
  EXPECT_TRUE(drain(to_outside).empty());
  ASSERT_EQ(pair.a.egress_one(pair.a.from_inside({})).drop, DropReason::none);
  for (int second = 0; second < 20; ++second) slow->tick(now += 1000);
  EXPECT_TRUE(drain(to_outside).empty());
  slow->tick(now += 1000);
  auto sent = drain(to_outside);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(pair.b.ingress_one(sent[0].frame).drop, DropReason::nat_keepalive);
}

TEST_F(SlowPath, IgnoresWhatHasNoMark) {
  rte_mbuf* const m = mbuf_of(Octets(60));
  std::memset(m->buf_addr, 0, rte_pktmbuf_headroom(m));  // the mark of an earlier use
  slow->take(m, now);
  EXPECT_EQ(slow->counters().ignored, 1U);
}

}  // namespace
}  // namespace sealwire::control
