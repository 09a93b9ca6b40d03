// Which arguments EAL gets, how large packet buffers are, and which worker serves what.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "app/control/figures.h"
#include "app/control/plan_cache.h"
#include "app/control/worker_plan.h"
#include "app/daemon/eal.h"
#include "app/daemon/pool_plan.h"

namespace sealwire {
namespace {

using daemon::Host;
using pipelines::Direction;
using pipelines::Spread;

constexpr std::uint64_t kGiB = 1ULL << 30;

config::Document wire(std::uint16_t workers = 1) {
  config::Document document;
  document.system.workers.count = workers;
  for (const char* name : {"in", "out"}) {
    config::Port port;
    port.name = name;
    port.device = std::string("net_null_") + name;
    document.ports.push_back(std::move(port));
  }
  config::Line line;
  line.name = "x";
  line.inside = {"in"};
  line.outside = {"out"};
  document.lines.push_back(std::move(line));
  return document;
}

bool has(const daemon::EalPlan& plan, const std::string& word) {
  return std::find(plan.arguments.begin(), plan.arguments.end(), word) != plan.arguments.end();
}
std::string after(const daemon::EalPlan& plan, const std::string& word) {
  const auto found = std::find(plan.arguments.begin(), plan.arguments.end(), word);
  return found == plan.arguments.end() || found + 1 == plan.arguments.end() ? "" : *(found + 1);
}

TEST(EalPlan, WithoutPciPortsNoPciDeviceIsTouched) {
  const auto plan = daemon::plan_eal(wire(), Host{{0, 1}, 0});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(has(*plan, "--no-pci"));
  EXPECT_TRUE(has(*plan, "--no-huge"));
  EXPECT_FALSE(has(*plan, "--in-memory"));
  EXPECT_NE(after(*plan, "-m"), "");
}

TEST(EalPlan, WithPciPortsExactlyThoseAreAllowed) {
  config::Document document = wire();
  document.ports[0].pci = true;
  document.ports[0].device = "0000:3b:00.0";
  const auto plan = daemon::plan_eal(document, Host{{0, 1}, 0});
  ASSERT_TRUE(plan);
  EXPECT_FALSE(has(*plan, "--no-pci"));
  EXPECT_EQ(std::count(plan->arguments.begin(), plan->arguments.end(), "-a"), 1);
  EXPECT_EQ(after(*plan, "-a"), "0000:3b:00.0");
}

TEST(EalPlan, HugepagesAreUsedWhenThereAreEnough) {
  const auto plan = daemon::plan_eal(wire(), Host{{0, 1}, 2 * kGiB});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(has(*plan, "--in-memory"));
  EXPECT_FALSE(has(*plan, "--no-huge"));
  config::Document document = wire();
  document.system.hugepages = config::Hugepages::off;
  EXPECT_TRUE(has(*daemon::plan_eal(document, Host{{0, 1}, 2 * kGiB}), "--no-huge"));
  document.system.hugepages = config::Hugepages::required;
  const auto refused = daemon::plan_eal(document, Host{{0, 1}, 1 << 20});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id, "SW-EAL-001");
}

TEST(EalPlan, InstancesDoNotShareAPrefix) {
  config::Document a = wire(), b = wire();
  b.system.api_socket = "/run/sealwire/other.sock";
  EXPECT_NE(daemon::plan_eal(a, Host{{0}, 0})->file_prefix,
            daemon::plan_eal(b, Host{{0}, 0})->file_prefix);
  EXPECT_EQ(daemon::plan_eal(a, Host{{0}, 0})->file_prefix,
            daemon::plan_eal(a, Host{{0}, 0})->file_prefix);
}

TEST(EalPlan, LcoresFollowTheWorkers) {
  EXPECT_EQ(after(*daemon::plan_eal(wire(3), Host{{0, 1}, 0}), "--lcores"),
            "0@(0,1),1@(0,1),2@(0,1),3@(0,1)");
  config::Document document = wire(2);
  document.system.workers.lcores = {1, 3};
  EXPECT_EQ(after(*daemon::plan_eal(document, Host{{0, 1, 2, 3}, 0}), "--lcores"),
            "0@(0,2),1@1,2@3");
  document.system.control_core = 2;
  EXPECT_EQ(after(*daemon::plan_eal(document, Host{{0, 1, 2, 3}, 0}), "--lcores"), "0@2,1@1,2@3");
  const auto refused = daemon::plan_eal(document, Host{{0, 1, 2}, 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().id, "SW-EAL-002");
  EXPECT_NE(refused.error().message.find('3'), std::string::npos);
}

TEST(PoolPlan, AFrameOfTheMtuIsOneSegment) {
  config::Document document = wire();
  for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{9000}, std::uint16_t{9600}}) {
    document.ports[1].mtu = mtu;
    // Both ports' buffers leave by the other one.
    EXPECT_GE(daemon::pool_plan(document, document.ports[0]).data_room, 128 + 14 + 8 + mtu + 64);
    EXPECT_GE(daemon::pool_plan(document, document.ports[1]).data_room, 128 + 14 + 8 + mtu + 64);
    EXPECT_GE(daemon::line_pool_plan(document, document.lines[0]).data_room,
              128 + 14 + 8 + mtu + 64);
  }
  for (const std::uint64_t page : {daemon::kOrdinaryPage, daemon::kHugepage}) {
    EXPECT_GT(daemon::memory_needed(document, page),
              daemon::pool_plan(document, document.ports[0]).octets(page) +
                  daemon::pool_plan(document, document.ports[1]).octets(page));
  }
  // A buffer of more than half a page has one to itself.
  EXPECT_GE((daemon::PoolPlan{1000, 2176}).octets(4096), 1000U * 4096);
  EXPECT_LT((daemon::PoolPlan{1000, 2176}).octets(2 << 20), 1000U * 2560);
  EXPECT_GE((daemon::PoolPlan{1000, 9408}).octets(4096), 1000U * 3 * 4096);
}

