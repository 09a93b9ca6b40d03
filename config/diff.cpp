#include "config/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace sealwire::config {
namespace {

template <class T>
bool same_lists(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const T& x, const T& y) { return same(x, y); });
}

template <class T>
bool same_optionals(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a || same(*a, *b));
}

template <class T>
std::vector<T> clone_all(const std::vector<T>& items) {
  std::vector<T> copies;
  copies.reserve(items.size());
  for (const T& item : items) copies.push_back(clone(item));
  return copies;
}

// Calls added, changed or removed for each item by name, in the new order, removals last.
template <class T, class Name, class Note>
void compare(const std::vector<T>& before, const std::vector<T>& after, Name name, Note note) {
  std::unordered_map<std::string, const T*> old_items;
  for (const T& item : before) old_items.emplace(name(item), &item);
  for (const T& item : after) {
    const auto found = old_items.find(name(item));
    if (found == old_items.end()) {
      note(Change::added, name(item));
      continue;
    }
    if (!same(*found->second, item)) note(Change::changed, name(item));
    old_items.erase(found);
  }
  for (const T& item : before)
    if (old_items.contains(name(item))) note(Change::removed, name(item));
}

void compare_system(const System& a, const System& b, Diff& result) {
  const auto note = [&](bool equal, const char* name) {
    if (!equal) result.needs_restart.push_back({Change::changed, "system", "", name});
  };
  note(a.workers == b.workers, "workers");
  note(a.control_core == b.control_core, "control-core");
  note(a.hugepages == b.hugepages, "hugepages");
  note(a.memory == b.memory, "memory");
  note(a.idle == b.idle, "idle");
  note(a.api_socket == b.api_socket, "api-socket");
  note(a.state_directory == b.state_directory, "state-directory");
  note(a.dpdk_telemetry == b.dpdk_telemetry, "dpdk-telemetry");
  note(a.metrics == b.metrics, "metrics");
  note(a.log_level == b.log_level, "log-level");
  note(a.eal_log == b.eal_log, "eal-log");
  note(a.eal_args == b.eal_args, "eal-args");
}

void compare_macsec(const Line& a, const Line& b, Diff& result) {
  const auto live = [&](Change change, const char* kind, const std::string& name) {
    result.live.push_back({change, kind, b.name, name});
  };
  if (!same_settings(*a.macsec, *b.macsec)) live(Change::changed, "macsec", "");
  compare(
      a.macsec->secys, b.macsec->secys, [](const SecY& secy) { return secy.port; },
      [&](Change change, const std::string& name) { live(change, "secy", name); });
  if (!same_optionals(a.macsec->mka, b.macsec->mka))
    live(!a.macsec->mka   ? Change::added
         : !b.macsec->mka ? Change::removed
                          : Change::changed,
         "mka", "");
}

void compare_lines(const Line& a, const Line& b, Diff& result) {
  if (needs_restart(a, b)) {
    result.needs_restart.push_back({Change::changed, "line", "", b.name});
    return;
  }
  const auto live = [&](Change change, const char* kind, const std::string& name) {
    result.live.push_back({change, kind, b.name, name});
  };
  if (a.cleartext != b.cleartext) live(Change::changed, "line", b.name);
  if (!same(a.gateway, b.gateway)) live(Change::changed, "gateway", "");
  compare(
      a.sas, b.sas, [](const EspSa& sa) { return sa.name; },
      [&](Change change, const std::string& name) { live(change, "sa", name); });
  if (!same_lists(a.policies, b.policies)) live(Change::changed, "policies", "");
  if (a.macsec && b.macsec) compare_macsec(a, b, result);
}

}  // namespace

bool same(const Secret& a, const Secret& b) { return a.bytes.equal(b.bytes); }

bool same(const Port& a, const Port& b) {
  return std::tie(a.name, a.device, a.mtu, a.rx_queues, a.rx_descriptors, a.tx_descriptors, a.mac,
                  a.promiscuous) == std::tie(b.name, b.device, b.mtu, b.rx_queues, b.rx_descriptors,
                                             b.tx_descriptors, b.mac, b.promiscuous);
}

