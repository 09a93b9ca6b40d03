// The rules of the turn, with everything at once: several workers in turn on several lines and in
// both directions, while SAs are replaced and, in one case, transmit queues are full. On the wire
// the PN of each SA only rises; what arrives is in the order it was sent; the receivers' windows
// are 0, so one frame out of order would be late.
#include <gtest/gtest.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>

#include "pipelines/mark.h"
#include "pipelines/wire/macsec.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

using namespace std::chrono_literals;

#ifdef __SANITIZE_THREAD__
constexpr std::uint32_t kFrames = 1500;
#else
constexpr std::uint32_t kFrames = 6000;
#endif

TEST(Turn, AloneIsFree) {
  Turns turns(false);
  EXPECT_TRUE(turns.try_receive());
  EXPECT_TRUE(turns.try_receive());
  EXPECT_EQ(turns.take_ticket(), 0U);
  EXPECT_EQ(turns.take_ticket(), 1U);
  EXPECT_TRUE(turns.may_number(1));
  EXPECT_TRUE(turns.may_send(1));
}

TEST(Turn, EachTurnIsPassedInTicketOrder) {
  Turns turns(true);
  EXPECT_TRUE(turns.try_receive());
  EXPECT_FALSE(turns.try_receive());
  const auto first = turns.take_ticket(), second = turns.take_ticket();
  turns.leave_receive();
  EXPECT_TRUE(turns.try_receive());
  EXPECT_FALSE(turns.may_number(second));
  EXPECT_TRUE(turns.may_number(first));
  turns.pass_number(first);
  EXPECT_TRUE(turns.may_number(second));
  EXPECT_FALSE(turns.may_send(second));
  turns.pass_send(first);
  EXPECT_TRUE(turns.may_send(second));
  EXPECT_EQ(turns.oldest_unsent(), second);
  EXPECT_EQ(turns.tickets(), 2U);
}

// Two threads take one turn alternately, or as it comes, and write plain memory inside. What a turn
// guards is safe by its acquire and release alone: one of them weaker, and TSan sees the race.
class TurnGuards : public testing::Test {
 protected:
  static constexpr std::uint64_t kRounds = 2000;

  template <class May, class Pass>
  void take_turns(May may, Pass pass) {
    std::uint64_t guarded = 0;
    const auto run = [&](std::uint64_t first) {
      for (std::uint64_t ticket = first; ticket < 2 * kRounds; ticket += 2) {
        while (!may(ticket)) std::this_thread::yield();
        ++guarded;
        pass(ticket);
      }
    };
    std::thread other(run, 1);
    run(0);
    other.join();
    EXPECT_EQ(guarded, 2 * kRounds);
  }

  Turns turns_{true};
};

TEST_F(TurnGuards, Receive) {
  take_turns([this](std::uint64_t) { return turns_.try_receive(); },
             [this](std::uint64_t) { turns_.leave_receive(); });
}

TEST_F(TurnGuards, Number) {
  take_turns([this](std::uint64_t ticket) { return turns_.may_number(ticket); },
             [this](std::uint64_t ticket) { turns_.pass_number(ticket); });
}

TEST_F(TurnGuards, Send) {
  take_turns([this](std::uint64_t ticket) { return turns_.may_send(ticket); },
             [this](std::uint64_t ticket) { turns_.pass_send(ticket); });
}

struct Scenario {
  Spread spread;
  unsigned workers = 3;
  unsigned tx_slots = 2048;
  bool slow_wire = false;  // the carrier leaves transmit queues full
  int rekeys = 8;
};

// What a frame says about itself: which queue of which site it entered, and the how manieth it was
// there.
struct Stamp {
  std::uint32_t queue, number;
};
constexpr std::size_t kStampAt = 14;

