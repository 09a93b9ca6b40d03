// One MKA participant (802.1X-2020 §9.4): a CAK/CKN pair, its peers and their liveness, the
// election of the key server. It knows no SecY and no SAK; the KaY asks it who is there and tells
// it what to say. No I/O: MKPDUs in, frames out.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "app/control/mka/keys.h"
#include "app/control/mka/mkpdu.h"
#include "app/control/mka/secy_port.h"
#include "app/control/mka/settings.h"

namespace sealwire::mka {

/// What a peer last said about the SAKs it uses, with LPNs of 64 bits.
struct PeerSakUse {
  SakUseSet set;
  uint64_t latest_lpn = 0, old_lpn = 0;

  bool receives(const Ki& ki) const {
    return (set.latest_rx && set.latest == ki) || (set.old_rx && set.old == ki);
  }
  bool transmits(const Ki& ki) const {
    return (set.latest_tx && set.latest == ki) || (set.old_tx && set.old == ki);
  }
};

struct Peer {
  Mi mi{};
  uint32_t mn = 0;
  Sci sci;
  MacAddress source{};
  uint8_t priority = 255;
  uint8_t version = 0;
  bool key_server = false;
  bool macsec_desired = false;
  Capability capability = Capability::none;
  bool live = false;
  Time last_seen{};
  Time expires{};
  std::optional<PeerSakUse> sak_use;

  bool wants_macsec() const { return macsec_desired && capability != Capability::none; }
};

class Participant {
 public:
  /// Members in the peer table, potential ones included.
  static constexpr size_t kMaxPeers = 32;

  /// Error SW-MKA-001 or SW-MKA-004 (no random octets).
  static Result<std::unique_ptr<Participant>> make(const KaySettings& settings,
                                                   const KeySettings& key, Environment& env,
                                                   Time now);

  const Ckn& ckn() const { return ckn_; }
  const std::string& name() const { return name_; }
  int64_t start_ms() const { return start_ms_; }
  int64_t end_ms() const { return end_ms_; }
  bool fallback() const { return fallback_; }
  const Mi& mi() const { return mi_; }
  uint32_t mn() const { return mn_; }
  void set_lifetime(const KeySettings& key);

  bool icv_is_good(const Envelope& envelope) const;

  struct Received {
    Peer* peer = nullptr;  ///< of the accepted MKPDU
    bool became_live = false;
    bool list_changed = false;      ///< live peer list, by anything
    bool new_potential = false;     ///< worth answering at once
    std::optional<Mi> replaced;     ///< member that the peer's new MI replaces
    bool identifier_reset = false;  ///< someone else had our MI; we took a new one
  };
  /// Takes an authenticated MKPDU: §9.4.2 (MN), §9.4.3 (liveness), SAK-Use of live peers.
  tl::expected<Received, Reject> receive(const Mkpdu& mkpdu, const MacAddress& source, Time now);

  /// Removes silent peers; gives the live ones among them.
  std::vector<Peer> expire(Time now);
  /// Takes a new MI and forgets all peers: the others will see a new member, and a fresh SAK is
  /// made.
  void reset_identifier(Time now);

  const std::vector<Peer>& peers() const { return peers_; }
  bool has_live_peer() const;
  bool has_potential_peer() const;
  const Peer* live_peer(const Mi& mi) const;
  const Peer* peer(const Mi& mi) const;

  /// §9.5: the elected key server; nullptr when it is us or (see elected_self) nobody.
  const Peer* key_server() const;
  bool elected_self() const;

  struct Contents {
    std::optional<SakUseSet> sak_use;
    std::optional<XpnSet> xpn;
    std::optional<DistributedSakSet> distributed_sak;
    uint8_t key_server_ssci = 0;
  };
  /// Builds the next MKPDU, spends an MN and restarts the hello timer. Empty if the ICV cannot be
  /// computed.
  std::vector<uint8_t> compose(const Contents& contents, Time now);
  /// Something worth telling has changed.
  void want_to_send() { send_wanted_ = true; }
  bool send_due(Time now) const;
  Time deadline(Time now) const;

  Result<crypto::SecretBytes> new_sak(CipherSuite suite, uint32_t kn);
  Result<std::vector<uint8_t>> wrap(const crypto::SecretBytes& sak) const {
    return wrap_sak(keys_.kek, sak);
  }
  Result<crypto::SecretBytes> unwrap(std::span<const uint8_t> wrapped) const {
    return unwrap_sak(keys_.kek, wrapped);
  }
  uint32_t take_key_number() { return next_kn_++; }

  /// The KaY's notes: once we sent a SAK-Use, every further MKPDU has one (peers count its absence
  /// as a failure); the key server reported last.
  bool uses_sak = false;
  std::optional<Sci> reported_key_server;
  /// A SAK of ours is on its way to somebody.
  bool distributes = false;

 private:
  Participant(const KaySettings& settings, const KeySettings& key, Environment& env,
              DerivedKeys keys, Time now);

  struct Former {
    Mi mi{};
    uint32_t mn = 0;
    bool replaced = false;
    Time forget{};
  };

  /// A SAK is said again at the bounded interval: a peer that misses three hellos in a row would
  /// not have it when the others begin to transmit (CP: transmitDelay is the life time).
  Time hello() const {
    return settings_.delay_protect || distributes ? settings_.bounded_hello : settings_.hello;
  }
  bool new_identifier();
  bool names_us(const Mkpdu& mkpdu, Time now, bool& stolen) const;
  Peer* find(const Mi& mi);
  void bury(const Peer& peer, bool replaced, Time now);

  const KaySettings& settings_;
  Environment& env_;
  std::string name_;
  Ckn ckn_;
  int64_t start_ms_, end_ms_;
  bool fallback_;
  crypto::SecretBytes cak_;
  DerivedKeys keys_;
  Mi mi_{};
  uint32_t mn_ = 0;
  uint32_t next_kn_ = 1;
  /// MNs of the last life time and when they were sent: what counts as a recent MN of ours.
  std::deque<std::pair<uint32_t, Time>> sent_;
  std::vector<Peer> peers_;
  std::vector<Former> former_;
  bool send_wanted_ = false;
  Time last_sent_;
  Time next_hello_;
};

}  // namespace sealwire::mka
