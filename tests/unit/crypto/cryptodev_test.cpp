// The engine on DPDK crypto devices: every software driver of ours against OpenSSL, and what it
// refuses.
#include "crypto/engines/cryptodev.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <sched.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "crypto/engines/auto.h"
#include "crypto/engines/openssl.h"
#include "crypto/self_test.h"
#include "tests/unit/crypto/engine_fixture.h"

namespace sealwire::crypto {
namespace {

using testing_support::finish;
using testing_support::Octets;
using testing_support::random_octets;
using testing_support::run_one;
using testing_support::TestPacket;

class Eal : public testing::Environment {
 public:
  void SetUp() override {
    std::vector<std::string> words{"cryptodev_test",
                                   "--no-pci",
                                   "--no-huge",
                                   "-m",
                                   "256",
                                   "-l",
                                   "0",
                                   "--no-telemetry",
                                   "--log-level=critical",
                                   "--file-prefix=sealwire-cryptodev-" + std::to_string(getpid())};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    ASSERT_GE(rte_eal_init(static_cast<int>(arguments.size()), arguments.data()), 0);
  }
  void TearDown() override { rte_eal_cleanup(); }
};
const auto* const kEal = testing::AddGlobalTestEnvironment(new Eal);

CryptodevConfig config_of(const std::string& device) {
  return {.device = device, .queue_pairs = 2, .operations = 256, .sessions = 512, .socket = -1};
}

struct Driver {
  const char* device;
  std::set<Cipher> ciphers;
};

class Cryptodev : public testing::TestWithParam<Driver> {
 protected:
  void SetUp() override {
    auto made = make_cryptodev_factory(config_of(GetParam().device));
    ASSERT_TRUE(made.has_value()) << made.error().message;
    factory_ = std::move(*made);
    auto engine = factory_->make();
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    engine_ = std::move(*engine);
  }

  /// A packet whose AAD length a key has a session for.
  TestPacket packet(const AlgorithmInfo& facts) {
    static constexpr std::uint32_t kAad[] = {8, 12, 20, 28, 50, 58, 70, 78};
    const std::size_t choices = facts.cipher == Cipher::aes_gcm ? std::size(kAad) : 2;
    const std::uint32_t aad = facts.aead ? kAad[random_() % choices] : 8;
    const auto length =
        static_cast<std::uint32_t>(random_() % 2 ? random_() % 9217 : random_() % 300);
    if (facts.cipher == Cipher::aes_gmac) return {facts.algorithm, length + 8, 0, random_};
    if (facts.cipher == Cipher::aes_cbc) {
      return {facts.algorithm, aad, std::max(16U, length / 16 * 16), random_};
    }
    return {facts.algorithm, aad, length, random_};
  }

  std::unique_ptr<AeadKey> key(Engine& engine, const AlgorithmInfo& facts, const Octets& secret) {
    auto made = engine.make_key(facts.algorithm, SecretBytes(secret));
    if (!made) ADD_FAILURE() << made.error().message;
    return made ? std::move(*made) : nullptr;
  }

