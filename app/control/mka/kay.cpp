#include "app/control/mka/kay.h"

#include <algorithm>
#include <map>
#include <utility>

namespace sealwire::mka {
namespace {

constexpr size_t kMaxKeyNumbers = 1024;
constexpr uint32_t kEventBurst = 10;
constexpr Time kEventPeriod{10'000};

// How much of a frame a confidentiality setting leaves in clear: more is weaker.
int openness(Confidentiality confidentiality) {
  return confidentiality == Confidentiality::integrity_only ? 4 : static_cast<int>(confidentiality);
}

// §10.7.13: the numerically greatest SCI has SSCI 1.
std::map<Sci, Ssci> assign_sscis(const std::set<Sci>& scis) {
  std::map<Sci, Ssci> out;
  uint32_t next = 1;
  for (auto it = scis.rbegin(); it != scis.rend(); ++it) out.emplace(*it, Ssci(next++));
  return out;
}

std::vector<Mi> live_members(const Participant& participant) {
  std::vector<Mi> members;
  for (const Peer& peer : participant.peers()) {
    if (peer.live) members.push_back(peer.mi);
  }
  std::sort(members.begin(), members.end());
  return members;
}

}  // namespace

struct Kay::Sak {
  Ki ki;
  An an;
  CipherSuite suite{};
  Confidentiality confidentiality{};
  crypto::SecretBytes key;
  Ckn ckn;
  uint64_t serial = 0;  ///< order of arrival: a greater one is newer
  bool generated_here = false;
  std::vector<Mi> members;       ///< live peers it was made for; of ours only
  std::set<Mi> received_by;      ///< peers that ever said they receive with it; of ours only
  std::map<Sci, Ssci> sscis;     ///< XPN
  std::vector<uint8_t> wrapped;  ///< of ours only
  Time created{};
  bool transmit_sa = false;  ///< exists
  bool transmitted = false;  ///< was ever the encodingSA
  bool receiving = false;
  std::set<Sci> receive_sas;
  std::map<Sci, Pn> lowest_seen;  ///< of receive SAs deleted: they do not start at 1 again
  uint64_t sampled_pn = 1, reported_pn = 1;
  bool lingering = false;
  Time linger_since{};
  std::optional<Time> peers_moved;
  std::optional<Time> orphaned_until;  ///< its CAK's lifetime ended
};

Kay::Kay(KaySettings settings, SecyPort& secy, Environment& env, EventSink& events, Time now)
    : settings_(std::move(settings)),
      secy_(secy),
      env_(env),
      events_(events, kEventBurst, kEventPeriod),
      cp_(*this, settings_.life, settings_.retire),
      now_(now),
      next_sample_(now) {
  port_ = settings_.should_secure ? PortState::cleartext : PortState::blocked;
  secy_.set_port_state(port_);
}

Kay::~Kay() { shut_down(); }

void Kay::shut_down() {
  if (std::exchange(shut_down_, true)) return;
  set_port(PortState::blocked);
  while (!saks_.empty()) drop_sak(saks_.front()->ki);
  for (const Sci sci : receive_scs_) secy_.delete_receive_sc(sci);
  receive_scs_.clear();
  principal_ = nullptr;
  participants_.clear();
  chain_.clear();
}

// --- keys ---------------------------------------------------------------------------------------

Result<void> Kay::check_keys(const std::vector<KeySettings>& keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].cak.size() != 16 && keys[i].cak.size() != 32) {
      return fail("SW-MKA-001",
                  "the CAK of " + hex(keys[i].ckn.view()) + " has " +
                      std::to_string(keys[i].cak.size()) + " octets",
                  "give 32 or 64 hex digits");
    }
    for (size_t j = 0; j < i; ++j) {
      if (keys[i].ckn == keys[j].ckn) {
        return fail("SW-MKA-005", "the CKN " + hex(keys[i].ckn.view()) + " is given twice",
                    "a CKN names one CAK");
      }
    }
  }
  return {};
}

Result<void> Kay::set_keys(std::vector<KeySettings> keys, Time now) {
  if (auto checked = check_keys(keys); !checked) return checked;
  for (const KeySettings& before : chain_) {
    const auto after = std::find_if(keys.begin(), keys.end(),
                                    [&](const auto& key) { return key.ckn == before.ckn; });
    if (after == keys.end() || !after->cak.equal(before.cak)) end_participant(before.ckn, now);
  }
  chain_ = std::move(keys);
  for (const auto& participant : participants_) {
    for (const KeySettings& key : chain_) {
      if (key.ckn == participant->ckn()) participant->set_lifetime(key);
    }
  }
  run(now);
  return {};
}

Result<void> Kay::add_key(KeySettings key, Time now) {
  std::vector<KeySettings> keys;
  for (const KeySettings& have : chain_) {
    keys.push_back(
        {have.name, have.ckn, have.cak.clone(), have.start_ms, have.end_ms, have.fallback});
  }
  keys.push_back(std::move(key));
  return set_keys(std::move(keys), now);
}

Result<void> Kay::retire_key(const Ckn& ckn, Time now) {
  const auto it =
      std::find_if(chain_.begin(), chain_.end(), [&](const auto& key) { return key.ckn == ckn; });
  if (it == chain_.end())
    return fail("SW-MKA-006", "there is no key with the CKN " + hex(ckn.view()), "see `show mka`");
  chain_.erase(it);
  end_participant(ckn, now);
  run(now);
  return {};
}

void Kay::start_and_end_participants(Time now) {
  const int64_t wall = env_.wall_clock_ms();
  for (const KeySettings& key : chain_) {
    const bool valid = key.start_ms <= wall && wall < key.end_ms;
    const bool running = participant(key.ckn) != nullptr;
    if (valid == running) continue;
    if (!valid) {
      end_participant(key.ckn, now);
      continue;
    }
    auto made = Participant::make(settings_, key, env_, now);
    if (!made) continue;  // no random octets: tried again with the next event
    participants_.push_back(std::move(*made));
    report({.kind = EventKind::participant_started, .ckn = key.ckn});
  }
}

