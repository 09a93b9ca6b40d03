// A SecY: the MACsec entity of one outside port (802.1AE-2018 clause 10), its transmit SC and its
// receive SCs.
//
// The control thread is the only one that changes it; the workers read it without locks. Everything
// the workers reach is behind an atomic pointer: an object that control takes out is handed back to
// control, which destroys it (and with it wipes the key) after the QSBR grace period.
//
// Who writes what
//   configuration, SA and SC slots, flags, limits   control
//   TransmitSa::next_pn                             holder of the number turn (egress)
//   transmit counters                               holder of the send turn (egress)
//   receive windows and counters                    holder of the send turn (ingress)
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "crypto/aead.h"
#include "crypto/nonce.h"
#include "crypto/numbers.h"
#include "crypto/replay_window.h"
#include "crypto/result.h"
#include "pipelines/counters.h"

namespace sealwire::pipelines {

// 802.1AE clause 14. MKA may agree a suite per SAK, so it belongs to the SA.
enum class CipherSuite : std::uint8_t {
  gcm_aes_128,
  gcm_aes_256,
  gcm_aes_xpn_128,
  gcm_aes_xpn_256,
};
constexpr bool is_xpn(CipherSuite s) { return s >= CipherSuite::gcm_aes_xpn_128; }
constexpr crypto::Algorithm algorithm_of(CipherSuite s) {
  return s == CipherSuite::gcm_aes_128 || s == CipherSuite::gcm_aes_xpn_128
             ? crypto::Algorithm::aes_gcm_128
             : crypto::Algorithm::aes_gcm_256;
}

// validateFrames (10.7.8). null: the receive side does nothing at all; frames pass as they are.
enum class ValidateFrames : std::uint8_t { strict, check, disabled, null };

struct SecySettings {
  crypto::Sci sci{};  // of our transmit SC
  bool protect_frames = true;
  ValidateFrames validate_frames = ValidateFrames::strict;
  bool include_sci = true;  // alwaysIncludeSCI
  bool use_es =
      false;  // the SCI is source address || 0001, so a receiver needs no SCI in the SecTAG
  bool use_scb = false;  // the same with port 0000
  bool replay_protect = true;
  std::uint32_t replay_window = 0;         // frames
  bool duplicate_bitmap = false;           // window 1..16384
  std::uint8_t vlan_in_clear = 0;          // 0..2 VLAN tags stay ahead of the SecTAG
  std::uint16_t eapol_ethertype = 0x888E;  // punted to the KaY, as 0x888E always is
};

// The salt and SSCI matter to XPN suites only.
struct TransmitSaSettings {
  crypto::An an{};
  CipherSuite suite = CipherSuite::gcm_aes_128;
  bool confidentiality = true;              // false: integrity only
  std::uint8_t confidentiality_offset = 0;  // 0, 30, 50; 0 with XPN
  crypto::nonce::XpnSalt salt{};
  crypto::Ssci ssci{};
  crypto::Pn next_pn{1};    // first PN used
  std::uint64_t limit = 0;  // first PN not used; 0: the suite's end. Raised with set_limit
  std::unique_ptr<crypto::AeadKey> key;  // made by the line's engine
};

struct ReceiveSaSettings {
  crypto::An an{};
  CipherSuite suite = CipherSuite::gcm_aes_128;
  std::uint8_t confidentiality_offset = 0;
  crypto::nonce::XpnSalt salt{};
  crypto::Ssci ssci{};  // of the sender
  crypto::Pn lowest_pn{1};
  std::unique_ptr<crypto::AeadKey> key;
};

// How a frame is laid out for the cipher. Chosen once, when the SA is made.
enum class MacsecVariant : std::uint8_t { integrity, confidential, confidential_offset };

// One transmit SA. The first cache line is read by every worker and never written; the second is
// the number turn's.
struct alignas(64) TransmitSa {
  std::unique_ptr<crypto::AeadKey> key;
  crypto::Sci sci;
  crypto::nonce::XpnSalt salt;
  crypto::Ssci ssci;
  std::uint8_t an;
  std::uint8_t tci_ec;  // E and C bits
  std::uint8_t offset;
  bool xpn;
  MacsecVariant variant;
  CipherSuite suite;

  alignas(64) std::atomic<std::uint64_t> next_pn;  // number turn: wo
  std::atomic<std::uint64_t> limit;                // control: wo; first PN not used

  alignas(64) Counter out_pkts;  // send turn: OutPktsProtected or OutPktsEncrypted of this SA

  // Takes up to `wanted` PNs; the first is *first and the number of them is returned. Number turn
  // only.
  std::uint32_t take(std::uint32_t wanted, std::uint64_t* first) {
    const std::uint64_t next = next_pn.load(std::memory_order_relaxed);
    const std::uint64_t end = limit.load(std::memory_order_relaxed);
    const std::uint64_t left = end > next ? end - next : 0;
    const auto taken = left < wanted ? static_cast<std::uint32_t>(left) : wanted;
    *first = next;
    next_pn.store(next + taken, std::memory_order_relaxed);
    return taken;
  }
};
static_assert(sizeof(TransmitSa) == 192);

// One receive SA. The first cache line is never written; the rest is the send turn's.
struct alignas(64) ReceiveSa {
  explicit ReceiveSa(crypto::PnWindow w) : window(std::move(w)) {}

