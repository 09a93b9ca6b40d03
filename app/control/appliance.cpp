#include "app/control/appliance.h"

#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <thread>
#include <utility>

#include "app/control/privileges.h"
#include "app/control/telemetry.h"
#include "config/diff.h"
#include "config/fragment.h"
#include "crypto/secret_bytes.h"
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
  drop_privileges();  // all that a packet takes is open by now
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

std::unique_ptr<GatewaySlowPath> make_slow_path(LineControl& line) {
  if (!line.config().is_gateway()) return nullptr;
  SlowPathSettings settings;
  settings.neighbours = &line.neighbours();
  settings.sad = line.sad();
  settings.egress_inject = line.direction(Direction::egress).inject;
  settings.ingress_inject = line.direction(Direction::ingress).inject;
  settings.pool = line.place().pool;
  auto made = std::make_unique<GatewaySlowPath>(std::move(settings));
  line.on_publish([path = made.get()](const pipelines::LineSnapshot& snapshot) {
    path->update(snapshot, milliseconds(Clock::now()));
  });
  return made;
}

tl::unexpected<Error> config_error(const std::vector<config::Mistake>& mistakes) {
  std::string text;
  for (const config::Mistake& mistake : mistakes) {
    text += (text.empty() ? "" : "\n") + config::to_string(mistake);
  }
  return fail(mistakes.empty() ? "SW-CFG-000" : mistakes.front().id, text, "nothing was changed");
}