rte_mbuf* stamped(std::uint32_t queue, std::uint32_t number) {
  Bytes f = make_frame(60 + (number * 37) % 300, number);
  const Stamp stamp{queue, number};
  std::memcpy(f.data() + kStampAt, &stamp, sizeof stamp);
  return make_mbuf(f);
}

// One direction of one link: from a site's inside over the wire to the other's inside. All checks
// are its carrier's.
struct Path {
  Path(Wire& f, Wire& t, std::vector<std::uint32_t> none, std::uint64_t under_way)
      : from(f), to(t), most_under_way(under_way), fed(none), arrived(std::move(none)) {}
  Wire& from;
  Wire& to;
  const std::uint64_t most_under_way;
  std::vector<std::uint32_t> fed, arrived;  // per queue: put in; highest number seen + 1
  std::uint64_t on_wire = 0, delivered = 0;
  std::atomic<int> an{-1};  // of the last frame on the wire
  std::uint32_t pn = 0;
  std::atomic<bool> all_fed{false};

  bool done() const {
    for (const auto n : fed) {
      if (n < kFrames) return false;
    }
    return true;
  }
  // A few frames a queue; without end while `more`.
  void feed(bool more) {
    for (std::uint32_t q = 0; q < fed.size(); ++q) {
      for (int i = 0; i < 64 && (more || fed[q] < kFrames); ++i) {
        if (std::accumulate(fed.begin(), fed.end(), std::uint64_t{0}) - delivered >= most_under_way)
          return;
        rte_mbuf* const m = stamped(q, fed[q]);
        if (!from.inside.put_mbuf(m, q)) {
          rte_pktmbuf_free(m);
          break;
        }
        ++fed[q];
      }
    }
  }
  void check_wire(const rte_mbuf* m) {
    const std::uint8_t* const f = rte_pktmbuf_mtod(m, const std::uint8_t*);
    ASSERT_EQ(wire::load_be<std::uint16_t>(f + 12), wire::kEtherTypeMacsec);
    const auto tag = wire::parse_sectag({f + 12, rte_pktmbuf_data_len(m) - 12U});
    ASSERT_TRUE(tag);
    const int before = an.load(std::memory_order_relaxed);
    if (before != tag->an()) {
      ASSERT_TRUE(before < 0 || tag->an() == (before + 1) % 4)
          << "an SA that was replaced is used again";
      an = tag->an();
      pn = 0;
    }
    ASSERT_GT(tag->pn, pn) << "wire order is not PN order";
    pn = tag->pn;
    ++on_wire;
  }
  void carry() {
    while (rte_mbuf* m = from.outside.take_mbuf()) {
      check_wire(m);
      while (!to.outside.put_mbuf(m)) collect();
    }
    collect();
  }
  void collect() {
    while (rte_mbuf* m = to.inside.take_mbuf()) {
      Stamp stamp;
      std::memcpy(&stamp, rte_pktmbuf_mtod_offset(m, void*, kStampAt), sizeof stamp);
      EXPECT_LT(stamp.queue, arrived.size());
      EXPECT_GE(stamp.number, arrived[stamp.queue]) << "out of order";
      arrived[stamp.queue] = stamp.number + 1;
      const Bytes got = bytes_of(m);
      rte_pktmbuf_free(m);
      rte_mbuf* const expected = stamped(stamp.queue, stamp.number);
      EXPECT_EQ(got, bytes_of(expected));
      rte_pktmbuf_free(expected);
      ++delivered;
    }
  }
};

