// Every way of sealing: suites, SCI modes, integrity and offsets, VLAN tags in clear, sizes. What
// one site seals the other opens unchanged, and the frame on the wire is the one that a sealer
// written for the test makes.
#include <gtest/gtest.h>

#include <tuple>

#include "pipelines/stages/macsec_egress.h"
#include "pipelines/wire/macsec.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

enum class SciMode { include, bare, es, scb };

struct Mode {
  CipherSuite suite;
  bool confidentiality;
  std::uint8_t offset;
  SciMode sci;
  std::uint8_t vlan_in_clear;
};

std::vector<Mode> all_modes() {
  std::vector<Mode> modes;
  for (const auto suite : {CipherSuite::gcm_aes_128, CipherSuite::gcm_aes_256,
                           CipherSuite::gcm_aes_xpn_128, CipherSuite::gcm_aes_xpn_256}) {
    for (const auto sci : {SciMode::include, SciMode::bare, SciMode::es, SciMode::scb}) {
      for (const std::uint8_t vlan : std::initializer_list<std::uint8_t>{0, 1, 2}) {
        modes.push_back({suite, false, 0, sci, vlan});
        for (const std::uint8_t offset : std::initializer_list<std::uint8_t>{0, 30, 50}) {
          if (offset == 0 || !is_xpn(suite)) modes.push_back({suite, true, offset, sci, vlan});
        }
      }
    }
  }
  return modes;
}

class MacsecModes : public testing::TestWithParam<Mode> {};

TEST_P(MacsecModes, SealedAsByTheIndependentSealerAndOpenedUnchanged) {
  const Mode& m = GetParam();
  // make_frame's source address, so that ES and SCB name our channel.
  const std::uint64_t source = 0x02'00'00'00'00'01ULL << 16;
  const std::uint64_t sci = source | (m.sci == SciMode::scb ? 0 : 1);
  LineOptions o;
  o.secy.include_sci = m.sci == SciMode::include;
  o.secy.use_es = m.sci == SciMode::es;
  o.secy.use_scb = m.sci == SciMode::scb;
  o.secy.vlan_in_clear = m.vlan_in_clear;
  o.secy.sci = crypto::Sci(sci);
  Wire a(o);
  o.secy.sci = crypto::Sci(kSciB);
  Wire b(o);
  Loop loop(both({&a, &b}));
  const Sak sak{.suite = m.suite,
                .an = 2,
                .confidentiality = m.confidentiality,
                .offset = m.offset,
                .pn = is_xpn(m.suite) ? 0xFFFFFFF0ULL : 1};
  add_transmit(*a.secy, sak);
  add_receive(*b.secy, sci, sak);

  std::vector<Bytes> sent, expected;
  std::uint64_t pn = sak.pn;
  const Bytes tags{0x88, 0xA8, 0x20, 0x07, 0x81, 0x00, 0x00, 0x2A};
  for (const std::size_t tag_octets : {0U, 4U, 8U}) {
    for (const std::size_t length : {14, 20, 41, 42, 43, 59, 60, 61, 62, 63, 64, 100, 1514, 9000}) {
      const Bytes inner = make_frame(length, static_cast<std::uint32_t>(pn));
      Bytes whole = inner;
      // With one tag it is the C-tag.
      const Bytes mine(tags.end() - static_cast<std::ptrdiff_t>(tag_octets), tags.end());
      whole.insert(whole.begin() + 12, mine.begin(), mine.end());
      sent.push_back(whole);
      Sealed s;
      const auto in_clear = std::min<std::size_t>(tag_octets, m.vlan_in_clear * 4U);
      s.clear_tags = Bytes(mine.begin(), mine.begin() + static_cast<std::ptrdiff_t>(in_clear));
      s.frame = inner;
      s.frame.insert(s.frame.begin() + 12, mine.begin() + static_cast<std::ptrdiff_t>(in_clear),
                     mine.end());
      const int sci_bits = m.sci == SciMode::include ? 0x20
                           : m.sci == SciMode::es    ? 0x40
                           : m.sci == SciMode::scb   ? 0x10
                                                     : 0;
      s.tci_an = static_cast<std::uint8_t>(2 | sci_bits | (m.confidentiality ? 0x0C : 0));
      s.pn = pn++;
      s.sci = sci;
      s.sak = sak;
      expected.push_back(s.bytes());
    }
  }
  const unsigned before = mbufs_in_use();
  for (const Bytes& f : sent) ASSERT_TRUE(a.inside.put(f));
  loop.run_until_quiet();
  const auto wire = a.outside.take();
  ASSERT_EQ(wire.size(), expected.size());
  for (std::size_t i = 0; i < wire.size(); ++i) {
    EXPECT_EQ(to_hex(wire[i]), to_hex(expected[i])) << "frame " << i;
    ASSERT_TRUE(b.outside.put(wire[i]));
  }
  loop.run_until_quiet();
  EXPECT_TRUE(same(b.inside.take(), sent));
  EXPECT_EQ(b.secy->receive_sa(crypto::Sci(sci), crypto::An(2))->ok, sent.size());
  EXPECT_EQ(b.secy->receive_sa(crypto::Sci(sci), crypto::An(2))->next_pn, pn);
  const auto& tx = a.secy->transmit_counters();
  const auto& rx = b.secy->receive_counters();
  EXPECT_EQ(tx.out_pkts_encrypted.read(), m.confidentiality ? sent.size() : 0);
  EXPECT_EQ(tx.out_pkts_protected.read(), m.confidentiality ? 0 : sent.size());
  EXPECT_EQ(tx.out_octets_encrypted.read(), rx.in_octets_decrypted.read());
  EXPECT_EQ(tx.out_octets_protected.read(), rx.in_octets_validated.read());
  EXPECT_EQ(mbufs_in_use(), before);
}

