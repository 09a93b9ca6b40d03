#include "app/daemon/eal.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>

#include "app/daemon/pool_plan.h"

namespace sealwire::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kBaseMemory = 48 * kMiB;    // EAL, rings, tables of a few thousand SAs
constexpr std::uint64_t kDeviceMemory = 96 * kMiB;  // sessions and queues of a crypto device

// The prefix names EAL's runtime directory: one per API socket, so that instances do not meet.
std::string prefix_of(const std::string& socket) {
  std::array<unsigned char, 32> digest{};
  unsigned int length = 0;
  EVP_Digest(socket.data(), socket.size(), digest.data(), &length, EVP_sha256(), nullptr);
  return fmt::format("sealwire-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2],
                     digest[3]);
}

std::string set_of(const std::vector<unsigned>& cpus) {
  if (cpus.size() == 1) return std::to_string(cpus.front());
  return fmt::format("({})", fmt::join(cpus, ","));
}

std::vector<std::string> pci_devices(const config::Document& document) {
  std::vector<std::string> devices;
  for (const config::Port& port : document.ports) {
    if (port.pci) devices.push_back(port.device);
  }
  for (const config::Line& line : document.lines) {
    const std::string& device = line.engine.device;
    if (line.engine.kind == config::EngineKind::cryptodev &&
        device.find(':') != std::string::npos &&
        std::find(devices.begin(), devices.end(), device) == devices.end()) {
      devices.push_back(device);
    }
  }
  return devices;
}

// DPDK's log stream: complete lines go to spdlog, the latest are kept for error messages.
class LogSink {
 public:
  ssize_t write(const char* data, std::size_t size) {
    const std::lock_guard lock(mutex_);
    partial_.append(data, size);
    for (std::size_t end; (end = partial_.find('\n')) != std::string::npos;) {
      std::string line = partial_.substr(0, end);
      partial_.erase(0, end + 1);
      if (line.empty()) continue;
      spdlog::log(shown_ ? spdlog::level::info : spdlog::level::debug, "dpdk: {}", line);
      if (rte_log_cur_msg_loglevel() <= static_cast<int>(RTE_LOG_WARNING)) {
        kept_.push_back(std::move(line));
        if (kept_.size() > 4) kept_.pop_front();
      }
    }
    return static_cast<ssize_t>(size);
  }
  void show(bool shown) { shown_ = shown; }
  std::string take() {
    const std::lock_guard lock(mutex_);
    std::string all = fmt::format("{}", fmt::join(kept_, "; "));
    kept_.clear();
    return all;
  }

 private:
  std::mutex mutex_;
  std::string partial_;
  std::deque<std::string> kept_;
  bool shown_ = false;
};

LogSink& sink() {
  static LogSink one;
  return one;
}

}  // namespace

Host this_host() {
  Host host;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) host.cpus.push_back(cpu);
    }
  }
  if (host.cpus.empty()) host.cpus.push_back(0);
  std::error_code ignored;
  for (const auto& size : fs::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    const std::string name = size.path().filename();
    std::uint64_t free = 0;
    std::ifstream(size.path() / "free_hugepages") >> free;
    host.free_hugepages +=
        free * 1024 * std::strtoull(name.c_str() + std::strlen("hugepages-"), nullptr, 10);
  }
  return host;
}

std::uint64_t memory_needed(const config::Document& document, std::uint64_t page) {
  std::uint64_t octets = kBaseMemory;
  std::set<std::string> crypto_devices;
  for (const config::Port& port : document.ports) {
    octets += pool_plan(document, port).octets(page);
  }
  for (const config::Line& line : document.lines) {
    octets += line_pool_plan(document, line).octets(page);
    if (line.engine.kind == config::EngineKind::cryptodev)
      crypto_devices.insert(line.engine.device);
    octets += (line.sas.size() + line.policies.size()) * 4096;
  }
  octets += crypto_devices.size() * kDeviceMemory;
  return (octets + octets / 8 + kMiB - 1) / kMiB * kMiB;
}

