// What every engine must do alike, well- and ill-formed, and that they understand each other.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <set>

#include "crypto/engines/auto.h"
#include "crypto/engines/batch_gcm.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/engines/measure.h"
#include "crypto/engines/openssl.h"
#include "tests/unit/crypto/engine_fixture.h"

namespace sealwire::crypto {
namespace {

using testing_support::finish;
using testing_support::Octets;
using testing_support::random_octets;
using testing_support::run_one;
using testing_support::TestPacket;

struct Named {
  std::string name;
  std::unique_ptr<EngineFactory> factory;
  std::unique_ptr<Engine> engine;
};

/// Splits every algorithm by size and direction over two engines, so that the auto engine's own
/// work is tested.
EnginePlan mixed_plan(const std::vector<std::unique_ptr<Engine>>& engines) {
  EnginePlan plan = EnginePlan::first_that_supports(engines);
  for (const AlgorithmInfo& facts : all_algorithms()) {
    plan.choose(facts.algorithm, Direction::seal, SizeClass::medium, 1);
    plan.choose(facts.algorithm, Direction::open, SizeClass::small, 1);
  }
  return plan;
}

// Of three: the second opens, the third seals.
EnginePlan plan_without_the_first(const std::vector<std::unique_ptr<Engine>>&) {
  EnginePlan plan;
  for (const AlgorithmInfo& facts : all_algorithms())
    for (const SizeClass size : {SizeClass::small, SizeClass::medium, SizeClass::large}) {
      plan.choose(facts.algorithm, Direction::seal, size, 2);
      plan.choose(facts.algorithm, Direction::open, size, 1);
    }
  return plan;
}

std::vector<Named> every_engine() {
  std::vector<Named> engines;
  const auto add = [&](std::string name, Result<std::unique_ptr<EngineFactory>> factory) {
    if (!factory) return;  // code that this processor lacks: the self-test's test names it
    auto engine = (*factory)->make();
    ASSERT_TRUE(engine.has_value()) << name << ": " << engine.error().message;
    engines.push_back({std::move(name), std::move(*factory), std::move(*engine)});
  };
  add("openssl", make_openssl_factory());
  add("ipsec-mb", make_ipsec_mb_factory());
  add("ipsec-mb sse", make_ipsec_mb_factory(IpsecMbCode::sse));
  add("ipsec-mb avx", make_ipsec_mb_factory(IpsecMbCode::avx));
  add("ipsec-mb avx2", make_ipsec_mb_factory(IpsecMbCode::avx2));
  add("auto", make_auto_factory());
  std::vector<std::unique_ptr<EngineFactory>> candidates;
  candidates.push_back(*make_ipsec_mb_factory());
  candidates.push_back(*make_openssl_factory());
  add("auto mixed", make_auto_factory(std::move(candidates), mixed_plan));
  candidates.clear();
  candidates.push_back(*make_openssl_factory());
  candidates.push_back(*make_ipsec_mb_factory());
  candidates.push_back(*make_ipsec_mb_factory(IpsecMbCode::sse));
  add("auto without the first", make_auto_factory(std::move(candidates), plan_without_the_first));
  return engines;
}

class Engines : public testing::Test {
 protected:
  std::vector<Named> engines_ = every_engine();
  std::mt19937_64 random_{4303};
};

std::uint32_t fitting_length(const AlgorithmInfo& facts, std::uint32_t length) {
  if (facts.cipher == Cipher::aes_gmac) return 0;
  if (facts.cipher == Cipher::aes_cbc) return std::max(16U, length / 16 * 16);
  return length;
}

// One long batch of every algorithm, many keys and sizes 0..9216, sealed by each engine and opened
// by every other.
TEST_F(Engines, EachOpensWhatEachOtherSealed) {
  ASSERT_GE(engines_.size(), 5U);
  const bool held = rc::check("seal and open across engines", [this] {
    std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
    const auto sealer = *rc::gen::inRange<std::size_t>(0, engines_.size());
    const auto count = *rc::gen::inRange<std::size_t>(1, AeadBatch::kCapacity + 1);
    // One algorithm per batch as on a line, or all mixed.
    const bool mixed = *rc::gen::arbitrary<bool>();
    const auto only = *rc::gen::inRange<std::size_t>(0, kAlgorithmCount);
    std::vector<TestPacket> packets;
    std::vector<Octets> secrets;
    for (std::size_t i = 0; i < count; ++i) {
      const auto which = mixed ? random() % kAlgorithmCount : only;
      const AlgorithmInfo& facts = all_algorithms()[which];
      const std::uint32_t length =
          static_cast<std::uint32_t>(random() % 3 == 0 ? random() % 9217 : random() % 300);
      const auto aad =
          static_cast<std::uint32_t>(facts.cipher == Cipher::aes_gmac ? length : 1 + random() % 80);
      packets.emplace_back(facts.algorithm, aad, fitting_length(facts, length), random);
      secrets.push_back(random_octets(random, facts.key_length()));
    }
    const std::vector<TestPacket> before = packets;
    auto batch = std::make_unique<AeadBatch>();
    const auto run = [&](Engine& engine, Direction direction) {
      std::vector<std::unique_ptr<AeadKey>> keys;
      batch->reset(direction);
      for (std::size_t i = 0; i < count; ++i) {
        auto key = engine.make_key(packets[i].algorithm, SecretBytes(secrets[i]));
        RC_ASSERT(key.has_value());
        keys.push_back(std::move(*key));
        packets[i].fill(batch->add(), keys.back().get());
      }
      RC_ASSERT(finish(engine, *batch));
      RC_ASSERT(batch->pending == 0);
    };
    run(*engines_[sealer].engine, Direction::seal);
    for (std::size_t i = 0; i < count; ++i) RC_ASSERT(batch->ops[i].status == OpStatus::ok);
    const std::vector<TestPacket> sealed = packets;
    const std::size_t broken = random() % count;
    for (const Named& opener : engines_) {
      packets = sealed;
      // One packet of the batch is spoilt, in any octet from the AAD to the ICV.
      const std::size_t span = packets[broken].aad_length + packets[broken].iv_length +
                               packets[broken].length + info(packets[broken].algorithm).icv_length;
      packets[broken].aad()[random() % span] ^= static_cast<std::uint8_t>(1U << (random() % 8));
      run(*opener.engine, Direction::open);
      for (std::size_t i = 0; i < count; ++i) {
        TestPacket original = before[i];
        RC_ASSERT(packets[i].guard() == original.guard());
        if (i == broken) {
          RC_ASSERT(batch->ops[i].status == OpStatus::bad_tag);
          const Octets data = packets[i].plain();
          RC_ASSERT(!info(packets[i].algorithm).confidential ||
                    std::all_of(data.begin(), data.end(), [](auto octet) { return octet == 0; }));
        } else {
          RC_ASSERT(batch->ops[i].status == OpStatus::ok);
          RC_ASSERT(packets[i].plain() == original.plain());
        }
      }
    }
  });
  EXPECT_TRUE(held);
}

// Lengths around every block and lane boundary, one packet alone, AAD from 0: the same octets from
// every engine.
TEST_F(Engines, SealTheSameOctetsAtEveryLength) {
  for (const AlgorithmInfo& facts : all_algorithms()) {
    const Octets secret = random_octets(random_, facts.key_length());
    std::vector<std::unique_ptr<AeadKey>> keys;
    for (const Named& one : engines_) {
      keys.push_back(*one.engine->make_key(facts.algorithm, SecretBytes(secret)));
    }
    std::set<std::pair<std::uint32_t, std::uint32_t>> done;
    for (std::uint32_t length = 0; length <= 300; ++length) {
      const std::uint32_t data = fitting_length(facts, length);
      const std::uint32_t aad =
          facts.cipher == Cipher::aes_gmac ? length : (facts.aead ? length % 65 : 8);
      if (!done.emplace(aad, data).second) continue;
      const TestPacket original(facts.algorithm, aad, data, random_);
      TestPacket expected = original;
      ASSERT_EQ(run_one(*engines_[0].engine, keys[0].get(), expected, Direction::seal),
                OpStatus::ok);
      for (std::size_t i = 1; i < engines_.size(); ++i) {
        TestPacket packet = original;
        ASSERT_EQ(run_one(*engines_[i].engine, keys[i].get(), packet, Direction::seal),
                  OpStatus::ok);
        ASSERT_EQ(packet.memory, expected.memory)
            << engines_[i].name << ' ' << facts.name << " aad " << aad << " data " << data;
      }
    }
  }
}

TEST_F(Engines, TheLongestOperationWorksAndOneOctetMoreIsRefused) {
  for (const Named& one : engines_) {
    for (const AlgorithmInfo& facts : all_algorithms()) {
      const auto key = *one.engine->make_key(
          facts.algorithm, SecretBytes(random_octets(random_, facts.key_length())));
      const bool gmac = facts.cipher == Cipher::aes_gmac;
      for (const std::uint32_t over : {0U, 1U}) {
        const std::uint32_t total =
            kMaxOpOctets + (facts.cipher == Cipher::aes_cbc ? 16 * over : over);
        const std::uint32_t data = gmac ? 0 : fitting_length(facts, total - 8);
        TestPacket packet(facts.algorithm, total - data, data, random_);
        const TestPacket original = packet;
        const OpStatus status = run_one(*one.engine, key.get(), packet, Direction::seal);
        if (over != 0) {
          EXPECT_EQ(status, OpStatus::error) << one.name << ' ' << facts.name;
          continue;
        }
        ASSERT_EQ(status, OpStatus::ok) << one.name << ' ' << facts.name;
        const TestPacket sealed = packet;
        ASSERT_EQ(run_one(*one.engine, key.get(), packet, Direction::open), OpStatus::ok);
        TestPacket plain = original;
        EXPECT_EQ(packet.plain(), plain.plain());
        packet = sealed;
        packet.tag()[info(packet.algorithm).icv_length - 1] ^= 0x80;
        EXPECT_EQ(run_one(*one.engine, key.get(), packet, Direction::open), OpStatus::bad_tag);
      }
    }
  }
}

TEST_F(Engines, RefuseKeysOfAnotherLength) {
  for (const Named& one : engines_) {
    for (const AlgorithmInfo& facts : all_algorithms()) {
      for (const std::size_t length : {std::size_t{0}, facts.key_length() - 1,
                                       facts.key_length() + 1, facts.key_length() + 4}) {
        const auto key = one.engine->make_key(facts.algorithm, SecretBytes(length));
        ASSERT_FALSE(key.has_value()) << one.name << ' ' << facts.name << ' ' << length;
        EXPECT_EQ(key.error().id, "SW-CRY-020");
      }
    }
  }
}

// An ill-formed operation is an error of its own, in any engine; its neighbours in the batch are
// done.
TEST_F(Engines, AnswerErrorToIllFormedOperations) {
  const auto other = *make_openssl_factory("provider=default")->get()->make();
  for (const Named& one : engines_) {
    for (const AlgorithmInfo& facts : all_algorithms()) {
      const Octets secret = random_octets(random_, facts.key_length());
      const auto key = *one.engine->make_key(facts.algorithm, SecretBytes(secret));
      const auto foreign = *other->make_key(facts.algorithm, SecretBytes(secret));
      const std::uint32_t data = fitting_length(facts, 64);
      using Spoil = void (*)(AeadOp&);
      std::vector<std::pair<const char*, Spoil>> spoils{
          {"no key", [](AeadOp& op) { op.key = nullptr; }},
          {"no tag", [](AeadOp& op) { op.tag = nullptr; }},
          {"no aad", [](AeadOp& op) { op.aad = nullptr; }},
          {"huge length", [](AeadOp& op) { op.length = 0xFFFFFFF0; }},
          {"huge aad", [](AeadOp& op) { op.aad_length = 0xFFFFFFF8; }},
          {"sum wraps", [](AeadOp& op) { op.length = op.aad_length = 0x80000000; }},
      };
      if (facts.cipher == Cipher::aes_gmac) {
        spoils.emplace_back("gmac with data", [](AeadOp& op) { op.length = 16; });
      } else {
        spoils.emplace_back("no data", [](AeadOp& op) { op.data = nullptr; });
      }
      if (facts.cipher == Cipher::aes_cbc) {
        spoils.emplace_back("no data at all", [](AeadOp& op) {
          op.length = 0;
          op.tag = op.data;
        });
        spoils.emplace_back("not whole blocks", [](AeadOp& op) {
          op.length -= 1;
          op.tag -= 1;
        });
        spoils.emplace_back("gap before data", [](AeadOp& op) { op.aad_length -= 1; });
      }
      if (!facts.aead) {
        spoils.emplace_back("tag elsewhere", [](AeadOp& op) { op.tag += 1; });
      }
      for (const Direction direction : {Direction::seal, Direction::open}) {
        for (std::size_t spoil = 0; spoil <= spoils.size(); ++spoil) {
          TestPacket good(facts.algorithm, 8, data, random_);
          TestPacket bad(facts.algorithm, 8, data, random_);
          TestPacket last(facts.algorithm, 8, data, random_);
          if (direction == Direction::open) {
            ASSERT_EQ(run_one(*one.engine, key.get(), good, Direction::seal), OpStatus::ok);
            ASSERT_EQ(run_one(*one.engine, key.get(), last, Direction::seal), OpStatus::ok);
          }
          const Octets before = bad.memory;
          AeadBatch batch;
          batch.reset(direction);
          good.fill(batch.add(), key.get());
          bad.fill(batch.add(), spoil == spoils.size() ? foreign.get() : key.get());
          last.fill(batch.add(), key.get());
          const char* what = "key of another engine";
          if (spoil < spoils.size()) {
            what = spoils[spoil].first;
            spoils[spoil].second(batch.ops[1]);
          }
          ASSERT_TRUE(finish(*one.engine, batch));
          EXPECT_EQ(batch.ops[0].status, OpStatus::ok)
              << one.name << ' ' << facts.name << ' ' << what;
          EXPECT_EQ(batch.ops[1].status, OpStatus::error)
              << one.name << ' ' << facts.name << ' ' << what;
          EXPECT_EQ(batch.ops[2].status, OpStatus::ok)
              << one.name << ' ' << facts.name << ' ' << what;
          EXPECT_EQ(bad.memory, before) << one.name << ' ' << facts.name << ' ' << what;
        }
      }
    }
  }
}

TEST_F(Engines, EmptyBatchIsDone) {
  for (const Named& one : engines_) {
    AeadBatch batch;
    batch.reset(Direction::seal);
    one.engine->submit(batch);
    EXPECT_TRUE(one.engine->poll(batch)) << one.name;
  }
}

// The ESN's high word counts in the ICV although it is not sent, and the received ICV is left as it
// was.
TEST_F(Engines, EsnHighWordIsAuthenticated) {
  for (const Named& one : engines_) {
    for (const AlgorithmInfo& facts : all_algorithms()) {
      if (facts.aead) continue;
      const auto key = *one.engine->make_key(
          facts.algorithm, SecretBytes(random_octets(random_, facts.key_length())));
      TestPacket packet(facts.algorithm, 8, 64, random_);
      packet.append_esn_high = true;
      ASSERT_EQ(run_one(*one.engine, key.get(), packet, Direction::seal), OpStatus::ok);
      const TestPacket sealed = packet;
      packet.esn_high += 1;
      EXPECT_EQ(run_one(*one.engine, key.get(), packet, Direction::open), OpStatus::bad_tag)
          << one.name << ' ' << facts.name;
      packet = sealed;
      packet.append_esn_high = false;
      EXPECT_EQ(run_one(*one.engine, key.get(), packet, Direction::open), OpStatus::bad_tag);
      packet = sealed;
      EXPECT_EQ(run_one(*one.engine, key.get(), packet, Direction::open), OpStatus::ok);
      TestPacket before = sealed;
      EXPECT_TRUE(std::equal(packet.tag(), packet.tag() + facts.icv_length, before.tag()));
    }
  }
}

// The same plaintext under one key, sequence after sequence: no wire IV and no first block comes
// twice, and no IV is the counter itself.
TEST_F(Engines, CbcIvsAreUniqueAndNotTheCounter) {
  for (const Named& one : engines_) {
    const auto key = *one.engine->make_key(Algorithm::aes_cbc_128_hmac_sha256_128,
                                           SecretBytes(random_octets(random_, 48)));
    std::set<Octets> ivs;
    std::set<Octets> blocks;
    const TestPacket original(Algorithm::aes_cbc_128_hmac_sha256_128, 8, 64, random_);
    for (std::uint64_t sequence = 1; sequence <= 300; ++sequence) {
      TestPacket packet = original;
      nonce::cbc_counter_block(Spi(0x1000), SeqNo(sequence), packet.iv);
      ASSERT_EQ(run_one(*one.engine, key.get(), packet, Direction::seal), OpStatus::ok);
      const Octets iv(packet.data() - 16, packet.data());
      EXPECT_NE(iv, Octets(packet.iv, packet.iv + 16));
      EXPECT_TRUE(ivs.insert(iv).second);
      EXPECT_TRUE(blocks.insert(Octets(packet.data(), packet.data() + 16)).second);
    }
  }
}

// Keys are made once and used by any instance, at the same time.
TEST_F(Engines, InstancesShareKeys) {
  for (const Named& one : engines_) {
    auto second = one.factory->make();
    ASSERT_TRUE(second.has_value());
    std::vector<std::unique_ptr<AeadKey>> keys;
    for (const AlgorithmInfo& facts : all_algorithms()) {
      keys.push_back(*one.engine->make_key(
          facts.algorithm, SecretBytes(random_octets(random_, facts.key_length()))));
    }
    const auto work = [&](Engine& engine, std::uint64_t seed, int& wrong) {
      std::mt19937_64 random(seed);
      for (int i = 0; i < 300; ++i) {
        const AlgorithmInfo& facts = all_algorithms()[random() % kAlgorithmCount];
        const AeadKey* key = keys[static_cast<std::size_t>(facts.algorithm)].get();
        TestPacket packet(facts.algorithm, 8,
                          fitting_length(facts, static_cast<std::uint32_t>(random() % 600)),
                          random);
        const TestPacket original = packet;
        const bool good = run_one(engine, key, packet, Direction::seal) == OpStatus::ok &&
                          run_one(engine, key, packet, Direction::open) == OpStatus::ok &&
                          packet.plain() == TestPacket(original).plain();
        if (!good) ++wrong;
      }
    };
    int wrong[2] = {};
    std::thread first([&] { work(*one.engine, 1, wrong[0]); });
    std::thread other([&] { work(**second, 2, wrong[1]); });
    first.join();
    other.join();
    EXPECT_EQ(wrong[0] + wrong[1], 0) << one.name;
  }
}

TEST(OpenSslFactory, RefusesAPropertyQueryThatYieldsNothing) {
  const auto factory = make_openssl_factory("provider=nonesuch");
  ASSERT_FALSE(factory.has_value());
  EXPECT_EQ(factory.error().id, "SW-CRY-024");
}

TEST(AutoFactory, MakesNothingOfCandidatesThatThePlanDoesNotName) {
  std::vector<std::unique_ptr<EngineFactory>> candidates;
  candidates.push_back(*make_openssl_factory());
  candidates.push_back(*make_ipsec_mb_factory());
  candidates.push_back(*make_ipsec_mb_factory(IpsecMbCode::sse));
  auto factory = *make_auto_factory(std::move(candidates), plan_without_the_first);
  std::vector<std::unique_ptr<Engine>> engines;  // more than OpenSSL would make
  for (unsigned i = 0; i <= kMaxOpenSslInstances; ++i) {
    auto engine = factory->make();
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    engines.push_back(std::move(*engine));
  }
}

TEST(OpenSslFactory, CountsItsInstances) {
  auto factory = *make_openssl_factory("provider=default,?fips=no");
  std::vector<std::unique_ptr<Engine>> engines;
  for (unsigned i = 0; i < kMaxOpenSslInstances; ++i) engines.push_back(*factory->make());
  EXPECT_EQ(factory->make().error().id, "SW-CRY-023");
  engines.pop_back();
  EXPECT_TRUE(factory->make().has_value());
}

TEST(AutoFactory, RefusesUnsoundPlans) {
  const auto with = [](const Planner& planner) {
    std::vector<std::unique_ptr<EngineFactory>> candidates;
    candidates.push_back(*make_openssl_factory());
    return make_auto_factory(std::move(candidates), planner);
  };
  const auto beyond = with([](const auto& engines) {
    EnginePlan plan = EnginePlan::first_that_supports(engines);
    plan.choose(Algorithm::aes_gcm_128, Direction::open, SizeClass::large, 1);
    return plan;
  });
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.error().id, "SW-CRY-032");
  const auto partial = with([](const auto& engines) {
    EnginePlan plan = EnginePlan::first_that_supports(engines);
    plan.choose(Algorithm::aes_gcm_128, Direction::open, SizeClass::large, EnginePlan::kNone);
    return plan;
  });
  ASSERT_FALSE(partial.has_value());
  EXPECT_EQ(partial.error().id, "SW-CRY-032");
  EXPECT_EQ(make_auto_factory(std::vector<std::unique_ptr<EngineFactory>>{}).error().id,
            "SW-CRY-032");
}

TEST(AutoFactory, DoesWithoutWhatNoCandidateSupports) {
  std::vector<std::unique_ptr<EngineFactory>> candidates;
  candidates.push_back(*make_openssl_factory());
  auto factory = *make_auto_factory(std::move(candidates), [](const auto& engines) {
    EnginePlan plan = EnginePlan::first_that_supports(engines);
    for (const Direction direction : {Direction::seal, Direction::open}) {
      for (const SizeClass size : {SizeClass::small, SizeClass::medium, SizeClass::large}) {
        plan.choose(Algorithm::chacha20_poly1305, direction, size, EnginePlan::kNone);
      }
    }
    return plan;
  });
  const auto engine = *factory->make();
  EXPECT_FALSE(engine->supports(Algorithm::chacha20_poly1305));
  EXPECT_EQ(engine->make_key(Algorithm::chacha20_poly1305, SecretBytes(32)).error().id,
            "SW-CRY-021");
  EXPECT_TRUE(engine->supports(Algorithm::aes_gcm_256));
}

TEST(AutoFactory, MeasuresEveryCandidateAndTakesTheFastest) {
  std::vector<std::unique_ptr<EngineFactory>> factories;
  factories.push_back(*make_openssl_factory());
  factories.push_back(*make_ipsec_mb_factory());
  std::vector<std::unique_ptr<Engine>> engines;
  for (const auto& factory : factories) engines.push_back(*factory->make());
  Measurement measurement;
  const EnginePlan plan = plan_by_measuring(engines, measurement);
  EXPECT_EQ(measurement.candidates, (std::vector<std::string>{"openssl", "ipsec-mb"}));
  ASSERT_EQ(measurement.costs.size(), kAlgorithmCount * 2 * kSizeClassCount);
  for (const EngineCost& cost : measurement.costs) {
    ASSERT_EQ(cost.nanoseconds.size(), 2u);
    EXPECT_GT(cost.nanoseconds[0], 0);
    EXPECT_GT(cost.nanoseconds[1], 0);
    // The first is kept unless the second is clearly faster.
    EXPECT_EQ(cost.chosen, cost.nanoseconds[1] < 0.97 * cost.nanoseconds[0] ? 1 : 0);
    EXPECT_EQ(plan.choice(cost.algorithm, cost.direction, cost.size), cost.chosen);
  }
}

TEST(AutoFactory, TakesOverAnEarlierMeasurementOfThisMachineOnly) {
  std::vector<std::unique_ptr<EngineFactory>> factories;
  factories.push_back(*make_batch_gcm_factory());
  factories.push_back(*make_openssl_factory());
  std::vector<std::unique_ptr<Engine>> engines;
  for (const auto& factory : factories) engines.push_back(*factory->make());
  Measurement measurement;
  const EnginePlan plan = plan_by_measuring(engines, measurement);
  const auto known = plan_of(measurement, engines);
  ASSERT_TRUE(known.has_value());
  for (const EngineCost& cost : measurement.costs)
    EXPECT_EQ(known->choice(cost.algorithm, cost.direction, cost.size),
              plan.choice(cost.algorithm, cost.direction, cost.size));

  const auto refused = [&](auto&& change) {
    Measurement other = measurement;
    change(other);
    return !plan_of(other, engines).has_value();
  };
  const auto of_chacha = [](Measurement& m) -> EngineCost& {
    return *std::find_if(m.costs.begin(), m.costs.end(), [](const EngineCost& cost) {
      return cost.algorithm == Algorithm::chacha20_poly1305;
    });
  };
  EXPECT_TRUE(refused([](Measurement& m) { m = {}; }));
  EXPECT_TRUE(refused([](Measurement& m) { m.machine += "+"; }));
  EXPECT_TRUE(refused([](Measurement& m) { m.candidates.pop_back(); }));
  EXPECT_TRUE(refused([](Measurement& m) { std::swap(m.candidates[0], m.candidates[1]); }));
  EXPECT_TRUE(refused([](Measurement& m) { m.costs.pop_back(); }));
  EXPECT_TRUE(refused([&](Measurement& m) { of_chacha(m).chosen = 0; })) << "batch-gcm has none";
  EXPECT_TRUE(refused([&](Measurement& m) { of_chacha(m).chosen = 2; }));
  EXPECT_TRUE(refused([&](Measurement& m) { of_chacha(m).chosen = EnginePlan::kNone; }));
}

TEST(SoftwareFactory, KnowsItsNames) {
  for (const char* name : {"auto", "ipsec-mb", "openssl"}) {
    const auto factory = make_software_factory(name);
    ASSERT_TRUE(factory.has_value()) << name;
    EXPECT_EQ((*factory)->name(), name);
    EXPECT_EQ((*(*factory)->make())->name(), name);
  }
  EXPECT_EQ(make_software_factory("crypto_null").error().id, "SW-CRY-033");
}

}  // namespace
}  // namespace sealwire::crypto
