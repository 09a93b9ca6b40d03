#include "app/cli/doctor.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "app/cli/client.h"
#include "app/cli/table.h"
#include "config/load.h"

namespace sealwire::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

enum class Grade { good, advice, bad };
struct Finding {
  Grade grade;
  std::string what, found, remedy;
};

std::string read_word(const fs::path& path) {
  std::ifstream in(path);
  std::string word;
  std::getline(in, word);
  return word;
}

std::set<std::string> cpu_flags() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.starts_with("flags") || line.starts_with("Features")) {
      std::istringstream words(line.substr(line.find(':') + 1));
      return {std::istream_iterator<std::string>(words), {}};
    }
  }
  return {};
}

void check_cpu(std::vector<Finding>& out) {
  const auto flags = cpu_flags();
  const auto has = [&flags](const char* flag) { return flags.count(flag) > 0; };
  std::string found;
  for (const char* flag : {"aes", "pclmulqdq", "sse4_2", "avx2", "vaes", "vpclmulqdq", "avx512f"}) {
    if (has(flag)) found += std::string(found.empty() ? "" : " ") + flag;
  }
  if (has("aes") && has("pclmulqdq")) {
    const bool wide = has("vaes") && has("vpclmulqdq");
    out.push_back({wide ? Grade::good : Grade::advice, "crypto instructions", found,
                   wide ? "" : "a CPU with VAES and AVX-512 seals two to four times as fast"});
  } else {
    out.push_back({Grade::advice, "crypto instructions", found.empty() ? "none" : found,
                   "without AES-NI and PCLMULQDQ ciphers run in slow, portable code"});
  }
  const unsigned cores = std::thread::hardware_concurrency();
  out.push_back(
      {cores >= 2 ? Grade::good : Grade::advice, "cores", std::to_string(cores),
       cores >= 2 ? "" : "one core is shared by control and workers: idle must not be spin"});
  const std::string isolated = read_word("/sys/devices/system/cpu/isolated");
  out.push_back(
      {isolated.empty() ? Grade::advice : Grade::good, "isolated cores",
       isolated.empty() ? "none" : isolated,
       isolated.empty() ? "for steady latency boot with isolcpus= for the worker cores" : ""});
}

void check_memory(std::vector<Finding>& out) {
  std::uint64_t pages_octets = 0;
  std::string found;
  std::error_code ignored;
  for (const auto& size : fs::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    const std::string name = size.path().filename();  // hugepages-2048kB
    const std::string total = read_word(size.path() / "nr_hugepages");
    const std::string free = read_word(size.path() / "free_hugepages");
    if (total.empty() || total == "0") continue;
    const std::uint64_t kib = std::strtoull(name.c_str() + std::strlen("hugepages-"), nullptr, 10);
    pages_octets += std::strtoull(free.c_str(), nullptr, 10) * kib * 1024;
    found +=
        fmt::format("{}{} of {} pages of {} KiB free", found.empty() ? "" : ", ", free, total, kib);
  }
  out.push_back(
      {pages_octets > 0 ? Grade::good : Grade::advice, "hugepages", found.empty() ? "none" : found,
       pages_octets > 0 ? ""
                        : "works without; physical NICs need them: sysctl vm.nr_hugepages=1024"});
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool enough = ::geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY;
  out.push_back(
      {enough ? Grade::good : Grade::advice, "locked memory",
       limit.rlim_cur == RLIM_INFINITY ? "unlimited" : fmt::format("{} KiB", limit.rlim_cur / 1024),
       enough ? "" : "keys are kept out of swap by mlock: raise LimitMEMLOCK"});
}

void check_devices(std::vector<Finding>& out) {
  std::error_code ignored;
  for (const auto& device : fs::directory_iterator("/sys/bus/pci/devices", ignored)) {
    if (!read_word(device.path() / "class").starts_with("0x02")) continue;
    const std::string driver = fs::read_symlink(device.path() / "driver", ignored).filename();
    const bool usable = driver == "vfio-pci" || driver == "uio_pci_generic" ||
                        driver == "igb_uio" || driver.starts_with("mlx");
    out.push_back(
        {usable ? Grade::good : Grade::advice, "NIC " + device.path().filename().string(),
         "driver " + (driver.empty() ? "none" : driver),
         usable ? "" : "to use it as a port bind it to vfio-pci; leave the management NIC alone"});
  }
  const bool groups = fs::exists("/sys/kernel/iommu_groups", ignored) &&
                      !fs::is_empty("/sys/kernel/iommu_groups", ignored);
  out.push_back({groups ? Grade::good : Grade::advice, "IOMMU", groups ? "on" : "off",
                 groups ? "" : "vfio-pci needs it: boot with intel_iommu=on or amd_iommu=on"});
}

