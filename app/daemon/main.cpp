// sealwired: runs the appliance that one configuration file describes.
#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "app/control/api_server.h"
#include "app/control/appliance.h"
#include "app/control/poller.h"
#include "app/control/privileges.h"
#include "app/control/state_store.h"
#include "app/daemon/eal.h"
#include "app/daemon/pool_plan.h"
#include "app/daemon/ports.h"
#include "app/daemon/protection.h"
#include "config/host.h"
#include "config/version.h"

namespace sealwire::daemon {
namespace {

using namespace std::chrono_literals;

enum ExitCode : int { kOk = 0, kFailed = 1, kUsage = 2 };

constexpr auto kFastTick = 1ms;  // while there is something for the control thread to do
constexpr auto kSlowTick = 5ms;

void start_logging(config::LogLevel level) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("sealwired", std::move(sink));
  // The journal has time and level of its own; "<n>" is its way to take the level.
  const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  logger->set_pattern(journal ? "%l: %v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
  switch (level) {
    case config::LogLevel::trace:
      logger->set_level(spdlog::level::trace);
      break;
    case config::LogLevel::debug:
      logger->set_level(spdlog::level::debug);
      break;
    case config::LogLevel::info:
      logger->set_level(spdlog::level::info);
      break;
    case config::LogLevel::warning:
      logger->set_level(spdlog::level::warn);
      break;
    case config::LogLevel::error:
      logger->set_level(spdlog::level::err);
      break;
  }
  spdlog::set_default_logger(std::move(logger));
}

int refuse(const Error& error) {
  spdlog::critical("{}: {}", error.id, error.message);
  if (!error.remedy.empty()) spdlog::critical("  {}", error.remedy);
  return error.id.starts_with("SW-CFG-") ? kUsage : kFailed;
}

bool has_static_keys(const config::Document& document) {
  for (const config::Line& line : document.lines) {
    for (const config::EspSa& sa : line.sas) {
      if (sa.direction == config::SaDirection::out) return true;
    }
    if (!line.macsec) continue;
    for (const config::SecY& secy : line.macsec->secys) {
      if (!secy.tx.empty() || mka_of(*line.macsec, secy) != nullptr) return true;
    }
  }
  return false;
}

Result<std::vector<rte_mempool*>> line_pools(const config::Document& document) {
  std::vector<rte_mempool*> pools;
  for (std::size_t i = 0; i < document.lines.size(); ++i) {
    const PoolPlan plan = line_pool_plan(document, document.lines[i]);
    rte_mempool* const pool = rte_pktmbuf_pool_create(
        ("line-" + std::to_string(i)).c_str(), plan.buffers, 128, 0, plan.data_room, SOCKET_ID_ANY);
    if (pool == nullptr) {
      return fail("SW-POR-003",
                  fmt::format("lines.{}: {} buffers: {}", document.lines[i].name, plan.buffers,
                              rte_strerror(rte_errno)),
                  "raise system.memory");
    }
    pools.push_back(pool);
  }
  return pools;
}

// The control thread: sleeps in the Poller, wakes for signals, the API and its ticks.
class Loop {
 public:
  explicit Loop(control::Poller& poller) : poller_(poller) {}
  ~Loop() {
    if (signals_ >= 0) {
      poller_.remove(signals_);
      ::close(signals_);
    }
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Signals are blocked in all threads made later and read here instead.
  void take_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    signals_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    poller_.add(signals_, EPOLLIN, [this](std::uint32_t) { on_signal(); });
  }

  void run(control::Appliance& appliance) {
    appliance_ = &appliance;
    auto tick = kSlowTick;
    int quiet = 0;
    const int timer = poller_.add_timer(tick, [&] {
      const bool busy = appliance.tick(control::Clock::now());
      quiet = busy ? 0 : quiet + 1;
      const auto wanted = quiet > 200 ? kSlowTick : kFastTick;
      if (wanted != tick) {
        tick = wanted;
        poller_.set_timer(timer_, tick);
      }
    });
    timer_ = timer;
    while (!stopping_) poller_.run_once(1000ms);
    poller_.remove_timer(timer);
    appliance_ = nullptr;
  }

