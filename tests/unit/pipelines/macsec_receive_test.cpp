// The receive order of 802.1AE-2018 Figure 10-4 with its counters, in every validateFrames mode,
// and the replay rules.
#include <gtest/gtest.h>

#include <rte_ring.h>

#include <array>
#include <functional>
#include <memory>
#include <random>

#include "pipelines/mark.h"
#include "pipelines/wire/macsec.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

constexpr std::uint8_t kConfidential = 0x2C, kIntegrity = 0x20;  // with SCI

struct Receiver {
  explicit Receiver(SecySettings secy = {}, Sak sak = {})
      : wire([&] {
          LineOptions o;
          o.secy = secy;
          o.secy.sci = crypto::Sci(kSciB);
          return o;
        }()) {
    add_receive(*wire.secy, kSciA, sak);
    in_use = mbufs_in_use();
  }
  // What comes out inside for one frame from outside.
  std::vector<Bytes> receive(const Bytes& frame) {
    EXPECT_TRUE(wire.outside.put(frame));
    loop.run_until_quiet();
    return wire.inside.take();
  }
  bool delivers(const Sealed& s) {
    const auto out = receive(s.bytes());
    if (out.empty()) return false;
    EXPECT_TRUE(same(out, {s.frame}));
    return true;
  }
  std::uint64_t dropped(DropReason r) const { return loop.drops(1, r); }
  ReceiveSaStatus sa() const { return *wire.secy->receive_sa(crypto::Sci(kSciA), crypto::An(0)); }
  const SecyReceiveCounters& secy() const { return wire.secy->receive_counters(); }

  Wire wire;
  Loop loop{both({&wire})};
  unsigned in_use = 0;
};

class EveryMode : public testing::TestWithParam<ValidateFrames> {
 protected:
  bool strict() const { return GetParam() == ValidateFrames::strict; }
  bool check() const { return GetParam() == ValidateFrames::check; }
  bool disabled() const { return GetParam() == ValidateFrames::disabled; }
  bool null() const { return GetParam() == ValidateFrames::null; }
  Receiver r{{.validate_frames = GetParam()}};
};
std::string name_of(const testing::TestParamInfo<ValidateFrames>& mode) {
  static constexpr const char* kNames[] = {"Strict", "Check", "Disabled", "Null"};
  return kNames[static_cast<int>(mode.param)];
}
INSTANTIATE_TEST_SUITE_P(Modes, EveryMode,
                         testing::Values(ValidateFrames::strict, ValidateFrames::check,
                                         ValidateFrames::disabled, ValidateFrames::null),
                         name_of);

TEST_P(EveryMode, NoSecTag) {
  const Bytes f = make_frame(80);
  EXPECT_EQ(r.receive(f).size(), strict() ? 0U : 1U);
  EXPECT_EQ(r.secy().in_pkts_no_tag.read(), strict() ? 1U : 0U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_no_tag), strict() ? 1U : 0U);
  EXPECT_EQ(r.secy().in_pkts_untagged.read(), check() || disabled() ? 1U : 0U);
}

TEST_P(EveryMode, ValidFrame) {
  const Sealed s{.tci_an = kIntegrity};
  const auto out = r.receive(s.bytes());
  ASSERT_EQ(out.size(), 1U);
  EXPECT_TRUE(same(out, {null() ? s.bytes() : s.frame}));
  EXPECT_EQ(r.sa().ok, strict() || check() ? 1U : 0U);
  EXPECT_EQ(r.sa().unchecked, disabled() ? 1U : 0U);
  EXPECT_EQ(r.secy().in_octets_validated.read(), strict() || check() ? 88U : 0U);
  EXPECT_EQ(r.sa().next_pn, strict() || check() ? 2U : 1U) << "only valid frames move nextPN";
}

TEST_P(EveryMode, ValidConfidentialFrame) {
  const Sealed s{.tci_an = kConfidential};
  const auto out = r.receive(s.bytes());
  if (strict() || check()) {
    EXPECT_TRUE(same(out, {s.frame}));
    EXPECT_EQ(r.secy().in_octets_decrypted.read(), 88U);
  } else if (disabled()) {  // not decrypted, so C=1 drops it
    EXPECT_TRUE(out.empty());
    EXPECT_EQ(r.sa().not_valid, 1U);
    EXPECT_EQ(r.dropped(DropReason::in_pkts_not_valid), 1U);
    EXPECT_EQ(r.secy().in_octets_decrypted.read(), 0U);
  }
}