// Keys are never used twice: each rekey has a fill of its own.
struct Link {
  Link(const Scenario& s, unsigned n)
      : a(options(s, kSciA)), b(options(s, kSciB)), fill(static_cast<std::uint8_t>(n * 100)) {
    // Fewer than a transmit queue holds, however long this thread is kept waiting; a slow wire's
    // queues are to be full.
    const std::uint64_t under_way = s.slow_wire ? ~std::uint64_t{0} : s.tx_slots / 2;
    up = std::make_unique<Path>(a, b, queues(s), under_way);
    down = std::make_unique<Path>(b, a, queues(s), under_way);
    for (Wire* w : {&a, &b}) {
      for (LineDirection* d : {&w->egress, &w->ingress}) {
#ifdef __SANITIZE_THREAD__
        // DPDK's rings are not instrumented.
        rte_ring_free(std::exchange(d->inject, nullptr));
        rte_ring_free(std::exchange(d->punt, nullptr));
#else
        static_cast<void>(d);
#endif
      }
    }
    rekey(nullptr);
  }
  static LineOptions options(const Scenario& s, std::uint64_t sci) {
    LineOptions o;
    o.secy.sci = crypto::Sci(sci);
    o.egress = s.spread;
    o.inside_queues = s.spread == Spread::own_queues ? s.workers : 1;
    o.outside_tx_slots = s.tx_slots;
    return o;
  }
  static std::vector<std::uint32_t> queues(const Scenario& s) {
    return std::vector<std::uint32_t>(s.spread == Spread::own_queues ? s.workers : 1, 0);
  }
  // Make before break, in the order of DESIGN: receive SA, then transmit SA; the old ones go after
  // the grace period. The receive SA before last is taken out, so that frames on their way still
  // open.
  void rekey(rte_rcu_qsbr* qsbr) {
    const auto an = static_cast<std::uint8_t>(epoch % 4);
    std::vector<std::unique_ptr<TransmitSa>> old_tx;
    std::vector<std::unique_ptr<ReceiveSa>> old_rx;
    for (const auto& [from, to, sci, key] :
         {std::tuple{&a, &b, kSciA, 0}, std::tuple{&b, &a, kSciB, 50}}) {
      const Sak sak{.an = an, .fill = static_cast<std::uint8_t>(fill + key + epoch)};
      if (epoch >= 3) {
        old_rx.push_back(to->secy->retire_receive_sa(
            crypto::Sci(sci), crypto::An(static_cast<std::uint8_t>((epoch - 3) % 4))));
      }
      add_receive(*to->secy, sci, sak);
      add_transmit(*from->secy, sak);
      if (epoch >= 1) {
        old_tx.push_back(
            from->secy->retire_transmit_sa(crypto::An(static_cast<std::uint8_t>((epoch - 1) % 4))));
      }
    }
    ++epoch;
    if (qsbr == nullptr) return;
    const std::uint64_t token = rte_rcu_qsbr_start(qsbr);
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (rte_rcu_qsbr_check(qsbr, token, false) != 1) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "no grace period";
      std::this_thread::sleep_for(1ms);
    }
  }
  Wire a, b;
  std::uint8_t fill;
  int epoch = 0;
  std::unique_ptr<Path> up, down;
};

struct WorkerThread {
  WorkerThread(std::uint16_t id, rte_rcu_qsbr* qsbr, const Scenario& s, std::vector<Link*> links)
      : worker({.id = id, .idle = Idle::automatic, .qsbr = qsbr}), thread([this, id, &s, links] {
          for (Link* l : links) {
            for (Wire* w : {&l->a, &l->b}) {
              const std::uint16_t queue = s.spread == Spread::own_queues ? id : std::uint16_t{0};
              add({.line = &w->egress, .receive = {{0, queue}}, .engine = &engine()});
              add({.line = &w->ingress, .receive = {{0, 0}}, .engine = &engine()});
            }
          }
          worker.publish(&list);
          worker.run();
        }) {}
  ~WorkerThread() { join(); }
  void add(LaneSettings settings) {
    lanes.push_back(std::make_unique<Lane>(std::move(settings)));
    list.lanes.push_back(lanes.back().get());
  }
  void join() {
    worker.stop();
    if (thread.joinable()) thread.join();
  }
  std::uint64_t sent() const {
    std::uint64_t sum = 0;
    for (const auto& l : lanes) sum += l->counters().tx_packets.read();
    return sum;
  }
  std::uint64_t drops(DropReason reason) const {
    std::uint64_t sum = 0;
    for (const auto& l : lanes) sum += l->counters().drops[static_cast<std::size_t>(reason)].read();
    return sum;
  }
  std::vector<std::unique_ptr<Lane>> lanes;
  LaneList list;
  Worker worker;
  std::thread thread;
};

