#include "app/daemon/ports.h"

#include <fmt/format.h>
#include <net/if.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "app/daemon/eal.h"
#include "app/daemon/pool_plan.h"

namespace sealwire::daemon {
namespace {

static_assert(RTE_MAX_ETHPORTS >= config::kMostPorts);

constexpr unsigned kPoolCache = 256;
constexpr std::uint32_t kFrameOverhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

// af_packet's rings, unless the configuration shapes them: room for the MTU, and frames enough for
// the time that a busy host may keep the worker waiting (its default is 512).
std::string arguments_of(const config::Port& port, const std::string& given) {
  if (!port.device.starts_with("net_af_packet") || given.find("framesz=") != std::string::npos ||
      given.find("blocksz=") != std::string::npos || given.find("framecnt=") != std::string::npos) {
    return given;
  }
  // The driver wants a buffer to hold a ring's frame without its header of 32 octets.
  constexpr unsigned kBlock = 65536;
  const bool jumbo = port.mtu > 1900;
  const unsigned frame = jumbo ? frame_room(port.mtu) + 32U : 2048U;
  const unsigned per_block = kBlock / frame;
  const unsigned frames = (jumbo ? 1024U : 4096U) / per_block * per_block;
  return fmt::format("{}{}blocksz={},framesz={},framecnt={}", given, given.empty() ? "" : ",",
                     kBlock, frame, frames);
}

// The interface that an af_packet port stands for.
std::string kernel_interface(const config::Port& port) {
  constexpr std::string_view kKey = ",iface=";
  const std::size_t at = port.device.find(kKey);
  if (!port.device.starts_with("net_af_packet") || at == std::string::npos) return {};
  const std::size_t begin = at + kKey.size();
  return port.device.substr(begin, port.device.find(',', begin) - begin);
}

// The driver itself sets no more than 1500; longer frames the kernel would drop without a word.
int set_kernel_mtu(const std::string& interface, std::uint16_t mtu) {
  ifreq request{};
  if (interface.size() >= sizeof request.ifr_name) return -ENODEV;
  std::copy(interface.begin(), interface.end(), request.ifr_name);
  request.ifr_mtu = mtu;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int error = fd < 0 || ::ioctl(fd, SIOCSIFMTU, &request) != 0 ? -errno : 0;
  if (fd >= 0) ::close(fd);
  return error;
}

// Queues of the line that the port is inside of: with workers in turn one each, so that RSS
// spreads.
std::uint16_t queues_wanted(const config::Document& document, const config::Port& port) {
  if (port.rx_queues != 0) return port.rx_queues;
  for (const config::Line& line : document.lines) {
    if (std::find(line.inside.begin(), line.inside.end(), port.name) != line.inside.end()) {
      return std::max<std::uint16_t>(line.workers.egress.count, 1);
    }
  }
  return 1;
}

std::string said() {
  const std::string messages = Eal::recent_messages();
  return messages.empty() ? "" : " (" + messages + ")";
}

}  // namespace

Result<Ports> Ports::open(const config::Document& document) {
  Ports ports;
  for (const config::Port& port : document.ports) {
    if (auto opened = ports.open_one(document, port); !opened) {
      return tl::unexpected(opened.error());
    }
  }
  return ports;
}

Ports::Ports(Ports&& other) noexcept : ports_(std::exchange(other.ports_, {})) {}

Ports::~Ports() { close(); }

void Ports::close() {
  for (const control::OpenPort& port : ports_) {
    rte_eth_dev_stop(port.id);
    rte_eth_dev_close(port.id);
  }
  // A transmit ring holds buffers of other ports until its port is closed.
  for (const control::OpenPort& port : ports_) rte_mempool_free(port.pool);
  ports_.clear();
}

Result<void> Ports::open_one(const config::Document& document, const config::Port& port) {
  const std::string place = "ports." + port.name;
  Eal::recent_messages();  // from now on they are about this port
  const std::size_t comma = std::min(port.device.find(','), port.device.size());
  const std::string name = port.device.substr(0, comma);
  const std::string given = port.device.substr(std::min(comma + 1, port.device.size()));

  std::uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) != 0) {
    const std::string arguments = arguments_of(port, given);
    const int failed =
        rte_eal_hotplug_add(port.pci ? "pci" : "vdev", name.c_str(), arguments.c_str());
    if (failed != 0 || rte_eth_dev_get_port_by_name(name.c_str(), &id) != 0) {
      return fail("SW-POR-001",
                  fmt::format("{}.device: {} cannot be opened: {}{}", place, port.device,
                              rte_strerror(failed < 0 ? -failed : ENODEV), said()),
                  port.pci
                      ? "bind it to vfio-pci (see 'sealwire doctor'), and check the address with "
                        "lspci -D"
                      : "check the driver's name, that the interface it names exists in this "
                        "network namespace, and that no other process holds it");
    }
  } else if (!port.pci) {
    return fail("SW-POR-001", fmt::format("{}.device: {} is open already", place, name),
                "give each port a vdev name of its own, as net_null0 and net_null1");
  }

  control::OpenPort open;
  open.name = port.name;
  open.device = port.device;
  open.id = id;
  open.mtu = port.mtu;
  const auto close = [id, &open] {
    rte_eth_dev_close(id);
    rte_mempool_free(open.pool);
  };
  const auto refuse = [&](const char* what, int error, std::string remedy) {
    Error problem{"SW-POR-002",
                  fmt::format("{}: {}: {}{}", place, what, rte_strerror(-error), said()),
                  std::move(remedy)};
    close();
    return tl::unexpected(std::move(problem));
  };

  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id, &info); error != 0) {
    return refuse("device gives no information", error, "");
  }
  const std::uint16_t wanted = queues_wanted(document, port);
  const bool spreads = (info.flow_type_rss_offloads & RTE_ETH_RSS_IP) != 0;
  open.rx_queues = std::min(wanted, spreads ? info.max_rx_queues : std::uint16_t{1});
  if (port.rx_queues > open.rx_queues) {
    close();
    return fail("SW-POR-002",
                fmt::format("{}.rx-queues: {}, but the device has {}{}", place, port.rx_queues,
                            info.max_rx_queues, spreads ? "" : " and cannot spread packets (RSS)"),
                fmt::format("use at most {}", open.rx_queues));
  }

  // Physical devices know their limit. Virtual ones take frames of any length, whatever they
  // report; but for the tap, which drops the longer ones.
  const bool limit_known = info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu;
  const std::uint32_t largest = limit_known ? info.max_mtu : info.max_rx_pktlen - kFrameOverhead;
  if (info.driver_name == std::string_view("net_tap") && port.mtu > largest) {
    close();
    return fail("SW-POR-002",
                fmt::format("{}.mtu: {}, but net_tap takes at most {}", place, port.mtu, largest),
                "lower mtu, or make the interface with 'ip tuntap' and use net_af_packet");
  }

  const PoolPlan plan = pool_plan(document, port);
  open.pool = rte_pktmbuf_pool_create(("rx-" + std::to_string(id)).c_str(), plan.buffers,
                                      kPoolCache, 0, plan.data_room, SOCKET_ID_ANY);
  if (open.pool == nullptr) {
    const std::string why = rte_strerror(rte_errno);
    close();
    return fail(
        "SW-POR-003",
        fmt::format("{}: {} buffers of {} octets: {}", place, plan.buffers, plan.data_room, why),
        "raise system.memory, or lower the ports' descriptors");
  }

  rte_eth_conf conf{};
  conf.rxmode.mtu = port.pci ? port.mtu : std::min<std::uint32_t>(largest, port.mtu);
  if (open.rx_queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  if ((info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0) {
    conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
  }
  if ((info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0) {
    conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  }
  if (const int error = rte_eth_dev_configure(id, open.rx_queues, 1, &conf); error != 0) {
    return refuse("device cannot be configured", error, "lower mtu or rx-queues");
  }
  std::uint16_t rx_descriptors = port.rx_descriptors, tx_descriptors = port.tx_descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx_descriptors, &tx_descriptors);
  for (std::uint16_t queue = 0; queue < open.rx_queues; ++queue) {
    if (const int error =
            rte_eth_rx_queue_setup(id, queue, rx_descriptors, SOCKET_ID_ANY, nullptr, open.pool);
        error != 0) {
      return refuse("receive queue", error, "lower rx-descriptors");
    }
  }
  if (const int error = rte_eth_tx_queue_setup(id, 0, tx_descriptors, SOCKET_ID_ANY, nullptr);
      error != 0) {
    return refuse("transmit queue", error, "lower tx-descriptors");
  }
  if (port.mac) {
    rte_ether_addr address{};
    std::copy(port.mac->octets.begin(), port.mac->octets.end(), address.addr_bytes);
    if (const int error = rte_eth_dev_default_mac_addr_set(id, &address);
        error != 0 && error != -ENOTSUP) {
      return refuse("mac cannot be set", error, "leave mac out, or choose a unicast address");
    }
    open.mac = port.mac->octets;
  } else {
    rte_ether_addr address{};
    rte_eth_macaddr_get(id, &address);
    std::copy_n(address.addr_bytes, 6, open.mac.begin());
  }
  if (const int error = rte_eth_dev_set_mtu(id, port.mtu); error != 0 && error != -ENOTSUP) {
    // Some virtual devices take frames of any length and only refuse to be told.
    if (const auto interface = kernel_interface(port); !interface.empty()) {
      if (const int kernel = set_kernel_mtu(interface, port.mtu); kernel != 0)
        return refuse("mtu cannot be set", kernel,
                      fmt::format("ip link set {} mtu {}, or lower mtu", interface, port.mtu));
    } else if (error == -EINVAL && !port.pci) {
      spdlog::debug("{}: the device does not take an MTU", place);
    } else {
      return refuse("mtu cannot be set", error, "lower mtu to what the device supports");
    }
  }
  if (const int error = rte_eth_dev_start(id); error != 0) {
    return refuse("device does not start", error, "");
  }
  if (port.promiscuous) {
    if (const int error = rte_eth_promiscuous_enable(id); error != 0 && error != -ENOTSUP) {
      spdlog::warn("{}: promiscuous mode cannot be set: {}", place, rte_strerror(-error));
    }
  }
  if (const int error = rte_eth_allmulticast_enable(id); error != 0) {
    spdlog::debug("{}: all-multicast cannot be set: {}", place, rte_strerror(-error));
  }
  spdlog::info("port {}: {}, MTU {}, {} receive queue{}", port.name, port.device, port.mtu,
               open.rx_queues, open.rx_queues == 1 ? "" : "s");
  ports_.push_back(std::move(open));
  return {};
}

}  // namespace sealwire::daemon
