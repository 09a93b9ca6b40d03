// Replay protection through the whole inbound path.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "pipelines/wire/be.h"
#include "tests/unit/esp/site.h"

namespace sealwire::pipelines::test {
namespace {

// Sealed packets number first, first + 1, ... of an SA.
std::vector<Octets> sealed(Site& site, std::size_t count) {
  std::vector<Octets> frames;
  Octets frame = site.from_inside({});
  while (frames.size() < count) {
    std::vector<Octets> burst(std::min<std::size_t>(kBurstPackets, count - frames.size()), frame);
    for (Outcome& outcome : site.egress(burst)) {
      EXPECT_EQ(outcome.drop, DropReason::none);
      frames.push_back(std::move(outcome.frame));
    }
  }
  return frames;
}

// Left of an ESN window a number is taken for one of the next 2^32, whose ICV cannot be right (RFC
// 4303 A2.2).
std::size_t accepted(Site& site, const std::vector<Octets>& frames, bool esn = false) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < frames.size(); i += kBurstPackets) {
    auto end = frames.begin() + static_cast<long>(std::min(frames.size(), i + kBurstPackets));
    for (const Outcome& outcome : site.ingress({frames.begin() + static_cast<long>(i), end})) {
      if (outcome.drop == DropReason::none)
        ++count;
      else
        EXPECT_TRUE(outcome.drop == DropReason::esp_replay ||
                    (esn && outcome.drop == DropReason::esp_auth_failed))
            << info(outcome.drop).name;
    }
  }
  return count;
}

class ReplaySweep : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(ReplaySweep, NothingIsAcceptedTwiceAndFreshPacketsAlwaysAre) {
  for (bool esn : {false, true}) {
    TunnelOptions options;
    options.window = GetParam();
    options.esn = esn;
    Pair pair(options);
    const std::size_t count = std::min<std::size_t>(3 * GetParam(), 6000);
    std::vector<Octets> frames = sealed(pair.a, count);
    EXPECT_EQ(accepted(pair.b, frames), count);
    EXPECT_EQ(accepted(pair.b, frames, esn), 0U);
    std::vector<Octets> backward(frames.rbegin(), frames.rend());
    EXPECT_EQ(accepted(pair.b, backward, esn), 0U);
    EXPECT_EQ(accepted(pair.b, sealed(pair.a, 200)), 200U);
    const InboundRuntime& counted = pair.b.sad.find_inbound(0x1001)->runtime;
    EXPECT_EQ(counted.replay_drops.read() + counted.auth_failed.read(), 2 * count);
    if (!esn) {
      EXPECT_EQ(counted.auth_failed.read(), 0U);
    }
  }
}

