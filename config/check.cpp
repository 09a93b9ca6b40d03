#include "config/check.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "config/profiles.h"
#include "config/secrets.h"
#include "config/text.h"

namespace sealwire::config {
namespace {

using Fingerprint = crypto::SecretBytes::Fingerprint;

constexpr std::uint32_t kLargestBitmap = 16384;
constexpr std::uint32_t kLargestXpnWindow = 1U << 30;

Path operator+(Path path, std::string key) {
  path.push_back(std::move(key));
  return path;
}

Path line_path(const Line& line) { return {"lines", line.name}; }
Path sa_path(const Line& line, const EspSa& sa) {
  return {"lines", line.name, "esp", "sas", sa.name};
}
Path policy_path(const Line& line, const Policy& policy) {
  return {"lines", line.name, "esp", "policies", policy.name};
}

template <class T>
std::vector<std::string_view> names_of(const std::vector<T>& items) {
  std::vector<std::string_view> names;
  for (const T& item : items) names.push_back(item.name);
  return names;
}

// --- resolve -----------------------------------------------------------------------------------

void split_keymat(const Path& path, EspSa& sa, Report& report) {
  if (sa.key.bytes.empty()) return;  // not loaded, already reported
  const crypto::AlgorithmInfo& info = crypto::info(sa.algorithm);
  const std::size_t key = info.key_length(), salt = info.salt_length;
  const std::size_t length = sa.key.bytes.size();
  if (sa.salt.given()) {
    if (salt == 0) {
      report.add(Rule::salt, path + "salt", fmt::format("{} has no salt", info.name));
      return;
    }
    if (length == key + salt) {
      report.add(Rule::salt, path + "salt",
                 fmt::format("the key already ends with the salt of {} octets", salt),
                 "one of the two");
      return;
    }
    if (!sa.salt.bytes.empty() && sa.salt.bytes.size() != salt)
      report.add(Rule::salt, path + "salt",
                 fmt::format("the salt has {} octets", sa.salt.bytes.size()),
                 fmt::format("{} octets", salt));
    if (length != key)
      report.add(Rule::key_length, path + "key", fmt::format("the key has {} octets", length),
                 fmt::format("{} octets for {} with its salt apart", key, info.name));
    return;
  }
  if (length != key + salt) {
    std::string expected = fmt::format("{} octets for {}", key + salt, info.name);
    if (salt != 0)
      expected += fmt::format(": {} of key, then {} of salt", key, salt);
    else if (info.auth_key_length != 0 && info.cipher_key_length != 0)
      expected += fmt::format(": {} of cipher key, then {} of authentication key",
                              info.cipher_key_length, info.auth_key_length);
    report.add(Rule::key_length, path + "key", fmt::format("the key has {} octets", length),
               std::move(expected));
    return;
  }
  if (salt == 0) return;
  auto head = sa.key.bytes.slice(0, key);
  auto tail = sa.key.bytes.slice(key, salt);
  if (!head || !tail) return;  // the length was just checked
  sa.key.bytes = std::move(*head);
  sa.salt = {sa.key.source, std::move(*tail)};
}

Selector mirrored(const Selector& selector) {
  return {selector.destination, selector.source, selector.protocol, selector.destination_ports,
          selector.source_ports};
}

void derive_selectors(std::vector<EspSa>& sas, const std::vector<Policy>& policies) {
  std::unordered_map<std::string_view, std::vector<const Policy*>> by_sa;
  for (const Policy& policy : policies)
    if (policy.action == Action::protect && policy.direction != PolicyDirection::out)
      for (const std::string& name : policy.inbound_sa) by_sa[name].push_back(&policy);
  for (EspSa& sa : sas) {
    if (sa.direction != SaDirection::in || !sa.selectors.empty()) continue;
    const auto named = by_sa.find(sa.name);
    if (named == by_sa.end()) continue;
    for (const Policy* policy : named->second)
      sa.selectors.push_back(policy->direction == PolicyDirection::in ? policy->selector
                                                                      : mirrored(policy->selector));
  }
}

// A CAK has 16 or 32 octets; shorter ones are filled where the setting says so.
void pad_cak(MkaKey& key, CakPadding padding, const Path& path, Report& report) {
  const std::size_t length = key.cak.bytes.size();
  if (length == 0 || length == 16 || length == 32) return;
  if (length > 32 || padding == CakPadding::refuse) {
    report.add(Rule::key_length, path + "cak", fmt::format("the CAK has {} octets", length),
               length > 32 ? "16 or 32 octets" : "16 or 32 octets, or cak-padding: right-zero");
    return;
  }
  const std::size_t full = length < 16 ? 16 : 32;
  key.cak.bytes = key.cak.bytes.concat(crypto::SecretBytes(full - length));
  report.add(Rule::cak_padded, path + "cak",
             fmt::format("the CAK of {} octets is filled to {} with zeroes: as strong as the {} "
                         "octets only",
                         length, full, length));
}

void resolve_mka(Mka& mka, const Path& path, Report& report) {
  for (MkaKey& key : mka.keys) pad_cak(key, mka.cak_padding, path + "keys" + key.name, report);
  if (mka.fallback) pad_cak(*mka.fallback, mka.cak_padding, path + "fallback", report);
}

void resolve_macsec(Line& line, Report& report) {
  Macsec& macsec = *line.macsec;
  const Path path = line_path(line) + "macsec";
  const bool long_form = report.given(path + "secys");
  for (const char* key : {"sci", "tx", "rx"})
    if (long_form && report.given(path + key))
      report.add(Rule::secys, path + key, "this stands beside secys",
                 "the key under secys, for its port");
  if (!long_form && !macsec.secys.empty() && line.outside.size() > 1)
    report.add(Rule::secys, path, fmt::format("the line has {} outside ports", line.outside.size()),
               "secys, with sci, tx and rx for each outside port");
  std::vector<SecY> secys;
  for (const std::string& port : line.outside) {
    const auto found = std::find_if(macsec.secys.begin(), macsec.secys.end(), [&](const SecY& s) {
      return long_form ? s.port == port : s.port.empty();
    });
    if (found == macsec.secys.end()) {
      secys.push_back({.port = port, .where = macsec.where});
      continue;
    }
    secys.push_back(std::move(*found));
    secys.back().port = port;
    macsec.secys.erase(found);
  }
  for (const SecY& left : macsec.secys)
    if (long_form && !left.port.empty())
      report.add(Rule::secys, path + "secys" + left.port,
                 fmt::format("{} is not an outside port of this line", quote(left.port)),
                 "an outside port", nearest(left.port, {line.outside.begin(), line.outside.end()}));
  macsec.secys = std::move(secys);
  if (macsec.mka) resolve_mka(*macsec.mka, path + "mka", report);
  for (SecY& secy : macsec.secys)
    if (secy.mka) resolve_mka(*secy.mka, path + "secys" + secy.port + "mka", report);
}

bool is_pci(std::string_view device) {
  const auto hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  if (device.size() == 12 && device[4] == ':' &&
      std::all_of(device.begin(), device.begin() + 4, hex))
    device.remove_prefix(5);
  return device.size() == 7 && hex(device[0]) && hex(device[1]) && device[2] == ':' &&
         hex(device[3]) && hex(device[4]) && device[5] == '.' && device[6] >= '0' &&
         device[6] <= '7';
}

// --- check: ports ------------------------------------------------------------------------------

constexpr std::string_view kVirtualDevices[] = {"net_ring",        "net_null", "net_pcap",
                                                "net_memif",       "net_tap",  "net_af_packet",
                                                "net_virtio_user", "net_vhost"};

bool is_virtual_device(std::string_view device) {
  const std::string_view name = device.substr(0, device.find(','));
  return std::any_of(std::begin(kVirtualDevices), std::end(kVirtualDevices),
                     [&](std::string_view driver) {
                       // as DPDK matches: the driver's name, then anything that is not its name
                       if (!name.starts_with(driver)) return false;
                       const std::string_view rest = name.substr(driver.size());
                       return rest.empty() || rest.front() == '_' ||
                              std::isdigit(static_cast<unsigned char>(rest.front())) != 0;
                     });
}

void check_ports(const Document& document, Report& report) {
  std::map<std::string, const Port*, std::less<>> devices;
  if (document.ports.size() > kMostPorts) {
    report.add(Rule::too_many_ports, {"ports", document.ports[kMostPorts].name},
               fmt::format("there are {} ports", document.ports.size()),
               fmt::format("at most {}; another sealwired for the others", kMostPorts));
  }
  for (const Port& port : document.ports) {
    const Path path{"ports", port.name};
    if (port.mac && ((port.mac->octets[0] & 1) != 0 || *port.mac == MacAddress{}))
      report.add(Rule::mac_address, path + "mac", "this is no address of one device",
                 "a unicast address such as 02:00:00:00:00:01");
    if (port.device.empty()) continue;  // missing or not valid, already reported
    const std::string name = port.device.substr(0, port.device.find(','));
    if (!port.pci && !is_virtual_device(port.device)) {
      std::string_view word = name;
      while (!word.empty() && std::isdigit(static_cast<unsigned char>(word.back())) != 0)
        word.remove_suffix(1);
      std::string spelled(word);
      std::replace(spelled.begin(), spelled.end(), '-', '_');
      report.add(Rule::unknown_device, path + "device",
                 fmt::format("{} is not a device this build knows", quote(name)),
                 "a PCI address such as 0000:3b:00.0, or a virtual device such as net_tap0",
                 nearest(spelled, {std::begin(kVirtualDevices), std::end(kVirtualDevices)}));
    }
    const auto [other, fresh] = devices.emplace(name, &port);
    if (!fresh)
      report.add(
          Rule::device_used_twice, path + "device",
          fmt::format("{} is already the device of port {}", quote(name), other->second->name));
  }
}

void check_port_use(const Document& document, Report& report) {
  std::map<std::string, std::string, std::less<>> used;  // port -> line
  for (const Line& line : document.lines)
    for (const bool inside : {true, false}) {
      const auto& list = inside ? line.inside : line.outside;
      const Path side = line_path(line) + (inside ? "inside" : "outside");
      if (list.empty() && report.given(side))
        report.add(Rule::needs_ports, side, "no port is named", "at least one port");
      for (std::size_t i = 0; i < list.size(); ++i) {
        const Path item = side + fmt::format("[{}]", i);
        const Path path = report.given(item) ? item : side;
        if (find(document.ports, list[i]) == nullptr) {
          report.add(Rule::unknown_port, path, fmt::format("there is no port {}", quote(list[i])),
                     "a port from ports", nearest(list[i], names_of(document.ports)));
          continue;
        }
        const auto [other, fresh] = used.emplace(list[i], line.name);
        if (!fresh)
          report.add(Rule::port_used_twice, path,
                     fmt::format("port {} is already used by line {}", list[i], other->second));
      }
    }
  for (const Port& port : document.ports)
    if (!used.contains(port.name))
      report.add(Rule::unused_port, port.where, {"ports", port.name}, "no line uses this port");
}

// --- check: cores ------------------------------------------------------------------------------

void check_distinct_cores(const Cores& cores, const Path& path, Report& report) {
  std::set<std::uint16_t> seen;
  for (const std::uint16_t lcore : cores.lcores)
    if (!seen.insert(lcore).second)
      report.add(Rule::core_used_twice, path, fmt::format("lcore {} is listed twice", lcore));
}

void check_cores(const Document& document, Report& report) {
  const Cores& all = document.system.workers;
  const auto among_workers = [&](std::uint16_t lcore) {
    return std::find(all.lcores.begin(), all.lcores.end(), lcore) != all.lcores.end();
  };
  check_distinct_cores(all, {"system", "workers"}, report);
  if (document.system.control_core && among_workers(*document.system.control_core))
    report.add(Rule::core_used_twice, {"system", "control-core"},
               fmt::format("lcore {} is a worker", *document.system.control_core));
  for (const Line& line : document.lines)
    for (const bool egress : {true, false}) {
      const Cores& cores = egress ? line.workers.egress : line.workers.ingress;
      const Path path = line_path(line) + "workers" + (egress ? "egress" : "ingress");
      check_distinct_cores(cores, path, report);
      if (cores.count > all.count)
        report.add(
            Rule::too_few_cores, path,
            fmt::format("{} cores are asked for, system.workers has {}", cores.count, all.count));
      for (const std::uint16_t lcore : cores.lcores)
        if (!among_workers(lcore))
          report.add(Rule::too_few_cores, path,
                     fmt::format("lcore {} is not listed in system.workers", lcore));
      if (line.workers.mode == WorkerMode::alone && cores.count > 1 && !line.is_gateway())
        report.add(Rule::alone, path,
                   fmt::format("mode alone has one worker, {} are asked for", cores.count),
                   "1, or mode: in-turn");
    }
}

// --- check: MACsec -------------------------------------------------------------------------------

void warn_weak(const Secret& secret, const Path& path, Report& report) {
  if (!secret.bytes.empty() && looks_weak(secret.bytes))
    report.add(Rule::weak_key, path, "this key is no random one: anybody can guess it");
}

void check_macsec_sa(const Macsec& macsec, const MacsecSa& sa, const Path& path, Report& report) {
  const std::size_t length = sak_length(macsec.suite);
  if (!sa.key.bytes.empty() && sa.key.bytes.size() != length)
    report.add(Rule::key_length, path + "key",
               fmt::format("the key has {} octets", sa.key.bytes.size()),
               fmt::format("{} octets for the suite", length));
  warn_weak(sa.key, path + "key", report);
  if (is_xpn(macsec.suite)) {
    if (!sa.salt.given())
      report.add(Rule::xpn_fields, path, "an XPN suite needs a salt", "salt of 12 octets");
    else if (!sa.salt.bytes.empty() && sa.salt.bytes.size() != 12)
      report.add(Rule::salt, path + "salt",
                 fmt::format("the salt has {} octets", sa.salt.bytes.size()), "12 octets");
    if (sa.ssci == 0 && !report.given(path + "ssci"))
      report.add(Rule::xpn_fields, path, "an XPN suite needs an ssci", "ssci from 1");
  } else {
    if (sa.salt.given()) report.add(Rule::xpn_fields, path + "salt", "only XPN suites have a salt");
    if (sa.ssci != 0) report.add(Rule::xpn_fields, path + "ssci", "only XPN suites have an ssci");
  }
  if (sa.next_pn == 0 || (!is_xpn(macsec.suite) && sa.next_pn > 0xffffffff))
    report.add(Rule::next_pn, path + "next-pn", "there is no such packet number",
               is_xpn(macsec.suite) ? "1 to 2^64-1" : "1 to 2^32-1");
}

void check_sci(std::uint64_t sci, const Path& path, Report& report) {
  if (sci == 0 || sci == ~std::uint64_t{0})
    report.add(Rule::bad_sci, path, "this SCI is reserved", "MAC/port of a device");
}

void check_static_secy(const Macsec& macsec, const SecY& secy, const Path& path, Report& report) {
  if (!secy.sci && !report.given(path + "sci"))
    report.add(Rule::sci_missing, path, "a SecY with static SAs needs its sci",
               "sci: MAC/port, such as 02:00:00:00:00:0a/1");
  if (macsec.protect_frames && std::none_of(secy.tx.begin(), secy.tx.end(), [&](const auto& sa) {
        return sa.an == secy.encoding_sa;
      }))
    report.add(Rule::encoding_sa, path + "tx" + "encoding-sa",
               fmt::format("there is no transmit SA {}", secy.encoding_sa), "an AN under tx.sas");
  for (const MacsecSa& sa : secy.tx)
    check_macsec_sa(macsec, sa, path + "tx" + "sas" + std::to_string(sa.an), report);

  std::set<std::uint64_t> scis;
  if (secy.sci) scis.insert(*secy.sci);
  for (const ReceiveChannel& rx : secy.rx) {
    const Path rx_path = path + "rx" + rx.name;
    if (report.given(rx_path + "sci") && rx.sci != 0 && !scis.insert(rx.sci).second)
      report.add(Rule::same_sci, rx_path + "sci",
                 secy.sci == rx.sci ? "this is our own SCI" : "another channel has this SCI");
    if (rx.sci == ~std::uint64_t{0}) check_sci(rx.sci, rx_path + "sci", report);
    for (const MacsecSa& sa : rx.sas)
      check_macsec_sa(macsec, sa, rx_path + "sas" + std::to_string(sa.an), report);
  }
}

// One SAK twice under one SCI (or, XPN, one SSCI) would make the same nonces.
class NonceSpaces {
 public:
  NonceSpaces(bool xpn, Report& report) : xpn_(xpn), report_(report) {}

