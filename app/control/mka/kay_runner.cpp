#include "app/control/mka/kay_runner.h"

#include <fmt/format.h>
#include <openssl/rand.h>
#include <rte_debug.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <utility>

#include "app/control/convert.h"
#include "pipelines/mark.h"

namespace sealwire::control {
namespace {

using nlohmann::json;

// Bounds what a frame of the wire may cost; an MKPDU is far shorter.
constexpr std::size_t kMaxFrame = 2048;

mka::Time time_of(Clock::time_point now) {
  return std::chrono::duration_cast<mka::Time>(now.time_since_epoch());
}

mka::CipherSuite suite_of(config::CipherSuite suite) {
  switch (suite) {
    case config::CipherSuite::gcm_aes_128:
      return mka::CipherSuite::gcm_aes_128;
    case config::CipherSuite::gcm_aes_256:
      return mka::CipherSuite::gcm_aes_256;
    case config::CipherSuite::gcm_aes_xpn_128:
      return mka::CipherSuite::gcm_aes_xpn_128;
    case config::CipherSuite::gcm_aes_xpn_256:
      return mka::CipherSuite::gcm_aes_xpn_256;
  }
  return mka::CipherSuite::gcm_aes_256;
}

std::string_view text(mka::PortState state) {
  switch (state) {
    case mka::PortState::blocked:
      return "blocked";
    case mka::PortState::cleartext:
      return "cleartext";
    case mka::PortState::secured:
      return "secured";
  }
  return "";
}

std::string_view text(mka::Confidentiality confidentiality) {
  switch (confidentiality) {
    case mka::Confidentiality::integrity_only:
      return "none";
    case mka::Confidentiality::offset_0:
      return "0";
    case mka::Confidentiality::offset_30:
      return "30";
    case mka::Confidentiality::offset_50:
      return "50";
  }
  return "";
}

// What a peer or an attacker can cause, or what stops traffic, is a warning.
spdlog::level::level_enum level_of(mka::EventKind kind) {
  using mka::EventKind;
  switch (kind) {
    case EventKind::peer_lost:
    case EventKind::session_lost:
    case EventKind::sak_refused:
    case EventKind::mkpdu_rejected:
    case EventKind::replay:
    case EventKind::cleartext:
    case EventKind::member_identifier_reset:
      return spdlog::level::warn;
    case EventKind::secy_failed:
      return spdlog::level::err;
    default:
      return spdlog::level::info;
  }
}

json wall_time(std::int64_t ms) {
  if (ms == std::numeric_limits<std::int64_t>::min() ||
      ms == std::numeric_limits<std::int64_t>::max()) {
    return nullptr;
  }
  return ms / 1000;
}

double seconds(mka::Time time) { return static_cast<double>(time.count()) / 1000; }

}  // namespace

Result<mka::KeySettings> key_settings(const config::MkaKey& key, bool fallback) {
  const auto ckn = mka::Ckn::from(key.ckn);
  if (!ckn) return fail("SW-MKA-008", "the CKN has not 1 to 32 octets", "give 2 to 64 hex digits");
  mka::KeySettings out;
  out.name = key.name.empty() ? std::string(fallback ? "fallback" : "") : key.name;
  out.ckn = *ckn;
  out.cak = key.cak.bytes.clone();
  if (key.start) out.start_ms = *key.start * 1000;
  if (key.end) out.end_ms = *key.end * 1000;
  out.fallback = fallback;
  return out;
}

Result<std::vector<mka::KeySettings>> key_chain(const config::Mka& mka, const std::string& where) {
  std::vector<mka::KeySettings> chain;
  const auto add = [&](const config::MkaKey& key, bool fallback) -> Result<void> {
    auto one = key_settings(key, fallback);
    if (!one) return fail(one.error().id, where + ": " + one.error().message, one.error().remedy);
    chain.push_back(std::move(*one));
    return {};
  };
  for (const config::MkaKey& key : mka.keys) {
    if (auto added = add(key, false); !added) return tl::unexpected(added.error());
  }
  if (mka.fallback) {
    if (auto added = add(*mka.fallback, true); !added) return tl::unexpected(added.error());
  }
  return chain;
}

mka::KaySettings kay_settings(const config::Macsec& macsec, const config::Mka& mka, crypto::Sci sci,
                              const std::array<std::uint8_t, 6>& mac) {
  mka::KaySettings out;
  out.source = mac;
  out.sci = sci;
  out.destination = mka.eapol_destination.octets;
  out.ether_type = mka.eapol_ethertype;
  out.priority = mka.priority;
  out.version = mka.version;
  out.icv_indicator = mka.icv_indicator;
  out.suites.clear();
  for (const config::CipherSuite suite : mka.suites) out.suites.push_back(suite_of(suite));
  if (!macsec.confidentiality) {
    out.confidentiality = mka::Confidentiality::integrity_only;
  } else if (macsec.confidentiality_offset == 30) {
    out.confidentiality = mka::Confidentiality::offset_30;
  } else if (macsec.confidentiality_offset == 50) {
    out.confidentiality = mka::Confidentiality::offset_50;
  }
  out.delay_protect = mka.delay_protect;
  out.should_secure = mka.policy == config::MkaPolicy::should_secure;
  out.hello = mka.hello;
  out.bounded_hello = mka.bounded_hello;
  out.life = mka.life;
  out.retire = mka.retire;
  // In the proportions of the standard's times, for those who shorten them.
  out.linger_grace = std::max(mka::Time{100}, mka.retire / 3);
  out.patience = 5 * mka.life;
  out.min_interval = std::clamp(mka.hello / 40, mka::Time{5}, mka::Time{50});
  out.rekey_pn = mka.rekey_pn;
  out.rekey_interval = mka.rekey_interval;
  return out;
}

KayRunner::KayRunner(LineControl& line, std::size_t outside_port, Engines& engines,
                     Publisher& publisher)
    : line_name_(line.config().name),
      port_name_(line.place().outside.at(outside_port).name),
      port_index_(static_cast<std::uint16_t>(outside_port)),
      pool_(line.place().pool),
      inject_(line.direction(pipelines::Direction::egress).inject),
      secy_(*line.secy(outside_port), engines.control_instance(line.config().engine), publisher) {}

Result<std::unique_ptr<KayRunner>> KayRunner::create(LineControl& line, std::size_t outside_port,
                                                     Engines& engines, Publisher& publisher) {
  std::unique_ptr<KayRunner> runner(new KayRunner(line, outside_port, engines, publisher));
  const config::Macsec& macsec = *line.config().macsec;
  const config::Mka& mka = *config::mka_of(macsec, macsec.secys.at(outside_port));
  auto chain = runner->prepare_keys(mka);
  if (!chain) return tl::unexpected(chain.error());
  const mka::Time now = time_of(Clock::now());
  mka::Environment& environment = *runner;
  mka::EventSink& events = *runner;
  runner->kay_ =
      std::make_unique<mka::Kay>(kay_settings(macsec, mka, line.secy(outside_port)->settings().sci,
                                              line.place().outside[outside_port].mac),
                                 runner->secy_, environment, events, now);
  RTE_VERIFY(runner->kay_->set_keys(std::move(*chain), now));
  return runner;
}

KayRunner::~KayRunner() { shut_down(); }

void KayRunner::shut_down() {
  if (kay_) kay_->shut_down();
}

void KayRunner::take(rte_mbuf* m, Clock::time_point now) {
  std::array<std::uint8_t, kMaxFrame> buffer;
  const std::uint32_t length = rte_pktmbuf_pkt_len(m);
  if (length <= buffer.size()) {
    const void* frame = rte_pktmbuf_read(m, 0, length, buffer.data());
    if (frame != nullptr) {
      kay_->on_frame({static_cast<const std::uint8_t*>(frame), length}, time_of(now));
      next_ = mka::Time{0};
    }
  }
  rte_pktmbuf_free(m);
}

void KayRunner::tick(Clock::time_point now) {
  const mka::Time time = time_of(now);
  if (time < next_) return;
  if (kay_->next_deadline(time) <= time) kay_->on_timer(time);
  next_ = kay_->next_deadline(time);
}

Result<std::vector<mka::KeySettings>> KayRunner::prepare_keys(const config::Mka& mka) const {
  auto chain = key_chain(mka, where());
  if (!chain) return chain;
  if (auto checked = mka::Kay::check_keys(*chain); !checked) {
    return fail(checked.error().id, where() + ": " + checked.error().message,
                checked.error().remedy);
  }
  return chain;
}

std::vector<std::string> KayRunner::set_keys(std::vector<mka::KeySettings> chain,
                                             Clock::time_point now) {
  const auto before = kay_->keys();
  next_ = mka::Time{0};
  RTE_VERIFY(kay_->set_keys(std::move(chain), time_of(now)));  // prepare_keys() has checked it
  const auto after = kay_->keys();
  std::vector<std::string> done;
  const auto note = [&](const auto& from, const auto& in, const char* what) {
    for (const mka::KeyStatus& key : from) {
      const bool both = std::any_of(in.begin(), in.end(),
                                    [&](const mka::KeyStatus& one) { return one.ckn == key.ckn; });
      if (!both) done.push_back(fmt::format("{}.keys.{}: {}", where(), key.name, what));
    }
  };
  note(after, before, "added");
  note(before, after, "retired");
  return done;
}

Result<void> KayRunner::add_key(const config::MkaKey& key, bool fallback, Clock::time_point now) {
  auto one = key_settings(key, fallback);
  if (!one) return tl::unexpected(one.error());
  next_ = mka::Time{0};
  return kay_->add_key(std::move(*one), time_of(now));
}

Result<void> KayRunner::retire_key(const std::string& name, Clock::time_point now) {
  next_ = mka::Time{0};
  for (const mka::KeyStatus& key : kay_->keys()) {
    if (key.name == name || mka::hex(key.ckn.view()) == name) {
      return kay_->retire_key(key.ckn, time_of(now));
    }
  }
  return fail("SW-MKA-006", fmt::format("{}: no key {}", where(), name),
              "'sealwire keys list' shows them");
}

Result<void> KayRunner::rekey(Clock::time_point now) {
  next_ = mka::Time{0};
  return kay_->rekey(time_of(now));
}

bool KayRunner::random(std::span<std::uint8_t> out) {
  return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1;
}

std::int64_t KayRunner::wall_clock_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void KayRunner::send(std::span<const std::uint8_t> frame) {
  rte_mbuf* const m = rte_pktmbuf_alloc(pool_);
  if (m == nullptr) {
    ++not_sent_;
    return;
  }
  char* const data = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
  pipelines::InjectMark mark;
  mark.stages = pipelines::InjectStages::clear;
  mark.port = port_index_;
  if (data == nullptr || !pipelines::set_mark(m, mark)) {
    ++not_sent_;
    rte_pktmbuf_free(m);
    return;
  }
  std::memcpy(data, frame.data(), frame.size());
  if (rte_ring_enqueue(inject_, m) != 0) {
    ++not_sent_;  // the next hello says it again
    rte_pktmbuf_free(m);
  }
}

void KayRunner::on_event(const mka::Event& event) {
  std::string line = fmt::format("audit: {}/{}: mka {}", line_name_, port_name_, name(event.kind));
  if (event.ckn.size() != 0) line += " ckn=" + mka::hex(event.ckn.view());
  if (event.sci.value() != 0) line += " sci=" + sci_text(event.sci.value());
  if (!event.ki.none()) {
    line += fmt::format(" ki={}/{}", mka::hex(event.ki.mi), event.ki.kn);
    line += fmt::format(" an={}", event.an.value());
  }
  using mka::EventKind;
  if (event.kind == EventKind::sak_created || event.kind == EventKind::sak_installed ||
      event.kind == EventKind::sak_transmitting || event.kind == EventKind::session_established) {
    line += fmt::format(" suite={}", name(event.suite));
  }
  if (event.reason != mka::Reject::count) line += fmt::format(" reason={}", name(event.reason));
  if (!event.detail.empty()) line += fmt::format(" ({})", event.detail);
  if (event.suppressed != 0) line += fmt::format(" and {} more like it before", event.suppressed);
  spdlog::log(level_of(event.kind), "{}", line);
}

json KayRunner::keys() const {
  json all = json::array();
  for (const mka::KeyStatus& key : kay_->keys()) {
    all.push_back({{"line", line_name_},
                   {"port", port_name_},
                   {"name", key.name},
                   {"ckn", mka::hex(key.ckn.view())},
                   {"cak_octets", key.cak_length},
                   {"start", wall_time(key.start_ms)},
                   {"end", wall_time(key.end_ms)},
                   {"fallback", key.fallback},
                   {"valid", key.valid},
                   {"in_use", key.in_use}});
  }
  return all;
}

json KayRunner::show(Clock::time_point now) const {
  const mka::MkaSnapshot snapshot = kay_->snapshot(time_of(now));
  json participants = json::array(), saks = json::array(), rejected = json::object();
  for (const mka::ParticipantSnapshot& p : snapshot.participants) {
    json peers = json::array();
    for (const mka::PeerSnapshot& peer : p.peers) {
      peers.push_back({{"mi", mka::hex(peer.mi)},
                       {"mn", peer.mn},
                       {"sci", sci_text(peer.sci.value())},
                       {"source", mac_text(peer.source)},
                       {"priority", peer.priority},
                       {"version", peer.version},
                       {"state", peer.live ? "live" : "potential"},
                       {"key_server", peer.key_server},
                       {"last_seen_seconds", seconds(peer.since_last_seen)}});
    }
    participants.push_back(
        {{"name", p.name},
         {"ckn", mka::hex(p.ckn.view())},
         {"mi", mka::hex(p.mi)},
         {"mn", p.mn},
         {"principal", p.principal},
         {"fallback", p.fallback},
         {"key_server", p.key_server ? json(sci_text(p.key_server->value())) : json(nullptr)},
         {"elected_self", p.elected_self},
         {"start", wall_time(p.start_ms)},
         {"end", wall_time(p.end_ms)},
         {"peers", std::move(peers)}});
  }
  for (const mka::SakSnapshot& sak : snapshot.saks) {
    json receive = json::array();
    for (const mka::ReceiveSnapshot& one : sak.receive) {
      receive.push_back({{"sci", sci_text(one.sci.value())}, {"lowest_pn", one.lowest_pn}});
    }
    saks.push_back({{"key_server_mi", mka::hex(sak.ki.mi)},
                    {"kn", sak.ki.kn},
                    {"an", sak.an.value()},
                    {"suite", name(sak.suite)},
                    {"confidentiality_offset", text(sak.confidentiality)},
                    {"ckn", mka::hex(sak.ckn.view())},
                    {"transmitting", sak.transmitting},
                    {"receiving", sak.receiving},
                    {"made_here", sak.generated_here},
                    {"age_seconds", seconds(sak.age)},
                    {"next_pn", sak.next_pn},
                    {"pn_left_to_rekey", sak.pn_left_to_rekey},
                    {"receive", std::move(receive)}});
  }
  for (std::size_t i = 0; i < snapshot.counters.rejected.size(); ++i) {
    if (snapshot.counters.rejected[i] == 0) continue;
    rejected[std::string(name(static_cast<mka::Reject>(i)))] = snapshot.counters.rejected[i];
  }
  return {
      {"line", line_name_},
      {"port", port_name_},
      {"sci", sci_text(snapshot.sci.value())},
      {"state", name(snapshot.state)},
      {"controlled_port", text(snapshot.port)},
      {"ckn_in_use", snapshot.ckn_in_use ? json(mka::hex(snapshot.ckn_in_use->view())) : json()},
      {"time_to_rekey_seconds",
       snapshot.time_to_rekey ? json(seconds(*snapshot.time_to_rekey)) : json()},
      {"participants", std::move(participants)},
      {"saks", std::move(saks)},
      {"counters",
       {{"mkpdus_received", snapshot.counters.mkpdus_received},
        {"mkpdus_sent", snapshot.counters.mkpdus_sent},
        {"mkpdus_not_sent", not_sent_},
        {"rejected", std::move(rejected)},
        {"saks_generated", snapshot.counters.saks_generated},
        {"saks_installed", snapshot.counters.saks_installed},
        {"rekeys", snapshot.counters.rekeys},
        {"peers_lost", snapshot.counters.peers_lost}}}};
}

}  // namespace sealwire::control
