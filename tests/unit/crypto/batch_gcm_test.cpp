// Every kernel against OpenSSL, called directly: lengths, AAD, alignment, mixed batches, wrong
// tags.
#include "crypto/engines/batch_gcm.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace sealwire::crypto {
namespace {

using Octets = std::vector<std::uint8_t>;

const EVP_CIPHER* cipher_of(Algorithm algorithm) {
  switch (info(algorithm).cipher_key_length) {
    case 16:
      return EVP_aes_128_gcm();
    case 24:
      return EVP_aes_192_gcm();
    default:
      return EVP_aes_256_gcm();
  }
}

// What OpenSSL makes of it: ciphertext and tag.
Octets openssl_seal(Algorithm algorithm, const Octets& key, const std::uint8_t* nonce,
                    const Octets& aad, Octets data) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int n = 0;
  EXPECT_EQ(EVP_EncryptInit_ex(context, cipher_of(algorithm), nullptr, key.data(), nonce), 1);
  if (!aad.empty())
    EVP_EncryptUpdate(context, nullptr, &n, aad.data(), static_cast<int>(aad.size()));
  if (!data.empty())
    EVP_EncryptUpdate(context, data.data(), &n, data.data(), static_cast<int>(data.size()));
  std::uint8_t rest[16], tag[16];
  EXPECT_EQ(EVP_EncryptFinal_ex(context, rest, &n), 1);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, tag);
  EVP_CIPHER_CTX_free(context);
  data.insert(data.end(), tag, tag + 16);
  return data;
}

class BatchGcm : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    auto factory = make_batch_gcm_factory(GetParam());
    ASSERT_TRUE(factory);
    auto engine = (*factory)->make();
    ASSERT_TRUE(engine);
    engine_ = std::move(*engine);
  }

  Octets random(std::size_t n) {
    Octets octets(n);
    for (auto& octet : octets) octet = static_cast<std::uint8_t>(random_());
    return octets;
  }

  // One packet of a batch: data and tag lie `shift` octets off alignment, between guards.
  struct Case {
    Octets key, aad, clear, sealed, buffer;
    std::size_t shift;
    std::unique_ptr<AeadKey> engine_key;
  };
  static constexpr std::size_t kGuard = 64;
  static constexpr std::uint8_t kGuardOctet = 0xa5;

  Case make_case(Algorithm algorithm, std::size_t length, std::size_t aad_length, AeadOp& op) {
    Case made{random(info(algorithm).cipher_key_length),
              random(aad_length),
              random(length),
              {},
              {},
              random_() % 16,
              {}};
    made.engine_key = std::move(*engine_->make_key(algorithm, SecretBytes(made.key), {}));
    const Octets nonce = random(12);
    made.sealed = openssl_seal(algorithm, made.key, nonce.data(), made.aad, made.clear);
    made.buffer.assign(kGuard + made.shift + length + 16 + kGuard, kGuardOctet);
    if (length != 0) {
      std::memcpy(made.buffer.data() + kGuard + made.shift, made.clear.data(), length);
    }
    std::memcpy(op.iv, nonce.data(), 12);
    op.key = made.engine_key.get();
    op.length = static_cast<std::uint32_t>(length);
    op.aad_length = static_cast<std::uint32_t>(aad_length);
    return made;
  }

  static void point(Case& made, AeadOp& op) {
    op.data = made.buffer.data() + kGuard + made.shift;
    op.tag = op.data + made.clear.size();
    op.aad = made.aad.data();
  }

  void run(AeadBatch& batch, Direction direction) {
    batch.direction = direction;
    for (std::uint16_t i = 0; i < batch.count; ++i) batch.ops[i].status = OpStatus::pending;
    engine_->submit(batch);
    ASSERT_TRUE(engine_->poll(batch));
  }

  static void expect_guards(const Case& made) {
    for (std::size_t i = 0; i < kGuard + made.shift; ++i) ASSERT_EQ(made.buffer[i], kGuardOctet);
    for (std::size_t i = made.buffer.size() - kGuard; i < made.buffer.size(); ++i)
      ASSERT_EQ(made.buffer[i], kGuardOctet);
  }

  // Seals and opens a batch of the given lengths, each packet with a key of its own, and compares
  // with OpenSSL.
  void round_trip(Algorithm algorithm,
                  const std::vector<std::pair<std::size_t, std::size_t>>& lengths) {
    AeadBatch batch;
    std::vector<Case> cases;
    for (const auto& [length, aad_length] : lengths)
      cases.push_back(make_case(algorithm, length, aad_length, batch.add()));
    for (std::uint16_t i = 0; i < batch.count; ++i) point(cases[i], batch.ops[i]);
    run(batch, Direction::seal);
    for (std::uint16_t i = 0; i < batch.count; ++i) {
      const Case& made = cases[i];
      ASSERT_EQ(batch.ops[i].status, OpStatus::ok);
      ASSERT_EQ(std::memcmp(batch.ops[i].data, made.sealed.data(), made.sealed.size()), 0)
          << info(algorithm).name << " length " << made.clear.size() << " aad " << made.aad.size();
      expect_guards(made);
    }
    run(batch, Direction::open);
    for (std::uint16_t i = 0; i < batch.count; ++i) {
      ASSERT_EQ(batch.ops[i].status, OpStatus::ok);
      if (!cases[i].clear.empty()) {
        ASSERT_EQ(std::memcmp(batch.ops[i].data, cases[i].clear.data(), cases[i].clear.size()), 0);
      }
      expect_guards(cases[i]);
    }
  }

  std::mt19937 random_{20240713};
  std::unique_ptr<Engine> engine_;
};