  void add(const MacsecSa& sa, std::uint64_t sci, const Path& path) {
    if (sa.key.bytes.empty()) return;
    const auto [other, fresh] =
        seen_.emplace(std::pair{sa.key.bytes.fingerprint(), xpn_ ? sa.ssci : sci}, path);
    if (!fresh)
      report_.add(Rule::same_sak, path + "key",
                  fmt::format("{} has the same key and the same {}", to_string(other->second),
                              xpn_ ? "ssci" : "sci"),
                  "a key of its own");
  }

 private:
  bool xpn_;
  Report& report_;
  std::map<std::pair<Fingerprint, std::uint64_t>, Path> seen_;
};

// Among the SAs of one SecY: what others send may not collide with what we send either.
void check_secy_saks(const Line& line, const SecY& secy, Report& report) {
  const Path path = secy_path(line, secy, report);
  NonceSpaces spaces(is_xpn(line.macsec->suite), report);
  for (const MacsecSa& sa : secy.tx)
    spaces.add(sa, secy.sci.value_or(0), path + "tx" + "sas" + std::to_string(sa.an));
  for (const ReceiveChannel& rx : secy.rx)
    for (const MacsecSa& sa : rx.sas)
      spaces.add(sa, rx.sci, path + "rx" + rx.name + "sas" + std::to_string(sa.an));
}

void check_saks(const Document& document, Report& report) {
  // Across SecYs only what is sent counts: the two ends of a link may be in one document.
  NonceSpaces sent(false, report), sent_xpn(true, report);
  for (const Line& line : document.lines) {
    if (!line.macsec) continue;
    const bool xpn = is_xpn(line.macsec->suite);
    for (const SecY& secy : line.macsec->secys) {
      check_secy_saks(line, secy, report);
      const Path path = secy_path(line, secy, report);
      for (const MacsecSa& sa : secy.tx) {
        // Within the SecY it has just been said.
        const bool repeated = std::any_of(secy.tx.begin(), secy.tx.end(), [&](const auto& other) {
          return other.an < sa.an && other.key.bytes.equal(sa.key.bytes) &&
                 (!xpn || other.ssci == sa.ssci);
        });
        if (!repeated)
          (xpn ? sent_xpn : sent)
              .add(sa, secy.sci.value_or(0), path + "tx" + "sas" + std::to_string(sa.an));
      }
    }
  }
}

void check_own_scis(const Document& document, Report& report) {
  std::map<std::uint64_t, std::string> own;  // SCI -> line
  for (const Line& line : document.lines) {
    if (!line.macsec) continue;
    for (const SecY& secy : line.macsec->secys) {
      if (!secy.sci) continue;
      const Path path = secy_path(line, secy, report) + "sci";
      check_sci(*secy.sci, path, report);
      const auto [other, fresh] = own.emplace(*secy.sci, line.name);
      if (!fresh)
        report.add(Rule::same_sci, path,
                   fmt::format("a SecY of line {} has the same SCI", other->second));
    }
  }
}

void check_mka_times(const Mka& mka, const Path& path, Report& report) {
  for (const MkaKey& key : mka.keys)
    if (key.start && key.end && *key.end <= *key.start)
      report.add(Rule::mka_key_times, path + "keys" + key.name + "end",
                 "the key ends before it starts", "a time after start");
  std::vector<const MkaKey*> chain;
  for (const MkaKey& key : mka.keys) chain.push_back(&key);
  const auto start = [](const MkaKey* key) { return key->start.value_or(INT64_MIN); };
  std::stable_sort(chain.begin(), chain.end(),
                   [&](const auto* a, const auto* b) { return start(a) < start(b); });
  std::int64_t covered = INT64_MIN;
  for (const MkaKey* key : chain) {
    if (key != chain.front() && key->start && covered < *key->start)
      report.add(Rule::key_chain_gap, path + "keys" + key->name + "start",
                 "no key is valid for a while before this time",
                 "a start before the end of the key before it");
    covered = std::max(covered, key->end.value_or(INT64_MAX));
  }
  if (mka.bounded_hello > mka.hello)
    report.add(Rule::mka_timers, path + "timers" + "bounded-hello", "it is longer than hello",
               fmt::format("at most {}", to_string(mka.hello)));
  if (mka.life < 2 * mka.hello)
    report.add(Rule::mka_timers, path + "timers" + "life", "one lost hello would end the session",
               fmt::format("at least {}", to_string(2 * mka.hello)));
}

void check_mka(const Line& line, const Mka& mka, const Path& path, Report& report) {
  if (mka.keys.empty() && report.given(path + "keys"))
    report.add(Rule::mka_keys, path + "keys", "there is no key", "at least one key");
  std::set<std::vector<std::uint8_t>> ckns;
  const auto check_key = [&](const MkaKey& key, const Path& key_path) {
    if (!key.ckn.empty() && !ckns.insert(key.ckn).second)
      report.add(Rule::mka_same_ckn, key_path + "ckn", "another key has the same CKN");
    warn_weak(key.cak, key_path + "cak", report);
  };
  for (const MkaKey& key : mka.keys) check_key(key, path + "keys" + key.name);
  if (mka.fallback) check_key(*mka.fallback, path + "fallback");
  check_mka_times(mka, path, report);

  std::set<CipherSuite> suites;
  for (const CipherSuite suite : mka.suites)
    if (!suites.insert(suite).second)
      report.add(Rule::mka_suites, path + "suites", "a suite is listed twice");
  if (mka.suites.empty())
    report.add(Rule::mka_suites, path + "suites", "no suite is listed", "at least one suite");
  const bool xpn = std::any_of(mka.suites.begin(), mka.suites.end(), is_xpn);
  const bool plain = std::any_of(mka.suites.begin(), mka.suites.end(),
                                 [](CipherSuite suite) { return !is_xpn(suite); });
  if (xpn && line.macsec->confidentiality_offset != 0)
    report.add(Rule::xpn_offset, path + "suites",
               fmt::format("XPN suites do not go with confidentiality-offset {}",
                           line.macsec->confidentiality_offset),
               "gcm-aes-128 and gcm-aes-256 only");
  if (plain && mka.rekey_pn > 0xffffffff)
    report.add(Rule::mka_rekey_pn, path + "rekey" + "pn-threshold",
               "suites without XPN end before this packet number",
               "below 2^32, or XPN suites only");
  if (mka.policy == MkaPolicy::should_secure && !line.cleartext)
    report.add(Rule::clear_macsec, path + "policy", "should-secure lets cleartext pass",
               "must-secure, or cleartext: allow on the line");
}

void check_macsec_flags(const Document& document, const Line& line, Report& report) {
  const Macsec& macsec = *line.macsec;
  const Path path = line_path(line) + "macsec";
  if (macsec.include_sci && (macsec.use_es || macsec.use_scb))
    report.add(Rule::sci_flags, path + (macsec.use_es ? "use-es" : "use-scb"),
               "the SCI is left out of the frames then", "include-sci: false");
  if (macsec.use_es && macsec.use_scb)
    report.add(Rule::sci_flags, path + "use-scb", "use-es is set too", "one of the two");
  for (const SecY& secy : macsec.secys) {
    if (!macsec.use_es || !secy.sci) continue;
    const Port* port = find(document.ports, secy.port);
    if (port == nullptr) continue;
    std::uint64_t sci = 0;
    if (port->mac)
      for (const std::uint8_t octet : port->mac->octets) sci = sci << 8 | octet;
    if ((*secy.sci & 0xffff) != 1 || (port->mac && *secy.sci >> 16 != sci))
      report.add(Rule::es_sci, secy_path(line, secy, report) + "sci",
                 "with use-es the peer takes the SCI from the source address",
                 port->mac ? fmt::format("{}/1", to_string(*port->mac)) : "the port's MAC and /1");
    else if (!port->mac)
      report.add(Rule::es_sci, secy_path(line, secy, report) + "sci",
                 fmt::format("port {} has no mac to hold this SCI against", port->name),
                 "mac on the port");
  }
}

void check_macsec(const Document& document, const Line& line, Report& report) {
  const Macsec& macsec = *line.macsec;
  const Path path = line_path(line) + "macsec";
  check_macsec_flags(document, line, report);
  if (is_xpn(macsec.suite) && macsec.confidentiality_offset != 0)
    report.add(Rule::xpn_offset, path + "confidentiality-offset",
               "XPN suites have no confidentiality offset", "0");
  if (!macsec.confidentiality && macsec.confidentiality_offset != 0)
    report.add(Rule::offset_without_confidentiality, path + "confidentiality-offset",
               "nothing is encrypted with confidentiality: false", "0");
  if (macsec.duplicate_bitmap && macsec.replay_window > kLargestBitmap)
    report.add(Rule::bitmap_window, path + "replay-window",
               "duplicate-bitmap does not reach so far", "at most 16384");
  const bool xpn_agreed = [&] {
    for (const SecY& secy : macsec.secys)
      if (const Mka* mka = mka_of(macsec, secy))
        if (std::any_of(mka->suites.begin(), mka->suites.end(), is_xpn)) return true;
    return false;
  }();
  if ((is_xpn(macsec.suite) || xpn_agreed) && macsec.replay_window > kLargestXpnWindow)
    report.add(Rule::window_too_large, path + "replay-window",
               "an XPN packet number cannot be told from so far behind", "at most 2^30");
  if (!line.cleartext) {
    if (!macsec.protect_frames)
      report.add(Rule::clear_macsec, path + "protect-frames", "frames would leave in clear",
                 "true, or cleartext: allow on the line");
    if (macsec.validate_frames != ValidateFrames::strict)
      report.add(Rule::clear_macsec, path + "validate-frames",
                 "frames that do not verify would pass", "strict, or cleartext: allow on the line");
  }
  if (!macsec.replay_protect)
    report.add(Rule::no_replay_protection, path + "replay-protect",
               "an attacker can send old frames again");
  if (!macsec.confidentiality)
    report.add(Rule::no_confidentiality, path + "confidentiality",
               "frames are authenticated, but anybody can read them");

  if (macsec.mka) check_mka(line, *macsec.mka, path + "mka", report);
  for (const SecY& secy : macsec.secys) {
    const Path own = secy_path(line, secy, report);
    const bool has_static = !secy.tx.empty() || !secy.rx.empty() || report.given(own + "tx") ||
                            report.given(own + "rx");
    const Mka* mka = mka_of(macsec, secy);
    if (secy.mka) check_mka(line, *secy.mka, own + "mka", report);
    if (has_static && mka != nullptr)
      report.add(Rule::static_and_mka, own + (secy.tx.empty() ? "rx" : "tx"),
                 "static SAs stand beside MKA", "one of the two");
    else if (!has_static && mka == nullptr && macsec.protect_frames)
      report.add(Rule::static_and_mka, own, fmt::format("port {} has no keys", secy.port),
                 "mka, or static SAs under tx and rx in a lab");
    if (has_static) {
      check_static_secy(macsec, secy, own, report);
      if (!document.lab)
        report.add(Rule::static_keys, own + (secy.tx.empty() ? "rx" : "tx"),
                   "static SAs stand in a configuration that is not lab: true", "mka");
    }
  }
}

// --- check: ESP ----------------------------------------------------------------------------------

// Key and salt of every ESP SA seen so far.
class EspKeys {
 public:
  explicit EspKeys(Report& report) : report_(report) {}

