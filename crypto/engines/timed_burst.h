// What one burst costs in an engine: for the plan of the auto engine and for the benchmarks.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "crypto/aead.h"

namespace sealwire::crypto {

/// A burst of packets under one key, laid out as every algorithm wants it: 8 octets of AAD, IV,
/// data, tag. What GMAC authenticates is AAD.
class TimedBurst {
 public:
  static constexpr double kNever = std::numeric_limits<double>::max();

  /// One packet with so many octets of data for each of `lengths`, at most AeadBatch::kCapacity and
  /// not none. `key` outlives this.
  TimedBurst(const AeadKey& key, std::vector<std::uint32_t> lengths)
      : key_(key),
        lengths_(std::move(lengths)),
        packet_(kAadOctets + kIvOctets + *std::max_element(lengths_.begin(), lengths_.end()) +
                kMaxIcvLength),
        clear_(packet_ * lengths_.size(), 0x5a),
        memory_(clear_) {}

  /// All of one length.
  TimedBurst(const AeadKey& key, std::uint32_t octets, std::uint16_t packets)
      : TimedBurst(key, std::vector<std::uint32_t>(packets, octets)) {}

  /// Before the first run(): seals once, so that opening has something valid to work on. False when
  /// that failed.
  bool prepare(Engine& engine, Direction direction) {
    if (direction == Direction::seal) return true;
    const bool good = run(engine, Direction::seal) < kNever;
    clear_ = memory_;
    return good;
  }

  /// Nanoseconds a packet of one burst; kNever when an operation fails.
  double run(Engine& engine, Direction direction) {
    memory_ = clear_;
    batch_.reset(direction);
    for (std::size_t i = 0; i < lengths_.size(); ++i)
      fill(batch_.add(), memory_.data() + packet_ * i, lengths_[i]);
    const auto begin = std::chrono::steady_clock::now();
    engine.submit(batch_);
    while (!engine.poll(batch_)) {  // a device is at work
    }
    const auto end = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < lengths_.size(); ++i) {
      if (batch_.ops[i].status != OpStatus::ok) return kNever;
    }
    return std::chrono::duration<double, std::nano>(end - begin).count() /
           static_cast<double>(lengths_.size());
  }

 private:
  void fill(AeadOp& op, std::uint8_t* packet, std::uint32_t octets) const {
    const AlgorithmInfo& facts = key_.info();
    const std::uint32_t iv = facts.cipher == Cipher::null ? 0 : kIvOctets;
    op.key = &key_;
    op.aad = packet;
    op.aad_length = kAadOctets;
    op.data = packet + kAadOctets + iv;
    op.length = octets;
    op.tag = op.data + octets;
    if (facts.cipher == Cipher::aes_gmac) {
      op.aad_length += iv + octets;
      op.length = 0;
    }
    std::memset(op.iv, 1, sizeof op.iv);
    op.esn_high = 0;
  }

  static constexpr std::uint32_t kAadOctets = 8;
  static constexpr std::uint32_t kIvOctets = 16;

  const AeadKey& key_;
  std::vector<std::uint32_t> lengths_;
  std::size_t packet_;
  std::vector<std::uint8_t> clear_, memory_;
  AeadBatch batch_;
};

}  // namespace sealwire::crypto
