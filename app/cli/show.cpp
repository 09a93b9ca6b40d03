#include "app/cli/show.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <set>

#include "app/cli/table.h"

namespace sealwire::cli {
namespace {

using nlohmann::json;

const json& at(const json& value, const char* key) {
  static const json kNothing;
  if (!value.is_object()) return kNothing;
  const auto found = value.find(key);
  return found == value.end() ? kNothing : *found;
}

std::string text(const json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    std::string all;
    for (const json& item : value) all += (all.empty() ? "" : ",") + text(item);
    return all.empty() ? "-" : all;
  }
  return value.dump();
}
std::string text(const json& value, const char* key) { return text(at(value, key)); }

std::uint64_t number(const json& value, const char* key) {
  const json& found = at(value, key);
  return found.is_number_unsigned() || found.is_number_integer() ? found.get<std::uint64_t>() : 0;
}
std::string count(const json& value, const char* key) {
  return at(value, key).is_null() ? "-" : grouped(number(value, key));
}
std::string rate(const json& value, const char* key) {
  const json& found = at(value, key);
  return found.is_number() ? scaled(found.get<double>()) : "-";
}

std::string lines(const json& result) {
  Table table({"LINE", "STAGES", "STATE", "DIRECTION", ">RX PACKETS", ">TX PACKETS", ">DROPPED",
               ">RX BIT/S", ">TX BIT/S", ">TX PKT/S", "ENGINE"});
  for (const json& line : at(result, "lines")) {
    for (const char* direction : {"egress", "ingress"}) {
      const json& d = at(line, direction);
      const bool first = direction[0] == 'e';
      table.add({first ? text(line, "name") : "", first ? "[" + text(line, "stages") + "]" : "",
                 first ? text(line, "state") : "", direction, count(d, "rx_packets"),
                 count(d, "tx_packets"), count(d, "dropped"), rate(d, "rx_bits_per_second"),
                 rate(d, "tx_bits_per_second"), rate(d, "tx_packets_per_second"),
                 first ? text(line, "engine") : ""});
    }
  }
  return table.text();
}

std::string ports(const json& result) {
  Table table({"PORT", "SIDE", "LINE", "LINK", "MAC", ">MTU", ">RX PACKETS", ">TX PACKETS",
               ">RX MISSED", ">ERRORS", ">RX BIT/S", ">TX BIT/S", "DEVICE"});
  for (const json& port : at(result, "ports")) {
    table.add({text(port, "name"), text(port, "side"), text(port, "line"),
               at(port, "link_up") == json(true) ? "up" : "DOWN", text(port, "mac"),
               text(port, "mtu"), count(port, "rx_packets"), count(port, "tx_packets"),
               grouped(number(port, "rx_missed") + number(port, "rx_no_buffer")),
               grouped(number(port, "rx_errors") + number(port, "tx_errors")),
               rate(port, "rx_bits_per_second"), rate(port, "tx_bits_per_second"),
               text(port, "device")});
  }
  return table.text();
}

std::string sa(const json& result) {
  Table table({"SA", "LINE", "DIR", "SPI", "ALGORITHM", "SOURCE", "DESTINATION", "STATE",
               ">PACKETS", ">OCTETS", ">SN", ">SN LIMIT", ">WINDOW", ">DROPPED"});
  for (const json& entry : at(result, "sas")) {
    table.add({text(entry, "name"), text(entry, "line"), text(entry, "direction"),
               text(entry, "spi"), text(entry, "algorithm"), text(entry, "source"),
               text(entry, "destination"), text(entry, "state"), count(entry, "packets"),
               count(entry, "octets"), count(entry, "next_sn"), count(entry, "sn_limit"),
               count(entry, "replay_window"), count(entry, "dropped")});
  }
  return table.text();
}

// Counters under the names of 802.1AE, those that are not 0, several in a row.
std::string counters(const json& values, const std::string& indent) {
  std::string out;
  for (const auto& [name, value] : values.items()) {
    if (value.is_number() && value.get<std::uint64_t>() != 0) {
      out += fmt::format("{}{:<22} {:>20}\n", indent, name, grouped(value.get<std::uint64_t>()));
    }
  }
  return out;
}

std::string when(const json& value, const char* key, const char* none) {
  const json& found = at(value, key);
  if (!found.is_number_integer()) return none;
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(found.get<std::time_t>()));
}