  void add(const EspSa& sa, std::string place) { insert(sa, std::move(place)); }

  void check(const EspSa& sa, const Path& path) {
    const auto [other, fresh] = insert(sa, to_string(path));
    if (!fresh)
      report_.add(Rule::same_key, path + "key", fmt::format("{} has the same key and salt", other),
                  "a key of its own");
  }

 private:
  std::pair<std::string, bool> insert(const EspSa& sa, std::string place) {
    if (sa.key.bytes.empty()) return {{}, true};
    const auto [at, fresh] = seen_.emplace(
        std::pair{sa.key.bytes.fingerprint(), sa.salt.bytes.fingerprint()}, std::move(place));
    return {at->second, fresh};
  }

  Report& report_;
  std::map<std::pair<Fingerprint, Fingerprint>, std::string> seen_;
};

void check_esp_sa(const Line& line, const EspSa& sa, Report& report) {
  const Path path = sa_path(line, sa);
  const bool in = sa.direction == SaDirection::in;
  if (sa.spi < 256 && report.given(path + "spi"))
    report.add(Rule::reserved_spi, path + "spi", fmt::format("SPI {} is reserved", sa.spi),
               "256 to 4294967295");
  const bool window_fits = sa.replay_window <= kLargestBitmap && sa.replay_window % 32 == 0;
  if (!window_fits)
    report.add(Rule::esp_window, path + "replay-window",
               fmt::format("a window of {} is not possible", sa.replay_window),
               "0, or a multiple of 32 up to 16384");
  if (in && sa.replay_window == 0)
    report.add(
        sa.esn ? Rule::esn_without_window : Rule::no_replay_protection, path + "replay-window",
        sa.esn ? "ESN cannot work without a window" : "an attacker can send old packets again",
        sa.esn ? "32 to 16384, or esn: false" : "");
  for (const char* key : {"replay-window", "selectors"})
    if (!in && report.given(path + "direction") && report.given(path + key))
      report.add(Rule::sa_fields, path + key, "this is for inbound SAs");
  if (sa.next_sn == 0 || (!sa.esn && sa.next_sn > 0xffffffff))
    report.add(Rule::next_pn, path + "next-sn", "there is no such sequence number",
               sa.esn ? "1 to 2^64-1" : "1 to 2^32-1, more with esn");
  for (const char* key : {"dscp", "df", "ttl", "path-mtu", "next-sn"})
    if (in && report.given(path + key))
      report.add(Rule::sa_fields, path + key, "this is for outbound SAs");
  if (sa.path_mtu != 0 && sa.path_mtu < (sa.source.v6 ? 1280 : 576))
    report.add(Rule::path_mtu, path + "path-mtu", "no path is so narrow",
               sa.source.v6 ? "0, or at least 1280" : "0, or at least 576");
  const Lifetime& life = sa.lifetime;
  const auto limits = [&](auto soft, auto hard, const char* key) {
    if (hard != decltype(hard){} && soft >= hard)
      report.add(Rule::lifetimes, path + "lifetime" + key, "the soft limit is not below the hard");
  };
  limits(life.soft_octets, life.hard_octets, "soft-bytes");
  limits(life.soft_packets, life.hard_packets, "soft-packets");
  limits(life.soft_time, life.hard_time, "soft-time");
  if (in && sa.selectors.empty())
    report.add(Rule::no_selectors, sa.where, path,
               "nothing says what this SA's packets may look like",
               "selectors, or the SA's name in a policy's inbound-sa");

  const crypto::AlgorithmInfo& info = crypto::info(sa.algorithm);
  if (!info.confidential)
    report.add(Rule::no_confidentiality, path + "algorithm",
               "packets are authenticated, but anybody can read them");
  if (info.hash == crypto::Hash::sha1)
    report.add(Rule::old_algorithm, path + "algorithm", "SHA-1 is for old peers only",
               "aes-gcm-128 or aes-gcm-256");
  warn_weak(sa.key, path + "key", report);
}

void check_endpoints(const Line& line, const EspSa& sa, Report& report) {
  const Path path = sa_path(line, sa);
  if (!report.given(path + "source") || !report.given(path + "destination")) return;
  if (sa.source.v6 != sa.destination.v6) {
    report.add(Rule::endpoints, path + "destination", "source is of the other family",
               sa.source.v6 ? "an IPv6 address" : "an IPv4 address");
    return;
  }
  if (sa.source == sa.destination) {
    report.add(Rule::endpoints, path + "destination", "source is the same address",
               "the far end's address");
    return;
  }
  const bool out = sa.direction == SaDirection::out;
  const IpAddress& near = out ? sa.source : sa.destination;
  for (const PortAddresses& port : line.gateway.addresses) {
    if (std::find(line.outside.begin(), line.outside.end(), port.port) == line.outside.end())
      continue;
    for (const Prefix& own : port.addresses)
      if (own.address == near) return;
  }
  report.add(Rule::endpoints, path + (out ? "source" : "destination"),
             fmt::format("{} is no address of an outside port", to_string(near)),
             "an address under gateway.addresses");
}

void check_spis(const Line& line, const std::vector<const EspSa*>& others, Report& report) {
  std::unordered_map<std::uint32_t, const EspSa*> inbound;
  std::map<std::pair<std::uint32_t, IpAddress>, const EspSa*> outbound;
  const auto insert = [&](const EspSa& sa) -> const EspSa* {
    if (sa.direction == SaDirection::in) return inbound.emplace(sa.spi, &sa).first->second;
    return outbound.emplace(std::pair{sa.spi, sa.destination}, &sa).first->second;
  };
  for (const EspSa* other : others) insert(*other);
  for (const EspSa& sa : line.sas)
    if (const EspSa* other = insert(sa); other != &sa && sa.spi != 0)
      report.add(Rule::same_spi, sa_path(line, sa) + "spi",
                 fmt::format("SA {} has the same SPI", other->name), "another SPI");
}

bool has_ports(std::uint8_t protocol) {
  constexpr std::uint8_t kWithPorts[] = {6, 17, 33, 132, 136};  // tcp udp dccp sctp udp-lite
  return std::find(std::begin(kWithPorts), std::end(kWithPorts), protocol) != std::end(kWithPorts);
}

void check_selector(const Selector& selector, const Path& path, Report& report) {
  const auto check_prefixes = [&](const std::vector<Prefix>& prefixes, const char* key) {
    for (const Prefix& prefix : prefixes)
      if (network_of(prefix) != prefix)
        report.add(Rule::host_bits, path + key,
                   fmt::format("{} has host bits set", to_string(prefix)),
                   to_string(network_of(prefix)));
  };
  check_prefixes(selector.source, "source");
  check_prefixes(selector.destination, "destination");
  const auto families = [](const std::vector<Prefix>& prefixes) {
    unsigned seen = prefixes.empty() ? 3 : 0;
    for (const Prefix& prefix : prefixes) seen |= prefix.address.v6 ? 2U : 1U;
    return seen;
  };
  if ((families(selector.source) & families(selector.destination)) == 0)
    report.add(Rule::mixed_families, path + "destination",
               "source is of the other family: no packet can match");
  const bool ports = selector.protocol && has_ports(*selector.protocol);
  if (!ports && !selector.source_ports.empty())
    report.add(Rule::ports_without_protocol, path + "source-ports",
               "only some protocols have ports", "protocol: tcp, udp, sctp, dccp or udp-lite");
  if (!ports && !selector.destination_ports.empty())
    report.add(Rule::ports_without_protocol, path + "destination-ports",
               "only some protocols have ports", "protocol: tcp, udp, sctp, dccp or udp-lite");
}

using SaIndex = std::unordered_map<std::string_view, const EspSa*>;

void check_policy_sas(const Line& line, const Policy& policy, const std::vector<EspSa>& sas,
                      const SaIndex& index, Report& report) {
  const Path path = policy_path(line, policy);
  for (const SaDirection direction : {SaDirection::out, SaDirection::in}) {
    const bool out = direction == SaDirection::out;
    const Path key = path + (out ? "sa" : "inbound-sa");
    const auto& names = out ? policy.sa : policy.inbound_sa;
    const bool excluded = policy.direction == (out ? PolicyDirection::in : PolicyDirection::out);
    if (policy.action != Action::protect || excluded) {
      if (!names.empty())
        report.add(Rule::policy_sa, key,
                   excluded ? "the rule is for the other direction" : "only protect uses SAs");
      continue;
    }
    // The way back may also be given by selectors on the inbound SAs.
    if (names.empty() && (out || policy.direction == PolicyDirection::in))
      report.add(Rule::policy_sa, path, fmt::format("protect needs {}", out ? "sa" : "inbound-sa"),
                 out ? "sa, with outbound SAs" : "inbound-sa, with inbound SAs");
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Path item = key + fmt::format("[{}]", i);
      const Path& where = report.given(item) ? item : key;
      const auto found = index.find(names[i]);
      if (found == index.end())
        report.add(Rule::unknown_sa, where, fmt::format("there is no SA {}", quote(names[i])),
                   "an SA of this line", nearest(names[i], names_of(sas)));
      else if (found->second->direction != direction)
        report.add(Rule::sa_direction, where,
                   fmt::format("SA {} is {}", names[i], out ? "inbound" : "outbound"),
                   out ? "an outbound SA" : "an inbound SA");
    }
  }
}

bool covers(const std::vector<Prefix>& wide, const std::vector<Prefix>& narrow) {
  if (wide.empty()) return true;
  return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(), [&](const Prefix& inner) {
    return std::any_of(wide.begin(), wide.end(),
                       [&](const Prefix& outer) { return contains(outer, inner); });
  });
}

