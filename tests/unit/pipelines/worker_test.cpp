// What the worker does around the stages: metadata VLANs, chained and shared mbufs, resources that
// run out, injected packets, full queues, epochs, lists, idling and stalls.
#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>

#include "pipelines/mark.h"
#include "pipelines/wire/macsec.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

using namespace std::chrono_literals;

TEST(WorkerFrames, StrippedVlanTagIsPutBackBeforeSealing) {
  Sites s;
  add_transmit(*s.a.secy, {});
  add_receive(*s.b.secy, kSciA, {});
  const Bytes f = make_frame(90);
  rte_mbuf* const m = make_mbuf(f);
  m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  m->vlan_tci = 0x6123;
  ASSERT_TRUE(s.a.inside.put_mbuf(m));
  s.loop.run_until_quiet();
  Sites::carry(s.a, s.b);
  s.loop.run_until_quiet();
  Bytes tagged = f;
  const Bytes tag{0x81, 0x00, 0x61, 0x23};
  tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
  EXPECT_TRUE(same(s.b.inside.take(), {tagged}));
}

// The frame in pieces of at most `piece` octets.
rte_mbuf* chained(const Bytes& frame, std::size_t piece) {
  rte_mbuf* head = nullptr;
  for (std::size_t at = 0; at < frame.size(); at += piece) {
    const Bytes part(
        frame.begin() + static_cast<std::ptrdiff_t>(at),
        frame.begin() + static_cast<std::ptrdiff_t>(std::min(at + piece, frame.size())));
    rte_mbuf* const m = make_mbuf(part, pool());
    if (head == nullptr) {
      head = m;
    } else {
      EXPECT_EQ(rte_pktmbuf_chain(head, m), 0);
    }
  }
  return head;
}

TEST(WorkerFrames, ChainedAndSharedMbufsAreSealedAsAnyOther) {
  Sites s;
  add_transmit(*s.a.secy, {});
  add_receive(*s.b.secy, kSciA, {});
  const unsigned before = mbufs_in_use();
  std::vector<Bytes> sent;
  std::uint64_t slow = 0;
  for (const std::size_t length : {60U, 1500U, 5000U, 9000U}) {
    for (const std::size_t piece : {7U, 100U, 2000U}) {
      if (length / piece > 100) continue;
      sent.push_back(make_frame(length, static_cast<std::uint32_t>(piece)));
      rte_mbuf* const m = chained(sent.back(), piece);
      slow += m->nb_segs > 1 ? 1 : 0;
      ASSERT_TRUE(s.a.inside.put_mbuf(m));
    }
  }
  const Bytes shared = make_frame(200, 9);
  rte_mbuf* const m = make_mbuf(shared);
  rte_mbuf_refcnt_update(m, 1);
  ASSERT_TRUE(s.a.inside.put_mbuf(m));
  sent.push_back(shared);
  ++slow;
  s.loop.run_until_quiet();
  EXPECT_EQ(s.loop.lane(0).counters().linearised.read(), slow);
  EXPECT_EQ(bytes_of(m), shared) << "another owner's octets stay as they were";
  rte_pktmbuf_free(m);
  Sites::carry(s.a, s.b);
  s.loop.run_until_quiet();
  EXPECT_TRUE(same(s.b.inside.take(), sent));
  EXPECT_EQ(mbufs_in_use(), before);
}

TEST(WorkerDrops, NoBufferForAChain) {
  Sites s;
  add_transmit(*s.a.secy, {});
  const auto offer = [&] {
    EXPECT_TRUE(s.a.inside.put_mbuf(chained(make_frame(300), 100)));
    s.loop.run_until_quiet();
    return s.a.outside.take().size();
  };
  EXPECT_EQ(offer(), 1U);
  rte_mempool* const whole = s.a.egress.pool;
  s.a.egress.pool = nullptr;
  EXPECT_EQ(offer(), 0U);
  EXPECT_EQ(s.loop.drops(0, DropReason::no_buffer), 1U);
  // A pool whose buffers are too small is as good as none.
  s.a.egress.pool = pool();
  EXPECT_TRUE(s.a.inside.put_mbuf(chained(make_frame(4000), 1000)));
  s.loop.run_until_quiet();
  EXPECT_EQ(s.loop.drops(0, DropReason::no_buffer), 2U);
  s.a.egress.pool = whole;
  EXPECT_EQ(offer(), 1U);
}