tl::unexpected<Error> unchanged(const Error& error) {
  return fail(error.id, error.message,
              error.remedy + (error.remedy.empty() ? "" : "; ") + "nothing was changed");
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
      numbers_(setup.store),
      engines_(std::max<std::size_t>(document_.system.workers.count, 1),
               document_.system.state_directory) {}

Result<std::unique_ptr<Appliance>> Appliance::create(Setup setup) {
  std::unique_ptr<Appliance> appliance(new Appliance(std::move(setup)));
  if (auto built = appliance->build(); !built) return tl::unexpected(built.error());
  return appliance;
}

Appliance::~Appliance() {
  Telemetry::stop();
  metrics_.reset();
  figures_.reset();
  workers_.clear();
  lanes_.clear();
  kays_.clear();
  slow_paths_.clear();
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
    slow_paths_.push_back(make_slow_path(*lines_.back()));
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
  figures_ = std::make_unique<Figures>(FiguresSource{&lines_, &ports_, &workers_, &lane_views_,
                                                     &slow_paths_, &engines_, rte_get_tsc_hz()});
  return {};
}

Result<void> Appliance::start() {
  if (document_.system.metrics) {
    auto metrics = Metrics::serve(*document_.system.metrics);
    if (!metrics) return tl::unexpected(metrics.error());
    metrics_ = std::move(*metrics);
  }
  running_ = true;  // from the first worker on: stop() ends those that a failure leaves behind
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    const auto lcore = static_cast<unsigned>(i + 1);
    if (const int error = rte_eal_remote_launch(run_worker, workers_[i].get(), lcore); error != 0) {
      return fail("SW-CTL-005", fmt::format("worker {} cannot start on lcore {}", i, lcore),
                  "leave --lcores out of system.eal-args");
    }
  }
  if (document_.system.dpdk_telemetry) {
    if (auto started = Telemetry::start(); !started) spdlog::warn("{}", started.error().message);
  }
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

bool Appliance::take_punted(std::size_t index, std::uint64_t now) {
  LineControl& line = *lines_[index];
  GatewaySlowPath* const slow = slow_paths_[index].get();
  bool any = false;
  for (const Direction direction : {Direction::egress, Direction::ingress}) {
    void* objects[kPuntBurst];
    const unsigned n =
        rte_ring_dequeue_burst(line.direction(direction).punt, objects, kPuntBurst, nullptr);
    any = any || n != 0;
    for (unsigned i = 0; i < n; ++i) {
      auto* const m = static_cast<rte_mbuf*>(objects[i]);
      if (give_to_kay(line, m)) continue;
      const auto mark = pipelines::get_mark<pipelines::PuntMark>(m);
      if (slow != nullptr && mark.magic == pipelines::PuntMark::kMagic &&
          mark.reason != pipelines::PuntReason::eapol) {
        slow->take(m, now);
      } else {
        rte_pktmbuf_free(m);
      }
    }
  }
  return any;
}

bool Appliance::tick(Clock::time_point now) {
  bool busy = false;
  const std::uint64_t now_ms = milliseconds(now);
  for (std::size_t i = 0; i < lines_.size(); ++i) busy = take_punted(i, now_ms) || busy;
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
    for (const auto& path : slow_paths_) {
      if (path) path->tick(now_ms);
    }
  }
  if (now >= next_second_) {
    next_second_ = now + 1s;
    figures_->sample(now);
    if (document_.system.dpdk_telemetry) Telemetry::update(*figures_);
    if (metrics_) {
      if (const auto mka = show_mka(json::object())) metrics_->update(*figures_, *mka);
    }
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
  for (const config::Difference& change : config::diff(document_, wanted).needs_restart) {
    restart.push_back(config::to_string(change));
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < document_.lines.size(); ++i) {
    names.push_back(document_.lines[i].name);
    if (const config::Line* const line = config::find(wanted.lines, names[i]); line != nullptr) {
      for (std::string& setting : lines_[i]->needs_restart(*line)) {
        // The rest is in the difference already.
        if (setting.find(".macsec.") != std::string::npos) restart.push_back(std::move(setting));
      }
    }
  }
  if (!restart.empty()) {
    return fail("SW-CTL-020",
                fmt::format("{}: needs a restart: {}", path, fmt::join(restart, "; ")),
                "nothing was changed; put it back, or restart sealwired");
  }
  // All that can fail, for all lines; then the changes.
  auto chains = prepare_keys(wanted);
  if (!chains) return unchanged(chains.error());
  std::vector<LineControl::Change> changes;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const auto line = std::find_if(wanted.lines.begin(), wanted.lines.end(),
                                   [&](const config::Line& one) { return one.name == names[i]; });
    auto change = lines_[i]->prepare(std::move(*line));
    if (!change) return unchanged(change.error());
    changes.push_back(std::move(*change));
  }
  if (auto reserved = LineControl::reserve(numbers_, changes); !reserved) {
    return unchanged(reserved.error());
  }
  std::vector<std::string> done;
  const auto note = [&done](std::vector<std::string> texts) {
    std::move(texts.begin(), texts.end(), std::back_inserter(done));
  };
  for (std::size_t i = 0; i < lines_.size(); ++i) note(lines_[i]->commit(std::move(changes[i])));
  for (std::size_t i = 0; i < kays_.size(); ++i) {
    note(kays_[i].kay->set_keys(std::move((*chains)[i]), Clock::now()));
  }
  document_.lab = wanted.lab;
  if (done.empty()) done.emplace_back("nothing changed");
  for (const std::string& text : done) spdlog::info("reload: {}", text);
  return json{{"done", done}, {"warnings", warnings}};
}

Result<LineControl*> Appliance::line_of(const json& params) const {
  const std::string name = string_of(params, "line");
  for (const auto& line : lines_) {
    if (line->config().name == name) return line.get();
  }
  std::vector<std::string> names;
  for (const auto& line : lines_) names.push_back(line->config().name);
  return fail("SW-API-006", fmt::format("no line {}", name),
              fmt::format("lines are {}", fmt::join(names, ", ")));
}

