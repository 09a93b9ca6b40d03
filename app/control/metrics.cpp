#include "app/control/metrics.h"

#include <fmt/format.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <cctype>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/control/privileges.h"
#include "config/text.h"
#include "config/version.h"

namespace sealwire::control {
namespace {

using nlohmann::json;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<prometheus::ClientMetric::Label>;

constexpr std::size_t kThreads = 2;
constexpr std::size_t kMaxSas = 1024;  // a scrape stays within a megabyte

// A figure of one of the views, and what it is called here.
struct Metric {
  const char* key;
  const char* name;
  MetricType type;
  const char* help;
};
constexpr MetricType kCounter = MetricType::Counter, kGauge = MetricType::Gauge;

constexpr Metric kLineMetrics[] = {
    {"rx_packets", "line_rx_packets_total", kCounter, "Packets received by a line's direction"},
    {"rx_octets", "line_rx_bytes_total", kCounter, "Octets received by a line's direction"},
    {"tx_packets", "line_tx_packets_total", kCounter, "Packets sent by a line's direction"},
    {"tx_octets", "line_tx_bytes_total", kCounter, "Octets sent by a line's direction"},
    {"dropped", "line_lost_packets_total", kCounter, "Packets lost, for any reason"},
    {"linearised", "line_linearised_packets_total", kCounter, "Packets copied into one buffer"},
    {"tx_retries", "line_tx_retries_total", kCounter,
     "Times that a full transmit ring was retried"},
};
constexpr Metric kPortMetrics[] = {
    {"rx_packets", "port_rx_packets_total", kCounter, "Packets the device received"},
    {"rx_octets", "port_rx_bytes_total", kCounter, "Octets the device received"},
    {"rx_missed", "port_rx_missed_total", kCounter, "Packets missed, the receive ring was full"},
    {"rx_errors", "port_rx_errors_total", kCounter, "Packets received with an error"},
    {"rx_no_buffer", "port_rx_no_buffer_total", kCounter, "Times that no buffer was left"},
    {"tx_packets", "port_tx_packets_total", kCounter, "Packets the device sent"},
    {"tx_octets", "port_tx_bytes_total", kCounter, "Octets the device sent"},
    {"tx_errors", "port_tx_errors_total", kCounter, "Packets the device failed to send"},
    {"buffers_free", "port_buffers_free", kGauge, "Packet buffers left of the port's pool"},
    {"link_up", "port_up", kGauge, "1 when the link is up"},
};
constexpr Metric kSaMetrics[] = {
    {"packets", "esp_sa_packets_total", kCounter, "Packets protected or accepted by an SA"},
    {"octets", "esp_sa_bytes_total", kCounter, "Inner octets protected or accepted by an SA"},
    {"dropped", "esp_sa_dropped_packets_total", kCounter, "Packets an SA dropped"},
    {"replay_drops", "esp_sa_replay_packets_total", kCounter, "Packets refused as replayed"},
    {"auth_failed", "esp_sa_auth_failed_packets_total", kCounter, "Packets with a wrong ICV"},
    {"age_seconds", "esp_sa_age_seconds", kGauge, "Time since the SA was installed"},
    {"next_sn", "esp_sa_next_sequence_number", kGauge, "Next sequence number of an outbound SA"},
};
constexpr Metric kTransmitSaMetrics[] = {
    {"next_pn", "macsec_tx_sa_next_pn", kGauge, "Next packet number of a transmit SA"},
    {"out_pkts", "macsec_tx_sa_packets_total", kCounter, "Frames a transmit SA protected"},
};
constexpr Metric kReceiveSaMetrics[] = {
    {"next_pn", "macsec_rx_sa_next_pn", kGauge, "Packet number after the highest accepted"},
    {"lowest_pn", "macsec_rx_sa_lowest_pn", kGauge, "Lowest packet number that is accepted"},
};
constexpr Metric kCoreMetrics[] = {
    {"loops", "core_loops_total", kCounter, "Turns of a worker's loop"},
    {"busy_cycles", "core_busy_cycles_total", kCounter, "Cycles of turns that moved a packet"},
    {"total_cycles", "core_cycles_total", kCounter, "Cycles of all turns"},
    {"sleeps", "core_sleeps_total", kCounter, "Times a worker slept"},
    {"load", "core_load", kGauge, "Busy cycles of a whole core over the last second, 0 to 1"},
};

// "InPktsNoSAError" as Prometheus writes names: "in_pkts_no_sa_error".
std::string snake(const std::string& name) {
  const auto upper = [&name](std::size_t i) {
    return i < name.size() && std::isupper(static_cast<unsigned char>(name[i])) != 0;
  };
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    // A word begins at a capital, but for those inside an abbreviation.
    const bool begins =
        upper(i) && i > 0 && (!upper(i - 1) || (i + 1 < name.size() && !upper(i + 1)));
    if (begins && out.back() != '_') out += '_';
    out += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

double value_of(const json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  return value.is_number() ? value.get<double>() : 0;
}

class Families {
 public:
  void add(const std::string& name, MetricType type, const std::string& help, Labels labels,
           double value) {
    MetricFamily& family = all_["sealwire_" + name];
    family.type = type;
    family.help = help;
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    metric.label = std::move(labels);
    (type == kCounter ? metric.counter.value : metric.gauge.value) = value;
  }
  // Those that the item has; a figure of outbound SAs only is no zero of inbound ones.
  template <std::size_t n>
  void add(const Metric (&metrics)[n], const json& item, const Labels& labels) {
    for (const Metric& one : metrics) {
      if (const auto found = item.find(one.key); found != item.end()) {
        add(one.name, one.type, one.help, labels, value_of(*found));
      }
    }
  }
  // Counters under the standards' names.
  void add(const std::string& prefix, const json& counters, const std::string& help,
           const Labels& labels) {
    for (const auto& [name, value] : counters.items()) {
      if (!value.is_number()) continue;
      add(prefix + snake(name) + "_total", kCounter, help + name, labels, value_of(value));
    }
  }
  std::vector<MetricFamily> take() {
    std::vector<MetricFamily> list;
    for (auto& [name, family] : all_) {
      family.name = name;
      list.push_back(std::move(family));
    }
    return list;
  }

 private:
  std::map<std::string, MetricFamily> all_;
};

Labels labels_of(const json& item,
                 std::initializer_list<std::pair<const char*, const char*>> keys) {
  Labels labels;
  for (const auto& [label, key] : keys) {
    const auto found = item.find(key);
    if (found == item.end()) continue;
    labels.push_back({label, found->is_string() ? found->get<std::string>() : found->dump()});
  }
  return labels;
}

Labels with(Labels labels, const char* name, const std::string& value) {
  labels.push_back({name, value});
  return labels;
}

void add_lines(Families& out, const json& lines) {
  for (const json& line : lines) {
    const Labels labels = labels_of(line, {{"line", "name"}});
    out.add("line_up", kGauge, "1 when the line forwards, 0 when it is stopped", labels,
            line["state"] == "up" ? 1 : 0);
    for (const char* direction : {"egress", "ingress"}) {
      out.add(kLineMetrics, line[direction], with(labels, "direction", direction));
    }
  }
}

void add_secys(Families& out, const json& secys) {
  for (const json& secy : secys) {
    const Labels labels = labels_of(secy, {{"line", "line"}, {"port", "port"}});
    const json &tx = secy["transmit"], &rx = secy["receive"];
    out.add("macsec_", tx["counters"], "802.1AE, SecY: ", labels);
    out.add("macsec_", rx["counters"], "802.1AE, SecY: ", labels);
    for (const json& sa : tx["sas"]) {
      out.add(kTransmitSaMetrics, sa, with(labels, "an", sa["an"].dump()));
    }
    for (const json& sc : rx["scs"]) {
      const Labels channel = with(labels, "sci", sc["sci"]);
      out.add("macsec_sc_", sc["counters"], "802.1AE, receive SC: ", channel);
      for (const json& sa : sc["sas"]) {
        out.add(kReceiveSaMetrics, sa, with(channel, "an", sa["an"].dump()));
      }
    }
  }
}

void add_mka(Families& out, const json& kays) {
  for (const json& kay : kays) {
    const Labels labels = labels_of(kay, {{"line", "line"}, {"port", "port"}});
    out.add("mka_secured", kGauge, "1 when the controlled port is secured", labels,
            kay["controlled_port"] == "secured" ? 1 : 0);
    double live = 0;
    for (const json& participant : kay["participants"]) {
      for (const json& peer : participant["peers"]) live += peer["state"] == "live" ? 1 : 0;
    }
    out.add("mka_live_peers", kGauge, "Live peers of all participants", labels, live);
    out.add("mka_", kay["counters"], "MKA: ", labels);
    for (const auto& [reason, count] : kay["counters"]["rejected"].items()) {
      out.add("mka_rejected_total", kCounter, "MKPDUs rejected", with(labels, "reason", reason),
              value_of(count));
    }
  }
}

void add_neighbours(Families& out, const json& neighbours) {
  std::map<std::array<std::string, 3>, double> counts;
  for (const json& one : neighbours) {
    ++counts[{one["line"], one["port"], one["state"]}];
  }
  for (const auto& [place, count] : counts) {
    out.add("neighbours", kGauge, "Next hops of a gateway port, by the state of their resolution",
            {{"line", place[0]}, {"port", place[1]}, {"state", place[2]}}, count);
  }
}

std::vector<MetricFamily> families_of(const Figures& figures, const json& mka) {
  Families out;
  out.add("info", kGauge, "Always 1", {{"version", config::kVersion}}, 1);
  add_lines(out, figures.lines()["lines"]);
  const json ports = figures.ports(), sas = figures.sas({}, kMaxSas), gateways = figures.gateways(),
             drops = figures.drops({}, true), cores = figures.cores(), crypto = figures.crypto();
  for (const json& port : ports["ports"]) {
    out.add(kPortMetrics, port,
            labels_of(port, {{"port", "name"}, {"line", "line"}, {"side", "side"}}));
  }
  for (const json& sa : sas["sas"]) {
    out.add(
        kSaMetrics, sa,
        labels_of(sa,
                  {{"line", "line"}, {"sa", "name"}, {"direction", "direction"}, {"spi", "spi"}}));
  }
  add_secys(out, figures.secys()["secys"]);
  add_mka(out, mka["kays"]);
  add_neighbours(out, figures.neighbours()["neighbours"]);
  for (const json& gateway : gateways["gateways"]) {
    out.add("gateway_", gateway["counters"],
            "What a gateway did by itself: ", labels_of(gateway, {{"line", "line"}}));
  }
  for (const json& drop : drops["drops"]) {
    out.add(
        "drops_total", kCounter, "Packets that ended here, by reason; kind: lost or used",
        labels_of(
            drop,
            {{"line", "line"}, {"direction", "direction"}, {"reason", "reason"}, {"kind", "kind"}}),
        value_of(drop["packets"]));
  }
  for (const json& core : cores["cores"]) {
    const Labels labels = labels_of(core, {{"core", "name"}});
    out.add("core_running", kGauge, "1 when a worker turns its loop", labels,
            core["state"] == "running" ? 1 : 0);
    out.add(kCoreMetrics, core, labels);
  }
  for (const json& engine : crypto["engines"]) {
    out.add("crypto_self_test_passed", kGauge, "1 when the engine gave the known answers at start",
            labels_of(engine, {{"engine", "name"}}), engine["self_test"] == "passed" ? 1 : 0);
  }
  return out.take();
}

class Copy final : public prometheus::Collectable {
 public:
  std::vector<MetricFamily> Collect() const override {
    std::shared_ptr<const std::vector<MetricFamily>> families;
    {
      const std::lock_guard lock(mutex_);
      families = families_;
    }
    return families ? *families : std::vector<MetricFamily>{};
  }
  void replace(std::vector<MetricFamily> families) {
    auto next = std::make_shared<const std::vector<MetricFamily>>(std::move(families));
    const std::lock_guard lock(mutex_);
    families_ = std::move(next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const std::vector<MetricFamily>> families_;
};

}  // namespace

struct Metrics::Parts {
  explicit Parts(const std::string& address) : exposer(address, kThreads) {
    exposer.RegisterCollectable(copy);
  }
  std::shared_ptr<Copy> copy = std::make_shared<Copy>();
  prometheus::Exposer exposer;
};

Metrics::Metrics(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Metrics::~Metrics() = default;

Result<std::unique_ptr<Metrics>> Metrics::serve(const config::Endpoint& where) {
  const std::string address = config::to_string(where);
  std::unique_ptr<Parts> parts;
  // The server's threads are made by one without rights.
  std::thread([&parts, &address] {
    drop_privileges();
    try {
      parts = std::make_unique<Parts>(address);
    } catch (const std::exception&) {  // it does not say why
    }
  }).join();
  if (!parts) {
    return fail("SW-CTL-031", fmt::format("system.metrics: cannot listen on {}", address),
                "choose an address of this host and a port above 1023 that is free");
  }
  return std::unique_ptr<Metrics>(new Metrics(std::move(parts)));
}

void Metrics::update(const Figures& figures, const json& mka) {
  parts_->copy->replace(families_of(figures, mka));
}

}  // namespace sealwire::control
