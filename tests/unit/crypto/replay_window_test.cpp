#include "crypto/replay_window.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

namespace sealwire::crypto {
namespace {

constexpr std::uint64_t kTwo32 = std::uint64_t{1} << 32;
constexpr std::uint32_t kWindows[] = {32, 64, 96, 128, 1024, 4096, 16384};

ReplayWindow window_of(std::uint32_t window, bool esn = false, std::uint64_t top = 0) {
  auto made = ReplayWindow::create({.window = window, .esn = esn, .top = SeqNo(top)});
  if (!made) throw std::runtime_error(made.error().message);
  return std::move(*made);
}

bool plausible(const ReplayWindow& window, std::uint32_t low) {
  SeqNo sequence;
  return window.plausible(low, sequence);
}

PnWindow pn_window_of(const PnWindow::Config& config) {
  auto made = PnWindow::create(config);
  if (!made) throw std::runtime_error(made.error().message);
  return std::move(*made);
}

/// The rule itself, with every accepted number remembered: the top `window` numbers, each once,
/// never 0.
class NaiveWindow {
 public:
  explicit NaiveWindow(std::uint64_t window) : window_(window) {}

  ReplayVerdict accept(std::uint64_t number) {
    if (number == 0 || (top_ >= window_ && number <= top_ - window_)) return ReplayVerdict::too_old;
    if (!seen_.insert(number).second) return ReplayVerdict::duplicate;
    top_ = std::max(top_, number);
    return ReplayVerdict::fresh;
  }

 private:
  std::uint64_t window_;
  std::uint64_t top_ = 0;
  std::set<std::uint64_t> seen_;
};

TEST(ReplayWindowCreate, RefusesWhatIsOutOfRange) {
  for (const std::uint32_t window : {1U, 31U, 16385U, 0xFFFFFFFFU}) {
    const auto made = ReplayWindow::create({.window = window});
    ASSERT_FALSE(made.has_value()) << window;
    EXPECT_EQ(made.error().id, "SW-CRY-010");
  }
  EXPECT_EQ(ReplayWindow::create({.window = 0, .esn = true}).error().id, "SW-CRY-011");
  for (const std::uint32_t window : {0U, 32U, 33U, 16384U}) {
    EXPECT_TRUE(ReplayWindow::create({.window = window}).has_value()) << window;
  }
}

// Every accepted packet is replayed, at once and at the end; none is accepted again; fresh ones
// afterwards all are.
TEST(ReplayWindow, SweepAcceptsEachNumberOnce) {
  for (const std::uint32_t window : kWindows) {
    for (const std::uint64_t jump :
         {std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{64}, std::uint64_t{65},
          std::uint64_t{window}, std::uint64_t{10} * window}) {
      ReplayWindow replay = window_of(window);
      std::vector<std::uint64_t> accepted;
      std::uint64_t number = 1;
      const std::uint64_t count = std::min<std::uint64_t>(2 * window, (kTwo32 - 1 - window) / jump);
      for (std::uint64_t i = 0; i < count; ++i, number += jump) {
        ASSERT_TRUE(plausible(replay, static_cast<std::uint32_t>(number)));
        ASSERT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::fresh) << window << ' ' << number;
        accepted.push_back(number);
        ASSERT_NE(replay.accept(SeqNo(number)), ReplayVerdict::fresh) << window << ' ' << number;
      }
      for (const std::uint64_t again : accepted) {
        const ReplayVerdict verdict = replay.accept(SeqNo(again));
        const bool left = again + window <= replay.top().value();
        ASSERT_EQ(verdict, left ? ReplayVerdict::too_old : ReplayVerdict::duplicate)
            << window << ' ' << again;
        ASSERT_EQ(!plausible(replay, static_cast<std::uint32_t>(again)), left);
      }
      for (std::uint32_t i = 0; i < window; ++i, ++number) {
        ASSERT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::fresh) << window << ' ' << number;
      }
    }
  }
}

