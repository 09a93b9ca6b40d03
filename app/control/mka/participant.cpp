#include "app/control/mka/participant.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace sealwire::mka {
namespace {

constexpr size_t kMaxFormer = 64;

uint64_t join(uint32_t high, uint32_t low) { return uint64_t{high} << 32 | low; }

}  // namespace

Result<std::unique_ptr<Participant>> Participant::make(const KaySettings& settings,
                                                       const KeySettings& key, Environment& env,
                                                       Time now) {
  auto keys = derive_keys(key.cak, key.ckn);
  if (!keys) return tl::unexpected(keys.error());
  auto participant =
      std::unique_ptr<Participant>(new Participant(settings, key, env, std::move(*keys), now));
  if (!participant->new_identifier()) {
    return fail("SW-MKA-004", "no random octets for a member identifier",
                "check the system's random source");
  }
  return participant;
}

Participant::Participant(const KaySettings& settings, const KeySettings& key, Environment& env,
                         DerivedKeys keys, Time now)
    : settings_(settings),
      env_(env),
      name_(key.name),
      ckn_(key.ckn),
      start_ms_(key.start_ms),
      end_ms_(key.end_ms),
      fallback_(key.fallback),
      cak_(key.cak.clone()),
      keys_(std::move(keys)),
      last_sent_(now - settings.min_interval),
      next_hello_(now) {}

void Participant::set_lifetime(const KeySettings& key) {
  name_ = key.name;
  start_ms_ = key.start_ms;
  end_ms_ = key.end_ms;
  fallback_ = key.fallback;
}

bool Participant::new_identifier() {
  if (!env_.random(mi_)) return false;
  mn_ = 0;
  sent_.clear();
  return true;
}

void Participant::reset_identifier(Time now) {
  for (const Peer& peer : peers_) bury(peer, false, now);
  peers_.clear();
  // Without random octets the old identifier stays: still ours, and its MN only grows.
  new_identifier();
  send_wanted_ = true;
}

bool Participant::icv_is_good(const Envelope& envelope) const {
  const auto icv = mkpdu_icv(keys_.ick, envelope.authenticated);
  return icv && crypto::constant_time_equal(*icv, envelope.icv);
}

// True if a peer list names our MI with an MN that we sent within the last life time (§9.4.3). An
// MN that we never sent means that someone else has our MI.
bool Participant::names_us(const Mkpdu& mkpdu, Time now, bool& stolen) const {
  bool named = false;
  for (const auto* list : {&mkpdu.live, &mkpdu.potential}) {
    for (const MemberEntry& entry : *list) {
      if (entry.mi != mi_) continue;
      if (entry.mn > mn_) stolen = true;
      named |= std::any_of(sent_.begin(), sent_.end(), [&](const auto& sent) {
        return sent.first == entry.mn && now - sent.second <= settings_.life;
      });
    }
  }
  return named;
}

Peer* Participant::find(const Mi& mi) {
  const auto it =
      std::find_if(peers_.begin(), peers_.end(), [&](const Peer& peer) { return peer.mi == mi; });
  return it == peers_.end() ? nullptr : &*it;
}

void Participant::bury(const Peer& peer, bool replaced, Time now) {
  std::erase_if(former_, [&](const Former& former) { return former.forget <= now; });
  if (former_.size() >= kMaxFormer) former_.erase(former_.begin());
  // Longer than any MN of ours that the member's last MKPDUs name stays recent.
  former_.push_back({peer.mi, peer.mn, replaced, now + 2 * settings_.life});
}

tl::expected<Participant::Received, Reject> Participant::receive(const Mkpdu& mkpdu,
                                                                 const MacAddress& source,
                                                                 Time now) {
  const BasicSet& basic = mkpdu.basic;
  Received out;
  if (basic.sci == settings_.sci) return tl::unexpected(Reject::own_source);
  bool stolen = basic.mi == mi_;
  const bool named = names_us(mkpdu, now, stolen);
  if (stolen) {
    reset_identifier(now);
    out.identifier_reset = out.list_changed = true;
    return out;
  }
  for (const Former& former : former_) {
    if (former.mi != basic.mi || former.forget <= now) continue;
    if (former.replaced) return tl::unexpected(Reject::retired_member);
    if (basic.mn <= former.mn) return tl::unexpected(Reject::replayed);
  }
  Peer* peer = find(basic.mi);
  if (peer != nullptr && basic.mn <= peer->mn) return tl::unexpected(Reject::replayed);
  if (peer == nullptr) {
    if (peers_.size() >= kMaxPeers) {
      // Replays of earlier sessions can make potential peers, never live ones: the stalest makes
      // room.
      const auto stalest =
          std::min_element(peers_.begin(), peers_.end(), [](const Peer& a, const Peer& b) {
            return std::pair(a.live, a.last_seen) < std::pair(b.live, b.last_seen);
          });
      if (stalest->live) return tl::unexpected(Reject::too_many_members);
      peers_.erase(stalest);
    }
    peer = &peers_.emplace_back();
    peer->mi = basic.mi;
    peer->expires = now + settings_.life;
    out.new_potential = true;
  }
  peer->mn = basic.mn;
  peer->sci = basic.sci;
  peer->source = source;
  peer->priority = basic.priority;
  peer->version = basic.version;
  peer->key_server = basic.key_server;
  peer->macsec_desired = basic.macsec_desired;
  peer->capability = basic.capability;
  peer->last_seen = now;
  // A live peer that stopped naming us does not hear us any more: it is not refreshed. A potential
  // one that is still heard is.
  if (named || !peer->live) peer->expires = now + settings_.life;
  if (named && !peer->live) {
    peer->live = true;
    out.became_live = out.list_changed = true;
    // One station is one member: an earlier MI of this SCI belongs to the station before its
    // restart.
    const auto earlier = std::find_if(peers_.begin(), peers_.end(), [&](const Peer& other) {
      return other.sci == basic.sci && other.mi != basic.mi;
    });
    if (earlier != peers_.end()) {
      out.replaced = earlier->mi;
      bury(*earlier, true, now);
      peers_.erase(earlier);
      peer = find(basic.mi);
    }
  }
  // Only a live peer's SAK-Use counts; one that is not live yet is not an error.
  if (peer->live && mkpdu.sak_use && mkpdu.sak_use->macsec_supported) {
    const XpnSet high = mkpdu.xpn.value_or(XpnSet{});
    peer->sak_use =
        PeerSakUse{*mkpdu.sak_use, join(high.latest_lpn_high, mkpdu.sak_use->latest_lpn),
                   join(high.old_lpn_high, mkpdu.sak_use->old_lpn)};
  }
  out.peer = peer;
  return out;
}

