#include "app/daemon/pool_plan.h"

#include <algorithm>
#include <bit>

namespace sealwire::daemon {
namespace {

// DPDK's headroom, Ethernet with two VLAN tags, the port's MTU, and behind it padding and the
// longest ICV. Encapsulation in front of the frame (IPv6, UDP, ESP, SecTAG: 96 octets) fits the
// headroom.
constexpr std::uint32_t kHeadroom = 128;
constexpr std::uint32_t kEthernet = 14 + 8;
constexpr std::uint32_t kTail = 128;
constexpr std::uint32_t kPerWorker = 8 * 64 + 512;  // bursts and the pool's cache
constexpr std::uint32_t kSlow = 1024;               // punt and inject rings

std::uint16_t room_for(std::uint32_t mtu) {
  const std::uint32_t room = kHeadroom + kEthernet + mtu + kTail;
  return static_cast<std::uint16_t>(std::max(2048U + kHeadroom, (room + 63) / 64 * 64));
}

}  // namespace

std::uint16_t frame_room(std::uint32_t mtu) {
  return static_cast<std::uint16_t>(room_for(mtu) - kHeadroom);
}

std::uint64_t PoolPlan::octets(std::uint64_t page) const {
  // The pool's object header, the mbuf, and a cache line more that spreads buffers over channels.
  const std::uint64_t buffer = data_room + 64U + 128U + 64U;
  const std::uint64_t ring = 8U * std::bit_ceil(buffers + 1U);
  const std::uint64_t each =
      buffer <= page ? page / (page / buffer) : (buffer + page - 1) / page * page;
  return buffers * each + ring;
}

PoolPlan pool_plan(const config::Document& document, const config::Port& port) {
  PoolPlan plan;
  // The line's packets leave by another port, whose transmit ring holds them meanwhile.
  std::uint32_t queues = std::max<std::uint32_t>(port.rx_queues, 1);
  std::uint32_t transmit = 0;
  std::uint32_t mtu = port.mtu;
  for (const config::Line& line : document.lines) {
    const auto has = [&port](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), port.name) != names.end();
    };
    if (!has(line.inside) && !has(line.outside)) continue;
    queues = std::max<std::uint32_t>(queues, line.workers.egress.count);
    for (const config::Port& other : document.ports) {
      const auto names = [&other](const std::vector<std::string>& list) {
        return std::find(list.begin(), list.end(), other.name) != list.end();
      };
      if (names(line.inside) || names(line.outside)) {
        transmit += other.tx_descriptors;
        mtu = std::max<std::uint32_t>(mtu, other.mtu);
      }
    }
  }
  plan.buffers =
      port.rx_descriptors * queues + transmit + kSlow + kPerWorker * document.system.workers.count;
  plan.data_room = room_for(mtu);
  return plan;
}

PoolPlan line_pool_plan(const config::Document& document, const config::Line& line) {
  PoolPlan plan;
  std::uint32_t mtu = 1500;
  for (const config::Port& port : document.ports) {
    for (const auto* names : {&line.inside, &line.outside}) {
      if (std::find(names->begin(), names->end(), port.name) != names->end()) {
        mtu = std::max<std::uint32_t>(mtu, port.mtu);
      }
    }
  }
  plan.buffers = 2047;
  plan.data_room = room_for(mtu);
  return plan;
}

}  // namespace sealwire::daemon