constexpr Algorithm kGcm[] = {Algorithm::aes_gcm_128, Algorithm::aes_gcm_192,
                              Algorithm::aes_gcm_256};

TEST_P(BatchGcm, EveryLengthTo2048) {
  for (const Algorithm algorithm : kGcm) {
    for (std::size_t from = 0; from <= 2048; from += 64) {
      std::vector<std::pair<std::size_t, std::size_t>> lengths;
      for (std::size_t i = 0; i < 64; ++i) lengths.emplace_back(from + i, i % 2 ? 8 : 28);
      round_trip(algorithm, lengths);
    }
  }
}

TEST_P(BatchGcm, EveryAadLengthTo64AndLongOnes) {
  for (const Algorithm algorithm : kGcm) {
    for (const std::size_t length : {0, 1, 52, 300, 1600}) {
      std::vector<std::pair<std::size_t, std::size_t>> lengths;
      for (std::size_t aad = 0; aad < 64; ++aad) lengths.emplace_back(length, aad);
      round_trip(algorithm, lengths);
      round_trip(algorithm, {{length, 64},
                             {length, 255},
                             {length, 256},
                             {length, 257},
                             {length, 511},
                             {length, 9018}});
    }
  }
}

TEST_P(BatchGcm, MixedSizesTo16K) {
  for (int i = 0; i < 20; ++i) {
    for (const Algorithm algorithm : kGcm) {
      std::vector<std::pair<std::size_t, std::size_t>> lengths;
      for (int j = 0; j < 32; ++j)
        lengths.emplace_back(random_() % (j % 4 ? 1500 : 16384), random_() % 33);
      round_trip(algorithm, lengths);
    }
  }
}

TEST_P(BatchGcm, MixedAlgorithmsInOneBatch) {
  AeadBatch batch;
  std::vector<Case> cases;
  for (std::size_t i = 0; i < 60; ++i)
    cases.push_back(make_case(kGcm[i % 3], 7 * i, 12, batch.add()));
  for (std::uint16_t i = 0; i < batch.count; ++i) point(cases[i], batch.ops[i]);
  run(batch, Direction::seal);
  for (std::uint16_t i = 0; i < batch.count; ++i)
    ASSERT_EQ(std::memcmp(batch.ops[i].data, cases[i].sealed.data(), cases[i].sealed.size()), 0);
}

TEST_P(BatchGcm, EveryFlippedBitOfTheTagAndAnyOfTheRestIsRefusedAndTheDataWiped) {
  for (const std::size_t length : {0, 33, 700}) {
    for (std::size_t bit = 0; bit < 8 * (16 + (length ? 2 : 0)); ++bit) {
      AeadBatch batch;
      Case made = make_case(Algorithm::aes_gcm_128, length, 12, batch.add());
      point(made, batch.ops[0]);
      std::memcpy(batch.ops[0].data, made.sealed.data(), made.sealed.size());
      std::uint8_t* target =
          bit < 128 ? batch.ops[0].tag + bit / 8 : batch.ops[0].data + (bit - 128) * 11 % length;
      *target = static_cast<std::uint8_t>(*target ^ (1u << (bit % 8)));
      run(batch, Direction::open);
      ASSERT_EQ(batch.ops[0].status, OpStatus::bad_tag) << "bit " << bit;
      for (std::size_t i = 0; i < length; ++i) ASSERT_EQ(batch.ops[0].data[i], 0);
    }
  }
}

TEST_P(BatchGcm, RefusesForeignKeysAndIllFormedOperations) {
  AeadBatch batch;
  Case made = make_case(Algorithm::aes_gcm_128, 40, 12, batch.add());
  point(made, batch.ops[0]);
  batch.ops[0].tag = nullptr;
  run(batch, Direction::seal);
  EXPECT_EQ(batch.ops[0].status, OpStatus::error);
  EXPECT_FALSE(engine_->make_key(Algorithm::chacha20_poly1305, SecretBytes(random(32)), {}));
  EXPECT_FALSE(engine_->make_key(Algorithm::aes_gcm_128, SecretBytes(random(17)), {}));
}

INSTANTIATE_TEST_SUITE_P(Kernels, BatchGcm, testing::ValuesIn(batch_gcm_kernels()),
                         [](const auto& kernel) { return std::string(kernel.param); });

TEST(BatchGcmFactory, NamesWhatThisProcessorCannotRun) {
  const auto none = make_batch_gcm_factory("abacus");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().id, "SW-CRY-050");
}

}  // namespace
}  // namespace sealwire::crypto
