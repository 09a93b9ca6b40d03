// DPDK's environment: which arguments it gets, and its start without noise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model.h"
#include "crypto/result.h"

namespace sealwire::daemon {

// What of this box the arguments depend on.
struct Host {
  std::vector<unsigned> cpus;        // this process may run on, ascending
  std::uint64_t free_hugepages = 0;  // octets
};
Host this_host();

struct EalPlan {
  std::vector<std::string> arguments;  // argv[0] included
  std::string memory_note;             // one line for the log: hugepages or not, and how much
  std::string file_prefix;
  bool devices = false;  // physical ones, or what system.eal-args may bring
};

inline constexpr std::uint64_t kOrdinaryPage = 4096, kHugepage = 2 << 20;  // octets

// Octets of packet memory the ports and lines of `document` take, tables included.
std::uint64_t memory_needed(const config::Document& document, std::uint64_t page);

// EAL's lcores: 0 is the control thread, 1..n are the workers, each mapped to a CPU or, if only
// their number is configured, to all of them. Several may share a CPU. Errors: SW-EAL-001 not
// enough hugepages where they are required, SW-EAL-002 a CPU that this process may not use.
Result<EalPlan> plan_eal(const config::Document& document, const Host& host);

// Octets and DPDK's own messages that were not passed on, newest last, for the reason of a failure.
class Eal {
 public:
  // Starts DPDK. Its messages go to the log at level debug, or info with `show_log`. Error
  // SW-EAL-010 with what DPDK said. Once per process.
  static Result<void> start(const EalPlan& plan, bool show_log);
  static void stop();

  // DPDK's latest warnings and errors since the last call, in one line.
  static std::string recent_messages();
};

}  // namespace sealwire::daemon
