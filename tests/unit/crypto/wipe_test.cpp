// Keys leave nothing behind: every block of memory that this program frees through `delete` is
// searched for them first.
//
// A program of its own, because it replaces the global operators.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <new>

#include "crypto/engines/auto.h"

namespace {

constexpr std::size_t kPattern = 16;
/// What to look for, and how often it was found in freed memory. Plain arrays: they are used within
/// operator delete.
std::array<unsigned char, kPattern> wanted{};
bool looking = false;
std::size_t found = 0;
std::size_t searched = 0;

/// Every block begins with its size, in a header that keeps the alignment.
void* take(std::size_t size, std::size_t alignment) {
  alignment = std::max<std::size_t>(alignment, 64);
  const std::size_t whole = (size + alignment + alignment - 1) / alignment * alignment;
  auto* block = static_cast<unsigned char*>(std::aligned_alloc(alignment, whole + alignment));
  if (block == nullptr) throw std::bad_alloc();
  unsigned char* user = block + alignment;
  *static_cast<std::size_t*>(static_cast<void*>(user - 16)) = size;
  *static_cast<std::size_t*>(static_cast<void*>(user - 8)) = alignment;
  return user;
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  auto* user = static_cast<unsigned char*>(memory);
  const std::size_t size = *static_cast<std::size_t*>(static_cast<void*>(user - 16));
  const std::size_t alignment = *static_cast<std::size_t*>(static_cast<void*>(user - 8));
  if (looking) {
    ++searched;
    if (std::search(user, user + size, wanted.begin(), wanted.end()) != user + size) ++found;
  }
  std::free(user - alignment);
}

}  // namespace

void* operator new(std::size_t size) { return take(size, 64); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return take(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }

namespace sealwire::crypto {
namespace {

class Wiping : public testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < kPattern; ++i)
      wanted[i] = static_cast<unsigned char>(0xC3 ^ (i * 37));
    found = 0;
    searched = 0;
    looking = true;
  }
  void TearDown() override { looking = false; }
};

TEST_F(Wiping, TheSearchItselfFindsAKey) {
  auto* plain = new std::array<unsigned char, 64>();
  std::copy(wanted.begin(), wanted.end(), plain->begin() + 5);
  delete plain;
  EXPECT_EQ(found, 1U);
}

// The first round key of AES is the key itself, so an expanded key that is not wiped is found too.
TEST_F(Wiping, KeysOfEveryEngineAndAlgorithm) {
  for (const char* name : {"ipsec-mb", "batch-gcm", "openssl", "auto"}) {
    looking = false;
    auto factory = make_software_factory(name);
    if (!factory) {
      std::cout << name << " does not run on this processor\n";
      continue;
    }
    auto engine = *(*factory)->make();
    looking = true;
    for (const AlgorithmInfo& facts : all_algorithms()) {
      if (!engine->supports(facts.algorithm)) continue;
      SecretBytes secret(facts.key_length());
      std::copy(wanted.begin(), wanted.end(), secret.mutable_view().begin());
      auto key = engine->make_key(facts.algorithm, secret);
      ASSERT_TRUE(key.has_value());
      std::uint8_t memory[8 + 16 + 64 + 32] = {};
      AeadBatch batch;
      for (const Direction direction : {Direction::seal, Direction::open}) {
        batch.reset(direction);
        AeadOp& op = batch.add();
        op.key = key->get();
        op.aad = memory;
        op.aad_length = 8;
        op.data = memory + 8 + (facts.cipher == Cipher::aes_cbc ? 16 : 0);
        op.length = facts.cipher == Cipher::aes_gmac ? 0 : 64;
        op.tag = op.data + op.length;
        engine->submit(batch);
        ASSERT_TRUE(engine->poll(batch));
        ASSERT_EQ(op.status, OpStatus::ok) << name << ' ' << facts.name;
      }
      const std::size_t before = searched;
      key->reset();
      EXPECT_GT(searched, before) << name << ' ' << facts.name;
      EXPECT_EQ(found, 0U) << name << ' ' << facts.name;
      found = 0;
    }
    engine.reset();
    EXPECT_EQ(found, 0U) << name << ": left in the engine";
    found = 0;
  }
}

}  // namespace
}  // namespace sealwire::crypto