std::string mode_name(const testing::TestParamInfo<Mode>& info) {
  static constexpr const char* suites[] = {"Gcm128", "Gcm256", "Xpn128", "Xpn256"};
  static constexpr const char* scis[] = {"Sci", "Bare", "Es", "Scb"};
  const Mode& m = info.param;
  return std::string(suites[static_cast<int>(m.suite)]) + scis[static_cast<int>(m.sci)] +
         (m.confidentiality ? "Offset" + std::to_string(m.offset) : "Integrity") + "Vlan" +
         std::to_string(m.vlan_in_clear);
}
INSTANTIATE_TEST_SUITE_P(All, MacsecModes, testing::ValuesIn(all_modes()), mode_name);

TEST(MacsecTransmit, SciIsAddedWhenThereAreSeveralReceiveChannels) {
  // 802.1AE 10.5.3: without ES and SCB, more than one receive SC makes the SCI explicit.
  LineOptions o;
  o.secy.include_sci = false;
  o.secy.sci = crypto::Sci(kSciA);
  Wire a(o);
  Loop loop(both({&a}));
  add_transmit(*a.secy, {});
  const auto sealed = [&] {
    EXPECT_TRUE(a.inside.put(make_frame(100)));
    loop.run_until_quiet();
    return a.outside.take().at(0);
  };
  EXPECT_EQ(sealed()[14], 0x0C);
  ASSERT_TRUE(a.secy->create_receive_sc(crypto::Sci(kSciB)));
  EXPECT_EQ(sealed()[14], 0x0C);
  ASSERT_TRUE(a.secy->create_receive_sc(crypto::Sci(kSciB + 1)));
  EXPECT_EQ(sealed()[14], 0x2C);
  a.secy->retire_receive_sc(crypto::Sci(kSciB));
  EXPECT_EQ(sealed()[14], 0x0C);
}

TEST(MacsecTransmit, ExhaustionStopsTheSaAndTheLimitRaisesIt) {
  Sites s;
  add_transmit(*s.a.secy, {.pn = 0xFFFFFFFE, .limit = 0});
  for (std::uint32_t i = 0; i < 5; ++i) ASSERT_TRUE(s.a.inside.put(make_frame(60, i)));
  s.loop.run_until_quiet();
  // 2^32-2 and 2^32-1 are the last; nothing leaves after them, neither now nor later.
  auto wire = s.a.outside.take();
  ASSERT_EQ(wire.size(), 2U);
  EXPECT_EQ(wire::parse_sectag(std::span(wire[1]).subspan(12))->pn, 0xFFFFFFFFU);
  EXPECT_EQ(s.loop.drops(0, DropReason::out_pn_exhausted), 3U);
  EXPECT_TRUE(s.a.secy->transmit_sa(crypto::An(0))->exhausted);
  ASSERT_TRUE(s.a.secy->set_limit(crypto::An(0), ~0ULL));
  ASSERT_TRUE(s.a.inside.put(make_frame(60)));
  s.loop.run_until_quiet();
  EXPECT_TRUE(s.a.outside.take().empty());
  EXPECT_EQ(s.a.secy->transmit_counters().out_pn_exhausted.read(), 4U);

  // A block reserved ahead of use: control raises it.
  add_transmit(*s.a.secy, {.an = 1, .fill = 3, .pn = 10, .limit = 12});
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(s.a.inside.put(make_frame(60, i)));
  s.loop.run_until_quiet();
  EXPECT_EQ(s.a.outside.take().size(), 2U);
  EXPECT_FALSE(s.a.secy->transmit_sa(crypto::An(1))->exhausted);
  ASSERT_TRUE(s.a.secy->set_limit(crypto::An(1), 20));
  ASSERT_TRUE(s.a.secy->set_limit(crypto::An(1), 11));  // never lowers
  ASSERT_TRUE(s.a.inside.put(make_frame(60)));
  s.loop.run_until_quiet();
  wire = s.a.outside.take();
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire::parse_sectag(std::span(wire[0]).subspan(12))->pn, 12U);
}