// The numbers that jumps skipped stay acceptable as long as they are in the window, once each, in
// any order.
TEST(ReplayWindow, SkippedNumbersInTheWindowAreFreshOnce) {
  for (const std::uint32_t window : kWindows) {
    for (const std::uint64_t jump : {std::uint64_t{63}, std::uint64_t{64}, std::uint64_t{65},
                                     std::uint64_t{window}, std::uint64_t{10} * window}) {
      ReplayWindow replay = window_of(window);
      ASSERT_EQ(replay.accept(SeqNo(5)), ReplayVerdict::fresh);
      const std::uint64_t top = 5 + jump;
      ASSERT_EQ(replay.accept(SeqNo(top)), ReplayVerdict::fresh);
      const std::uint64_t bottom = top >= window ? top - window + 1 : 1;
      for (std::uint64_t number = top - 1; number >= bottom; --number) {
        const auto expected = number == 5 ? ReplayVerdict::duplicate : ReplayVerdict::fresh;
        ASSERT_EQ(replay.accept(SeqNo(number)), expected) << window << ' ' << jump << ' ' << number;
        ASSERT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::duplicate);
      }
      if (bottom > 1) {
        EXPECT_EQ(replay.accept(SeqNo(bottom - 1)), ReplayVerdict::too_old);
        EXPECT_FALSE(plausible(replay, static_cast<std::uint32_t>(bottom - 1)));
      }
      EXPECT_EQ(replay.top().value(), top);
    }
  }
}

TEST(ReplayWindow, ReverseOrderWithinTheWindow) {
  for (const std::uint32_t window : kWindows) {
    ReplayWindow replay = window_of(window);
    for (std::uint64_t number = window; number >= 1; --number) {
      ASSERT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::fresh) << window << ' ' << number;
    }
    for (std::uint64_t number = 1; number <= window; ++number) {
      ASSERT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::duplicate) << window << ' ' << number;
    }
  }
}

TEST(ReplayWindow, ZeroIsNeverFresh) {
  ReplayWindow replay = window_of(32);
  EXPECT_FALSE(plausible(replay, 0));
  EXPECT_EQ(replay.accept(SeqNo(0)), ReplayVerdict::too_old);
  EXPECT_EQ(replay.accept(SeqNo(1)), ReplayVerdict::fresh);
}

// Only accept() moves anything: a forged number is looked at by the const members, and its ICV then
// fails.
TEST(ReplayWindow, ForgedHighNumberDoesNotAdvance) {
  for (const bool esn : {false, true}) {
    ReplayWindow replay = window_of(64, esn);
    for (std::uint64_t number = 1; number <= 100; ++number) {
      ASSERT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::fresh);
    }
    for (const std::uint32_t forged : {101U, 0x7FFFFFFFU, 0x80000000U, 0xFFFFFFFFU}) {
      (void)plausible(replay, forged);
      (void)replay.infer(forged);
      EXPECT_EQ(replay.top().value(), 100U);
    }
    EXPECT_EQ(replay.accept(SeqNo(100)), ReplayVerdict::duplicate);
    EXPECT_EQ(replay.accept(SeqNo(101)), ReplayVerdict::fresh);
  }
}

TEST(ReplayWindow, WithoutAWindowEverythingIsFresh) {
  ReplayWindow replay = window_of(0);
  for (const std::uint64_t number : {7U, 7U, 1U, 0U, 0xFFFFFFFFU, 7U}) {
    EXPECT_TRUE(plausible(replay, static_cast<std::uint32_t>(number)));
    EXPECT_EQ(replay.accept(SeqNo(number)), ReplayVerdict::fresh);
  }
  EXPECT_EQ(replay.top().value(), 0xFFFFFFFFU);
}

TEST(ReplayWindow, WithoutEsnTheTopOf32BitsIsTheEnd) {
  ReplayWindow replay = window_of(64, false, kTwo32 - 3);
  EXPECT_EQ(replay.accept(SeqNo(kTwo32 - 1)), ReplayVerdict::fresh);
  EXPECT_EQ(replay.accept(SeqNo(kTwo32 - 2)), ReplayVerdict::fresh);
  EXPECT_EQ(replay.accept(SeqNo(kTwo32 - 3)), ReplayVerdict::duplicate);
  EXPECT_FALSE(plausible(replay, 1)) << "a wrapped number is old, not new";
  EXPECT_EQ(replay.accept(*replay.infer(1)), ReplayVerdict::too_old);
}

