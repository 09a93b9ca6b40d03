#include "app/control/number_keeper.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace sealwire::control {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kEnd32 = 1ULL << 32;
constexpr std::uint64_t kEnd64 = ~0ULL;

class NumberKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sealwire-numbers-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = std::string(name) + "/state";
    ASSERT_TRUE(StateStore::init(directory_, false));
  }
  void TearDown() override {
    std::filesystem::remove_all(std::filesystem::path(directory_).parent_path());
  }
  StateStore open() {
    auto store = StateStore::open(directory_);
    EXPECT_TRUE(store);
    return std::move(*store);
  }
  static NumberKeeper::Want want(std::uint8_t key, std::uint64_t end, std::uint64_t first = 1) {
    NumberKeeper::Want want;
    const std::vector<std::uint8_t> octets(16, key);
    want.space = NonceSpace::macsec(octets, crypto::Sci(7));
    want.first = first;
    want.end = end;
    return want;
  }

  std::string directory_;
};

// An SA as the keeper sees it.
struct Sa {
  std::uint64_t next = 0, limit = 0;
  int raised = 0;
  NumberKeeper::Watch watch() {
    return {[this] { return next; },
            [this](std::uint64_t new_limit, std::uint64_t low) {
              EXPECT_LT(low, new_limit);
              limit = new_limit;
              ++raised;
            }};
  }
};

TEST_F(NumberKeeperTest, WithoutAStateDirectoryNothingIsGranted) {
  NumberKeeper keeper(nullptr);
  const auto refused = keeper.reserve(want(1, kEnd64));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id, "SW-STA-008");
}

TEST_F(NumberKeeperTest, AGrantIsOnDiskBeforeItIsUsed) {
  std::uint64_t limit = 0;
  {
    StateStore store = open();
    NumberKeeper keeper(&store);
    const auto grant = keeper.reserve(want(1, kEnd64));
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->first, 1U);
    EXPECT_GT(grant->limit, grant->first);
    EXPECT_GT(grant->low, grant->first);
    EXPECT_LT(grant->low, grant->limit);
    limit = grant->limit;
  }  // as after kill -9: nothing was released
  StateStore store = open();
  NumberKeeper keeper(&store);
  const auto grant = keeper.reserve(want(1, kEnd64));
  ASSERT_TRUE(grant);
  EXPECT_GE(grant->first, limit);
}

TEST_F(NumberKeeperTest, AConfiguredFirstNumberOnlyMovesForward) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  EXPECT_EQ(keeper.reserve(want(1, kEnd64, 1000))->first, 1000U);
  EXPECT_GT(keeper.reserve(want(1, kEnd64, 5))->first, 1000U);
}

TEST_F(NumberKeeperTest, LimitsRiseWhenHalfIsUsedAndBlocksGrowWithTheRate) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  const auto grant = keeper.reserve(want(1, kEnd64));
  Sa sa{grant->first, grant->limit};
  keeper.track(*grant, sa.watch());
  auto now = NumberKeeper::Clock::now();
  ASSERT_TRUE(keeper.poll(now));
  EXPECT_EQ(sa.raised, 0);
  std::uint64_t last_step = 0;
  for (int i = 1; i <= 5; ++i) {
    sa.next = sa.limit - 1;
    const std::uint64_t before = sa.limit;
    now += 10ms;
    ASSERT_TRUE(keeper.poll(now));
    EXPECT_EQ(sa.raised, i);
    EXPECT_EQ(*store.recorded(grant->fingerprint), sa.limit);
    EXPECT_GT(sa.limit - before, last_step);
    last_step = sa.limit - before;
  }
}

TEST_F(NumberKeeperTest, ALimitNeverRisesWhenTheDiskRefuses) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  const auto grant = keeper.reserve(want(1, kEnd64));
  Sa sa{grant->limit - 1, grant->limit};
  keeper.track(*grant, sa.watch());
  std::filesystem::create_directory(directory_ + "/numbers.new");
  const auto now = NumberKeeper::Clock::now();
  EXPECT_FALSE(keeper.poll(now));
  EXPECT_EQ(sa.limit, grant->limit);
  EXPECT_EQ(sa.raised, 0);
  EXPECT_FALSE(keeper.reserve(want(2, kEnd64))) << "nor is a first block granted";
  EXPECT_TRUE(keeper.poll(now + 1ms)) << "not tried again at once";
  std::filesystem::remove(directory_ + "/numbers.new");
  EXPECT_TRUE(keeper.poll(now + 1s));
  EXPECT_EQ(sa.raised, 1);
}