TEST_P(EveryMode, WrongIcv) {
  const Sealed s{.tci_an = kIntegrity, .pn = 7};
  Bytes bad = s.bytes();
  bad.back() ^= 1;
  const auto out = r.receive(bad);
  if (null()) {
    EXPECT_TRUE(same(out, {bad}));
    return;
  }
  EXPECT_TRUE(same(out, strict() ? std::vector<Bytes>{} : std::vector<Bytes>{s.frame}));
  EXPECT_EQ(r.sa().not_valid, strict() ? 1U : 0U);
  EXPECT_EQ(r.sa().invalid, check() ? 1U : 0U);
  EXPECT_EQ(r.sa().unchecked, disabled() ? 1U : 0U);
  EXPECT_EQ(r.secy().in_octets_validated.read(), disabled() ? 0U : 88U)
      << "counted even when invalid";
  EXPECT_EQ(r.sa().next_pn, 1U) << "an unauthenticated frame moves nothing";
  EXPECT_EQ(r.sa().lowest_pn, 1U);
}

TEST_P(EveryMode, WrongIcvOfAConfidentialFrameNeverLeaves) {
  Bytes bad = Sealed{.tci_an = kConfidential}.bytes();
  bad.back() ^= 1;
  const auto out = r.receive(bad);
  if (null()) {
    EXPECT_TRUE(same(out, {bad}));
    return;
  }
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(r.sa().not_valid, 1U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_not_valid), 1U);
}

TEST_P(EveryMode, UnknownSci) {
  for (const std::uint8_t tci : {kIntegrity, kConfidential}) {
    const auto out = r.receive(Sealed{.tci_an = tci, .sci = 0x1234}.bytes());
    const bool passes = !strict() && (tci == kIntegrity || null());
    EXPECT_EQ(out.size(), passes ? 1U : 0U) << int{tci};
    if (passes && !null()) {
      EXPECT_TRUE(same(out, {make_frame(100)}));
    }
  }
  EXPECT_EQ(r.secy().in_pkts_no_sa.read(), check() || disabled() ? 1U : 0U);
  EXPECT_EQ(r.secy().in_pkts_no_sa_error.read(), strict() ? 2U : null() ? 0U : 1U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_no_sa_error), strict() ? 2U : null() ? 0U : 1U);
}

TEST_P(EveryMode, SaNotInUse) {
  const auto* sc = r.wire.secy->receive_sc_counters(crypto::Sci(kSciA));
  add_receive(*r.wire.secy, kSciA, {.an = 2}, false);
  for (const std::uint8_t an :
       std::initializer_list<std::uint8_t>{1, 2}) {  // none installed; installed and not enabled
    EXPECT_EQ(
        r.receive(Sealed{.tci_an = static_cast<std::uint8_t>(kIntegrity | an)}.bytes()).size(),
        strict() ? 0U : 1U);
    EXPECT_EQ(
        r.receive(Sealed{.tci_an = static_cast<std::uint8_t>(kConfidential | an)}.bytes()).size(),
        null() ? 1U : 0U);
  }
  EXPECT_EQ(sc->in_pkts_no_sa_error.read(), strict() ? 4U : null() ? 0U : 2U);
  EXPECT_EQ(sc->in_pkts_no_sa.read(), check() || disabled() ? 2U : 0U);
  EXPECT_EQ(r.secy().in_pkts_no_sa_error.read(), strict() ? 4U : null() ? 0U : 2U);
}

