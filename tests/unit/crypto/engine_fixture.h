// Packets laid out as AeadOp asks, for every algorithm, and engines to run them on.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "crypto/aead.h"
#include "crypto/nonce.h"

namespace sealwire::crypto::testing_support {

using Octets = std::vector<std::uint8_t>;

inline Octets random_octets(std::mt19937_64& random, std::size_t length) {
  Octets octets(length);
  for (std::uint8_t& octet : octets) octet = static_cast<std::uint8_t>(random());
  return octets;
}

/// One packet: aad, wire IV (CBC), data, tag, then a guard that nothing may touch.
struct TestPacket {
  static constexpr std::size_t kGuard = 32;

  Algorithm algorithm{};
  Octets memory;
  std::uint32_t aad_length = 0;
  std::uint32_t iv_length = 0;
  std::uint32_t length = 0;
  std::uint8_t iv[16] = {};
  std::uint32_t esn_high = 0;
  bool append_esn_high = false;

  /// `lead` octets before the AAD shift the alignment.
  TestPacket(Algorithm which, std::uint32_t aad, std::uint32_t data, std::mt19937_64& random)
      : algorithm(which), aad_length(aad), length(data) {
    const AlgorithmInfo& facts = info(which);
    iv_length = facts.cipher == Cipher::aes_cbc ? 16 : 0;
    lead_ = random() % 64;
    memory =
        random_octets(random, lead_ + aad_length + iv_length + length + facts.icv_length + kGuard);
    for (std::uint8_t& octet : iv) octet = static_cast<std::uint8_t>(random());
    esn_high = static_cast<std::uint32_t>(random());
    append_esn_high = !facts.aead && random() % 2 == 0;
  }

  std::uint8_t* aad() { return memory.data() + lead_; }
  std::uint8_t* data() { return aad() + aad_length + iv_length; }
  std::uint8_t* tag() { return data() + length; }
  Octets plain() { return {data(), data() + length}; }
  Octets guard() { return {memory.end() - kGuard, memory.end()}; }

  void fill(AeadOp& op, const AeadKey* key) {
    op.key = key;
    op.aad = aad();
    op.aad_length = aad_length;
    op.data = data();
    op.length = length;
    op.tag = tag();
    std::copy(std::begin(iv), std::end(iv), op.iv);
    op.esn_high = esn_high;
    op.append_esn_high = append_esn_high;
  }

 private:
  std::size_t lead_ = 0;
};

/// Runs the batch to its end; false if the engine gives no answer.
inline bool finish(Engine& engine, AeadBatch& batch) {
  engine.submit(batch);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!engine.poll(batch)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

/// Does one packet; its status.
inline OpStatus run_one(Engine& engine, const AeadKey* key, TestPacket& packet,
                        Direction direction) {
  auto batch = std::make_unique<AeadBatch>();
  batch->reset(direction);
  packet.fill(batch->add(), key);
  if (!finish(engine, *batch)) ADD_FAILURE() << engine.name() << " gave no answer";
  return batch->ops[0].status;
}

}  // namespace sealwire::crypto::testing_support