TEST(WorkerDrops, NoHeadroomNeverLeavesInClear) {
  Sites s;
  add_transmit(*s.a.secy, {});
  const unsigned before = mbufs_in_use();
  for (const std::uint16_t headroom : std::initializer_list<std::uint16_t>{0, 15, 16}) {
    rte_mbuf* const m = make_mbuf(make_frame(100));
    // The frame moved to the buffer's start.
    const Bytes f = bytes_of(m);
    m->data_off = headroom;
    std::memcpy(rte_pktmbuf_mtod(m, void*), f.data(), f.size());
    ASSERT_TRUE(s.a.inside.put_mbuf(m));
  }
  rte_mbuf* const full = make_mbuf(make_frame(100));
  const auto more = static_cast<std::uint16_t>(rte_pktmbuf_tailroom(full) - 15);
  std::memset(rte_pktmbuf_append(full, more), 1, more);
  ASSERT_TRUE(s.a.inside.put_mbuf(full));
  s.loop.run_until_quiet();
  EXPECT_EQ(s.loop.drops(0, DropReason::no_headroom), 3U);
  EXPECT_EQ(s.a.outside.take().size(), 1U);
  EXPECT_EQ(mbufs_in_use(), before);
}

TEST(WorkerDrops, LineThatIsNotSecureForwardsNothing) {
  for (const bool macsec : {false, true}) {
    Wire wire({.macsec = macsec});
    Loop loop(both({&wire}));
    wire.snapshot.secure = false;
    ASSERT_TRUE(wire.inside.put(make_frame(100)) && wire.outside.put(make_frame(100)));
    loop.run_until_quiet();
    EXPECT_EQ(wire.outside.waiting() + wire.inside.waiting(), 0U);
    EXPECT_EQ(loop.drops(0, DropReason::unsealed), 1U);
    EXPECT_EQ(loop.drops(1, DropReason::unsealed), 1U);
  }
}

TEST(WorkerDrops, MalformedEthernetAndPauseFromInside) {
  Wire wire({.macsec = false});
  Loop loop(both({&wire}));
  for (std::size_t n = 1; n < 14; ++n) ASSERT_TRUE(wire.inside.put(Bytes(n)));
  ASSERT_TRUE(wire.inside.put(make_frame(14, 0, 0x8100)));
  ASSERT_TRUE(wire.inside.put(make_frame(60, 0, 0x8808)));
  loop.run_until_quiet();
  EXPECT_EQ(wire.outside.waiting(), 0U);
  EXPECT_EQ(loop.drops(0, DropReason::malformed_ethernet), 14U);
  EXPECT_EQ(loop.drops(0, DropReason::pause_consumed), 1U);
}

// An engine that fails every operation, or keeps them for so many polls.
class OddEngine final : public crypto::Engine {
 public:
  std::string_view name() const noexcept override { return "odd"; }
  bool supports(crypto::Algorithm) const noexcept override { return true; }
  Result<std::unique_ptr<crypto::AeadKey>> make_key(crypto::Algorithm a,
                                                    const crypto::SecretBytes& k,
                                                    const crypto::KeyUse& u) override {
    return engine().make_key(a, k, u);
  }
  void submit(crypto::AeadBatch& batch) noexcept override {
    batch.pending = batch.count;
    left_ = polls;
    if (fail) {
      for (std::uint16_t i = 0; i < batch.count; ++i) batch.ops[i].status = crypto::OpStatus::error;
    }
  }
  bool poll(crypto::AeadBatch& batch) noexcept override {
    if (hold.load(std::memory_order_relaxed)) return false;
    if (left_ != 0) {
      --left_;
      return false;
    }
    if (!fail) engine().submit(batch);
    batch.pending = 0;
    return true;
  }
  bool fail = false;
  int polls = 0;
  std::atomic<bool> hold{false};

 private:
  int left_ = 0;
};

struct OddLoop {
  explicit OddLoop(Wire& wire) {
    for (LineDirection* d : {&wire.egress, &wire.ingress}) {
      lanes.push_back(std::make_unique<Lane>(
          LaneSettings{.line = d, .receive = {{0, 0}}, .transmit_queue = 0, .engine = &odd}));
      list.lanes.push_back(lanes.back().get());
    }
    worker.publish(&list);
    worker.step();
  }
  OddEngine odd;
  std::vector<std::unique_ptr<Lane>> lanes;
  LaneList list;
  Worker worker{{.id = 0, .idle = Idle::spin}};
};

