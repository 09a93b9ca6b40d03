// Two and three KaYs on a network that loses, duplicates and reorders MKPDUs, under virtual time
// and random seeds. What may never happen is checked by the SecY and data plane models at every
// step; what must happen is checked at the end.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>

#include "tests/unit/mka/simulator.h"

namespace sealwire::mka::test {
namespace {

// One case is minutes of virtual time: fewer of them than rapidcheck's 100, unless RC_PARAMS says
// otherwise.
[[maybe_unused]] const int kFewerCases = setenv("RC_PARAMS", "max_success=15", 0);

std::string first(const std::vector<std::string>& list) { return list.empty() ? "" : list.front(); }

std::vector<KeySettings> one_key() {
  std::vector<KeySettings> keys;
  keys.push_back(make_key("ckn", 0x42));
  return keys;
}

CipherSuite any_suite() { return static_cast<CipherSuite>(*rc::gen::inRange(0, 4)); }

KaySettings any_settings(const Simulator& sim, int station, CipherSuite suite) {
  KaySettings settings = sim.settings_for(station);
  settings.suites = {suite};
  settings.priority = static_cast<uint8_t>(*rc::gen::inRange(0, 4));
  settings.delay_protect = *rc::gen::arbitrary<bool>();
  settings.version = static_cast<uint8_t>(*rc::gen::inRange(1, 4));
  return settings;
}

LinkQuality bad_link() {
  return {.loss = *rc::gen::inRange(0, 50) / 100.0,
          .duplicate = *rc::gen::inRange(0, 30) / 100.0,
          .min_delay = 1,
          .max_delay = *rc::gen::inRange(1, 1500)};
}

// Two stations that both say in use and enabled what the other sends with agree on every key they
// name alike.
void check_agreement(const Simulator& sim) {
  std::map<Ki, Fingerprint> keys;
  for (const auto& station : sim.stations) {
    if (!station->kay) continue;
    const auto snapshot = station->kay->snapshot(sim.now);
    for (const SakSnapshot& sak : snapshot.saks) {
      const auto sa = station->secy->transmit.find(sak.an);
      if (sa == station->secy->transmit.end() || sak.next_pn == 0) continue;
      const auto [known, fresh] = keys.emplace(sak.ki, sa->second.key);
      RC_ASSERT(fresh || known->second == sa->second.key);
    }
  }
}

// What the stations last did, for the report of a failure.
void tell(const Simulator& sim) {
  for (const auto& station : sim.stations) {
    const auto snapshot = station->kay->snapshot(sim.now);
    RC_LOG() << station->number << " " << name(snapshot.state) << " saks " << snapshot.saks.size()
             << " peers " << snapshot.participants[0].peers.size() << "\n";
    for (size_t i = station->events.size() > 24 ? station->events.size() - 24 : 0;
         i < station->events.size(); ++i) {
      const Event& event = station->events[i];
      RC_LOG() << "  " << event.at.count() << " " << name(event.kind) << " kn " << event.ki.kn
               << " an " << static_cast<int>(event.an.value()) << " " << event.detail << " "
               << name(event.reason) << "\n";
    }
  }
}

void chaos(int stations) {
  Simulator sim(*rc::gen::arbitrary<uint64_t>());
  const CipherSuite suite = any_suite();
  for (int i = 0; i < stations; ++i) sim.add(any_settings(sim, i, suite), one_key());
  sim.check = [&] { check_agreement(sim); };
  sim.start_traffic(Time{50});
  // Bad times, with restarts and rekeys in between.
  for (int episode = *rc::gen::inRange(1, 6); episode > 0; --episode) {
    sim.quality = bad_link();
    auto& station = *sim.stations[static_cast<size_t>(*rc::gen::inRange(0, stations))];
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        sim.start(station, any_settings(sim, station.number, suite), one_key());
        break;
      case 1:
        // Refused unless it is the key server of a session.
        if (station.kay) (void)station.kay->rekey(sim.now).has_value();
        sim.arm(station);
        break;
      case 2: {
        const int deaf = station.number;
        sim.blocked = [deaf](int, int to) { return to == deaf; };
        sim.run_for(Time{*rc::gen::inRange(0, 9000)});
        sim.blocked = {};
        break;
      }
      default:
        break;
    }
    sim.run_for(Time{*rc::gen::inRange(0, 20'000)});
  }
  // Good times: one SAK for all, soon, and it stays.
  sim.quality = {};
  const bool converged = sim.run_until_true([&] { return sim.converged(); }, Time{60'000});
  if (!converged) tell(sim);
  RC_ASSERT(converged);
  // Leftovers of the bad times (a potential peer, a list change) may cause one more SAK.
  sim.run_for(Time{40'000});
  RC_ASSERT(sim.converged());
  sim.lost.clear();
  sim.run_for(Time{20'000});
  RC_ASSERT(sim.converged());
  RC_ASSERT(first(sim.lost) == "");
  RC_ASSERT(first(sim.violations) == "");
}

RC_GTEST_PROP(MkaProperty, TwoStationsAlwaysConvergeToOneSak, ()) { chaos(2); }
RC_GTEST_PROP(MkaProperty, ThreeStationsAlwaysConvergeToOneSak, ()) { chaos(3); }

// As long as no peer is given up, no frame is ever lost by a rekey, however bad the network treats
// MKPDUs.
RC_GTEST_PROP(MkaProperty, RekeysAreHitlessOnABadNetwork, ()) {
  Simulator sim(*rc::gen::arbitrary<uint64_t>());
  const int stations = *rc::gen::inRange(2, 4);
  const CipherSuite suite = any_suite();
  for (int i = 0; i < stations; ++i) {
    auto settings = sim.settings_for(i);
    settings.suites = {suite};
    sim.add(std::move(settings), one_key());
  }
  RC_ASSERT(sim.run_until_true([&] { return sim.converged(); }, Time{30'000}));
  sim.run_for(Time{20'000});
  sim.data_latency = Time{*rc::gen::inRange(1, 400)};
  sim.quality = {.loss = *rc::gen::inRange(0, 25) / 100.0,
                 .duplicate = 0.2,
                 .min_delay = 1,
                 .max_delay = *rc::gen::inRange(1, 900)};
  sim.start_traffic(Time{25});
  uint64_t given_up = 0;
  for (int i = 0; i < 12; ++i) {
    if (sim.stations[0]->kay->rekey(sim.now)) sim.arm(*sim.stations[0]);
    sim.run_for(Time{*rc::gen::inRange(100, 12'000)});
  }
  sim.quality = {};
  sim.run_for(Time{15'000});
  for (const auto& station : sim.stations) given_up += station->count(EventKind::peer_lost);
  RC_ASSERT(first(sim.violations) == "");
  RC_TAG(given_up == 0 ? "no peer given up" : "peer given up");
  if (given_up == 0) {
    if (!sim.lost.empty()) tell(sim);
    RC_ASSERT(first(sim.lost) == "");
    RC_ASSERT(sim.converged());
  }
}

// Key chains at both ends with clocks apart: every frame arrives while one CAK follows the other.
RC_GTEST_PROP(MkaProperty, CakRotationIsHitlessWithClocksApart, ()) {
  Simulator sim(*rc::gen::arbitrary<uint64_t>());
  const int64_t overlap = *rc::gen::inRange<int64_t>(30'000, 90'000);
  const int count = *rc::gen::inRange(2, 6);
  for (int i = 0; i < 2; ++i) {
    std::vector<KeySettings> keys;
    for (int k = 0; k < count; ++k) {
      auto key = make_key("key" + std::to_string(k), static_cast<uint8_t>(k + 1));
      key.start_ms = sim.wall_base + k * 120'000;
      key.end_ms = key.start_ms + 120'000 + overlap;
      keys.push_back(std::move(key));
    }
    auto& station = sim.add(sim.settings_for(i), {});
    station.clock_skew = *rc::gen::inRange<int64_t>(0, 10'000);
    RC_ASSERT(station.kay->set_keys(std::move(keys), sim.now).has_value());
    sim.arm(station);
  }
  // No loss: three hellos lost in a row are a peer given up, which is another test's concern.
  sim.quality = {
      .loss = 0, .duplicate = 0.1, .min_delay = 1, .max_delay = *rc::gen::inRange(1, 300)};
  RC_ASSERT(sim.run_until_true([&] { return sim.converged(); }, Time{30'000}));
  sim.start_traffic(Time{40});
  sim.run_until(Time{count * 120'000});
  uint64_t given_up = 0;
  for (const auto& station : sim.stations) given_up += station->count(EventKind::peer_lost);
  RC_ASSERT(first(sim.violations) == "");
  // A peer is "lost" under each old CKN when the other end retires it first; that must not lose a
  // frame either.
  RC_ASSERT(first(sim.lost) == "");
  RC_ASSERT(sim.converged());
  RC_TAG(given_up);
}

TEST(MkaLong, ThousandsOfRekeysInVirtualTime) {
  Simulator sim(99);
  for (int i = 0; i < 2; ++i) {
    auto settings = sim.settings_for(i);
    settings.suites = {CipherSuite::gcm_aes_xpn_256};
    // Short timers: a rekey about every second.
    settings.hello = Time{200};
    settings.bounded_hello = Time{50};
    settings.life = Time{1000};
    settings.retire = Time{300};
    settings.linger_grace = Time{100};
    settings.min_interval = Time{5};
    settings.rekey_interval = Time{1000};
    sim.add(std::move(settings), one_key());
  }
  sim.quality = {.loss = 0.02, .duplicate = 0.05, .min_delay = 1, .max_delay = 20};
  ASSERT_TRUE(sim.run_until_true([&] { return sim.converged(); }, Time{10'000}));
  sim.start_traffic(Time{50});
  sim.run_for(Time{3'600'000});
  EXPECT_GT(sim.stations[0]->secy->switches, 3000U);
  EXPECT_EQ(sim.stations[0]->secy->switches, sim.stations[1]->secy->switches);
  uint64_t given_up = 0;
  for (const auto& station : sim.stations)
    given_up += station->kay->snapshot(sim.now).counters.peers_lost;
  EXPECT_EQ(given_up, 0U);
  EXPECT_EQ(first(sim.violations), "");
  EXPECT_EQ(first(sim.lost), "");
}

}  // namespace
}  // namespace sealwire::mka::test
