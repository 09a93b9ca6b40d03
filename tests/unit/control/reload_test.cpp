// A reload is made as a whole or not at all: whatever fails, SAs, policies and numbers stay as they
// run.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rte_rcu_qsbr.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "app/control/appliance.h"
#include "app/control/line_control.h"
#include "tests/unit/pipelines/harness.h"

namespace sealwire::control {
namespace {

using nlohmann::json;

std::string key_of(int fill, int octets) {
  std::string text;
  for (int i = 0; i < octets; ++i) text += fmt::format("{:02x}", fill);
  return text;
}

// What of the configuration a test changes.
struct Wanted {
  int first_spi = 0x1001;  // outbound SA of line a
  const char* first_policy = "10.2.0.0/16";
  const char* outbound_name = "there";  // of line a
  int second_key = 2;                   // outbound SA of line b
  std::size_t channels = 1;             // receive channels of line w
  int mka_keys = 1;                     // of line m
  const char* inbound_name = "back";    // of line a
  bool neighbour = true;                // line a has a static one
};

std::string gateway(const char* name, int number, int spi, int fill, const char* far,
                    const char* inbound, const char* outbound) {
  return fmt::format(R"(  {0}:
    stages: [esp]
    inside: [{0}-in]
    outside: [{0}-out]
    gateway:
      addresses: {{{0}-in: [10.{1}.0.1/24], {0}-out: [192.0.{1}.1/24]}}
      routes: {{0.0.0.0/0: {{via: 192.0.{1}.2, port: {0}-out}}}}
    esp:
      sas:
        {9}: {{direction: out, spi: {2}, algorithm: aes-gcm-128, key: "{3}", salt: "{4}", esn: true,
                source: 192.0.{1}.1, destination: 192.0.{1}.2}}
        {6}: {{direction: in, spi: {7}, algorithm: aes-gcm-128, key: "{8}", salt: "{4}", esn: true,
               source: 192.0.{1}.2, destination: 192.0.{1}.1}}
      policies:
        all: {{action: protect, sa: {9}, inbound-sa: {6}, source: 10.1.0.0/16, destination: {5}}}
)",
                     name, number, spi, key_of(fill, 16), key_of(9, 4), far, inbound,
                     0x2000 + number, key_of(fill + 100, 16), outbound);
}

std::string text_of(const Wanted& wanted) {
  std::string text = "sealwire: 1\nlab: true\nsystem: {dpdk-telemetry: false}\nports:\n";
  for (const char* line : {"a", "b", "w", "m"}) {
    for (const char* side : {"in", "out"}) {
      text += fmt::format("  {0}-{1}: {{device: \"net_null_{0}{1}\", mtu: {2}}}\n", line, side,
                          side[0] == 'i' ? 1500 : 1600);
    }
  }
  text += "lines:\n";
  text += gateway("a", 1, wanted.first_spi, 1, wanted.first_policy, wanted.inbound_name,
                  wanted.outbound_name);
  if (wanted.neighbour) {
    const std::size_t place = text.find("    esp:");
    text.insert(place, R"(      neighbours:
        192.0.1.2: {mac: "02:00:00:00:07:01", port: a-out}
)");
  }
  text += gateway("b", 2, 0x1002, wanted.second_key, "10.3.0.0/16", "back", "there");
  text += fmt::format(R"(  w:
    stages: [macsec]
    inside: [w-in]
    outside: [w-out]
    macsec:
      sci: "02:00:00:00:01:02/1"
      tx: {{encoding-sa: 0, sas: {{0: {{key: "{}"}}}}}}
      rx:
)",
                      key_of(50, 16));
  for (std::size_t i = 0; i < wanted.channels; ++i) {
    text += fmt::format(
        "        peer-{0}: {{sci: \"02:00:00:00:02:02/{1}\", sas: {{0: {{key: \"{2}\"}}}}}}\n", i,
        i + 1, key_of(51, 16));
  }
  text += R"(  m:
    stages: [macsec]
    inside: [m-in]
    outside: [m-out]
    macsec:
      sci: "02:00:00:00:04:02/1"
      mka:
        keys:
)";
  for (int i = 0; i < wanted.mka_keys; ++i) {
    text += fmt::format("          k{0}: {{ckn: \"{1}\", cak: \"{2}\"}}\n", i, key_of(i + 1, 4),
                        key_of(60 + i, 16));
  }
  return text;
}

class ReloadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pipelines::test::start_eal();
    char name[] = "/tmp/sealwire-reload-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    ASSERT_TRUE(StateStore::init(directory_ + "/state", false));
    auto store = StateStore::open(directory_ + "/state");
    ASSERT_TRUE(store);
    store_ = std::make_unique<StateStore>(std::move(*store));

    Appliance::Setup setup;
    setup.document = load().document;
    setup.store = store_.get();
    setup.load = [this](const std::string&) { return load(); };
    std::uint16_t id = 0;
    for (const config::Port& port : setup.document.ports) {
      OpenPort open;
      open.name = port.name;
      open.id = id++;
      open.mtu = static_cast<std::uint16_t>(port.mtu);
      open.mac = {2, 0, 0, 0, 9, static_cast<std::uint8_t>(id)};
      setup.ports.push_back(std::move(open));
    }
    setup.line_pools.assign(setup.document.lines.size(), pipelines::test::pool());
    auto made = Appliance::create(std::move(setup));
    ASSERT_TRUE(made) << made.error().message;
    appliance_ = std::move(*made);
  }
  void TearDown() override {
    appliance_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  config::Loaded load() {
    config::Loaded loaded = config::load_text(text_of(wanted_), "x.yaml");
    for (const config::Mistake& mistake : loaded.mistakes) {
      ADD_FAILURE() << config::to_string(mistake);
    }
    if (spoil_) spoil_(loaded.document);
    return loaded;
  }

  json ask(const char* method) {
    ApiRequest request;
    request.method = method;
    auto result = appliance_->handle(request, {});
    EXPECT_TRUE(result);
    return result ? *result : json();
  }
  // Everything that a reload may change, but for the policies; times left out.
  json running() {
    json all = {ask("show.sa"), ask("show.secy"), ask("show.keys")};
    for (json& sa : all[0]["sas"]) sa.erase("age_seconds");
    return all;
  }
  // Refused with this id, and all is as before: what runs, the running document, the state.
  void refused(const Wanted& wanted, const char* id) {
    const json before = running();
    const std::size_t spaces = store_->size();
    const Wanted good = wanted_;
    wanted_ = wanted;
    const auto reloaded = appliance_->reload({});
    ASSERT_FALSE(reloaded);
    EXPECT_EQ(reloaded.error().id, id) << reloaded.error().message;
    EXPECT_NE(reloaded.error().remedy.find("nothing was changed"), std::string::npos);
    EXPECT_EQ(running(), before);
    EXPECT_EQ(store_->size(), spaces);
    wanted_ = good;
    spoil_ = nullptr;
    done(wanted_, {"nothing changed"});
    EXPECT_EQ(running(), before);
  }
  void done(const Wanted& wanted, const std::vector<std::string>& expected) {
    wanted_ = wanted;
    const auto reloaded = appliance_->reload({});
    ASSERT_TRUE(reloaded) << reloaded.error().message;
    EXPECT_EQ((*reloaded)["done"], json(expected));
  }

  std::string directory_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<Appliance> appliance_;
  Wanted wanted_;
  std::function<void(config::Document&)> spoil_;  // what no file can say, or only this box refuses
};

// The first line could change; the third cannot take its channels.
TEST_F(ReloadTest, ALaterLineThatFailsLeavesTheEarlierOnesAlone) {
  Wanted wanted;
  wanted.first_spi = 0x1111;
  wanted.first_policy = "10.4.0.0/16";
  wanted.second_key = 3;
  wanted.channels = 33;
  refused(wanted, "SW-SCY-021");
  wanted.channels = 32;
  done(wanted, {"lines.a.esp.sas.back: replaced", "lines.a.esp.sas.there: replaced",
                "lines.a.esp.policies: changed", "lines.b.esp.sas.back: replaced",
                "lines.b.esp.sas.there: replaced", "lines.w.macsec: static SAs of w-out changed"});
  EXPECT_EQ(ask("show.sa")["sas"][1]["spi"], "0x00001111");
  EXPECT_EQ(ask("show.secy")["secys"][0]["receive"]["scs"].size(), 32U);
}

