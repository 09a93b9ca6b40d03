#include "app/control/appliance.h"

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "app/control/same.h"
#include "pipelines/mark.h"

namespace sealwire::control {
namespace {

using nlohmann::json;
using pipelines::Direction;
using namespace std::chrono_literals;

constexpr unsigned kPuntBurst = 32;
constexpr auto kStallLimit = 500ms;
constexpr auto kStopPatience = 5s;

int run_worker(void* worker) {
  static_cast<pipelines::Worker*>(worker)->run();
  return 0;
}

pipelines::Idle idle_of(config::Idle idle) {
  switch (idle) {
    case config::Idle::automatic:
      return pipelines::Idle::automatic;
    case config::Idle::spin:
      return pipelines::Idle::spin;
    case config::Idle::sleep:
      return pipelines::Idle::sleep;
  }
  return pipelines::Idle::automatic;
}

std::vector<OpenPort> pick(const std::vector<OpenPort>& ports,
                           const std::vector<std::string>& names) {
  std::vector<OpenPort> picked;
  for (const std::string& name : names) {
    const auto found = std::find_if(ports.begin(), ports.end(),
                                    [&name](const OpenPort& p) { return p.name == name; });
    if (found != ports.end()) picked.push_back(*found);
  }
  return picked;
}

std::string string_of(const json& params, const char* key) {
  const auto found = params.find(key);
  return found != params.end() && found->is_string() ? found->get<std::string>() : std::string();
}

tl::unexpected<Error> config_error(const std::vector<config::Mistake>& mistakes) {
  std::string text;
  for (const config::Mistake& mistake : mistakes) {
    text += (text.empty() ? "" : "\n") + config::to_string(mistake);
  }
  return fail(mistakes.empty() ? "SW-CFG-000" : mistakes.front().id, text, "nothing was changed");
}

}  // namespace

Appliance::Appliance(Setup setup)
    : document_(std::move(setup.document)),
      config_file_(std::move(setup.config_file)),
      ports_(std::move(setup.ports)),
      line_pools_(std::move(setup.line_pools)),
      load_(std::move(setup.load)),
      publisher_(
          std::make_unique<Publisher>(std::max<std::uint32_t>(document_.system.workers.count, 1))),
      numbers_(setup.store) {}

Result<std::unique_ptr<Appliance>> Appliance::create(Setup setup) {
  std::unique_ptr<Appliance> appliance(new Appliance(std::move(setup)));
  if (auto built = appliance->build(); !built) return tl::unexpected(built.error());
  return appliance;
}

Appliance::~Appliance() {
  figures_.reset();
  workers_.clear();
  lanes_.clear();
  kays_.clear();
  lines_.clear();
}

Result<void> Appliance::build() {
  for (const config::Line& line : document_.lines) {
    if (auto ready = engines_.prepare(line.engine); !ready) {
      return fail(ready.error().id,
                  fmt::format("lines.{}.engine: {}; nothing is forwarded", line.name,
                              ready.error().message),
                  ready.error().remedy);
    }
  }
  const auto plan = plan_workers(document_, ports_);
  if (!plan) return tl::unexpected(plan.error());

  for (std::size_t i = 0; i < document_.lines.size(); ++i) {
    config::Line& line = document_.lines[i];
    LineControl::Place place;
    place.id = static_cast<std::uint16_t>(i);
    place.inside = pick(ports_, line.inside);
    place.outside = pick(ports_, line.outside);
    place.pool = line_pools_.at(i);
    for (const LanePlan& lane : *plan) {
      if (lane.line != i) continue;
      (lane.direction == Direction::egress ? place.egress : place.ingress) = lane.spread;
    }
    auto made = LineControl::create(line, std::move(place), {engines_, *publisher_, numbers_});
    if (!made) return tl::unexpected(made.error());
    lines_.push_back(std::move(*made));
  }
  for (const auto& line : lines_) {
    for (std::size_t port = 0; port < line->secy_count(); ++port) {
      const config::Macsec& macsec = *line->config().macsec;
      if (config::mka_of(macsec, macsec.secys[port]) == nullptr) continue;
      auto kay = KayRunner::create(*line, port, engines_, *publisher_);
      if (!kay) return tl::unexpected(kay.error());
      kays_.push_back({line.get(), port, std::move(*kay)});
    }
  }

  const std::size_t count = std::max<std::size_t>(document_.system.workers.count, 1);
  lane_lists_.resize(count);
  for (const LanePlan& planned : *plan) {
    pipelines::LaneSettings settings;
    settings.line = &lines_[planned.line]->direction(planned.direction);
    for (const LanePlan::Queue& queue : planned.queues) {
      settings.receive.push_back({queue.port, queue.queue});
    }
    auto engine = engines_.worker_instance(document_.lines[planned.line].engine, planned.worker);
    if (!engine) return tl::unexpected(engine.error());
    settings.engine = *engine;
    lanes_.push_back(std::make_unique<pipelines::Lane>(std::move(settings)));
    lane_views_.push_back({planned.line, planned.direction, planned.worker, lanes_.back().get()});
    lane_lists_[planned.worker].lanes.push_back(lanes_.back().get());
  }
  for (std::size_t i = 0; i < count; ++i) {
    pipelines::WorkerSettings settings;
    settings.id = static_cast<std::uint16_t>(i);
    settings.idle = idle_of(document_.system.idle);
    settings.qsbr = publisher_->qsbr();
    workers_.push_back(std::make_unique<pipelines::Worker>(settings));
    workers_.back()->publish(&lane_lists_[i]);
  }
  stalled_.assign(count, false);
  figures_ = std::make_unique<Figures>(
      FiguresSource{&lines_, &ports_, &workers_, &lane_views_, &engines_, rte_get_tsc_hz()});
  return {};
}

Result<void> Appliance::start() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const auto lcore = static_cast<unsigned>(i + 1);
    if (const int error = rte_eal_remote_launch(run_worker, workers_[i].get(), lcore); error != 0) {
      return fail("SW-CTL-005", fmt::format("worker {} cannot start on lcore {}", i, lcore),
                  "leave --lcores out of system.eal-args");
    }
  }
  running_ = true;
  const auto end = Clock::now() + kStopPatience;
  for (const auto& worker : workers_) {
    while (!worker->running()) {
      if (Clock::now() > end) return fail("SW-CTL-005", "a worker does not start");
      std::this_thread::sleep_for(1ms);
    }
  }
  return {};
}