std::string mka(const json& result) {
  std::string out;
  for (const json& kay : at(result, "kays")) {
    out += fmt::format("KaY {} of line {}: SCI {}, controlled port {}, state {}\n",
                       text(kay, "port"), text(kay, "line"), text(kay, "sci"),
                       text(kay, "controlled_port"), text(kay, "state"));
    for (const json& sak : at(kay, "saks")) {
      out += fmt::format(
          "  SAK AN {} KN {} {}, offset {}{}{}: CKN {}, {:.0f} s old\n", text(sak, "an"),
          text(sak, "kn"), text(sak, "suite"), text(sak, "confidentiality_offset"),
          at(sak, "transmitting") == json(true) ? ", transmitting" : "",
          at(sak, "receiving") == json(true) ? ", receiving" : "", text(sak, "ckn"),
          at(sak, "age_seconds").is_number() ? at(sak, "age_seconds").get<double>() : 0);
      if (at(sak, "transmitting") == json(true)) {
        out += fmt::format("    nextPN {}, PN left to rekey {}, time left to rekey {}\n",
                           count(sak, "next_pn"), count(sak, "pn_left_to_rekey"),
                           text(kay, "time_to_rekey_seconds"));
      }
      for (const json& one : at(sak, "receive")) {
        out += fmt::format("    from {}: lowestPN {}\n", text(one, "sci"), count(one, "lowest_pn"));
      }
    }
    for (const json& p : at(kay, "participants")) {
      out += fmt::format("  participant {} CKN {}: MI {} MN {}, key server {}{}{}\n",
                         text(p, "name"), text(p, "ckn"), text(p, "mi"), text(p, "mn"),
                         text(p, "key_server"), at(p, "elected_self") == json(true) ? " (us)" : "",
                         at(p, "principal") == json(true) ? ", principal" : "");
      for (const json& peer : at(p, "peers")) {
        out += fmt::format("    {} peer {}: MI {} MN {}, priority {}, MKA {}, seen {} s ago\n",
                           text(peer, "state"), text(peer, "sci"), text(peer, "mi"),
                           text(peer, "mn"), text(peer, "priority"), text(peer, "version"),
                           text(peer, "last_seen_seconds"));
      }
    }
    out += counters(at(kay, "counters"), "  ");
  }
  return out.empty() ? "no line has MKA\n" : out;
}

std::string keys(const json& result) {
  Table table({"KEY", "LINE", "PORT", "CKN", ">CAK OCTETS", "START", "END", "STATE"});
  for (const json& key : at(result, "keys")) {
    const bool in_use = at(key, "in_use") == json(true), valid = at(key, "valid") == json(true);
    std::string state = in_use ? "in use" : valid ? "valid" : "not valid now";
    if (at(key, "fallback") == json(true)) state += ", fallback";
    table.add({text(key, "name"), text(key, "line"), text(key, "port"), text(key, "ckn"),
               count(key, "cak_octets"), when(key, "start", "always"), when(key, "end", "never"),
               state});
  }
  return table.text();
}

std::string secy(const json& result) {
  std::string out;
  for (const json& entry : at(result, "secys")) {
    out += fmt::format(
        "SecY {} of line {}: SCI {}, protectFrames {}, validateFrames {}, replayProtect {}, "
        "replayWindow {}\n",
        text(entry, "port"), text(entry, "line"), text(entry, "sci"), text(entry, "protect_frames"),
        text(entry, "validate_frames"), text(entry, "replay_protect"),
        text(entry, "replay_window"));
    const json& tx = at(entry, "transmit");
    out += fmt::format("  transmit SC {}\n", text(entry, "sci"));
    out += counters(at(tx, "counters"), "    ");
    for (const json& one : at(tx, "sas")) {
      out += fmt::format("    SA {} {}, {}: nextPN {}, limit {}, OutPkts {}\n", text(one, "an"),
                         text(one, "suite"), text(one, "state"), count(one, "next_pn"),
                         count(one, "limit"), count(one, "out_pkts"));
    }
    const json& rx = at(entry, "receive");
    out += "  receive\n" + counters(at(rx, "counters"), "    ");
    for (const json& sc : at(rx, "scs")) {
      out += fmt::format("    SC {}\n", text(sc, "sci"));
      out += counters(at(sc, "counters"), "      ");
      for (const json& one : at(sc, "sas")) {
        out += fmt::format("      SA {} {}, {}: nextPN {}, lowestPN {}\n", text(one, "an"),
                           text(one, "suite"), text(one, "state"), count(one, "next_pn"),
                           count(one, "lowest_pn"));
        out += counters(at(one, "counters"), "        ");
      }
    }
  }
  return out.empty() ? "no line has a macsec stage\n" : out;
}