// Within one line: its SAs are made before its policies turn out to be impossible.
TEST_F(ReloadTest, PoliciesThatFailLeaveTheSasOfTheirLineAlone) {
  Wanted wanted;
  wanted.first_spi = 0x1111;
  wanted.first_policy = "10.4.0.0/16";
  spoil_ = [](config::Document& document) {
    document.lines[0].policies[0].selector.destination[0].length = 33;
  };
  refused(wanted, "SW-SPD-002");
  done(wanted, {"lines.a.esp.sas.back: replaced", "lines.a.esp.sas.there: replaced",
                "lines.a.esp.policies: changed"});
}

// Numbers are reserved last and for all lines at once: a key without numbers costs the others none.
TEST_F(ReloadTest, AKeyWhoseNumbersAreUsedUpStopsEverything) {
  const config::Document document = load().document;
  const auto space = [](int fill) {
    const std::vector<std::uint8_t> octets(16, static_cast<std::uint8_t>(fill)), salt(4, 9);
    return NonceSpace::esp(crypto::Algorithm::aes_gcm_128, octets, salt);
  };
  const auto spent = store_->identify(space(0x03));
  ASSERT_TRUE(spent);
  const StateStore::Request all{*spent, ~0ULL};
  ASSERT_TRUE(store_->record({&all, 1}));
  const auto first = store_->identify(space(0x01));
  const auto before = store_->recorded(*first);
  ASSERT_TRUE(before);

  Wanted wanted;
  wanted.first_spi = 0x1111;
  wanted.second_key = 3;
  refused(wanted, "SW-STA-007");
  EXPECT_EQ(store_->recorded(*first), before);
  wanted.second_key = 4;
  done(wanted, {"lines.a.esp.sas.there: replaced", "lines.b.esp.sas.back: replaced",
                "lines.b.esp.sas.there: replaced"});
  // The same key goes on behind everything it may have used.
  EXPECT_EQ(ask("show.sa")["sas"][1]["next_sn"], *before);
}

TEST_F(ReloadTest, KeysOfMkaThatFailLeaveTheLinesAlone) {
  Wanted wanted;
  wanted.first_spi = 0x1111;
  wanted.mka_keys = 2;
  spoil_ = [](config::Document& document) {
    config::Mka& mka = *document.lines[3].macsec->mka;
    mka.keys[1].ckn = mka.keys[0].ckn;
  };
  refused(wanted, "SW-MKA-005");
  done(wanted, {"lines.a.esp.sas.there: replaced", "lines.m.macsec.mka.keys.k1: added"});
}

TEST_F(ReloadTest, AnInboundSaMayBeRenamed) {
  Wanted wanted;
  wanted.inbound_name = "return";
  done(wanted, {"lines.a.esp.sas.return: added", "lines.a.esp.policies: changed",
                "lines.a.esp.sas.back: removed"});
  const json sas = ask("show.sa")["sas"];
  ASSERT_EQ(sas.size(), 4U);
  EXPECT_EQ(sas[0]["name"], "return");
  EXPECT_EQ(sas[0]["spi"], "0x00002001");
  EXPECT_EQ(sas[0]["state"], "in use");
  done(Wanted{}, {"lines.a.esp.sas.back: added", "lines.a.esp.policies: changed",
                  "lines.a.esp.sas.return: removed"});
}

// A static neighbour that the file names no more is one like any other.
TEST_F(ReloadTest, AStaticNeighbourMayGo) {
  const auto peer = [this] {
    const json all = ask("show.neighbours");
    for (const json& one : all["neighbours"]) {
      if (one["line"] == "a" && one["address"] == "192.0.1.2") return one;
    }
    return json();
  };
  EXPECT_EQ(peer()["state"], "permanent");
  EXPECT_EQ(peer()["mac"], "02:00:00:00:07:01");
  EXPECT_EQ(peer()["port"], "a-out");
  Wanted wanted;
  wanted.neighbour = false;
  done(wanted, {"lines.a.gateway: changed"});
  EXPECT_EQ(peer()["state"], "incomplete");
  EXPECT_EQ(peer()["mac"], json());
  done(Wanted{}, {"lines.a.gateway: changed"});
  EXPECT_EQ(peer()["state"], "permanent");
  EXPECT_GE(ask("show.gateway")["gateways"][0]["counters"]["arp_requests"], 1);
}

