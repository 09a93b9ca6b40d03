// Published known answers through every engine: 802.1AE Annex C, RFC 4106 (its test cases), 7634,
// 4868 and 2202, NIST's GCM, CBC, CMAC and key wrap files, and Wycheproof where it lies next to the
// checkout.
//
// NIST's files come with Debian's python3-cryptography-vectors; without that package these tests
// fail.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "crypto/engines/auto.h"
#include "crypto/engines/ipsec_mb.h"
#include "crypto/kdf.h"
#include "crypto/key_wrap.h"
#include "crypto/nonce.h"

namespace sealwire::crypto {
namespace {

using Octets = std::vector<std::uint8_t>;

constexpr const char* kNist = "/usr/lib/python3/dist-packages/cryptography_vectors";

Octets octets(std::string_view hex) {
  const auto bytes = SecretBytes::from_hex(hex);
  if (!bytes) {
    ADD_FAILURE() << "not hex: " << hex;
    return {};
  }
  return {bytes->view().begin(), bytes->view().end()};
}

SecretBytes secret(const Octets& from) { return SecretBytes(std::span<const std::uint8_t>(from)); }

Octets operator+(Octets a, const Octets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::filesystem::path source_directory() {
  const char* top = std::getenv("SEALWIRE_SOURCE_DIR");
  return top == nullptr ? std::filesystem::current_path() : std::filesystem::path(top);
}

struct Named {
  std::string name;
  std::unique_ptr<Engine> engine;
};

const std::vector<Named>& engines() {
  static const std::vector<Named> made = [] {
    std::vector<Named> list;
    const auto add = [&](const std::string& name, Result<std::unique_ptr<EngineFactory>> factory) {
      if (!factory) {
        std::cout << name << " does not run on this processor\n";
        return;
      }
      list.push_back({name, *(*factory)->make()});
    };
    for (const char* name : {"openssl", "ipsec-mb", "batch-gcm", "auto"}) {
      add(name, make_software_factory(name));
    }
    add("ipsec-mb sse", make_ipsec_mb_factory(IpsecMbCode::sse));
    add("ipsec-mb avx", make_ipsec_mb_factory(IpsecMbCode::avx));
    add("ipsec-mb avx2", make_ipsec_mb_factory(IpsecMbCode::avx2));
    return list;
  }();
  return made;
}

/// One AEAD operation as published. For CBC and NULL: `iv` is the wire IV, and `sealed` does not
/// hold it.
struct Answer {
  Algorithm algorithm;
  Octets key, iv, aad, plain, sealed, tag;
  bool valid = true;
};

OpStatus run(Engine& engine, const AeadKey& key, const Answer& answer, Direction direction,
             Octets& memory) {
  AeadBatch batch;
  batch.reset(direction);
  AeadOp& op = batch.add();
  const Octets& data = direction == Direction::seal ? answer.plain : answer.sealed;
  const bool cbc = key.info().cipher == Cipher::aes_cbc;
  memory = answer.aad + (cbc ? answer.iv : Octets{}) + data + answer.tag;
  op.key = &key;
  op.aad = memory.data();
  op.aad_length = static_cast<std::uint32_t>(answer.aad.size());
  op.data = memory.data() + memory.size() - answer.tag.size() - data.size();
  op.length = static_cast<std::uint32_t>(data.size());
  op.tag = memory.data() + memory.size() - answer.tag.size();
  if (!cbc) std::copy(answer.iv.begin(), answer.iv.end(), op.iv);
  if (cbc && direction == Direction::seal) {
    // The counter block that the SA's cipher turns into the published IV.
    const char* names[] = {"AES-128-ECB", "AES-192-ECB", "AES-256-ECB"};
    EVP_CIPHER* ecb =
        EVP_CIPHER_fetch(nullptr, names[key.info().cipher_key_length / 8 - 2], nullptr);
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    int written = 0;
    EXPECT_EQ(EVP_DecryptInit_ex2(context, ecb, answer.key.data(), nullptr, nullptr), 1);
    EVP_CIPHER_CTX_set_padding(context, 0);
    EXPECT_EQ(EVP_DecryptUpdate(context, op.iv, &written, answer.iv.data(), 16), 1);
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(ecb);
  }
  if (direction == Direction::seal) {
    std::fill(op.tag, op.tag + answer.tag.size(), std::uint8_t{0xA5});
    if (cbc) std::fill(op.data - 16, op.data, std::uint8_t{0xA5});
  }
  engine.submit(batch);
  EXPECT_TRUE(engine.poll(batch));
  return op.status;
}

/// Both directions in every engine that supports it; a failed comparison names `what`.
void check(const Answer& answer, const std::string& what) {
  const bool cbc = info(answer.algorithm).cipher == Cipher::aes_cbc;
  const Octets head = answer.aad + (cbc ? answer.iv : Octets{});
  for (const Named& one : engines()) {
    if (!one.engine->supports(answer.algorithm)) continue;
    const auto key = one.engine->make_key(answer.algorithm, secret(answer.key));
    ASSERT_TRUE(key.has_value()) << one.name << ' ' << what;
    Octets memory;
    if (answer.valid) {
      ASSERT_EQ(run(*one.engine, **key, answer, Direction::seal, memory), OpStatus::ok)
          << one.name << ' ' << what;
      ASSERT_EQ(memory, head + answer.sealed + answer.tag) << one.name << ' ' << what;
    }
    const OpStatus opened = run(*one.engine, **key, answer, Direction::open, memory);
    ASSERT_EQ(opened, answer.valid ? OpStatus::ok : OpStatus::bad_tag) << one.name << ' ' << what;
    const Octets plain = answer.valid ? answer.plain : Octets(answer.sealed.size());
    const bool confidential = info(answer.algorithm).confidential;
    if (answer.valid || confidential) {
      ASSERT_EQ(memory, head + plain + answer.tag) << one.name << ' ' << what;
    }
  }
}

Algorithm gcm_of(std::size_t key_octets) {
  return key_octets == 16   ? Algorithm::aes_gcm_128
         : key_octets == 24 ? Algorithm::aes_gcm_192
                            : Algorithm::aes_gcm_256;
}
Algorithm gmac_of(std::size_t key_octets) {
  return key_octets == 16   ? Algorithm::aes_gmac_128
         : key_octets == 24 ? Algorithm::aes_gmac_192
                            : Algorithm::aes_gmac_256;
}

/// "NAME = value" records as NIST writes them: a record begins at `first`. Lines in brackets stay
/// in force as "[name".
std::vector<std::map<std::string, std::string>> records(const std::string& file,
                                                        const std::string& first) {
  std::ifstream in(std::string(kNist) + "/" + file);
  EXPECT_TRUE(in.is_open()) << "install python3-cryptography-vectors: " << file;
  std::vector<std::map<std::string, std::string>> all;
  std::map<std::string, std::string> section;
  const auto trimmed = [](std::string text) {
    text.erase(0, text.find_first_not_of(" \t\r"));
    text.erase(text.find_last_not_of(" \t\r") + 1);
    return text;
  };
  for (std::string line; std::getline(in, line);) {
    line = trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    const bool bracket = line[0] == '[';
    if (bracket) line = line.substr(1, line.size() - 2);
    const std::size_t equals = line.find('=');
    const std::string name = trimmed(line.substr(0, equals));
    const std::string value = equals == std::string::npos ? "" : trimmed(line.substr(equals + 1));
    if (bracket) {
      section["[" + name] = value;
      continue;
    }
    if (name == first) all.push_back(section);
    if (!all.empty()) all.back()[name] = value;
  }
  return all;
}

// Nonce, AAD and key as the frame's octets say; the pipelines' tests do the same frames as frames.
TEST(AnnexC, All32FramesBothWays) {
  std::ifstream file(source_directory() / "tests/vectors/annex_c.json");
  ASSERT_TRUE(file.is_open());
  const auto frames = nlohmann::json::parse(file);
  ASSERT_EQ(frames.size(), 32U);
  for (const auto& frame : frames) {
    const auto field = [&](const char* name) { return frame[name].get<std::string>(); };
    const auto number = [&](const char* name) { return std::stoull(field(name), nullptr, 16); };
    const Octets sealed = octets(field("protected"));
    const Octets plain = octets(field("plain"));
    const auto tci = static_cast<std::uint8_t>(number("tci_an"));
    const std::ptrdiff_t header = 12 + 8 + ((tci & 0x20) != 0 ? 8 : 0);
    Answer answer{};
    answer.key = octets(field("key"));
    answer.algorithm = gcm_of(answer.key.size());
    answer.iv.resize(nonce::kLength);
    if (frame["salt"].is_null()) {
      nonce::macsec(Sci(number("sci")), Pn(number("pn_lo")), answer.iv.data());
    } else {
      nonce::XpnSalt salt{};
      const Octets salt_octets = octets(field("salt"));
      std::copy(salt_octets.begin(), salt_octets.end(), salt.begin());
      nonce::macsec_xpn(Ssci(static_cast<std::uint32_t>(number("ssci"))),
                        Pn(number("pn_hi") << 32 | number("pn_lo")), salt, answer.iv.data());
    }
    answer.tag.assign(sealed.end() - 16, sealed.end());
    if ((tci & 0x08) != 0) {
      answer.aad.assign(sealed.begin(), sealed.begin() + header);
      answer.sealed.assign(sealed.begin() + header, sealed.end() - 16);
      answer.plain.assign(plain.begin() + 12, plain.end());
    } else {
      answer.aad.assign(sealed.begin(), sealed.end() - 16);
    }
    check(answer, field("name"));
  }
}

// draft-mcgrew-gcm-test-01, test case 1: RFC 4106 with ESN. RFC 7634 Appendix A.
TEST(Esp, AeadTestCases) {
  struct Row {
    Algorithm algorithm;
    const char *key, *salt, *iv, *aad, *plain, *sealed, *tag;
  };
  const Row rows[] = {
      {Algorithm::aes_gcm_128, "4c80cdefbb5d10da906ac73c3613a634", "2e443b68", "4956ed7e3b244cfe",
       "000043218765432100000000",
       "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000"
       "00000000045f736970045f756470037369700963796265726369747902646b00"
       "0021000101020201",
       "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34"
       "cfa2436f14a3f3cf65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce"
       "61bc17d768fd9732",
       "459018148f6cbe722fd04796562dfdb4"},
      {Algorithm::chacha20_poly1305,
       "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "a0a1a2a3",
       "1011121314151617", "0102030400000005",
       "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec10"
       "0007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223"
       "2425262728292a2b2c2d2e2f303132333435363701020204",
       "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6"
       "14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3"
       "cbec163fac469b502773f6fb94e664da9165b82829f641e0",
       "76aaa8266b7fb0f7b11b369907e1ad43"},
  };
  for (const Row& row : rows) {
    Answer answer{row.algorithm,     octets(row.key),    Octets(nonce::kLength), octets(row.aad),
                  octets(row.plain), octets(row.sealed), octets(row.tag)};
    nonce::EspSalt salt{};
    const Octets salt_octets = octets(row.salt);
    std::copy(salt_octets.begin(), salt_octets.end(), salt.begin());
    nonce::esp(salt, octets(row.iv).data(), answer.iv.data());
    check(answer, std::string(info(row.algorithm).name));
  }
}

// RFC 4868 section 2.7.2 (HMACs with keys of the digest's length) and RFC 2202 for SHA-1, truncated
// as RFC 4868 and RFC 2404 do.
TEST(Esp, HmacTestCases) {
  const auto repeat = [](const std::string& hex, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) all += hex;
    return all;
  };
  const std::string hi_there = "4869205468657265";
  const std::string jefe = "4a656665";
  const std::string what = "7768617420646f2079612077616e7420666f72206e6f7468696e673f";
  struct Row {
    Algorithm algorithm;
    std::string key, data, mac;
  };
  const Row rows[] = {
      {Algorithm::null_hmac_sha1_96, repeat("0b", 20), hi_there,
       "b617318655057264e28bc0b6fb378c8ef146be00"},
      {Algorithm::null_hmac_sha1_96, repeat("aa", 20), repeat("dd", 50),
       "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
      {Algorithm::null_hmac_sha1_96, repeat("0c", 20), "546573742057697468205472756e636174696f6e",
       "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"},
      {Algorithm::null_hmac_sha256_128, repeat("0b", 32), hi_there,
       "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"},
      {Algorithm::null_hmac_sha256_128, repeat(jefe, 8), what,
       "167f928588c5cc2eef8e3093caa0e87c9ff566a14794aa61648d81621a2a40c6"},
      {Algorithm::null_hmac_sha256_128, repeat("aa", 32), repeat("dd", 50),
       "cdcb1220d1ecccea91e53aba3092f962e549fe6ce9ed7fdc43191fbde45c30b0"},
      {Algorithm::null_hmac_sha384_192, repeat("0b", 48), hi_there,
       "b6a8d5636f5c6a7224f9977dcf7ee6c7fb6d0c48cbdee9737a959796489bddbc"
       "4c5df61d5b3297b4fb68dab9f1b582c2"},
      {Algorithm::null_hmac_sha384_192, repeat(jefe, 12), what,
       "2c7353974f1842fd66d53c452ca42122b28c0b594cfb184da86a368e9b8e16f5349524ca4e82400cbde0686d403"
       "371c9"},
      {Algorithm::null_hmac_sha384_192, repeat("aa", 48), repeat("dd", 50),
       "809f439be00274321d4a538652164b53554a508184a0c3160353e3428597003d35914a18770f9443987054944b7"
       "c4b4a"},
      {Algorithm::null_hmac_sha512_256, repeat("0b", 64), hi_there,
       "637edc6e01dce7e6742a99451aae82df23da3e92439e590e43e761b33e910fb8"
       "ac2878ebd5803f6f0b61dbce5e251ff8789a4722c1be65aea45fd464e89f8f5b"},
      {Algorithm::null_hmac_sha512_256, repeat(jefe, 16), what,
       "cb370917ae8a7ce28cfd1d8f4705d6141c173b2a9362c15df235dfb251b154546aa334ae9fb9afc2184932d8695"
       "e397bfa0ffb93466cfcceaae38c833b7dba38"},
      {Algorithm::null_hmac_sha512_256, repeat("aa", 64), repeat("dd", 50),
       "2ee7acd783624ca9398710f3ee05ae41b9f9b0510c87e49e586cc9bf961733d8623c7b55cebefccf02d5581acc1"
       "c9d5fb1ff68a1de45509fbe4da9a433922655"},
  };
  for (const Row& row : rows) {
    const Octets data = octets(row.data);
    Octets tag = octets(row.mac);
    tag.resize(info(row.algorithm).icv_length);
    // The MAC's input is split between header and payload as ESP has it.
    const Octets head(data.begin(), data.begin() + 8);
    const Octets rest(data.begin() + 8, data.end());
    check({row.algorithm, octets(row.key), {}, head, rest, rest, tag}, row.data);
  }
}

TEST(Nist, GcmWith96BitIvsAnd128BitTags) {
  for (const char* bits : {"128", "192", "256"}) {
    std::size_t sealed = 0;
    std::size_t refused = 0;
    std::size_t integrity_only = 0;
    for (const char* kind : {"gcmEncryptExtIV", "gcmDecrypt"}) {
      for (auto& record :
           records(std::string("ciphers/AES/GCM/") + kind + bits + ".rsp", "Count")) {
        if (record["[IVlen"] != "96" || record["[Taglen"] != "128") continue;
        Answer answer{};
        answer.key = octets(record["Key"]);
        answer.algorithm = gcm_of(answer.key.size());
        answer.iv = octets(record["IV"]);
        answer.aad = octets(record["AAD"]);
        answer.sealed = octets(record["CT"]);
        answer.tag = octets(record["Tag"]);
        answer.valid = !record.contains("FAIL");
        if (answer.valid) answer.plain = octets(record["PT"]);
        check(answer, std::string(kind) + bits + " " + record["Count"]);
        if (answer.sealed.empty()) {
          answer.algorithm = gmac_of(answer.key.size());
          check(answer, std::string("GMAC ") + kind + bits + " " + record["Count"]);
          ++integrity_only;
        }
        ++(answer.valid ? sealed : refused);
        if (HasFatalFailure()) return;
      }
    }
    EXPECT_GE(sealed, 500U);
    EXPECT_GE(refused, 100U);
    EXPECT_GE(integrity_only, 150U);
  }
}

TEST(Nist, CbcWithEveryHmac) {
  std::size_t done = 0;
  for (const char* kind : {"CBCMMT", "CBCGFSbox", "CBCKeySbox", "CBCVarKey", "CBCVarTxt"}) {
    for (const std::size_t length : {16U, 24U, 32U}) {
      const std::string file =
          std::string("ciphers/AES/CBC/") + kind + std::to_string(8 * length) + ".rsp";
      for (auto& record : records(file, "COUNT")) {
        for (const AlgorithmInfo& facts : all_algorithms()) {
          if (facts.cipher != Cipher::aes_cbc || facts.cipher_key_length != length) continue;
          // One HMAC in turn keeps the whole set within seconds; the multi-block file takes all.
          const bool all = std::string_view(kind) == "CBCMMT";
          if (!all && static_cast<std::size_t>(facts.hash) != 1 + done % 4) continue;
          Answer answer{};
          answer.algorithm = facts.algorithm;
          const Octets auth(facts.auth_key_length, 0x4c);
          answer.key = octets(record["KEY"]) + auth;
          answer.iv = octets(record["IV"]);
          answer.aad = octets("0000100000000001");
          answer.plain = octets(record["PLAINTEXT"]);
          answer.sealed = octets(record["CIPHERTEXT"]);
          const Octets input = answer.aad + answer.iv + answer.sealed;
          const EVP_MD* digest = facts.hash == Hash::sha1     ? EVP_sha1()
                                 : facts.hash == Hash::sha256 ? EVP_sha256()
                                 : facts.hash == Hash::sha384 ? EVP_sha384()
                                                              : EVP_sha512();
          answer.tag.resize(EVP_MAX_MD_SIZE);
          ASSERT_NE(HMAC(digest, auth.data(), static_cast<int>(auth.size()), input.data(),
                         input.size(), answer.tag.data(), nullptr),
                    nullptr);
          answer.tag.resize(facts.icv_length);
          check(answer, file + " " + record["COUNT"]);
          if (HasFatalFailure()) return;
        }
        ++done;
      }
    }
  }
  EXPECT_GE(done, 1500U);
}

TEST(Nist, Cmac) {
  std::size_t done = 0;
  for (const char* bits : {"128", "192", "256"}) {
    for (auto& record : records(std::string("CMAC/nist-800-38b-aes") + bits + ".txt", "COUNT")) {
      const auto mac = aes_cmac(secret(octets(record["KEY"])), octets(record["MESSAGE"]));
      ASSERT_TRUE(mac.has_value());
      EXPECT_EQ(Octets(mac->begin(), mac->end()), octets(record["OUTPUT"])) << record["COUNT"];
      ++done;
    }
  }
  EXPECT_EQ(done, 12U);
}

TEST(Nist, KeyWrap) {
  std::size_t wrapped = 0;
  std::size_t unwrapped = 0;
  std::size_t refused = 0;
  for (const char* bits : {"128", "192", "256"}) {
    const std::string directory = "keywrap/kwtestvectors/";
    for (auto& record : records(directory + "KW_AE_" + bits + ".txt", "COUNT")) {
      const auto result = key_wrap(secret(octets(record["K"])), secret(octets(record["P"])));
      ASSERT_TRUE(result.has_value());
      ASSERT_EQ(*result, octets(record["C"])) << record["COUNT"];
      ++wrapped;
    }
    for (auto& record : records(directory + "KW_AD_" + bits + ".txt", "COUNT")) {
      const auto result = key_unwrap(secret(octets(record["K"])), octets(record["C"]));
      ASSERT_EQ(result.has_value(), !record.contains("FAIL")) << record["COUNT"];
      if (!result) {
        ++refused;
        continue;
      }
      ASSERT_TRUE(result->equal(secret(octets(record["P"])))) << record["COUNT"];
      ++unwrapped;
    }
  }
  EXPECT_GE(wrapped, 1000U);
  EXPECT_GE(unwrapped, 1000U);
  EXPECT_GE(refused, 100U);
}

/// Hex, or text in quotes.
Octets octets_or_text(const std::string& value) {
  if (value.empty() || value.front() != '"') return octets(value);
  return {value.begin() + 1, value.end() - 1};
}

// The sets of OpenSSL's and BoringSSL's own tests.
TEST(ChaCha20Poly1305, TheLibrariesOwnSets) {
  std::size_t done = 0;
  for (auto& record : records("ciphers/ChaCha20Poly1305/openssl.txt", "COUNT")) {
    Answer answer{Algorithm::chacha20_poly1305, octets(record["Key"]),
                  octets(record["IV"]),         octets(record["AAD"]),
                  octets(record["Plaintext"]),  octets(record["Ciphertext"]),
                  octets(record["Tag"])};
    if (answer.iv.size() != nonce::kLength || answer.tag.size() != 16) continue;
    answer.valid = !record.contains("Result");
    check(answer, "openssl.txt " + record["COUNT"]);
    ++done;
  }
  for (auto& record : records("ciphers/ChaCha20Poly1305/boringssl.txt", "COUNT")) {
    const Answer answer{Algorithm::chacha20_poly1305,    octets_or_text(record["KEY"]),
                        octets_or_text(record["NONCE"]), octets_or_text(record["AD"]),
                        octets_or_text(record["IN"]),    octets_or_text(record["CT"]),
                        octets_or_text(record["TAG"])};
    if (answer.iv.size() != nonce::kLength || answer.tag.size() != 16) continue;
    check(answer, "boringssl.txt " + record["COUNT"]);
    ++done;
  }
  EXPECT_GE(done, 60U);
}

/// Wycheproof's files if ../shared lies next to the checkout; nothing otherwise, which is said.
std::optional<nlohmann::json> wycheproof(const std::string& name) {
  const auto path = source_directory() / "../shared/vectors/wycheproof" / name;
  std::ifstream file(path);
  if (!file.is_open()) {
    std::cout << "Wycheproof is not beside the checkout: " << name << " is not run\n";
    return std::nullopt;
  }
  return nlohmann::json::parse(file);
}

void wycheproof_aead(const std::string& name, bool chacha) {
  const auto document = wycheproof(name);
  if (!document) return;
  std::size_t done = 0;
  for (const auto& group : (*document)["testGroups"]) {
    if (group["ivSize"] != 96 || group["tagSize"] != 128) continue;
    for (const auto& test : group["tests"]) {
      const auto field = [&](const char* key) { return octets(test[key].get<std::string>()); };
      Answer answer{Algorithm::chacha20_poly1305,
                    field("key"),
                    field("iv"),
                    field("aad"),
                    field("msg"),
                    field("ct"),
                    field("tag")};
      if (!chacha) answer.algorithm = gcm_of(answer.key.size());
      answer.valid = test["result"] == "valid";
      check(answer, name + " " + std::to_string(test["tcId"].get<int>()));
      if (testing::Test::HasFatalFailure()) return;
      ++done;
    }
  }
  EXPECT_GE(done, 150U);
}

TEST(Wycheproof, AesGcm) { wycheproof_aead("aes_gcm_test.json", false); }
TEST(Wycheproof, ChaCha20Poly1305) { wycheproof_aead("chacha20_poly1305_test.json", true); }

TEST(Wycheproof, AesGmac) {
  const auto document = wycheproof("aes_gmac_test.json");
  if (!document) return;
  std::size_t done = 0;
  for (const auto& group : (*document)["testGroups"]) {
    if (group["ivSize"] != 96 || group["tagSize"] != 128) continue;
    for (const auto& test : group["tests"]) {
      const auto field = [&](const char* key) { return octets(test[key].get<std::string>()); };
      Answer answer{
          Algorithm::aes_gmac_128, field("key"), field("iv"), field("msg"), {}, {}, field("tag")};
      answer.algorithm = gmac_of(answer.key.size());
      answer.valid = test["result"] == "valid";
      check(answer, "aes_gmac " + std::to_string(test["tcId"].get<int>()));
      if (HasFatalFailure()) return;
      ++done;
    }
  }
  EXPECT_GE(done, 150U);
}

TEST(Wycheproof, AesCmac) {
  const auto document = wycheproof("aes_cmac_test.json");
  if (!document) return;
  for (const auto& group : (*document)["testGroups"]) {
    const int bits = group["keySize"];
    const bool possible = bits == 128 || bits == 192 || bits == 256;
    for (const auto& test : group["tests"]) {
      const auto field = [&](const char* key) { return octets(test[key].get<std::string>()); };
      const auto mac = aes_cmac(secret(field("key")), field("msg"));
      ASSERT_EQ(mac.has_value(), possible) << test["tcId"];
      if (!mac) continue;
      const bool equal = Octets(mac->begin(), mac->end()) == field("tag");
      EXPECT_EQ(equal, test["result"] == "valid") << test["tcId"];
    }
  }
}

TEST(Wycheproof, AesKeyWrap) {
  const auto document = wycheproof("aes_wrap_test.json");
  if (!document) return;
  for (const auto& group : (*document)["testGroups"]) {
    for (const auto& test : group["tests"]) {
      const auto field = [&](const char* key) { return octets(test[key].get<std::string>()); };
      const Octets message = field("msg");
      const auto unwrapped = key_unwrap(secret(field("key")), field("ct"));
      if (test["result"] != "valid" && message.size() >= 16) {
        EXPECT_FALSE(unwrapped && unwrapped->equal(secret(message))) << test["tcId"];
      }
      if (test["result"] != "valid") continue;
      ASSERT_TRUE(unwrapped.has_value()) << test["tcId"];
      EXPECT_TRUE(unwrapped->equal(secret(message))) << test["tcId"];
      const auto wrapped = key_wrap(secret(field("key")), secret(message));
      ASSERT_TRUE(wrapped.has_value()) << test["tcId"];
      EXPECT_EQ(*wrapped, field("ct")) << test["tcId"];
    }
  }
}

}  // namespace
}  // namespace sealwire::crypto
