// The KaY of one port (802.1X-2020 §9, §12): its participants, the SAKs that the SecY has, and the
// order in which they change.
//
//   frames, time ->  Participant (one per CAK/CKN)  ->  Kay  ->  ControlledPort  ->  SecyPort
//
// No I/O, no clock, no thread of its own: the control thread calls on_frame(), on_timer() by
// next_deadline(), and the operator's verbs. All times are monotonic and must not go backwards.
//
// What must hold (and the simulator in tests/unit/mka checks):
//  - a SAK's transmit SA is created once, ever, with nextPN 1;
//  - nobody transmits with a SAK before every live peer receives with it (or the standard's 6 s
//  passed in a group);
//  - receive SAs outlive the last frame a live peer sent with them;
//  - an AN is not given to a new SAK while a SAK in use has it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "app/control/mka/cp.h"
#include "app/control/mka/events.h"
#include "app/control/mka/participant.h"
#include "app/control/mka/secy_port.h"
#include "app/control/mka/settings.h"

namespace sealwire::mka {

/// `sealwire show mka`, one port. Holds no secret.
struct PeerSnapshot {
  Mi mi{};
  uint32_t mn = 0;
  Sci sci;
  MacAddress source{};
  uint8_t priority = 0, version = 0;
  bool live = false, key_server = false;
  Time since_last_seen{};
};
struct ParticipantSnapshot {
  std::string name;
  Ckn ckn{};
  Mi mi{};
  uint32_t mn = 0;
  bool principal = false, fallback = false, elected_self = false;
  std::optional<Sci> key_server{};
  int64_t start_ms = 0, end_ms = 0;
  std::vector<PeerSnapshot> peers{};
};
struct ReceiveSnapshot {
  Sci sci;
  uint64_t lowest_pn = 0;
};
struct SakSnapshot {
  Ki ki{};
  An an{};
  CipherSuite suite{};
  Confidentiality confidentiality{};
  Ckn ckn{};
  bool transmitting = false, receiving = false, generated_here = false;
  Time age{};
  uint64_t next_pn = 0;
  uint64_t pn_left_to_rekey = 0;
  std::vector<ReceiveSnapshot> receive{};
};
struct MkaCounters {
  uint64_t mkpdus_received = 0, mkpdus_sent = 0;
  std::array<uint64_t, static_cast<size_t>(Reject::count)> rejected{};
  uint64_t saks_generated = 0, saks_installed = 0, rekeys = 0, peers_lost = 0;
};
struct MkaSnapshot {
  Sci sci;
  ControlledPort::State state{};
  PortState port = PortState::blocked;
  std::optional<Ckn> ckn_in_use;
  std::vector<ParticipantSnapshot> participants;
  std::vector<SakSnapshot> saks;  ///< the one in use first
  std::optional<Time> time_to_rekey;
  MkaCounters counters;
};

/// `sealwire keys list`.
struct KeyStatus {
  std::string name;
  Ckn ckn;
  size_t cak_length = 0;
  int64_t start_ms = 0, end_ms = 0;
  bool fallback = false;
  bool valid = false;   ///< its participant runs
  bool in_use = false;  ///< the SAK in use was agreed under it
};

class Kay final : private CpActions {
 public:
  /// All references must outlive the KaY. Blocks the port (or opens it in clear with should-secure)
  /// at once.
  Kay(KaySettings settings, SecyPort& secy, Environment& env, EventSink& events, Time now);
  ~Kay() override;
  Kay(const Kay&) = delete;
  Kay& operator=(const Kay&) = delete;

  /// Replaces the key chain: unknown pairs are added, missing ones retired, lifetimes of the others
  /// changed. Sessions of pairs that stay are not touched. Fails as check_keys() does.
  Result<void> set_keys(std::vector<KeySettings> keys, Time now);
  /// What set_keys() refuses. Error SW-MKA-001 (CAK length), SW-MKA-005 (a CKN given twice).
  static Result<void> check_keys(const std::vector<KeySettings>& keys);
  Result<void> add_key(KeySettings key, Time now);
  /// Error SW-MKA-006 if there is no such CKN.
  Result<void> retire_key(const Ckn& ckn, Time now);

  /// An Ethernet frame without FCS that arrived with the EAPOL EtherType of this port.
  void on_frame(std::span<const uint8_t> frame, Time now);
  void on_timer(Time now);
  Time next_deadline(Time now) const;