TEST_P(EveryMode, NiapInvalidSecTagsOf9_12AreDropped) {
  if (null()) return;
  const auto bad = [&](const std::function<void(Bytes&)>& change) {
    Bytes f = Sealed{}.bytes();
    change(f);
    const auto before = r.secy().in_pkts_bad_tag.read();
    EXPECT_TRUE(r.receive(f).empty());
    return r.secy().in_pkts_bad_tag.read() - before;
  };
  EXPECT_EQ(bad([](Bytes& f) { f[14] |= 0x80; }), 1U) << "V";
  EXPECT_EQ(bad([](Bytes& f) { f[14] |= 0x40; }), 1U) << "SC and ES";
  EXPECT_EQ(bad([](Bytes& f) { f[14] |= 0x10; }), 1U) << "SC and SCB";
  EXPECT_EQ(bad([](Bytes& f) { f[15] |= 0x80; }), 1U) << "SL high bits";
  EXPECT_EQ(bad([](Bytes& f) { f[15] |= 0x40; }), 1U) << "SL high bits";
  EXPECT_EQ(bad([](Bytes& f) { std::fill(f.begin() + 16, f.begin() + 20, std::uint8_t{0}); }), 1U)
      << "PN 0";
  EXPECT_EQ(bad([](Bytes& f) { f.resize(12 + 16); }), 1U) << "16 octets from the EtherType";
  EXPECT_EQ(bad([](Bytes& f) { f.resize(12 + 16 + 47 + 16); }), 1U) << "SL 0 and 47 octets";
  EXPECT_EQ(bad([](Bytes& f) {
              f[15] = 47;
              f.resize(12 + 16 + 46 + 16);
            }),
            1U)
      << "shorter than SL";
  EXPECT_EQ(r.dropped(DropReason::in_pkts_bad_tag), 9U);
}

TEST_P(EveryMode, OnlyTheKayGetsE1C0) {
  if (null()) return;
  EXPECT_TRUE(r.receive(Sealed{.tci_an = 0x28}.bytes()).empty());
  EXPECT_EQ(r.secy().in_pkts_kay.read(), 1U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_kay), 1U);
}

TEST_P(EveryMode, OwnSciIsDropped) {
  if (null()) return;
  EXPECT_TRUE(r.receive(Sealed{.sci = kSciB}.bytes()).empty());
  EXPECT_EQ(r.secy().in_own_sci.read(), 1U);
  EXPECT_EQ(r.dropped(DropReason::in_own_sci), 1U);
}

TEST_P(EveryMode, EapolGoesToTheControlThreadOnly) {
  const Bytes f = make_frame(80, 1, 0x888E);
  EXPECT_TRUE(r.receive(f).empty());
  EXPECT_EQ(r.dropped(DropReason::punted), 1U);
  void* m = nullptr;
  ASSERT_EQ(rte_ring_dequeue(r.wire.ingress.punt, &m), 0);
  auto* const mbuf = static_cast<rte_mbuf*>(m);
  const auto mark = get_mark<PuntMark>(mbuf);
  EXPECT_EQ(mark.magic, PuntMark::kMagic);
  EXPECT_EQ(mark.reason, PuntReason::eapol);
  EXPECT_TRUE(mark.from_outside);
  EXPECT_EQ(bytes_of(mbuf), f);
  rte_pktmbuf_free(mbuf);
  EXPECT_EQ(mbufs_in_use(), r.in_use);
}

TEST_P(EveryMode, PauseIsConsumed) {
  EXPECT_TRUE(r.receive(make_frame(60, 0, 0x8808)).empty());
  EXPECT_EQ(r.dropped(DropReason::pause_consumed), 1U);
}

TEST(MacsecNiap, OfAllEtherTypesOnlyEapolAndMacsecPass) {
  Receiver r;
  for (std::uint32_t type = 0; type <= 0xFFFF; ++type) {
    if (type == 0x88E5 || type == 0x888E || type == 0x8808) continue;
    ASSERT_TRUE(r.wire.outside.put(make_frame(64, type, static_cast<std::uint16_t>(type))));
    if (type % 1000 == 0) r.loop.run_until_quiet();
  }
  r.loop.run_until_quiet();
  EXPECT_EQ(r.wire.inside.waiting(), 0U);
  EXPECT_EQ(rte_ring_count(r.wire.ingress.punt), 0U);
  EXPECT_EQ(r.secy().in_pkts_no_tag.read(), 65536U - 3U);
  EXPECT_EQ(mbufs_in_use(), r.in_use);
}

TEST(MacsecReceive, KayWithAnEtherTypeOfItsOwn) {
  Receiver r({.eapol_ethertype = 0x876F});
  EXPECT_TRUE(r.receive(make_frame(80, 1, 0x876F)).empty());
  EXPECT_TRUE(r.receive(make_frame(80, 1, 0x888E)).empty());
  EXPECT_EQ(r.dropped(DropReason::punted), 2U);
}