TEST(WorkerDrops, CryptoErrorsBothWays) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciB)}});
  add_transmit(*wire.secy, {});
  add_receive(*wire.secy, kSciA, {});
  OddLoop loop(wire);
  loop.odd.fail = true;
  ASSERT_TRUE(wire.inside.put(make_frame(100)) && wire.outside.put(Sealed{}.bytes()));
  for (int i = 0; i < 10; ++i) loop.worker.step();
  for (const auto& lane : loop.lanes) {
    EXPECT_EQ(lane->counters().drops[static_cast<std::size_t>(DropReason::crypto_error)].read(),
              1U);
  }
  EXPECT_EQ(wire.outside.waiting() + wire.inside.waiting(), 0U);
  EXPECT_EQ(wire.secy->receive_sa(crypto::Sci(kSciA), crypto::An(0))->next_pn, 1U);
}

TEST(WorkerTurns, AnEngineThatAnswersLaterIsWaitedForWithoutBlocking) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciA)}});
  add_transmit(*wire.secy, {});
  OddLoop loop(wire);
  loop.odd.polls = 3;
  for (std::uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(wire.inside.put(make_frame(100, i)));
  loop.worker.step();
  EXPECT_EQ(wire.outside.waiting(), 0U);
  EXPECT_TRUE(loop.lanes[0]->pending());
  for (int i = 0; i < 20; ++i) loop.worker.step();
  const auto out = wire.outside.take();
  ASSERT_EQ(out.size(), 100U);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(wire::parse_sectag(std::span(out[i]).subspan(12))->pn, i + 1);
  }
}

TEST(WorkerDrops, TxFullDropsTheTailAndNothingElse) {
  LineOptions o;
  o.secy.sci = crypto::Sci(kSciA);
  o.outside_tx_slots = 16;
  Wire wire(o);
  Loop loop(both({&wire}));
  add_transmit(*wire.secy, {});
  const unsigned before = mbufs_in_use();
  for (std::uint32_t i = 0; i < 50; ++i) ASSERT_TRUE(wire.inside.put(make_frame(100, i)));
  loop.run_until_quiet();
  auto out = wire.outside.take();
  ASSERT_EQ(out.size(), 16U);
  EXPECT_EQ(loop.drops(0, DropReason::tx_full), 34U);
  EXPECT_EQ(loop.lane(0).counters().tx_packets.read(), 16U);
  EXPECT_EQ(loop.lane(0).counters().tx_octets.read(), 16U * 132U);
  ASSERT_TRUE(wire.inside.put(make_frame(100)));
  loop.run_until_quiet();
  out = wire.outside.take();
  ASSERT_EQ(out.size(), 1U) << "nothing was carried over";
  EXPECT_EQ(wire::parse_sectag(std::span(out[0]).subspan(12))->pn, 51U) << "a PN taken is spent";
  EXPECT_EQ(mbufs_in_use(), before);
}

void inject(LineDirection& d, InjectStages stages, const Bytes& frame, std::uint16_t port = 0) {
  rte_mbuf* const m = make_mbuf(frame);
  InjectMark mark;
  mark.stages = stages;
  mark.port = port;
  ASSERT_TRUE(set_mark(m, mark));
  ASSERT_EQ(rte_ring_enqueue(d.inject, m), 0);
}

TEST(WorkerInject, AnIdleWorkerSendsWhatControlInjects) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciB)}});
  Loop loop(both({&wire}));
  add_transmit(*wire.secy, {});
  const Bytes eapol = make_frame(80, 1, 0x888E), arp = make_frame(60, 2, 0x0806);
  inject(wire.egress, InjectStages::clear, eapol);
  inject(wire.egress, InjectStages::seal, arp);
  inject(wire.egress, InjectStages::full, arp);
  inject(wire.ingress, InjectStages::seal, arp);
  inject(wire.ingress, InjectStages::full, eapol);  // has been through MACsec
  loop.run_until_quiet();
  const auto out = wire.outside.take();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0], eapol);
  for (const std::size_t i : {1U, 2U})
    EXPECT_EQ(wire::load_be<std::uint16_t>(out[i].data() + 12), 0x88E5);
  EXPECT_TRUE(same(wire.inside.take(), {arp, eapol})) << "toward the inside nothing is sealed";
  EXPECT_EQ(loop.lane(0).counters().rx_packets.read(), 0U);
  EXPECT_EQ(wire.secy->transmit_counters().out_pkts_untagged.read(), 0U);
}

