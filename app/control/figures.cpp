#include "app/control/figures.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cmath>

#include "app/control/convert.h"

namespace sealwire::control {
namespace {

using nlohmann::json;
using pipelines::Direction;

const char* text(Direction direction) {
  return direction == Direction::egress ? "egress" : "ingress";
}

const char* text(pipelines::Spread spread) {
  switch (spread) {
    case pipelines::Spread::alone:
      return "alone";
    case pipelines::Spread::shared_queue:
      return "in-turn, shared queue";
    case pipelines::Spread::own_queues:
      return "in-turn, own queues";
  }
  return "";
}

const char* text(NeighbourState state) {
  switch (state) {
    case NeighbourState::permanent:
      return "permanent";
    case NeighbourState::reachable:
      return "reachable";
    case NeighbourState::probe:
      return "probe";
    case NeighbourState::incomplete:
      return "incomplete";
    case NeighbourState::failed:
      return "failed";
    case NeighbourState::none:
      return "none";
  }
  return "";
}

const char* text(crypto::Direction direction) {
  return direction == crypto::Direction::seal ? "seal" : "open";
}

const char* text(crypto::SizeClass size) {
  switch (size) {
    case crypto::SizeClass::small:
      return "small";
    case crypto::SizeClass::medium:
      return "medium";
    case crypto::SizeClass::large:
      return "large";
  }
  return "";
}

std::string worker_name(std::size_t worker) { return "worker-" + std::to_string(worker); }

json octets_rate(double octets) { return octets * 8; }

bool wanted(const LineControl& line, const std::string& name) {
  return name.empty() || line.config().name == name;
}

json transmit_sa(const pipelines::TransmitSaStatus& sa) {
  return {{"an", sa.an.value()},
          {"suite", suite_text(sa.suite)},
          {"state", sa.exhausted  ? "exhausted"
                    : sa.encoding ? "encoding"
                    : sa.enabled  ? "enabled"
                                  : "installed"},
          {"confidentiality", sa.confidentiality},
          {"confidentiality_offset", sa.offset},
          {"next_pn", sa.next_pn},
          {"limit", sa.limit},
          {"out_pkts", sa.out_pkts}};
}

json receive_sa(const pipelines::ReceiveSaStatus& sa) {
  return {{"an", sa.an.value()},
          {"suite", suite_text(sa.suite)},
          {"state", sa.in_use ? "in use" : "installed"},
          {"next_pn", sa.next_pn},
          {"lowest_pn", sa.lowest_pn},
          {"counters",
           {{"InPktsOK", sa.ok},
            {"InPktsUnchecked", sa.unchecked},
            {"InPktsDelayed", sa.delayed},
            {"InPktsLate", sa.late},
            {"InPktsInvalid", sa.invalid},
            {"InPktsNotValid", sa.not_valid},
            {"InPktsDuplicate", sa.duplicate}}}};
}

}  // namespace

json crypto_plan(const crypto::Measurement& measurement, std::uint64_t tsc_hz) {
  json all = json::array();
  for (const crypto::EngineCost& cost : measurement.costs) {
    if (cost.chosen == crypto::EnginePlan::kNone) continue;
    json cycles = json::object();
    for (std::size_t i = 0; i < measurement.candidates.size(); ++i) {
      if (cost.nanoseconds[i] == 0) continue;
      cycles[measurement.candidates[i]] =
          std::round(cost.nanoseconds[i] * static_cast<double>(tsc_hz) / 1e9);
    }
    all.push_back({{"algorithm", crypto::info(cost.algorithm).name},
                   {"direction", text(cost.direction)},
                   {"size", text(cost.size)},
                   {"octets", crypto::typical_octets(cost.size)},
                   {"cycles", std::move(cycles)},
                   {"chosen", measurement.candidates[cost.chosen]}});
  }
  return all;
}

std::uint64_t Figures::Totals::dropped() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < drops.size(); ++i) {
    if (pipelines::kDropReasonInfo[i].kind == pipelines::DropKind::lost) sum += drops[i];
  }
  return sum;
}

Figures::Totals Figures::totals(std::size_t line, Direction direction) const {
  Totals sum;
  for (const LaneView& view : *source_.lanes) {
    if (view.line != line || view.direction != direction) continue;
    const pipelines::LaneCounters& counters = view.lane->counters();
    sum.rx_packets += counters.rx_packets.read();
    sum.rx_octets += counters.rx_octets.read();
    sum.tx_packets += counters.tx_packets.read();
    sum.tx_octets += counters.tx_octets.read();
    sum.linearised += counters.linearised.read();
    sum.tx_retries += counters.tx_retries.read();
    for (std::size_t i = 0; i < sum.drops.size(); ++i) sum.drops[i] += counters.drops[i].read();
  }
  return sum;
}

