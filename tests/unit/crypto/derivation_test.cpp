#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "crypto/kdf.h"
#include "crypto/key_wrap.h"

namespace sealwire::crypto {
namespace {

SecretBytes secret(const char* hex) { return *SecretBytes::from_hex(hex); }

std::vector<std::uint8_t> octets(const char* hex) {
  const SecretBytes bytes = secret(hex);
  return {bytes.view().begin(), bytes.view().end()};
}

std::string hex_of(std::span<const std::uint8_t> octets) {
  std::string hex;
  for (const std::uint8_t octet : octets) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[octet >> 4];
    hex += kDigits[octet & 15];
  }
  return hex;
}

// RFC 4493 section 4 and SP 800-38B.
TEST(AesCmac, PublishedVectors) {
  const SecretBytes key128 = secret("2b7e151628aed2a6abf7158809cf4f3c");
  const SecretBytes key192 = secret("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b");
  const SecretBytes key256 =
      secret("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  const auto message = octets(
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
      "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  const std::span<const std::uint8_t> all = message;
  EXPECT_EQ(hex_of(*aes_cmac(key128, {})), "bb1d6929e95937287fa37d129b756746");
  EXPECT_EQ(hex_of(*aes_cmac(key128, all.first(16))), "070a16b46b4d4144f79bdd9dd04a287c");
  EXPECT_EQ(hex_of(*aes_cmac(key128, all.first(40))), "dfa66747de9ae63030ca32611497c827");
  EXPECT_EQ(hex_of(*aes_cmac(key128, all)), "51f0bebf7e3b9d92fc49741779363cfe");
  EXPECT_EQ(hex_of(*aes_cmac(key192, all)), "a1d5df0eed790f794d77589659f39a11");
  EXPECT_EQ(hex_of(*aes_cmac(key256, all)), "e1992190549f6ed5696a2c056c315410");
}

TEST(AesCmac, RefusesOtherKeys) {
  for (const std::size_t length : {0U, 15U, 17U, 33U}) {
    EXPECT_EQ(aes_cmac(SecretBytes(length), {}).error().id, "SW-CRY-050");
  }
}

// Computed with python-cryptography's CMAC over the input strings that 802.1X-2020 §6.2.1 lays out.
TEST(Kdf, DerivesAsIndependentCode) {
  const auto ckn = octets("96437a93ccf10d9dfe347846cce52c7d");
  EXPECT_EQ(
      hex_of(kdf(secret("135bd758b0ee5c11c55ff6ab19fdb199"), "IEEE8021 KEK", ckn, 16)->view()),
      "8f5a384c15d6ae9302b462e363d03ca6");
  EXPECT_EQ(
      hex_of(kdf(secret("135bd758b0ee5c11c55ff6ab19fdb199"), "IEEE8021 ICK", ckn, 16)->view()),
      "8f1c5cb1c8ed2e5f047906e0473aad4d");
  EXPECT_EQ(hex_of(kdf(secret("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                       "IEEE8021 KEK", ckn, 32)
                       ->view()),
            "94521b882e277ac763e5633bc89294595e4b4ba32a582869182256a6a0b6c27d");
  EXPECT_EQ(hex_of(kdf(secret("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                       "IEEE8021 ICK", ckn, 32)
                       ->view()),
            "c55bee8fa02413f17f164c748a53f89222bbd3d379537a9f74a54caafb0bd1c3");
  EXPECT_EQ(hex_of(kdf(secret("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                       "IEEE8021 SAK", {}, 20)
                       ->view()),
            "744c835ddc38e6114c0f76c31dfecc9aeb1d3f4c");
}

TEST(Kdf, RefusesLengthsOutOfRange) {
  const SecretBytes key(16);
  EXPECT_EQ(kdf(key, "x", {}, 0).error().id, "SW-CRY-052");
  EXPECT_EQ(kdf(key, "x", {}, 4081).error().id, "SW-CRY-052");
  EXPECT_EQ(kdf(key, "x", {}, 4080)->size(), 4080U);
  EXPECT_EQ(kdf(SecretBytes(5), "x", {}, 16).error().id, "SW-CRY-050");
}

// RFC 3394 section 4.
TEST(KeyWrap, PublishedVectors) {
  struct Row {
    const char* kek;
    const char* key;
    const char* wrapped;
  };
  const Row rows[] = {
      {"000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF",
       "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
      {"000102030405060708090A0B0C0D0E0F1011121314151617", "00112233445566778899AABBCCDDEEFF",
       "96778b25ae6ca435f92b5b97c050aed2468ab8a17ad84e5d"},
      {"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
       "00112233445566778899AABBCCDDEEFF", "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"},
      {"000102030405060708090A0B0C0D0E0F1011121314151617",
       "00112233445566778899AABBCCDDEEFF0001020304050607",
       "031d33264e15d33268f24ec260743edce1c6c7ddee725a936ba814915c6762d2"},
      {"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
       "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
       "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(hex_of(*key_wrap(secret(row.kek), secret(row.key))), row.wrapped);
    const auto key = key_unwrap(secret(row.kek), octets(row.wrapped));
    ASSERT_TRUE(key.has_value());
    EXPECT_TRUE(key->equal(secret(row.key)));
  }
}

TEST(KeyWrap, RefusesWhatWasAltered) {
  const SecretBytes kek = secret("000102030405060708090A0B0C0D0E0F");
  const auto wrapped = *key_wrap(kek, SecretBytes(32));
  for (std::size_t i = 0; i < wrapped.size(); ++i) {
    auto altered = wrapped;
    altered[i] ^= 1;
    EXPECT_EQ(key_unwrap(kek, altered).error().id, "SW-CRY-062") << i;
  }
  EXPECT_EQ(key_unwrap(SecretBytes(16), wrapped).error().id, "SW-CRY-062");
}

TEST(KeyWrap, RefusesLengthsThatCannotBe) {
  const SecretBytes kek(16);
  EXPECT_EQ(key_wrap(SecretBytes(15), SecretBytes(16)).error().id, "SW-CRY-060");
  for (const std::size_t length : {0U, 8U, 15U, 17U, 4104U}) {
    EXPECT_EQ(key_wrap(kek, SecretBytes(length)).error().id, "SW-CRY-060") << length;
  }
  for (const std::size_t length : {0U, 8U, 16U, 23U, 25U}) {
    EXPECT_EQ(key_unwrap(kek, std::vector<std::uint8_t>(length)).error().id, "SW-CRY-060")
        << length;
  }
}

}  // namespace
}  // namespace sealwire::crypto