bool same(const EspSa& a, const EspSa& b) {
  return std::tie(a.name, a.direction, a.spi, a.algorithm, a.source, a.destination, a.esn,
                  a.next_sn, a.replay_window, a.udp, a.dscp, a.ecn, a.df, a.ttl, a.path_mtu,
                  a.lifetime, a.selectors) ==
             std::tie(b.name, b.direction, b.spi, b.algorithm, b.source, b.destination, b.esn,
                      b.next_sn, b.replay_window, b.udp, b.dscp, b.ecn, b.df, b.ttl, b.path_mtu,
                      b.lifetime, b.selectors) &&
         same(a.key, b.key) && same(a.salt, b.salt);
}

bool same(const Policy& a, const Policy& b) {
  return std::tie(a.name, a.action, a.direction, a.selector, a.sa, a.inbound_sa, a.cleartext) ==
         std::tie(b.name, b.action, b.direction, b.selector, b.sa, b.inbound_sa, b.cleartext);
}

bool same(const Gateway& a, const Gateway& b) {
  const auto equal = [](const auto& x, const auto& y, auto fields) {
    return std::equal(
        x.begin(), x.end(), y.begin(), y.end(),
        [&](const auto& left, const auto& right) { return fields(left) == fields(right); });
  };
  return equal(a.addresses, b.addresses,
               [](const PortAddresses& p) { return std::tie(p.port, p.addresses); }) &&
         equal(a.routes, b.routes,
               [](const Route& r) { return std::tie(r.destination, r.via, r.port); }) &&
         equal(a.neighbours, b.neighbours,
               [](const Neighbour& n) { return std::tie(n.address, n.mac, n.port); });
}

bool same(const MacsecSa& a, const MacsecSa& b) {
  return std::tie(a.an, a.ssci, a.next_pn) == std::tie(b.an, b.ssci, b.next_pn) &&
         same(a.key, b.key) && same(a.salt, b.salt);
}

bool same(const ReceiveChannel& a, const ReceiveChannel& b) {
  return a.name == b.name && a.sci == b.sci && same_lists(a.sas, b.sas);
}

bool same(const SecY& a, const SecY& b) {
  return std::tie(a.port, a.sci, a.encoding_sa) == std::tie(b.port, b.sci, b.encoding_sa) &&
         same_lists(a.tx, b.tx) && same_lists(a.rx, b.rx) && same_optionals(a.mka, b.mka);
}

bool same(const MkaKey& a, const MkaKey& b) {
  return a.name == b.name && same(a.cak, b.cak) &&
         std::tie(a.ckn, a.start, a.end) == std::tie(b.ckn, b.start, b.end);
}

bool same(const Mka& a, const Mka& b) {
  const auto settings = [](const Mka& m) {
    return std::tie(m.priority, m.version, m.suites, m.policy, m.delay_protect, m.icv_indicator,
                    m.cak_padding, m.hello, m.bounded_hello, m.life, m.retire, m.eapol_destination,
                    m.eapol_ethertype, m.rekey_pn, m.rekey_interval);
  };
  return settings(a) == settings(b) && same_lists(a.keys, b.keys) &&
         same_optionals(a.fallback, b.fallback);
}

bool same_settings(const Macsec& a, const Macsec& b) {
  const auto settings = [](const Macsec& m) {
    return std::tie(m.suite, m.protect_frames, m.confidentiality, m.confidentiality_offset,
                    m.include_sci, m.use_es, m.use_scb, m.validate_frames, m.replay_protect,
                    m.replay_window, m.duplicate_bitmap, m.vlan_in_clear);
  };
  return settings(a) == settings(b);
}

bool needs_restart(const Line& a, const Line& b) {
  return std::tie(a.stages, a.inside, a.outside, a.engine, a.workers) !=
         std::tie(b.stages, b.inside, b.outside, b.engine, b.workers);
}