// One line by itself, beside the appliance's.
class LineChangeTest : public ReloadTest {
 protected:
  std::unique_ptr<LineControl> make(config::Line& line) {
    EXPECT_TRUE(engines.prepare(line.engine));
    LineControl::Place place;
    place.id = next_id_++;
    place.pool = pipelines::test::pool();
    place.inside = {{line.inside[0], "", 0, 1500}};
    place.outside = {{line.outside[0], "", 1, 1600}};
    auto made = LineControl::create(line, place, {engines, publisher, numbers()});
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }
  NumberKeeper& numbers() {
    if (!numbers_) numbers_ = std::make_unique<NumberKeeper>(store_.get());
    return *numbers_;
  }
  void TearDown() override {
    numbers_.reset();
    ReloadTest::TearDown();
  }

  Engines engines{1, "/nonexistent"};
  Publisher publisher{1};

 private:
  std::unique_ptr<NumberKeeper> numbers_;
  std::uint16_t next_id_ = 7;
};

// Not the objects that its workers see are touched, whatever fails.
TEST_F(LineChangeTest, WhatRunsIsTheSameObjects) {
  config::Document document = load().document;
  const auto made = make(document.lines[0]);
  ASSERT_TRUE(made);
  LineControl& line = *made;
  const auto seen = [&line] {
    std::vector<const void*> all{line.snapshot().spd, line.snapshot().gateway, &line.snapshot()};
    for (const auto& sa : line.sas()) {
      all.push_back(sa.slot != nullptr ? static_cast<const void*>(sa.slot->current.load())
                                       : sa.inbound);
    }
    return all;
  };
  const auto before = seen();
  wanted_.first_spi = 0x1111;
  wanted_.first_policy = "10.4.0.0/16";
  config::Document bad = load().document;
  bad.lines[0].policies[0].selector.destination[0].length = 33;
  EXPECT_FALSE(line.prepare(std::move(bad.lines[0])));
  EXPECT_EQ(seen(), before);
  {
    auto dropped = line.prepare(std::move(load().document.lines[0]));
    ASSERT_TRUE(dropped);
  }
  EXPECT_EQ(seen(), before);
  // The API's changes are made as a whole too: the second of these has a key of no algorithm's
  // length.
  config::Document more = load().document;
  more.lines[0].sas[1].key.bytes = crypto::SecretBytes(std::vector<std::uint8_t>(5, 1));
  EXPECT_FALSE(line.replace_sas(std::move(more.lines[0].sas)));
  EXPECT_EQ(seen(), before);
  auto change = line.prepare(std::move(load().document.lines[0]));
  ASSERT_TRUE(change);
  ASSERT_TRUE(LineControl::reserve(numbers(), {&*change, 1}));
  line.commit(std::move(*change));
  const auto after = seen();
  EXPECT_NE(after[0], before[0]);  // policies
  EXPECT_EQ(after[1], before[1]);  // the gateway stays
  // The SA of an SPI gets another name: the new one stays.
  wanted_.inbound_name = "return";
  change = line.prepare(std::move(load().document.lines[0]));
  ASSERT_TRUE(change);
  line.commit(std::move(*change));
  ASSERT_EQ(line.sas().size(), 2U);
  EXPECT_EQ(line.sas()[0].config->name, "return");
  EXPECT_EQ(line.sad()->find_inbound(0x2001), line.sas()[0].inbound);
  publisher.drain(100);
}

