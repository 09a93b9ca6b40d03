#include "pipelines/tables/neighbours.h"

#include <bit>
#include <cstring>

namespace sealwire::pipelines {
namespace {

std::uint32_t hash(Side side, std::uint16_t port, const IpAddress& address) {
  std::uint64_t words[2];
  std::memcpy(words, address.octets.data(), sizeof words);
  std::uint64_t h = words[0] * 0x9E3779B97F4A7C15ULL;
  h = (h ^ (h >> 31) ^ words[1]) * 0xBF58476D1CE4E5B9ULL;
  h = (h ^ (h >> 29) ^ port ^ (side == Side::outside ? 0x10000U : 0U)) * 0x94D049BB133111EBULL;
  return static_cast<std::uint32_t>(h >> 33);
}

bool same(const Adjacency& a, Side side, std::uint16_t port, const IpAddress& address) {
  return a.side == side && a.port == port && a.address == address;
}

}  // namespace

Neighbours::Neighbours(std::uint32_t capacity)
    : mask_(std::bit_ceil(capacity * 2U) - 1U),
      table_(std::make_unique<std::atomic<Adjacency*>[]>(std::size_t{mask_} + 1)),
      capacity_(capacity) {}

Neighbours::~Neighbours() = default;

const Adjacency* Neighbours::find(Side side, std::uint16_t port,
                                  const IpAddress& address) const noexcept {
  for (std::uint32_t at = hash(side, port, address) & mask_;; at = (at + 1) & mask_) {
    const Adjacency* entry = table_[at].load(std::memory_order_acquire);
    if (entry == nullptr || same(*entry, side, port, address)) return entry;
  }
}

Adjacency* Neighbours::get(Side side, std::uint16_t port, const IpAddress& address) {
  std::uint32_t at = hash(side, port, address) & mask_;
  for (;; at = (at + 1) & mask_) {
    Adjacency* entry = table_[at].load(std::memory_order_relaxed);
    if (entry == nullptr) break;
    if (same(*entry, side, port, address)) return entry;
  }
  if (entries_.size() >= capacity_) return nullptr;
  Adjacency& fresh = entries_.emplace_back();
  fresh.address = address;
  fresh.side = side;
  fresh.port = port;
  table_[at].store(&fresh, std::memory_order_release);
  return &fresh;
}

void Neighbours::resolve(Adjacency& entry, const std::array<std::uint8_t, 6>& mac) {
  entry.link.store(Adjacency::pack(mac), std::memory_order_release);
}

void Neighbours::forget(Adjacency& entry) { entry.link.store(0, std::memory_order_release); }

void Neighbours::each(const std::function<void(Adjacency&)>& visit) {
  for (Adjacency& entry : entries_) visit(entry);
}

}  // namespace sealwire::pipelines