bool covers(const std::vector<PortRange>& wide, const std::vector<PortRange>& narrow) {
  if (wide.empty()) return true;
  return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(), [&](const PortRange& inner) {
    return std::any_of(wide.begin(), wide.end(), [&](const PortRange& outer) {
      return outer.first <= inner.first && inner.last <= outer.last;
    });
  });
}

bool hides(const Policy& earlier, const Policy& later) {
  const Selector &a = earlier.selector, &b = later.selector;
  return (earlier.direction == PolicyDirection::both || earlier.direction == later.direction) &&
         // an `in` rule is written the other way round than `both`
         (earlier.direction == later.direction || later.direction == PolicyDirection::out) &&
         covers(a.source, b.source) && covers(a.destination, b.destination) &&
         (!a.protocol || a.protocol == b.protocol) && covers(a.source_ports, b.source_ports) &&
         covers(a.destination_ports, b.destination_ports);
}

}  // namespace

void check_policies(const Line& line, const std::vector<EspSa>& sas, Report& report) {
  SaIndex index;
  for (const EspSa& sa : sas) index.emplace(sa.name, &sa);
  std::unordered_set<std::string_view> named;
  for (const Policy& policy : line.policies) {
    const Path path = policy_path(line, policy);
    check_policy_sas(line, policy, sas, index, report);
    check_selector(policy.selector, path, report);
    named.insert(policy.sa.begin(), policy.sa.end());
    if (policy.action == Action::bypass && !line.has(Stage::macsec) && !policy.cleartext &&
        !line.cleartext)
      report.add(Rule::clear_bypass, path + "action", "no MACsec is around this clear traffic",
                 "protect or discard, or cleartext: allow on the rule");
    if (policy.cleartext && policy.action != Action::bypass)
      report.add(Rule::policy_sa, path + "cleartext", "only bypass lets clear traffic through");
  }
  constexpr std::size_t kMostCompared = 1000;  // quadratic; a warning is not worth more
  const std::size_t compared = std::min(line.policies.size(), kMostCompared);
  for (std::size_t later = 1; later < compared; ++later)
    for (std::size_t earlier = 0; earlier < later; ++earlier)
      if (hides(line.policies[earlier], line.policies[later])) {
        report.add(Rule::unreachable_policy, line.policies[later].where,
                   policy_path(line, line.policies[later]),
                   fmt::format("policy {} matches all of this one's packets before it",
                               line.policies[earlier].name));
        break;
      }
  for (const EspSa& sa : line.sas)
    if (sa.direction == SaDirection::out && !named.contains(sa.name))
      report.add(Rule::unused_sa, sa.where, sa_path(line, sa), "no policy uses this SA");
}

