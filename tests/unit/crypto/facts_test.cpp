#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "crypto/algorithm.h"
#include "crypto/nonce.h"
#include "crypto/numbers.h"
#include "crypto/secret_bytes.h"

namespace sealwire::crypto {
namespace {

std::string hex_of(std::span<const std::uint8_t> octets) {
  std::string hex;
  for (const std::uint8_t octet : octets) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[octet >> 4];
    hex += kDigits[octet & 15];
  }
  return hex;
}

TEST(Algorithm, NamesAreUniqueAndRoundTrip) {
  std::set<std::string_view> names;
  for (const AlgorithmInfo& facts : all_algorithms()) {
    EXPECT_TRUE(names.insert(facts.name).second) << facts.name;
    EXPECT_EQ(algorithm_from(facts.name), facts.algorithm);
    EXPECT_EQ(&info(facts.algorithm), &facts);
    EXPECT_LE(facts.icv_length, kMaxIcvLength);
  }
  for (const char* name : {"", "aes-gcm", "AES-GCM-128", "aes-gcm-128 ", "null"}) {
    EXPECT_EQ(algorithm_from(name), std::nullopt) << name;
  }
}

TEST(Algorithm, LengthsAreThoseOfTheRfcs) {
  const AlgorithmInfo& gcm = info(Algorithm::aes_gcm_256);
  EXPECT_EQ(gcm.key_length(), 32U);
  EXPECT_EQ(gcm.salt_length, 4);
  EXPECT_EQ(gcm.iv_length, 8);
  EXPECT_EQ(gcm.icv_length, 16);
  EXPECT_EQ(gcm.block_length, 4);
  const AlgorithmInfo& cbc = info(Algorithm::aes_cbc_192_hmac_sha384_192);
  EXPECT_EQ(cbc.cipher_key_length, 24);
  EXPECT_EQ(cbc.auth_key_length, 48);
  EXPECT_EQ(cbc.icv_length, 24);
  EXPECT_EQ(cbc.iv_length, 16);
  EXPECT_EQ(cbc.block_length, 16);
  EXPECT_FALSE(cbc.aead);
  const AlgorithmInfo& null = info(Algorithm::null_hmac_sha1_96);
  EXPECT_EQ(null.key_length(), 20U);
  EXPECT_EQ(null.icv_length, 12);
  EXPECT_EQ(null.iv_length, 0);
  EXPECT_FALSE(null.confidential);
  EXPECT_FALSE(info(Algorithm::aes_gmac_128).confidential);
}

static_assert(!std::is_copy_constructible_v<SecretBytes> &&
              !std::is_copy_assignable_v<SecretBytes>);
static_assert(std::is_nothrow_move_constructible_v<SecretBytes>);

TEST(SecretBytes, ReadsHex) {
  EXPECT_EQ(hex_of(SecretBytes::from_hex("00fFa5")->view()), "00ffa5");
  EXPECT_EQ(hex_of(SecretBytes::from_hex("00:ff-a5")->view()), "00ffa5");
  EXPECT_TRUE(SecretBytes::from_hex("")->empty());
  for (const char* bad :
       {"0", "abc", "zz", "0x12", "00::11", ":00", "00:", "0:0", "00 11", "0-0"}) {
    const auto secret = SecretBytes::from_hex(bad);
    ASSERT_FALSE(secret.has_value()) << bad;
    EXPECT_EQ(secret.error().id, "SW-CRY-001");
  }
}

TEST(SecretBytes, ErrorsDoNotHoldTheDigits) {
  const auto secret = SecretBytes::from_hex("deadbeefdeadbeefg0");
  ASSERT_FALSE(secret.has_value());
  EXPECT_EQ((secret.error().message + secret.error().remedy).find("deadbeef"), std::string::npos);
}

TEST(SecretBytes, MovesAndLeavesNothingBehind) {
  SecretBytes a = *SecretBytes::from_hex("0102");
  SecretBytes b = std::move(a);
  EXPECT_TRUE(
      a.empty());  // NOLINT(bugprone-use-after-move): what a moved-from secret holds is its promise
  EXPECT_EQ(hex_of(b.view()), "0102");
  a = std::move(b);
  EXPECT_TRUE(b.empty());  // NOLINT(bugprone-use-after-move)
  a.clear();
  EXPECT_TRUE(a.empty());
}

TEST(SecretBytes, WipeZeroes) {
  std::uint8_t memory[] = {1, 2, 3, 4};
  wipe(memory, 3);
  EXPECT_EQ(hex_of(memory), "00000004");
}

TEST(SecretBytes, ComparesAndCuts) {
  const SecretBytes key = *SecretBytes::from_hex("00112233");
  EXPECT_TRUE(key.equal(key.clone()));
  EXPECT_FALSE(key.equal(*SecretBytes::from_hex("00112234")));
  EXPECT_FALSE(key.equal(*SecretBytes::from_hex("001122")));
  EXPECT_TRUE(SecretBytes().equal(SecretBytes()));
  EXPECT_EQ(hex_of(key.slice(1, 2)->view()), "1122");
  EXPECT_TRUE(key.slice(4, 0)->empty());
  EXPECT_EQ(key.slice(3, 2).error().id, "SW-CRY-002");
  EXPECT_EQ(key.slice(5, 0).error().id, "SW-CRY-002");
  EXPECT_EQ(hex_of(key.concat(*SecretBytes::from_hex("ff")).view()), "00112233ff");
}

TEST(SecretBytes, FingerprintIsTheTruncatedHash) {
  // printf 'sealwire secret fingerprint v1\0\0\0\0\0\0\0\x02\x01\x02' | sha256sum
  const SecretBytes key = *SecretBytes::from_hex("0102");
  EXPECT_EQ(hex_of(key.fingerprint()), "5760b6fd4d5d5f103726fd7704670ee1");
  EXPECT_NE(key.fingerprint(), SecretBytes::from_hex("0103")->fingerprint());
  EXPECT_NE(SecretBytes::from_hex("00")->fingerprint(),
            SecretBytes::from_hex("0000")->fingerprint());
}

TEST(SecretBytes, RandomIsNotConstant) {
  const auto a = SecretBytes::random(32);
  const auto b = SecretBytes::random(32);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->size(), 32U);
  EXPECT_FALSE(a->equal(*b));
}