void Kay::end_participant(const Ckn& ckn, Time now) {
  Participant* ending = participant(ckn);
  if (ending == nullptr) return;
  if (principal_ == ending) principal_ = nullptr;
  std::erase_if(participants_, [&](const auto& each) { return each.get() == ending; });
  // Its SAK may be carrying traffic while the one of the successor is on its way: a few seconds, no
  // more.
  for (const auto& sak : saks_) {
    if (sak->ckn == ckn) sak->orphaned_until = now + settings_.life;
  }
  now_ = now;
  report({.kind = EventKind::participant_ended, .ckn = ckn});
}

// Prefers the key with the newest start, then the others, then a fallback; moves only when nobody
// is left behind.
void Kay::choose_principal() {
  Participant* best = nullptr;
  const auto rank = [](const Participant& p) { return std::pair(!p.fallback(), p.start_ms()); };
  for (const auto& each : participants_) {
    if (each->has_live_peer() && (best == nullptr || rank(*each) > rank(*best))) best = each.get();
  }
  if (best == principal_) return;
  if (best != nullptr && principal_ != nullptr && principal_->has_live_peer()) {
    const auto reached = live_scis(*best), needed = live_scis(*principal_);
    if (!std::includes(reached.begin(), reached.end(), needed.begin(), needed.end())) return;
  }
  principal_ = best;
}

// --- time and frames ----------------------------------------------------------------------------

void Kay::on_timer(Time now) { run(now); }

void Kay::run(Time now) {
  if (shut_down_) return;
  now_ = now;
  start_and_end_participants(now);
  expire_peers(now);
  choose_principal();
  if (principal_ != nullptr && principal_->elected_self()) {
    const auto& peers = principal_->peers();
    const bool wanted = std::any_of(peers.begin(), peers.end(),
                                    [](const Peer& p) { return p.live && p.wants_macsec(); });
    advised_ = settings_.should_secure && !wanted ? Connect::authenticated : Connect::secure;
  }
  sample_pn(now);
  cp_.step(now);
  maybe_generate(now);
  cp_.step(now);
  reconcile_receive();
  linger(now);
  if (cp_.in_use().none())
    set_port(settings_.should_secure ? PortState::cleartext : PortState::blocked);
  for (const auto& each : participants_) {
    note_key_server(*each, now);
    if (each->send_due(now)) send(*each, now);
  }
}

void Kay::expire_peers(Time now) {
  for (const auto& each : participants_) {
    const auto lost = each->expire(now);
    for (const Peer& peer : lost) {
      ++counters_.peers_lost;
      report({.kind = EventKind::peer_lost, .ckn = each->ckn(), .sci = peer.sci});
    }
    if (lost.empty()) continue;
    each->want_to_send();
    // The peers may not have lost us: only as a new member do we get a fresh SAK from their key
    // server.
    if (!each->has_live_peer()) {
      each->reset_identifier(now);
      report({.kind = EventKind::member_identifier_reset,
              .ckn = each->ckn(),
              .detail = "no live peer left"});
    }
  }
}

void Kay::note_key_server(Participant& participant, Time now) {
  std::optional<Sci> server;
  if (const Peer* peer = participant.key_server(); peer != nullptr) server = peer->sci;
  if (participant.elected_self()) server = settings_.sci;
  if (server == participant.reported_key_server) return;
  participant.reported_key_server = server;
  now_ = now;
  if (server)
    report({.kind = EventKind::key_server_elected, .ckn = participant.ckn(), .sci = *server});
}

void Kay::on_frame(std::span<const uint8_t> frame, Time now) {
  if (shut_down_) return;
  now_ = now;
  start_and_end_participants(now);
  const auto envelope = parse_envelope(frame, settings_.ether_type);
  if (!envelope) return reject(envelope.error(), nullptr, now);
  Participant* addressee = participant(envelope->basic.ckn);
  if (addressee == nullptr) return reject(Reject::unknown_ckn, &*envelope, now);
  if (!addressee->icv_is_good(*envelope)) return reject(Reject::bad_icv, &*envelope, now);
  const auto mkpdu = parse_sets(*envelope);
  if (!mkpdu) return reject(mkpdu.error(), &*envelope, now);
  // Silence is counted before this frame: a peer that comes back after its life time comes back as
  // new.
  expire_peers(now);
  const auto received = addressee->receive(*mkpdu, envelope->source, now);
  if (!received) return reject(received.error(), &*envelope, now);
  ++counters_.mkpdus_received;

  if (received->identifier_reset) {
    report({.kind = EventKind::member_identifier_reset,
            .ckn = addressee->ckn(),
            .detail = "another member has our MI"});
  }
  if (received->replaced) {
    report({.kind = EventKind::peer_replaced, .ckn = addressee->ckn(), .sci = mkpdu->basic.sci});
  }
  if (received->new_potential) note_saks_before_us(*mkpdu);
  if (received->became_live) {
    report({.kind = EventKind::peer_live, .ckn = addressee->ckn(), .sci = mkpdu->basic.sci});
  }
  if (received->new_potential || received->list_changed) addressee->want_to_send();
  if (const Peer* peer = received->peer; peer != nullptr && peer->live) {
    for (const auto& sak : saks_) {
      if (sak->generated_here && sak->ckn == addressee->ckn() && peer->sak_use &&
          peer->sak_use->receives(sak->ki)) {
        sak->received_by.insert(peer->mi);
      }
    }
    apply_lpn(*peer);
    if (mkpdu->distributed_sak) handle_distributed_sak(*addressee, *mkpdu, now);
  }
  run(now);
}