class TurnScenario : public testing::TestWithParam<Scenario> {};

TEST_P(TurnScenario, StrictOrderUnderRekeyBothDirectionsSeveralLines) {
  const Scenario& s = GetParam();
  start_eal();
  const unsigned before = mbufs_in_use();
  {
    Link one(s, 1), two(s, 2);
    auto* const qsbr = static_cast<rte_rcu_qsbr*>(
        rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(s.workers), RTE_CACHE_LINE_SIZE));
    rte_rcu_qsbr_init(qsbr, s.workers);
    std::vector<std::unique_ptr<WorkerThread>> workers;
    for (std::uint16_t i = 0; i < s.workers; ++i) {
      workers.push_back(std::make_unique<WorkerThread>(i, qsbr, s, std::vector<Link*>{&one, &two}));
    }
    const std::array<Path*, 4> paths{one.up.get(), one.down.get(), two.up.get(), two.down.get()};
    std::atomic<bool> stop{false}, more{true};
    std::thread carrier([&] {
      unsigned round = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        const bool endless = more.load();
        bool fed = !endless;
        for (Path* p : paths) {
          p->feed(endless);
          fed &= p->done();
          // A slow wire lets queues fill up while traffic comes.
          if (!s.slow_wire || round % 8 == 0 || fed) p->carry();
          if (!endless && p->done()) p->all_fed = true;
        }
        ++round;
        std::this_thread::yield();
      }
      for (Path* p : paths) p->carry();
    });
    for (int i = 0; i < s.rekeys; ++i) {
      std::this_thread::sleep_for(5ms);
      one.rekey(qsbr);
      two.rekey(qsbr);
      // The new SAs are in use before the next ones come.
      for (const Path* p : paths) {
        const int wanted = (one.epoch - 1) % 4;
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (p->an.load() != wanted) {
          ASSERT_LT(std::chrono::steady_clock::now(), until);
          std::this_thread::sleep_for(1ms);
        }
      }
    }
    // Every worker takes part, however late it was given a core.
    for (const auto& w : workers) {
      const auto until = std::chrono::steady_clock::now() + 20s;
      while (w->sent() == 0) {
        ASSERT_LT(std::chrono::steady_clock::now(), until);
        std::this_thread::sleep_for(1ms);
      }
    }
    more = false;
    std::uint64_t offered = 0;
    for (const Path* p : paths) {
      while (!p->all_fed.load()) std::this_thread::sleep_for(1ms);
      for (const auto n : p->fed) offered += n;
    }
    const auto until = std::chrono::steady_clock::now() + 60s;
    // Each frame that is not dropped is received twice, by an egress and an ingress lane.
    const auto dropped = [&] {
      std::uint64_t sum = 0;
      for (const auto& w : workers) {
        for (std::size_t i = 0; i < w->lanes.size(); i += 2) {
          sum +=
              w->lanes[i]->counters().drops[static_cast<std::size_t>(DropReason::tx_full)].read();
        }
      }
      return sum;
    };
    while (std::chrono::steady_clock::now() < until) {
      const std::uint64_t lost = dropped();
      std::uint64_t received = 0;
      for (const auto& w : workers) {
        for (const auto& l : w->lanes) received += l->counters().rx_packets.read();
      }
      if (received == 2 * offered - lost) break;
      std::this_thread::sleep_for(2ms);
    }
    for (auto& w : workers) w->join();
    stop = true;
    carrier.join();

    std::uint64_t delivered = 0, lost = 0, on_wire = 0;
    for (Path* p : paths) {
      delivered += p->delivered;
      on_wire += p->on_wire;
      EXPECT_TRUE(p->done());
    }
    for (const auto& w : workers) {
      lost += w->drops(DropReason::tx_full);
      for (std::size_t r = 1; r < kDropReasons; ++r) {
        const auto reason = static_cast<DropReason>(r);
        if (reason != DropReason::tx_full) {
          EXPECT_EQ(w->drops(reason), 0U) << info(reason).name;
        }
      }
    }
    EXPECT_EQ(delivered + lost, offered);
    EXPECT_EQ(on_wire + dropped(), offered);
    if (s.slow_wire) {
      EXPECT_GT(lost, 0U);
    } else {
      EXPECT_EQ(lost, 0U);
    }
    rte_free(qsbr);
  }
  EXPECT_EQ(mbufs_in_use(), before);
}

