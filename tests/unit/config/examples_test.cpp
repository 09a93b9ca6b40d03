// The examples load, and mean what they say.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "config/load.h"
#include "config/text.h"

namespace sealwire::config {
namespace {

std::string example(const std::string& name) {
  const char* top = std::getenv("SEALWIRE_SOURCE_DIR");
  return std::string(top != nullptr ? top : ".") + "/config/examples/" + name;
}

std::string all(const std::vector<Mistake>& mistakes) {
  std::string text;
  for (const Mistake& mistake : mistakes) text += to_string(mistake) + "\n";
  return text;
}

TEST(Examples, SiteA) {
  const Loaded loaded = load_file(example("site-a.yaml"));
  ASSERT_TRUE(loaded.ok()) << all(loaded.mistakes);
  ASSERT_EQ(loaded.warnings.size(), 1U) << all(loaded.warnings);
  EXPECT_EQ(loaded.warnings[0].id, "SW-CFG-200");

  ASSERT_EQ(loaded.document.lines.size(), 1U);
  const Line& line = loaded.document.lines[0];
  EXPECT_EQ(line.stages, (std::vector{Stage::esp, Stage::macsec}));
  ASSERT_EQ(line.sas.size(), 2U);
  EXPECT_EQ(line.sas[0].direction, SaDirection::out);
  EXPECT_EQ(line.sas[0].spi, 0x1001U);
  EXPECT_EQ(line.sas[0].key.bytes.size(), 32U) << "KEYMAT is split";
  EXPECT_EQ(line.sas[0].salt.bytes.size(), 4U);
  EXPECT_TRUE(line.sas[0].esn);
  EXPECT_FALSE(line.sas[0].dscp.has_value()) << "copy";
  EXPECT_EQ(line.sas[1].replay_window, 1024U);
  ASSERT_EQ(line.sas[1].selectors.size(), 1U) << "from the policy, mirrored";
  EXPECT_EQ(line.sas[1].selectors[0].source, line.policies[0].selector.destination);
  EXPECT_EQ(line.sas[1].selectors[0].destination, line.policies[0].selector.source);

  ASSERT_EQ(line.gateway.addresses.size(), 2U);
  EXPECT_EQ(to_string(line.gateway.addresses[0].addresses[0]), "10.1.0.1/24");
  EXPECT_EQ(to_string(line.gateway.routes[0].via), "192.0.2.2");

  ASSERT_TRUE(line.macsec);
  EXPECT_EQ(line.macsec->suite, CipherSuite::gcm_aes_xpn_256);
  ASSERT_EQ(line.macsec->secys.size(), 1U);
  const SecY& secy = line.macsec->secys[0];
  EXPECT_EQ(secy.port, "wan");
  EXPECT_EQ(secy.sci, 0x0200000001020001U);
  ASSERT_EQ(secy.tx.size(), 1U);
  EXPECT_EQ(secy.tx[0].an, 0);
  EXPECT_EQ(secy.tx[0].salt.bytes.size(), 12U);
  EXPECT_EQ(secy.rx[0].name, "site-b");
  EXPECT_EQ(secy.rx[0].sas[0].ssci, 2U);
}

// What A sends with, B receives with, and the other way round.
TEST(Examples, SiteBIsTheOtherEndOfSiteA) {
  const Loaded a = load_file(example("site-a.yaml"));
  const Loaded b = load_file(example("site-b.yaml"));
  ASSERT_TRUE(a.ok()) << all(a.mistakes);
  ASSERT_TRUE(b.ok()) << all(b.mistakes);
  const Line &at_a = a.document.lines[0], &at_b = b.document.lines[0];
  for (const EspSa& sa : at_a.sas) {
    const EspSa* other = find(at_b.sas, sa.name);
    ASSERT_NE(other, nullptr) << sa.name;
    EXPECT_NE(sa.direction, other->direction);
    EXPECT_EQ(sa.spi, other->spi);
    EXPECT_TRUE(sa.key.bytes.equal(other->key.bytes));
    EXPECT_TRUE(sa.salt.bytes.equal(other->salt.bytes));
    EXPECT_EQ(sa.source, other->source);
  }
  const auto matches = [](const SecY& from, const SecY& to) {
    EXPECT_EQ(from.sci, to.rx[0].sci);
    EXPECT_TRUE(from.tx[0].key.bytes.equal(to.rx[0].sas[0].key.bytes));
    EXPECT_TRUE(from.tx[0].salt.bytes.equal(to.rx[0].sas[0].salt.bytes));
    EXPECT_EQ(from.tx[0].ssci, to.rx[0].sas[0].ssci);
  };
  matches(at_a.macsec->secys[0], at_b.macsec->secys[0]);
  matches(at_b.macsec->secys[0], at_a.macsec->secys[0]);
}

TEST(Examples, Wire) {
  const Loaded loaded = load_file(example("wire.yaml"));
  ASSERT_TRUE(loaded.ok()) << all(loaded.mistakes);
  const Line& line = loaded.document.lines[0];
  EXPECT_FALSE(line.is_gateway());
  EXPECT_EQ(line.macsec->secys[0].tx[0].key.bytes.size(), 16U);
}

// Its key files are not here; everything else holds.
TEST(Examples, WireWithMka) {
  const Loaded loaded = load_file(example("wire-mka.yaml"));
  ASSERT_EQ(loaded.mistakes.size(), 3U) << all(loaded.mistakes);
  for (const Mistake& mistake : loaded.mistakes) EXPECT_EQ(mistake.id, "SW-CFG-020");
  EXPECT_TRUE(loaded.warnings.empty()) << all(loaded.warnings);
  const Mka& mka = *loaded.document.lines[0].macsec->mka;
  EXPECT_EQ(mka.keys.size(), 2U);
  EXPECT_EQ(mka.rekey_interval, std::chrono::hours(1));
  EXPECT_EQ(mka.keys[1].start, 1798761600);
  EXPECT_TRUE(mka.fallback);
}

}  // namespace
}  // namespace sealwire::config
