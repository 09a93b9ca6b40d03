// A token bucket for what the slow path says unasked.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sealwire::control::gateway {

/// At most `rate` a second, `burst` at once. Times are milliseconds.
class RateLimit {
 public:
  RateLimit(std::uint32_t rate, std::uint32_t burst)
      : rate_(rate), burst_(burst), milli_tokens_(burst * 1000ULL) {}

  bool allow(std::uint64_t now) {
    if (last_ != 0 && now > last_)
      milli_tokens_ =
          std::min<std::uint64_t>(milli_tokens_ + (now - last_) * rate_, burst_ * 1000ULL);
    last_ = now;
    if (milli_tokens_ < 1000) return false;
    milli_tokens_ -= 1000;
    return true;
  }

 private:
  std::uint32_t rate_, burst_;
  std::uint64_t milli_tokens_, last_ = 0;
};

}  // namespace sealwire::control::gateway
