// Next hops and their link addresses. One writer, the control thread; readers are the workers,
// lock-free.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "pipelines/tables/ip_address.h"

namespace sealwire::pipelines {

enum class Side : std::uint8_t { inside, outside };

/// A neighbour on one port. Address fixed for life; never freed before its table.
struct Adjacency {
  IpAddress address;
  Side side = Side::inside;
  std::uint16_t port = 0;  // index into that side's ports
  bool permanent = false;  // from the configuration; ARP and ND do not touch it
  std::atomic<std::uint64_t> link{
      0};                     // control: wo. Bit 63: resolved; bits 0..47: MAC, first octet lowest
  std::uint64_t updated = 0;  // control's own: TSC-free milliseconds, ageing
  std::uint8_t state = 0;     // control's own

  static constexpr std::uint64_t kResolved = 1ULL << 63;
  static std::uint64_t pack(const std::array<std::uint8_t, 6>& mac) {
    std::uint64_t v = kResolved;
    for (unsigned i = 0; i < 6; ++i) v |= std::uint64_t{mac[i]} << (8 * i);
    return v;
  }
};

class Neighbours {
 public:
  explicit Neighbours(std::uint32_t capacity = 4096);
  ~Neighbours();
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;

  /// Any thread.
  const Adjacency* find(Side side, std::uint16_t port, const IpAddress& address) const noexcept;

  /// Control thread: the entry, made unresolved if it is new; null when the table is full.
  Adjacency* get(Side side, std::uint16_t port, const IpAddress& address);
  void resolve(Adjacency& entry, const std::array<std::uint8_t, 6>& mac);
  void forget(Adjacency& entry);
  void each(const std::function<void(Adjacency&)>& visit);

 private:
  std::uint32_t mask_;
  std::unique_ptr<std::atomic<Adjacency*>[]> table_;
  std::deque<Adjacency> entries_;
  std::uint32_t capacity_;
};

}  // namespace sealwire::pipelines