  std::unique_ptr<EngineFactory> factory_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Engine> openssl_ = *(*make_openssl_factory())->make();
  std::mt19937_64 random_{4106};
};

TEST_P(Cryptodev, SupportsWhatItsDriverOffers) {
  for (const AlgorithmInfo& facts : all_algorithms()) {
    EXPECT_EQ(engine_->supports(facts.algorithm), GetParam().ciphers.contains(facts.cipher))
        << facts.name;
    if (!engine_->supports(facts.algorithm)) {
      EXPECT_EQ(engine_->make_key(facts.algorithm, SecretBytes(facts.key_length())).error().id,
                "SW-CRY-021");
    }
  }
  EXPECT_EQ(engine_->name(), GetParam().device);
}

TEST_P(Cryptodev, PassesTheSelfTest) {
  const auto result = self_test(*engine_);
  EXPECT_TRUE(result.has_value()) << result.error().message;
}

// Full batches of every algorithm and size, one packet spoilt in each opened batch.
TEST_P(Cryptodev, AgreesWithOpenSslBothWays) {
  for (const AlgorithmInfo& facts : all_algorithms()) {
    if (!engine_->supports(facts.algorithm)) continue;
    for (int round = 0; round < 4; ++round) {
      const Octets secret = random_octets(random_, facts.key_length());
      const auto ours = key(*engine_, facts, secret);
      const auto theirs = key(*openssl_, facts, secret);
      ASSERT_TRUE(ours && theirs);
      std::vector<TestPacket> packets;
      for (std::size_t i = 0; i < AeadBatch::kCapacity; ++i) packets.push_back(packet(facts));
      const std::vector<TestPacket> before = packets;
      auto batch = std::make_unique<AeadBatch>();
      const auto run = [&](bool device, Direction direction) {
        batch->reset(direction);
        for (TestPacket& one : packets) one.fill(batch->add(), device ? ours.get() : theirs.get());
        ASSERT_TRUE(finish(device ? *engine_ : *openssl_, *batch));
      };
      run(true, Direction::seal);
      for (std::size_t i = 0; i < packets.size(); ++i) {
        ASSERT_EQ(batch->ops[i].status, OpStatus::ok) << facts.name;
        TestPacket expected = before[i];
        ASSERT_EQ(run_one(*openssl_, theirs.get(), expected, Direction::seal), OpStatus::ok);
        ASSERT_EQ(packets[i].memory, expected.memory)
            << facts.name << " aad " << packets[i].aad_length << " data " << packets[i].length;
      }
      const std::size_t broken = random_() % packets.size();
      const std::size_t octets = packets[broken].aad_length + packets[broken].iv_length +
                                 packets[broken].length + facts.icv_length;
      packets[broken].aad()[random_() % octets] ^= 0x10;
      const TestPacket spoilt = packets[broken];
      run(true, Direction::open);
      for (std::size_t i = 0; i < packets.size(); ++i) {
        TestPacket original = before[i];
        EXPECT_EQ(packets[i].guard(), original.guard());
        if (i != broken) {
          ASSERT_EQ(batch->ops[i].status, OpStatus::ok) << facts.name;
          ASSERT_EQ(packets[i].plain(), original.plain()) << facts.name;
          continue;
        }
        EXPECT_EQ(batch->ops[i].status, OpStatus::bad_tag) << facts.name;
        const Octets left = packets[i].plain();
        EXPECT_TRUE(!facts.confidential ||
                    std::all_of(left.begin(), left.end(), [](auto octet) { return octet == 0; }));
        TestPacket received = spoilt;
        EXPECT_TRUE(
            std::equal(packets[i].tag(), packets[i].tag() + facts.icv_length, received.tag()));
      }
    }
  }
}

// Integrity-only MACsec: GCM with everything in the AAD, of any length.
TEST_P(Cryptodev, GcmWithoutDataTakesAnyAad) {
  const AlgorithmInfo& facts = info(Algorithm::aes_gcm_256);
  if (!engine_->supports(facts.algorithm)) FAIL() << "every driver here has GCM";
  const Octets secret = random_octets(random_, facts.key_length());
  const auto ours = key(*engine_, facts, secret);
  const auto theirs = key(*openssl_, facts, secret);
  for (const std::uint32_t aad : {1U, 16U, 28U, 64U, 257U, 1514U, 9216U}) {
    TestPacket sealed(facts.algorithm, aad, 0, random_);
    TestPacket expected = sealed;
    ASSERT_EQ(run_one(*engine_, ours.get(), sealed, Direction::seal), OpStatus::ok) << aad;
    ASSERT_EQ(run_one(*openssl_, theirs.get(), expected, Direction::seal), OpStatus::ok);
    ASSERT_EQ(sealed.memory, expected.memory) << aad;
    EXPECT_EQ(run_one(*engine_, ours.get(), sealed, Direction::open), OpStatus::ok);
    sealed.aad()[aad - 1] ^= 1;
    EXPECT_EQ(run_one(*engine_, ours.get(), sealed, Direction::open), OpStatus::bad_tag);
  }
}

TEST_P(Cryptodev, AnswersErrorToWhatItCannotDo) {
  const AlgorithmInfo& facts = info(Algorithm::aes_gcm_128);
  const Octets secret = random_octets(random_, facts.key_length());
  const auto ours = key(*engine_, facts, secret);
  const auto theirs = key(*openssl_, facts, secret);
  TestPacket unusual(facts.algorithm, 9, 64, random_);
  const Octets before = unusual.memory;
  EXPECT_EQ(run_one(*engine_, ours.get(), unusual, Direction::seal), OpStatus::error);
  EXPECT_EQ(unusual.memory, before);
  TestPacket packet(facts.algorithm, 8, 64, random_);
  EXPECT_EQ(run_one(*engine_, theirs.get(), packet, Direction::seal), OpStatus::error);
  EXPECT_EQ(run_one(*engine_, nullptr, packet, Direction::seal), OpStatus::error);
  EXPECT_EQ(engine_->make_key(facts.algorithm, SecretBytes(17)).error().id, "SW-CRY-020");
  EXPECT_EQ(engine_->make_key(facts.algorithm, SecretBytes(16), {.aad_length = 257}).error().id,
            "SW-CRY-022");
  const auto sealing = *engine_->make_key(facts.algorithm, SecretBytes(secret), {.open = false});
  EXPECT_EQ(run_one(*engine_, sealing.get(), packet, Direction::open), OpStatus::error);
  EXPECT_EQ(run_one(*engine_, sealing.get(), packet, Direction::seal), OpStatus::ok);
}

// More batches than operations: what fits is done, the rest is refused, and all of it works again
// afterwards.
TEST_P(Cryptodev, OverflowIsRefusedAndRecovers) {
  const AlgorithmInfo& facts = info(Algorithm::aes_gcm_128);
  const auto ours = key(*engine_, facts, random_octets(random_, facts.key_length()));
  constexpr std::size_t kBatches = 6;  // 384 operations, 256 of them fit
  for (int round = 0; round < 3; ++round) {
    std::vector<std::unique_ptr<AeadBatch>> batches;
    std::vector<TestPacket> packets;
    packets.reserve(kBatches * AeadBatch::kCapacity);
    for (std::size_t i = 0; i < kBatches; ++i) {
      batches.push_back(std::make_unique<AeadBatch>());
      batches[i]->reset(Direction::seal);
      while (!batches[i]->full()) {
        packets.emplace_back(facts.algorithm, 8, 64, random_);
        packets.back().fill(batches[i]->add(), ours.get());
      }
      engine_->submit(*batches[i]);
    }
    std::size_t done = 0;
    std::size_t refused = 0;
    // The last first: a poll for one batch collects the others.
    for (std::size_t i = kBatches; i-- > 0;) {
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      while (!engine_->poll(*batches[i])) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      }
      for (const AeadOp& op : batches[i]->ops) {
        ASSERT_NE(op.status, OpStatus::pending);
        ++(op.status == OpStatus::ok ? done : refused);
      }
    }
    EXPECT_EQ(done, 256U);
    EXPECT_EQ(refused, 128U);
  }
}

TEST_P(Cryptodev, WorkersShareKeysOnTheirOwnQueuePairs) {
  auto second = factory_->make();
  ASSERT_TRUE(second.has_value()) << second.error().message;
  EXPECT_EQ(factory_->make().error().id, "SW-CRY-074");
  const AlgorithmInfo& facts = info(Algorithm::aes_gcm_256);
  const auto shared = key(*engine_, facts, random_octets(random_, facts.key_length()));
  const auto work = [&](Engine& engine, std::uint64_t seed, int& wrong) {
    // EAL has pinned this process's first thread, and others inherit that: side by side is the
    // point here.
    cpu_set_t every;
    CPU_ZERO(&every);
    for (std::size_t i = 0; i < CPU_SETSIZE; ++i) CPU_SET(i, &every);
    pthread_setaffinity_np(pthread_self(), sizeof every, &every);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 3000; ++i) {
      TestPacket packet(facts.algorithm, 8, static_cast<std::uint32_t>(random() % 1500), random);
      const TestPacket original = packet;
      const bool good = run_one(engine, shared.get(), packet, Direction::seal) == OpStatus::ok &&
                        run_one(engine, shared.get(), packet, Direction::open) == OpStatus::ok &&
                        packet.plain() == TestPacket(original).plain();
      if (!good) ++wrong;
    }
  };
  int wrong[2] = {};
  std::thread first([&] { work(*engine_, 1, wrong[0]); });
  std::thread other([&] { work(**second, 2, wrong[1]); });
  first.join();
  other.join();
  EXPECT_EQ(wrong[0] + wrong[1], 0);
  second->reset();
  EXPECT_TRUE(factory_->make().has_value()) << "a queue pair returns with its engine";
}