void Kay::reject(Reject reason, const Envelope* envelope, Time now) {
  ++counters_.rejected[static_cast<size_t>(reason)];
  Event event{.kind = reason == Reject::replayed || reason == Reject::retired_member
                          ? EventKind::replay
                          : EventKind::mkpdu_rejected,
              .at = now,
              .reason = reason};
  if (envelope != nullptr) {
    event.ckn = envelope->basic.ckn;
    event.sci = envelope->basic.sci;
  }
  report(std::move(event));
}

// The peer's LPN: frames it sends from now on have at least that PN. With delay protection older
// ones are refused. Without it, the LPN only helps a receiver of an XPN suite that missed so many
// frames that it can no longer tell the high 32 bits of a PN (802.1AE §10.6.2).
void Kay::apply_lpn(const Peer& peer) {
  if (!peer.sak_use) return;
  const bool protect = settings_.delay_protect && peer.sak_use->set.delay_protect;
  const auto raise = [&](const Ki& ki, uint64_t lpn) {
    const Sak* sak = find_sak(ki);
    if (sak == nullptr || !sak->receive_sas.contains(peer.sci)) return;
    constexpr uint64_t kFar = uint64_t{1} << 30;
    const uint64_t lowest = secy_.lowest_pn(peer.sci, sak->an).value();
    if (protect || (is_xpn(sak->suite) && lpn > lowest && lpn - lowest > kFar)) {
      secy_.raise_lowest_pn(peer.sci, sak->an, Pn(lpn));
    }
  };
  raise(peer.sak_use->set.latest, peer.sak_use->latest_lpn);
  raise(peer.sak_use->set.old, peer.sak_use->old_lpn);
}

Time Kay::next_deadline(Time now) const {
  if (shut_down_) return kNever;
  Time next = cp_.deadline(now);
  const auto consider = [&](Time at) { next = std::min(next, std::max(at, now)); };
  for (const auto& each : participants_) consider(each->deadline(now));
  consider(next_sample_);
  for (const auto& sak : saks_) {
    if (sak->orphaned_until) consider(*sak->orphaned_until);
    if (!sak->lingering) continue;
    consider(sak->linger_since + settings_.patience);
    if (sak->peers_moved) consider(*sak->peers_moved + settings_.linger_grace);
  }
  const auto later = [&](Time at) {
    if (at > now) consider(at);
  };
  if (last_distribution_) later(*last_distribution_ + settings_.life);
  if (const Sak* sak = newest_sak(); sak != nullptr && settings_.rekey_interval > Time{0}) {
    later(sak->created + settings_.rekey_interval);
  }
  const int64_t wall = env_.wall_clock_ms();
  for (const KeySettings& key : chain_) {
    for (const int64_t edge : {key.start_ms, key.end_ms}) {
      // The hello timer looks at the clock too: an edge years away needs no timer of its own.
      if (edge > wall && edge < wall + 3'600'000) later(now + Time{edge - wall});
    }
  }
  return next;
}

// --- SAKs: generation and distribution (§9.8)
// ------------------------------------------------------

Result<void> Kay::rekey(Time now) {
  if (principal_ == nullptr || !principal_->elected_self()) {
    return fail("SW-MKA-007",
                principal_ == nullptr ? "no session is up" : "the peer is the key server",
                "ask for it at the key server, or give this end the lower priority value");
  }
  rekey_asked_ = true;
  run(now);
  return {};
}

uint64_t Kay::rekey_pn(CipherSuite suite) const {
  if (settings_.rekey_pn != 0) return settings_.rekey_pn;
  return is_xpn(suite) ? kRekeyPnXpn : kRekeyPn;
}

std::optional<std::string> Kay::why_fresh_sak(Time now) const {
  const Sak* sak = newest_sak();
  if (sak == nullptr) return "first SAK";
  if (!sak->generated_here) return "new key server";
  if (sak->ckn != principal_->ckn()) return "new CAK";
  if (sak->members != live_members(*principal_)) return "live peer list changed";
  if (nobody_takes(*sak, now)) return "no peer takes the SAK";
  if (sak->transmit_sa && secy_.next_pn(sak->an).value() > rekey_pn(sak->suite))
    return "PN threshold";
  for (const Peer& peer : principal_->peers()) {
    if (!peer.live || !peer.sak_use) continue;
    const PeerSakUse& use = *peer.sak_use;
    const uint64_t peer_lpn = use.set.latest == sak->ki ? use.latest_lpn
                              : use.set.old == sak->ki  ? use.old_lpn
                                                        : 0;
    if (peer_lpn > rekey_pn(sak->suite)) return "PN threshold of a peer";
    if (sak->received_by.contains(peer.mi) && !use.receives(sak->ki)) return "a peer lost the SAK";
    if (!sak->received_by.contains(peer.mi) && peer.wants_macsec() &&
        now - sak->created >= settings_.patience) {
      return "a peer does not take the SAK";
    }
  }
  if (settings_.rekey_interval > Time{0} && now - sak->created >= settings_.rekey_interval)
    return "rekey interval";
  if (rekey_asked_) return "asked for";
  return std::nullopt;
}

// Peers that say which suites they take are rare (announcements are optional): a suite nobody takes
// is noticed by its silence.
bool Kay::nobody_takes(const Sak& sak, Time now) const {
  const Time patience = settings_.suites.size() > 1 ? 2 * settings_.life : settings_.patience;
  return cp_.state() == ControlledPort::State::receiving && sak.ki == cp_.latest() &&
         sak.received_by.empty() && now - sak.created >= patience;
}