// What the request writes down, as YAML: the `yaml` text of the command line, or the JSON of other
// programs, which is YAML as it stands.
Result<json> Appliance::change(ApiRequest& request) {
  json& params = request.params;
  auto found = line_of(params);
  if (!found) return tl::unexpected(found.error());
  LineControl& line = **found;
  const std::string name = line.config().name;
  const std::string& method = request.method;
  if (method == "sa.remove") {
    const std::string sa = string_of(params, "name");
    if (auto removed = line.remove_sa(sa); !removed) return tl::unexpected(removed.error());
    return json{{"done", {fmt::format("lines.{}.esp.sas.{}: removed", name, sa)}}};
  }
  const char* const kItems = method == "policy.set" ? "policies"
                             : method == "secy.set" ? "secy"
                                                    : "sas";
  std::string text = string_of(params, "yaml");
  if (const auto items = params.find(kItems); text.empty() && items != params.end()) {
    text = items->dump();
  }
  const auto wipe = [&text] { crypto::wipe(text.data(), text.size()); };
  if (text.empty()) {
    return fail("SW-API-009", fmt::format("{}: neither {} nor yaml given", method, kItems),
                "see docs/reference/api.md");
  }
  json done = json::array(), warnings = json::array();
  const auto finish = [&](const config::Fragment& fragment) -> Result<void> {
    wipe();
    for (const config::Mistake& warning : fragment.warnings) {
      warnings.push_back(config::to_string(warning));
    }
    if (!fragment.ok()) return config_error(fragment.mistakes);
    return {};
  };
  Result<void> changed;
  if (method == "sa.add" || method == "sa.replace") {
    const bool replace = method == "sa.replace";
    config::Fragment fragment = config::read_sas(document_, name, text, "sas", replace);
    if (auto read = finish(fragment); !read) return tl::unexpected(read.error());
    for (const config::EspSa& sa : fragment.line.sas) {
      done.push_back(
          fmt::format("lines.{}.esp.sas.{}: {}", name, sa.name, replace ? "replaced" : "added"));
    }
    changed = replace ? line.replace_sas(std::move(fragment.line.sas))
                      : line.add_sas(std::move(fragment.line.sas));
  } else if (method == "policy.set") {
    config::Fragment fragment = config::read_policies(document_, name, text, "policies");
    if (auto read = finish(fragment); !read) return tl::unexpected(read.error());
    done.push_back(
        fmt::format("lines.{}.esp.policies: {} rules", name, fragment.line.policies.size()));
    changed = line.set_policies(std::move(fragment.line.policies));
  } else {
    const std::string port = string_of(params, "port");
    config::Fragment fragment = config::read_secy(document_, name, port, text, "secy");
    if (auto read = finish(fragment); !read) return tl::unexpected(read.error());
    config::SecY& wanted = fragment.line.macsec->secys.at(0);
    const auto& ports = line.config().outside;
    const auto at = std::find(ports.begin(), ports.end(), wanted.port);
    const std::size_t index = at == ports.end() ? 0 : static_cast<std::size_t>(at - ports.begin());
    done.push_back(fmt::format("lines.{}.macsec: static SAs of {} set", name, ports.at(index)));
    changed = line.set_secy(index, std::move(wanted));
  }
  if (!changed) return tl::unexpected(changed.error());
  return json{{"done", std::move(done)}, {"warnings", std::move(warnings)}};
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
    if (method == "show.neighbours") return figures_->neighbours(line);
    if (method == "show.gateway") return figures_->gateways(line);
    if (method == "show.cores") return figures_->cores();
    if (method == "show.crypto") return figures_->crypto();
    if (method == "show.mka") return show_mka(request.params);
    if (method == "show.keys") return show_keys(request.params);
  }
  constexpr std::array kChanges = {"sa.add", "sa.replace", "sa.remove", "policy.set", "secy.set"};
  const bool known = std::find(kChanges.begin(), kChanges.end(), method) != kChanges.end();
  if (!known && method != "reload" && method != "rekey" && !method.starts_with("keys.")) {
    return fail("SW-API-007", "no such method", "docs/reference/api.md lists them");
  }
  spdlog::info("api: {} by uid {}, pid {}", method, peer.uid, peer.pid);
  if (method == "reload") return reload(string_of(request.params, "file"));
  if (method == "rekey" || method.starts_with("keys.")) return change_keys(request);
  return change(request);
}

}  // namespace sealwire::control