std::vector<Peer> Participant::expire(Time now) {
  std::vector<Peer> lost;
  std::erase_if(peers_, [&](const Peer& peer) {
    if (now < peer.expires) return false;
    bury(peer, false, now);
    if (peer.live) lost.push_back(peer);
    return true;
  });
  return lost;
}

bool Participant::has_live_peer() const {
  return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.live; });
}
bool Participant::has_potential_peer() const {
  return std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return !peer.live; });
}
const Peer* Participant::peer(const Mi& mi) const {
  const auto it =
      std::find_if(peers_.begin(), peers_.end(), [&](const Peer& peer) { return peer.mi == mi; });
  return it == peers_.end() ? nullptr : &*it;
}
const Peer* Participant::live_peer(const Mi& mi) const {
  const Peer* found = peer(mi);
  return found != nullptr && found->live ? found : nullptr;
}

const Peer* Participant::key_server() const {
  const Peer* best = nullptr;
  for (const Peer& peer : peers_) {
    if (!peer.live || !peer.key_server || peer.priority == 255) continue;
    if (best == nullptr ||
        std::pair(peer.priority, peer.sci) < std::pair(best->priority, best->sci))
      best = &peer;
  }
  if (best == nullptr || settings_.priority == 255) return best;
  return std::pair(best->priority, best->sci) < std::pair(settings_.priority, settings_.sci)
             ? best
             : nullptr;
}

bool Participant::elected_self() const {
  return settings_.priority != 255 && has_live_peer() && key_server() == nullptr;
}

std::vector<uint8_t> Participant::compose(const Contents& contents, Time now) {
  send_wanted_ = false;
  last_sent_ = now;
  next_hello_ = now + hello();
  // An MN is never used twice with one MI (§9.4.2).
  if (mn_ == UINT32_MAX) reset_identifier(now);
  ++mn_;
  while (!sent_.empty() && now - sent_.front().second > settings_.life) sent_.pop_front();
  sent_.emplace_back(mn_, now);

  Mkpdu mkpdu;
  mkpdu.basic.version = settings_.version;
  mkpdu.basic.priority = settings_.priority;
  // Set unless we know that another is or will be the key server (§9.5).
  mkpdu.basic.key_server = settings_.priority != 255 && key_server() == nullptr;
  mkpdu.basic.sci = settings_.sci;
  mkpdu.basic.mi = mi_;
  mkpdu.basic.mn = mn_;
  mkpdu.basic.ckn = ckn_;
  for (const Peer& peer : peers_)
    (peer.live ? mkpdu.live : mkpdu.potential).push_back({peer.mi, peer.mn});
  if (settings_.version >= 3) mkpdu.key_server_ssci = contents.key_server_ssci;
  mkpdu.sak_use = contents.sak_use;
  mkpdu.distributed_sak = contents.distributed_sak;
  if (settings_.version >= 2) mkpdu.xpn = contents.xpn;
  auto frame = build_without_icv(mkpdu, {settings_.destination, settings_.source,
                                         settings_.ether_type, settings_.icv_indicator});
  const auto icv = mkpdu_icv(keys_.ick, frame);
  if (!icv) return {};
  frame.insert(frame.end(), icv->begin(), icv->end());
  return frame;
}

bool Participant::send_due(Time now) const {
  return now >= next_hello_ || (send_wanted_ && now - last_sent_ >= settings_.min_interval);
}

Time Participant::deadline(Time now) const {
  Time next = next_hello_;
  if (send_wanted_) next = std::min(next, last_sent_ + settings_.min_interval);
  for (const Peer& peer : peers_) next = std::min(next, peer.expires);
  return std::max(next, now);
}

Result<crypto::SecretBytes> Participant::new_sak(CipherSuite suite, uint32_t kn) {
  std::array<uint8_t, 32> nonce{};
  const auto used = std::span(nonce).first(sak_length(suite));
  if (!env_.random(used))
    return fail("SW-MKA-004", "no random octets for a SAK", "check the system's random source");
  std::vector<Mi> members{mi_};
  for (const Peer& peer : peers_) {
    if (peer.live) members.push_back(peer.mi);
  }
  auto sak = derive_sak(cak_, used, members, kn, used.size());
  crypto::wipe(nonce.data(), nonce.size());
  return sak;
}

}  // namespace sealwire::mka