bool Kay::may_generate(Time now) const {
  // §9.8: a potential peer may be about to become live; a second SAK right after the first would be
  // wasted.
  if (principal_->has_potential_peer() && last_distribution_ &&
      now - *last_distribution_ < settings_.life)
    return false;
  switch (cp_.state()) {
    case ControlledPort::State::secured:
    case ControlledPort::State::retire:
      return true;
    case ControlledPort::State::receiving:
    case ControlledPort::State::ready: {
      // The SAK under way comes first, unless it has no future.
      const Sak* sak = find_sak(cp_.latest());
      if (sak == nullptr || sak->ckn != principal_->ckn()) return true;
      if (!sak->generated_here) return principal_->live_peer(sak->ki.mi) == nullptr;
      return nobody_takes(*sak, now) ||
             (!made_for_live_peers(*principal_, *sak) && somebody_lacks(*principal_, *sak));
    }
    default:
      return false;
  }
}

void Kay::maybe_generate(Time now) {
  if (principal_ == nullptr || !principal_->elected_self() || connect() != Connect::secure) return;
  const auto why = why_fresh_sak(now);
  if (why && may_generate(now)) generate(*why, now);
}

std::optional<An> Kay::free_an(Time now) {
  std::set<An> used, sending;  // what somebody has, and what somebody sends with
  for (const auto& sak : saks_) used.insert(sak->an);
  if (const Sak* sak = find_sak(cp_.in_use()); sak != nullptr) sending.insert(sak->an);
  const auto note = [&](bool tx, bool rx, An an) {
    if (tx || rx) used.insert(an);
    if (tx) sending.insert(an);
  };
  for (const auto& each : participants_) {
    for (const Peer& peer : each->peers()) {
      if (!peer.live || !peer.sak_use) continue;
      const SakUseSet& use = peer.sak_use->set;
      note(use.latest_tx, use.latest_rx, use.latest_an);
      note(use.old_tx, use.old_rx, use.old_an);
    }
  }
  const auto next_outside = [this](const std::set<An>& taken) -> std::optional<An> {
    An an = last_an_;
    for (int i = 0; i < 4; ++i) {
      an = an.next();
      if (!taken.contains(an)) return an;
    }
    return std::nullopt;
  };
  if (const auto an = next_outside(used)) return an;
  // All four are taken: the oldest that only waits for a slow peer has to go, but not before its
  // time, and not while somebody sends with it.
  for (const auto& sak : saks_) {
    if (!sak->lingering || sending.contains(sak->an) || now - sak->linger_since < settings_.life)
      continue;
    const An freed = sak->an;
    drop_sak(sak->ki);
    return freed;
  }
  // Else the SAK under way, which this one overtakes, gives its own; and when peers have not moved
  // for long, they lose what they do not send with.
  const Sak* newest = newest_sak();
  if (newest == nullptr) return std::nullopt;
  if (!newest->transmitted && !sending.contains(newest->an)) return newest->an;
  if (now - newest->created < settings_.patience) return std::nullopt;
  return next_outside(sending);
}

void Kay::generate(const std::string& why, Time now) {
  const Sak* before = newest_sak();
  if (before != nullptr && nobody_takes(*before, now))
    suite_choice_ = (suite_choice_ + 1) % settings_.suites.size();
  const auto an = free_an(now);
  if (!an) return;
  auto sak = std::make_unique<Sak>();
  sak->suite = settings_.suites[suite_choice_];
  sak->confidentiality = settings_.confidentiality;
  bool offsets = !is_xpn(sak->suite);
  for (const Peer& peer : principal_->peers()) {
    offsets &= !peer.live || peer.capability == Capability::integrity_confidentiality_0_30_50;
  }
  if (!offsets && sak->confidentiality != Confidentiality::integrity_only)
    sak->confidentiality = Confidentiality::offset_0;
  sak->an = *an;
  sak->ki = {principal_->mi(), principal_->take_key_number()};
  auto key = principal_->new_sak(sak->suite, sak->ki.kn);
  if (!key) return;
  sak->key = std::move(*key);
  auto wrapped = principal_->wrap(sak->key);
  if (!wrapped) return;
  sak->wrapped = std::move(*wrapped);
  sak->ckn = principal_->ckn();
  sak->serial = next_serial_++;
  sak->generated_here = true;
  sak->members = live_members(*principal_);
  auto scis = live_scis(*principal_);
  scis.insert(settings_.sci);
  if (is_xpn(sak->suite)) sak->sscis = assign_sscis(scis);
  sak->created = now;
  last_an_ = sak->an;
  last_distribution_ = now;
  rekey_asked_ = false;
  ++counters_.saks_generated;
  if (before != nullptr) {
    ++counters_.rekeys;
    report({.kind = EventKind::rekey_requested, .ckn = sak->ckn, .detail = why});
  }
  report({.kind = EventKind::sak_created,
          .ckn = sak->ckn,
          .ki = sak->ki,
          .an = sak->an,
          .suite = sak->suite,
          .detail = why});
  cp_.offer(sak->ki, sak->an);
  saks_.push_back(std::move(sak));
  principal_->want_to_send();
}

// Who came after a SAK was made may have restarted, and would begin at PN 1 again under a key that
// it used. XPN: receivers also number the SCs by our live peer list.
bool Kay::made_for_live_peers(const Participant& participant, const Sak& sak) const {
  const auto live = live_members(participant);
  if (is_xpn(sak.suite)) return sak.members == live;
  return std::includes(sak.members.begin(), sak.members.end(), live.begin(), live.end());
}

bool Kay::somebody_lacks(const Participant& participant, const Sak& sak) const {
  const auto& peers = participant.peers();
  return std::any_of(peers.begin(), peers.end(), [&](const Peer& peer) {
    return peer.live && !sak.received_by.contains(peer.mi);
  });
}

