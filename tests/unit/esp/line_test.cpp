// Gateway lines between ports, run by workers: [esp] and [esp, macsec], alone and in turn, with
// rekeys under way.
#include <gtest/gtest.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

#include "pipelines/mark.h"
#include "pipelines/wire/ethernet.h"
#include "pipelines/wire/ip.h"
#include "tests/unit/esp/gateways.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

using namespace std::chrono_literals;

class GatewayStages : public ::testing::TestWithParam<bool> {};

TEST_P(GatewayStages, CarryPacketsBothWaysAndShowNoneOnTheWire) {
  const bool macsec = GetParam();
  Gateways g(macsec);
  Loop loop(both({&g.a, &g.b}));
  std::vector<Bytes> sent_a, sent_b;
  for (std::uint32_t i = 0; i < 200; ++i) {
    sent_a.push_back(udp_frame(1, 2, i, 60 + i * 6));
    sent_b.push_back(udp_frame(2, 1, i, 1300 - i * 6));
    ASSERT_TRUE(g.a.inside.put(sent_a.back()));
    ASSERT_TRUE(g.b.inside.put(sent_b.back()));
  }
  loop.run_until_quiet();
  for (const Bytes& f : Sites::carry(g.a, g.b)) {
    EXPECT_EQ(wire::load_be<std::uint16_t>(f.data() + 12), macsec ? 0x88e5 : 0x0800);
    if (!macsec) {
      EXPECT_EQ(f[23], wire::kProtocolEsp);
    }
  }
  Sites::carry(g.b, g.a);
  loop.run_until_quiet();
  auto arrived = [](std::vector<Bytes> sent, unsigned to) {
    for (Bytes& f : sent) {
      const std::uint8_t host[6] = {2, 0xaa, 0, 0, 0, static_cast<std::uint8_t>(to)};
      std::memcpy(f.data(), host, 6);
      std::memcpy(f.data() + 6, kInsideMac, 6);
      f[22] = 62;
      wire::set_ipv4_checksum(f.data() + 14, 20);
    }
    return sent;
  };
  EXPECT_TRUE(same(g.b.inside.take(), arrived(sent_a, 2)));
  EXPECT_TRUE(same(g.a.inside.take(), arrived(sent_b, 1)));
}

TEST_P(GatewayStages, WhatIsPuntedIsMarkedAndWhatIsInjectedIsSealed) {
  const bool macsec = GetParam();
  Gateways g(macsec);
  Loop loop(both({&g.a, &g.b}));
  // An ARP request of ours, as the control thread sends it.
  Bytes arp(42);
  std::memset(arp.data(), 0xff, 6);
  std::memcpy(arp.data() + 6, kOutsideMac[0], 6);
  arp[12] = 8;
  arp[13] = 6;
  rte_mbuf* m = make_mbuf(arp);
  InjectMark mark;
  mark.stages = InjectStages::seal;
  ASSERT_TRUE(set_mark(m, mark));
  ASSERT_EQ(rte_ring_enqueue(g.a.egress.inject, m), 0);
  loop.run_until_quiet();
  auto frames = Sites::carry(g.a, g.b);
  ASSERT_EQ(frames.size(), 1U);
  if (macsec) {
    EXPECT_EQ(wire::load_be<std::uint16_t>(frames[0].data() + 12), 0x88e5);
  } else {
    EXPECT_EQ(frames[0], arp);
  }
  ASSERT_TRUE(g.b.outside.put(frames[0]));  // and a copy of it
  loop.run_until_quiet();
  void* object;
  ASSERT_EQ(rte_ring_dequeue(g.b.ingress.punt, &object), 0);
  auto* punted = static_cast<rte_mbuf*>(object);
  EXPECT_EQ(get_mark<PuntMark>(punted).reason, PuntReason::arp);
  EXPECT_TRUE(get_mark<PuntMark>(punted).from_outside);
  EXPECT_EQ(bytes_of(punted), arp);
  rte_pktmbuf_free(punted);
  if (macsec) {
    // The copy was a replay at layer 2: not even ARP may come of it.
    EXPECT_NE(rte_ring_dequeue(g.b.ingress.punt, &object), 0);
    EXPECT_EQ(loop.drops(3, DropReason::in_pkts_late), 1U);
  }
}