  std::unique_ptr<crypto::AeadKey> key;
  crypto::Sci sci;
  crypto::nonce::XpnSalt salt;
  crypto::Ssci ssci;
  struct ReceiveSc* sc;
  std::uint8_t an;
  std::uint8_t offset;
  bool xpn;
  CipherSuite suite;
  std::atomic<bool> in_use{false};              // control: wo (enableReceive)
  std::atomic<std::uint64_t> lowest_wanted{0};  // control: wo; lowestPN told by MKA

  alignas(64) crypto::PnWindow window;  // send turn: wo
  alignas(64) Counter in_pkts_ok, in_pkts_unchecked, in_pkts_delayed, in_pkts_late;
  Counter in_pkts_invalid, in_pkts_not_valid, in_pkts_duplicate;
};

struct ReceiveScCounters {
  Counter in_pkts_ok, in_pkts_unchecked, in_pkts_delayed, in_pkts_late, in_pkts_invalid,
      in_pkts_not_valid, in_pkts_duplicate;
  Counter in_pkts_no_sa, in_pkts_no_sa_error;  // [UnusedSA], [NotUsingSA]: SC known, SA not in use
};

struct ReceiveSc {
  explicit ReceiveSc(crypto::Sci s) : sci(s) {}
  const crypto::Sci sci;
  std::array<std::atomic<ReceiveSa*>, 4> sas{};  // control: wo
  alignas(64) ReceiveScCounters counters;        // ingress send turn: wo
};

// SecY counters (10.7.9, 10.7.17, 10.7.18); octets are those of user data, the addresses not
// counted.
struct alignas(64) SecyTransmitCounters {
  Counter out_pkts_untagged, out_pkts_too_long;
  Counter out_pkts_protected, out_pkts_encrypted, out_octets_protected, out_octets_encrypted;
  Counter out_no_sa, out_pn_exhausted;  // ours
};
struct alignas(64) SecyReceiveCounters {
  Counter in_pkts_untagged, in_pkts_no_tag, in_pkts_bad_tag;
  Counter in_pkts_no_sa,
      in_pkts_no_sa_error;  // all of them; those of a known SC are in its counters too
  Counter in_octets_validated, in_octets_decrypted;
  Counter in_own_sci, in_pkts_kay;  // ours
};

// What `show`, the metrics and MKA read. Plain numbers, taken with relaxed reads.
struct TransmitSaStatus {
  crypto::An an;
  bool enabled, encoding, exhausted;
  CipherSuite suite;
  bool confidentiality;
  std::uint8_t offset;
  std::uint64_t next_pn, limit, out_pkts;
};
struct ReceiveSaStatus {
  crypto::An an;
  bool in_use;
  CipherSuite suite;
  std::uint64_t next_pn, lowest_pn;
  std::uint64_t ok, unchecked, delayed, late, invalid, not_valid, duplicate;
};

class Secy {
 public:
  static constexpr std::size_t kMaxReceiveScs = 32;  // a group CAK's peers

  // Errors: SW-SCY-001 vlan_in_clear over 2, -002 SCI reserved, -003 ES or SCB together with
  // always-include-SCI.
  static Result<std::unique_ptr<Secy>> create(const SecySettings& settings);
  ~Secy();
  Secy(const Secy&) = delete;
  Secy& operator=(const Secy&) = delete;

  // ---- control thread ----

  const SecySettings& settings() const { return settings_; }
  // protectFrames and validateFrames may change while traffic flows (should-secure).
  void set_protect_frames(bool on);
  void set_validate_frames(ValidateFrames how);

  // Makes an SA for put_*(), which cannot fail. Errors: SW-SCY-011 offset not 0/30/50 or given with
  // XPN, -012 PN range, -013 key missing or of another algorithm, -014 XPN without SSCI; receiving
  // those of the replay window too (SW-CRY-012..014).
  Result<std::unique_ptr<TransmitSa>> make_transmit_sa(TransmitSaSettings settings) const;
  Result<std::unique_ptr<ReceiveSa>> make_receive_sa(crypto::Sci sci,
                                                     ReceiveSaSettings settings) const;
  // Takes the place of the SA with this AN in one step, so that no frame finds none. Destroy what
  // is returned after the grace period. The SC of a receive SA exists. Never put a key a second
  // time with a PN it has used.
  std::unique_ptr<TransmitSa> put_transmit_sa(std::unique_ptr<TransmitSa> sa, bool enabled);
  std::unique_ptr<ReceiveSa> put_receive_sa(std::unique_ptr<ReceiveSa> sa, bool in_use);