  /// A fresh SAK as soon as the one in use is settled. Error SW-MKA-007 unless we are the key
  /// server.
  Result<void> rekey(Time now);
  /// Deletes all SAs and blocks the port; nothing works afterwards.
  void shut_down();

  MkaSnapshot snapshot(Time now) const;
  std::vector<KeyStatus> keys() const;
  const KaySettings& settings() const { return settings_; }

 private:
  struct Sak;

  // CpActions
  CpInputs cp_inputs() override;
  bool create_and_receive(const Ki& ki) override;
  bool transmit(const Ki& ki) override;
  void release(const Ki& ki) override;
  void release_all() override;
  void new_info() override;

  void run(Time now);
  void start_and_end_participants(Time now);
  void end_participant(const Ckn& ckn, Time now);
  void expire_peers(Time now);
  void choose_principal();
  void maybe_generate(Time now);
  std::optional<std::string> why_fresh_sak(Time now) const;
  bool may_generate(Time now) const;
  std::optional<An> free_an(Time now);
  void generate(const std::string& why, Time now);
  bool made_for_live_peers(const Participant& participant, const Sak& sak) const;
  bool somebody_lacks(const Participant& participant, const Sak& sak) const;
  bool must_distribute(const Participant& participant, const Sak& sak) const;
  bool nobody_takes(const Sak& sak, Time now) const;
  void handle_distributed_sak(Participant& participant, const Mkpdu& mkpdu, Time now);
  void refuse_sak(Participant& participant, const Ki& ki, std::string why, Time now);
  void note_saks_before_us(const Mkpdu& mkpdu);
  void ask_for_fresh_sak(Participant& participant, Time now);
  void apply_lpn(const Peer& peer);
  void note_key_server(Participant& participant, Time now);
  void reconcile_receive();
  bool install_receive(Sak& sak, Sci sci);
  void drop_sas(Sak& sak);
  void drop_sak(const Ki& ki);
  void linger(Time now);
  void sample_pn(Time now);
  void send(Participant& participant, Time now);
  Participant::Contents contents(Participant& participant);
  Connect connect() const;
  void set_port(PortState state);

  Sak* find_sak(const Ki& ki);
  const Sak* find_sak(const Ki& ki) const;
  Participant* participant(const Ckn& ckn);
  const Participant* participant(const Ckn& ckn) const;
  std::set<Sci> live_scis(const Participant& participant) const;
  std::set<Sci> all_live_scis() const;
  bool has_moved_on(Sci sci, const Sak& sak) const;
  /// The SAK that the next one replaces: the newest that is not on its way out.
  const Sak* newest_sak() const;
  uint64_t rekey_pn(CipherSuite suite) const;
  uint64_t lpn(const Sak& sak) const;
  SaParameters parameters(const Sak& sak, Sci sci) const;
  bool seen_key_number(const Ki& ki) const;
  void remember_key_number(const Ki& ki);
  void report(Event event);
  void report_secy(const Error& error, const Sak& sak);
  void reject(Reject reason, const Envelope* envelope, Time now);

  KaySettings settings_;
  SecyPort& secy_;
  Environment& env_;
  EventLimiter events_;
  ControlledPort cp_;
  std::vector<KeySettings> chain_;
  std::vector<std::unique_ptr<Participant>> participants_;
  Participant* principal_ = nullptr;
  std::vector<std::unique_ptr<Sak>> saks_;
  std::set<Sci> receive_scs_;
  PortState port_ = PortState::blocked;
  Connect advised_ = Connect::secure;
  bool rekey_asked_ = false;
  bool shut_down_ = false;
  Time now_{};
  std::optional<Time> last_distribution_;
  std::optional<Time> last_fresh_request_;
  std::optional<Ckn> ckn_in_use_;
  Time next_sample_{};
  An last_an_{3};
  uint64_t next_serial_ = 1;
  size_t suite_choice_ = 0;
  /// Greatest KN of each key server that must not be taken (again): a SAK whose SAs were deleted,
  /// or that was in use before we came, maybe by ourselves before a restart, would repeat nonces.
  std::vector<Ki> key_numbers_;
  MkaCounters counters_;
};

}  // namespace sealwire::mka
