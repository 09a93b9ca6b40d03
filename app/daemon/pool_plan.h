// How many packet buffers of which size: large enough that a frame is one segment.
#pragma once

#include <cstdint>

#include "config/model.h"

namespace sealwire::daemon {

struct PoolPlan {
  std::uint32_t buffers = 0;
  std::uint16_t data_room = 0;  // octets of headroom, frame and tailroom
  // Memory it takes: a buffer is not laid across pages of `page` octets (without hugepages that
  // leaves much of each page unused).
  std::uint64_t octets(std::uint64_t page) const;
};

// Octets behind the headroom of a buffer for frames of `mtu`.
std::uint16_t frame_room(std::uint32_t mtu);

// Buffers for what one port receives: its rings, what workers hold, and what waits for the control
// thread.
PoolPlan pool_plan(const config::Document& document, const config::Port& port);

// Buffers for what a line makes itself: fragments, replies, EAPOL.
PoolPlan line_pool_plan(const config::Document& document, const config::Line& line);

}  // namespace sealwire::daemon