bool Appliance::stop() {
  if (!running_) return true;
  for (const KayPlace& place : kays_) place.kay->shut_down();
  for (const auto& worker : workers_) worker->stop();
  const auto end = Clock::now() + kStopPatience;
  bool ended = true;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    while (workers_[i]->running() && Clock::now() < end) std::this_thread::sleep_for(1ms);
    if (workers_[i]->running()) {
      spdlog::error("worker {} does not end", i);
      ended = false;
    }
  }
  if (!ended) return false;  // a running worker may still take numbers: nothing is given back
  for (std::size_t i = 0; i < workers_.size(); ++i)
    rte_eal_wait_lcore(static_cast<unsigned>(i + 1));
  running_ = false;
  if (auto released = numbers_.release(); !released) {
    spdlog::warn("{}: {}", released.error().id, released.error().message);
  }
  publisher_->drain(100);
  return true;
}

// A worker that no longer turns its loop holds its lines up: they fail closed until it is back.
void Appliance::look_after_workers(Clock::time_point) {
  const std::uint64_t now = rte_rdtsc();
  const std::uint64_t limit =
      rte_get_tsc_hz() * static_cast<std::uint64_t>(kStallLimit.count()) / 1000;
  std::vector<bool> secure(lines_.size(), true);
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const bool stalled = workers_[i]->stalled(now, limit);
    if (stalled != stalled_[i]) {
      if (stalled) {
        spdlog::error("worker {} has not moved for {} ms: its lines are stopped", i,
                      kStallLimit.count());
      } else {
        spdlog::warn("worker {} moves again", i);
      }
      stalled_[i] = stalled;
    }
    if (!stalled) continue;
    for (const LaneView& view : lane_views_) {
      if (view.worker == i) secure[view.line] = false;
    }
  }
  for (std::size_t i = 0; i < lines_.size(); ++i) lines_[i]->set_secure(secure[i]);
}

bool Appliance::take_punted(LineControl& line) {
  bool any = false;
  for (const Direction direction : {Direction::egress, Direction::ingress}) {
    void* objects[kPuntBurst];
    const unsigned n =
        rte_ring_dequeue_burst(line.direction(direction).punt, objects, kPuntBurst, nullptr);
    any = any || n != 0;
    for (unsigned i = 0; i < n; ++i) {
      auto* const m = static_cast<rte_mbuf*>(objects[i]);
      if (give_to_kay(line, m)) continue;
      rte_pktmbuf_free(m);
    }
  }
  return any;
}