  // Makes a transmit SA and puts it in an empty slot, not yet enabled. Error besides those of
  // making: SW-SCY-010 slot taken.
  Result<void> install_transmit_sa(TransmitSaSettings settings);
  // enableTransmit. Frames are sealed with the encoding SA if it is enabled; else they are dropped.
  Result<void> enable_transmit(crypto::An an, bool on);
  // encodingSA: one pointer is swapped, no frame is lost. Error SW-SCY-015: no such SA.
  Result<void> set_encoding_sa(crypto::An an);
  // The first PN not to be used, at most the suite's end. Only raises. Error SW-SCY-015.
  Result<void> set_limit(crypto::An an, std::uint64_t limit);
  // Takes the SA out. Destroy it after the grace period. Null if there is none.
  std::unique_ptr<TransmitSa> retire_transmit_sa(crypto::An an);

  // Errors: SW-SCY-020 SCI in use already or our own, -021 table full.
  Result<void> create_receive_sc(crypto::Sci sci);
  // Takes the SC out, with its SAs. Destroy it after the grace period.
  struct RetiredReceiveSc {
    std::unique_ptr<ReceiveSc> sc;
    std::array<std::unique_ptr<ReceiveSa>, 4> sas;
  };
  RetiredReceiveSc retire_receive_sc(crypto::Sci sci);

  // Makes a receive SA and puts it in an empty slot, not yet in use. Errors besides those of
  // making: SW-SCY-010 slot taken, -022 no such SC.
  Result<void> install_receive_sa(crypto::Sci sci, ReceiveSaSettings settings);
  Result<void> enable_receive(crypto::Sci sci, crypto::An an, bool on);
  // Raises lowestPN (MKA delay protection, XPN resynchronisation); takes effect with the next
  // frame.
  Result<void> raise_lowest_pn(crypto::Sci sci, crypto::An an, crypto::Pn lowest);
  std::unique_ptr<ReceiveSa> retire_receive_sa(crypto::Sci sci, crypto::An an);

  std::optional<TransmitSaStatus> transmit_sa(crypto::An an) const;
  std::optional<ReceiveSaStatus> receive_sa(crypto::Sci sci, crypto::An an) const;
  const ReceiveScCounters* receive_sc_counters(crypto::Sci sci) const;
  template <class F>  // F(const ReceiveSc&)
  void for_each_receive_sc(F&& f) const {
    for (const auto& slot : receive_scs_) {
      if (const ReceiveSc* sc = slot.load(std::memory_order_relaxed)) f(*sc);
    }
  }
  const SecyTransmitCounters& transmit_counters() const { return transmit_counters_; }
  const SecyReceiveCounters& receive_counters() const { return receive_counters_; }

  // ---- workers ----

  // The SA to seal with; null: no SA in use. Pinned by the burst.
  TransmitSa* encoding_sa() const { return encoding_.load(std::memory_order_acquire); }
  bool protect_frames() const { return protect_frames_.load(std::memory_order_relaxed); }
  ValidateFrames validate_frames() const {
    return validate_frames_.load(std::memory_order_relaxed);
  }
  // ES, SC and SCB bits of what we send (9.5, 10.5.3). Control updates them with the receive SCs.
  std::uint8_t transmit_tci() const { return transmit_tci_.load(std::memory_order_relaxed); }
  std::uint8_t vlan_in_clear() const { return settings_.vlan_in_clear; }
  crypto::Sci sci() const { return settings_.sci; }
  std::uint16_t eapol_ethertype() const { return settings_.eapol_ethertype; }

  // The SC of this SCI; null if none.
  ReceiveSc* find_receive_sc(std::uint64_t sci) const {
    const std::uint32_t used = receive_scs_used_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < used; ++i) {
      ReceiveSc* sc = receive_scs_[i].load(std::memory_order_acquire);
      if (sc != nullptr && sc->sci.value() == sci) return sc;
    }
    return nullptr;
  }
  // The one SC there is, for frames without SCI, ES and SCB (point to point); null if none or
  // several.
  ReceiveSc* only_receive_sc() const { return only_receive_sc_.load(std::memory_order_acquire); }

  SecyTransmitCounters& writable_transmit_counters() {
    return transmit_counters_;
  }  // egress send turn
  SecyReceiveCounters& writable_receive_counters() {
    return receive_counters_;
  }  // ingress send turn

 private:
  explicit Secy(const SecySettings& settings);
  void update_encoding();
  void update_receive_scs();
  std::atomic<ReceiveSc*>* slot_of(crypto::Sci sci);
  Result<ReceiveSa*> receive_sa_of(crypto::Sci sci, crypto::An an) const;

  // Read by workers, written rarely by control.
  SecySettings settings_;
  std::atomic<TransmitSa*> encoding_{nullptr};
  std::atomic<ReceiveSc*> only_receive_sc_{nullptr};
  std::atomic<bool> protect_frames_;
  std::atomic<ValidateFrames> validate_frames_;
  std::atomic<std::uint8_t> transmit_tci_{0};
  std::atomic<std::uint32_t> receive_scs_used_{0};
  std::array<std::atomic<ReceiveSc*>, kMaxReceiveScs> receive_scs_{};

  // Control only.
  std::array<std::unique_ptr<TransmitSa>, 4> transmit_sas_;
  std::array<bool, 4> enabled_{};
  std::optional<crypto::An> encoding_an_;

  SecyTransmitCounters transmit_counters_;
  SecyReceiveCounters receive_counters_;
};

}  // namespace sealwire::pipelines