void Figures::sample(Clock::time_point now) {
  const double seconds =
      sampled_ == Clock::time_point{} ? 0 : std::chrono::duration<double>(now - sampled_).count();
  sampled_ = now;
  for (std::size_t line = 0; line < source_.lines->size(); ++line) {
    for (const Direction direction : {Direction::egress, Direction::ingress}) {
      const Totals sum = totals(line, direction);
      FlowRates& flow = flows_[{line, direction}];
      flow.rx_packets.sample(sum.rx_packets, seconds);
      flow.rx_octets.sample(sum.rx_octets, seconds);
      flow.tx_packets.sample(sum.tx_packets, seconds);
      flow.tx_octets.sample(sum.tx_octets, seconds);
      auto& drops = drops_[{line, direction}];
      for (std::size_t i = 0; i < drops.size(); ++i) drops[i].sample(sum.drops[i], seconds);
    }
  }
  for (const OpenPort& port : *source_.ports) {
    rte_eth_stats stats{};
    rte_eth_stats_get(port.id, &stats);
    FlowRates& flow = ports_[port.id];
    flow.rx_packets.sample(stats.ipackets, seconds);
    flow.rx_octets.sample(stats.ibytes, seconds);
    flow.tx_packets.sample(stats.opackets, seconds);
    flow.tx_octets.sample(stats.obytes, seconds);
  }
  for (std::size_t i = 0; i < source_.workers->size(); ++i) {
    const pipelines::WorkerCounters& counters = (*source_.workers)[i]->counters();
    CoreRates& core = cores_[i];
    core.busy.sample(counters.busy_cycles.read(), seconds);
    core.total.sample(counters.total_cycles.read(), seconds);
    core.loops.sample(counters.loops.read(), seconds);
    core.sleeps.sample(counters.sleeps.read(), seconds);
    core.load = std::min(1.0, core.busy.per_second / static_cast<double>(source_.tsc_hz));
  }
}

json Figures::flow(std::size_t line, Direction direction) const {
  const Totals sum = totals(line, direction);
  json out = {{"rx_packets", sum.rx_packets}, {"rx_octets", sum.rx_octets},
              {"tx_packets", sum.tx_packets}, {"tx_octets", sum.tx_octets},
              {"dropped", sum.dropped()},     {"linearised", sum.linearised},
              {"tx_retries", sum.tx_retries}};
  if (const auto found = flows_.find({line, direction}); found != flows_.end()) {
    const FlowRates& rates = found->second;
    out["rx_packets_per_second"] = rates.rx_packets.per_second;
    out["tx_packets_per_second"] = rates.tx_packets.per_second;
    out["rx_bits_per_second"] = octets_rate(rates.rx_octets.per_second);
    out["tx_bits_per_second"] = octets_rate(rates.tx_octets.per_second);
  }
  json workers = json::array();
  for (const LaneView& view : *source_.lanes) {
    if (view.line == line && view.direction == direction)
      workers.push_back(worker_name(view.worker));
  }
  out["workers"] = std::move(workers);
  LineControl& control = *(*source_.lines)[line];
  out["spread"] = text(control.direction(direction).spread);
  return out;
}

json Figures::lines(const std::string& name) const {
  json all = json::array();
  for (std::size_t i = 0; i < source_.lines->size(); ++i) {
    const LineControl& line = *(*source_.lines)[i];
    if (!wanted(line, name)) continue;
    const config::Line& config = line.config();
    json stages = json::array();
    for (const config::Stage stage : config.stages) {
      stages.push_back(stage == config::Stage::esp ? "esp" : "macsec");
    }
    all.push_back({{"name", config.name},
                   {"kind", config.is_gateway() ? "gateway" : "wire"},
                   {"stages", std::move(stages)},
                   {"inside", config.inside},
                   {"outside", config.outside},
                   {"state", line.snapshot().secure ? "up" : "STOPPED"},
                   {"cleartext", config.cleartext},
                   {"engine", Engines::key_of(config.engine)},
                   {"egress", flow(i, Direction::egress)},
                   {"ingress", flow(i, Direction::ingress)}});
  }
  return {{"lines", std::move(all)}};
}