TEST(MacsecTransmit, NothingIsReservedBehindTheLimit) {
  Sites s;
  add_transmit(*s.a.secy, {.pn = 10, .limit = 5});
  for (std::uint32_t i = 0; i < 2; ++i) ASSERT_TRUE(s.a.inside.put(make_frame(60, i)));
  s.loop.run_until_quiet();
  EXPECT_TRUE(s.a.outside.take().empty());
  EXPECT_EQ(s.loop.drops(0, DropReason::out_pn_exhausted), 2U);
  EXPECT_EQ(s.a.secy->transmit_sa(crypto::An(0))->next_pn, 10U);
}

TEST(MacsecTransmit, XpnRunsAcross32BitsAndStopsAtTheEnd) {
  Sites s;
  const Sak sak{.suite = CipherSuite::gcm_aes_xpn_128, .pn = ~0ULL - 2};
  add_transmit(*s.a.secy, sak);
  for (std::uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(s.a.inside.put(make_frame(60, i)));
  s.loop.run_until_quiet();
  EXPECT_EQ(s.a.outside.take().size(), 2U);
  EXPECT_EQ(s.loop.drops(0, DropReason::out_pn_exhausted), 2U);
}

TEST(MacsecNiap, XpnAcross2To32RepeatsTheLowHalfAndNotTheCiphertext) {
  Sites s;
  const auto sealed_at = [&](std::uint64_t pn) {
    static_cast<void>(s.a.secy->retire_transmit_sa(crypto::An(0)));
    add_transmit(*s.a.secy, {.suite = CipherSuite::gcm_aes_xpn_128, .pn = pn});
    EXPECT_TRUE(s.a.inside.put(make_frame(60)));
    s.loop.run_until_quiet();
    const auto out = s.a.outside.take();
    EXPECT_EQ(out.size(), 1U);
    return out.empty() ? Bytes(100) : out.front();
  };
  const Bytes before = sealed_at(5), after = sealed_at(0x1'0000'0005);
  ASSERT_EQ(before.size(), after.size());
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 28, after.begin())) << "SecTAG and SCI";
  for (std::size_t at = 28; at + 16 <= before.size(); at += 16)
    EXPECT_FALSE(std::equal(before.begin() + static_cast<std::ptrdiff_t>(at),
                            before.begin() + static_cast<std::ptrdiff_t>(at + 16),
                            after.begin() + static_cast<std::ptrdiff_t>(at)))
        << "block at " << at;
}

TEST(MacsecTransmit, NoSaInUseDropsEverything) {
  Sites s;
  const auto offered = [&](DropReason reason) {
    const auto before = s.loop.drops(0, reason);
    for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(s.a.inside.put(make_frame(60, i)));
    s.loop.run_until_quiet();
    EXPECT_TRUE(s.a.outside.take().empty());
    return s.loop.drops(0, reason) - before;
  };
  EXPECT_EQ(offered(DropReason::out_no_sa), 3U);  // none installed
  add_transmit(*s.a.secy, {}, false);
  EXPECT_EQ(offered(DropReason::out_no_sa), 3U);  // not the encoding SA
  ASSERT_TRUE(s.a.secy->set_encoding_sa(crypto::An(0)));
  ASSERT_TRUE(s.a.secy->enable_transmit(crypto::An(0), false));
  EXPECT_EQ(offered(DropReason::out_no_sa), 3U);  // not enabled
  ASSERT_TRUE(s.a.secy->enable_transmit(crypto::An(0), true));
  ASSERT_TRUE(s.a.inside.put(make_frame(60)));
  s.loop.run_until_quiet();
  EXPECT_EQ(s.a.outside.take().size(), 1U);
}