// A worker amid a burst goes on with the policies it began with: the SA that they name stays until
// the burst is through.
TEST_F(LineChangeTest, ARemovedSaStaysForThoseThatStillSeeItsPolicies) {
  config::Document document = load().document;
  const auto line = make(document.lines[0]);
  ASSERT_TRUE(line);
  const auto rename = [&](const char* name, int spi) {
    wanted_.outbound_name = name;
    wanted_.first_spi = spi;
    auto change = line->prepare(std::move(load().document.lines[0]));
    ASSERT_TRUE(change);
    ASSERT_TRUE(LineControl::reserve(numbers(), {&*change, 1}));
    line->commit(std::move(*change));
  };
  const auto look = [&] {
    publisher.poll();
    line->tick(NumberKeeper::Clock::now(), [](const std::string& said) { ADD_FAILURE() << said; });
  };
  ASSERT_EQ(rte_rcu_qsbr_thread_register(publisher.qsbr(), 0), 0);
  rte_rcu_qsbr_thread_online(publisher.qsbr(), 0);
  const auto quiescent = [&] {
    rte_rcu_qsbr_quiescent(publisher.qsbr(), 0);
    look();
  };

  pipelines::OutboundSlot* const old = line->sas()[1].slot;
  const pipelines::OutboundSa* const sa = old->current;
  ASSERT_NE(sa, nullptr);
  rename("other", 0x1111);
  look();
  EXPECT_EQ(old->current, sa);
  EXPECT_EQ(line->sas().size(), 2U);
  EXPECT_NE(line->sas()[1].slot, old);
  quiescent();
  EXPECT_EQ(old->current, nullptr);

  // The name comes back before the burst is through: what it names then is not taken away.
  rename("there", 0x1001);
  rename("other", 0x1111);
  rename("there", 0x1001);
  EXPECT_NE(old->current, nullptr);
  quiescent();
  quiescent();
  EXPECT_NE(old->current, nullptr);
  EXPECT_EQ(line->sas()[1].slot, old);

  // Nothing was replaced meanwhile: it goes at once.
  ASSERT_TRUE(line->remove_sa("there"));
  EXPECT_EQ(old->current, nullptr);
  rte_rcu_qsbr_thread_offline(publisher.qsbr(), 0);
  rte_rcu_qsbr_thread_unregister(publisher.qsbr(), 0);
}

// What its workers see says whether the line may forward, whatever else changes.
TEST_F(LineChangeTest, ALineThatIsNotSecureStaysSoThroughChanges) {
  config::Document document = load().document;
  const auto line = make(document.lines[0]);
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->snapshot().secure);
  line->set_secure(false);
  EXPECT_FALSE(line->snapshot().secure);
  wanted_.first_policy = "10.4.0.0/16";
  auto change = line->prepare(std::move(load().document.lines[0]));
  ASSERT_TRUE(change);
  line->commit(std::move(*change));
  EXPECT_FALSE(line->snapshot().secure);
  line->set_secure(true);
  EXPECT_TRUE(line->snapshot().secure);
}

// From the first number behind what may have been used up to what is on disk, which is raised
// before it is reached.
TEST_F(LineChangeTest, EachSaKeepsToTheNumbersReservedForIt) {
  const auto recorded = [this](const NonceSpace& space) {
    return store_->recorded(*store_->identify(space)).value_or(0);
  };
  const auto check = [&](const NonceSpace& space, std::uint64_t before,
                         std::atomic<std::uint64_t>& next, std::atomic<std::uint64_t>& limit) {
    EXPECT_GT(before, 1U);
    EXPECT_EQ(next, before);
    EXPECT_GT(limit, before);
    EXPECT_EQ(limit, recorded(space));
    const std::uint64_t old = limit;
    next = old;
    ASSERT_TRUE(numbers().poll(NumberKeeper::Clock::now()));
    EXPECT_GT(limit, old);
    EXPECT_EQ(limit, recorded(space));
  };
  const auto octets = [](int fill, std::size_t count) {
    return std::vector<std::uint8_t>(count, static_cast<std::uint8_t>(fill));
  };
  config::Document document = load().document;
  // The appliance's line of the same key has taken numbers.
  const auto esp = NonceSpace::esp(crypto::Algorithm::aes_gcm_128, octets(1, 16), octets(9, 4));
  const std::uint64_t esp_before = recorded(esp);
  const auto gateway = make(document.lines[0]);
  ASSERT_TRUE(gateway);
  for (const auto& sa : gateway->sas()) {
    if (sa.slot == nullptr) continue;
    pipelines::OutboundSa* const out = sa.slot->current.load();
    check(esp, esp_before, out->runtime.next_sn, out->sn_limit);
  }
  const auto macsec = NonceSpace::macsec(octets(50, 16), crypto::Sci(0x0200000001020001));
  const std::uint64_t macsec_before = recorded(macsec);
  const auto wire = make(document.lines[2]);
  ASSERT_TRUE(wire);
  pipelines::TransmitSa* const sa = wire->secy(0)->encoding_sa();
  ASSERT_NE(sa, nullptr);
  check(macsec, macsec_before, sa->next_pn, sa->limit);
}

}  // namespace
}  // namespace sealwire::control