void check_sas(const Line& line, const std::vector<const EspSa*>& same_line,
               const std::vector<const EspSa*>& others, Report& report) {
  for (const EspSa& sa : line.sas) {
    check_esp_sa(line, sa, report);
    check_endpoints(line, sa, report);
    const Path selectors = sa_path(line, sa) + "selectors";
    if (report.given(selectors))
      for (std::size_t i = 0; i < sa.selectors.size(); ++i)
        check_selector(sa.selectors[i], selectors + fmt::format("[{}]", i), report);
  }
  check_spis(line, same_line, report);
  if (same_line.empty() && others.empty())
    return;  // a whole document compares all its keys at once
  EspKeys keys(report);
  for (const auto* list : {&same_line, &others})
    for (const EspSa* sa : *list) keys.add(*sa, fmt::format("SA {}", sa->name));
  for (const EspSa& sa : line.sas) keys.check(sa, sa_path(line, sa));
}

namespace {

void check_esp(const Document& document, const Line& line, Report& report) {
  if (!line.sas.empty() && !document.lab)
    report.add(Rule::static_keys, line_path(line) + "esp" + "sas",
               fmt::format("{} static SAs stand in a configuration that is not lab: true",
                           line.sas.size()),
               "keys from IKE");
  check_sas(line, {}, {}, report);
  check_policies(line, line.sas, report);
}

// --- check: gateway ------------------------------------------------------------------------------

bool is_link_local(const IpAddress& address) {
  return address.v6 && address.octets[0] == 0xfe && (address.octets[1] & 0xc0) == 0x80;
}

class GatewayCheck {
 public:
  GatewayCheck(const Line& line, Report& report)
      : line_(line), report_(report), path_(line_path(line) + "gateway") {
    ports_.insert(ports_.end(), line.inside.begin(), line.inside.end());
    ports_.insert(ports_.end(), line.outside.begin(), line.outside.end());
  }