json Figures::ports(const std::string& name) const {
  json all = json::array();
  for (const OpenPort& port : *source_.ports) {
    json out = {{"name", port.name}, {"device", port.device},     {"id", port.id},
                {"mtu", port.mtu},   {"mac", mac_text(port.mac)}, {"rx_queues", port.rx_queues}};
    bool shown = name.empty();
    for (const auto& line : *source_.lines) {
      for (const char* side : {"inside", "outside"}) {
        const auto& names = side[0] == 'i' ? line->config().inside : line->config().outside;
        if (std::find(names.begin(), names.end(), port.name) == names.end()) continue;
        out["line"] = line->config().name;
        out["side"] = side;
        shown = shown || wanted(*line, name);
      }
    }
    if (!shown) continue;
    rte_eth_link link{};
    out["link_up"] =
        rte_eth_link_get_nowait(port.id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
    out["link_mbit_per_second"] =
        link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? json(nullptr) : json(link.link_speed);
    rte_eth_stats stats{};
    rte_eth_stats_get(port.id, &stats);
    out["rx_packets"] = stats.ipackets;
    out["rx_octets"] = stats.ibytes;
    out["rx_missed"] = stats.imissed;
    out["rx_errors"] = stats.ierrors;
    out["rx_no_buffer"] = stats.rx_nombuf;
    out["tx_packets"] = stats.opackets;
    out["tx_octets"] = stats.obytes;
    out["tx_errors"] = stats.oerrors;
    out["buffers_free"] = port.pool == nullptr ? 0 : rte_mempool_avail_count(port.pool);
    if (const auto found = ports_.find(port.id); found != ports_.end()) {
      out["rx_packets_per_second"] = found->second.rx_packets.per_second;
      out["tx_packets_per_second"] = found->second.tx_packets.per_second;
      out["rx_bits_per_second"] = octets_rate(found->second.rx_octets.per_second);
      out["tx_bits_per_second"] = octets_rate(found->second.tx_octets.per_second);
    }
    all.push_back(std::move(out));
  }
  return {{"ports", std::move(all)}};
}

json Figures::sas(const std::string& name, std::size_t limit) const {
  json all = json::array();
  for (const auto& line : *source_.lines) {
    if (!wanted(*line, name)) continue;
    for (const LineControl::SaEntry& entry : line->sas()) {
      if (all.size() >= limit) break;
      const config::EspSa& config = *entry.config;
      json out = {{"line", line->config().name},
                  {"name", config.name},
                  {"direction", config.direction == config::SaDirection::out ? "out" : "in"},
                  {"spi", spi_text(config.spi)},
                  {"algorithm", crypto::info(config.algorithm).name},
                  {"source", to_text(config.source)},
                  {"destination", to_text(config.destination)},
                  {"esn", config.esn},
                  {"udp", config.udp.has_value()},
                  {"state", entry.state()},
                  {"age_seconds",
                   std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - entry.installed)
                       .count()}};
      if (entry.slot != nullptr) {
        if (const auto* sa = entry.slot->current.load(std::memory_order_relaxed)) {
          const auto& runtime = sa->runtime;
          out["packets"] = runtime.packets.read();
          out["octets"] = runtime.octets.read();
          out["next_sn"] = runtime.next_sn.load(std::memory_order_relaxed);
          out["sn_limit"] = sa->sn_limit.load(std::memory_order_relaxed);
          out["lifetime_drops"] = runtime.lifetime_drops.read();
          out["exhausted_drops"] = runtime.exhausted_drops.read();
          out["dropped"] = runtime.lifetime_drops.read() + runtime.exhausted_drops.read();
        }
      } else if (entry.inbound != nullptr) {
        const auto& runtime = entry.inbound->runtime;
        out["packets"] = runtime.packets.read();
        out["octets"] = runtime.octets.read();
        out["replay_window"] = config.replay_window;
        const std::pair<const char*, const pipelines::Counter*> kDrops[] = {
            {"replay_drops", &runtime.replay_drops},
            {"auth_failed", &runtime.auth_failed},
            {"malformed", &runtime.malformed},
            {"selector_drops", &runtime.selector_drops},
            {"lifetime_drops", &runtime.lifetime_drops},
            {"ecn_drops", &runtime.ecn_drops}};
        std::uint64_t dropped = 0;
        for (const auto& [key, counter] : kDrops) {
          out[key] = counter->read();
          dropped += counter->read();
        }
        out["dummies"] = runtime.dummies.read();
        out["dropped"] = dropped;
      }
      all.push_back(std::move(out));
    }
  }
  return {{"sas", std::move(all)}};
}