// A member that has not taken the SAK gets it with every MKPDU. A peer that had it and lost it gets
// a fresh one instead.
bool Kay::must_distribute(const Participant& participant, const Sak& sak) const {
  return sak.generated_here && !sak.lingering && sak.ckn == participant.ckn() &&
         participant.elected_self() && made_for_live_peers(participant, sak) &&
         somebody_lacks(participant, sak);
}

void Kay::refuse_sak(Participant& participant, const Ki& ki, std::string why, Time now) {
  report({.kind = EventKind::sak_refused,
          .at = now,
          .ckn = participant.ckn(),
          .ki = ki,
          .detail = std::move(why)});
}

void Kay::handle_distributed_sak(Participant& participant, const Mkpdu& mkpdu, Time now) {
  const DistributedSakSet& set = *mkpdu.distributed_sak;
  const Ki ki{mkpdu.basic.mi, set.kn};
  const Peer* server = participant.key_server();
  if (server == nullptr || server->mi != mkpdu.basic.mi) {
    return refuse_sak(participant, ki, "its sender is not the elected key server", now);
  }
  const auto named = [&](const MemberEntry& entry) { return entry.mi == participant.mi(); };
  if (std::none_of(mkpdu.live.begin(), mkpdu.live.end(), named))
    return;  // not made for us: ours will come
  if (set.plain) {
    if (!settings_.should_secure)
      return refuse_sak(participant, ki, "plain text is not allowed here", now);
    advised_ = Connect::authenticated;
    return;
  }
  if (find_sak(ki) != nullptr) return;
  if (seen_key_number(ki)) {
    refuse_sak(participant, ki, "this SAK is not fresh", now);
    return ask_for_fresh_sak(participant, now);
  }
  if (!set.suite || std::find(settings_.suites.begin(), settings_.suites.end(), *set.suite) ==
                        settings_.suites.end()) {
    return refuse_sak(participant, ki, "its cipher suite is not allowed here", now);
  }
  const bool has_offset = set.confidentiality == Confidentiality::offset_30 ||
                          set.confidentiality == Confidentiality::offset_50;
  if (openness(set.confidentiality) > openness(settings_.confidentiality) ||
      (has_offset && is_xpn(*set.suite))) {
    return refuse_sak(participant, ki,
                      "its confidentiality offset leaves more in clear than is allowed here", now);
  }
  if (const Sak* used = find_sak(cp_.in_use());
      used != nullptr && used->an == set.an && used->ki.mi == ki.mi) {
    return refuse_sak(participant, ki, "its AN is the one of the SAK in use", now);
  }
  auto sak = std::make_unique<Sak>();
  if (is_xpn(*set.suite)) {
    std::set<Sci> scis{settings_.sci, mkpdu.basic.sci};
    for (const MemberEntry& entry : mkpdu.live) {
      if (entry.mi == participant.mi()) continue;
      const Peer* member = participant.peer(entry.mi);
      if (member == nullptr) return;  // its SCI is not known yet; the key server will say it again
      scis.insert(member->sci);
    }
    sak->sscis = assign_sscis(scis);
    const auto server_ssci = static_cast<uint8_t>(sak->sscis.at(mkpdu.basic.sci).value());
    if (mkpdu.key_server_ssci != 0 && mkpdu.key_server_ssci != server_ssci) {
      return refuse_sak(participant, ki, "the key server has another SSCI than we count", now);
    }
  }
  auto key = participant.unwrap(set.wrapped);
  if (!key) return refuse_sak(participant, ki, key.error().message, now);
  remember_key_number(ki);
  advised_ = Connect::secure;
  sak->ki = ki;
  sak->an = set.an;
  sak->suite = *set.suite;
  sak->confidentiality = set.confidentiality;
  sak->key = std::move(*key);
  sak->ckn = participant.ckn();
  sak->serial = next_serial_++;
  sak->created = now;
  last_an_ = sak->an;
  // A SAK offered before and not yet taken up has been overtaken.
  cp_.offer(sak->ki, sak->an);
  saks_.push_back(std::move(sak));
}

// What a key server transmits with when we first hear of it was not made for us. After a restart it
// may be what we transmitted with before: some key servers hand that out again (nonce reuse).
void Kay::note_saks_before_us(const Mkpdu& mkpdu) {
  if (!mkpdu.sak_use) return;
  const SakUseSet& use = *mkpdu.sak_use;
  const auto note = [&](bool tx, const Ki& ki) {
    if (tx && ki.mi == mkpdu.basic.mi && find_sak(ki) == nullptr) remember_key_number(ki);
  };
  note(use.latest_tx, use.latest);
  note(use.old_tx, use.old);
}

// A key server makes a fresh SAK for a new member, so we become one; not while a SAK carries
// traffic.
void Kay::ask_for_fresh_sak(Participant& participant, Time now) {
  if (!cp_.in_use().none()) return;
  if (last_fresh_request_ && now - *last_fresh_request_ < 2 * settings_.life) return;
  last_fresh_request_ = now;
  participant.reset_identifier(now);
  report({.kind = EventKind::member_identifier_reset,
          .ckn = participant.ckn(),
          .detail = "to be given a fresh SAK"});
}

bool Kay::seen_key_number(const Ki& ki) const {
  const auto it = std::find_if(key_numbers_.begin(), key_numbers_.end(),
                               [&](const Ki& known) { return known.mi == ki.mi; });
  return it != key_numbers_.end() && ki.kn <= it->kn;
}

void Kay::remember_key_number(const Ki& ki) {
  if (seen_key_number(ki)) return;
  std::erase_if(key_numbers_, [&](const Ki& known) { return known.mi == ki.mi; });
  if (key_numbers_.size() >= kMaxKeyNumbers) key_numbers_.erase(key_numbers_.begin());
  key_numbers_.push_back(ki);
}