TEST(MacsecReceive, PuntRingFull) {
  Receiver r;
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(r.receive(make_frame(80, 1, 0x888E)).empty());
  EXPECT_EQ(r.dropped(DropReason::punt_full), 0U);
  r.receive(make_frame(80, 1, 0x888E));
  EXPECT_EQ(r.dropped(DropReason::punt_full), 1U);
}

TEST(MacsecNiap, OneFlippedBitAnywhereIsCaught) {
  Receiver r({.replay_protect = false});
  const Bytes good = Sealed{.frame = make_frame(70)}.bytes();
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes f = good;
    f[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_TRUE(r.receive(f).empty()) << "bit " << bit;
  }
  EXPECT_EQ(r.sa().next_pn, 1U);
  EXPECT_EQ(r.sa().ok, 0U);
  EXPECT_EQ(r.receive(good).size(), 1U);
  EXPECT_EQ(mbufs_in_use(), r.in_use);
}

TEST(MacsecReceive, TruncatedAtEveryLength) {
  for (const std::size_t length : {20U, 60U, 100U}) {
    Receiver r;
    const Bytes good = Sealed{.frame = make_frame(length)}.bytes();
    for (std::size_t n = 0; n < good.size(); ++n) {
      EXPECT_TRUE(
          r.receive(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n))).empty());
    }
    EXPECT_EQ(r.receive(good).size(), 1U);
    EXPECT_EQ(r.dropped(DropReason::malformed_ethernet), 14U);
    EXPECT_EQ(mbufs_in_use(), r.in_use);
  }
}

TEST(MacsecReceive, ShortFramesAreLocatedBySl) {
  Receiver r;
  std::uint64_t pn = 1;
  for (std::size_t length = 14; length < 12 + 48; ++length) {
    for (const std::size_t padding : {0U, 1U, 20U}) {
      EXPECT_TRUE(r.delivers({.frame = make_frame(length), .pn = pn++, .padding = padding}));
    }
  }
  // Without SL, what follows belongs to the frame, so its ICV is wrong.
  EXPECT_TRUE(r.receive(Sealed{.frame = make_frame(60), .pn = pn, .padding = 1}.bytes()).empty());
}

TEST(MacsecReceive, SecureDataTooShortForAnEtherType) {
  Receiver r;
  EXPECT_TRUE(r.receive(Sealed{.frame = make_frame(13)}.bytes()).empty());
  EXPECT_EQ(r.dropped(DropReason::malformed_ethernet), 1U);
  EXPECT_EQ(r.sa().ok, 1U) << "the frame was authentic";
}

TEST(MacsecReceive, SeveralChannelsAndFourAssociations) {
  Receiver r({.replay_window = 0});
  for (std::uint8_t an = 1; an < 4; ++an)
    add_receive(*r.wire.secy, kSciA, {.an = an, .fill = static_cast<std::uint8_t>(10 + an)});
  for (std::uint64_t n = 1; n < 8; ++n) {
    add_receive(*r.wire.secy, kSciA + n, {.fill = static_cast<std::uint8_t>(100 + n)});
  }
  for (std::uint8_t an = 0; an < 4; ++an) {
    const Sak sak{.fill = static_cast<std::uint8_t>(an == 0 ? 1 : 10 + an)};
    EXPECT_TRUE(r.delivers({.tci_an = static_cast<std::uint8_t>(kConfidential | an), .sak = sak}));
  }
  for (std::uint64_t n = 1; n < 8; ++n) {
    const Sak sak{.fill = static_cast<std::uint8_t>(100 + n)};
    EXPECT_TRUE(r.delivers({.sci = kSciA + n, .sak = sak}));
  }
  // With several channels a frame without an SCI belongs to none.
  EXPECT_TRUE(r.receive(Sealed{.tci_an = 0x0C, .pn = 2}.bytes()).empty());
  EXPECT_EQ(r.secy().in_pkts_no_sa_error.read(), 1U);
  // A retired channel is gone; the others stay.
  EXPECT_NE(r.wire.secy->retire_receive_sc(crypto::Sci(kSciA + 3)).sc, nullptr);
  EXPECT_FALSE(r.delivers({.pn = 2, .sci = kSciA + 3, .sak = {.fill = 103}}));
  EXPECT_TRUE(r.delivers({.pn = 2, .sci = kSciA + 4, .sak = {.fill = 104}}));
}

