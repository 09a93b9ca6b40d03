// Anti-replay: ReplayWindow for ESP (RFC 4303, RFC 6479), PnWindow for MACsec (802.1AE §10.6).
//
// Both have one writer at a time: the holder of the send turn, in `settle`. Any core may call the
// const members in `crypt`: they read one atomic that only grows, so what they reject as too old is
// too old for good, and whatever else they say is decided again by accept().
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>

#include "crypto/numbers.h"
#include "crypto/result.h"

namespace sealwire::crypto {

/// The widest window with a bitmap.
inline constexpr std::uint32_t kMaxBitmapWindow = 16384;
/// The narrowest ESP window (RFC 4303 §3.4.3), 0 aside.
inline constexpr std::uint32_t kMinEspWindow = 32;
/// The widest MACsec window of an XPN suite (802.1AE §10.7.8: 2^30; PN recovery needs the room).
inline constexpr std::uint32_t kMaxXpnWindow = 1U << 30;

/// Blocks of 64 numbers in a ring with at least one block more than the window needs, so that
/// moving the window only clears whole blocks (RFC 6479). Knows no window and no top: the owner
/// keeps those.
class SequenceBitmap {
 public:
  SequenceBitmap() noexcept = default;
  explicit SequenceBitmap(std::uint32_t window)
      : mask_(std::bit_ceil((window + 63U) / 64U + 1U) - 1U),
        blocks_(std::make_unique<std::uint64_t[]>(std::size_t{mask_} + 1)) {}

  bool present() const noexcept { return blocks_ != nullptr; }

  /// Forgets what the ring's blocks meant, for the blocks that `top` -> `new_top` brings in.
  /// `new_top` > `top`.
  void advance(std::uint64_t top, std::uint64_t new_top) noexcept {
    const std::uint64_t first = top / 64 + 1;
    const std::uint64_t blocks = new_top / 64 + 1 - first;
    if (blocks == 0) [[likely]]
      return;
    const std::uint64_t count = std::min<std::uint64_t>(blocks, std::uint64_t{mask_} + 1);
    for (std::uint64_t i = 0; i < count; ++i) blocks_[(first + i) & mask_] = 0;
  }

  /// Starts fetching the block of `number`.
  void prefetch(std::uint64_t number) const noexcept {
    if (present()) __builtin_prefetch(&blocks_[(number / 64) & mask_], 1);
  }

  /// Marks `number`; true if it was not marked before.
  bool mark(std::uint64_t number) noexcept {
    std::uint64_t& block = blocks_[(number / 64) & mask_];
    const std::uint64_t bit = std::uint64_t{1} << (number % 64);
    const bool fresh = (block & bit) == 0;
    block |= bit;
    return fresh;
  }

 private:
  std::uint32_t mask_ = 0;
  std::unique_ptr<std::uint64_t[]> blocks_;
};

/// Verdict on an authenticated number.
enum class ReplayVerdict : std::uint8_t {
  fresh,      ///< deliver; the window has moved or the number is marked
  too_old,    ///< left of the window, or 0 where that is never sent
  duplicate,  ///< within the window and seen before
};

/// Replay window of one inbound ESP SA. A window of W takes the W numbers up to and including the
/// highest received.
class ReplayWindow {
 public:
  struct Config {
    std::uint32_t window = 0;  ///< packets; 0 (no protection) or 32..16384
    bool esn = false;          ///< 64-bit numbers; needs a window
    SeqNo top{};               ///< every number up to this one counts as received already
  };

  /// Errors SW-CRY-010 (window out of range), SW-CRY-011 (ESN without a window).
  static Result<ReplayWindow> create(const Config& config);