// --- what the Controlled Port asks for
// -------------------------------------------------------------

Connect Kay::connect() const {
  const bool live = std::any_of(participants_.begin(), participants_.end(),
                                [](const auto& p) { return p->has_live_peer(); });
  return live ? advised_ : Connect::pending;
}

CpInputs Kay::cp_inputs() {
  CpInputs inputs{.connect = connect()};
  const Sak* sak = find_sak(cp_.latest());
  if (sak == nullptr) return inputs;
  inputs.generated_here = sak->generated_here;
  const Participant* owner = participant(sak->ckn);
  if (owner == nullptr) return inputs;
  bool all = true;
  for (const Peer& peer : owner->peers()) {
    if (!peer.live) continue;
    const bool receiving = peer.sak_use && peer.sak_use->receives(sak->ki);
    const bool member = !is_xpn(sak->suite) || sak->sscis.contains(peer.sci);
    inputs.any_receiving |= receiving;
    all &= receiving || !member || (settings_.should_secure && !peer.wants_macsec());
    inputs.server_transmitting |=
        peer.mi == sak->ki.mi && peer.sak_use && peer.sak_use->transmits(sak->ki);
  }
  inputs.all_receiving = all && inputs.any_receiving;
  return inputs;
}

void Kay::report_secy(const Error& error, const Sak& sak) {
  report({.kind = EventKind::secy_failed,
          .ckn = sak.ckn,
          .ki = sak.ki,
          .an = sak.an,
          .detail = error.id + " " + error.message});
}

SaParameters Kay::parameters(const Sak& sak, Sci sci) const {
  const auto ssci = sak.sscis.find(sci);
  return {sak.key,
          sak.suite,
          sak.confidentiality,
          sak.ki,
          is_xpn(sak.suite) ? xpn_salt(sak.ki) : std::array<uint8_t, 12>{},
          ssci == sak.sscis.end() ? Ssci() : ssci->second};
}

bool Kay::install_receive(Sak& sak, Sci sci) {
  if (!receive_scs_.contains(sci)) {
    if (const auto made = secy_.create_receive_sc(sci); !made) {
      report_secy(made.error(), sak);
      return false;
    }
    receive_scs_.insert(sci);
  }
  auto done = secy_.create_receive_sa(sci, sak.an, parameters(sak, sci));
  if (done) {
    sak.receive_sas.insert(sci);
    if (const auto before = sak.lowest_seen.find(sci); before != sak.lowest_seen.end()) {
      secy_.raise_lowest_pn(sci, sak.an, before->second);
    }
    done = secy_.enable_receive_sa(sci, sak.an);
  }
  if (!done) report_secy(done.error(), sak);
  return done.has_value();
}

bool Kay::create_and_receive(const Ki& ki) {
  Sak* sak = find_sak(ki);
  if (sak == nullptr) return false;
  // What still has this AN is a SAK on its way out, or one of a key server that is gone.
  for (bool again = true; std::exchange(again, false);) {
    for (const auto& other : saks_) {
      if (other.get() == sak || other->an != sak->an) continue;
      drop_sak(other->ki);
      again = true;
      break;
    }
  }
  const Participant* owner = participant(sak->ckn);
  if (owner == nullptr) return false;
  for (const Sci sci : live_scis(*owner)) {
    if (is_xpn(sak->suite) && !sak->sscis.contains(sci)) continue;
    if (!install_receive(*sak, sci)) return false;
  }
  if (const auto made = secy_.create_transmit_sa(sak->an, parameters(*sak, settings_.sci)); !made) {
    report_secy(made.error(), *sak);
    return false;
  }
  sak->transmit_sa = true;
  sak->receiving = true;
  ++counters_.saks_installed;
  report({.kind = EventKind::sak_installed,
          .ckn = sak->ckn,
          .ki = ki,
          .an = sak->an,
          .suite = sak->suite});
  return true;
}

bool Kay::transmit(const Ki& ki) {
  Sak* sak = find_sak(ki);
  if (sak == nullptr || !sak->transmit_sa) return false;
  if (const auto done = secy_.enable_transmit_sa(sak->an); !done) {
    report_secy(done.error(), *sak);
    return false;
  }
  sak->transmitted = true;
  report({.kind = EventKind::sak_transmitting,
          .ckn = sak->ckn,
          .ki = ki,
          .an = sak->an,
          .suite = sak->suite});
  if (ckn_in_use_ != sak->ckn) {
    ckn_in_use_ = sak->ckn;
    report({.kind = EventKind::ckn_in_use, .ckn = sak->ckn});
  }
  if (port_ != PortState::secured) {
    set_port(PortState::secured);
    if (const Participant* owner = participant(sak->ckn); owner != nullptr) {
      for (const Sci sci : live_scis(*owner)) {
        report({.kind = EventKind::session_established,
                .ckn = sak->ckn,
                .sci = sci,
                .ki = ki,
                .an = sak->an,
                .suite = sak->suite});
      }
    }
  }
  return true;
}

void Kay::release(const Ki& ki) {
  Sak* sak = find_sak(ki);
  if (sak == nullptr) return;
  if (std::exchange(sak->transmit_sa, false)) secy_.delete_transmit_sa(sak->an);
  sak->lingering = true;
  sak->linger_since = now_;
  if (sak->receive_sas.empty()) drop_sak(ki);
}

void Kay::release_all() {
  const bool was_secured = port_ == PortState::secured;
  // Blocked before the keys go. Cleartext, where it is allowed, comes back with the next run().
  set_port(PortState::blocked);
  while (!saks_.empty()) drop_sak(saks_.front()->ki);
  ckn_in_use_.reset();
  rekey_asked_ = false;
  if (was_secured) report({.kind = EventKind::session_lost});
}