// A frame that goes the way of the one before is recognised by its first octets: whatever stands
// beside it in a burst, what becomes of it is what becomes of it alone.
TEST(MacsecReceive, InOneBurstAsOneByOne) {
  std::mt19937 random(802);
  const auto one_of = [&random](auto... values) {
    const std::array all{static_cast<unsigned>(values)...};
    return all[random() % all.size()];
  };
  for (const ValidateFrames mode :
       {ValidateFrames::strict, ValidateFrames::check, ValidateFrames::disabled})
    for (int round = 0; round < 40; ++round) {
      const CipherSuite suite =
          round % 4 == 0 ? CipherSuite::gcm_aes_xpn_128 : CipherSuite::gcm_aes_128;
      std::uint64_t pn = 1;
      std::vector<Bytes> frames;
      for (int i = 0; i < 40; ++i) {
        const std::uint8_t an = one_of(0, 0, 0, 0, 1, 2) & 3;
        Sealed sealed{.frame = make_frame(one_of(20, 40, 59, 60, 100, 200), random() & 0xff),
                      .tci_an = static_cast<std::uint8_t>(
                          one_of(0x2c, 0x2c, 0x2c, 0x20, 0x24, 0x28, 0x0c, 0xac, 0x6c) | an),
                      .pn = one_of(1, 1, 1, 1, 0) == 0 ? one_of(0, 1, 2) : pn++,
                      .sci = kSciA + one_of(0, 0, 0, 1, 2) + (one_of(0, 0, 1) << 20) * one_of(0, 1),
                      .sak = {.suite = suite, .fill = static_cast<std::uint8_t>(1 + an)},
                      .padding = one_of(0, 0, 0, 7)};
        if (one_of(0, 0, 0, 0, 1) == 1) sealed.sl = one_of(0, 20, 47, 48, 63, 64, 200) & 0xff;
        Bytes frame = sealed.bytes();
        if (one_of(0, 0, 0, 0, 0, 1) == 1)
          frame[random() % frame.size()] ^= static_cast<std::uint8_t>(one_of(1, 0x80));
        if (one_of(0, 0, 0, 0, 0, 0, 1) == 1) frame.resize(random() % frame.size());
        if (one_of(0, 0, 0, 0, 0, 0, 0, 1) == 1) frame = make_frame(80);
        if (frame.size() >= 14) frames.push_back(frame);
      }
      const auto receiver = [&] {
        auto made =
            std::make_unique<Receiver>(SecySettings{.validate_frames = mode,
                                                    .replay_protect = round % 3 != 0,
                                                    .replay_window = round % 2 == 0 ? 0U : 8U},
                                       Sak{.suite = suite});
        for (std::uint8_t an = 1; an < 3; ++an)
          add_receive(*made->wire.secy, kSciA,
                      {.suite = suite, .an = an, .fill = static_cast<std::uint8_t>(1 + an)});
        add_receive(*made->wire.secy, kSciA + 1, {.suite = suite});
        return made;
      };
      const auto together = receiver(), apart = receiver();
      std::vector<Bytes> expected;
      for (const Bytes& frame : frames) {
        EXPECT_TRUE(together->wire.outside.put(frame));
        for (Bytes& out : apart->receive(frame)) expected.push_back(std::move(out));
      }
      together->loop.run_until_quiet();
      EXPECT_TRUE(same(together->wire.inside.take(), expected)) << "round " << round;
      for (std::size_t i = 0; i < kDropReasons; ++i) {
        const auto reason = static_cast<DropReason>(i);
        EXPECT_EQ(together->dropped(reason), apart->dropped(reason))
            << kDropReasonInfo[i].name << " in round " << round;
      }
      for (const std::uint64_t sci : {kSciA, kSciA + 1})
        for (const unsigned an : {0U, 1U, 2U}) {
          if (sci != kSciA && an != 0) continue;
          const auto of = [&](const Receiver& r) {
            const auto sa = r.wire.secy->receive_sa(crypto::Sci(sci),
                                                    crypto::An(static_cast<std::uint8_t>(an)));
            return std::array{sa->next_pn, sa->lowest_pn, sa->ok,      sa->unchecked,
                              sa->delayed, sa->late,      sa->invalid, sa->not_valid};
          };
          EXPECT_EQ(of(*together), of(*apart)) << round;
        }
    }
}

