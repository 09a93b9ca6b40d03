// What a reload finds changed, and parts that are changed through the API.

#include "config/diff.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "config/fragment.h"
#include "config/load.h"
#include "config/rules.h"

namespace sealwire::config {
namespace {

std::string site_a() {
  const char* top = std::getenv("SEALWIRE_SOURCE_DIR");
  std::ifstream in(std::string(top != nullptr ? top : ".") + "/config/examples/site-a.yaml");
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

Document load(const std::string& text) {
  Loaded loaded = load_text(text, "x.yaml");
  for (const Mistake& mistake : loaded.mistakes) ADD_FAILURE() << to_string(mistake);
  return std::move(loaded.document);
}

std::vector<std::string> texts(const std::vector<Difference>& differences) {
  std::vector<std::string> list;
  for (const Difference& difference : differences) list.push_back(to_string(difference));
  return list;
}

using Texts = std::vector<std::string>;

struct Edit {
  std::string from, to;
  Texts live, restart;
};

TEST(Diff, FindsEachChange) {
  const std::string key = "00f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f";
  const std::string text = site_a();
  const Document before = load(text);
  const std::vector<Edit> edits{
      {"# Site A", "# site a", {}, {}},
      {"df: copy", "df: set", {"line site-a: sa a-to-b changed"}, {}},
      {"spi: 0x1002", "spi: 0x1003", {"line site-a: sa b-to-a changed"}, {}},
      {"        a-to-b:\n",
       "        new:\n",
       {"line site-a: sa new added", "line site-a: sa a-to-b removed",
        "line site-a: policies changed"},
       {}},
      {"source: [10.1.0.0/24, ",
       "source: [10.1.0.0/25, ",
       // the inbound SA's selectors come from the policy
       {"line site-a: sa b-to-a changed", "line site-a: policies changed"},
       {}},
      {"10.2.0.0/24: {via", "10.3.0.0/24: {via", {"line site-a: gateway changed"}, {}},
      {"replay-window: 64", "replay-window: 65", {"line site-a: macsec changed"}, {}},
      {"encoding-sa: 0", "encoding-sa: 1", {"line site-a: secy wan changed"}, {}},
      {"mtu: 1500", "mtu: 1400", {}, {"port lan changed"}},
      {"workers: 1", "workers: 2", {}, {"system workers changed"}},
      {"idle: auto", "idle: spin", {}, {"system idle changed"}},
      {"idle: auto", "idle: auto\n  metrics: 127.0.0.1:9464", {}, {"system metrics changed"}},
      {"engine: auto", "engine: openssl", {}, {"line site-a changed"}},
      {"  site-a:\n    stages",
       "  other:\n    stages",
       {},
       {"line other added", "line site-a removed"}},
  };
  for (const Edit& edit : edits) {
    std::string changed = replaced(text, edit.from, edit.to);
    if (edit.to == "        new:\n") changed = replaced(changed, "sa: a-to-b", "sa: new");
    if (edit.to == "encoding-sa: 1")
      changed = replaced(changed, "        sas:\n          0:\n",
                         "        sas:\n          1: {key: \"" + key +
                             "\", salt: 000102030405060708090a0b, ssci: 1}\n          0:\n");
    const Document after = load(changed);
    const Diff result = diff(before, after);
    EXPECT_EQ(texts(result.live), edit.live) << edit.to;
    EXPECT_EQ(texts(result.needs_restart), edit.restart) << edit.to;
    EXPECT_EQ(result.empty(), edit.live.empty() && edit.restart.empty());
  }
}

TEST(Diff, KeysCount) {
  const std::string text = site_a();
  const std::size_t at = text.find("key: \"") + 6;
  std::string changed = text;
  changed[at] = changed[at] == '0' ? '1' : '0';
  EXPECT_EQ(texts(diff(load(text), load(changed)).live), Texts{"line site-a: sa a-to-b changed"});
}

TEST(Diff, OrderOfPoliciesCounts) {
  const std::string two = "        first: {action: discard, protocol: gre}\n";
  const std::string base = site_a();
  const std::string a = replaced(base, "        site-to-site:", two + "        site-to-site:");
  const std::string b = replaced(base, "\n    macsec:\n", two + "\n    macsec:\n");
  EXPECT_EQ(texts(diff(load(a), load(b)).live), Texts{"line site-a: policies changed"});
}

TEST(Diff, CloneIsTheSame) {
  const Document document = load(site_a());
  Document copy;
  copy.system = document.system;
  copy.ports = document.ports;
  for (const Line& line : document.lines) copy.lines.push_back(clone(line));
  EXPECT_TRUE(diff(document, copy).empty());
}

// --- parts ---------------------------------------------------------------------------------------

Texts ids(const Fragment& fragment) {
  Texts list;
  for (const Mistake& mistake : fragment.mistakes) list.push_back(mistake.id);
  return list;
}

const std::string kKeymat =
    "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0a1b2c3d4";

std::string sa(const std::string& name, const std::string& direction, const std::string& spi,
               const std::string& keymat) {
  const bool out = direction == "out";
  return name + ": {direction: " + direction + ", spi: " + spi +
         ", algorithm: aes-gcm-256, key: \"" + keymat + "\", source: 192.0.2." + (out ? "1" : "2") +
         ", destination: 192.0.2." + (out ? "2" : "1") + "}\n";
}

TEST(FragmentSas, AddAndReplace) {
  const Document running = load(site_a());
  Fragment added = read_sas(running, "site-a", sa("more", "out", "0x2001", kKeymat), "api", false);
  EXPECT_EQ(ids(added), Texts{});
  ASSERT_EQ(added.line.sas.size(), 1U);
  EXPECT_EQ(added.line.sas[0].salt.bytes.size(), 4U);

  Fragment rekeyed =
      read_sas(running, "site-a", sa("b-to-a", "in", "0x2002", kKeymat), "api", true);
  EXPECT_EQ(ids(rekeyed), Texts{});
  ASSERT_EQ(rekeyed.line.sas.size(), 1U);
  EXPECT_EQ(rekeyed.line.sas[0].selectors, running.lines[0].sas[1].selectors);
}

TEST(FragmentSas, Refused) {
  const Document running = load(site_a());
  const auto add = [&](const std::string& text, const std::string& line = "site-a") {
    return ids(read_sas(running, line, text, "api", false));
  };
  EXPECT_EQ(add(sa("a-to-b", "out", "0x2001", kKeymat)), Texts{id_of(Rule::duplicate_key)});
  EXPECT_EQ(add(sa("x", "in", "0x1002", kKeymat)),
            (Texts{id_of(Rule::no_selectors), id_of(Rule::same_spi)}));
  EXPECT_EQ(add(sa("x", "out", "0x2001", kKeymat.substr(2))), Texts{id_of(Rule::key_length)});
  EXPECT_EQ(add(sa("x", "out", "0x2001", kKeymat) + sa("y", "out", "0x2002", kKeymat)),
            Texts{id_of(Rule::same_key)});
  EXPECT_EQ(add(sa("x", "out", "1", kKeymat)), Texts{id_of(Rule::reserved_spi)});
  EXPECT_EQ(add("x: 1"), Texts{id_of(Rule::wrong_type)});
  EXPECT_EQ(add("- x"), Texts{id_of(Rule::wrong_type)});
  EXPECT_EQ(add("x: [", "site-a"), Texts{id_of(Rule::syntax)});
  EXPECT_EQ(add(sa("x", "out", "0x2001", kKeymat), "nowhere"),
            Texts{id_of(Rule::missing_settings)});
  EXPECT_EQ(ids(read_sas(running, "site-a", sa("x", "out", "0x2001", kKeymat), "api", true)),
            Texts{id_of(Rule::unknown_sa)});

  const std::string text = site_a();
  const std::string used = text.substr(text.find("key: \"") + 6, 72);
  EXPECT_EQ(add(sa("x", "out", "0x2001", used)), Texts{id_of(Rule::same_key)});
  EXPECT_EQ(ids(read_sas(running, "site-a", sa("a-to-b", "out", "0x2001", used), "api", true)),
            Texts{id_of(Rule::same_key)})
      << "a rekey with the same key would start its sequence anew";
}

TEST(FragmentPolicies, ReadAndRefused) {
  const Document running = load(site_a());
  Fragment fine = read_policies(running, "site-a",
                                "gre: {action: discard, protocol: gre}\n"
                                "rest: {action: protect, sa: a-to-b, source: 10.1.0.0/16}\n",
                                "api");
  EXPECT_EQ(ids(fine), Texts{});
  ASSERT_EQ(fine.line.policies.size(), 2U);
  EXPECT_EQ(fine.line.policies[0].name, "gre");
  Fragment wrong = read_policies(running, "site-a", "x: {action: protect, sa: a-to-c}\n", "api");
  ASSERT_EQ(ids(wrong), Texts{id_of(Rule::unknown_sa)});
  EXPECT_EQ(wrong.mistakes[0].nearest, "a-to-b");
  EXPECT_EQ(wrong.mistakes[0].line, 1);
  EXPECT_EQ(wrong.mistakes[0].column, 26);
}

TEST(FragmentSecy, ReadAndRefused) {
  const Document running = load(site_a());
  const std::string salt = "000102030405060708090a0b";
  const auto text = [&](const std::string& key, const std::string& an) {
    return "tx: {encoding-sa: 1, sas: {" + an + ": {key: \"" + key + "\", salt: " + salt +
           ", ssci: 1}}}\nrx: {}\n";
  };
  const std::string key = kKeymat.substr(0, 64);
  Fragment fine = read_secy(running, "site-a", "", text(key, "1"), "api");
  EXPECT_EQ(ids(fine), Texts{});
  ASSERT_TRUE(fine.line.macsec);
  ASSERT_EQ(fine.line.macsec->secys.size(), 1U);
  EXPECT_EQ(fine.line.macsec->secys[0].port, "wan");
  EXPECT_EQ(fine.line.macsec->secys[0].sci, running.lines[0].macsec->secys[0].sci);
  EXPECT_EQ(ids(read_secy(running, "site-a", "wan", text(key, "1"), "api")), Texts{});
  EXPECT_EQ(ids(read_secy(running, "site-a", "wan", text(key, "2"), "api")),
            Texts{id_of(Rule::encoding_sa)});
  EXPECT_EQ(ids(read_secy(running, "site-a", "wan", text(key.substr(2), "1"), "api")),
            Texts{id_of(Rule::key_length)});
  EXPECT_EQ(ids(read_secy(running, "site-a", "lan", text(key, "1"), "api")),
            Texts{id_of(Rule::secys)});
}

}  // namespace
}  // namespace sealwire::config