void Kay::new_info() {
  for (const auto& each : participants_) {
    if (each->has_live_peer()) each->want_to_send();
  }
}

void Kay::set_port(PortState state) {
  if (state == port_) return;
  port_ = state;
  secy_.set_port_state(state);
  if (state == PortState::cleartext) report({.kind = EventKind::cleartext});
}

// --- receive channels and SAKs on their way out
// --------------------------------------------------------

void Kay::reconcile_receive() {
  const auto wanted = all_live_scis();
  for (auto it = receive_scs_.begin(); it != receive_scs_.end();) {
    if (wanted.contains(*it)) {
      ++it;
      continue;
    }
    for (const auto& sak : saks_) {
      if (sak->receive_sas.erase(*it) != 0) sak->lowest_seen[*it] = secy_.lowest_pn(*it, sak->an);
    }
    secy_.delete_receive_sc(*it);
    it = receive_scs_.erase(it);
  }
  for (const auto& sak : saks_) {
    const Participant* owner = participant(sak->ckn);
    if (!sak->receiving || sak->lingering || owner == nullptr) continue;
    for (const Sci sci : live_scis(*owner)) {
      if (sak->receive_sas.contains(sci) || (is_xpn(sak->suite) && !sak->sscis.contains(sci)))
        continue;
      install_receive(*sak, sci);
    }
  }
}

// A peer has moved on when it says that it transmits with a newer SAK that we know, and not with
// this one.
bool Kay::has_moved_on(Sci sci, const Sak& sak) const {
  bool newer = false;
  for (const auto& each : participants_) {
    for (const Peer& peer : each->peers()) {
      if (!peer.live || peer.sci != sci || !peer.sak_use) continue;
      if (peer.sak_use->transmits(sak.ki)) return false;
      for (const auto& other : saks_) {
        newer |= other->serial > sak.serial && peer.sak_use->transmits(other->ki);
      }
    }
  }
  return newer;
}

void Kay::linger(Time now) {
  std::vector<Ki> done;
  for (const auto& sak : saks_) {
    if (sak->orphaned_until && now >= *sak->orphaned_until) {
      done.push_back(sak->ki);
      continue;
    }
    if (sak->ki == cp_.in_use() || sak->ki == cp_.latest()) continue;
    const bool moved = std::all_of(sak->receive_sas.begin(), sak->receive_sas.end(),
                                   [&](Sci sci) { return has_moved_on(sci, *sak); });
    if (!moved) sak->peers_moved.reset();
    if (moved && !sak->peers_moved) sak->peers_moved = now;
    if (!sak->lingering) continue;
    const bool settled = sak->peers_moved && now >= *sak->peers_moved + settings_.linger_grace;
    if (settled || now >= sak->linger_since + settings_.patience) done.push_back(sak->ki);
  }
  for (const Ki& ki : done) drop_sak(ki);
}

void Kay::drop_sas(Sak& sak) {
  if (std::exchange(sak.transmit_sa, false)) secy_.delete_transmit_sa(sak.an);
  for (const Sci sci : sak.receive_sas) secy_.delete_receive_sa(sci, sak.an);
  sak.receive_sas.clear();
  sak.receiving = false;
}

void Kay::drop_sak(const Ki& ki) {
  const auto it =
      std::find_if(saks_.begin(), saks_.end(), [&](const auto& sak) { return sak->ki == ki; });
  if (it == saks_.end()) return;
  const auto sak = std::move(*it);
  saks_.erase(it);
  drop_sas(*sak);
  report({.kind = EventKind::sak_retired,
          .ckn = sak->ckn,
          .ki = sak->ki,
          .an = sak->an,
          .suite = sak->suite});
}

// --- what we tell
// -----------------------------------------------------------------------------------

// §10.7: the LPN reported is the nextPN of one hello time ago: frames sent since then are not
// called old by the receiver.
void Kay::sample_pn(Time now) {
  if (now < next_sample_) return;
  next_sample_ = now + (settings_.delay_protect ? settings_.bounded_hello : settings_.hello);
  for (const auto& sak : saks_) {
    if (!sak->transmit_sa) continue;
    sak->reported_pn = sak->sampled_pn;
    sak->sampled_pn = std::max<uint64_t>(1, secy_.next_pn(sak->an).value());
  }
}

uint64_t Kay::lpn(const Sak& sak) const { return std::max<uint64_t>(1, sak.reported_pn); }

Participant::Contents Kay::contents(Participant& participant) {
  Participant::Contents out;
  const auto own = [&](const Ki& ki) -> const Sak* {
    const Sak* sak = find_sak(ki);
    return sak != nullptr && sak->ckn == participant.ckn() ? sak : nullptr;
  };
  const Sak* latest = own(cp_.latest());
  const Sak* old = own(cp_.old());
  participant.uses_sak =
      participant.has_live_peer() && (participant.uses_sak || latest != nullptr || old != nullptr);
  if (participant.uses_sak) {
    SakUseSet set;
    // Never 0: a peer with delay protection takes that for an error.
    set.latest_lpn = set.old_lpn = 1;
    XpnSet high;
    if (latest != nullptr) {
      set.latest = latest->ki;
      set.latest_an = latest->an;
      set.latest_tx = cp_.latest_tx();
      set.latest_rx = cp_.latest_rx();
      set.latest_lpn = static_cast<uint32_t>(lpn(*latest));
      high.latest_lpn_high = static_cast<uint32_t>(lpn(*latest) >> 32);
    }
    if (old != nullptr) {
      set.old = old->ki;
      set.old_an = old->an;
      set.old_tx = cp_.old_tx();
      set.old_rx = cp_.old_rx();
      set.old_lpn = static_cast<uint32_t>(lpn(*old));
      high.old_lpn_high = static_cast<uint32_t>(lpn(*old) >> 32);
    }
    set.plain_tx = set.plain_rx = port_ == PortState::cleartext;
    set.delay_protect = settings_.delay_protect;
    out.sak_use = set;
    if ((latest != nullptr && is_xpn(latest->suite)) || (old != nullptr && is_xpn(old->suite)))
      out.xpn = high;
  }
  if (&participant != principal_) return out;
  if (connect() == Connect::authenticated && participant.elected_self()) {
    out.distributed_sak = DistributedSakSet{.plain = true};
  } else if (const Sak* sak = newest_sak(); sak != nullptr && must_distribute(participant, *sak)) {
    out.distributed_sak = DistributedSakSet{.plain = false,
                                            .an = sak->an,
                                            .confidentiality = sak->confidentiality,
                                            .kn = sak->ki.kn,
                                            .suite = sak->suite,
                                            .wrapped = sak->wrapped};
    if (is_xpn(sak->suite))
      out.key_server_ssci = static_cast<uint8_t>(sak->sscis.at(settings_.sci).value());
  }
  return out;
}