TEST_P(Cryptodev, RunsOutOfSessionsWithAnError) {
  std::vector<std::unique_ptr<AeadKey>> keys;
  for (int i = 0; i < 600; ++i) {
    auto made = engine_->make_key(Algorithm::aes_gcm_128, SecretBytes(16));
    if (!made) {
      EXPECT_EQ(made.error().id, "SW-CRY-022");
      const std::size_t several = keys.size();
      EXPECT_GT(several, 4U);
      keys.clear();
      for (std::size_t j = 0; j < several; ++j) {
        keys.push_back(*engine_->make_key(Algorithm::aes_gcm_128, SecretBytes(16)));
      }
      return;
    }
    keys.push_back(std::move(*made));
  }
  FAIL() << "512 sessions sufficed for 600 keys";
}

TEST_P(Cryptodev, DeviceIsForOneFactoryAtATimeAndComesAgain) {
  const auto again = make_cryptodev_factory(config_of(GetParam().device));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().id, "SW-CRY-072");
  // The refused attempt has not hurt the device.
  EXPECT_TRUE(self_test(*engine_).has_value());
  engine_.reset();
  factory_.reset();
  EXPECT_LT(rte_cryptodev_get_dev_id(GetParam().device), 0) << "removed with its last user";
  EXPECT_TRUE(make_cryptodev_factory(config_of(GetParam().device)).has_value());
}