TEST_P(ReplaySweep, JumpsKeepWhatIsWithinTheWindow) {
  const std::uint64_t w = GetParam();
  for (std::uint64_t jump :
       {std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{64}, std::uint64_t{65}, w, 10 * w}) {
    TunnelOptions options;
    options.window = GetParam();
    Pair pair(options);
    Octets first = sealed(pair.a, 1)[0];  // number 1
    OutboundSa& out = *pair.a.slot->current.load();
    out.runtime.next_sn = 1 + jump;
    Octets ahead = sealed(pair.a, 1)[0];
    EXPECT_EQ(pair.b.ingress_one(ahead).drop, DropReason::none);
    // Number 1 is now `jump` behind the top: inside while jump < W.
    EXPECT_EQ(pair.b.ingress_one(first).drop, jump < w ? DropReason::none : DropReason::esp_replay)
        << jump;
    EXPECT_EQ(pair.b.ingress_one(first).drop, DropReason::esp_replay);
    EXPECT_EQ(pair.b.ingress_one(ahead).drop, DropReason::esp_replay);
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, ReplaySweep,
                         ::testing::Values(32, 64, 96, 128, 1024, 4096, 16384));

TEST(Replay, OneBurstHoldsADuplicateOnlyOnce) {
  Pair pair;
  Octets frame = sealed(pair.a, 1)[0];
  auto outcomes = pair.b.ingress(std::vector<Octets>(5, frame));
  EXPECT_EQ(std::count_if(outcomes.begin(), outcomes.end(),
                          [](auto& o) { return o.drop == DropReason::none; }),
            1);
}

TEST(Replay, AnythingInAnyOrderWithinTheWindowPassesOnce) {
  TunnelOptions options;
  options.window = 128;
  Pair pair(options);
  std::vector<Octets> frames = sealed(pair.a, 1280);
  std::mt19937 random(7);
  for (std::size_t i = 0; i < frames.size(); i += 64)
    std::shuffle(frames.begin() + static_cast<long>(i), frames.begin() + static_cast<long>(i + 64),
                 random);
  EXPECT_EQ(accepted(pair.b, frames), frames.size());
  EXPECT_EQ(accepted(pair.b, frames), 0U);
}

TEST(Replay, WindowZeroTakesEverything) {
  TunnelOptions options;
  options.window = 0;
  Pair pair(options);
  std::vector<Octets> frames = sealed(pair.a, 50);
  EXPECT_EQ(accepted(pair.b, frames), 50U);
  EXPECT_EQ(accepted(pair.b, frames), 50U);
}

TEST(Replay, AForgedHighNumberMovesNothing) {
  Pair pair;
  std::vector<Octets> frames = sealed(pair.a, 2);
  Octets forged = frames[0];
  wire::store_be(forged.data() + 38, std::uint32_t{0x7fffffff});
  EXPECT_EQ(pair.b.ingress_one(forged).drop, DropReason::esp_auth_failed);
  EXPECT_EQ(accepted(pair.b, frames), 2U);
}

// Both pass the first check; the first moves the window so far that the second's number is taken
// for one of the next 2^32, which its ICV does not vouch for.
TEST(Replay, ANumberThatWouldBeGuessedOtherwiseNowIsDropped) {
  TunnelOptions options;
  options.esn = true;
  Pair pair(options);
  const std::vector<Octets> frames = sealed(pair.a, 200);
  EXPECT_EQ(pair.b.ingress_one(frames[0]).drop, DropReason::none);
  const auto outcomes = pair.b.ingress({frames[199], frames[1]});
  EXPECT_EQ(outcomes[0].drop, DropReason::none);
  EXPECT_EQ(outcomes[1].drop, DropReason::esp_replay);
  EXPECT_EQ(pair.b.sad.find_inbound(0x1001)->window.top().value(), 200U);
}

class EsnCrossing : public ::testing::TestWithParam<crypto::Algorithm> {};

TEST_P(EsnCrossing, NumbersCross32BitsWithReorderingAndReplaysStayOut) {
  TunnelOptions options;
  options.algorithm = GetParam();
  options.esn = true;
  options.window = 256;
  options.first_sn = 0x1'0000'0000ULL - 300;
  Pair pair(options);
  // The receiver's window starts at 0 and must first get near: its high word is inferred.
  OutboundSa& out = *pair.a.slot->current.load();
  out.runtime.next_sn = 1;
  for (std::uint64_t at = 1; at < 0x1'0000'0000ULL - 300; at += 0x3fffffff) {
    out.runtime.next_sn = at;
    EXPECT_EQ(pair.b.ingress_one(sealed(pair.a, 1)[0]).drop, DropReason::none);
  }
  out.runtime.next_sn = 0x1'0000'0000ULL - 300;
  std::vector<Octets> frames = sealed(pair.a, 600);
  std::mt19937 random(11);
  for (std::size_t i = 0; i < frames.size(); i += 60)
    std::shuffle(frames.begin() + static_cast<long>(i), frames.begin() + static_cast<long>(i + 60),
                 random);
  EXPECT_EQ(accepted(pair.b, frames), 600U);
  EXPECT_EQ(pair.b.sad.find_inbound(0x1001)->window.top().value(), 0x1'0000'0000ULL + 299);
  for (const Octets& frame : frames) EXPECT_NE(pair.b.ingress_one(frame).drop, DropReason::none);
}

INSTANTIATE_TEST_SUITE_P(Kinds, EsnCrossing,
                         ::testing::Values(crypto::Algorithm::aes_gcm_128,
                                           crypto::Algorithm::aes_gmac_128,
                                           crypto::Algorithm::chacha20_poly1305,
                                           crypto::Algorithm::aes_cbc_128_hmac_sha256_128,
                                           crypto::Algorithm::null_hmac_sha384_192));

TEST(Numbers, TheWireCarriesThemInOrderAndIvsAreUnique) {
  for (auto algorithm :
       {crypto::Algorithm::aes_gcm_256, crypto::Algorithm::aes_cbc_128_hmac_sha1_96}) {
    TunnelOptions options;
    options.algorithm = algorithm;
    Pair pair(options);
    std::set<Octets> ivs;
    std::uint32_t expected = 1;
    const long iv_length = crypto::info(algorithm).iv_length;
    for (const Octets& frame : sealed(pair.a, 5000)) {
      ASSERT_EQ(wire::load_be<std::uint32_t>(frame.data() + 38), expected++);
      ivs.emplace(frame.begin() + 42, frame.begin() + 42 + iv_length);
    }
    EXPECT_EQ(ivs.size(), 5000U);
  }
}

TEST(Numbers, CbcIvsDoNotShowTheCounter) {
  TunnelOptions options;
  options.algorithm = crypto::Algorithm::aes_cbc_128_hmac_sha256_128;
  Pair pair(options);
  std::vector<Octets> frames = sealed(pair.a, 2);
  int equal = 0;
  for (std::size_t i = 42; i < 58; ++i) equal += frames[0][i] == frames[1][i];
  EXPECT_LT(equal, 8);  // two counter blocks would differ in one octet
}

}  // namespace
}  // namespace sealwire::pipelines::test