Diff diff(const Document& old_document, const Document& new_document) {
  Diff result;
  const auto restart = [&](const char* kind) {
    return [&result, kind](Change change, const std::string& name) {
      result.needs_restart.push_back({change, kind, "", name});
    };
  };
  compare_system(old_document.system, new_document.system, result);
  compare(
      old_document.ports, new_document.ports, [](const Port& port) { return port.name; },
      restart("port"));
  for (const Line& line : new_document.lines) {
    const Line* before = find(old_document.lines, line.name);
    if (before == nullptr)
      restart("line")(Change::added, line.name);
    else
      compare_lines(*before, line, result);
  }
  for (const Line& line : old_document.lines)
    if (find(new_document.lines, line.name) == nullptr) restart("line")(Change::removed, line.name);
  return result;
}

std::string to_string(const Difference& difference) {
  constexpr const char* kWords[] = {"added", "changed", "removed"};
  std::string text;
  if (!difference.line.empty()) text = fmt::format("line {}: ", difference.line);
  text += difference.kind;
  if (!difference.name.empty()) text += " " + difference.name;
  return fmt::format("{} {}", text, kWords[static_cast<std::size_t>(difference.change)]);
}

// --- clones ------------------------------------------------------------------------------------

Secret clone(const Secret& secret) { return {secret.source, secret.bytes.clone()}; }

MacsecSa clone(const MacsecSa& sa) {
  return {sa.an, sa.where, clone(sa.key), clone(sa.salt), sa.ssci, sa.next_pn};
}

ReceiveChannel clone(const ReceiveChannel& rx) {
  return {rx.name, rx.where, rx.sci, clone_all(rx.sas)};
}

MkaKey clone(const MkaKey& key) {
  return {key.name, key.where, clone(key.cak), key.ckn, key.start, key.end};
}

EspSa clone(const EspSa& sa) {
  return {sa.name,       sa.where,         sa.direction, sa.spi,         sa.algorithm,
          clone(sa.key), clone(sa.salt),   sa.source,    sa.destination, sa.esn,
          sa.next_sn,    sa.replay_window, sa.udp,       sa.dscp,        sa.ecn,
          sa.df,         sa.ttl,           sa.path_mtu,  sa.lifetime,    sa.selectors};
}

Mka clone(const Mka& mka) {
  std::optional<MkaKey> fallback;
  if (mka.fallback) fallback = clone(*mka.fallback);
  return {mka.where,
          clone_all(mka.keys),
          std::move(fallback),
          mka.priority,
          mka.version,
          mka.suites,
          mka.policy,
          mka.delay_protect,
          mka.icv_indicator,
          mka.cak_padding,
          mka.hello,
          mka.bounded_hello,
          mka.life,
          mka.retire,
          mka.eapol_destination,
          mka.eapol_ethertype,
          mka.rekey_pn,
          mka.rekey_interval};
}

SecY clone(const SecY& secy) {
  std::optional<Mka> mka;
  if (secy.mka) mka = clone(*secy.mka);
  return {secy.port,          secy.where,         secy.sci,      secy.encoding_sa,
          clone_all(secy.tx), clone_all(secy.rx), std::move(mka)};
}

Macsec clone(const Macsec& m) {
  std::optional<Mka> mka;
  if (m.mka) mka = clone(*m.mka);
  return {m.where,
          m.suite,
          m.protect_frames,
          m.confidentiality,
          m.confidentiality_offset,
          m.include_sci,
          m.use_es,
          m.use_scb,
          m.validate_frames,
          m.replay_protect,
          m.replay_window,
          m.duplicate_bitmap,
          m.vlan_in_clear,
          std::move(mka),
          clone_all(m.secys)};
}

Line clone(const Line& line) {
  std::optional<Macsec> macsec;
  if (line.macsec) macsec = clone(*line.macsec);
  return {line.name,         line.where,          line.stages,   line.inside,  line.outside,
          line.cleartext,    line.engine,         line.workers,  line.profile, line.link_speed,
          std::move(macsec), clone_all(line.sas), line.policies, line.gateway};
}

}  // namespace sealwire::config