TEST(MacsecReceive, TwoPortsInOneBurstHaveTheirOwnAssociations) {
  LineOptions options;
  options.secy.sci = crypto::Sci(kSciB);
  Wire one(options), two(options);
  add_receive(*one.secy, kSciA, {.fill = 1});
  add_receive(*two.secy, kSciA, {.fill = 2});
  one.snapshot.outside.push_back(two.snapshot.outside[0]);
  one.snapshot.inside.push_back(two.snapshot.inside[0]);
  LaneSettings settings = both({&one})[1];
  settings.receive = {{0, 0}, {1, 0}};
  Loop loop({settings});
  for (std::uint64_t pn = 1; pn < 4; ++pn) {
    EXPECT_TRUE(one.outside.put(Sealed{.pn = pn}.bytes()));
    EXPECT_TRUE(two.outside.put(Sealed{.pn = pn, .sak = {.fill = 2}}.bytes()));
  }
  loop.run_until_quiet();
  EXPECT_EQ(one.inside.take().size(), 6U);
}

TEST(MacsecReceive, RekeyUnderWayAcceptsOldAndNew) {
  Receiver r;
  EXPECT_TRUE(r.delivers({.pn = 1}));
  add_receive(*r.wire.secy, kSciA, {.an = 1, .fill = 2});
  EXPECT_TRUE(r.delivers({.tci_an = kConfidential | 1, .pn = 1, .sak = {.fill = 2}}));
  EXPECT_TRUE(r.delivers({.pn = 2}));
  EXPECT_NE(r.wire.secy->retire_receive_sa(crypto::Sci(kSciA), crypto::An(0)), nullptr);
  EXPECT_FALSE(r.delivers({.pn = 3}));
  EXPECT_TRUE(r.delivers({.tci_an = kConfidential | 1, .pn = 2, .sak = {.fill = 2}}));
}

TEST(MacsecReceive, StrictOrderWithoutAWindow) {
  Receiver r;
  EXPECT_TRUE(r.delivers({.pn = 5}));
  EXPECT_FALSE(r.delivers({.pn = 5}));
  EXPECT_FALSE(r.delivers({.pn = 4}));
  EXPECT_TRUE(r.delivers({.pn = 6}));
  EXPECT_EQ(r.sa().late, 2U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_late), 2U);
  EXPECT_EQ(r.wire.secy->receive_sc_counters(crypto::Sci(kSciA))->in_pkts_late.read(), 2U);
}

TEST(MacsecReceive, WindowTakesReorderingButNotBeyond) {
  Receiver r({.replay_window = 10});
  EXPECT_TRUE(r.delivers({.pn = 100}));
  EXPECT_EQ(r.sa().lowest_pn, 91U);
  EXPECT_TRUE(r.delivers({.pn = 91}));
  EXPECT_FALSE(r.delivers({.pn = 90}));
  EXPECT_TRUE(r.delivers({.pn = 91})) << "802.1AE does not look for duplicates within the window";
  EXPECT_EQ(r.sa().late, 1U);
}

TEST(MacsecReceive, DuplicateBitmap) {
  Receiver r({.replay_window = 64, .duplicate_bitmap = true});
  EXPECT_TRUE(r.delivers({.pn = 100}));
  EXPECT_TRUE(r.delivers({.pn = 50}));
  EXPECT_FALSE(r.delivers({.pn = 50}));
  EXPECT_FALSE(r.delivers({.pn = 100}));
  EXPECT_EQ(r.sa().duplicate, 2U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_duplicate), 2U);
}

TEST(MacsecReceive, WithoutReplayProtectLateFramesAreDelayed) {
  Receiver r({.replay_protect = false});
  EXPECT_TRUE(r.delivers({.pn = 100}));
  EXPECT_TRUE(r.delivers({.pn = 5}));
  EXPECT_TRUE(r.delivers({.pn = 100}));
  EXPECT_EQ(r.sa().delayed, 2U);
  EXPECT_EQ(r.sa().ok, 1U);
}

TEST(MacsecReceive, ReplayWithinOneBurstIsCaughtAtTheSettle) {
  // Both pass the first check, since the window moves only when the burst is settled.
  Receiver r;
  const Bytes f = Sealed{.pn = 9}.bytes();
  ASSERT_TRUE(r.wire.outside.put(f) && r.wire.outside.put(f));
  r.loop.run_until_quiet();
  EXPECT_EQ(r.wire.inside.take().size(), 1U);
  EXPECT_EQ(r.sa().late, 1U);
  EXPECT_EQ(r.sa().ok, 1U);
}