std::string drops(const json& result) {
  Table table({"LINE", "DIRECTION", "REASON", ">PACKETS", ">PER SECOND", "KIND", "MEANING"});
  for (const json& drop : at(result, "drops")) {
    table.add({text(drop, "line"), text(drop, "direction"), text(drop, "reason"),
               count(drop, "packets"), rate(drop, "packets_per_second"), text(drop, "kind"),
               text(drop, "meaning")});
  }
  return table.empty() ? "nothing was dropped\n" : table.text();
}

std::string neighbours(const json& result) {
  Table table({"LINE", "PORT", "ADDRESS", "MAC", "STATE", ">AGE", ">HELD"});
  for (const json& one : at(result, "neighbours")) {
    table.add({text(one, "line"), text(one, "port"), text(one, "address"), text(one, "mac"),
               text(one, "state"),
               at(one, "age_seconds").is_null() ? "-" : count(one, "age_seconds") + " s",
               count(one, "held")});
  }
  return table.empty() ? "no line has neighbours\n" : table.text();
}

std::string gateway(const json& result) {
  std::string out;
  for (const json& one : at(result, "gateways")) {
    out += fmt::format("gateway line {}\n", text(one, "line"));
    out += counters(at(one, "counters"), "  ");
  }
  return out.empty() ? "no line is a gateway\n" : out;
}

std::string cores(const json& result) {
  Table table({"THREAD", "CPU", "STATE", ">LOAD", ">BUSY CYCLES", ">LOOPS/S", ">SLEEPS/S", "RUNS"});
  for (const json& core : at(result, "cores")) {
    const json& load = at(core, "load");
    table.add({text(core, "name"), text(core, "cpu"), text(core, "state"),
               load.is_number() ? percent(load.get<double>()) : "-", count(core, "busy_cycles"),
               rate(core, "loops_per_second"), rate(core, "sleeps_per_second"),
               text(core, "runs")});
  }
  return table.text();
}

// What each candidate of the auto engine took, cycles per packet, and who does it.
std::string crypto_plan(const json& plan, const std::string& measured) {
  std::set<std::string> candidates;
  for (const json& row : plan) {
    for (const auto& [name, cycles] : at(row, "cycles").items()) candidates.insert(name);
  }
  if (candidates.empty()) return {};
  std::vector<std::string> headings{"ALGORITHM", "DIRECTION", "SIZE", ">OCTETS"};
  for (const std::string& name : candidates) headings.push_back(">" + name);
  headings.emplace_back("CHOSEN");
  Table table(std::move(headings));
  for (const json& row : plan) {
    std::vector<std::string> cells{text(row, "algorithm"), text(row, "direction"),
                                   text(row, "size"), text(row, "octets")};
    for (const std::string& name : candidates) {
      const json& cycles = at(at(row, "cycles"), name.c_str());
      cells.push_back(cycles.is_number() ? fmt::format("{:.0f}", cycles.get<double>()) : "-");
    }
    cells.push_back(text(row, "chosen"));
    table.add(std::move(cells));
  }
  return "\nauto, measured " + measured + ", cycles per packet\n" + table.text();
}

std::string crypto(const json& result) {
  Table table({"ENGINE", "SELF-TEST", "LINES", "ALGORITHMS"});
  for (const json& engine : at(result, "engines")) {
    table.add({text(engine, "name"), text(engine, "self_test"), text(engine, "lines"),
               text(engine, "algorithms")});
  }
  return table.text() + crypto_plan(at(result, "plan"), text(result, "plan_measured"));
}

using Renderer = std::string (*)(const json&);
struct View {
  const char* name;
  Renderer render;
};
constexpr View kViews[] = {{"lines", lines},
                           {"ports", ports},
                           {"sa", sa},
                           {"secy", secy},
                           {"drops", drops},
                           {"cores", cores},
                           {"neighbours", neighbours},
                           {"gateway", gateway},
                           {"crypto", crypto},
                           {"mka", mka},
                           {"keys", keys}};

}  // namespace

const std::vector<std::string>& views() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const View& view : kViews) names.emplace_back(view.name);
    return names;
  }();
  return kNames;
}

std::string render(const std::string& name, const json& result) {
  for (const View& view : kViews) {
    if (name == view.name) return view.render(result);
  }
  return result.dump(2) + '\n';
}

}  // namespace sealwire::cli