std::vector<control::OpenPort> open_ports(std::uint16_t queues) {
  std::vector<control::OpenPort> ports(2);
  ports[0].name = "in";
  ports[0].rx_queues = queues;
  ports[1].name = "out";
  return ports;
}

TEST(WorkerPlan, OneCoreIsAloneAndWorkIsSpread) {
  const config::Document document = wire(2);
  const auto plan = control::plan_workers(document, open_ports(1));
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->size(), 2U);
  EXPECT_EQ((*plan)[0].spread, Spread::alone);
  EXPECT_EQ((*plan)[0].direction, Direction::egress);
  EXPECT_NE((*plan)[0].worker, (*plan)[1].worker);
}

TEST(WorkerPlan, SeveralCoresShareAQueueOrHaveTheirOwn) {
  config::Document document = wire(3);
  document.lines[0].workers.egress.count = 2;
  document.lines[0].workers.ingress.count = 3;
  const auto shared = control::plan_workers(document, open_ports(1));
  ASSERT_TRUE(shared);
  ASSERT_EQ(shared->size(), 5U);
  for (const control::LanePlan& lane : *shared) {
    EXPECT_EQ(lane.spread, Spread::shared_queue);
    EXPECT_EQ(lane.queues.size(), 1U);
  }
  const auto own = control::plan_workers(document, open_ports(4));
  ASSERT_TRUE(own);
  std::vector<std::uint16_t> queues;
  for (const control::LanePlan& lane : *own) {
    if (lane.direction == Direction::ingress) {
      EXPECT_EQ(lane.spread, Spread::shared_queue);
      continue;
    }
    EXPECT_EQ(lane.spread, Spread::own_queues);
    for (const auto& queue : lane.queues) queues.push_back(queue.queue);
  }
  std::sort(queues.begin(), queues.end());
  EXPECT_EQ(queues, (std::vector<std::uint16_t>{0, 1, 2, 3})) << "each queue has one worker";
}

TEST(WorkerPlan, CoresThatAreNoWorkersAreRefused) {
  config::Document document = wire(1);
  document.lines[0].workers.egress.count = 2;
  EXPECT_EQ(control::plan_workers(document, open_ports(1)).error().id, "SW-CTL-001");
  document = wire(2);
  document.system.workers.lcores = {2, 3};
  document.lines[0].workers.ingress.lcores = {3};
  EXPECT_EQ((*control::plan_workers(document, open_ports(1)))[1].worker, 1U);
  document.lines[0].workers.ingress.lcores = {5};
  EXPECT_EQ(control::plan_workers(document, open_ports(1)).error().id, "SW-CTL-002");
}

