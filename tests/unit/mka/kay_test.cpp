// One KaY against another, or against a scripted peer, under virtual time.
#include "app/control/mka/kay.h"

#include <gtest/gtest.h>

#include "tests/unit/mka/simulator.h"

namespace sealwire::mka::test {
namespace {

using State = ControlledPort::State;

// What must hold at the end of every test.
void expect_clean(const Simulator& sim) {
  EXPECT_TRUE(sim.violations.empty()) << sim.violations.front();
  EXPECT_TRUE(sim.lost.empty()) << sim.lost.size() << " lost, first: " << sim.lost.front();
}

Mkpdu parsed(const Simulator::Recorded& recorded, uint16_t ether_type = kEapolEtherType) {
  return *parse_sets(*parse_envelope(recorded.frame, ether_type));
}

SakSnapshot sak_in_use(const Simulator::Station& station) {
  const auto snapshot = station.kay->snapshot(station.sim.now);
  return snapshot.saks.empty() ? SakSnapshot{} : snapshot.saks.front();
}

// A station with one key, and a scripted peer that has proven itself live.
struct WithScriptedPeer {
  explicit WithScriptedPeer(uint8_t peer_priority, std::function<void(KaySettings&)> adjust = {})
      : peer(sim, make_key("ckn-1", 0x11), peer_priority) {
    KaySettings settings = sim.settings_for(0);
    if (adjust) adjust(settings);
    std::vector<KeySettings> keys;
    keys.push_back(make_key("ckn-1", 0x11));
    sim.add(std::move(settings), std::move(keys));
    sim.record = true;
  }
  Simulator::Station& us() { return *sim.stations[0]; }
  void make_live() {
    peer.send_to(us());
    sim.run_for(Time{100});
    peer.name(us());
    peer.send_to(us());
    sim.run_for(Time{60});
  }
  Mkpdu last_sent() const { return parsed(sim.wire.back()); }
  Simulator sim;
  ScriptedPeer peer;
};

// --- a session
// --------------------------------------------------------------------------------------

TEST(Kay, TwoStationsAgreeWithinAFractionOfASecond) {
  Pair pair;
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
  EXPECT_EQ(pair.b().secy->port, PortState::blocked);
  ASSERT_TRUE(pair.up(Time{1000}));
  pair.sim.start_traffic(Time{5});
  pair.sim.run_for(Time{20'000});
  EXPECT_GT(pair.sim.data_received, 7900U);
  EXPECT_EQ(pair.a().count(EventKind::sak_created), 1U);
  EXPECT_EQ(pair.b().count(EventKind::sak_created), 0U);
  EXPECT_EQ(pair.a().count(EventKind::session_established), 1U);
  EXPECT_EQ(pair.b().count(EventKind::session_established), 1U);
  EXPECT_EQ(pair.b().count(EventKind::ckn_in_use), 1U);
  expect_clean(pair.sim);
}

TEST(Kay, SnapshotShowsTheSession) {
  Pair pair(1, [](KaySettings& settings, int) {
    settings.suites = {CipherSuite::gcm_aes_xpn_256};
    settings.rekey_interval = Time{3'600'000};
  });
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  pair.a().secy->transmit.begin()->second.next_pn = 1000;
  const auto a = pair.a().kay->snapshot(pair.sim.now);
  EXPECT_EQ(a.state, State::retire);
  EXPECT_EQ(a.port, PortState::secured);
  EXPECT_EQ(a.ckn_in_use, ckn_of("ckn-1"));
  ASSERT_EQ(a.participants.size(), 1U);
  EXPECT_TRUE(a.participants[0].principal);
  EXPECT_TRUE(a.participants[0].elected_self);
  EXPECT_EQ(a.participants[0].key_server, pair.a().sci);
  ASSERT_EQ(a.participants[0].peers.size(), 1U);
  EXPECT_EQ(a.participants[0].peers[0].sci, pair.b().sci);
  EXPECT_TRUE(a.participants[0].peers[0].live);
  EXPECT_LE(a.participants[0].peers[0].since_last_seen, Time{2000});
  ASSERT_EQ(a.saks.size(), 1U);
  EXPECT_TRUE(a.saks[0].transmitting);
  EXPECT_EQ(a.saks[0].suite, CipherSuite::gcm_aes_xpn_256);
  EXPECT_EQ(a.saks[0].next_pn, 1000U);
  EXPECT_EQ(a.saks[0].pn_left_to_rekey, kRekeyPnXpn - 1000);
  ASSERT_EQ(a.saks[0].receive.size(), 1U);
  EXPECT_EQ(a.saks[0].receive[0].sci, pair.b().sci);
  ASSERT_TRUE(a.time_to_rekey);
  EXPECT_GT(*a.time_to_rekey, Time{3'590'000});
  const auto b = pair.b().kay->snapshot(pair.sim.now);
  EXPECT_FALSE(b.participants[0].elected_self);
  EXPECT_EQ(b.participants[0].key_server, pair.a().sci);
  EXPECT_EQ(b.saks[0].ki, a.saks[0].ki);
}

TEST(Kay, EverySuiteAndCakLength) {
  for (const auto suite : {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_256,
                           CipherSuite::gcm_aes_xpn_128, CipherSuite::gcm_aes_xpn_256}) {
    for (const size_t length : {16, 32}) {
      Simulator sim;
      for (int i = 0; i < 2; ++i) {
        auto settings = sim.settings_for(i);
        settings.suites = {suite};
        std::vector<KeySettings> keys;
        keys.push_back(make_key("k", 7, length));
        sim.add(std::move(settings), std::move(keys));
      }
      ASSERT_TRUE(sim.run_until_true([&] { return sim.converged(); }, Time{1000})) << name(suite);
      EXPECT_EQ(sim.stations[1]->secy->suites.back(), suite);
      expect_clean(sim);
    }
  }
}

TEST(Kay, ElectionByPriorityThenBySci) {
  const auto server = [](uint8_t a, uint8_t b) -> int {
    Pair pair(1, [&](KaySettings& settings, int i) { settings.priority = i == 0 ? a : b; });
    if (!pair.up()) return -1;
    return pair.a().count(EventKind::sak_created) != 0 ? 0 : 1;
  };
  EXPECT_EQ(server(10, 20), 0);
  EXPECT_EQ(server(20, 10), 1);
  EXPECT_EQ(server(16, 16), 0);  // the lower SCI
  EXPECT_EQ(server(255, 254), 1);
  EXPECT_EQ(server(255, 255), -1);  // nobody serves: no SAK, nothing passes
}

TEST(Kay, XpnNumbersTheChannelsByDescendingSci) {
  Simulator sim;
  for (int i = 0; i < 3; ++i) {
    auto settings = sim.settings_for(i);
    settings.suites = {CipherSuite::gcm_aes_xpn_128};
    std::vector<KeySettings> keys;
    keys.push_back(make_key("k", 7));
    sim.add(std::move(settings), std::move(keys));
  }
  ASSERT_TRUE(sim.run_until_true([&] { return sim.converged(); }, Time{20'000}));
  for (int i = 0; i < 3; ++i) {
    auto& station = *sim.stations[static_cast<size_t>(i)];
    const auto& own = station.secy->transmit.at(*station.secy->encoding);
    EXPECT_EQ(own.ssci, Ssci(static_cast<uint32_t>(3 - i)));
    EXPECT_EQ(own.salt, sim.stations[0]->secy->transmit.at(*sim.stations[0]->secy->encoding).salt);
    for (const auto& [sci, sas] : station.secy->receive) {
      const auto number = static_cast<uint32_t>(sci.value() >> 16 & 0xFF);
      EXPECT_EQ(sas.at(*station.secy->encoding).ssci, Ssci(4 - number));
    }
  }
  expect_clean(sim);
}

TEST(Kay, Version1AndPeersWithoutTheXpnSet) {
  // SONiC: XPN suites, but version 1 and no XPN parameter set.
  Pair pair(1, [](KaySettings& settings, int i) {
    settings.suites = {CipherSuite::gcm_aes_xpn_256};
    if (i == 1) settings.version = 1;
  });
  pair.sim.record = true;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{10'000});
  bool sent_by_a = false;
  for (const auto& recorded : pair.sim.wire) {
    const auto mkpdu = parsed(recorded);
    if (recorded.from == 1) {
      EXPECT_EQ(mkpdu.basic.version, 1);
      EXPECT_FALSE(mkpdu.xpn);
    } else {
      EXPECT_EQ(mkpdu.basic.version, 3);
      sent_by_a |= mkpdu.xpn.has_value();
    }
  }
  EXPECT_TRUE(sent_by_a);
  EXPECT_TRUE(pair.sim.converged());
  expect_clean(pair.sim);
}

TEST(Kay, IcvIndicatorEitherWay) {
  Pair pair(1, [](KaySettings& settings, int i) { settings.icv_indicator = i == 0; });
  EXPECT_TRUE(pair.up(Time{1000}));
}

TEST(Kay, SuitesAreTriedInOrderUntilAPeerTakesOne) {
  Pair pair(1, [](KaySettings& settings, int i) {
    if (i == 0)
      settings.suites = {CipherSuite::gcm_aes_xpn_256, CipherSuite::gcm_aes_256,
                         CipherSuite::gcm_aes_128};
    if (i == 1) settings.suites = {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_256};
  });
  ASSERT_TRUE(pair.up(Time{20'000}));
  EXPECT_EQ(sak_in_use(pair.b()).suite, CipherSuite::gcm_aes_256);
  EXPECT_GE(pair.b().count(EventKind::sak_refused), 1U);
  expect_clean(pair.sim);
}

TEST(Kay, WeakerConfidentialityThanConfiguredIsRefused) {
  const auto comes_up = [](Confidentiality server, Confidentiality client) {
    Pair pair(1, [&](KaySettings& settings, int i) {
      settings.confidentiality = i == 0 ? server : client;
    });
    return pair.up(Time{8000});
  };
  using C = Confidentiality;
  EXPECT_TRUE(comes_up(C::offset_0, C::offset_30));
  EXPECT_TRUE(comes_up(C::offset_50, C::offset_50));
  EXPECT_TRUE(comes_up(C::offset_0, C::integrity_only));
  EXPECT_FALSE(comes_up(C::offset_30, C::offset_0));
  EXPECT_FALSE(comes_up(C::integrity_only, C::offset_50));
}

TEST(Kay, DifferentCaksNeverComeUp) {
  Simulator sim;
  for (int i = 0; i < 2; ++i) {
    std::vector<KeySettings> keys;
    keys.push_back(make_key("same", static_cast<uint8_t>(i)));
    sim.add(sim.settings_for(i), std::move(keys));
  }
  sim.run_for(Time{30'000});
  for (const auto& station : sim.stations) {
    EXPECT_EQ(station->secy->port, PortState::blocked);
    EXPECT_TRUE(station->secy->transmit.empty());
    EXPECT_TRUE(station->has(EventKind::mkpdu_rejected, Reject::bad_icv));
  }
}

TEST(Kay, NoRandomOctetsNoKeys) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.a().no_random = true;
  const auto before = *pair.a().key_in_use();
  ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
  pair.sim.arm(pair.a());
  pair.sim.run_for(Time{10'000});
  EXPECT_EQ(pair.a().key_in_use(), before);
  pair.a().no_random = false;
  pair.sim.run_for(Time{10'000});
  EXPECT_NE(pair.a().key_in_use(), before);
  expect_clean(pair.sim);
}

// --- must-secure and should-secure
// ----------------------------------------------------------------------

TEST(Kay, MustSecureBlocksUntilTheFirstSakAndAgainWhenThePeerIsGone) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  EXPECT_EQ(pair.a().secy->port, PortState::secured);
  pair.sim.stop(pair.b());
  pair.sim.run_for(Time{7000});
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
  EXPECT_TRUE(pair.a().secy->transmit.empty());
  EXPECT_TRUE(pair.a().secy->receive.empty());
  EXPECT_EQ(pair.a().count(EventKind::session_lost), 1U);
  expect_clean(pair.sim);
}

TEST(Kay, ShouldSecurePassesCleartextOnlyWithoutAPeer) {
  Pair pair(1, [](KaySettings& settings, int) { settings.should_secure = true; });
  EXPECT_EQ(pair.a().secy->port, PortState::cleartext);
  ASSERT_TRUE(pair.up());
  EXPECT_EQ(pair.a().secy->port, PortState::secured);
  pair.sim.stop(pair.b());
  pair.sim.run_for(Time{7000});
  EXPECT_EQ(pair.a().secy->port, PortState::cleartext);
  EXPECT_GE(pair.a().count(EventKind::cleartext), 1U);
}

TEST(Kay, PlainTextAdviceIsRefusedByMustSecureAndTakenByShouldSecure) {
  for (const bool should : {false, true}) {
    WithScriptedPeer with(1, [&](KaySettings& settings) { settings.should_secure = should; });
    with.make_live();
    with.peer.mkpdu.distributed_sak = DistributedSakSet{.plain = true};
    with.peer.name(with.us());
    with.peer.send_to(with.us());
    EXPECT_EQ(with.us().secy->port, should ? PortState::cleartext : PortState::blocked);
    EXPECT_EQ(with.us().count(EventKind::sak_refused), should ? 0U : 1U);
  }
}

// --- rekeys
// ---------------------------------------------------------------------------------------------

TEST(Kay, RekeyByPnThresholdOfTheKeyServer) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.start_traffic(Time{10});
  const auto before = *pair.a().key_in_use();
  pair.a().secy->transmit.at(*pair.a().secy->encoding).next_pn = kRekeyPn - 100;
  pair.sim.run_for(Time{500});
  EXPECT_EQ(pair.a().key_in_use(), before);
  pair.sim.run_for(Time{10'000});
  EXPECT_NE(pair.a().key_in_use(), before);
  EXPECT_LT(pair.a().secy->transmit.at(*pair.a().secy->encoding).next_pn, 10'000U);
  EXPECT_TRUE(pair.sim.converged());
  expect_clean(pair.sim);
}

TEST(Kay, RekeyByPnThresholdOfXpn) {
  Pair pair(1,
            [](KaySettings& settings, int) { settings.suites = {CipherSuite::gcm_aes_xpn_256}; });
  ASSERT_TRUE(pair.up());
  const auto before = *pair.a().key_in_use();
  auto& sa = pair.b().secy->transmit.at(*pair.b().secy->encoding);
  sa.next_pn = kRekeyPn + 1;  // means nothing here
  pair.sim.run_for(Time{15'000});
  EXPECT_EQ(pair.a().key_in_use(), before);
  pair.b().secy->transmit.at(*pair.b().secy->encoding).next_pn = kRekeyPnXpn + 1;
  pair.sim.run_for(Time{15'000});
  EXPECT_NE(pair.a().key_in_use(), before);
  expect_clean(pair.sim);
}

TEST(Kay, RekeyByTime) {
  Pair pair(1, [](KaySettings& settings, int) { settings.rekey_interval = Time{30'000}; });
  ASSERT_TRUE(pair.up());
  pair.sim.start_traffic(Time{50});
  pair.sim.run_for(Time{300'000});
  EXPECT_GE(pair.a().count(EventKind::rekey_requested), 9U);
  EXPECT_LE(pair.a().count(EventKind::rekey_requested), 10U);
  expect_clean(pair.sim);
}

TEST(Kay, RekeyIsTheKeyServersToAsk) {
  Pair pair;
  EXPECT_EQ(pair.a().kay->rekey(pair.sim.now).error().id, "SW-MKA-007");
  ASSERT_TRUE(pair.up());
  EXPECT_EQ(pair.b().kay->rekey(pair.sim.now).error().id, "SW-MKA-007");
  EXPECT_TRUE(pair.a().kay->rekey(pair.sim.now));
}

TEST(Kay, FiftyRekeysInARowLoseNothing) {
  Pair pair(3);
  pair.sim.quality = {.loss = 0, .duplicate = 0.1, .min_delay = 1, .max_delay = 40};
  ASSERT_TRUE(pair.up());
  pair.sim.start_traffic(Time{7});
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
    pair.sim.arm(pair.a());
    pair.sim.run_for(Time{4000});
  }
  pair.sim.run_for(Time{5000});
  EXPECT_EQ(pair.a().secy->switches, 51U);
  EXPECT_EQ(pair.b().secy->switches, 51U);
  EXPECT_EQ(pair.b().count(EventKind::sak_refused), 0U);  // the same SAK said again is no news
  expect_clean(pair.sim);
}

TEST(Kay, DelayProtectionRaisesTheLowestPnAndSpeedsUpTheHello) {
  Pair pair(1, [](KaySettings& settings, int) { settings.delay_protect = true; });
  ASSERT_TRUE(pair.up());
  pair.sim.start_traffic(Time{10});
  const auto sent = pair.a().sent;
  pair.sim.run_for(Time{10'000});
  EXPECT_GE(pair.a().sent - sent, 19U);
  const auto lowest = sak_in_use(pair.b()).receive.at(0).lowest_pn;
  const auto next = sak_in_use(pair.a()).next_pn;
  EXPECT_GT(lowest, next - 120);  // 100 frames a second, at most two hellos and the way ago
  EXPECT_LT(lowest, next);
  expect_clean(pair.sim);
}

TEST(Kay, XpnReceiverThatMissedBillionsOfFramesIsResynchronised) {
  Pair pair(1,
            [](KaySettings& settings, int) { settings.suites = {CipherSuite::gcm_aes_xpn_256}; });
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  auto& sa = pair.a().secy->transmit.at(*pair.a().secy->encoding);
  sa.next_pn = uint64_t{1} << 29;
  pair.sim.run_for(Time{6000});
  EXPECT_EQ(sak_in_use(pair.b()).receive.at(0).lowest_pn, 1U);  // near enough: left alone
  sa.next_pn = (uint64_t{5} << 32) + 7;
  pair.sim.run_for(Time{6000});
  EXPECT_EQ(sak_in_use(pair.b()).receive.at(0).lowest_pn, (uint64_t{5} << 32) + 7);
}

TEST(Kay, SecyThatRefusesIsReportedAndNothingIsInUse) {
  Pair pair;
  pair.b().secy->fail_receive = true;
  pair.sim.run_for(Time{5000});
  EXPECT_FALSE(pair.b().key_in_use());
  EXPECT_GE(pair.b().count(EventKind::secy_failed), 1U);
  pair.b().secy->fail_receive = false;
  EXPECT_TRUE(pair.up(Time{40'000}));
  EXPECT_TRUE(pair.sim.violations.empty());
}

// --- groups
// ---------------------------------------------------------------------------------------------

struct Trio {
  explicit Trio(CipherSuite suite = CipherSuite::gcm_aes_128, uint64_t seed = 1) : sim(seed) {
    for (int i = 0; i < 3; ++i) {
      auto settings = sim.settings_for(i);
      settings.suites = {suite};
      std::vector<KeySettings> keys;
      keys.push_back(make_key("group", 0x33));
      sim.add(std::move(settings), std::move(keys));
    }
  }
  Simulator::Station& at(size_t i) { return *sim.stations[i]; }
  bool up() {
    return sim.run_until_true([this] { return sim.converged(); }, Time{30'000});
  }
  Simulator sim;
};

TEST(KayNiap, GroupCakWithTwoPeersBothGetTheSak) {
  for (const auto suite : {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_xpn_256}) {
    Trio trio(suite);
    ASSERT_TRUE(trio.up());
    trio.sim.run_for(Time{15'000});
    trio.sim.start_traffic(Time{10});
    ASSERT_TRUE(trio.at(0).kay->rekey(trio.sim.now));
    trio.sim.arm(trio.at(0));
    trio.sim.run_for(Time{15'000});
    EXPECT_TRUE(trio.sim.converged());
    expect_clean(trio.sim);
  }
}

TEST(KayNiap, ExcludedPeerCannotDecrypt) {
  Trio trio;
  ASSERT_TRUE(trio.up());
  trio.sim.run_for(Time{15'000});
  const auto old_key = *trio.at(2).key_in_use();
  trio.sim.stop(trio.at(2));
  trio.sim.run_for(Time{20'000});
  ASSERT_TRUE(trio.sim.converged());  // of the two that are left
  EXPECT_NE(*trio.at(0).key_in_use(), old_key);
  for (int i : {0, 1}) {
    EXPECT_FALSE(trio.at(static_cast<size_t>(i)).secy->receive.contains(trio.at(2).sci));
  }
}

TEST(Kay, KeyServerOfAGroupLeavesAndTheNextTakesOver) {
  Trio trio;
  ASSERT_TRUE(trio.up());
  trio.sim.run_for(Time{15'000});
  trio.sim.stop(trio.at(0));
  ASSERT_TRUE(trio.sim.run_until_true(
      [&] { return trio.at(1).count(EventKind::sak_created) > 0 && trio.sim.converged(); },
      Time{30'000}));
  // And back: the better SCI serves again.
  std::vector<KeySettings> keys;
  keys.push_back(make_key("group", 0x33));
  trio.sim.start(trio.at(0), trio.sim.settings_for(0), std::move(keys));
  trio.sim.run_for(Time{30'000});
  EXPECT_TRUE(trio.sim.converged());
  EXPECT_TRUE(sak_in_use(trio.at(0)).generated_here);
  EXPECT_TRUE(trio.sim.violations.empty());
}

// A SAK that still waits for a slow peer is not handed to a member that came later: it may be one
// that restarted and had that SAK, and would use its PNs a second time.
TEST(Kay, RestartedPeerIsNotGivenTheSakItHad) {
  for (const auto suite : {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_xpn_256}) {
    Trio trio(suite);
    ASSERT_TRUE(trio.up());
    trio.sim.run_for(Time{15'000});
    // One does not hear the key server, so the next SAK waits for it.
    trio.sim.blocked = [](int from, int to) { return from == 0 && to == 2; };
    ASSERT_TRUE(trio.at(0).kay->rekey(trio.sim.now));
    trio.sim.arm(trio.at(0));
    trio.sim.run_for(Time{500});
    ASSERT_EQ(trio.at(1).secy->transmit.size(), 2U);  // the SAK in use and the one under way
    auto settings = trio.sim.settings_for(1);
    settings.suites = {suite};
    std::vector<KeySettings> keys;
    keys.push_back(make_key("group", 0x33));
    trio.sim.start(trio.at(1), std::move(settings), std::move(keys));
    trio.sim.run_for(Time{4000});
    trio.sim.blocked = {};
    EXPECT_TRUE(trio.up());
    EXPECT_TRUE(trio.sim.violations.empty());
  }
}

TEST(Kay, APeerThatJoinsUnderTrafficDisturbsNobody) {
  Trio trio;
  trio.sim.stop(trio.at(2));
  ASSERT_TRUE(trio.up());
  trio.sim.run_for(Time{10'000});
  trio.sim.start_traffic(Time{5});
  std::vector<KeySettings> keys;
  keys.push_back(make_key("group", 0x33));
  trio.sim.start(trio.at(2), trio.sim.settings_for(2), std::move(keys));
  trio.sim.run_for(Time{30'000});
  EXPECT_TRUE(trio.sim.converged());
  EXPECT_TRUE(trio.sim.violations.empty());
  // Between the first two nothing was lost; the newcomer cannot open what was sent before it had
  // the SAK.
  for (const auto& lost : trio.sim.lost)
    EXPECT_NE(lost.find("station 2"), std::string::npos) << lost;
}

// --- NIAP: the items for the protocol core
// ------------------------------------------------------------------

TEST(KayNiap, SilentPeerIsRemovedAtSixSeconds) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  pair.sim.stop(pair.b());
  const auto since = pair.a().kay->snapshot(pair.sim.now).participants[0].peers[0].since_last_seen;
  pair.sim.run_for(Time{5999} - since);
  EXPECT_EQ(pair.a().count(EventKind::peer_lost), 0U);
  EXPECT_EQ(pair.a().secy->port, PortState::secured);
  pair.sim.run_for(Time{1});
  EXPECT_EQ(pair.a().count(EventKind::peer_lost), 1U);
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
}

TEST(KayNiap, NewPeerGetsAFreshSak) {
  Trio trio;
  trio.sim.stop(trio.at(2));
  ASSERT_TRUE(trio.up());
  const auto before = *trio.at(0).key_in_use();
  trio.sim.run_for(Time{10'000});
  EXPECT_EQ(*trio.at(0).key_in_use(), before);
  std::vector<KeySettings> keys;
  keys.push_back(make_key("group", 0x33));
  trio.sim.start(trio.at(2), trio.sim.settings_for(2), std::move(keys));
  trio.sim.run_for(Time{20'000});
  EXPECT_NE(*trio.at(0).key_in_use(), before);
  EXPECT_TRUE(trio.sim.converged());
}

TEST(KayNiap, BadMkpdusAreDroppedAndLogged) {
  WithScriptedPeer with(50);
  with.make_live();
  const auto before = with.us().kay->snapshot(with.sim.now).counters;
  const auto expect = [&](std::vector<uint8_t> frame, Reject reason,
                          EventKind kind = EventKind::mkpdu_rejected) {
    const auto events = with.us().events.size();
    with.sim.deliver(with.us(), frame);
    ASSERT_EQ(with.us().events.size(), events + 1) << name(reason);
    EXPECT_EQ(with.us().events.back().kind, kind);
    EXPECT_EQ(name(with.us().events.back().reason), name(reason));
  };
  auto frame = with.peer.frame();
  frame[0] &= 0xFE;
  expect(frame, Reject::individual_destination);
  frame = with.peer.frame();
  frame.back() ^= 1;
  expect(frame, Reject::bad_icv);
  frame = with.peer.frame();
  frame[40] ^= 0x40;  // inside the basic set
  expect(frame, Reject::bad_icv);
  frame = with.peer.frame();
  frame[18 + 31] ^= 1;
  expect(frame, Reject::unknown_agility);
  frame = with.peer.frame();
  frame.pop_back();
  expect(frame, Reject::truncated);
  ScriptedPeer stranger(with.sim, make_key("other", 0x11), 50, 101);
  expect(stranger.frame(), Reject::unknown_ckn);
  // MITM changes the SCI.
  frame = with.peer.frame();
  frame[18 + 4 + 7] ^= 1;
  expect(frame, Reject::bad_icv);
  // A lower MN, and the same one again.
  with.peer.name(with.us());
  const auto good = with.peer.frame();
  with.sim.deliver(with.us(), good);
  expect(good, Reject::replayed, EventKind::replay);
  with.peer.mkpdu.basic.mn -= 3;
  expect(with.peer.frame(), Reject::replayed, EventKind::replay);
  // None of them moved any state.
  const auto after = with.us().kay->snapshot(with.sim.now);
  EXPECT_EQ(after.counters.mkpdus_received, before.mkpdus_received + 1);
  EXPECT_EQ(after.participants[0].peers.size(), 1U);
}

TEST(KayNiap, SaksAndCaksAreNeverOnTheWire) {
  Pair pair;
  pair.sim.record = true;
  std::vector<std::vector<uint8_t>> secrets{std::vector<uint8_t>(16, 0x11)};
  ASSERT_TRUE(pair.up());
  const auto key = make_key("ckn-1", 0x11);
  const auto keys = derive_keys(key.cak, key.ckn).value();
  for (const auto* each : {&keys.ick, &keys.kek})
    secrets.emplace_back(each->view().begin(), each->view().end());
  size_t wrapped = 0;
  for (const auto& recorded : pair.sim.wire) {
    if (const auto mkpdu = parsed(recorded); mkpdu.distributed_sak) {
      const auto sak = unwrap_sak(keys.kek, mkpdu.distributed_sak->wrapped).value();
      EXPECT_EQ(sak.fingerprint(), *pair.a().key_in_use());
      secrets.emplace_back(sak.view().begin(), sak.view().end());
      ++wrapped;
    }
  }
  EXPECT_GE(wrapped, 1U);
  for (const auto& recorded : pair.sim.wire) {
    for (const auto& each : secrets) {
      EXPECT_EQ(std::search(recorded.frame.begin(), recorded.frame.end(), each.begin(), each.end()),
                recorded.frame.end());
    }
  }
}

TEST(KayNiap, CakLifetimeIsHonoured) {
  Simulator sim;
  for (int i = 0; i < 2; ++i) {
    std::vector<KeySettings> keys;
    keys.push_back(make_key("k", 1));
    keys[0].start_ms = sim.wall_base + sim.now.count() + 10'000;
    keys[0].end_ms = keys[0].start_ms + 60'000;
    sim.add(sim.settings_for(i), std::move(keys));
  }
  sim.record = true;
  sim.run_for(Time{9'900});
  EXPECT_TRUE(sim.wire.empty());
  sim.run_for(Time{2'000});
  EXPECT_TRUE(sim.converged());
  sim.run_for(Time{57'900});
  EXPECT_TRUE(sim.converged());
  sim.run_for(Time{400});
  for (const auto& station : sim.stations) {
    EXPECT_EQ(station->secy->port, PortState::blocked);
    EXPECT_TRUE(station->secy->transmit.empty());
    EXPECT_EQ(station->count(EventKind::participant_ended), 1U);
  }
  const auto sent = sim.wire.size();
  sim.run_for(Time{60'000});
  EXPECT_EQ(sim.wire.size(), sent);
  EXPECT_TRUE(sim.violations.empty());
}

// --- key chains
// -------------------------------------------------------------------------------------------

struct Chain {
  explicit Chain(int64_t skew_of_b = 0) {
    for (int i = 0; i < 2; ++i) {
      auto settings = sim.settings_for(i);
      settings.rekey_interval = Time{30'000};
      auto& station = sim.add(std::move(settings), {});
      if (i == 1) station.clock_skew = skew_of_b;
    }
  }
  // Keys 1..n, `life` long, each starting `step` after the one before.
  std::vector<KeySettings> keys(int n, int64_t life, int64_t step) const {
    std::vector<KeySettings> out;
    for (int k = 0; k < n; ++k) {
      auto key = make_key("chain-" + std::to_string(k + 1), static_cast<uint8_t>(k + 1),
                          k % 2 == 0 ? 16 : 32);
      key.start_ms = sim.wall_base + 1000 + k * step;
      key.end_ms = key.start_ms + life;
      out.push_back(std::move(key));
    }
    return out;
  }
  void give(size_t station, std::vector<KeySettings> keys) {
    ASSERT_TRUE(sim.stations[station]->kay->set_keys(std::move(keys), sim.now));
    sim.arm(*sim.stations[station]);
  }
  Simulator sim;
};

TEST(KayNiap, FiveKeysOfTwoMinutesWithOneMinuteOverlapAreHitless) {
  for (const int64_t skew : {0, 4000, -7000}) {
    Chain chain(skew);
    for (size_t i = 0; i < 2; ++i) chain.give(i, chain.keys(5, 120'000, 60'000));
    ASSERT_TRUE(chain.sim.run_until_true([&] { return chain.sim.converged(); }, Time{20'000}));
    chain.sim.start_traffic(Time{20});
    chain.sim.run_until(Time{345'000});
    ASSERT_TRUE(chain.sim.converged()) << skew;
    EXPECT_EQ(sak_in_use(*chain.sim.stations[0]).ckn, ckn_of("chain-5"));
    EXPECT_EQ(chain.sim.stations[0]->count(EventKind::ckn_in_use), 5U);
    EXPECT_GT(chain.sim.stations[0]->secy->switches, 9U);
    expect_clean(chain.sim);
    // The last one ends: nothing passes any more.
    chain.sim.run_until(Time{375'000});
    EXPECT_EQ(chain.sim.stations[0]->secy->port, PortState::blocked);
  }
}

TEST(KayNiap, Ckn1ToCkn2AtLifetimeEndAndAPeerStillOnCkn1IsRejected) {
  Chain chain;
  for (size_t i = 0; i < 2; ++i) chain.give(i, chain.keys(2, 60'000, 30'000));
  ASSERT_TRUE(chain.sim.run_until_true([&] { return chain.sim.converged(); }, Time{10'000}));
  chain.sim.start_traffic(Time{5});
  chain.sim.run_until(Time{70'000});
  EXPECT_TRUE(chain.sim.converged());
  EXPECT_EQ(sak_in_use(*chain.sim.stations[1]).ckn, ckn_of("chain-2"));
  ScriptedPeer late(chain.sim, make_key("chain-1", 1), 1);
  late.send_to(*chain.sim.stations[0]);
  EXPECT_TRUE(chain.sim.stations[0]->has(EventKind::mkpdu_rejected, Reject::unknown_ckn));
  expect_clean(chain.sim);
}

TEST(Kay, KeysAddedAndRetiredByHandAreHitless) {
  Chain chain;
  for (size_t i = 0; i < 2; ++i) chain.give(i, chain.keys(1, 10'000'000, 1));
  ASSERT_TRUE(chain.sim.run_until_true([&] { return chain.sim.converged(); }, Time{10'000}));
  chain.sim.start_traffic(Time{5});
  for (size_t i = 0; i < 2; ++i) {
    auto& station = *chain.sim.stations[i];
    auto key = make_key("new", 0x77);
    key.start_ms = chain.sim.wall_base + 5000;
    ASSERT_TRUE(station.kay->add_key(std::move(key), chain.sim.now));
    EXPECT_EQ(station.kay->add_key(make_key("new", 0x78), chain.sim.now).error().id, "SW-MKA-005");
    chain.sim.arm(station);
    chain.sim.run_for(Time{20'000});  // the operator walks over to the other end
  }
  EXPECT_EQ(sak_in_use(*chain.sim.stations[0]).ckn, ckn_of("new"));
  for (size_t i = 0; i < 2; ++i) {
    auto& station = *chain.sim.stations[i];
    ASSERT_TRUE(station.kay->retire_key(ckn_of("chain-1"), chain.sim.now));
    EXPECT_EQ(station.kay->retire_key(ckn_of("chain-1"), chain.sim.now).error().id, "SW-MKA-006");
    chain.sim.arm(station);
    chain.sim.run_for(Time{20'000});
  }
  EXPECT_TRUE(chain.sim.converged());
  expect_clean(chain.sim);
}

TEST(Kay, ReloadOfTheSameKeysTouchesNothing) {
  Chain chain;
  for (size_t i = 0; i < 2; ++i) chain.give(i, chain.keys(2, 10'000'000, 1));
  ASSERT_TRUE(chain.sim.run_until_true([&] { return chain.sim.converged(); }, Time{10'000}));
  chain.sim.run_for(Time{10'000});
  const auto before = chain.sim.stations[0]->kay->snapshot(chain.sim.now);
  chain.give(0, chain.keys(2, 10'000'000, 1));
  const auto after = chain.sim.stations[0]->kay->snapshot(chain.sim.now);
  EXPECT_EQ(after.participants[0].mi, before.participants[0].mi);
  EXPECT_EQ(after.saks[0].ki, before.saks[0].ki);
  EXPECT_EQ(chain.sim.stations[0]->kay->set_keys(chain.keys(0, 1, 1), chain.sim.now).has_value(),
            true);
  EXPECT_TRUE(chain.sim.stations[0]->kay->snapshot(chain.sim.now).participants.empty());
}

TEST(Kay, FallbackKeyCarriesUntilThePrimariesMatch) {
  Chain chain;
  for (size_t i = 0; i < 2; ++i) {
    auto keys = chain.keys(1, 10'000'000, 1);
    if (i == 1) keys[0] = make_key("chain-1", 0x99);  // a typing mistake at one end
    keys.push_back(make_key("fallback", 0x55));
    keys.back().fallback = true;
    chain.give(i, std::move(keys));
  }
  ASSERT_TRUE(chain.sim.run_until_true([&] { return chain.sim.converged(); }, Time{10'000}));
  EXPECT_EQ(sak_in_use(*chain.sim.stations[0]).ckn, ckn_of("fallback"));
  chain.sim.start_traffic(Time{5});
  auto keys = chain.keys(1, 10'000'000, 1);
  keys.push_back(make_key("fallback", 0x55));
  keys.back().fallback = true;
  chain.give(1, std::move(keys));
  chain.sim.run_for(Time{20'000});
  EXPECT_EQ(sak_in_use(*chain.sim.stations[0]).ckn, ckn_of("chain-1"));
  EXPECT_TRUE(chain.sim.converged());
  expect_clean(chain.sim);
}

TEST(Kay, GroupMovesToTheNewCakOnlyWhenEverybodyHasIt) {
  Trio trio;
  ASSERT_TRUE(trio.up());
  trio.sim.run_for(Time{15'000});
  trio.sim.start_traffic(Time{10});
  for (size_t i = 0; i < 3; ++i) {
    auto key = make_key("next", 0x44);
    key.start_ms = trio.sim.wall_base;
    ASSERT_TRUE(trio.at(i).kay->add_key(std::move(key), trio.sim.now));
    trio.sim.arm(trio.at(i));
    trio.sim.run_for(Time{10'000});
    EXPECT_EQ(sak_in_use(trio.at(0)).ckn, ckn_of(i < 2 ? "group" : "next"));
  }
  EXPECT_TRUE(trio.sim.converged());
  expect_clean(trio.sim);
}

// --- interoperability bugs others shipped
// ------------------------------------------------------------------

TEST(KayInterop, AnyDestinationGroupAndEtherTypeOverride) {
  Pair pair(1, [](KaySettings& settings, int i) {
    settings.ether_type = 0x876F;
    if (i == 0) settings.destination = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    if (i == 1) settings.destination = {0x01, 0x80, 0xC2, 0, 0, 0};
  });
  EXPECT_TRUE(pair.up(Time{1000}));
}

TEST(KayInterop, PeerListHoldsTheLastMnReceived) {
  WithScriptedPeer with(50);
  with.make_live();
  with.peer.mkpdu.basic.mn = 41;
  with.peer.name(with.us());
  with.peer.send_to(with.us());  // MN 42
  with.sim.run_for(Time{2500});
  ASSERT_EQ(with.last_sent().live.size(), 1U);
  EXPECT_EQ(with.last_sent().live[0], (MemberEntry{with.peer.mkpdu.basic.mi, 42}));
}

TEST(KayInterop, OldLpnOfAPeerTriggersTheRekeyToo) {
  WithScriptedPeer with(50);
  with.make_live();
  const auto ki = sak_in_use(with.us()).ki;
  with.peer.use(ki, An(0));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  with.sim.run_for(Time{4000});
  ASSERT_EQ(sak_in_use(with.us()).ki, ki);
  // The peer is in RETIRE: the SAK in use is its old key.
  SakUseSet old;
  old.old = ki;
  old.old_an = An(0);
  old.old_tx = old.old_rx = true;
  old.latest_lpn = 1;
  old.old_lpn = static_cast<uint32_t>(kRekeyPn);
  with.peer.mkpdu.sak_use = old;
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::sak_created), 1U);
  with.peer.mkpdu.sak_use->old_lpn += 1;
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::sak_created), 2U);
}

TEST(KayInterop, SakUseIsInEveryMkpduOnceItWasInOne) {
  Pair pair;
  pair.sim.record = true;
  ASSERT_TRUE(pair.up());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
    pair.sim.arm(pair.a());
    pair.sim.run_for(Time{9000});
  }
  std::set<int> started;
  size_t checked = 0;
  for (const auto& recorded : pair.sim.wire) {
    const auto mkpdu = parsed(recorded);
    if (mkpdu.sak_use) {
      started.insert(recorded.from);
      // Zero would be an error to a peer with delay protection.
      EXPECT_GE(mkpdu.sak_use->latest_lpn, 1U);
      EXPECT_GE(mkpdu.sak_use->old_lpn, 1U);
      ++checked;
    } else {
      EXPECT_FALSE(started.contains(recorded.from));
    }
  }
  EXPECT_GT(checked, 20U);
}

TEST(KayInterop, MissingTransmitSaDoesNotWedgeTheControlledPort) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  pair.sim.start_traffic(Time{10});
  const auto before = *pair.a().key_in_use();
  pair.b().secy->fail_transmit = true;
  ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
  pair.sim.arm(pair.a());
  pair.sim.run_for(Time{3000});
  EXPECT_GE(pair.b().count(EventKind::secy_failed), 1U);
  EXPECT_EQ(pair.b().key_in_use(), before);  // still on the SAK that works
  pair.b().secy->fail_transmit = false;
  pair.sim.run_for(Time{20'000});
  EXPECT_TRUE(pair.sim.converged());
  EXPECT_NE(pair.a().key_in_use(), before);
  expect_clean(pair.sim);
}

TEST(KayInterop, SakUseOfAPeerThatIsNotLiveYetIsNoReasonForANewMi) {
  WithScriptedPeer with(50);
  const auto mi = with.us().kay->snapshot(with.sim.now).participants[0].mi;
  with.peer.use({{1, 2, 3}, 4}, An(1));
  with.peer.send_to(with.us());
  with.sim.run_for(Time{3000});
  EXPECT_EQ(with.us().kay->snapshot(with.sim.now).participants[0].mi, mi);
  with.make_live();
  EXPECT_EQ(with.us().kay->snapshot(with.sim.now).participants[0].mi, mi);
  EXPECT_EQ(with.us().count(EventKind::peer_live), 1U);
}

TEST(KayInterop, SlowPeerLosesNothingAfterTheRetireTime) {
  // B does not hear that A transmits with the new SAK until 5 s later, well after A's retire time
  // of 3 s.
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  pair.sim.start_traffic(Time{5});
  ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
  pair.sim.arm(pair.a());
  ASSERT_TRUE(pair.sim.run_until_true([&] { return pair.a().secy->switches == 2; }, Time{3000}));
  pair.b().receives_mkpdus = false;
  pair.sim.run_for(Time{5000});
  EXPECT_EQ(pair.b().secy->switches, 1U);
  EXPECT_EQ(pair.a().kay->snapshot(pair.sim.now).saks.size(), 2U);
  pair.b().receives_mkpdus = true;
  pair.sim.run_for(Time{10'000});
  EXPECT_EQ(pair.b().secy->switches, 2U);
  EXPECT_EQ(pair.a().count(EventKind::peer_lost), 0U);
  EXPECT_EQ(pair.a().kay->snapshot(pair.sim.now).saks.size(), 1U);
  expect_clean(pair.sim);
}

TEST(KayInterop, SlowToInstallPeerIsWaitedFor) {
  // B refuses to install for 20 s; A does not transmit to nobody, and does not churn.
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  pair.sim.start_traffic(Time{20});
  pair.sim.blocked = [](int from, int) { return from == 0; };
  ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
  pair.sim.arm(pair.a());
  pair.sim.run_for(Time{3500});
  EXPECT_EQ(pair.a().secy->switches, 1U);
  pair.sim.blocked = {};
  pair.sim.run_for(Time{10'000});
  EXPECT_EQ(pair.a().secy->switches, 2U);
  EXPECT_TRUE(pair.sim.converged());
  expect_clean(pair.sim);
}

TEST(KayInterop, AnOfTheSakInUseIsNeverReused) {
  WithScriptedPeer with(1);  // the peer serves
  with.make_live();
  with.peer.distribute(secret(16, 1), 1, An(2));
  with.peer.use({with.peer.mkpdu.basic.mi, 1}, An(2));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  const auto key = with.us().key_in_use();
  ASSERT_TRUE(key);
  with.peer.distribute(secret(16, 2), 2, An(2));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().key_in_use(), key);
  EXPECT_EQ(with.us().count(EventKind::sak_refused), 1U);
  with.peer.distribute(secret(16, 3), 3, An(3));
  with.peer.use({with.peer.mkpdu.basic.mi, 3}, An(3));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_NE(with.us().key_in_use(), key);
  EXPECT_TRUE(with.sim.violations.empty());
}

TEST(KayInterop, KeyServerAvoidsAnsThatPeersStillUse) {
  WithScriptedPeer with(50);
  with.make_live();
  // A peer of ours from before our restart: it still transmits under AN 1 of a SAK that we do not
  // know.
  const Ki unknown{{5, 5, 5}, 77};
  with.peer.use(sak_in_use(with.us()).ki, An(0));
  with.peer.mkpdu.sak_use->old = unknown;
  with.peer.mkpdu.sak_use->old_an = An(1);
  with.peer.mkpdu.sak_use->old_rx = true;
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  with.sim.run_for(Time{4000});
  ASSERT_TRUE(with.us().kay->rekey(with.sim.now));
  with.sim.arm(with.us());
  with.sim.run_for(Time{100});
  ASSERT_TRUE(with.last_sent().distributed_sak);
  EXPECT_EQ(with.last_sent().distributed_sak->an, An(2));
}

// Scripted members of the CA with numbers from 101, live beside `with.peer`.
void add_live(WithScriptedPeer& with, std::vector<std::unique_ptr<ScriptedPeer>>& others,
              int station) {
  others.push_back(std::make_unique<ScriptedPeer>(with.sim, make_key("ckn-1", 0x11), 60, station));
  others.back()->send_to(with.us());
  with.sim.run_for(Time{100});
  others.back()->name(with.us());
}

TEST(KayInterop, KeyServerWithoutAFreeAnTakesThatOfTheSakUnderWay) {
  for (const bool sent_by_a_peer : {false, true}) {
    WithScriptedPeer with(50);
    with.make_live();
    with.sim.run_for(Time{100});
    ASSERT_TRUE(with.last_sent().distributed_sak);
    const An under_way = with.last_sent().distributed_sak->an;
    // The peers use what another key server gave them, and of all other ANs.
    with.peer.use({{5, 5, 5}, 77}, under_way.next());
    with.peer.mkpdu.sak_use->old = {{5, 5, 5}, 76};
    with.peer.mkpdu.sak_use->old_an = under_way.next().next();
    with.peer.mkpdu.sak_use->old_rx = true;
    with.peer.name(with.us());
    with.peer.send_to(with.us());
    std::vector<std::unique_ptr<ScriptedPeer>> others;
    add_live(with, others, 101);
    const An last = under_way.next().next().next();
    others[0]->use({{5, 5, 5}, 78}, sent_by_a_peer ? under_way : last);
    if (sent_by_a_peer) {
      others[0]->mkpdu.sak_use->old = {{5, 5, 5}, 79};
      others[0]->mkpdu.sak_use->old_an = last;
      others[0]->mkpdu.sak_use->old_rx = true;
    }
    others[0]->send_to(with.us());
    with.sim.run_for(Time{2000});
    ASSERT_EQ(with.last_sent().distributed_sak.has_value(), !sent_by_a_peer);
    if (!sent_by_a_peer) {
      EXPECT_EQ(with.last_sent().distributed_sak->kn, 2U);
      EXPECT_EQ(with.last_sent().distributed_sak->an, under_way);
    }
    EXPECT_TRUE(with.sim.violations.empty());
  }
}

TEST(KayInterop, PeersThatNeverLetGoDoNotHoldAllAnsForEver) {
  WithScriptedPeer with(50, [](KaySettings& settings) { settings.patience = Time{20'000}; });
  with.make_live();
  std::vector<std::unique_ptr<ScriptedPeer>> others;
  for (const int station : {101, 102}) add_live(with, others, station);
  for (auto& other : others) other->send_to(with.us());
  const auto say = [&](const SakSnapshot& sak, bool hold) {
    An kept = sak.an;
    for (ScriptedPeer* peer : {&with.peer, others[0].get(), others[1].get()}) {
      peer->use(sak.ki, sak.an);
      kept = kept.next();
      peer->mkpdu.sak_use->old = {{5, 5, 5}, 77};
      peer->mkpdu.sak_use->old_an = kept;
      peer->mkpdu.sak_use->old_rx = hold;
      peer->mkpdu.sak_use->old_tx = hold && peer == &with.peer;
      peer->name(with.us());
      peer->send_to(with.us());
    }
    with.sim.run_for(Time{1500});
  };
  const auto saks = [&] { return with.us().kay->snapshot(with.sim.now).saks; };
  for (int i = 0; i < 4; ++i) say(saks().back(), false);
  const SakSnapshot in_use = sak_in_use(with.us());
  ASSERT_TRUE(in_use.transmitting);
  for (int i = 0; i < 4; ++i) say(in_use, true);
  ASSERT_TRUE(with.us().kay->rekey(with.sim.now));
  with.sim.arm(with.us());
  say(in_use, true);
  EXPECT_EQ(saks().size(), 1U);  // they are given time
  for (int i = 0; i < 14; ++i) say(in_use, true);
  ASSERT_EQ(saks().size(), 2U);
  EXPECT_NE(saks()[1].an, in_use.an);
  EXPECT_NE(saks()[1].an, in_use.an.next());  // a peer sends with it
  EXPECT_TRUE(with.sim.violations.empty());
}

TEST(Kay, ASakUnderWayIsSaidAgainAtTheBoundedInterval) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{10'000});
  pair.sim.blocked = [](int from, int) { return from == 0; };
  ASSERT_TRUE(pair.a().kay->rekey(pair.sim.now));
  pair.sim.arm(pair.a());
  pair.sim.record = true;
  pair.sim.run_for(Time{5000});
  const auto said = std::count_if(pair.sim.wire.begin(), pair.sim.wire.end(), [](const auto& each) {
    return each.from == 0 && parsed(each).distributed_sak;
  });
  EXPECT_GE(said, 10);
  EXPECT_LE(said, 12);
  pair.sim.blocked = {};
  pair.sim.run_for(Time{5000});
  EXPECT_TRUE(pair.sim.converged());
  pair.sim.wire.clear();
  pair.sim.run_for(Time{10'000});
  EXPECT_LE(pair.sim.wire.size(), 12U);  // hellos of both
}

TEST(KayInterop, HelloOf500Milliseconds) {
  Pair pair(1, [](KaySettings& settings, int) { settings.hello = Time{500}; });
  ASSERT_TRUE(pair.up());
  const auto before = pair.a().sent;
  pair.sim.run_for(Time{10'000});
  EXPECT_GE(pair.a().sent - before, 19U);
  EXPECT_LE(pair.a().sent - before, 22U);
}

TEST(KayInterop, RestartedStationRefusesTheSakItTransmittedWith) {
  // A key server that hands the same SAK to a station that came back, as one version of another
  // implementation does.
  WithScriptedPeer with(1);
  with.make_live();
  with.peer.distribute(secret(16, 9), 1, An(0));
  with.peer.use({with.peer.mkpdu.basic.mi, 1}, An(0));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  ASSERT_TRUE(with.us().key_in_use());
  std::vector<KeySettings> keys;
  keys.push_back(make_key("ckn-1", 0x11));
  with.sim.start(with.us(), with.sim.settings_for(0), std::move(keys));
  with.sim.run_for(Time{100});
  const auto mi = with.us().kay->snapshot(with.sim.now).participants[0].mi;
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_FALSE(with.us().key_in_use());
  EXPECT_EQ(with.us().count(EventKind::sak_refused), 1U);
  EXPECT_TRUE(with.sim.violations.empty());
  // It comes again under a new MI, so that a fresh SAK is made for it.
  EXPECT_NE(with.us().kay->snapshot(with.sim.now).participants[0].mi, mi);
}

TEST(KayInterop, SakThatWasDeletedNeverComesBack) {
  WithScriptedPeer with(1);
  with.make_live();
  with.peer.distribute(secret(16, 9), 5, An(0));
  with.peer.use({with.peer.mkpdu.basic.mi, 5}, An(0));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  ASSERT_TRUE(with.us().key_in_use());
  with.sim.run_for(Time{7000});  // the peer is silent: all is deleted
  ASSERT_FALSE(with.us().key_in_use());
  for (int i = 0; i < 3; ++i) {
    with.sim.run_for(Time{2100});
    with.peer.name(with.us());
    with.peer.send_to(with.us());
  }
  EXPECT_FALSE(with.us().key_in_use());
  with.peer.distribute(secret(16, 10), 6, An(1));
  with.peer.use({with.peer.mkpdu.basic.mi, 6}, An(1));
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_TRUE(with.us().key_in_use());
  EXPECT_TRUE(with.sim.violations.empty());
}

// --- attacks and mishaps
// ----------------------------------------------------------------------------------

TEST(Kay, SakOfAPeerThatIsNotTheElectedServerIsRefused) {
  WithScriptedPeer with(50);  // we serve
  with.make_live();
  with.peer.distribute(secret(16, 9), 1, An(3));
  with.peer.name(with.us());
  const auto saks = with.us().kay->snapshot(with.sim.now).saks.size();
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::sak_refused), 1U);
  EXPECT_EQ(with.us().kay->snapshot(with.sim.now).saks.size(), saks);
}

TEST(Kay, SakWrappedWithAnotherKeyIsRefused) {
  WithScriptedPeer with(1);
  with.make_live();
  with.peer.distribute(secret(16, 9), 1, An(3));
  with.peer.mkpdu.distributed_sak->wrapped[3] ^= 1;
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::sak_refused), 1U);
  EXPECT_TRUE(with.us().secy->transmit.empty());
}

TEST(Kay, XpnServerThatCountsOtherwiseIsRefused) {
  WithScriptedPeer with(
      1, [](KaySettings& settings) { settings.suites = {CipherSuite::gcm_aes_xpn_128}; });
  with.make_live();
  with.peer.distribute(secret(16, 9), 1, An(3), CipherSuite::gcm_aes_xpn_128);
  with.peer.name(with.us());
  with.peer.mkpdu.key_server_ssci = 2;  // it has the greater SCI: 1
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::sak_refused), 1U);
  with.peer.mkpdu.key_server_ssci = 1;
  with.peer.send_to(with.us());
  EXPECT_FALSE(with.us().secy->transmit.empty());
}

TEST(Kay, ReplayOfAWholeSessionBringsNothingUp) {
  Simulator sim;
  Pair recorded(5);
  recorded.sim.record = true;
  ASSERT_TRUE(recorded.up());
  recorded.sim.run_for(Time{30'000});
  std::vector<KeySettings> keys;
  keys.push_back(make_key("ckn-1", 0x11));
  auto& station = sim.add(sim.settings_for(7), std::move(keys));
  for (const auto& each : recorded.sim.wire) {
    sim.at(sim.now + each.when,
           [&sim, &station, frame = each.frame] { sim.deliver(station, frame); });
  }
  sim.run_for(Time{60'000});
  EXPECT_EQ(station.count(EventKind::peer_live), 0U);
  EXPECT_TRUE(station.secy->transmit.empty());
  EXPECT_EQ(station.secy->port, PortState::blocked);
}

TEST(Kay, ReplaysDoNotKeepADeadPeerAlive) {
  Pair pair;
  pair.sim.record = true;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{4000});
  pair.sim.stop(pair.b());
  std::vector<std::vector<uint8_t>> frames;
  for (const auto& each : pair.sim.wire) {
    if (each.from == 1) frames.push_back(each.frame);
  }
  for (int i = 0; i < 20; ++i) {
    for (const auto& frame : frames) pair.sim.deliver(pair.a(), frame);
    pair.sim.run_for(Time{500});
  }
  EXPECT_EQ(pair.a().count(EventKind::peer_lost), 1U);
  EXPECT_EQ(pair.a().count(EventKind::peer_live), 1U);
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
  EXPECT_GE(pair.a().count(EventKind::replay), 1U);
}

TEST(Kay, OwnFramesThatComeBackAreDropped) {
  Pair pair;
  pair.sim.record = true;
  ASSERT_TRUE(pair.up());
  const auto mi = pair.a().kay->snapshot(pair.sim.now).participants[0].mi;
  for (const auto& each : std::vector(pair.sim.wire)) {
    if (each.from == 0) pair.sim.deliver(pair.a(), each.frame);
  }
  EXPECT_TRUE(pair.a().has(EventKind::mkpdu_rejected, Reject::own_source));
  EXPECT_EQ(pair.a().kay->snapshot(pair.sim.now).participants[0].mi, mi);
  EXPECT_TRUE(pair.sim.converged());
}

TEST(Kay, MemberWithOurMiMakesUsTakeANewOne) {
  WithScriptedPeer with(50);
  with.sim.run_for(Time{100});
  const auto mi = with.us().kay->snapshot(with.sim.now).participants[0].mi;
  with.peer.mkpdu.basic.mi = mi;
  with.peer.send_to(with.us());
  EXPECT_NE(with.us().kay->snapshot(with.sim.now).participants[0].mi, mi);
  EXPECT_EQ(with.us().count(EventKind::member_identifier_reset), 1U);
}

TEST(Kay, PeerThatNamesAnMnAboveOursMakesUsTakeANewMi) {
  WithScriptedPeer with(50);
  with.make_live();
  const auto mi = with.us().kay->snapshot(with.sim.now).participants[0].mi;
  with.peer.name(with.us());
  with.peer.mkpdu.live[0].mn += 1;
  with.peer.send_to(with.us());
  EXPECT_NE(with.us().kay->snapshot(with.sim.now).participants[0].mi, mi);
}

TEST(Kay, PeerThatStopsNamingUsIsLostThoughItIsHeard) {
  WithScriptedPeer with(50);
  with.make_live();
  with.peer.mkpdu.live.clear();
  for (int i = 0; i < 5; ++i) {
    with.sim.run_for(Time{1000});
    with.peer.send_to(with.us());
  }
  EXPECT_EQ(with.us().count(EventKind::peer_lost), 0U);
  with.sim.run_for(Time{1000});
  EXPECT_EQ(with.us().count(EventKind::peer_lost), 1U);
}

TEST(Kay, LateFramesOfTheMemberBeforeARestartAreRefused) {
  WithScriptedPeer with(50);
  with.make_live();
  const auto before = with.peer.mkpdu;
  with.peer.mkpdu.basic.mi[5] ^= 0xFF;  // restarted
  with.peer.mkpdu.basic.mn = 0;
  with.make_live();
  EXPECT_EQ(with.us().count(EventKind::peer_replaced), 1U);
  const auto after = with.peer.mkpdu;
  with.peer.mkpdu = before;
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_TRUE(with.us().has(EventKind::replay, Reject::retired_member));
  const auto peers = with.us().kay->snapshot(with.sim.now).participants[0].peers;
  ASSERT_EQ(peers.size(), 1U);
  EXPECT_EQ(peers[0].mi, after.basic.mi);
}

TEST(Kay, ReplayOfALostPeerIsRefused) {
  WithScriptedPeer with(50);
  with.make_live();
  with.peer.name(with.us());
  const auto last = with.peer.frame();
  with.sim.deliver(with.us(), last);
  with.sim.run_for(Time{6500});
  EXPECT_EQ(with.us().count(EventKind::peer_lost), 1U);
  with.sim.deliver(with.us(), last);
  EXPECT_TRUE(with.us().has(EventKind::replay, Reject::replayed));
  EXPECT_TRUE(with.us().kay->snapshot(with.sim.now).participants[0].peers.empty());
}

TEST(Kay, PeerThatNamesAnMnWeNeverSentIsNotLive) {
  WithScriptedPeer with(50);
  with.sim.run_for(Time{100});
  with.peer.name(with.us());
  with.peer.mkpdu.live[0].mn = 0;
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::peer_live), 0U);
}

TEST(Kay, PeerThatNamesAnMnOlderThanTheLifeTimeIsNotLive) {
  WithScriptedPeer with(50);
  with.sim.run_for(Time{100});
  with.peer.name(with.us());
  with.sim.run_for(Time{6100});
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::peer_live), 0U);
  with.peer.name(with.us());
  with.peer.send_to(with.us());
  EXPECT_EQ(with.us().count(EventKind::peer_live), 1U);
}

TEST(Kay, RestartedPeerIsTakenBackAtOnce) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.sim.run_for(Time{5000});
  for (auto* station : {&pair.b(), &pair.a()}) {
    std::vector<KeySettings> keys;
    keys.push_back(make_key("ckn-1", 0x11));
    auto settings = pair.sim.settings_for(station->number);
    settings.priority = static_cast<uint8_t>(10 + station->number);
    pair.sim.start(*station, std::move(settings), std::move(keys));
    ASSERT_TRUE(pair.up(Time{1500})) << station->number;
    pair.sim.run_for(Time{10'000});
    ASSERT_TRUE(pair.sim.converged());
  }
  EXPECT_EQ(pair.a().count(EventKind::peer_replaced) + pair.b().count(EventKind::peer_replaced),
            2U);
  EXPECT_TRUE(pair.sim.violations.empty());
}

TEST(Kay, OneWayLinkNeverComesUpAndRecovers) {
  Pair pair;
  pair.sim.blocked = [](int from, int) { return from == 0; };
  pair.sim.run_for(Time{20'000});
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
  pair.sim.blocked = {};
  ASSERT_TRUE(pair.up());
  // And after it was up: the direction that is left must not keep the session open.
  pair.sim.blocked = [](int from, int) { return from == 1; };
  pair.sim.run_for(Time{15'000});
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
  EXPECT_EQ(pair.b().secy->port, PortState::blocked);
  pair.sim.blocked = {};
  EXPECT_TRUE(pair.up(Time{15'000}));
  EXPECT_TRUE(pair.sim.violations.empty());
}

TEST(Kay, ShutDownLeavesNothingBehind) {
  Pair pair;
  ASSERT_TRUE(pair.up());
  pair.a().kay->shut_down();
  EXPECT_EQ(pair.a().secy->port, PortState::blocked);
  EXPECT_TRUE(pair.a().secy->transmit.empty());
  EXPECT_TRUE(pair.a().secy->receive.empty());
  EXPECT_EQ(pair.a().kay->next_deadline(pair.sim.now), kNever);
}

TEST(Events, AreLimitedPerKindAndReasonAndCounted) {
  struct Sink : EventSink {
    void on_event(const Event& event) override { events.push_back(event); }
    std::vector<Event> events;
  } sink;
  EventLimiter limiter(sink, 5, Time{1000});
  for (int i = 0; i < 100; ++i) {
    limiter.report({.kind = EventKind::mkpdu_rejected, .at = Time{i}, .reason = Reject::bad_icv});
  }
  EXPECT_EQ(sink.events.size(), 5U);
  limiter.report(
      {.kind = EventKind::mkpdu_rejected, .at = Time{99}, .reason = Reject::unknown_ckn});
  EXPECT_EQ(sink.events.size(), 6U);
  limiter.report({.kind = EventKind::mkpdu_rejected, .at = Time{1001}, .reason = Reject::bad_icv});
  ASSERT_EQ(sink.events.size(), 7U);
  EXPECT_EQ(sink.events.back().suppressed, 95U);
  limiter.report({.kind = EventKind::replay, .at = Time{1001}, .reason = Reject::replayed});
  EXPECT_EQ(sink.events.size(), 8U);
}

TEST(Names, AreDistinct) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < static_cast<size_t>(Reject::count); ++i)
    names.insert(name(static_cast<Reject>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(Reject::count));
  names.clear();
  for (size_t i = 0; i < static_cast<size_t>(EventKind::count); ++i)
    names.insert(name(static_cast<EventKind>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(EventKind::count));
  EXPECT_FALSE(names.contains(""));
}

}  // namespace
}  // namespace sealwire::mka::test