TEST_P(GatewayStages, FullInjectionPassesPolicyAndEsp) {
  Gateways g(GetParam());
  Loop loop(both({&g.a, &g.b}));
  rte_mbuf* m = make_mbuf(udp_frame(1, 2, 7, 100));
  InjectMark mark;
  mark.stages = InjectStages::full;
  ASSERT_TRUE(set_mark(m, mark));
  ASSERT_EQ(rte_ring_enqueue(g.a.egress.inject, m), 0);
  m = make_mbuf(udp_frame(1, 9, 7, 100));  // outside the policy
  ASSERT_TRUE(set_mark(m, mark));
  ASSERT_EQ(rte_ring_enqueue(g.a.egress.inject, m), 0);
  loop.run_until_quiet();
  EXPECT_EQ(Sites::carry(g.a, g.b).size(), 1U);
  EXPECT_EQ(loop.drops(0, DropReason::policy_discard), 1U);
  loop.run_until_quiet();
  EXPECT_EQ(g.b.inside.take().size(), 1U);
}

TEST_P(GatewayStages, AnEspReplayInsideAFreshFrameIsDropped) {
  const bool macsec = GetParam();
  Gateways g(macsec);
  Loop loop(both({&g.a, &g.b}));
  ASSERT_TRUE(g.a.inside.put(udp_frame(1, 2, 1, 100)));
  loop.run_until_quiet();
  auto frames = Sites::carry(g.a, g.b);
  loop.run_until_quiet();
  EXPECT_EQ(g.b.inside.take().size(), 1U);
  ASSERT_TRUE(g.b.outside.put(frames[0]));
  loop.run_until_quiet();
  EXPECT_TRUE(g.b.inside.take().empty());
  EXPECT_EQ(loop.drops(3, macsec ? DropReason::in_pkts_late : DropReason::esp_replay), 1U);
}

// Of two frames out of order MACsec drops the second, after both were opened. The ESP packet in it
// comes again in a later frame.
TEST(GatewayWindows, WhatMacsecDropsMovesNothingOfEsp) {
  Gateways g(true), again(true);
  Loop loop(both({&g.a, &g.b, &again.a}));
  for (const std::uint32_t stamp : {1U, 2U})
    ASSERT_TRUE(g.a.inside.put(udp_frame(1, 2, stamp, 100)));
  loop.run_until_quiet();
  const auto frames = g.a.outside.take();
  ASSERT_EQ(frames.size(), 2U);
  ASSERT_TRUE(g.b.outside.put(frames[1]));
  ASSERT_TRUE(g.b.outside.put(frames[0]));
  loop.run_until_quiet();
  EXPECT_EQ(g.b.inside.take().size(), 1U);
  EXPECT_EQ(loop.drops(3, DropReason::in_pkts_late), 1U);
  again.a.secy->retire_transmit_sa(crypto::An(0));
  add_transmit(*again.a.secy, {.pn = 3});
  ASSERT_TRUE(again.a.inside.put(udp_frame(1, 2, 1, 100)));
  loop.run_until_quiet();
  ASSERT_EQ(Sites::carry(again.a, g.b).size(), 1U);
  loop.run_until_quiet();
  EXPECT_EQ(g.b.inside.take().size(), 1U);
}

TEST_P(GatewayStages, ALineThatIsNotSecureForwardsNothing) {
  Gateways g(GetParam());
  Loop loop(both({&g.a, &g.b}));
  ASSERT_TRUE(g.a.inside.put(udp_frame(1, 2, 1, 100)));
  loop.run_until_quiet();
  auto frames = Sites::carry(g.a, g.b);
  g.b.snapshot.secure = false;
  g.a.snapshot.secure = false;
  ASSERT_TRUE(g.a.inside.put(udp_frame(1, 2, 2, 100)));
  loop.run_until_quiet();
  EXPECT_TRUE(g.b.inside.take().empty());
  EXPECT_TRUE(g.a.outside.take().empty());
  EXPECT_EQ(loop.drops(0, DropReason::unsealed), 1U);
  EXPECT_EQ(loop.drops(3, DropReason::unsealed), 1U);
}

INSTANTIATE_TEST_SUITE_P(All, GatewayStages, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "esp_macsec" : "esp"; });

struct TurnCase {
  bool macsec;
  unsigned workers;
};

class EspInTurn : public ::testing::TestWithParam<TurnCase> {};