TEST(MacsecTransmit, RetiredSaIsNotUsedAndItsSlotIsFree) {
  Sites s;
  add_transmit(*s.a.secy, {});
  EXPECT_FALSE(
      s.a.secy->install_transmit_sa({.key = make_key(CipherSuite::gcm_aes_128, Bytes(16))}));
  EXPECT_NE(s.a.secy->retire_transmit_sa(crypto::An(0)), nullptr);
  ASSERT_TRUE(s.a.inside.put(make_frame(60)));
  s.loop.run_until_quiet();
  EXPECT_TRUE(s.a.outside.take().empty());
  EXPECT_EQ(s.a.secy->transmit_counters().out_no_sa.read(), 1U);
  add_transmit(*s.a.secy, {.fill = 9});
}

TEST(MacsecTransmit, ProtectFramesOffSendsInClearAndCountsUntagged) {
  Sites s;
  s.a.secy->set_protect_frames(false);
  const Bytes f = make_frame(80);
  ASSERT_TRUE(s.a.inside.put(f));
  s.loop.run_until_quiet();
  EXPECT_TRUE(same(s.a.outside.take(), std::vector<Bytes>{f}));
  EXPECT_EQ(s.a.secy->transmit_counters().out_pkts_untagged.read(), 1U);
  s.a.secy->set_protect_frames(true);
  ASSERT_TRUE(s.a.inside.put(f));
  s.loop.run_until_quiet();
  EXPECT_TRUE(s.a.outside.take().empty());
}

TEST(MacsecTransmit, AFrameThatNoStepSealedNeverLeaves) {
  // A packet that came into the burst behind order's back, as a wrong composition would bring it.
  LineOptions o;
  o.secy.sci = crypto::Sci(kSciA);
  Wire a(o);
  const auto burst = std::make_unique<Burst>();
  burst->direction = &a.egress;
  burst->line = &a.snapshot;
  burst->count = 1;
  burst->packets[0] = Packet{};
  burst->packets[0].mbuf = make_mbuf(make_frame(100));
  macsec_egress::build(*burst);
  EXPECT_EQ(burst->batch.count, 0);
  macsec_egress::finish(*burst);
  EXPECT_EQ(burst->packets[0].drop, DropReason::unsealed);
  LaneCounters counters;
  burst->sweep(counters);
  EXPECT_EQ(burst->count, 0);
}

TEST(MacsecTransmit, TooLongForThePortsMtu) {
  LineOptions o;
  o.mtu = 1500;
  o.secy.sci = crypto::Sci(kSciA);
  Wire a(o);
  Loop loop(both({&a}));
  add_transmit(*a.secy, {});
  ASSERT_TRUE(a.inside.put(make_frame(1514 - 32)));
  ASSERT_TRUE(a.inside.put(make_frame(1514 - 31)));
  loop.run_until_quiet();
  const auto wire = a.outside.take();
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire[0].size(), 1514U);
  EXPECT_EQ(loop.drops(0, DropReason::out_pkts_too_long), 1U);
  EXPECT_EQ(a.secy->transmit_counters().out_pkts_too_long.read(), 1U);
}

// A tag that is sealed is payload to the wire, one ahead of the SecTAG is header.
TEST(MacsecTransmit, OnlyVlanTagsThatAreSealedCountForTheMtu) {
  for (std::uint8_t in_clear = 0; in_clear <= 2; ++in_clear) {
    LineOptions o;
    o.mtu = 1500;
    o.secy.sci = crypto::Sci(kSciA);
    o.secy.vlan_in_clear = in_clear;
    Wire a(o);
    Loop loop(both({&a}));
    add_transmit(*a.secy, {});
    const std::size_t largest = 1514 + std::size_t{4} * in_clear;
    for (const std::size_t length : {largest - 32, largest - 31}) {
      Bytes frame = make_frame(length, 0, 0x88A8);
      frame[16] = 0x81;  // two tags, then IPv4
      frame[17] = 0x00;
      frame[20] = 0x08;
      frame[21] = 0x00;
      ASSERT_TRUE(a.inside.put(frame));
    }
    loop.run_until_quiet();
    const auto wire = a.outside.take();
    ASSERT_EQ(wire.size(), 1U);
    EXPECT_EQ(wire[0].size(), largest);
    EXPECT_EQ(loop.drops(0, DropReason::out_pkts_too_long), 1U);
  }
}

