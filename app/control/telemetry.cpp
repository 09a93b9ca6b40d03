#include "app/control/telemetry.h"

#include <fmt/format.h>
#include <rte_telemetry.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

namespace sealwire::control {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxNames = 512;    // RTE_TEL_MAX_ARRAY_ENTRIES
constexpr std::size_t kMaxEntries = 256;  // RTE_TEL_MAX_DICT_ENTRIES

using Value = std::variant<std::uint64_t, std::string>;
using Entry = std::vector<std::pair<std::string, Value>>;

// One command's answers: by name, or one entry for all.
struct Page {
  std::map<std::string, Entry> named;
  Entry whole;
};
using Snapshot = std::map<std::string, Page>;

std::mutex mutex;
std::shared_ptr<const Snapshot> latest;

// DPDK allows letters, digits, '_' and '/' in names.
std::string key_of(std::string text) {
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '/') c = '_';
  }
  return text.substr(0, 63);
}

void flatten(const json& value, const std::string& prefix, Entry& out) {
  if (value.is_object() || value.is_array()) {
    std::size_t index = 0;
    for (const auto& [name, item] : value.items()) {
      const std::string part = value.is_object() ? name : std::to_string(index++);
      flatten(item, prefix.empty() ? part : prefix + "/" + part, out);
    }
  } else if (value.is_number_float()) {
    // There is no fraction here: a load is given in thousandths.
    const double number = value.get<double>();
    const bool load = prefix == "load";
    out.emplace_back(key_of(load ? "load_permille" : prefix),
                     static_cast<std::uint64_t>(load ? number * 1000 : number));
  } else if (value.is_number()) {
    out.emplace_back(key_of(prefix), value.get<std::uint64_t>());
  } else if (value.is_boolean()) {
    out.emplace_back(key_of(prefix), std::uint64_t{value.get<bool>() ? 1U : 0U});
  } else if (value.is_string()) {
    out.emplace_back(key_of(prefix), value.get<std::string>().substr(0, 127));
  }
}

Page page_of(const json& items, std::initializer_list<const char*> name_parts) {
  Page page;
  for (const json& item : items) {
    std::string name;
    for (const char* part : name_parts) {
      name += (name.empty() ? "" : "/") + item.value(part, std::string());
    }
    flatten(item, "", page.named[name]);
  }
  return page;
}

int answer(const char* command, const char* parameters, rte_tel_data* data) {
  std::shared_ptr<const Snapshot> snapshot;
  {
    const std::lock_guard lock(mutex);
    snapshot = latest;
  }
  if (!snapshot) return -1;
  const auto found = snapshot->find(command);
  if (found == snapshot->end()) return -1;
  const Page& page = found->second;
  const std::string name = parameters == nullptr ? "" : parameters;
  const Entry* entry = &page.whole;
  if (!page.named.empty() || page.whole.empty()) {
    if (name.empty()) {
      rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
      std::size_t count = 0;
      for (const auto& [one, unused] : page.named) {
        if (++count > kMaxNames) break;
        rte_tel_data_add_array_string(data, one.c_str());
      }
      return 0;
    }
    const auto one = page.named.find(name);
    if (one == page.named.end()) return -1;
    entry = &one->second;
  }
  rte_tel_data_start_dict(data);
  std::size_t count = 0;
  for (const auto& [key, value] : *entry) {
    if (++count > kMaxEntries) break;
    if (const auto* number = std::get_if<std::uint64_t>(&value)) {
      rte_tel_data_add_dict_u64(data, key.c_str(), *number);
    } else {
      rte_tel_data_add_dict_string(data, key.c_str(), std::get<std::string>(value).c_str());
    }
  }
  return 0;
}

struct Command {
  const char* path;
  const char* help;
};
constexpr std::array<Command, 8> kCommands = {{
    {"/sealwire/lines", "Names of the lines, or the figures of one. Parameter: line"},
    {"/sealwire/ports", "Names of the ports, or the figures of one. Parameter: port"},
    {"/sealwire/sas", "ESP SAs, or the figures of one. Parameter: line/name"},
    {"/sealwire/secys", "SecYs, or the figures of one. Parameter: line/port"},
    {"/sealwire/neighbours", "Next hops, or what is known of one. Parameter: line/port/address"},
    {"/sealwire/gateways", "Gateway lines, or what one did by itself. Parameter: line"},
    {"/sealwire/cores", "Worker threads, or the figures of one. Parameter: name"},
    {"/sealwire/drops", "Packets dropped, by line, direction and reason. No parameter"},
}};

}  // namespace

Result<void> Telemetry::start() {
  for (const Command& command : kCommands) {
    if (rte_telemetry_register_cmd(command.path, answer, command.help) != 0) {
      return fail("SW-CTL-030", fmt::format("telemetry command {} is refused", command.path));
    }
  }
  return {};
}

void Telemetry::update(const Figures& figures) {
  auto next = std::make_shared<Snapshot>();
  (*next)["/sealwire/lines"] = page_of(figures.lines()["lines"], {"name"});
  (*next)["/sealwire/ports"] = page_of(figures.ports()["ports"], {"name"});
  (*next)["/sealwire/sas"] = page_of(figures.sas({}, kMaxNames)["sas"], {"line", "name"});
  (*next)["/sealwire/secys"] = page_of(figures.secys()["secys"], {"line", "port"});
  (*next)["/sealwire/neighbours"] =
      page_of(figures.neighbours()["neighbours"], {"line", "port", "address"});
  (*next)["/sealwire/gateways"] = page_of(figures.gateways()["gateways"], {"line"});
  (*next)["/sealwire/cores"] = page_of(figures.cores()["cores"], {"name"});
  Page& drops = (*next)["/sealwire/drops"];
  const json dropped = figures.drops({}, true);
  for (const json& drop : dropped["drops"]) {
    drops.whole.emplace_back(key_of(fmt::format("{}/{}/{}", drop["line"].get<std::string>(),
                                                drop["direction"].get<std::string>(),
                                                drop["reason"].get<std::string>())),
                             drop["packets"].get<std::uint64_t>());
  }
  // What happened first, in the room there is.
  std::stable_partition(drops.whole.begin(), drops.whole.end(), [](const auto& entry) {
    return std::get<std::uint64_t>(entry.second) != 0;
  });
  const std::lock_guard lock(mutex);
  latest = std::move(next);
}

void Telemetry::stop() {
  const std::lock_guard lock(mutex);
  latest.reset();
}

}  // namespace sealwire::control