 private:
  void on_signal() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGHUP) {
        spdlog::info("stopping ({})", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        stopping_ = true;
      } else if (appliance_ != nullptr) {
        if (auto reloaded = appliance_->reload({}); !reloaded) {
          spdlog::error("{}: {}", reloaded.error().id, reloaded.error().message);
          if (!reloaded.error().remedy.empty()) spdlog::error("  {}", reloaded.error().remedy);
        }
      }
    }
  }

  control::Poller& poller_;
  control::Appliance* appliance_ = nullptr;
  int signals_ = -1;
  int timer_ = -1;
  bool stopping_ = false;
};

int serve(const std::string& file) {
  config::Loaded loaded = config::load_for_host(file);
  for (const config::Mistake& warning : loaded.warnings) {
    spdlog::warn("{}", config::to_string(warning));
  }
  if (!loaded.ok()) {
    for (const config::Mistake& mistake : loaded.mistakes) {
      fmt::print(stderr, "{}\n", config::to_string(mistake));
    }
    return kUsage;
  }
  const config::System system = loaded.document.system;
  start_logging(system.log_level);

  control::Poller poller;
  Loop loop(poller);
  loop.take_signals();

  // What another instance may hold comes first: it costs nothing and touches no device.
  std::unique_ptr<control::Appliance> appliance;
  auto api =
      control::ApiServer::listen(poller, system.api_socket,
                                 [&appliance](control::ApiRequest& request,
                                              const control::Peer& peer) -> Result<nlohmann::json> {
                                   if (!appliance)
                                     return fail("SW-API-008", "starting or stopping", "ask again");
                                   return appliance->handle(request, peer);
                                 });
  if (!api) return refuse(api.error());
  std::optional<control::StateStore> store;
  if (has_static_keys(loaded.document)) {
    auto opened = control::StateStore::open(system.state_directory);
    if (!opened) {
      return refuse({opened.error().id, "system.state-directory: " + opened.error().message,
                     opened.error().remedy});
    }
    store = std::move(*opened);
  }

  const auto plan = plan_eal(loaded.document, this_host());
  if (!plan) return refuse(plan.error());
  spdlog::info("{}", plan->memory_note);
  if (system.dpdk_telemetry) spdlog::info("telemetry: dpdk-telemetry.py -f {}", plan->file_prefix);
  control::limit_privileges(plan->devices);
  if (auto started = Eal::start(*plan, system.eal_log); !started) return refuse(started.error());

  int code = kOk;
  {
    auto ports = Ports::open(loaded.document);
    if (!ports) {
      code = refuse(ports.error());
    } else {
      auto pools = line_pools(loaded.document);
      if (!pools) {
        code = refuse(pools.error());
      } else {
        control::Appliance::Setup setup;
        setup.document = std::move(loaded.document);
        setup.config_file = file;
        setup.ports = ports->all();
        setup.line_pools = *pools;
        setup.store = store ? &*store : nullptr;
        setup.load = [](const std::string& path) { return config::load_for_host(path); };
        auto made = control::Appliance::create(std::move(setup));
        if (!made) {
          code = refuse(made.error());
        } else {
          appliance = std::move(*made);
          if (auto started = appliance->start(); !started) {
            code = refuse(started.error());
          } else {
            spdlog::info("ready: api {}", system.api_socket);
            ::sd_notify(0, "READY=1");
            loop.run(*appliance);
            ::sd_notify(0, "STOPPING=1");
          }
          if (!appliance->stop()) {
            // Its memory is still in use: leave everything to the end of the process.
            api->reset();
            std::fflush(nullptr);
            std::_Exit(kFailed);
          }
          appliance.reset();
        }
        ports->close();  // its transmit rings may hold buffers of the lines
        for (rte_mempool* pool : *pools) rte_mempool_free(pool);
      }
    }
  }
  Eal::stop();
  if (code == kOk) spdlog::info("stopped");
  return code;
}

int run(int argc, char** argv) {
  CLI::App app("Sealwire: seals private interconnects with MACsec and IPsec ESP", "sealwired");
  app.set_version_flag("--version", config::kVersion);
  std::string file;
  app.add_option("-c,--config", file, "configuration file (YAML)")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  const std::string unprotected = protect_memory();
  start_logging(config::LogLevel::info);
  if (!unprotected.empty()) spdlog::warn("{}", unprotected);
  return serve(file);
}

}  // namespace
}  // namespace sealwire::daemon

int main(int argc, char** argv) {
  try {
    return sealwire::daemon::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "sealwired: {}\n", error.what());
    return 1;
  }
}