bool Appliance::tick(Clock::time_point now) {
  bool busy = false;
  for (const auto& line : lines_) busy = take_punted(*line) || busy;
  for (const KayPlace& place : kays_) place.kay->tick(now);
  if (auto raised = numbers_.poll(now); !raised) {
    spdlog::error("{}: {}: static keys stop when their reserved numbers are used up",
                  raised.error().id, raised.error().message);
  }
  publisher_->poll();
  if (now >= next_look_) {
    next_look_ = now + 100ms;
    look_after_workers(now);
    for (const auto& line : lines_) {
      line->tick(now, [](const std::string& text) { spdlog::warn("{}", text); });
    }
  }
  if (now >= next_second_) {
    next_second_ = now + 1s;
    figures_->sample(now);
  }
  return busy;
}

Result<json> Appliance::reload(const std::string& file) {
  const std::string path = file.empty() ? config_file_ : file;
  config::Loaded loaded = load_(path);
  json warnings = json::array();
  for (const config::Mistake& warning : loaded.warnings)
    warnings.push_back(config::to_string(warning));
  if (!loaded.ok()) return config_error(loaded.mistakes);

  config::Document& wanted = loaded.document;
  std::vector<std::string> restart;
  if (!(wanted.system == document_.system)) restart.emplace_back("system");
  if (!same(wanted.ports, document_.ports)) restart.emplace_back("ports");
  std::vector<std::string> names, wanted_names;
  for (const config::Line& line : document_.lines) names.push_back(line.name);
  for (const config::Line& line : wanted.lines) wanted_names.push_back(line.name);
  for (const std::string& name : wanted_names) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      restart.push_back("lines." + name);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const config::Line* const line = config::find(wanted.lines, names[i]);
    if (line == nullptr) {
      restart.push_back("lines." + names[i]);
      continue;
    }
    for (std::string& path_text : lines_[i]->needs_restart(*line))
      restart.push_back(std::move(path_text));
  }
  if (!restart.empty()) {
    return fail("SW-CTL-020",
                fmt::format("{}: {} cannot change while running", path, fmt::join(restart, ", ")),
                "nothing was changed; restart sealwired to apply it");
  }
  std::vector<std::string> done;
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (config::Line& line : wanted.lines) {
      if (line.name != names[i]) continue;
      if (auto applied = lines_[i]->apply(std::move(line), done); !applied) {
        return tl::unexpected(applied.error());
      }
    }
  }
  if (auto keys = reload_keys(done); !keys) return tl::unexpected(keys.error());
  document_.lab = wanted.lab;
  if (done.empty()) done.emplace_back("nothing changed");
  for (const std::string& text : done) spdlog::info("reload: {}", text);
  return json{{"done", done}, {"warnings", warnings}};
}

Result<LineControl*> Appliance::line_of(const json& params) {
  const std::string name = string_of(params, "line");
  for (const auto& line : lines_) {
    if (line->config().name == name) return line.get();
  }
  std::vector<std::string> names;
  for (const auto& line : lines_) names.push_back(line->config().name);
  return fail("SW-API-006", fmt::format("no line {}", name),
              fmt::format("lines are {}", fmt::join(names, ", ")));
}

Result<json> Appliance::change(ApiRequest& request) {
  auto line = line_of(request.params);
  if (!line) return tl::unexpected(line.error());
  if (request.method == "sa.remove") {
    const std::string name = string_of(request.params, "name");
    if (auto removed = (*line)->remove_sa(name); !removed) return tl::unexpected(removed.error());
    return json{{"done", {name + ": removed"}}};
  }
  return fail("SW-API-007", "no method " + request.method, "see docs/reference/api.md");
}

Result<json> Appliance::handle(ApiRequest& request, const Peer& peer) {
  const std::string& method = request.method;
  const std::string line = string_of(request.params, "line");
  if (method.starts_with("show.")) {
    if (!line.empty()) {
      if (auto found = line_of(request.params); !found) return tl::unexpected(found.error());
    }
    if (method == "show.lines") return figures_->lines(line);
    if (method == "show.ports") return figures_->ports(line);
    if (method == "show.sa") return figures_->sas(line);
    if (method == "show.secy") return figures_->secys(line);
    if (method == "show.drops") {
      return figures_->drops(line, request.params.value("all", json(false)) == json(true));
    }
    if (method == "show.cores") return figures_->cores();
    if (method == "show.crypto") return figures_->crypto();
    if (method == "show.mka") return show_mka(request.params);
    if (method == "show.keys") return show_keys(request.params);
  }
  spdlog::info("api: {} by uid {} pid {}", method, peer.uid, peer.pid);
  if (method == "reload") return reload(string_of(request.params, "file"));
  if (method == "rekey" || method.starts_with("keys.")) return change_keys(request);
  return change(request);
}

}  // namespace sealwire::control