json Figures::secys(const std::string& name) const {
  json all = json::array();
  for (const auto& line : *source_.lines) {
    if (!wanted(*line, name) || !line->config().macsec) continue;
    for (std::size_t port = 0; port < line->secy_count(); ++port) {
      const pipelines::Secy& secy = *line->secy(port);
      const pipelines::SecySettings& settings = secy.settings();
      const char* kValidate[] = {"strict", "check", "disabled", "null"};
      json tx_sas = json::array(), scs = json::array();
      for (std::uint8_t an = 0; an < 4; ++an) {
        if (const auto sa = secy.transmit_sa(crypto::An(an))) tx_sas.push_back(transmit_sa(*sa));
      }
      secy.for_each_receive_sc([&](const pipelines::ReceiveSc& sc) {
        json sas = json::array();
        for (std::uint8_t an = 0; an < 4; ++an) {
          if (const auto sa = secy.receive_sa(sc.sci, crypto::An(an)))
            sas.push_back(receive_sa(*sa));
        }
        const auto& c = sc.counters;
        scs.push_back({{"sci", sci_text(sc.sci.value())},
                       {"counters",
                        {{"InPktsOK", c.in_pkts_ok.read()},
                         {"InPktsUnchecked", c.in_pkts_unchecked.read()},
                         {"InPktsDelayed", c.in_pkts_delayed.read()},
                         {"InPktsLate", c.in_pkts_late.read()},
                         {"InPktsInvalid", c.in_pkts_invalid.read()},
                         {"InPktsNotValid", c.in_pkts_not_valid.read()},
                         {"InPktsDuplicate", c.in_pkts_duplicate.read()},
                         {"InPktsNoSA", c.in_pkts_no_sa.read()},
                         {"InPktsNoSAError", c.in_pkts_no_sa_error.read()}}},
                       {"sas", std::move(sas)}});
      });
      const auto& t = secy.transmit_counters();
      const auto& r = secy.receive_counters();
      all.push_back(
          {{"line", line->config().name},
           {"port", line->place().outside[port].name},
           {"sci", sci_text(settings.sci.value())},
           {"protect_frames", secy.protect_frames()},
           {"validate_frames", kValidate[static_cast<std::size_t>(secy.validate_frames())]},
           {"replay_protect", settings.replay_protect},
           {"replay_window", settings.replay_window},
           {"transmit",
            {{"counters",
              {{"OutPktsUntagged", t.out_pkts_untagged.read()},
               {"OutPktsTooLong", t.out_pkts_too_long.read()},
               {"OutPktsProtected", t.out_pkts_protected.read()},
               {"OutPktsEncrypted", t.out_pkts_encrypted.read()},
               {"OutOctetsProtected", t.out_octets_protected.read()},
               {"OutOctetsEncrypted", t.out_octets_encrypted.read()},
               {"OutNoSa", t.out_no_sa.read()},
               {"OutPnExhausted", t.out_pn_exhausted.read()}}},
             {"sas", std::move(tx_sas)}}},
           {"receive",
            {{"counters",
              {{"InPktsUntagged", r.in_pkts_untagged.read()},
               {"InPktsNoTag", r.in_pkts_no_tag.read()},
               {"InPktsBadTag", r.in_pkts_bad_tag.read()},
               {"InPktsNoSA", r.in_pkts_no_sa.read()},
               {"InPktsNoSAError", r.in_pkts_no_sa_error.read()},
               {"InOctetsValidated", r.in_octets_validated.read()},
               {"InOctetsDecrypted", r.in_octets_decrypted.read()},
               {"InOwnSci", r.in_own_sci.read()},
               {"InPktsKay", r.in_pkts_kay.read()}}},
             {"scs", std::move(scs)}}}});
    }
  }
  return {{"secys", std::move(all)}};
}

json Figures::drops(const std::string& name, bool all_reasons) const {
  json all = json::array();
  for (std::size_t i = 0; i < source_.lines->size(); ++i) {
    const LineControl& line = *(*source_.lines)[i];
    if (!wanted(line, name)) continue;
    for (const Direction direction : {Direction::egress, Direction::ingress}) {
      const Totals sum = totals(i, direction);
      const auto rates = drops_.find({i, direction});
      for (std::size_t reason = 1; reason < sum.drops.size(); ++reason) {
        if (sum.drops[reason] == 0 && !all_reasons) continue;
        const auto& info = pipelines::kDropReasonInfo[reason];
        all.push_back(
            {{"line", line.config().name},
             {"direction", text(direction)},
             {"reason", info.name},
             {"kind", info.kind == pipelines::DropKind::lost ? "lost" : "used"},
             {"packets", sum.drops[reason]},
             {"packets_per_second", rates == drops_.end() ? 0.0 : rates->second[reason].per_second},
             {"meaning", info.text}});
      }
    }
  }
  return {{"drops", std::move(all)}};
}