// Several workers share each SA while SAs are replaced: on the wire the numbers of each SA only
// rise, and everything arrives, in order.
TEST_P(EspInTurn, KeepsNumbersAndPacketsInOrderWhileRekeying) {
  const TurnCase c = GetParam();
  start_eal();
  const unsigned before = mbufs_in_use();
  {
    Gateways g(c.macsec, Spread::shared_queue);
    for (Wire* w : {static_cast<Wire*>(&g.a), static_cast<Wire*>(&g.b)})
      for (LineDirection* d : {&w->egress, &w->ingress}) {
        rte_ring_free(std::exchange(d->inject, nullptr));
        rte_ring_free(std::exchange(d->punt, nullptr));
      }
    auto* const qsbr = static_cast<rte_rcu_qsbr*>(
        rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(c.workers), RTE_CACHE_LINE_SIZE));
    rte_rcu_qsbr_init(qsbr, c.workers);
    struct Thread {
      std::vector<std::unique_ptr<Lane>> lanes;
      LaneList list;
      std::unique_ptr<Worker> worker;
      std::thread thread;
    };
    std::vector<Thread> threads(c.workers);
    for (std::uint16_t i = 0; i < c.workers; ++i) {
      Thread& t = threads[i];
      t.worker =
          std::make_unique<Worker>(WorkerSettings{.id = i, .idle = Idle::automatic, .qsbr = qsbr});
      t.thread = std::thread([&t, &g] {
        for (Wire* w : {static_cast<Wire*>(&g.a), static_cast<Wire*>(&g.b)})
          for (LineDirection* d : {&w->egress, &w->ingress}) {
            t.lanes.push_back(std::make_unique<Lane>(
                LaneSettings{.line = d, .receive = {{0, 0}}, .engine = &engine()}));
            t.list.lanes.push_back(t.lanes.back().get());
          }
        t.worker->publish(&t.list);
        t.worker->run();
      });
    }
    std::atomic<bool> more{true}, stop{false};
    std::atomic<std::uint32_t> fed{0}, next{0};
    std::thread carrier([&] {
      std::map<std::uint32_t, std::uint32_t> sent_by;  // SPI: last number
      while (!stop.load()) {
        for (int i = 0; i < 64 && more.load(); ++i) {
          rte_mbuf* m = make_mbuf(udp_frame(1, 2, fed.load(), 60 + fed.load() * 37 % 900));
          if (!g.a.inside.put_mbuf(m)) {
            rte_pktmbuf_free(m);
            break;
          }
          ++fed;
        }
        while (rte_mbuf* m = g.a.outside.take_mbuf()) {
          if (!c.macsec) {
            const auto* f = rte_pktmbuf_mtod(m, const std::uint8_t*);
            const auto this_spi = wire::load_be<std::uint32_t>(f + 34);
            const auto this_sn = wire::load_be<std::uint32_t>(f + 38);
            // Bursts are classified beside each other, so around a rekey a later burst may still be
            // on the old SA; each SA's own numbers come without a gap all the same.
            EXPECT_EQ(this_sn, ++sent_by[this_spi]);
          }
          while (!g.b.outside.put_mbuf(m)) std::this_thread::yield();
        }
        while (rte_mbuf* m = g.b.inside.take_mbuf()) {
          std::uint32_t stamp;
          std::memcpy(&stamp, rte_pktmbuf_mtod_offset(m, void*, kStampAt), 4);
          EXPECT_EQ(stamp, next.load());
          next = stamp + 1;
          rte_pktmbuf_free(m);
        }
        std::this_thread::yield();
      }
    });
    for (int i = 0; i < 12; ++i) {
      std::this_thread::sleep_for(5ms);
      g.rekey();
      const std::uint64_t token = rte_rcu_qsbr_start(qsbr);
      const auto until = std::chrono::steady_clock::now() + 20s;
      while (rte_rcu_qsbr_check(qsbr, token, false) != 1) {
        ASSERT_LT(std::chrono::steady_clock::now(), until);
        std::this_thread::sleep_for(1ms);
      }
      // What the old SA sealed is through before its receiver goes, at the next rekey.
      const std::uint32_t last = fed.load();
      while (next.load() <= last) {
        ASSERT_LT(std::chrono::steady_clock::now(), until);
        std::this_thread::sleep_for(1ms);
      }
      g.a.retired.clear();
      g.b.retired.clear();
    }
    more = false;
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (next.load() < fed.load() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(2ms);
    for (Thread& t : threads) {
      t.worker->stop();
      t.thread.join();
    }
    stop = true;
    carrier.join();
    std::uint64_t dropped = 0;
    for (const Thread& t : threads)
      for (const auto& lane : t.lanes)
        for (std::size_t r = 1; r < kDropReasons; ++r) {
          const std::uint64_t n = lane->counters().drops[r].read();
          dropped += n;
          EXPECT_EQ(n, 0U) << info(static_cast<DropReason>(r)).name;
        }
    EXPECT_EQ(next.load() + dropped, fed.load());
    EXPECT_GT(fed.load(), 100U);
    rte_free(qsbr);
  }
  EXPECT_EQ(mbufs_in_use(), before);
}

INSTANTIATE_TEST_SUITE_P(
    All, EspInTurn, ::testing::Values(TurnCase{false, 2}, TurnCase{true, 2}, TurnCase{true, 3}),
    [](const auto& p) {
      return (p.param.macsec ? "esp_macsec_" : "esp_") + std::to_string(p.param.workers);
    });

}  // namespace
}  // namespace sealwire::pipelines::test
