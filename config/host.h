#pragma once

// The rules that need this host: `sealwire check --host` and the daemon at its start.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "config/load.h"
#include "config/model.h"

namespace sealwire::config {

// What is known of a host. Tests make their own; host_facts() asks the system.
struct HostFacts {
  std::set<std::uint16_t> lcores;       // online logical cores
  std::set<std::string> pci_devices;    // "0000:3b:00.0"
  bool state_directory_exists = false;  // of the document in question
  bool state_directory_open = false;    // group or others have access
};

// Reads /sys and the state directory's mode. `sys` is "/sys" but in tests.
HostFacts host_facts(const Document& document, const std::string& sys = "/sys");

// What does not hold here, with positions of the file when they are known; what may be but hardly
// is meant goes to `warnings`. A document with mistakes is not to be checked.
std::vector<Mistake> check_host(const Document& document, const HostFacts& facts,
                                const std::string& file, std::vector<Mistake>* warnings = nullptr);

// load_file(), and then the rules of this host: what the daemon starts with and reloads, and what
// `check --host` says.
Loaded load_for_host(const std::string& path);

}  // namespace sealwire::config