  void run() {
    check_addresses();
    std::set<Prefix> destinations;
    for (const Route& route : line_.gateway.routes) {
      check_route(route);
      if (!destinations.insert(route.destination).second)
        report_.add(Rule::same_address, route.where,
                    path_ + "routes" + key_at(path_ + "routes", route.where),
                    fmt::format("{} is given twice", to_string(route.destination)));
    }
    for (const Neighbour& n : line_.gateway.neighbours)
      check_port(n.port, path_ + "neighbours" + neighbour_key(n) + "port");
  }

 private:
  void check_port(const std::string& port, const Path& path) {
    if (port.empty() || std::find(ports_.begin(), ports_.end(), port) != ports_.end()) return;
    report_.add(Rule::unknown_port, path, fmt::format("{} is not a port of this line", quote(port)),
                "a port of this line", nearest(port, {ports_.begin(), ports_.end()}));
  }

  void check_addresses() {
    std::map<IpAddress, std::string> seen;
    for (const PortAddresses& each : line_.gateway.addresses) {
      check_port(each.port, path_ + "addresses" + each.port);
      for (const Prefix& own : each.addresses)
        if (!seen.emplace(own.address, each.port).second)
          report_.add(Rule::same_address, path_ + "addresses" + each.port,
                      fmt::format("{} is given twice", to_string(own.address)));
    }
    for (const std::string& port : ports_) {
      const auto& list = line_.gateway.addresses;
      const auto found = std::find_if(list.begin(), list.end(),
                                      [&](const PortAddresses& each) { return each.port == port; });
      if (found == list.end() || found->addresses.empty())
        report_.add(Rule::no_address, path_ + "addresses" + port,
                    fmt::format("port {} has no address", port), "at least one address");
    }
  }

