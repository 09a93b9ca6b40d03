// The running appliance: workers, lines, and the one control thread that changes them.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/control/api_server.h"
#include "app/control/engines.h"
#include "app/control/figures.h"
#include "app/control/gateway/slow_path.h"
#include "app/control/line_control.h"
#include "app/control/metrics.h"
#include "app/control/mka/kay_runner.h"
#include "app/control/number_keeper.h"
#include "app/control/port.h"
#include "app/control/publisher.h"
#include "app/control/state_store.h"
#include "app/control/worker_plan.h"
#include "config/load.h"
#include "config/model.h"
#include "pipelines/worker.h"

namespace sealwire::control {

// Everything here is called by the control thread.
class Appliance {
 public:
  struct Setup {
    config::Document document;
    std::string config_file;
    std::vector<OpenPort> ports;
    std::vector<rte_mempool*> line_pools;  // one per line of the document
    StateStore* store = nullptr;           // null: no static keys
    std::function<config::Loaded(const std::string& file)> load;
  };

  // Tests the engines, builds all lines, plans the workers. Nothing forwards yet.
  static Result<std::unique_ptr<Appliance>> create(Setup setup);
  ~Appliance();  // stop() first
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;

  // Starts worker i on EAL's lcore i + 1.
  Result<void> start();
  // Workers send what they hold and end; unused numbers are given back. False if a worker did not
  // end within a few seconds.
  bool stop();

  // Every millisecond or so: punted packets, numbers, retired objects. True if there was traffic
  // for the control thread, so that it should come back soon.
  bool tick(Clock::time_point now);

  // Reads the file again and applies the difference: all of it or nothing.
  Result<nlohmann::json> reload(const std::string& file);

  Result<nlohmann::json> handle(ApiRequest& request, const Peer& peer);

  const Figures& figures() const { return *figures_; }

 private:
  explicit Appliance(Setup setup);
  Result<void> build();
  void look_after_workers(Clock::time_point now);
  bool take_punted(std::size_t line, std::uint64_t now);
  Result<LineControl*> line_of(const nlohmann::json& params) const;
  Result<nlohmann::json> change(ApiRequest& request);
  bool give_to_kay(LineControl& line, rte_mbuf* m);  // false: it is not for a KaY
  Result<nlohmann::json> show_mka(const nlohmann::json& params);
  Result<nlohmann::json> show_keys(const nlohmann::json& params);
  Result<std::vector<std::vector<mka::KeySettings>>> prepare_keys(
      const config::Document& wanted) const;
  Result<nlohmann::json> change_keys(ApiRequest& request);
  // The KaYs of a line, of one of its outside ports if `port` is given.
  Result<std::vector<KayRunner*>> kays_of(const nlohmann::json& params);

  config::Document document_;  // as it runs; the LineControls keep their lines up to date
  std::string config_file_;
  std::vector<OpenPort> ports_;
  std::vector<rte_mempool*> line_pools_;
  std::function<config::Loaded(const std::string&)> load_;

  std::unique_ptr<Publisher> publisher_;
  NumberKeeper numbers_;
  Engines engines_;
  std::vector<std::unique_ptr<LineControl>> lines_;
  struct KayPlace {
    LineControl* line;
    std::size_t outside_port;
    std::unique_ptr<KayRunner> kay;
  };
  std::vector<KayPlace> kays_;                                // of every SecY with MKA
  std::vector<std::unique_ptr<GatewaySlowPath>> slow_paths_;  // by line; null for wires
  std::vector<std::unique_ptr<pipelines::Lane>> lanes_;
  std::vector<LaneView> lane_views_;
  std::vector<pipelines::LaneList> lane_lists_;
  std::vector<std::unique_ptr<pipelines::Worker>> workers_;
  std::unique_ptr<Figures> figures_;
  std::unique_ptr<Metrics> metrics_;  // null unless system.metrics is set
  std::vector<bool> stalled_;
  bool running_ = false;
  Clock::time_point next_numbers_{}, next_second_{}, next_look_{};
};

}  // namespace sealwire::control