  ReplayWindow(ReplayWindow&& other) noexcept
      : top_(other.top_.load(std::memory_order_relaxed)),
        window_(other.window_),
        esn_(other.esn_),
        bitmap_(std::move(other.bitmap_)) {}
  ReplayWindow& operator=(ReplayWindow&& other) noexcept {
    top_.store(other.top_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    window_ = other.window_;
    esn_ = other.esn_;
    bitmap_ = std::move(other.bitmap_);
    return *this;
  }

  std::uint32_t window() const noexcept { return window_; }
  bool esn() const noexcept { return esn_; }

  /// Highest number accepted so far. Any core.
  SeqNo top() const noexcept { return SeqNo(top_.load(std::memory_order_relaxed)); }

  /// The full number behind the 32 bits on the wire (RFC 4303 Appendix A2.2); without ESN those
  /// bits. Nothing if there is no such number (before the first, or beyond 2^64): drop as too old.
  /// Any core. An ESN guessed in `crypt` must be guessed again in `settle`, and the packet dropped
  /// if the two differ: the high word was part of the ICV.
  std::optional<SeqNo> infer(std::uint32_t low) const noexcept { return infer(low, top().value()); }

  /// The same, and cheap rejection before any crypto: false if the number is left of the window for
  /// good. Any core, never wrong about a number that accept() would take. In two parts, as what
  /// comes back in one would be read before it is written.
  [[gnu::always_inline]] bool plausible(std::uint32_t low, SeqNo& sequence) const noexcept {
    const std::uint64_t top = top_.load(std::memory_order_relaxed);
    if (esn_) {
      const std::optional<SeqNo> inferred = infer(low, top);
      if (!inferred) return false;
      sequence = *inferred;
    } else {
      sequence = SeqNo(low);
    }
    return !left_of_window(sequence.value(), top);
  }

  /// Starts fetching what accept() will need for the numbers after top(). Any core.
  void prefetch() const noexcept { bitmap_.prefetch(top().value()); }

  /// Check and commit, after the ICV verified; the send turn's holder only. A number that is not
  /// fresh changes nothing.
  ReplayVerdict accept(SeqNo sequence) noexcept {
    const std::uint64_t number = sequence.value();
    const std::uint64_t top = top_.load(std::memory_order_relaxed);
    if (number > top) [[likely]] {
      top_.store(number, std::memory_order_relaxed);
      if (window_ == 0) return ReplayVerdict::fresh;
      bitmap_.advance(top, number);
    } else {
      if (window_ == 0) return ReplayVerdict::fresh;
      if (left_of_window(number, top)) return ReplayVerdict::too_old;
    }
    return bitmap_.mark(number) ? ReplayVerdict::fresh : ReplayVerdict::duplicate;
  }

 private:
  ReplayWindow(const Config& config);

  bool left_of_window(std::uint64_t number, std::uint64_t top) const noexcept {
    if (window_ == 0) return false;
    return number == 0 || (top >= window_ && number <= top - window_);
  }

  std::optional<SeqNo> infer(std::uint32_t low, std::uint64_t top) const noexcept {
    if (!esn_) return SeqNo(low);
    const auto top_low = static_cast<std::uint32_t>(top);
    const auto top_high = static_cast<std::uint32_t>(top >> 32);
    const std::uint32_t bottom = top_low - window_ + 1;  // mod 2^32, as A2.2 wants
    std::uint32_t high = top_high;
    if (top_low >= window_ - 1) {  // the window lies in one 2^32 subspace
      if (low < bottom) {
        if (high == 0xFFFF'FFFFU) return std::nullopt;
        ++high;
      }
    } else if (low >= bottom) {  // the window reaches back into the subspace before
      if (high == 0) return std::nullopt;
      --high;
    }
    return SeqNo((std::uint64_t{high} << 32) | low);
  }

  std::atomic<std::uint64_t> top_;  ///< written by the send turn's holder, read by any core
  std::uint32_t window_;
  bool esn_;
  SequenceBitmap bitmap_;  ///< send turn's holder only
};

/// Verdict on a frame's PN at the second replay check (802.1AE Fig 10-4, after validation).
enum class PnVerdict : std::uint8_t {
  ok,
  delayed,    ///< PN < lowestPN without replayProtect: deliver, InPktsDelayed
  late,       ///< PN < lowestPN with replayProtect: drop, InPktsLate
  duplicate,  ///< seen before, within the window, by the bitmap that 802.1AE does not have: drop
};

/// nextPN and lowestPN of one receive SA (802.1AE §10.7.14), and the optional duplicate bitmap.
class PnWindow {
 public:
  struct Config {
    bool xpn = false;
    bool replay_protect = true;
    std::uint32_t window = 0;  ///< replayWindow, frames; any for 32-bit PNs, at most 2^30 with XPN
    bool detect_duplicates =
        false;     ///< bitmap; needs replay_protect and a window of 1..16384 (0 has none to detect)
    Pn lowest{1};  ///< first acceptable PN, from MKA or 1
  };

  /// Errors SW-CRY-012 (XPN window), SW-CRY-013 (duplicate bitmap), SW-CRY-014 (lowest PN is 0 or
  /// beyond 32 bits).
  static Result<PnWindow> create(const Config& config);

  PnWindow(PnWindow&& other) noexcept
      : lowest_(other.lowest_.load(std::memory_order_relaxed)),
        next_(other.next_.load(std::memory_order_relaxed)),
        full_(other.full_.load(std::memory_order_relaxed)),
        window_(other.window_),
        xpn_(other.xpn_),
        replay_protect_(other.replay_protect_),
        bitmap_(std::move(other.bitmap_)) {}
  PnWindow& operator=(PnWindow&& other) noexcept {
    lowest_.store(other.lowest_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    next_.store(other.next_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    full_.store(other.full_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    window_ = other.window_;
    xpn_ = other.xpn_;
    replay_protect_ = other.replay_protect_;
    bitmap_ = std::move(other.bitmap_);
    return *this;
  }

  bool xpn() const noexcept { return xpn_; }
  bool replay_protect() const noexcept { return replay_protect_; }
  std::uint32_t window() const noexcept { return window_; }

  /// lowestPN and nextPN for MKA and `show`; any core. nextPN stays at 2^64-1 once that PN was
  /// received.
  Pn lowest() const noexcept { return Pn(lowest_.load(std::memory_order_relaxed)); }
  Pn next() const noexcept { return Pn(next_.load(std::memory_order_relaxed)); }

  /// The PN behind the SecTAG's 32 bits (XPN recovery, 802.1AE §10.6.2): any core. Guess again in
  /// `settle`; drop as late when the two differ.
  Pn recover(std::uint32_t low) const noexcept {
    if (!xpn_) return Pn(low);
    const std::uint64_t lowest = lowest_.load(std::memory_order_relaxed);
    std::uint64_t high = lowest >> 32;
    const bool wrapped = (lowest & 0x8000'0000U) != 0 && (low & 0x8000'0000U) == 0;
    if (wrapped && high != 0xFFFF'FFFFU) ++high;
    return Pn((high << 32) | low);
  }

  /// First replay check, before validation: true = drop, InPktsLate. Const, any core, never wrong
  /// about a PN that accept() would take.
  bool certainly_late(Pn pn) const noexcept {
    return replay_protect_ && pn.value() < lowest_.load(std::memory_order_relaxed);
  }

  /// Second replay check and, if the frame is `valid`, update of nextPN and lowestPN; the send
  /// turn's holder only. `valid`: the ICV verified. A frame that failed validation but is delivered
  /// by validateFrames Check must be passed with valid = false: nothing moves, and only ok, delayed
  /// or late is answered.
  PnVerdict accept(Pn pn, bool valid = true) noexcept {
    const std::uint64_t number = pn.value();
    const std::uint64_t lowest = lowest_.load(std::memory_order_relaxed);
    const bool low = number < lowest || (window_ == 0 && full_.load(std::memory_order_relaxed));
    if (low) return replay_protect_ ? PnVerdict::late : PnVerdict::delayed;
    if (!valid) return PnVerdict::ok;
    const std::uint64_t next = next_.load(std::memory_order_relaxed);
    if (number >= next && !full_.load(std::memory_order_relaxed)) {
      if (bitmap_.present()) bitmap_.advance(next - 1, number);
      move_next(number);
    }
    if (bitmap_.present() && !bitmap_.mark(number)) return PnVerdict::duplicate;
    return PnVerdict::ok;
  }

  /// lowestPN as told by MKA (delay protection, XPN resynchronisation); never lowers it. nextPN
  /// follows. Send turn's holder only.
  void raise_lowest(Pn lowest) noexcept {
    if (lowest.value() > lowest_.load(std::memory_order_relaxed)) {
      lowest_.store(lowest.value(), std::memory_order_relaxed);
    }
    const std::uint64_t next = next_.load(std::memory_order_relaxed);
    if (lowest.value() > next) {
      if (bitmap_.present()) bitmap_.advance(next - 1, lowest.value() - 1);
      next_.store(lowest.value(), std::memory_order_relaxed);
    }
  }

 private:
  explicit PnWindow(const Config& config);

  void move_next(std::uint64_t number) noexcept {
    // One past 2^64-1 does not fit: nextPN saturates and full_ says that it stands for 2^64.
    const bool full = number == kMaxPn64;
    next_.store(full ? number : number + 1, std::memory_order_relaxed);
    if (full) full_.store(true, std::memory_order_relaxed);
    if (number >= window_) {
      // nextPN - window, written so that 2^64 - window does not overflow; 2^64 - 0 is what full_
      // stands for.
      const std::uint64_t candidate = window_ == 0 && full ? number : number - window_ + 1;
      if (candidate > lowest_.load(std::memory_order_relaxed)) {
        lowest_.store(candidate, std::memory_order_relaxed);
      }
    }
  }

  std::atomic<std::uint64_t> lowest_;  ///< written by the send turn's holder, read by any core
  std::atomic<std::uint64_t> next_;    ///< the same
  std::atomic<bool> full_{false};      ///< 2^64-1 was received
  std::uint32_t window_;
  bool xpn_;
  bool replay_protect_;
  SequenceBitmap bitmap_;  ///< send turn's holder only
};

}  // namespace sealwire::crypto
