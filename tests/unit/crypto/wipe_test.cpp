// Keys leave nothing behind: every block of memory that this program frees through `delete` is
// searched for them first.
//
// A program of its own, because it replaces the global operators.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <new>
#include <vector>

#include "crypto/engines/auto.h"
#include "crypto/engines/ipsec_mb.h"

namespace {

constexpr std::size_t kPattern = 16;
/// What to look for, and how often it was found in freed memory. Plain arrays: they are used within
/// operator delete.
std::array<unsigned char, kPattern> wanted{};
bool looking = false;
std::size_t found = 0;
std::size_t searched = 0;

/// While set, a block ends as close to an inaccessible page as its alignment allows. Such blocks
/// are never reused.
bool fencing = false;
constexpr std::size_t kPage = 4096;

/// Every block has its size and its alignment, or 0 if it is fenced, in the octets before it.
struct Header {
  std::size_t size;
  std::size_t alignment;
};
Header* header_of(void* user) {
  return static_cast<Header*>(
      static_cast<void*>(static_cast<unsigned char*>(user) - sizeof(Header)));
}

void* take(std::size_t size, std::size_t alignment) {
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  unsigned char* user = nullptr;
  if (fencing) {
    const std::size_t usable = (whole + alignment + kPage - 1) / kPage * kPage;
    void* pages =
        mmap(nullptr, usable + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    unsigned char* fence = static_cast<unsigned char*>(pages) + usable;
    mprotect(fence, kPage, PROT_NONE);
    user = fence - whole;
  } else {
    void* block = std::aligned_alloc(alignment, whole + alignment);
    if (block == nullptr) throw std::bad_alloc();
    user = static_cast<unsigned char*>(block) + alignment;
  }
  *header_of(user) = {size, fencing ? 0 : alignment};
  return user;
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  auto* user = static_cast<unsigned char*>(memory);
  const auto [size, alignment] = *header_of(user);
  if (looking) {
    ++searched;
    if (std::search(user, user + size, wanted.begin(), wanted.end()) != user + size) ++found;
  }
  if (alignment != 0) std::free(user - alignment);
}

}  // namespace

void* operator new(std::size_t size) { return take(size, 16); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return take(size, std::max<std::size_t>(16, static_cast<std::size_t>(alignment)));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return take(size, 16);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }

namespace sealwire::crypto {
namespace {

/// Seals a packet with `key` and opens it.
void use(Engine& engine, const AeadKey& key) {
  const AlgorithmInfo& facts = key.info();
  std::uint8_t memory[8 + 16 + 64 + 32] = {};
  AeadBatch batch;
  for (const Direction direction : {Direction::seal, Direction::open}) {
    batch.reset(direction);
    AeadOp& op = batch.add();
    op.key = &key;
    op.aad = memory;
    op.aad_length = 8;
    op.data = memory + 8 + (facts.cipher == Cipher::aes_cbc ? 16 : 0);
    op.length = facts.cipher == Cipher::aes_gmac ? 0 : 64;
    op.tag = op.data + op.length;
    engine.submit(batch);
    ASSERT_TRUE(engine.poll(batch));
    ASSERT_EQ(op.status, OpStatus::ok) << engine.name() << ' ' << facts.name;
  }
}

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
  __asm__ volatile("" : : "r"(plain) : "memory");  // or the optimiser sees that nobody reads it
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
      use(*engine, **key);
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

TEST(Fence, NothingReadsBeyondAKey) {
  std::vector<Result<std::unique_ptr<EngineFactory>>> factories;
  for (const char* name : {"batch-gcm", "openssl"})
    factories.push_back(make_software_factory(name));
  for (const IpsecMbCode code : {IpsecMbCode::best, IpsecMbCode::sse, IpsecMbCode::avx,
                                 IpsecMbCode::avx2, IpsecMbCode::avx512}) {
    factories.push_back(make_ipsec_mb_factory(code));
  }
  std::size_t done = 0;
  for (const auto& factory : factories) {
    if (!factory) continue;  // not on this processor: the self-test's test says which
    const auto engine = *(*factory)->make();
    for (const AlgorithmInfo& facts : all_algorithms()) {
      if (!engine->supports(facts.algorithm)) continue;
      const SecretBytes secret(facts.key_length());
      fencing = true;
      const auto key = engine->make_key(facts.algorithm, secret);
      fencing = false;
      ASSERT_TRUE(key.has_value());
      use(*engine, **key);
      ++done;
    }
  }
  EXPECT_GE(done, 2 * kAlgorithmCount);
}

}  // namespace
}  // namespace sealwire::crypto