  // The key as the document writes it, found again by its position.
  std::string key_at(const Path& mapping, Position where) const {
    const Node* node = report_.at(mapping);
    if (node == nullptr) return {};
    for (const NodeEntry& entry : node->entries)
      if (entry.position.line == where.line && entry.position.column == where.column)
        return entry.key;
    return {};
  }
  std::string neighbour_key(const Neighbour& n) const {
    return key_at(path_ + "neighbours", n.where);
  }

  void check_route(const Route& route) {
    const Path path = path_ + "routes" + key_at(path_ + "routes", route.where);
    if (network_of(route.destination) != route.destination)
      report_.add(Rule::host_bits, route.where, path, "this prefix has host bits set",
                  to_string(network_of(route.destination)));
    check_port(route.port, path + "port");
    if (!report_.given(path + "via")) return;
    if (route.via.v6 != route.destination.address.v6) {
      report_.add(Rule::route_next_hop, path + "via", "the route is of the other family");
      return;
    }
    for (const PortAddresses& each : line_.gateway.addresses) {
      if (each.port != route.port) continue;
      for (const Prefix& own : each.addresses) {
        if (own.address == route.via) {
          report_.add(Rule::route_next_hop, path + "via", "this is our own address");
          return;
        }
        if (contains(own, route.via)) return;
      }
    }
    if (!is_link_local(route.via) && !route.port.empty())
      report_.add(
          Rule::route_next_hop, path + "via",
          fmt::format("{} is in no prefix of port {}", to_string(route.via), quote(route.port)),
          "a neighbour's address");
  }

