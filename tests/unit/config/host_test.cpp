// The rules of a host, on hosts made up here.

#include "config/host.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "config/rules.h"

namespace sealwire::config {
namespace {

std::vector<std::string> ids(const std::vector<Mistake>& mistakes) {
  std::vector<std::string> list;
  for (const Mistake& mistake : mistakes) list.push_back(mistake.id);
  return list;
}

Document document() {
  Document d;
  d.system.workers = {2, {1, 2}};
  d.system.control_core = 0;
  Port port;
  port.name = "out";
  port.device = "3b:00.1";
  port.pci = true;
  d.ports.push_back(std::move(port));
  Port virtual_port;
  virtual_port.name = "in";
  virtual_port.device = "net_null0";
  d.ports.push_back(std::move(virtual_port));
  Line line;
  line.name = "w";
  line.engine = {EngineKind::cryptodev, "0000:60:00.0"};
  d.lines.push_back(std::move(line));
  return d;
}

HostFacts fitting() {
  return {.lcores = {0, 1, 2, 3},
          .pci_devices = {"0000:3b:00.0", "0000:3b:00.1", "0000:60:00.0"},
          .state_directory_exists = true};
}

TEST(Host, FittingOneHasNoMistakes) {
  EXPECT_TRUE(check_host(document(), fitting(), "x.yaml").empty());
}

TEST(Host, CoresThatAreNotThere) {
  HostFacts facts = fitting();
  facts.lcores = {0, 1};
  const auto mistakes = check_host(document(), facts, "x.yaml");
  ASSERT_EQ(ids(mistakes), std::vector{id_of(Rule::host_no_core)});
  EXPECT_EQ(mistakes[0].path, "system.workers");
  facts.lcores = {1, 2};
  EXPECT_EQ(check_host(document(), facts, "x.yaml")[0].path, "system.control-core");
}

TEST(Host, MoreCoresThanThereAre) {
  Document d = document();
  d.system.workers = {5, {}};
  std::vector<Mistake> warnings;
  EXPECT_TRUE(check_host(d, fitting(), "x.yaml", &warnings).empty());  // they share cores
  EXPECT_EQ(ids(warnings), std::vector{id_of(Rule::shared_cores)});
  warnings.clear();
  d.system.workers = {4, {}};
  EXPECT_TRUE(check_host(d, fitting(), "x.yaml", &warnings).empty());
  EXPECT_TRUE(warnings.empty());
}

TEST(Host, DevicesThatAreNotThere) {
  HostFacts facts = fitting();
  facts.pci_devices.erase("0000:3b:00.1");
  const auto mistakes = check_host(document(), facts, "x.yaml");
  ASSERT_EQ(ids(mistakes), std::vector{id_of(Rule::host_no_device)});
  EXPECT_EQ(mistakes[0].path, "ports.out.device");
  EXPECT_EQ(mistakes[0].nearest, "0000:3b:00.0");
  facts = fitting();
  facts.pci_devices.erase("0000:60:00.0");
  EXPECT_EQ(check_host(document(), facts, "x.yaml")[0].path, "lines.w.engine");
}

TEST(Host, StateDirectoryOpenToOthers) {
  HostFacts facts = fitting();
  facts.state_directory_open = true;
  EXPECT_EQ(ids(check_host(document(), facts, "x.yaml")), std::vector{id_of(Rule::host_directory)});
  facts.state_directory_exists = false;  // `sealwire state init` will make it
  EXPECT_TRUE(check_host(document(), facts, "x.yaml").empty());
}

TEST(Host, MistakesHaveThePlacesOfTheFile) {
  const Loaded loaded = load_text(
      "sealwire: 1\nsystem: {workers: [7]}\nports:\n  a: {device: 0000:01:00.0}\n"
      "  b: {device: net_null0}\nlines:\n  x: {stages: [], cleartext: allow, inside: a, outside: "
      "b}\n",
      "x.yaml");
  ASSERT_TRUE(loaded.ok());
  const auto mistakes = check_host(loaded.document, fitting(), "x.yaml");
  ASSERT_EQ(mistakes.size(), 2U);
  EXPECT_EQ(mistakes[0].line, 2);
  EXPECT_EQ(mistakes[1].line, 4);
  EXPECT_EQ(mistakes[1].column, 3);
}

TEST(Host, FactsFromSysfs) {
  std::string pattern = (std::filesystem::temp_directory_path() / "sealwire-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path sys = pattern;
  std::filesystem::create_directories(sys / "devices/system/cpu");
  std::filesystem::create_directories(sys / "bus/pci/devices/0000:00:02.0");
  std::filesystem::create_directories(sys / "state");
  std::ofstream(sys / "devices/system/cpu/online") << "0-2,5\n";
  Document d;
  d.system.state_directory = (sys / "state").string();
  chmod(d.system.state_directory.c_str(), 0750);
  HostFacts facts = host_facts(d, sys.string());
  EXPECT_EQ(facts.lcores, (std::set<std::uint16_t>{0, 1, 2, 5}));
  EXPECT_EQ(facts.pci_devices, (std::set<std::string>{"0000:00:02.0"}));
  EXPECT_TRUE(facts.state_directory_exists);
  EXPECT_TRUE(facts.state_directory_open);
  chmod(d.system.state_directory.c_str(), 0700);
  EXPECT_FALSE(host_facts(d, sys.string()).state_directory_open);
  std::filesystem::remove_all(sys);
}

}  // namespace
}  // namespace sealwire::config
