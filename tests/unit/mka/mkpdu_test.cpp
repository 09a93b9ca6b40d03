#include "app/control/mka/mkpdu.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>

#include "app/control/mka/keys.h"

namespace sealwire::mka {
namespace {

Ckn ckn_of_length(size_t length) {
  const std::vector<uint8_t> octets(length, 0x5A);
  return *Ckn::from(octets);
}

Mkpdu sample() {
  Mkpdu mkpdu;
  mkpdu.basic.sci = Sci(0x0200'0000'0001'0001);
  mkpdu.basic.mi = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  mkpdu.basic.mn = 7;
  mkpdu.basic.ckn = ckn_of_length(9);
  return mkpdu;
}

std::vector<uint8_t> frame_of(const Mkpdu& mkpdu, BuildOptions options = {}) {
  options.source = {2, 0, 0, 0, 0, 1};
  auto frame = build_without_icv(mkpdu, options);
  frame.insert(frame.end(), kIcvLength, 0xEE);
  return frame;
}

tl::expected<Mkpdu, Reject> parse(std::span<const uint8_t> frame) {
  const auto envelope = parse_envelope(frame, kEapolEtherType);
  if (!envelope) return tl::unexpected(envelope.error());
  return parse_sets(*envelope);
}

// The frame with raw octets as its parameter sets after the basic one.
std::vector<uint8_t> frame_with_sets(const std::vector<uint8_t>& sets, uint8_t version = 3) {
  Mkpdu mkpdu = sample();
  mkpdu.basic.version = version;
  auto frame = build_without_icv(mkpdu, {});
  frame.insert(frame.end(), sets.begin(), sets.end());
  frame.insert(frame.end(), kIcvLength, 0xEE);
  const size_t body = frame.size() - 18;
  frame[16] = static_cast<uint8_t>(body >> 8);
  frame[17] = static_cast<uint8_t>(body);
  return frame;
}

std::vector<uint8_t> set(uint8_t type, uint8_t octet_2, size_t body, uint8_t flags = 0) {
  std::vector<uint8_t> out{type, octet_2, static_cast<uint8_t>(flags | body >> 8),
                           static_cast<uint8_t>(body)};
  for (size_t i = 0; i < body; ++i) out.push_back(static_cast<uint8_t>(i + 1));
  while (out.size() % 4 != 0) out.push_back(0);
  return out;
}

void expect_rejected(const std::vector<uint8_t>& frame, Reject reason) {
  const auto parsed = parse(frame);
  ASSERT_FALSE(parsed) << "accepted, not " << name(reason);
  EXPECT_EQ(name(parsed.error()), name(reason));
}

TEST(Mkpdu, AllSetsSurviveTheWire) {
  Mkpdu mkpdu = sample();
  mkpdu.live = {{{9}, 1}, {{8}, 0xFFFFFFFF}};
  mkpdu.potential = {{{7}, 3}};
  mkpdu.key_server_ssci = 2;
  mkpdu.sak_use = SakUseSet{.latest_an = An(2),
                            .latest_tx = true,
                            .latest_rx = true,
                            .old_an = An(1),
                            .old_tx = true,
                            .old_rx = true,
                            .plain_tx = true,
                            .plain_rx = true,
                            .delay_protect = true,
                            .latest = {{1}, 4},
                            .latest_lpn = 5,
                            .old = {{2}, 3},
                            .old_lpn = 6};
  mkpdu.distributed_sak = DistributedSakSet{.an = An(3),
                                            .confidentiality = Confidentiality::offset_30,
                                            .kn = 9,
                                            .suite = CipherSuite::gcm_aes_xpn_256,
                                            .wrapped = std::vector<uint8_t>(40, 1)};
  mkpdu.xpn = XpnSet{3, 1, 2};
  for (const bool indicator : {false, true}) {
    const auto frame = frame_of(mkpdu, {.icv_indicator = indicator});
    EXPECT_EQ(frame.size() % 4, 2U);  // 14 + 4 + a multiple of 4
    const auto parsed = parse(frame);
    ASSERT_TRUE(parsed) << name(parsed.error());
    EXPECT_EQ(*parsed, mkpdu);
  }
}

TEST(Mkpdu, ParseOfBuildIsIdentity) {
  rc::check("parse(build(x)) == x", [] {
    const auto octet = [] { return *rc::gen::arbitrary<uint8_t>(); };
    const auto mi = [&] {
      Mi out;
      for (auto& each : out) each = octet();
      return out;
    };
    const auto mn = [] { return *rc::gen::arbitrary<uint32_t>(); };
    Mkpdu x;
    x.basic.version = static_cast<uint8_t>(*rc::gen::inRange(1, 4));
    x.basic.priority = octet();
    x.basic.key_server = *rc::gen::arbitrary<bool>();
    x.basic.macsec_desired = *rc::gen::arbitrary<bool>();
    x.basic.capability = static_cast<Capability>(*rc::gen::inRange(0, 4));
    x.basic.sci = Sci(*rc::gen::inRange<uint64_t>(0, Sci::kReserved));
    x.basic.mi = mi();
    x.basic.mn = std::max(1U, mn());
    x.basic.ckn = ckn_of_length(*rc::gen::inRange<size_t>(1, 33));
    for (int i = *rc::gen::inRange(0, 40); i > 0; --i) x.live.push_back({mi(), mn()});
    for (int i = *rc::gen::inRange(0, 20); i > 0; --i) x.potential.push_back({mi(), mn()});
    if (!x.live.empty()) x.key_server_ssci = octet();
    if (*rc::gen::arbitrary<bool>()) {
      SakUseSet use;
      use.latest_an = An(octet());
      use.old_an = An(octet());
      use.latest_tx = *rc::gen::arbitrary<bool>();
      use.old_rx = *rc::gen::arbitrary<bool>();
      use.delay_protect = *rc::gen::arbitrary<bool>();
      use.latest = {mi(), mn()};
      use.old = {mi(), mn()};
      use.latest_lpn = mn();
      x.sak_use = use;
    }
    if (*rc::gen::arbitrary<bool>()) {
      DistributedSakSet dist;
      dist.an = An(octet());
      dist.plain = *rc::gen::arbitrary<bool>();
      dist.confidentiality = static_cast<Confidentiality>(*rc::gen::inRange(0, 4));
      if (!dist.plain) {
        dist.kn = std::max(1U, mn());
        dist.suite = static_cast<CipherSuite>(*rc::gen::inRange(0, 4));
        dist.wrapped.assign(sak_length(*dist.suite) + 8, octet());
      }
      x.distributed_sak = dist;
    }
    if (*rc::gen::arbitrary<bool>()) x.xpn = XpnSet{octet(), mn(), mn()};
    const auto parsed = parse(frame_of(x, {.icv_indicator = *rc::gen::arbitrary<bool>()}));
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == x);
  });
}

TEST(Mkpdu, EveryTruncationIsRefusedOrPadding) {
  Mkpdu mkpdu = sample();
  mkpdu.live = {{{9}, 1}};
  mkpdu.sak_use = SakUseSet{};
  const auto frame = frame_of(mkpdu);
  for (size_t length = 0; length < frame.size(); ++length) {
    EXPECT_FALSE(parse(std::span(frame).first(length))) << length;
  }
  auto padded = frame;
  padded.insert(padded.end(), 30, 0xAB);
  const auto parsed = parse(padded);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, mkpdu);
}

// --- NIAP: MKPDU with individual DA, < 32 octets, not x4, 1 B short, unknown agility -> dropped
// --------------

TEST(MkpduNiap, IndividualDestination) {
  auto frame = frame_of(sample());
  frame[0] = 0x02;
  expect_rejected(frame, Reject::individual_destination);
}

TEST(MkpduNiap, OtherGroupAddressesAreAccepted) {
  for (const MacAddress& destination :
       {MacAddress{0x01, 0x80, 0xC2, 0, 0, 0}, MacAddress{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}}) {
    EXPECT_TRUE(parse(frame_of(sample(), {.destination = destination})));
  }
}

TEST(MkpduNiap, BodyBelow32Octets) {
  auto frame = frame_of(sample());
  frame[16] = 0;
  frame[17] = 28;
  expect_rejected(frame, Reject::too_short);
}

TEST(MkpduNiap, BodyNotAMultipleOf4) {
  auto frame = frame_of(sample());
  frame.push_back(0);
  ++frame[17];
  expect_rejected(frame, Reject::not_multiple_of_4);
}

TEST(MkpduNiap, OneOctetShort) {
  auto frame = frame_of(sample());
  frame.pop_back();
  expect_rejected(frame, Reject::truncated);
}

TEST(MkpduNiap, UnknownAlgorithmAgility) {
  auto frame = frame_of(sample());
  ++frame[18 + 31];
  expect_rejected(frame, Reject::unknown_agility);
}

TEST(MkpduNiap, CknOf1To32OctetsIsAccepted0And33Refused) {
  for (size_t length = 1; length <= 32; ++length) {
    Mkpdu mkpdu = sample();
    mkpdu.basic.ckn = ckn_of_length(length);
    mkpdu.live = {{{9}, 1}};  // what follows a padded CKN is found
    const auto parsed = parse(frame_of(mkpdu));
    ASSERT_TRUE(parsed) << length;
    EXPECT_EQ(parsed->basic.ckn.size(), length);
    EXPECT_EQ(*parsed, mkpdu);
  }
  EXPECT_FALSE(Ckn::from({}));
  EXPECT_FALSE(Ckn::from(std::vector<uint8_t>(33)));
  for (const size_t length : {0, 33}) {
    Mkpdu mkpdu = sample();
    mkpdu.basic.ckn = ckn_of_length(32);
    mkpdu.live = {{{9}, 1}};
    auto frame = frame_of(mkpdu);
    frame[18 + 3] = static_cast<uint8_t>(28 + length);
    expect_rejected(frame, Reject::bad_ckn_length);
  }
}

TEST(Mkpdu, OnlyEapolMka) {
  auto frame = frame_of(sample());
  frame[12] = 0x08;
  expect_rejected(frame, Reject::not_eapol);
  frame = frame_of(sample());
  frame[15] = 1;  // EAPOL-Start
  expect_rejected(frame, Reject::not_eapol);
  EXPECT_TRUE(parse_envelope(frame_of(sample(), {.ether_type = 0x876F}), 0x876F));
  EXPECT_FALSE(parse_envelope(frame_of(sample(), {.ether_type = 0x876F}), kEapolEtherType));
}

TEST(Mkpdu, ReservedValues) {
  Mkpdu mkpdu = sample();
  mkpdu.basic.sci = Sci(Sci::kReserved);
  expect_rejected(frame_of(mkpdu), Reject::bad_basic_set);
  mkpdu = sample();
  mkpdu.basic.mn = 0;
  expect_rejected(frame_of(mkpdu), Reject::bad_basic_set);
  mkpdu = sample();
  mkpdu.basic.version = 0;
  expect_rejected(frame_of(mkpdu), Reject::bad_version);
}

TEST(Mkpdu, LaterVersionsAndUnknownSetsAreTolerated) {
  auto sets = set(7, 0, 13);  // announcement, padded
  const auto unknown = set(200, 9, 5);
  const auto longer_use = set(3, 0xF0, 44);
  sets.insert(sets.end(), unknown.begin(), unknown.end());
  sets.insert(sets.end(), longer_use.begin(), longer_use.end());
  const auto parsed = parse(frame_with_sets(sets, 4));
  ASSERT_TRUE(parsed) << name(parsed.error());
  ASSERT_TRUE(parsed->sak_use);
  EXPECT_EQ(parsed->sak_use->latest_an, An(3));
  // Of our own version that length is a mistake.
  expect_rejected(frame_with_sets(longer_use, 3), Reject::bad_parameter_set);
}

TEST(Mkpdu, MalformedSets) {
  for (const auto& sets :
       {set(1, 0, 15), set(2, 0, 17), set(3, 0, 36), set(4, 0, 27), set(4, 0, 44), set(8, 0, 4)}) {
    expect_rejected(frame_with_sets(sets), Reject::bad_parameter_set);
  }
  auto too_long = set(1, 0, 16);
  too_long[3] = 32;
  expect_rejected(frame_with_sets(too_long), Reject::bad_parameter_set);
  for (const auto& once :
       {set(1, 0, 16), set(2, 0, 16), set(3, 0, 40), set(4, 0, 28), set(8, 0, 8)}) {
    auto twice = once;
    twice.insert(twice.end(), once.begin(), once.end());
    EXPECT_TRUE(parse(frame_with_sets(once)));
    expect_rejected(frame_with_sets(twice), Reject::bad_parameter_set);
  }
}

TEST(Mkpdu, IcvIndicatorOnlyRightBeforeTheIcv) {
  EXPECT_TRUE(parse(frame_with_sets({255, 0, 0, 16})));
  expect_rejected(frame_with_sets({255, 0, 0, 12}), Reject::bad_parameter_set);
  auto early = std::vector<uint8_t>{255, 0, 0, 16};
  const auto more = set(1, 0, 16);
  early.insert(early.end(), more.begin(), more.end());
  expect_rejected(frame_with_sets(early), Reject::bad_parameter_set);
}

TEST(Mkpdu, BothIdsOfGcmAes128AndTheDefaultForm) {
  const auto with_suite = [](std::vector<uint8_t> id, size_t body) {
    auto out = set(4, 0x50, body);
    std::copy(id.begin(), id.end(), out.begin() + 8);
    return parse(frame_with_sets(out));
  };
  const std::vector<uint8_t> standard{0, 0x80, 0xC2, 0, 1, 0, 0, 1},
      misprint{0, 0x80, 0x02, 0, 1, 0, 0, 1};
  for (const auto& id : {standard, misprint}) {
    const auto parsed = with_suite(id, 36);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->distributed_sak->suite, CipherSuite::gcm_aes_128);
    EXPECT_EQ(parsed->distributed_sak->an, An(1));
    EXPECT_EQ(parsed->distributed_sak->confidentiality, Confidentiality::offset_0);
    // The suite says how long its SAK is.
    EXPECT_FALSE(with_suite(id, 52));
  }
  const auto unknown = with_suite({0, 0x80, 0xC2, 0, 1, 0, 0, 9}, 36);
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(unknown->distributed_sak->suite);
  const auto plain = parse(frame_with_sets(set(4, 0, 0)));
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->distributed_sak->plain);
}

TEST(Mkpdu, RandomOctetsNeverDoHarm) {
  rc::check("parse(anything) returns", [](std::vector<uint8_t> tail) {
    auto frame = frame_of(sample());
    frame.resize(18);
    frame.insert(frame.end(), tail.begin(), tail.end());
    const auto body = frame.size() - 18;
    frame[16] = static_cast<uint8_t>(body >> 8);
    frame[17] = static_cast<uint8_t>(body);
    const auto parsed = parse(frame);
    RC_ASSERT(parsed.has_value() || parsed.error() != Reject::count);
  });
}

}  // namespace
}  // namespace sealwire::mka