void Kay::send(Participant& participant, Time now) {
  const Participant::Contents said = contents(participant);
  participant.distributes = said.distributed_sak && !said.distributed_sak->plain;
  const auto frame = participant.compose(said, now);
  if (frame.empty()) return;
  ++counters_.mkpdus_sent;
  env_.send(frame);
}

// --- look-ups
// ---------------------------------------------------------------------------------------

Kay::Sak* Kay::find_sak(const Ki& ki) {
  return const_cast<Sak*>(std::as_const(*this).find_sak(ki));
}
const Kay::Sak* Kay::find_sak(const Ki& ki) const {
  if (ki.none()) return nullptr;
  const auto it =
      std::find_if(saks_.begin(), saks_.end(), [&](const auto& sak) { return sak->ki == ki; });
  return it == saks_.end() ? nullptr : it->get();
}

const Kay::Sak* Kay::newest_sak() const {
  const Sak* newest = nullptr;
  for (const auto& sak : saks_) {
    if (!sak->lingering && (newest == nullptr || sak->serial > newest->serial)) newest = sak.get();
  }
  return newest;
}

Participant* Kay::participant(const Ckn& ckn) {
  return const_cast<Participant*>(std::as_const(*this).participant(ckn));
}
const Participant* Kay::participant(const Ckn& ckn) const {
  const auto it = std::find_if(participants_.begin(), participants_.end(),
                               [&](const auto& p) { return p->ckn() == ckn; });
  return it == participants_.end() ? nullptr : it->get();
}

std::set<Sci> Kay::live_scis(const Participant& participant) const {
  std::set<Sci> scis;
  for (const Peer& peer : participant.peers()) {
    if (peer.live) scis.insert(peer.sci);
  }
  return scis;
}

std::set<Sci> Kay::all_live_scis() const {
  std::set<Sci> scis;
  for (const auto& each : participants_) scis.merge(live_scis(*each));
  return scis;
}

void Kay::report(Event event) {
  event.at = now_;
  events_.report(std::move(event));
}

std::vector<KeyStatus> Kay::keys() const {
  std::vector<KeyStatus> out;
  for (const KeySettings& key : chain_) {
    out.push_back({key.name, key.ckn, key.cak.size(), key.start_ms, key.end_ms, key.fallback,
                   participant(key.ckn) != nullptr, ckn_in_use_ == key.ckn});
  }
  return out;
}

MkaSnapshot Kay::snapshot(Time now) const {
  MkaSnapshot out;
  out.sci = settings_.sci;
  out.state = cp_.state();
  out.port = port_;
  out.ckn_in_use = ckn_in_use_;
  out.counters = counters_;
  for (const auto& each : participants_) {
    ParticipantSnapshot participant{.name = each->name(),
                                    .ckn = each->ckn(),
                                    .mi = each->mi(),
                                    .mn = each->mn(),
                                    .principal = each.get() == principal_,
                                    .fallback = each->fallback(),
                                    .elected_self = each->elected_self(),
                                    .key_server = each->reported_key_server,
                                    .start_ms = each->start_ms(),
                                    .end_ms = each->end_ms(),
                                    .peers = {}};
    for (const Peer& peer : each->peers()) {
      participant.peers.push_back({peer.mi, peer.mn, peer.sci, peer.source, peer.priority,
                                   peer.version, peer.live, peer.key_server, now - peer.last_seen});
    }
    out.participants.push_back(std::move(participant));
  }
  for (const auto& sak : saks_) {
    SakSnapshot each{.ki = sak->ki,
                     .an = sak->an,
                     .suite = sak->suite,
                     .confidentiality = sak->confidentiality,
                     .ckn = sak->ckn,
                     .transmitting = sak->ki == cp_.in_use(),
                     .receiving = sak->receiving,
                     .generated_here = sak->generated_here,
                     .age = now - sak->created,
                     .receive = {}};
    if (sak->transmit_sa) {
      each.next_pn = secy_.next_pn(sak->an).value();
      const uint64_t threshold = rekey_pn(sak->suite);
      each.pn_left_to_rekey = each.next_pn > threshold ? 0 : threshold - each.next_pn;
    }
    for (const Sci sci : sak->receive_sas)
      each.receive.push_back({sci, secy_.lowest_pn(sci, sak->an).value()});
    out.saks.push_back(std::move(each));
  }
  std::stable_partition(out.saks.begin(), out.saks.end(),
                        [](const SakSnapshot& sak) { return sak.transmitting; });
  if (const Sak* sak = newest_sak();
      sak != nullptr && sak->generated_here && settings_.rekey_interval > Time{0}) {
    out.time_to_rekey = std::max(Time{0}, sak->created + settings_.rekey_interval - now);
  }
  return out;
}

}  // namespace sealwire::mka