TEST(WorkerInject, BadMarksAreDropped) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciB)}});
  Loop loop(both({&wire}));
  add_transmit(*wire.secy, {});
  inject(wire.egress, InjectStages::clear, make_frame(80), 1);
  inject(wire.egress, InjectStages::full, make_frame(80), 7);
  rte_mbuf* const m = make_mbuf(make_frame(80));
  std::memset(m->buf_addr, 0, rte_pktmbuf_headroom(m));
  ASSERT_EQ(rte_ring_enqueue(wire.egress.inject, m), 0);
  loop.run_until_quiet();
  EXPECT_EQ(loop.drops(0, DropReason::no_route), 3U);
  EXPECT_EQ(wire.outside.waiting(), 0U);
}

TEST(WorkerInject, InjectedFramesComeThroughUnderLoad) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciB)}});
  Loop loop(both({&wire}));
  add_transmit(*wire.secy, {});
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_TRUE(wire.inside.put(make_frame(60, i)));
  const Bytes eapol = make_frame(80, 1, 0x888E);
  inject(wire.egress, InjectStages::clear, eapol);
  loop.worker().step();
  loop.worker().step();
  EXPECT_EQ(wire.outside.take().at(0), eapol);
  loop.run_until_quiet();
}

TEST(WorkerInject, TheKayTalksWhileTheLineIsNotSecure) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciB)}});
  Loop loop(both({&wire}));
  wire.snapshot.secure = false;
  inject(wire.egress, InjectStages::clear, make_frame(80, 1, 0x888E));
  inject(wire.egress, InjectStages::seal, make_frame(80));
  loop.run_until_quiet();
  EXPECT_EQ(wire.outside.take().size(), 1U);
  EXPECT_EQ(loop.drops(0, DropReason::unsealed), 1U);
}

// A worker on a thread with a QSBR of its own.
struct Threaded {
  explicit Threaded(Wire& wire, Idle idle = Idle::automatic) {
    start_eal();
    qsbr = static_cast<rte_rcu_qsbr*>(
        rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(4), RTE_CACHE_LINE_SIZE));
    rte_rcu_qsbr_init(qsbr, 4);
    worker = std::make_unique<Worker>(WorkerSettings{.id = 2, .idle = idle, .qsbr = qsbr});
    lanes = both({&wire});
    started = std::make_unique<std::thread>([this] {
      for (auto& l : lanes) {
        l.engine = &engine();
        owned.push_back(std::make_unique<Lane>(l));
        list.lanes.push_back(owned.back().get());
      }
      worker->publish(&list);
      worker->run();
    });
    while (!worker->running()) std::this_thread::sleep_for(1ms);
  }
  ~Threaded() {
    worker->stop();
    started->join();
    rte_free(qsbr);
  }
  // True if every online worker was quiescent after now, within a second.
  bool grace() {
    const std::uint64_t token = rte_rcu_qsbr_start(qsbr);
    for (int i = 0; i < 1000; ++i) {
      if (rte_rcu_qsbr_check(qsbr, token, false) == 1) return true;
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }
  rte_rcu_qsbr* qsbr;
  std::unique_ptr<Worker> worker;
  std::vector<LaneSettings> lanes;
  std::vector<std::unique_ptr<Lane>> owned;
  LaneList list;
  std::unique_ptr<std::thread> started;
};

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 2000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

TEST(WorkerEpochs, GracePeriodsPassIdleAndUnderTraffic) {
  Wire wire({.secy = {.sci = crypto::Sci(kSciA)}});
  add_transmit(*wire.secy, {});
  Threaded t(wire);
  EXPECT_TRUE(t.grace());
  for (int round = 0; round < 20; ++round) {
    for (std::uint32_t i = 0; i < 40; ++i) ASSERT_TRUE(wire.inside.put(make_frame(100, i)));
    // Rekey, make before break: the old SA is freed after the grace period, under traffic.
    const auto an = static_cast<std::uint8_t>((round + 1) % 4);
    add_transmit(*wire.secy, {.an = an, .fill = static_cast<std::uint8_t>(round + 2)});
    auto old = wire.secy->retire_transmit_sa(crypto::An(static_cast<std::uint8_t>(round % 4)));
    ASSERT_NE(old, nullptr);
    ASSERT_TRUE(t.grace());
    old.reset();
  }
  EXPECT_TRUE(eventually([&] { return wire.outside.waiting() == 800; }));
  EXPECT_EQ(wire.secy->transmit_counters().out_no_sa.read(), 0U);
}