TEST_P(Cryptodev, CannotBePartOfAuto) {
  std::vector<std::unique_ptr<EngineFactory>> candidates;
  engine_.reset();
  candidates.push_back(std::move(factory_));
  EXPECT_EQ(make_auto_factory(std::move(candidates)).error().id, "SW-CRY-031");
}

INSTANTIATE_TEST_SUITE_P(
    Drivers, Cryptodev,
    testing::Values(Driver{"crypto_aesni_mb0",
                           {Cipher::aes_gcm, Cipher::aes_gmac, Cipher::chacha20_poly1305,
                            Cipher::aes_cbc, Cipher::null}},
                    Driver{"crypto_aesni_gcm0", {Cipher::aes_gcm, Cipher::aes_gmac}},
                    Driver{"crypto_openssl0",
                           {Cipher::aes_gcm, Cipher::aes_gmac, Cipher::aes_cbc, Cipher::null}}),
    [](const auto& param) { return std::string(param.param.device); });

TEST(CryptodevFactory, RefusesTheNullDriver) {
  const auto made = make_cryptodev_factory(config_of("crypto_null0"));
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().id, "SW-CRY-071");
  EXPECT_NE(made.error().message.find("null"), std::string::npos);
  EXPECT_LT(rte_cryptodev_get_dev_id("crypto_null0"), 0) << "it is removed again";
}

TEST(CryptodevFactory, RefusesWhatDoesNotExist) {
  for (const char* device : {"0000:ff:1f.7", "crypto_nonesuch0", "", "net_null0"}) {
    const auto made = make_cryptodev_factory(config_of(device));
    ASSERT_FALSE(made.has_value()) << device;
    EXPECT_EQ(made.error().id, "SW-CRY-070") << device;
  }
}

TEST(CryptodevFactory, RefusesImpossibleConfigurations) {
  for (const CryptodevConfig& config :
       {CryptodevConfig{.device = "crypto_aesni_mb5", .queue_pairs = 0},
        CryptodevConfig{.device = "crypto_aesni_mb5", .operations = 63},
        CryptodevConfig{.device = "crypto_aesni_mb5", .sessions = 0},
        CryptodevConfig{.device = "crypto_aesni_mb5,max_nb_queue_pairs=1", .queue_pairs = 2}}) {
    const auto made = make_cryptodev_factory(config);
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().id, "SW-CRY-072");
  }
}

}  // namespace
}  // namespace sealwire::crypto