TEST(ReplayWindow, StartsAboveTheGivenTop) {
  for (const std::uint32_t window : kWindows) {
    ReplayWindow replay = window_of(window, false, 100'000);
    for (std::uint64_t number = 100'000 - window - 2; number <= 100'000; ++number) {
      ASSERT_NE(replay.accept(SeqNo(number)), ReplayVerdict::fresh) << window << ' ' << number;
    }
    EXPECT_EQ(replay.accept(SeqNo(100'001)), ReplayVerdict::fresh);
  }
}

/// Sends the 64-bit `numbers` as their low halves; the verdicts of inferring and accepting.
ReplayVerdict receive(ReplayWindow& replay, std::uint64_t number) {
  const auto low = static_cast<std::uint32_t>(number);
  const auto inferred = replay.infer(low);
  if (!inferred) {
    EXPECT_FALSE(plausible(replay, low));
    return ReplayVerdict::too_old;
  }
  // A high word inferred wrongly fails the ICV, so nothing is committed.
  if (inferred->value() != number) return ReplayVerdict::too_old;
  const ReplayVerdict verdict = replay.accept(*inferred);
  EXPECT_FALSE(verdict == ReplayVerdict::fresh && !plausible(replay, low));
  return verdict;
}

// Forward over 2^32 with every packet displaced by up to W-1, then all of it replayed.
TEST(ReplayWindowEsn, CrossesTwo32BothWaysWithReordering) {
  std::mt19937_64 random(802);
  for (const std::uint32_t window : kWindows) {
    for (const std::uint64_t boundary : {kTwo32, 5 * kTwo32}) {
      ReplayWindow replay = window_of(window, true, boundary - 4 * window);
      std::vector<std::uint64_t> numbers;
      for (std::uint64_t i = 1; i <= 8 * std::uint64_t{window}; ++i) {
        numbers.push_back(boundary - 4 * window + i);
      }
      for (std::size_t i = 0; i < numbers.size(); i += window / 2) {
        const auto begin = numbers.begin() + static_cast<std::ptrdiff_t>(i);
        std::shuffle(begin, begin + std::min<std::ptrdiff_t>(window / 2, numbers.end() - begin),
                     random);
      }
      for (const std::uint64_t number : numbers) {
        ASSERT_EQ(receive(replay, number), ReplayVerdict::fresh) << window << ' ' << number;
      }
      for (const std::uint64_t number : numbers) {
        ASSERT_NE(receive(replay, number), ReplayVerdict::fresh) << window << ' ' << number;
      }
    }
  }
}

// The top is just past 2^32 and late ones from before it still come in.
TEST(ReplayWindowEsn, ReachesBackOverTwo32) {
  for (const std::uint32_t window : kWindows) {
    ReplayWindow replay = window_of(window, true, kTwo32 - window);
    ASSERT_EQ(receive(replay, kTwo32 + 1), ReplayVerdict::fresh);
    for (std::uint64_t number = kTwo32; number > kTwo32 - window + 1; --number) {
      ASSERT_EQ(receive(replay, number), ReplayVerdict::fresh) << window << ' ' << number;
      ASSERT_EQ(receive(replay, number), ReplayVerdict::duplicate) << window << ' ' << number;
    }
    EXPECT_EQ(replay.top().value(), kTwo32 + 1);
  }
}

// RFC 4303 A2.2 at every edge: window in one subspace or two, low half at the bottom, below it, at
// the top, above it.
TEST(ReplayWindowEsn, InfersTheHighWordAsAppendixA22) {
  struct Row {
    std::uint64_t top;
    std::uint32_t low;
    std::optional<std::uint64_t> expected;
  };
  constexpr std::uint32_t kW = 64;
  const Row rows[] = {
      {0, 1, 1},
      {0, 0xFFFFFFFF, std::nullopt},   // would be before the first number
      {0, 0xFFFFFFC0, 0xFFFFFFC0},     // just below the window's bottom: far ahead
      {62, 0xFFFFFFFF, std::nullopt},  // bottom is -1
      {63, 0xFFFFFFFF, 0xFFFFFFFF},    // bottom is 0: one subspace
      {63, 0, 0},
      {3 * kTwo32 + 63, 0, 3 * kTwo32},
      {3 * kTwo32 + 62, 0xFFFFFFFF, 3 * kTwo32 - 1},
      {3 * kTwo32 + 62, 0xFFFFFFFE, 3 * kTwo32 + 0xFFFFFFFE},
      {3 * kTwo32 + 1000, 937, 3 * kTwo32 + 937},  // the bottom itself
      {3 * kTwo32 + 1000, 936, 4 * kTwo32 + 936},  // one below: the next subspace
      {3 * kTwo32 + 1000, 1001, 3 * kTwo32 + 1001},
      {4 * kTwo32 - 1, 0, 4 * kTwo32},
      {0xFFFFFFFF'00001000, 5, std::nullopt},  // beyond 2^64
      {0xFFFFFFFF'00001000, 0x1001, 0xFFFFFFFF'00001001},
  };
  for (const Row& row : rows) {
    const ReplayWindow replay = window_of(kW, true, row.top);
    const auto inferred = replay.infer(row.low);
    EXPECT_EQ(inferred.has_value(), row.expected.has_value()) << row.top << ' ' << row.low;
    EXPECT_EQ(inferred.value_or(SeqNo()).value(), row.expected.value_or(0))
        << row.top << ' ' << row.low;
  }
}

TEST(ReplayWindow, BehavesAsTheNaiveModel) {
  ASSERT_TRUE(rc::check("against a std::set", [] {
    const auto window = *rc::gen::inRange<std::uint32_t>(32, 300);
    ReplayWindow replay = window_of(window);
    NaiveWindow naive(window);
    std::uint64_t centre = 1;
    const auto steps = *rc::gen::inRange<int>(1, 400);
    for (int i = 0; i < steps; ++i) {
      const auto distance =
          *rc::gen::inRange<std::int64_t>(-2 * std::int64_t{window}, 2 * std::int64_t{window});
      const std::uint64_t number = distance < 0 && static_cast<std::uint64_t>(-distance) > centre
                                       ? 0
                                       : centre + static_cast<std::uint64_t>(distance);
      const bool early = !plausible(replay, static_cast<std::uint32_t>(number));
      const ReplayVerdict verdict = replay.accept(SeqNo(number));
      RC_ASSERT(verdict == naive.accept(number));
      RC_ASSERT(early == (verdict == ReplayVerdict::too_old));
      centre = std::max(centre, number);
    }
  }));
}

TEST(PnWindowCreate, RefusesWhatIsOutOfRange) {
  EXPECT_EQ(PnWindow::create({.xpn = true, .window = (1U << 30) + 1}).error().id, "SW-CRY-012");
  EXPECT_TRUE(PnWindow::create({.xpn = true, .window = 1U << 30}).has_value());
  EXPECT_TRUE(PnWindow::create({.window = 0xFFFFFFFFU}).has_value());
  EXPECT_EQ(PnWindow::create({.window = 16385, .detect_duplicates = true}).error().id,
            "SW-CRY-013");
  EXPECT_EQ(PnWindow::create({.replay_protect = false, .window = 64, .detect_duplicates = true})
                .error()
                .id,
            "SW-CRY-013");
  EXPECT_TRUE(PnWindow::create({.window = 16384, .detect_duplicates = true}).has_value());
  EXPECT_EQ(PnWindow::create({.lowest = Pn(0)}).error().id, "SW-CRY-014");
  EXPECT_EQ(PnWindow::create({.lowest = Pn(kTwo32)}).error().id, "SW-CRY-014");
  EXPECT_TRUE(PnWindow::create({.xpn = true, .lowest = Pn(kTwo32)}).has_value());
}

TEST(PnWindow, WindowZeroIsStrictlyIncreasing) {
  PnWindow window = pn_window_of({});
  EXPECT_EQ(window.accept(Pn(1)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(1)), PnVerdict::late);
  EXPECT_TRUE(window.certainly_late(Pn(1)));
  EXPECT_FALSE(window.certainly_late(Pn(2)));
  EXPECT_EQ(window.accept(Pn(10)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(9)), PnVerdict::late);
  EXPECT_EQ(window.next(), Pn(11));
  EXPECT_EQ(window.lowest(), Pn(11));
}

TEST(PnWindow, AnyWindowByLowestPn) {
  for (const std::uint32_t size : {1U, 64U, 1024U, 100'000U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    PnWindow window = pn_window_of({.window = size});
    const std::uint64_t top = std::min<std::uint64_t>(kMaxPn32, std::uint64_t{size} + 1000);
    EXPECT_EQ(window.accept(Pn(top)), PnVerdict::ok);
    const std::uint64_t lowest = top + 1 > size + std::uint64_t{1} ? top + 1 - size : 1;
    EXPECT_EQ(window.lowest(), Pn(lowest)) << size;
    EXPECT_EQ(window.accept(Pn(lowest)), PnVerdict::ok)
        << "802.1AE knows no duplicates in the window";
    EXPECT_EQ(window.accept(Pn(lowest)), PnVerdict::ok);
    if (lowest > 1) {
      EXPECT_EQ(window.accept(Pn(lowest - 1)), PnVerdict::late) << size;
      EXPECT_TRUE(window.certainly_late(Pn(lowest - 1)));
    }
    EXPECT_EQ(window.next(), Pn(top + 1));
  }
}

TEST(PnWindow, WithoutReplayProtectionLateFramesAreDelayed) {
  PnWindow window = pn_window_of({.replay_protect = false, .window = 4});
  EXPECT_EQ(window.accept(Pn(100)), PnVerdict::ok);
  EXPECT_EQ(window.lowest(), Pn(97));
  EXPECT_FALSE(window.certainly_late(Pn(5)));
  EXPECT_EQ(window.accept(Pn(5)), PnVerdict::delayed);
  EXPECT_EQ(window.accept(Pn(97)), PnVerdict::ok);
}

TEST(PnWindow, AnInvalidFrameMovesNothing) {
  PnWindow window = pn_window_of({.window = 64, .detect_duplicates = true});
  EXPECT_EQ(window.accept(Pn(10)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(4'000'000'000), false), PnVerdict::ok);
  EXPECT_EQ(window.next(), Pn(11));
  EXPECT_EQ(window.lowest(), Pn(1));
  EXPECT_EQ(window.accept(Pn(11)), PnVerdict::ok);
}

TEST(PnWindow, ReplaySweepWithTheDuplicateBitmap) {
  for (const std::uint32_t size : kWindows) {
    for (const bool xpn : {false, true}) {
      const std::uint64_t start = xpn ? 3 * kTwo32 - size : 1;
      PnWindow window = pn_window_of(
          {.xpn = xpn, .window = size, .detect_duplicates = true, .lowest = Pn(start)});
      std::vector<std::uint64_t> accepted;
      for (std::uint64_t pn = start; pn < start + 3 * std::uint64_t{size}; pn += 3) {
        ASSERT_EQ(window.recover(static_cast<std::uint32_t>(pn)), Pn(pn));
        ASSERT_EQ(window.accept(Pn(pn)), PnVerdict::ok) << size << ' ' << pn;
        accepted.push_back(pn);
      }
      for (const std::uint64_t pn : accepted) {
        const auto expected = pn < window.lowest().value() ? PnVerdict::late : PnVerdict::duplicate;
        ASSERT_EQ(window.accept(Pn(pn)), expected) << size << ' ' << pn;
      }
      const std::uint64_t top = window.next().value() - 1;
      for (std::uint64_t pn = top + 1; pn <= top + size; ++pn) {
        ASSERT_EQ(window.accept(Pn(pn)), PnVerdict::ok) << size << ' ' << pn;
      }
    }
  }
}

TEST(PnWindow, The32BitSpaceEnds) {
  PnWindow window = pn_window_of({.window = 0, .lowest = Pn(kMaxPn32)});
  EXPECT_EQ(window.accept(Pn(kMaxPn32)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(kMaxPn32)), PnVerdict::late);
  EXPECT_EQ(window.accept(window.recover(1)), PnVerdict::late);
  EXPECT_EQ(window.next(), Pn(kTwo32));
}

TEST(PnWindow, The64BitSpaceEnds) {
  for (const std::uint32_t size : {0U, 2U}) {
    PnWindow window = pn_window_of({.xpn = true, .window = size, .lowest = Pn(kMaxPn64 - 5)});
    EXPECT_EQ(window.accept(Pn(kMaxPn64)), PnVerdict::ok);
    EXPECT_EQ(window.next(), Pn(kMaxPn64));
    EXPECT_EQ(window.accept(Pn(kMaxPn64)), size == 0 ? PnVerdict::late : PnVerdict::ok);
    EXPECT_EQ(window.accept(Pn(kMaxPn64 - 1)), size == 0 ? PnVerdict::late : PnVerdict::ok);
    EXPECT_EQ(window.accept(Pn(kMaxPn64 - 2)), PnVerdict::late);
  }
  PnWindow window = pn_window_of(
      {.xpn = true, .window = 64, .detect_duplicates = true, .lowest = Pn(kMaxPn64 - 5)});
  EXPECT_EQ(window.accept(Pn(kMaxPn64)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(kMaxPn64)), PnVerdict::duplicate);
  EXPECT_EQ(window.accept(Pn(kMaxPn64 - 3)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(kMaxPn64 - 3)), PnVerdict::duplicate);
}

TEST(PnWindow, RecoversXpnAroundTheWrap) {
  struct Row {
    std::uint64_t lowest;
    std::uint32_t low;
    std::uint64_t expected;
  };
  const Row rows[] = {
      {1, 1, 1},
      {0x7FFFFFFF, 0x80000000, 0x80000000},
      {0x80000000, 0x7FFFFFFF, kTwo32 + 0x7FFFFFFF},
      {0x80000000, 0x80000000, 0x80000000},
      {0xFFFFFFFF, 0, kTwo32},
      {7 * kTwo32 + 0xFFFFFFFF, 0, 8 * kTwo32},
      {7 * kTwo32 + 5, 0xFFFFFFFF, 7 * kTwo32 + 0xFFFFFFFF},
      {7 * kTwo32, 0, 7 * kTwo32},
      {kMaxPn64, 0, 0xFFFFFFFF'00000000},  // nothing lies beyond: late
  };
  for (const Row& row : rows) {
    const PnWindow window = pn_window_of({.xpn = true, .lowest = Pn(row.lowest)});
    EXPECT_EQ(window.recover(row.low), Pn(row.expected)) << row.lowest << ' ' << row.low;
  }
}

// The wire carries 32 bits; with 2^20 frames of disorder around 2^32 every PN is recovered.
TEST(PnWindow, CrossesTwo32BothWaysWithReordering) {
  constexpr std::uint32_t kSize = 1U << 20;
  PnWindow window = pn_window_of({.xpn = true, .window = kSize, .lowest = Pn(kTwo32 - 3 * kSize)});
  const auto receive = [&](std::uint64_t pn) {
    ASSERT_EQ(window.recover(static_cast<std::uint32_t>(pn)), Pn(pn));
    ASSERT_EQ(window.accept(Pn(pn)), PnVerdict::ok) << pn;
  };
  for (std::uint64_t pn = kTwo32 - 2 * kSize; pn < kTwo32 + 2 * kSize; pn += 1009) {
    receive(pn);
    receive(pn - kSize + 1);
  }
}

TEST(PnWindow, MkaRaisesLowestPn) {
  PnWindow window = pn_window_of({.xpn = true, .window = 64, .detect_duplicates = true});
  EXPECT_EQ(window.accept(Pn(10)), PnVerdict::ok);
  window.raise_lowest(Pn(5));
  EXPECT_EQ(window.lowest(), Pn(5));
  EXPECT_EQ(window.accept(Pn(4)), PnVerdict::late);
  EXPECT_EQ(window.accept(Pn(10)), PnVerdict::duplicate);
  window.raise_lowest(Pn(3));
  EXPECT_EQ(window.lowest(), Pn(5));
  window.raise_lowest(Pn(9 * kTwo32 + 7));
  EXPECT_EQ(window.lowest(), Pn(9 * kTwo32 + 7));
  EXPECT_EQ(window.next(), Pn(9 * kTwo32 + 7));
  EXPECT_EQ(window.recover(8), Pn(9 * kTwo32 + 8));
  EXPECT_EQ(window.accept(Pn(9 * kTwo32 + 6)), PnVerdict::late);
  EXPECT_EQ(window.accept(Pn(9 * kTwo32 + 7)), PnVerdict::ok);
  EXPECT_EQ(window.accept(Pn(9 * kTwo32 + 7)), PnVerdict::duplicate);
}

}  // namespace
}  // namespace sealwire::crypto