TEST_F(NumberKeeperTest, TheEndOfTheNumberSpaceIsTheEnd) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  const auto grant = keeper.reserve(want(1, kEnd32, kEnd32 - 10));
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->limit, kEnd32);
  Sa sa{kEnd32, kEnd32};
  keeper.track(*grant, sa.watch());
  EXPECT_TRUE(keeper.poll(NumberKeeper::Clock::now()));
  EXPECT_EQ(sa.raised, 0);
  const auto again = keeper.reserve(want(1, kEnd32));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().id, "SW-STA-007");
}

TEST_F(NumberKeeperTest, TheSameSpaceTwiceNeverOverlaps) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  std::vector<NumberKeeper::Want> wants;
  wants.push_back(want(1, kEnd64));
  wants.push_back(want(1, kEnd64));
  wants.push_back(want(2, kEnd64));
  const auto grants = keeper.reserve(wants);
  ASSERT_TRUE(grants);
  EXPECT_GE((*grants)[1].first, (*grants)[0].limit);
  EXPECT_EQ((*grants)[2].first, 1U);
  // An SA replaced under the same key keeps its limit; only the new one is raised.
  Sa old{(*grants)[0].first, (*grants)[0].limit}, young{(*grants)[1].limit - 1, (*grants)[1].limit};
  keeper.track((*grants)[0], old.watch());
  keeper.track((*grants)[1], young.watch());
  ASSERT_TRUE(keeper.poll(NumberKeeper::Clock::now()));
  EXPECT_EQ(old.raised, 0);
  EXPECT_EQ(young.raised, 1);
}

// `reload` with a renamed SA: the new name is installed before the old one is removed.
TEST_F(NumberKeeperTest, ForgettingTheOldNameOfAKeyLeavesTheNewOneTracked) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  const auto first = keeper.reserve(want(1, kEnd64));
  Sa old{first->first, first->limit};
  const auto ticket = keeper.track(*first, old.watch());
  const auto second = keeper.reserve(want(1, kEnd64));
  EXPECT_GE(second->first, first->limit);
  Sa young{second->limit - 1, second->limit};
  keeper.track(*second, young.watch());
  keeper.forget(ticket);
  ASSERT_TRUE(keeper.poll(NumberKeeper::Clock::now()));
  EXPECT_EQ(young.raised, 1);
}

TEST_F(NumberKeeperTest, ACleanStopGivesBackWhatWasNotUsed) {
  {
    StateStore store = open();
    NumberKeeper keeper(&store);
    const auto grant = keeper.reserve(want(1, kEnd64));
    Sa sa{42, grant->limit};
    keeper.track(*grant, sa.watch());
    ASSERT_TRUE(keeper.release());
    EXPECT_EQ(keeper.tracked(), 0U) << "what is given back is not raised again";
  }
  StateStore store = open();
  NumberKeeper keeper(&store);
  EXPECT_EQ(keeper.reserve(want(1, kEnd64))->first, 42U);
}

TEST_F(NumberKeeperTest, AForgottenSaIsNotAskedAnyMore) {
  StateStore store = open();
  NumberKeeper keeper(&store);
  Sa other{1, 1};
  keeper.track(*keeper.reserve(want(2, kEnd64)), other.watch());
  const auto grant = keeper.reserve(want(1, kEnd64));
  const auto ticket = keeper.track(*grant, {[]() -> std::uint64_t {
                                              ADD_FAILURE() << "asked";
                                              return 0;
                                            },
                                            [](std::uint64_t, std::uint64_t) {}});
  keeper.forget(ticket);
  EXPECT_TRUE(keeper.poll(NumberKeeper::Clock::now()));
  EXPECT_EQ(keeper.tracked(), 1U) << "the other";
  EXPECT_EQ(*store.recorded(grant->fingerprint), grant->limit) << "its numbers stay recorded";
}

}  // namespace
}  // namespace sealwire::control