json Figures::neighbours(const std::string& name) const {
  json all = json::array();
  const std::uint64_t now = milliseconds(Clock::now());
  for (std::size_t i = 0; i < source_.lines->size(); ++i) {
    const LineControl& line = *(*source_.lines)[i];
    const GatewaySlowPath* const slow = (*source_.slow_paths)[i].get();
    if (slow == nullptr || !wanted(line, name)) continue;
    for (const NeighbourStatus& one : slow->neighbours(now)) {
      const bool inside = one.side == pipelines::Side::inside;
      const auto& ports = inside ? line.place().inside : line.place().outside;
      all.push_back({{"line", line.config().name},
                     {"port", one.port < ports.size() ? ports[one.port].name : ""},
                     {"side", inside ? "inside" : "outside"},
                     {"address", to_text(one.address)},
                     {"mac", one.mac ? json(mac_text(*one.mac)) : json(nullptr)},
                     {"state", text(one.state)},
                     {"age_seconds", one.age ? json(*one.age / 1000) : json(nullptr)},
                     {"held", one.held}});
    }
  }
  return {{"neighbours", std::move(all)}};
}

json Figures::gateways(const std::string& name) const {
  json all = json::array();
  for (std::size_t i = 0; i < source_.lines->size(); ++i) {
    const LineControl& line = *(*source_.lines)[i];
    const GatewaySlowPath* const slow = (*source_.slow_paths)[i].get();
    if (slow == nullptr || !wanted(line, name)) continue;
    json counters = json::object();
    for (const auto& [key, counter] : kSlowPathCounterNames) {
      counters[key] = slow->counters().*counter;
    }
    all.push_back({{"line", line.config().name}, {"counters", std::move(counters)}});
  }
  return {{"gateways", std::move(all)}};
}

json Figures::cores() const {
  json all = json::array();
  const std::uint64_t now = rte_rdtsc();
  for (std::size_t i = 0; i < source_.workers->size(); ++i) {
    const pipelines::Worker& worker = *(*source_.workers)[i];
    const pipelines::WorkerCounters& counters = worker.counters();
    json runs = json::array();
    for (const LaneView& view : *source_.lanes) {
      if (view.worker != i) continue;
      runs.push_back((*source_.lines)[view.line]->config().name + " " + text(view.direction));
    }
    const unsigned lcore = static_cast<unsigned>(i + 1);
    rte_cpuset_t set = rte_lcore_cpuset(lcore);
    json cpus = json::array();
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
    json out = {{"name", worker_name(i)},
                {"cpu", std::move(cpus)},
                {"state", !worker.running()                         ? "stopped"
                          : worker.stalled(now, source_.tsc_hz / 2) ? "STALLED"
                                                                    : "running"},
                {"runs", std::move(runs)},
                {"loops", counters.loops.read()},
                {"busy_loops", counters.busy_loops.read()},
                {"busy_cycles", counters.busy_cycles.read()},
                {"total_cycles", counters.total_cycles.read()},
                {"sleeps", counters.sleeps.read()}};
    if (const auto found = cores_.find(i); found != cores_.end()) {
      out["load"] = found->second.load;
      out["loops_per_second"] = found->second.loops.per_second;
      out["sleeps_per_second"] = found->second.sleeps.per_second;
    }
    all.push_back(std::move(out));
  }
  return {{"cores", std::move(all)}, {"tsc_hz", source_.tsc_hz}};
}

json Figures::crypto() const {
  json all = json::array();
  for (const Engines::Status& engine : source_.engines->status()) {
    json lines = json::array();
    for (const auto& line : *source_.lines) {
      if (Engines::key_of(line->config().engine) == engine.name)
        lines.push_back(line->config().name);
    }
    all.push_back({{"name", engine.name},
                   {"self_test", engine.tested ? "passed" : "FAILED"},
                   {"lines", std::move(lines)},
                   {"algorithms", engine.algorithms}});
  }
  const crypto::Measurement measurement = crypto::auto_measurement();
  return {{"engines", std::move(all)},
          {"plan", crypto_plan(measurement, source_.tsc_hz)},
          {"plan_measured", measurement.earlier ? "at an earlier start" : "at start"}};
}

}  // namespace sealwire::control
