#include "crypto/self_test.h"

#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <vector>

#include "crypto/engines/auto.h"
#include "crypto/engines/ipsec_mb.h"

namespace sealwire::crypto {
namespace {

std::unique_ptr<Engine> engine_called(const std::string& name) {
  auto factory = make_software_factory(name);
  if (!factory) {
    ADD_FAILURE() << factory.error().message;
    return nullptr;
  }
  auto engine = (*factory)->make();
  if (!engine) {
    ADD_FAILURE() << engine.error().message;
    return nullptr;
  }
  return std::move(*engine);
}

class SelfTest : public testing::TestWithParam<const char*> {};

TEST_P(SelfTest, PassesOnEveryAlgorithm) {
  const auto engine = engine_called(GetParam());
  ASSERT_NE(engine, nullptr);
  for (const AlgorithmInfo& facts : all_algorithms()) {
    EXPECT_TRUE(engine->supports(facts.algorithm)) << facts.name;
  }
  const auto result = self_test(*engine);
  EXPECT_TRUE(result.has_value()) << result.error().message;
}

/// `hex` with its last digit changed.
std::string spoilt(std::string_view hex) {
  std::string wrong(hex);
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  return wrong;
}

TEST_P(SelfTest, FailsOnAnyWrongAnswer) {
  const auto engine = engine_called(GetParam());
  ASSERT_NE(engine, nullptr);
  for (const KnownAnswer& answer : known_answers()) {
    const std::string tag = spoilt(answer.tag);
    const std::string sealed = answer.sealed.empty() ? "" : spoilt(answer.sealed);
    const std::string aad = spoilt(answer.aad);
    std::vector<KnownAnswer> wrong(4, answer);
    wrong[0].tag = tag;
    wrong[1].aad = aad;
    if (answer.esn_high) {
      wrong[2].esn_high = *answer.esn_high + 1;
    } else {
      wrong.erase(wrong.begin() + 2);
    }
    if (sealed.empty()) {
      wrong.pop_back();
    } else {
      wrong.back().sealed = sealed;
    }
    for (const KnownAnswer& one : wrong) {
      const auto result = self_test(*engine, {&one, 1});
      ASSERT_FALSE(result.has_value()) << info(answer.algorithm).name;
      EXPECT_EQ(result.error().id, "SW-CRY-040");
      EXPECT_NE(result.error().message.find(info(answer.algorithm).name), std::string::npos);
    }
  }
}

TEST_P(SelfTest, FailsWithoutAnAnswerForASupportedAlgorithm) {
  const auto engine = engine_called(GetParam());
  ASSERT_NE(engine, nullptr);
  const auto result = self_test(*engine, known_answers().first(1));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().id, "SW-CRY-041");
}

INSTANTIATE_TEST_SUITE_P(Engines, SelfTest, testing::Values("ipsec-mb", "openssl", "auto"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(SelfTestOfIpsecMb, PassesInEveryCodeThisProcessorRuns) {
  for (const IpsecMbCode code :
       {IpsecMbCode::sse, IpsecMbCode::avx, IpsecMbCode::avx2, IpsecMbCode::avx512}) {
    auto factory = make_ipsec_mb_factory(code);
    if (!factory) {
      EXPECT_NE(code, IpsecMbCode::sse) << "x86-64-v2 with AES is the least that is supported";
      EXPECT_EQ(factory.error().id, "SW-CRY-030");
      std::cout << "this processor lacks ipsec-mb code " << static_cast<int>(code) << '\n';
      continue;
    }
    auto engine = (*factory)->make();
    ASSERT_TRUE(engine.has_value());
    const auto result = self_test(**engine);
    EXPECT_TRUE(result.has_value()) << result.error().message;
  }
}

/// Seals right but believes every tag: what the corrupted cases are for.
class Gullible final : public Engine {
 public:
  explicit Gullible(std::unique_ptr<Engine> real) : real_(std::move(real)) {}
  std::string_view name() const noexcept override { return "gullible"; }
  bool supports(Algorithm algorithm) const noexcept override { return real_->supports(algorithm); }
  Result<std::unique_ptr<AeadKey>> make_key(Algorithm algorithm, const SecretBytes& key,
                                            const KeyUse& use) override {
    return real_->make_key(algorithm, key, use);
  }
  void submit(AeadBatch& batch) noexcept override {
    real_->submit(batch);
    for (std::uint16_t i = 0; i < batch.count; ++i) batch.ops[i].status = OpStatus::ok;
  }
  bool poll(AeadBatch& batch) noexcept override { return real_->poll(batch); }

 private:
  std::unique_ptr<Engine> real_;
};

TEST(SelfTestOfAnEngine, CatchesOneThatAcceptsWrongTags) {
  Gullible engine(engine_called("openssl"));
  const auto result = self_test(engine);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().id, "SW-CRY-040");
  EXPECT_NE(result.error().message.find("corruption accepted"), std::string::npos);
}

}  // namespace
}  // namespace sealwire::crypto