TEST(MacsecReceive, LateComesBeforeNotValid) {
  Receiver r;
  Bytes forged = Sealed{.pn = 5}.bytes();
  forged.back() ^= 1;
  ASSERT_TRUE(r.wire.outside.put(Sealed{.pn = 9}.bytes()) && r.wire.outside.put(forged));
  r.loop.run_until_quiet();
  EXPECT_EQ(r.sa().late, 1U);
  EXPECT_EQ(r.sa().not_valid, 0U);
}

TEST(MacsecReceive, WhatIsCertainlyLateCostsNoCrypto) {
  Receiver r;
  EXPECT_TRUE(r.delivers({.pn = 9}));
  const auto octets = r.secy().in_octets_decrypted.read();
  EXPECT_FALSE(r.delivers({.pn = 8}));
  EXPECT_EQ(r.sa().late, 1U);
  EXPECT_EQ(r.secy().in_octets_decrypted.read(), octets);
  // Nor behind one of the same burst that is not.
  EXPECT_TRUE(r.wire.outside.put(Sealed{.pn = 10}.bytes()));
  EXPECT_TRUE(r.wire.outside.put(Sealed{.pn = 8}.bytes()));
  r.loop.run_until_quiet();
  EXPECT_EQ(r.sa().late, 2U);
  EXPECT_EQ(r.secy().in_octets_decrypted.read(), octets + 88);
}

TEST(MacsecReceive, AHighHalfThatWouldBeGuessedOtherwiseNowIsLate) {
  // Both frames pass the first check; the first moves the window so far that the second's high half
  // is another.
  constexpr auto suite = CipherSuite::gcm_aes_xpn_128;
  Receiver r({.replay_protect = false}, {.suite = suite});
  for (const std::uint64_t pn : {0x80000000ULL, 5ULL}) {
    ASSERT_TRUE(r.wire.outside.put(Sealed{.pn = pn, .sak = {.suite = suite}}.bytes()));
  }
  r.loop.run_until_quiet();
  EXPECT_EQ(r.wire.inside.take().size(), 1U);
  EXPECT_EQ(r.sa().late, 1U);
  EXPECT_EQ(r.dropped(DropReason::in_pkts_late), 1U);
}