TEST(SecretBytes, OutgrowsTheLockedHeap) {
  std::vector<SecretBytes> secrets;
  for (int i = 0; i < 100; ++i) secrets.push_back(*SecretBytes::random(65'536));
  EXPECT_FALSE(secrets.front().equal(secrets.back()));
}

TEST(Numbers, PnSaturates) {
  EXPECT_EQ(Pn(5).next(), Pn(6));
  EXPECT_EQ(Pn(5).next(10), Pn(15));
  EXPECT_EQ(Pn(0xFFFFFFFF).next(), Pn(0x1'0000'0000));
  EXPECT_EQ(Pn(kMaxPn64 - 1).next(), Pn(kMaxPn64));
  EXPECT_EQ(Pn(kMaxPn64).next(), Pn(kMaxPn64));
  EXPECT_EQ(Pn(kMaxPn64 - 3).next(100), Pn(kMaxPn64));
  EXPECT_EQ(SeqNo(kMaxPn64).next(), SeqNo(kMaxPn64));
  EXPECT_EQ(Pn(0x12345678'9abcdef0).high(), 0x12345678U);
  EXPECT_EQ(Pn(0x12345678'9abcdef0).low(), 0x9abcdef0U);
}

TEST(Numbers, AnIsTwoBits) {
  EXPECT_EQ(An(3).next(), An(0));
  EXPECT_EQ(An(7), An(3));
  EXPECT_EQ(An(0).next(), An(1));
}

static_assert(!std::is_convertible_v<std::uint32_t, Spi> && !std::is_convertible_v<Pn, SeqNo>);

TEST(Nonce, MacsecIsSciThenPn) {
  std::uint8_t out[12];
  nonce::macsec(Sci(0xf0761e8dcd3d0001), Pn(0x76d457ed), out);
  EXPECT_EQ(hex_of(out), "f0761e8dcd3d000176d457ed");
}

TEST(Nonce, XpnIsSsciThenPnXorSalt) {
  const nonce::XpnSalt salt{0xe6, 0x30, 0xe8, 0x1a, 0x48, 0xde, 0x86, 0xa2, 0x1c, 0x66, 0xfa, 0x6d};
  std::uint8_t out[12];
  nonce::macsec_xpn(Ssci(0x7a30c118), Pn(0xb0df459c'76d457ed), salt, out);
  EXPECT_EQ(hex_of(out), "9c002902f801c33e6ab2ad80");
}

TEST(Nonce, EspIsSaltThenIv) {
  const nonce::EspSalt salt{1, 2, 3, 4};
  std::uint8_t iv[8];
  nonce::esp_iv(SeqNo(0x0506070809101112), iv);
  EXPECT_EQ(hex_of(iv), "0506070809101112");
  std::uint8_t out[12];
  nonce::esp(salt, iv, out);
  EXPECT_EQ(hex_of(out), "010203040506070809101112");
}

TEST(Nonce, CbcCounterBlockIsUniquePerSequence) {
  std::uint8_t out[16];
  nonce::cbc_counter_block(Spi(0x01020304), SeqNo(0x1122334455667788), out);
  EXPECT_EQ(hex_of(out), "01020304000000001122334455667788");
}

TEST(Nonce, MkaSaltFoldsTheKeyNumberIn) {
  const std::uint8_t mi[12] = {0, 0, 0, 0, 5, 6, 7, 8, 9, 10, 11, 12};
  EXPECT_EQ(hex_of(nonce::mka_xpn_salt(mi, 0xAABBCCDD)), "ccddaabb05060708090a0b0c");
}

}  // namespace
}  // namespace sealwire::crypto
