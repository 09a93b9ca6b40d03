#include "crypto/replay_window.h"

#include <string>
#include <utility>

namespace sealwire::crypto {

Result<ReplayWindow> ReplayWindow::create(const Config& config) {
  if (config.window != 0 && (config.window < kMinEspWindow || config.window > kMaxBitmapWindow)) {
    return fail(
        "SW-CRY-010",
        "an ESP replay window of " + std::to_string(config.window) + " packets is not possible",
        "use 0 (no replay protection) or 32 to 16384");
  }
  if (config.esn && config.window == 0) {
    return fail("SW-CRY-011", "extended sequence numbers need a replay window",
                "set a replay window of 32 to 16384 packets, or turn ESN off");
  }
  return ReplayWindow(config);
}

ReplayWindow::ReplayWindow(const Config& config)
    : top_(config.top.value()), window_(config.window), esn_(config.esn) {
  if (window_ == 0) return;
  bitmap_ = SequenceBitmap(window_);
  const std::uint64_t top = config.top.value();
  const std::uint64_t count = std::min<std::uint64_t>(top, window_);
  for (std::uint64_t i = 0; i < count; ++i) bitmap_.mark(top - i);
}

Result<PnWindow> PnWindow::create(const Config& config) {
  if (config.xpn && config.window > kMaxXpnWindow) {
    return fail("SW-CRY-012",
                "a replay window of " + std::to_string(config.window) +
                    " frames is too wide for extended packet numbers",
                "use at most 1073741824 (2^30) with an XPN cipher suite");
  }
  if (config.detect_duplicates && (!config.replay_protect || config.window > kMaxBitmapWindow)) {
    return fail(
        "SW-CRY-013", "duplicates can only be detected within a bounded, protected window",
        "turn replay protection on with a window of at most 16384, or duplicate detection off");
  }
  if (config.lowest.value() == 0 || (!config.xpn && config.lowest.value() > kMaxPn32)) {
    return fail("SW-CRY-014", "the lowest acceptable PN is out of range",
                "use 1 to 4294967295, or up to 2^64-1 with an XPN cipher suite");
  }
  return PnWindow(config);
}

PnWindow::PnWindow(const Config& config)
    : lowest_(config.lowest.value()),
      next_(config.lowest.value()),
      window_(config.window),
      xpn_(config.xpn),
      replay_protect_(config.replay_protect) {
  if (config.detect_duplicates && config.window != 0) bitmap_ = SequenceBitmap(config.window);
}

}  // namespace sealwire::crypto