// Without an SCI in the SecTAG, ES and SCB make it of the source address, also where there is but
// one channel (802.1AE 9.5).
TEST(MacsecReceive, AnEndStationsOrBroadcastSciIsNotTheOnlyChannels) {
  constexpr auto suite = CipherSuite::gcm_aes_xpn_128;
  constexpr std::uint8_t kEs = 0x4C, kScb = 0x1C;
  Receiver r({.replay_window = 100}, {.suite = suite});
  Sealed s{.sak = {.suite = suite}};
  for (const std::uint8_t tci : {kEs, kScb}) {
    s.tci_an = tci;
    EXPECT_FALSE(r.delivers(s)) << int{tci};
  }
  for (int i = 0; i < 6; ++i)
    s.frame[6 + static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(kSciA >> (56 - 8 * i));
  EXPECT_FALSE(r.delivers(s)) << "port 0 of the channel's station";
  EXPECT_EQ(r.dropped(DropReason::in_pkts_no_sa_error), 3U);
  s.tci_an = kEs;
  EXPECT_TRUE(r.delivers(s));
}

// XPN: the nonce is made with the SSCI, so that the ICV alone would not tell the channels apart.
TEST(MacsecReceive, AnSciThatDiffersInOneBitIsNotTheChannels) {
  constexpr auto suite = CipherSuite::gcm_aes_xpn_128;
  Receiver r({.replay_window = 100}, {.suite = suite});
  for (unsigned bit = 0; bit < 64; ++bit) {
    EXPECT_FALSE(r.delivers({.sci = kSciA ^ (std::uint64_t{1} << bit), .sak = {.suite = suite}}));
  }
  EXPECT_EQ(r.dropped(DropReason::in_pkts_no_sa_error), 63U);
  EXPECT_EQ(r.dropped(DropReason::in_own_sci), 1U) << "one of them is our own";
  EXPECT_TRUE(r.delivers({.sak = {.suite = suite}}));
}

TEST(MacsecReceive, ForgedPnMovesNothing) {
  Receiver r({.replay_window = 100});
  EXPECT_TRUE(r.delivers({.pn = 10}));
  Bytes forged = Sealed{.pn = 0xFFFFFF00}.bytes();
  forged.back() ^= 1;
  EXPECT_TRUE(r.receive(forged).empty());
  EXPECT_EQ(r.sa().next_pn, 11U);
  EXPECT_TRUE(r.delivers({.pn = 11}));
}

TEST(MacsecReceive, XpnRecoversTheHighHalf) {
  constexpr auto suite = CipherSuite::gcm_aes_xpn_256;
  Receiver r({.replay_window = 1U << 30}, {.suite = suite, .pn = 0xFFFFFFF0});
  const auto sealed = [](std::uint64_t pn) { return Sealed{.pn = pn, .sak = {.suite = suite}}; };
  for (std::uint64_t pn = 0xFFFFFFFE; pn < 0x100000003; ++pn) EXPECT_TRUE(r.delivers(sealed(pn)));
  EXPECT_EQ(r.sa().next_pn, 0x100000003U);
  EXPECT_TRUE(r.delivers(sealed(0xFFFFFFF5))) << "reordered across the boundary";
  EXPECT_TRUE(r.delivers(sealed(0x100000000ULL + 5))) << "low half 0 is fine";
}

TEST(MacsecNiap, PnBelowTheLowestIsDropped) {
  Receiver r({.replay_window = 10});
  EXPECT_TRUE(r.delivers({.pn = 100}));
  EXPECT_EQ(r.sa().lowest_pn, 91U);
  for (const std::uint64_t pn : {1U, 89U, 90U}) EXPECT_FALSE(r.delivers({.pn = pn})) << pn;
  EXPECT_EQ(r.dropped(DropReason::in_pkts_late), 3U);
  EXPECT_TRUE(r.delivers({.pn = 91}));
}

TEST(MacsecNiap, AnSciChangedOnTheWayIsDropped) {
  Receiver r;
  for (std::size_t octet = 20; octet < 28; ++octet) {
    Bytes frame = Sealed{}.bytes();
    frame[octet] ^= 0x80;
    EXPECT_TRUE(r.receive(frame).empty()) << octet;
  }
  EXPECT_EQ(r.dropped(DropReason::in_pkts_no_sa_error), 8U);
  EXPECT_TRUE(r.delivers({}));
}

TEST(MacsecNiap, AnotherSsciDoesNotOpenTheFrame) {
  constexpr auto suite = CipherSuite::gcm_aes_xpn_128;
  Receiver r({}, {.suite = suite});
  EXPECT_FALSE(r.delivers({.sak = {.suite = suite, .ssci = 7}}));
  EXPECT_EQ(r.sa().not_valid, 1U);
  EXPECT_TRUE(r.delivers({.sak = {.suite = suite}}));
}

TEST(MacsecReceive, ControlRaisesLowestPn) {
  Receiver r({.replay_window = 1000});
  EXPECT_TRUE(r.delivers({.pn = 10}));
  EXPECT_TRUE(r.delivers({.pn = 5}));
  ASSERT_TRUE(r.wire.secy->raise_lowest_pn(crypto::Sci(kSciA), crypto::An(0), crypto::Pn(8)));
  EXPECT_FALSE(r.delivers({.pn = 7}));
  EXPECT_TRUE(r.delivers({.pn = 8}));
  EXPECT_EQ(r.sa().lowest_pn, 8U);
}

TEST(MacsecReceive, VlanTagsInClearUpToTheSetting) {
  Receiver r({.vlan_in_clear = 1});
  const Bytes tag{0x81, 0x00, 0x00, 0x05};
  Sealed s{.clear_tags = tag};
  Bytes whole = s.frame;
  whole.insert(whole.begin() + 12, tag.begin(), tag.end());
  EXPECT_TRUE(same(r.receive(s.bytes()), {whole}));
  s.pn = 2;
  s.clear_tags.insert(s.clear_tags.end(), tag.begin(), tag.end());
  EXPECT_TRUE(r.receive(s.bytes()).empty()) << "two tags where one may be in clear";
  EXPECT_EQ(r.dropped(DropReason::in_pkts_no_tag), 1U);
}

}  // namespace
}  // namespace sealwire::pipelines::test