TEST(WorkerEpochs, ABurstInTheEngineHoldsTheGracePeriod) {
  // The worker is stepped by hand, and its engine keeps the burst.
  Wire wire({.secy = {.sci = crypto::Sci(kSciA)}});
  add_transmit(*wire.secy, {});
  auto* const qsbr = static_cast<rte_rcu_qsbr*>(
      rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE));
  rte_rcu_qsbr_init(qsbr, 1);
  OddEngine odd;
  odd.hold = true;
  Lane lane({.line = &wire.egress, .receive = {{0, 0}}, .transmit_queue = 0, .engine = &odd});
  LaneList list{{&lane}};
  Worker worker({.id = 0, .idle = Idle::spin, .qsbr = qsbr});
  worker.publish(&list);
  ASSERT_TRUE(wire.inside.put(make_frame(100)));
  std::thread thread([&] { worker.run(); });
  EXPECT_TRUE(eventually([&] { return lane.counters().rx_packets.read() == 1; }));
  const std::uint64_t token = rte_rcu_qsbr_start(qsbr);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(rte_rcu_qsbr_check(qsbr, token, false), 0) << "its SA is pinned";
  odd.hold = false;
  EXPECT_TRUE(eventually([&] { return rte_rcu_qsbr_check(qsbr, token, false) == 1; }));
  worker.stop();
  thread.join();
  EXPECT_EQ(wire.outside.take().size(), 1U);
  rte_free(qsbr);
}

TEST(WorkerEpochs, LinesAreTakenAwayAndAddedWhileItRuns) {
  Wire first({.macsec = false}), second({.macsec = false});
  Threaded t(first);
  Lane lane_of_second({.line = &second.egress, .receive = {{0, 0}}, .engine = &engine()});
  LaneList list{{&lane_of_second}};
  t.worker->publish(&list);
  ASSERT_TRUE(t.grace());
  ASSERT_TRUE(first.inside.put(make_frame(60)) && second.inside.put(make_frame(60)));
  EXPECT_TRUE(eventually([&] { return second.outside.waiting() == 1; }));
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(first.outside.waiting(), 0U);
  const LaneList none;
  t.worker->publish(&none);
  ASSERT_TRUE(t.grace());
}

TEST(WorkerIdle, AutoSleepsWhenNothingComesAndWakesForTraffic) {
  Wire wire({.macsec = false});
  Threaded t(wire);
  EXPECT_TRUE(eventually([&] { return t.worker->counters().sleeps.read() > 10; }));
  ASSERT_TRUE(wire.inside.put(make_frame(60)));
  EXPECT_TRUE(eventually([&] { return wire.outside.waiting() == 1; }));
  // Asleep most of the time: the thread's CPU time grows far slower than the clock.
  const auto loops = t.worker->counters().loops.read();
  std::this_thread::sleep_for(100ms);
  EXPECT_LT(t.worker->counters().loops.read() - loops, 1000U);
}

TEST(WorkerIdle, SpinNeverSleeps) {
  Wire wire({.macsec = false});
  Threaded t(wire, Idle::spin);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(t.worker->counters().sleeps.read(), 0U);
}

TEST(WorkerStall, AHeartbeatThatStopsIsSeen) {
  Wire wire({.macsec = false});
  Threaded t(wire);
  const std::uint64_t second = rte_get_tsc_hz();
  EXPECT_FALSE(t.worker->stalled(rte_rdtsc(), 10 * second));
  EXPECT_TRUE(t.worker->stalled(rte_rdtsc() + 20 * second, 10 * second));
  t.worker->stop();
  EXPECT_TRUE(eventually([&] { return !t.worker->running(); }));
  EXPECT_FALSE(t.worker->stalled(rte_rdtsc() + 20 * second, 10 * second))
      << "stopped is not stalled";
}

TEST(WorkerCountersTest, BusyIsPartOfTotal) {
  Wire wire({.macsec = false});
  Loop loop(both({&wire}));
  ASSERT_TRUE(wire.inside.put(make_frame(60)));
  loop.run_until_quiet();
  const WorkerCounters& c = loop.worker().counters();
  EXPECT_GE(c.busy_loops.read(), 1U);
  EXPECT_LT(c.busy_loops.read(), c.loops.read());
  EXPECT_GT(c.busy_cycles.read(), 0U);
  EXPECT_LT(c.busy_cycles.read(), c.total_cycles.read());
}

}  // namespace
}  // namespace sealwire::pipelines::test