std::string scenario_name(const testing::TestParamInfo<Scenario>& p) {
  return std::string(p.param.spread == Spread::own_queues ? "OwnQueues" : "SharedQueue") +
         std::to_string(p.param.workers) + (p.param.slow_wire ? "TxFull" : "");
}
INSTANTIATE_TEST_SUITE_P(
    All, TurnScenario,
    testing::Values(Scenario{.spread = Spread::shared_queue, .workers = 2},
                    Scenario{.spread = Spread::shared_queue, .workers = 3},
                    Scenario{.spread = Spread::own_queues, .workers = 2},
                    Scenario{.spread = Spread::own_queues, .workers = 3},
                    Scenario{.spread = Spread::shared_queue, .tx_slots = 16, .slow_wire = true},
                    Scenario{.spread = Spread::own_queues, .tx_slots = 16, .slow_wire = true}),
    scenario_name);

TEST(TurnStall, ADeadWorkersTicketStopsTheLineAndNothingOvertakes) {
  // Two workers stepped by hand; one receives a burst and then never turns again.
  LineOptions o;
  o.secy.sci = crypto::Sci(kSciA);
  o.egress = Spread::shared_queue;
  Wire wire(o);
  add_transmit(*wire.secy, {});
  class Never final : public crypto::Engine {
   public:
    std::string_view name() const noexcept override { return "never"; }
    bool supports(crypto::Algorithm) const noexcept override { return true; }
    Result<std::unique_ptr<crypto::AeadKey>> make_key(crypto::Algorithm a,
                                                      const crypto::SecretBytes& k,
                                                      const crypto::KeyUse& u) override {
      return engine().make_key(a, k, u);
    }
    void submit(crypto::AeadBatch& b) noexcept override { b.pending = b.count; }
    bool poll(crypto::AeadBatch& b) noexcept override {
      if (dead) return false;
      engine().submit(b);
      return true;
    }
    bool dead = true;
  } never;
  Lane dead({.line = &wire.egress, .receive = {{0, 0}}, .engine = &never});
  Lane alive({.line = &wire.egress, .receive = {{0, 0}}, .engine = &engine()});
  ASSERT_TRUE(wire.inside.put(make_frame(100, 1)));
  dead.poll(true);
  for (std::uint32_t i = 2; i < 6; ++i) {
    ASSERT_TRUE(wire.inside.put(make_frame(100, i)));
    for (int n = 0; n < 5; ++n) alive.poll(true);
  }
  EXPECT_EQ(wire.outside.waiting(), 0U);
  EXPECT_EQ(wire.egress.turns.oldest_unsent(), 0U);
  EXPECT_GT(wire.egress.turns.tickets(), 1U);
  never.dead = false;
  dead.poll(false);
  alive.poll(false);
  const auto out = wire.outside.take();
  ASSERT_EQ(out.size(), 5U);
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(wire::parse_sectag(std::span(out[i]).subspan(12))->pn, i + 1);
  }
}

}  // namespace
}  // namespace sealwire::pipelines::test
