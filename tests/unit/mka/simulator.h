// A network of KaYs under virtual time: lossy, reordering, duplicating links for MKPDUs, and a
// modelled data plane that checks every frame under (SCI, AN, key) at the moment it arrives.
// Deterministic from a seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "app/control/mka/kay.h"

namespace sealwire::mka::test {

using Fingerprint = crypto::SecretBytes::Fingerprint;

inline crypto::SecretBytes secret(size_t length, uint8_t fill) {
  return crypto::SecretBytes(std::vector<uint8_t>(length, fill));
}
inline Ckn ckn_of(const std::string& text) {
  return *Ckn::from(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}
inline KeySettings make_key(const std::string& ckn, uint8_t fill, size_t length = 16) {
  return {.name = ckn, .ckn = ckn_of(ckn), .cak = secret(length, fill)};
}
inline MacAddress mac_of(int station) {
  return {0x02, 0, 0, 0, 0, static_cast<uint8_t>(station + 1)};
}

// A SecY that checks what the KaY must never do; violations are collected, not thrown.
class FakeSecy final : public SecyPort {
 public:
  struct ReceiveSa {
    Fingerprint key{};
    bool enabled = false;
    uint64_t lowest = 1;
    Ssci ssci;
  };
  struct TransmitSa {
    Fingerprint key{};
    uint64_t next_pn = 1;
    Ssci ssci;
    std::array<uint8_t, 12> salt{};
  };

  FakeSecy(std::vector<std::string>& violations,
           std::set<std::pair<Sci, Fingerprint>>& ever_transmitted, Sci sci)
      : violations_(violations), ever_transmitted_(ever_transmitted), sci_(sci) {}

  void set_port_state(PortState state) override { port = state; }
  Result<void> create_receive_sc(Sci sci) override {
    if (!receive.emplace(sci, std::map<An, ReceiveSa>{}).second)
      violate("receive SC created twice");
    return {};
  }
  void delete_receive_sc(Sci sci) override {
    if (receive.erase(sci) == 0) violate("deleted a receive SC that is not there");
  }
  Result<void> create_receive_sa(Sci sci, An an, const SaParameters& p) override {
    if (fail_receive) return fail("SW-TST-001", "no room");
    if (!receive.contains(sci)) violate("receive SA without SC");
    if (!receive[sci].emplace(an, ReceiveSa{p.sak.fingerprint(), false, 1, p.ssci}).second) {
      violate("receive SA on a live AN");
    }
    return {};
  }
  Result<void> enable_receive_sa(Sci sci, An an) override {
    if (!receive[sci].contains(an)) violate("enabled a receive SA that is not there");
    receive[sci][an].enabled = true;
    return {};
  }
  void delete_receive_sa(Sci sci, An an) override {
    if (!receive.contains(sci) || receive[sci].erase(an) == 0)
      violate("deleted a receive SA that is not there");
  }
  Result<void> create_transmit_sa(An an, const SaParameters& p) override {
    if (fail_create_transmit) return fail("SW-TST-002", "no room");
    if (!transmit.emplace(an, TransmitSa{p.sak.fingerprint(), start_pn, p.ssci, p.salt}).second) {
      violate("transmit SA on a live AN");
    }
    // The worst of all: one key, one SCI, PN from 1 again.
    if (!ever_transmitted_.emplace(sci_, p.sak.fingerprint()).second)
      violate("transmit SA of one SAK created twice");
    suites.push_back(p.suite);
    return {};
  }
  Result<void> enable_transmit_sa(An an) override {
    if (fail_transmit) return fail("SW-TST-003", "transmit SA is missing");
    if (!transmit.contains(an)) violate("enabled a transmit SA that is not there");
    if (before_switch) before_switch();
    encoding = an;
    ++switches;
    return {};
  }
  void delete_transmit_sa(An an) override {
    if (transmit.erase(an) == 0) violate("deleted a transmit SA that is not there");
    if (encoding == an) encoding.reset();
  }
  Pn next_pn(An an) override { return Pn(transmit.contains(an) ? transmit[an].next_pn : 0); }
  Pn lowest_pn(Sci sci, An an) override { return Pn(receive[sci][an].lowest); }
  void raise_lowest_pn(Sci sci, An an, Pn pn) override {
    auto& lowest = receive[sci][an].lowest;
    lowest = std::max(lowest, pn.value());
  }

  PortState port = PortState::secured;
  std::map<Sci, std::map<An, ReceiveSa>> receive;
  std::map<An, TransmitSa> transmit;
  std::optional<An> encoding;
  std::vector<CipherSuite> suites;
  uint64_t start_pn = 1;
  uint64_t switches = 0;
  bool fail_receive = false, fail_create_transmit = false, fail_transmit = false;
  std::function<void()> before_switch;

 private:
  void violate(const std::string& what) { violations_.push_back(what); }
  std::vector<std::string>& violations_;
  std::set<std::pair<Sci, Fingerprint>>& ever_transmitted_;
  Sci sci_;
};

struct LinkQuality {
  double loss = 0;
  double duplicate = 0;
  int min_delay = 1, max_delay = 5;  ///< ms; a spread reorders
};

class Simulator {
 public:
  struct Station : Environment, EventSink {
    Station(Simulator& simulator, int index)
        : sim(simulator), number(index), sci(sci_of(mac_of(index))) {}

    bool random(std::span<uint8_t> out) override {
      if (no_random) return false;
      for (uint8_t& octet : out) octet = static_cast<uint8_t>(sim.rng());
      return true;
    }
    int64_t wall_clock_ms() override { return sim.wall_base + sim.now.count() + clock_skew; }
    void send(std::span<const uint8_t> frame) override {
      ++sent;
      sim.broadcast(number, {frame.begin(), frame.end()});
    }
    void on_event(const Event& event) override { events.push_back(event); }

    size_t count(EventKind kind) const {
      return static_cast<size_t>(std::count_if(events.begin(), events.end(),
                                               [&](const Event& e) { return e.kind == kind; }));
    }
    bool has(EventKind kind, Reject reason) const {
      return std::any_of(events.begin(), events.end(),
                         [&](const Event& e) { return e.kind == kind && e.reason == reason; });
    }
    std::optional<Fingerprint> key_in_use() const {
      if (!secy || secy->port != PortState::secured || !secy->encoding) return std::nullopt;
      return secy->transmit.at(*secy->encoding).key;
    }

    Simulator& sim;
    int number;
    Sci sci;
    std::unique_ptr<FakeSecy> secy;
    std::unique_ptr<Kay> kay;
    std::vector<Event> events;
    int64_t clock_skew = 0;
    uint64_t sent = 0;
    bool no_random = false;
    bool receives_mkpdus = true;
    uint64_t generation = 0;
    Time armed = kNever;
  };

  explicit Simulator(uint64_t seed = 1) : rng(seed) {}
  ~Simulator() {
    for (auto& station : stations) station->kay.reset();
  }

  KaySettings settings_for(int index) const {
    KaySettings settings;
    settings.source = mac_of(index);
    settings.sci = sci_of(settings.source);
    return settings;
  }

  Station& add(KaySettings settings, std::vector<KeySettings> keys) {
    stations.push_back(std::make_unique<Station>(*this, static_cast<int>(stations.size())));
    Station& station = *stations.back();
    start(station, std::move(settings), std::move(keys));
    return station;
  }
  /// (Re)starts the process of a station: everything but its disk is new.
  void start(Station& station, KaySettings settings, std::vector<KeySettings> keys) {
    stop(station);
    station.secy = std::make_unique<FakeSecy>(violations, ever_transmitted, station.sci);
    // The last frame under the old SAK leaves in the very moment of the switch, the first under the
    // new one right after.
    station.secy->before_switch = [this, &station] {
      send_data(station);
      at(now, [this, &station] { send_data(station); });
    };
    station.kay = std::make_unique<Kay>(std::move(settings), *station.secy, station, station, now);
    const auto done = station.kay->set_keys(std::move(keys), now);
    if (!done) violations.push_back(done.error().message);
    arm(station);
  }
  void stop(Station& station) {
    station.kay.reset();
    station.secy.reset();
    ++station.generation;
    station.armed = kNever;
  }

  void at(Time when, std::function<void()> action) {
    queue_.push({when, next_sequence_++, std::move(action)});
  }

  /// Runs everything due until `until`.
  void run_until(Time until) {
    while (!queue_.empty() && queue_.top().when <= until) {
      auto event = queue_.top();
      queue_.pop();
      now = std::max(now, event.when);
      event.action();
      if (check) check();
    }
    now = until;
  }
  void run_for(Time time) { run_until(now + time); }
  /// Runs until the condition holds, at most `limit` more. False if it never did.
  template <class Condition>
  bool run_until_true(Condition condition, Time limit) {
    const Time end = now + limit;
    while (!condition() && !queue_.empty() && queue_.top().when <= end)
      run_until(queue_.top().when);
    if (condition()) return true;
    run_until(end);
    return condition();
  }

  /// All stations that run transmit under one SAK and everybody receives everybody.
  bool converged() const {
    std::optional<Fingerprint> key;
    for (const auto& a : stations) {
      if (!a->kay) continue;
      const auto mine = a->key_in_use();
      if (!mine || (key && *key != *mine)) return false;
      key = mine;
      for (const auto& b : stations) {
        if (!b->kay || a == b) continue;
        if (!b->secy->encoding || !accepts(*a, *b)) return false;
      }
    }
    return key.has_value();
  }
  bool accepts(const Station& receiver, const Station& sender) const {
    const auto sc = receiver.secy->receive.find(sender.sci);
    if (sc == receiver.secy->receive.end()) return false;
    const auto sa = sc->second.find(*sender.secy->encoding);
    return sa != sc->second.end() && sa->second.enabled &&
           sa->second.key == sender.secy->transmit.at(*sender.secy->encoding).key;
  }

  /// Starts the data plane model: every station sends a frame to all others every `interval`, with
  /// `data_latency` under way.
  void start_traffic(Time interval) {
    at(now, [this, interval] { traffic_tick(interval); });
  }
  void send_data(Station& from) {
    if (!from.secy || from.secy->port != PortState::secured || !from.secy->encoding || !traffic)
      return;
    const An an = *from.secy->encoding;
    auto& sa = from.secy->transmit.at(an);
    const uint64_t pn = sa.next_pn;
    sa.next_pn += pn_step;
    const Fingerprint key = sa.key;
    ++data_sent;
    const Sci sci = from.sci;
    for (auto& to : stations) {
      if (to.get() == &from) continue;
      Station* receiver = to.get();
      at(now + data_latency, [this, receiver, sci, an, key, pn, sent_at = now] {
        if (!receiver->secy) return;
        const auto sc = receiver->secy->receive.find(sci);
        const char* why = nullptr;
        if (sc == receiver->secy->receive.end()) {
          why = "no SC";
        } else if (const auto it = sc->second.find(an); it == sc->second.end()) {
          why = "no SA";
        } else if (!it->second.enabled) {
          why = "SA not in use";
        } else if (it->second.key != key) {
          why = "another key";
        } else if (pn < it->second.lowest) {
          why = "late";
        } else {
          ++data_received;
          return;
        }
        lost.push_back("t=" + std::to_string(now.count()) + " sent " +
                       std::to_string(sent_at.count()) + " station " +
                       std::to_string(receiver->number) + " an " + std::to_string(an.value()) +
                       ": " + why);
      });
    }
  }

  void deliver(Station& station, const std::vector<uint8_t>& frame) {
    if (!station.kay || !station.receives_mkpdus) return;
    const uint64_t before = accepted(station);
    station.kay->on_frame(frame, now);
    if (accepted(station) != before) {
      const auto envelope = parse_envelope(frame, station.kay->settings().ether_type);
      auto& last = accepted_[{station.number, station.generation, envelope->basic.mi}];
      if (envelope->basic.mn <= last) violations.push_back("accepted a stale MN");
      last = envelope->basic.mn;
    }
    arm(station);
  }
  uint64_t accepted(const Station& station) const {
    return station.kay->snapshot(now).counters.mkpdus_received;
  }
  void arm(Station& station) {
    if (!station.kay) return;
    const Time when = station.kay->next_deadline(now);
    if (when == kNever || when >= station.armed) return;
    station.armed = when;
    at(when, [this, &station, generation = station.generation, when] {
      if (!station.kay || station.generation != generation || station.armed != when) return;
      station.armed = kNever;
      station.kay->on_timer(now);
      // A KaY that asks to be woken again at once for ever would stop the clock.
      if (now == last_wake_ && ++wakes_now_ > 10'000) {
        violations.push_back("the KaY spins");
        return;
      }
      if (now != last_wake_) {
        last_wake_ = now;
        wakes_now_ = 0;
      }
      arm(station);
    });
  }

  void broadcast(int from, std::vector<uint8_t> frame) {
    if (on_wire) on_wire(from, frame);
    if (record) wire.push_back({now, from, frame});
    for (auto& station : stations) {
      if (station->number == from) continue;
      if (blocked && blocked(from, station->number)) continue;
      std::uniform_real_distribution<double> chance(0, 1);
      if (chance(rng) < quality.loss) continue;
      const int copies = chance(rng) < quality.duplicate ? 2 : 1;
      for (int i = 0; i < copies; ++i) {
        std::uniform_int_distribution<int> delay(quality.min_delay, quality.max_delay);
        Station* to = station.get();
        at(now + Time{delay(rng)}, [this, to, frame] { deliver(*to, frame); });
      }
    }
  }

  struct Recorded {
    Time when;
    int from;
    std::vector<uint8_t> frame;
  };

  Time now{1000};
  int64_t wall_base = 1'700'000'000'000;
  std::mt19937_64 rng;
  LinkQuality quality;
  std::vector<std::unique_ptr<Station>> stations;
  std::vector<std::string> violations;
  std::vector<std::string> lost;
  std::set<std::pair<Sci, Fingerprint>> ever_transmitted;
  std::function<bool(int from, int to)> blocked;
  std::function<void()> check;
  std::function<void(int from, std::vector<uint8_t>& frame)> on_wire;
  bool record = false;
  std::vector<Recorded> wire;
  bool traffic = false;
  Time data_latency{3};
  uint64_t pn_step = 1;
  uint64_t data_sent = 0, data_received = 0;

 private:
  void traffic_tick(Time interval) {
    traffic = true;
    for (auto& station : stations) send_data(*station);
    at(now + interval, [this, interval] { traffic_tick(interval); });
  }
  struct Queued {
    Time when;
    uint64_t sequence;
    std::function<void()> action;
    bool operator<(const Queued& other) const {
      return when != other.when ? when > other.when : sequence > other.sequence;
    }
  };
  std::priority_queue<Queued> queue_;
  uint64_t next_sequence_ = 0;
  std::map<std::tuple<int, uint64_t, Mi>, uint32_t> accepted_;
  Time last_wake_{};
  int wakes_now_ = 0;
};

/// A member of the CA that says what the test wants, with good ICVs: for peers of other makes and
/// for mistakes.
class ScriptedPeer {
 public:
  ScriptedPeer(Simulator& simulator, const KeySettings& key, uint8_t priority, int station = 100)
      : sim_(simulator), keys_(*derive_keys(key.cak, key.ckn)) {
    options.source = mac_of(station);
    mkpdu.basic.sci = sci_of(options.source);
    mkpdu.basic.priority = priority;
    mkpdu.basic.key_server = true;
    mkpdu.basic.ckn = key.ckn;
    mkpdu.basic.mi = {0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, static_cast<uint8_t>(station)};
  }
  const DerivedKeys& keys() const { return keys_; }
  std::vector<uint8_t> frame() {
    ++mkpdu.basic.mn;
    auto out = build_without_icv(mkpdu, options);
    const auto icv = *mkpdu_icv(keys_.ick, out);
    out.insert(out.end(), icv.begin(), icv.end());
    return out;
  }
  void send_to(Simulator::Station& station) { sim_.deliver(station, frame()); }
  /// Names the station with its newest MN, in the live or the potential list.
  void name(const Simulator::Station& station, bool live = true) {
    const auto snapshot = station.kay->snapshot(sim_.now);
    mkpdu.live.clear();
    mkpdu.potential.clear();
    (live ? mkpdu.live : mkpdu.potential)
        .push_back({snapshot.participants.at(0).mi, snapshot.participants.at(0).mn});
  }
  void distribute(const crypto::SecretBytes& sak, uint32_t kn, An an,
                  CipherSuite suite = CipherSuite::gcm_aes_128) {
    mkpdu.distributed_sak = DistributedSakSet{.an = an,
                                              .confidentiality = Confidentiality::offset_0,
                                              .kn = kn,
                                              .suite = suite,
                                              .wrapped = *wrap_sak(keys_.kek, sak)};
  }
  /// What a SAK-Use of ours says once the SAK is in use everywhere.
  void use(const Ki& ki, An an, bool tx = true) {
    SakUseSet set;
    set.latest = ki;
    set.latest_an = an;
    set.latest_rx = true;
    set.latest_tx = tx;
    set.latest_lpn = set.old_lpn = 1;
    mkpdu.sak_use = set;
  }

  Mkpdu mkpdu;
  BuildOptions options;

 private:
  Simulator& sim_;
  DerivedKeys keys_;
};

/// Two stations of one CAK, the first with the better priority.
struct Pair {
  explicit Pair(uint64_t seed = 1, std::function<void(KaySettings&, int)> adjust = {}) : sim(seed) {
    for (int i = 0; i < 2; ++i) {
      KaySettings settings = sim.settings_for(i);
      settings.priority = static_cast<uint8_t>(10 + i);
      if (adjust) adjust(settings, i);
      std::vector<KeySettings> keys;
      keys.push_back(make_key("ckn-1", 0x11));
      sim.add(std::move(settings), std::move(keys));
    }
  }
  Simulator::Station& a() { return *sim.stations[0]; }
  Simulator::Station& b() { return *sim.stations[1]; }
  bool up(Time limit = Time{10'000}) {
    return sim.run_until_true([this] { return sim.converged(); }, limit);
  }
  Simulator sim;
};

}  // namespace sealwire::mka::test