  const Line& line_;
  Report& report_;
  Path path_;
  std::vector<std::string> ports_;
};

// --- check: lines ------------------------------------------------------------------------------

void check_stages(const Line& line, Report& report) {
  const Path path = line_path(line);
  const auto& stages = line.stages;
  const bool known = stages.size() < 2 ||
                     (stages.size() == 2 && stages[0] == Stage::esp && stages[1] == Stage::macsec);
  if (!known)
    report.add(Rule::stages, path + "stages", "these stages cannot be in this order",
               "[esp, macsec], [esp], [macsec] or []");
  // With a stage that is not valid the list is not what was meant.
  const Node* written = report.at(path + "stages");
  const bool meant_clear = written != nullptr && written->is_sequence() && written->items.empty();
  if (meant_clear && !line.cleartext)
    report.add(Rule::line_without_stages, path + "stages",
               "this line would forward everything in clear", "stages, or cleartext: allow");
  if (line.cleartext)
    report.add(Rule::clear_line, path + "cleartext", "this line may pass unsealed traffic");
}

void check_sections(const Line& line, Report& report) {
  const Path path = line_path(line);
  const auto section = [&](const char* key, Stage stage, const char* stage_name) {
    if (line.has(stage) && !report.given(path + key))
      report.add(Rule::missing_settings, line.where, path + key,
                 fmt::format("stage {} needs this section", stage_name), "a mapping");
    if (!line.has(stage) && report.given(path + key))
      report.add(Rule::foreign_settings, path + key,
                 fmt::format("the line has no stage {}", stage_name),
                 fmt::format("{} in stages", stage_name));
  };
  section("macsec", Stage::macsec, "macsec");
  section("esp", Stage::esp, "esp");
  section("gateway", Stage::esp, "esp");
}

void check_wire(const Document& document, const Line& line, Report& report) {
  const Path path = line_path(line);
  for (const bool inside : {true, false}) {
    const auto& ports = inside ? line.inside : line.outside;
    if (ports.size() > 1)
      report.add(Rule::wire_ports, path + (inside ? "inside" : "outside"),
                 fmt::format("a wire has one port here, not {}", ports.size()), "one port");
  }
  if (line.inside.size() != 1 || line.outside.size() != 1) return;
  const Port* inside = find(document.ports, line.inside.front());
  const Port* outside = find(document.ports, line.outside.front());
  if (inside == nullptr || outside == nullptr) return;
  for (const Port* port : {inside, outside})
    if (report.mistaken({"ports", port->name, "mtu"})) return;
  const int overhead = line.macsec ? line.macsec->overhead() : 0;
  if (outside->mtu < inside->mtu + overhead)
    report.add(Rule::mtu_overhead, {"ports", outside->name, "mtu"},
               fmt::format("mtu {} does not carry port {}'s {} and {} octets of overhead",
                           outside->mtu, inside->name, inside->mtu, overhead),
               fmt::format("at least {}", inside->mtu + overhead));
}

void check_engine(const Line& line, Report& report) {
  if (line.engine.kind != EngineKind::cryptodev) return;
  const std::string& device = line.engine.device;
  const Path path = line_path(line) + "engine";
  if (device.starts_with("crypto_null"))
    report.add(Rule::crypto_device, path, "crypto_null encrypts nothing", "a device that encrypts");
  else if (!device.starts_with("crypto_") && !is_pci(device))
    report.add(Rule::crypto_device, path, fmt::format("{} is not a crypto device", quote(device)),
               "a vdev such as crypto_aesni_mb0, or a PCI address");
}

void check_lines(const Document& document, Report& report) {
  for (const Line& line : document.lines) {
    check_sections(line, report);
    check_engine(line, report);
    if (!line.is_gateway()) check_wire(document, line, report);
    if (line.macsec && line.has(Stage::macsec)) check_macsec(document, line, report);
    if (line.is_gateway() && report.given(line_path(line) + "esp"))
      check_esp(document, line, report);
    if (line.is_gateway() && report.given(line_path(line) + "gateway"))
      GatewayCheck(line, report).run();
    if (const Profile* profile = find_profile(line.profile))
      profile->check(line, line_path(line), report);
  }
}

void check_lab(const Document& document, Report& report) {
  if (!document.lab) return;
  std::size_t keys = 0;
  for (const Line& line : document.lines) {
    keys += line.sas.size();
    if (!line.macsec) continue;
    for (const SecY& secy : line.macsec->secys) {
      keys += secy.tx.size();
      for (const ReceiveChannel& rx : secy.rx) keys += rx.sas.size();
    }
  }
  report.add(Rule::lab_mode, {"lab"},
             fmt::format("LAB MODE: {} static keys that never renew themselves; NOT FOR PRODUCTION",
                         keys));
}

}  // namespace

void check_secy(const Document& running, const Line& line, const SecY& secy, Report& report) {
  const Macsec& macsec = *line.macsec;
  const bool xpn = is_xpn(macsec.suite);
  const Path path = secy_path(line, secy, report);
  check_static_secy(macsec, secy, path, report);
  if (secy.sci) check_sci(*secy.sci, path + "sci", report);
  check_secy_saks(line, secy, report);
  for (const Line& other : running.lines) {
    if (!other.macsec || is_xpn(other.macsec->suite) != xpn) continue;
    for (const SecY& there : other.macsec->secys) {
      if (other.name == line.name && there.port == secy.port) continue;
      if (secy.sci && there.sci == secy.sci)
        report.add(Rule::same_sci, path + "sci",
                   fmt::format("a SecY of line {} has the same SCI", other.name));
      for (const MacsecSa& sa : secy.tx)
        for (const MacsecSa& used : there.tx)
          if (used.key.bytes.equal(sa.key.bytes) &&
              (xpn ? used.ssci == sa.ssci : there.sci == secy.sci))
            report.add(Rule::same_sak, path + "tx" + "sas" + std::to_string(sa.an) + "key",
                       fmt::format("a SecY of line {} sends with the same key", other.name),
                       "a key of its own");
    }
  }
}

Path secy_path(const Line& line, const SecY& secy, const Report& report) {
  const Path path = line_path(line) + "macsec";
  return report.given(path + "secys") ? path + "secys" + secy.port : path;
}

void resolve_sas(std::vector<EspSa>& sas, const std::vector<Policy>& policies,
                 std::string_view line, Report& report) {
  for (EspSa& sa : sas)
    split_keymat({"lines", std::string(line), "esp", "sas", sa.name}, sa, report);
  derive_selectors(sas, policies);
}

void resolve(Document& document, Report& report) {
  for (Port& port : document.ports) port.pci = is_pci(port.device);
  for (Line& line : document.lines) {
    resolve_sas(line.sas, line.policies, line.name, report);
    if (line.macsec) resolve_macsec(line, report);
  }
}

void check(const Document& document, Report& report) {
  if (document.version != 1 && report.given({"sealwire"}))
    report.add(Rule::document_version, {"sealwire"}, "this version of the format is not known",
               "1");
  for (const Line& line : document.lines) check_stages(line, report);
  check_ports(document, report);
  check_port_use(document, report);
  check_cores(document, report);
  check_lines(document, report);
  check_saks(document, report);
  check_own_scis(document, report);
  EspKeys keys(report);
  for (const Line& line : document.lines)
    for (const EspSa& sa : line.sas) keys.check(sa, sa_path(line, sa));
  check_lab(document, report);
}

}  // namespace sealwire::config
