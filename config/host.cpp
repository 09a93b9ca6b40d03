#include "config/host.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

#include "config/report.h"
#include "config/rules.h"
#include "config/text.h"

namespace sealwire::config {
namespace {

// "0-3,8" as the kernel writes lists of cores.
std::set<std::uint16_t> core_list(std::string_view text) {
  std::set<std::uint16_t> cores;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(",\n"), text.size());
    if (const auto range = parse_port_range(text.substr(0, end)))
      for (unsigned core = range->first; core <= range->last; ++core)
        cores.insert(static_cast<std::uint16_t>(core));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return cores;
}

// The full form: the domain is 0000 if not said.
std::string full_pci(const std::string& address) {
  return address.size() == 7 ? "0000:" + address : address;
}

class HostCheck {
 public:
  HostCheck(const HostFacts& facts, const std::string& file) : facts_(facts), file_(file) {}

  void core(std::uint16_t lcore, Position where, const Path& path) {
    if (facts_.lcores.contains(lcore)) return;
    add(Rule::host_no_core, where, path, fmt::format("lcore {} is not online here", lcore),
        available());
  }

  void cores(const Cores& cores, Position where, const Path& path) {
    for (const std::uint16_t lcore : cores.lcores) core(lcore, where, path);
    // A mere number is of threads, and threads may share a core.
    if (cores.lcores.empty() && cores.count > facts_.lcores.size())
      add(Rule::shared_cores, where, path,
          fmt::format("{} cores are asked for, this host has {}", cores.count,
                      facts_.lcores.size()),
          available());
  }

  void device(const std::string& address, Position where, const Path& path) {
    if (facts_.pci_devices.contains(full_pci(address))) return;
    std::vector<std::string_view> known(facts_.pci_devices.begin(), facts_.pci_devices.end());
    add(Rule::host_no_device, where, path, fmt::format("there is no PCI device {}", quote(address)),
        "a device of this host", nearest(full_pci(address), known));
  }

  void add(Rule rule, Position where, const Path& path, std::string message, std::string expected,
           std::string near = {}) {
    (is_warning(rule) ? warnings_ : mistakes_)
        .push_back({file_, where.line, where.column, to_string(path), id_of(rule),
                    std::move(message), std::move(expected), std::move(near)});
  }

  std::vector<Mistake> take() { return std::move(mistakes_); }
  std::vector<Mistake> take_warnings() { return std::move(warnings_); }

 private:
  std::string available() const {
    std::string text;
    for (const std::uint16_t lcore : facts_.lcores)
      text += (text.empty() ? "lcores of this host: " : ", ") + std::to_string(lcore);
    return text;
  }

  const HostFacts& facts_;
  const std::string& file_;
  std::vector<Mistake> mistakes_, warnings_;
};

}  // namespace

HostFacts host_facts(const Document& document, const std::string& sys) {
  HostFacts facts;
  std::string online;
  std::getline(std::ifstream(sys + "/devices/system/cpu/online"), online);
  facts.lcores = core_list(online);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(sys + "/bus/pci/devices", error))
    facts.pci_devices.insert(entry.path().filename().string());
  struct stat status {};
  if (stat(document.system.state_directory.c_str(), &status) == 0) {
    facts.state_directory_exists = S_ISDIR(status.st_mode);
    facts.state_directory_open = (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
  }
  return facts;
}

std::vector<Mistake> check_host(const Document& document, const HostFacts& facts,
                                const std::string& file, std::vector<Mistake>* warnings) {
  HostCheck host(facts, file);
  host.cores(document.system.workers, document.system.where, {"system", "workers"});
  if (document.system.control_core)
    host.core(*document.system.control_core, document.system.where, {"system", "control-core"});
  for (const Port& port : document.ports)
    if (port.pci) host.device(port.device, port.where, {"ports", port.name, "device"});
  for (const Line& line : document.lines) {
    const std::string& device = line.engine.device;
    if (line.engine.kind == EngineKind::cryptodev && !device.starts_with("crypto_"))
      host.device(device, line.where, {"lines", line.name, "engine"});
  }
  if (facts.state_directory_exists && facts.state_directory_open)
    host.add(Rule::host_directory, document.system.where, {"system", "state-directory"},
             fmt::format("group or others have access to {}", document.system.state_directory),
             "mode 0700");
  if (warnings != nullptr) {
    for (Mistake& warning : host.take_warnings()) warnings->push_back(std::move(warning));
  }
  return host.take();
}

Loaded load_for_host(const std::string& path) {
  Loaded loaded = load_file(path);
  if (loaded.ok())
    loaded.mistakes =
        check_host(loaded.document, host_facts(loaded.document), path, &loaded.warnings);
  return loaded;
}

}  // namespace sealwire::config