void check_kernel(std::vector<Finding>& out) {
  utsname name{};
  ::uname(&name);
  out.push_back({Grade::good, "kernel", fmt::format("{} {}", name.sysname, name.release), ""});
  const bool root = ::geteuid() == 0;
  out.push_back(
      {root ? Grade::good : Grade::advice, "user", root ? "root" : std::to_string(::geteuid()),
       root ? "" : "devices usually need root or CAP_NET_RAW, CAP_NET_ADMIN, CAP_IPC_LOCK"});
  const bool tun = ::access("/dev/net/tun", R_OK | W_OK) == 0;
  out.push_back({tun ? Grade::good : Grade::advice, "/dev/net/tun", tun ? "usable" : "not usable",
                 tun ? "" : "net_tap ports need it"});
}

// Linux hands unfinished checksums and oversized segments to af_packet unless told not to.
void check_interface(std::vector<Finding>& out, const config::Port& port, const std::string& name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (::ioctl(fd, SIOCGIFMTU, &request) != 0) {
    out.push_back({Grade::bad, "port " + port.name, "no interface " + name,
                   "make it, or correct ports." + port.name + ".device"});
    ::close(fd);
    return;
  }
  const int mtu = request.ifr_mtu;
  if (mtu < port.mtu) {
    out.push_back({Grade::bad, "port " + port.name,
                   fmt::format("{} has MTU {}, the port {}", name, mtu, port.mtu),
                   fmt::format("ip link set {} mtu {}", name, port.mtu)});
  }
  std::string on;
  const std::pair<std::uint32_t, const char*> kOffloads[] = {
      {ETHTOOL_GTXCSUM, "tx"}, {ETHTOOL_GTSO, "tso"}, {ETHTOOL_GGSO, "gso"}, {ETHTOOL_GGRO, "gro"}};
  for (const auto& [command, feature] : kOffloads) {
    ethtool_value value{};
    value.cmd = command;
    request.ifr_data = reinterpret_cast<char*>(&value);
    if (::ioctl(fd, SIOCETHTOOL, &request) == 0 && value.data != 0)
      on += std::string(" ") + feature;
  }
  ::close(fd);
  out.push_back(
      {on.empty() ? Grade::good : Grade::advice, "port " + port.name,
       on.empty() ? name + ": no offload in the way" : name + ": offloads on:" + on,
       on.empty()
           ? ""
           : "on the interface and its veth peer: ethtool -K DEV tx off tso off gso off gro off"});
}

void check_config(std::vector<Finding>& out, const std::string& path) {
  const config::Loaded loaded = config::load_file(path);
  for (const auto& mistake : loaded.mistakes) {
    out.push_back({Grade::bad, "config", config::to_string(mistake), "sealwire check " + path});
  }
  if (!loaded.ok()) return;
  out.push_back({Grade::good, "config", path, ""});
  const config::Document& document = loaded.document;
  const unsigned cores = std::thread::hardware_concurrency();
  for (const auto lcore : document.system.workers.lcores) {
    if (lcore >= cores) {
      out.push_back({Grade::bad, "system.workers", fmt::format("core {} of {}", lcore, cores),
                     "name cores that exist"});
    }
  }
  for (const config::Port& port : document.ports) {
    if (port.pci) {
      std::error_code ignored;
      if (!fs::exists("/sys/bus/pci/devices/" + port.device, ignored)) {
        out.push_back({Grade::bad, "port " + port.name, "no PCI device " + port.device,
                       "lspci -D lists them"});
      }
      continue;
    }
    const std::size_t at = port.device.find("iface=");
    if (port.device.starts_with("net_af_packet") && at != std::string::npos) {
      const std::string name = port.device.substr(at + 6);
      check_interface(out, port, name.substr(0, name.find(',')));
    }
  }
}

}  // namespace

int doctor(const std::string& config, bool as_json) {
  std::vector<Finding> findings;
  check_kernel(findings);
  check_cpu(findings);
  check_memory(findings);
  check_devices(findings);
  if (!config.empty()) check_config(findings, config);
  const bool bad = std::any_of(findings.begin(), findings.end(),
                               [](const Finding& f) { return f.grade == Grade::bad; });
  const auto grade = [](Grade g) {
    return g == Grade::good ? "ok" : g == Grade::advice ? "advice" : "BAD";
  };
  if (as_json) {
    json list = json::array();
    for (const Finding& f : findings) {
      list.push_back(
          {{"grade", grade(f.grade)}, {"what", f.what}, {"found", f.found}, {"remedy", f.remedy}});
    }
    fmt::print("{}\n", json{{"ready", !bad}, {"findings", list}}.dump(2));
  } else {
    Table table({"", "WHAT", "FOUND", "ADVICE"});
    for (const Finding& f : findings) table.add({grade(f.grade), f.what, f.found, f.remedy});
    fmt::print("{}{}\n", table.text(), bad ? "not ready" : "ready");
  }
  return bad ? kFailed : kOk;
}

}  // namespace sealwire::cli
