// The 32 example frames of 802.1AE-2018 Annex C, through both directions of a wire.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pipelines/wire/macsec.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::pipelines::test {
namespace {

struct Example {
  std::string name;
  CipherSuite suite;
  Bytes key, plain, sealed;
  crypto::nonce::XpnSalt salt{};
  std::uint32_t ssci = 0;
  std::uint64_t pn, sci;
  std::uint8_t tci_an;
};

std::uint64_t number(const nlohmann::json& v) {
  return v.is_null() ? 0 : std::stoull(v.get<std::string>(), nullptr, 16);
}

std::vector<Example> examples() {
  const char* top = std::getenv("SEALWIRE_SOURCE_DIR");
  std::ifstream file(std::string(top == nullptr ? "." : top) + "/tests/vectors/annex_c.json");
  std::vector<Example> out;
  for (const auto& v : nlohmann::json::parse(file)) {
    Example e;
    e.name = v["name"];
    const std::string suite = v["suite"];
    e.suite = suite == "GCM-AES-128"       ? CipherSuite::gcm_aes_128
              : suite == "GCM-AES-256"     ? CipherSuite::gcm_aes_256
              : suite == "GCM-AES-XPN-128" ? CipherSuite::gcm_aes_xpn_128
                                           : CipherSuite::gcm_aes_xpn_256;
    e.key = from_hex(v["key"].get<std::string>());
    e.plain = from_hex(v["plain"].get<std::string>());
    e.sealed = from_hex(v["protected"].get<std::string>());
    if (!v["salt"].is_null()) {
      const Bytes salt = from_hex(v["salt"].get<std::string>());
      std::copy(salt.begin(), salt.end(), e.salt.begin());
    }
    e.ssci = static_cast<std::uint32_t>(number(v["ssci"]));
    e.pn = number(v["pn_hi"]) << 32 | number(v["pn_lo"]);
    e.sci = number(v["sci"]);
    e.tci_an = static_cast<std::uint8_t>(number(v["tci_an"]));
    out.push_back(std::move(e));
  }
  return out;
}

SecySettings settings(const Example& e) {
  SecySettings s;
  s.include_sci = (e.tci_an & wire::kTciSc) != 0;
  s.use_es = (e.tci_an & wire::kTciEs) != 0;
  s.use_scb = (e.tci_an & wire::kTciScb) != 0;
  return s;
}

TEST(MacsecAnnexC, AllFramesSealAndOpen) {
  const auto all = examples();
  ASSERT_EQ(all.size(), 32U);
  for (const Example& e : all) {
    SCOPED_TRACE(e.name);
    LineOptions o;
    o.secy = settings(e);
    o.secy.sci = crypto::Sci(e.sci);
    Wire sender(o);
    o.secy.sci = crypto::Sci(kSciB);
    Wire receiver(o);
    Loop loop(both({&sender, &receiver}));
    const crypto::An an(e.tci_an & wire::kTciAn);
    ASSERT_TRUE(sender.secy->install_transmit_sa({.an = an,
                                                  .suite = e.suite,
                                                  .confidentiality = (e.tci_an & wire::kTciE) != 0,
                                                  .salt = e.salt,
                                                  .ssci = crypto::Ssci(e.ssci),
                                                  .next_pn = crypto::Pn(e.pn),
                                                  .key = make_key(e.suite, e.key)}));
    ASSERT_TRUE(sender.secy->enable_transmit(an, true));
    ASSERT_TRUE(sender.secy->set_encoding_sa(an));
    ASSERT_TRUE(receiver.secy->create_receive_sc(crypto::Sci(e.sci)));
    ASSERT_TRUE(
        receiver.secy->install_receive_sa(crypto::Sci(e.sci), {.an = an,
                                                               .suite = e.suite,
                                                               .salt = e.salt,
                                                               .ssci = crypto::Ssci(e.ssci),
                                                               .lowest_pn = crypto::Pn(e.pn),
                                                               .key = make_key(e.suite, e.key)}));
    ASSERT_TRUE(receiver.secy->enable_receive(crypto::Sci(e.sci), an, true));
    ASSERT_TRUE(sender.inside.put(e.plain));
    ASSERT_TRUE(receiver.outside.put(e.sealed));
    loop.run_until_quiet();
    EXPECT_TRUE(same(sender.outside.take(), {e.sealed}));
    EXPECT_TRUE(same(receiver.inside.take(), {e.plain}));
  }
}

}  // namespace
}  // namespace sealwire::pipelines::test