TEST(MacsecTransmit, EveryKindOfInsideFrameIsSealed) {
  // VLAN, LLDP, customer EAPOL, ARP, spanning tree: all of it, on a wire.
  Sites s;
  add_transmit(*s.a.secy, {});
  add_receive(*s.b.secy, kSciA, {});
  std::vector<Bytes> sent;
  for (const std::uint16_t type :
       std::initializer_list<std::uint16_t>{0x8100, 0x88A8, 0x88CC, 0x888E, 0x0806, 0x0800, 0x86DD,
                                            0x88E5, 0x0027, 0x8809, 0xFFFF}) {
    sent.push_back(make_frame(64, type, type));
  }
  for (const Bytes& f : sent) ASSERT_TRUE(s.a.inside.put(f));
  s.loop.run_until_quiet();
  const auto wire = Sites::carry(s.a, s.b);
  ASSERT_EQ(wire.size(), sent.size());
  for (const Bytes& f : wire) EXPECT_EQ(wire::load_be<std::uint16_t>(f.data() + 12), 0x88E5);
  s.loop.run_until_quiet();
  EXPECT_TRUE(same(s.b.inside.take(), sent));
}

TEST(Secy, RefusesWhatTheStandardDoes) {
  const auto id = [](auto&& result) { return result ? std::string() : result.error().id; };
  EXPECT_EQ(id(Secy::create({.vlan_in_clear = 3})), "SW-SCY-001");
  EXPECT_EQ(id(Secy::create({.sci = crypto::Sci(~0ULL)})), "SW-SCY-002");
  EXPECT_EQ(id(Secy::create({.include_sci = true, .use_es = true})), "SW-SCY-003");
  EXPECT_EQ(id(Secy::create({.include_sci = true, .use_scb = true})), "SW-SCY-003");
  auto secy = Secy::create({.sci = crypto::Sci(kSciA)}).value();
  const auto tx = [&](CipherSuite suite, std::uint8_t offset, std::uint64_t pn, std::uint32_t ssci,
                      CipherSuite key) {
    return id(secy->install_transmit_sa(
        {.suite = suite,
         .confidentiality_offset = offset,
         .ssci = crypto::Ssci(ssci),
         .next_pn = crypto::Pn(pn),
         .key = make_key(key, Bytes(key == CipherSuite::gcm_aes_128 ? 16 : 32))}));
  };
  constexpr auto g128 = CipherSuite::gcm_aes_128, g256 = CipherSuite::gcm_aes_256,
                 x256 = CipherSuite::gcm_aes_xpn_256;
  EXPECT_EQ(tx(g128, 31, 1, 0, g128), "SW-SCY-011");
  EXPECT_EQ(tx(x256, 30, 1, 1, g256), "SW-SCY-011");
  EXPECT_EQ(tx(g128, 0, 0, 0, g128), "SW-SCY-012");
  EXPECT_EQ(tx(g128, 0, (1ULL << 32) + 1, 0, g128), "SW-SCY-012");
  EXPECT_EQ(tx(g128, 0, 1, 0, g256), "SW-SCY-013");
  EXPECT_EQ(id(secy->install_transmit_sa({})), "SW-SCY-013");
  EXPECT_EQ(tx(x256, 0, 1, 0, g256), "SW-SCY-014");
  EXPECT_EQ(tx(x256, 0, 1, 1, g256), "");
  EXPECT_EQ(tx(x256, 0, 1, 1, g256), "SW-SCY-010");
  EXPECT_EQ(id(secy->set_encoding_sa(crypto::An(1))), "SW-SCY-015");
  EXPECT_EQ(id(secy->enable_transmit(crypto::An(1), true)), "SW-SCY-015");
  EXPECT_EQ(id(secy->set_limit(crypto::An(1), 5)), "SW-SCY-015");
  EXPECT_EQ(id(secy->create_receive_sc(crypto::Sci(kSciA))), "SW-SCY-020");
  for (std::uint64_t i = 0; i < Secy::kMaxReceiveScs; ++i) {
    EXPECT_EQ(id(secy->create_receive_sc(crypto::Sci(kSciB + i))), "");
  }
  EXPECT_EQ(id(secy->create_receive_sc(crypto::Sci(kSciB))), "SW-SCY-020");
  EXPECT_EQ(id(secy->create_receive_sc(crypto::Sci(1))), "SW-SCY-021");
  EXPECT_EQ(id(secy->install_receive_sa(crypto::Sci(1), {})), "SW-SCY-022");
  EXPECT_EQ(id(secy->enable_receive(crypto::Sci(kSciB), crypto::An(0), true)), "SW-SCY-023");
}

}  // namespace
}  // namespace sealwire::pipelines::test