TEST(CryptoPlan, SaysWhatEachCandidateTookAndTheChoice) {
  using crypto::Algorithm;
  crypto::Measurement measurement;
  measurement.candidates = {"first", "second"};
  measurement.costs = {
      {Algorithm::aes_gcm_256, crypto::Direction::open, crypto::SizeClass::medium, {200, 100.2}, 1},
      {Algorithm::chacha20_poly1305, crypto::Direction::seal, crypto::SizeClass::large, {0, 50}, 1},
      {Algorithm::aes_gmac_128, crypto::Direction::seal, crypto::SizeClass::small, {0, 0}}};
  const nlohmann::json plan = control::crypto_plan(measurement, 2'000'000'000);
  EXPECT_EQ(plan, nlohmann::json::parse(R"([
      {"algorithm": "aes-gcm-256", "direction": "open", "size": "medium", "octets": 512,
       "cycles": {"first": 400.0, "second": 200.0}, "chosen": "second"},
      {"algorithm": "chacha20-poly1305", "direction": "seal", "size": "large", "octets": 1424,
       "cycles": {"second": 100.0}, "chosen": "second"}])"));
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/sealwire-plan-XXXXXX";
    if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(PlanCache, GivesBackWhatWasKept) {
  const TemporaryFolder folder;
  EXPECT_TRUE(control::read_plan(folder.path()).costs.empty());
  crypto::Measurement measurement{"this machine", {"first", "second"}, {}, false};
  measurement.costs = {{crypto::Algorithm::aes_gcm_256,
                        crypto::Direction::open,
                        crypto::SizeClass::medium,
                        {200, 100.5},
                        1}};
  control::keep_plan(folder.path(), measurement);
  const crypto::Measurement kept = control::read_plan(folder.path());
  EXPECT_EQ(kept.machine, measurement.machine);
  EXPECT_EQ(kept.candidates, measurement.candidates);
  ASSERT_EQ(kept.costs.size(), 1U);
  EXPECT_EQ(kept.costs[0].algorithm, crypto::Algorithm::aes_gcm_256);
  EXPECT_EQ(kept.costs[0].direction, crypto::Direction::open);
  EXPECT_EQ(kept.costs[0].size, crypto::SizeClass::medium);
  EXPECT_EQ(kept.costs[0].nanoseconds, measurement.costs[0].nanoseconds);
  EXPECT_EQ(kept.costs[0].chosen, 1);
}

TEST(PlanCache, KnowsNothingOfAFileThatIsNone) {
  const TemporaryFolder folder;
  crypto::Measurement measurement{"this machine", {"first"}, {}, false};
  measurement.costs = {
      {crypto::Algorithm::aes_gcm_256, crypto::Direction::open, crypto::SizeClass::medium, {1}, 0}};
  control::keep_plan(folder.path(), measurement);
  std::stringstream whole;
  whole << std::ifstream(control::plan_cache_file(folder.path())).rdbuf();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole.str();
    text.replace(text.find(from), from.size(), to);
    std::ofstream(control::plan_cache_file(folder.path())) << text;
    return control::read_plan(folder.path()).costs.size();
  };
  EXPECT_EQ(with("256", "256"), 1U);
  EXPECT_EQ(with("aes-gcm-256", "aes-gcm-128"), 0U) << "numbered otherwise";
  EXPECT_EQ(with("\"direction\": 1", "\"direction\": 2"), 0U);
  EXPECT_EQ(with("\"first\"", "\"first\", \"second\""), 0U) << "a candidate without a cost";
  EXPECT_EQ(with("\"chosen\": 0", "\"chosen\": -1"), 0U);
  EXPECT_EQ(with("{", ""), 0U);
  control::keep_plan(folder.path() + "/nowhere", measurement);
  EXPECT_TRUE(control::read_plan(folder.path() + "/nowhere").costs.empty());
}

}  // namespace
}  // namespace sealwire