Result<EalPlan> plan_eal(const config::Document& document, const Host& host) {
  EalPlan plan;
  const config::System& system = document.system;
  plan.file_prefix = prefix_of(system.api_socket);
  auto& arguments = plan.arguments;
  arguments = {"sealwired", "--file-prefix", plan.file_prefix};

  const auto devices = pci_devices(document);
  plan.devices = !devices.empty() || !system.eal_args.empty();
  if (devices.empty()) arguments.emplace_back("--no-pci");
  for (const std::string& device : devices) {
    arguments.insert(arguments.end(), {"-a", device});
  }

  const auto wanted_of = [&](std::uint64_t page) {
    return system.memory != 0 ? system.memory : memory_needed(document, page);
  };
  std::uint64_t wanted = wanted_of(kHugepage);
  const bool enough = host.free_hugepages >= wanted;
  if (system.hugepages == config::Hugepages::required && !enough) {
    return fail("SW-EAL-001",
                fmt::format("system.hugepages: required, but {} MiB are free and {} MiB are needed",
                            host.free_hugepages / kMiB, wanted / kMiB),
                fmt::format("sysctl vm.nr_hugepages={} (pages of 2 MiB)", wanted / kMiB / 2 + 16));
  }
  if (enough && system.hugepages != config::Hugepages::off) {
    arguments.emplace_back("--in-memory");
    plan.memory_note = fmt::format("hugepages: {} MiB free, about {} MiB used",
                                   host.free_hugepages / kMiB, wanted / kMiB);
  } else {
    wanted = wanted_of(kOrdinaryPage);
    arguments.insert(arguments.end(), {"--no-huge", "-m", std::to_string(wanted / kMiB)});
    plan.memory_note =
        fmt::format("no hugepages ({}): {} MiB of ordinary memory",
                    system.hugepages == config::Hugepages::off ? "off in the configuration"
                    : host.free_hugepages == 0                 ? "none on this box"
                                                               : "too few free",
                    wanted / kMiB);
  }

  const auto allowed = [&host](unsigned cpu) {
    return std::find(host.cpus.begin(), host.cpus.end(), cpu) != host.cpus.end();
  };
  std::vector<unsigned> rest = host.cpus;  // for the control thread: those without a worker
  std::string workers;
  for (std::size_t i = 0; i < system.workers.count; ++i) {
    if (system.workers.lcores.empty()) {
      workers += fmt::format(",{}@{}", i + 1, set_of(host.cpus));
      continue;
    }
    const unsigned cpu = system.workers.lcores[i];
    if (!allowed(cpu)) {
      return fail("SW-EAL-002",
                  fmt::format("system.workers: this process may not run on CPU {}", cpu),
                  fmt::format("choose from {}", fmt::join(host.cpus, ", ")));
    }
    workers += fmt::format(",{}@{}", i + 1, cpu);
    if (rest.size() > 1) std::erase(rest, cpu);
  }
  std::string control = set_of(rest);
  if (system.control_core) {
    if (!allowed(*system.control_core)) {
      return fail("SW-EAL-002",
                  fmt::format("system.control-core: this process may not run on CPU {}",
                              *system.control_core),
                  fmt::format("choose from {}", fmt::join(host.cpus, ", ")));
    }
    control = std::to_string(*system.control_core);
  }
  arguments.insert(arguments.end(), {"--lcores", fmt::format("0@{}{}", control, workers)});
  if (!system.dpdk_telemetry) arguments.emplace_back("--no-telemetry");
  arguments.insert(arguments.end(), system.eal_args.begin(), system.eal_args.end());
  return plan;
}

Result<void> Eal::start(const EalPlan& plan, bool show_log) {
  cookie_io_functions_t functions{};
  functions.write = [](void* cookie, const char* data, std::size_t size) {
    return static_cast<LogSink*>(cookie)->write(data, size);
  };
  static FILE* const stream = ::fopencookie(&sink(), "w", functions);
  if (stream != nullptr) {
    std::setvbuf(stream, nullptr, _IOLBF, BUFSIZ);
    rte_openlog_stream(stream);
  }
  sink().show(show_log);
  static std::vector<std::string> arguments;  // EAL keeps pointers into it
  arguments = plan.arguments;
  static std::vector<char*> argv;
  argv.clear();
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(arguments.size()), argv.data()) < 0) {
    const int why = rte_errno;
    return fail("SW-EAL-010",
                fmt::format("DPDK does not start: {} ({})", rte_strerror(why), recent_messages()),
                fmt::format("its arguments were: {}; see system.hugepages, system.memory and "
                            "system.eal-args",
                            fmt::join(plan.arguments, " ")));
  }
  return {};
}

void Eal::stop() { rte_eal_cleanup(); }

std::string Eal::recent_messages() { return sink().take(); }

}  // namespace sealwire::daemon
