// What the KaY reports to the audit log. Typed, never a secret, rate-limited per kind and reason.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "app/control/mka/mkpdu.h"
#include "app/control/mka/types.h"

namespace sealwire::mka {

enum class EventKind : uint8_t {
  participant_started,  ///< a CAK/CKN became valid
  participant_ended,    ///< its lifetime ended or it was removed
  ckn_in_use,           ///< the SAK now transmitting was agreed under this CKN
  peer_live,            ///< a peer proved possession of the CAK and liveness
  peer_lost,            ///< a live peer was silent for the MKA life time
  peer_replaced,        ///< a station came back under a new MI
  key_server_elected,   ///< sci: the key server
  sak_created,          ///< we generated and distribute a SAK
  sak_installed,        ///< receive SAs in use
  sak_transmitting,     ///< transmit SA in use
  sak_retired,          ///< all SAs of the SAK deleted, key wiped
  sak_refused,          ///< a distributed SAK was not taken; detail says why
  session_established,  ///< the Controlled Port carries protected frames; sci: one peer per event
  session_lost,         ///< no live peer is left
  rekey_requested,      ///< detail: why
  mkpdu_rejected,       ///< reason
  replay,               ///< MKPDU with an old MN, or of a replaced member
  member_identifier_reset,
  cleartext,    ///< should-secure: the port passes cleartext
  secy_failed,  ///< the SecY refused an operation
  count
};
std::string_view name(EventKind kind);

struct Event {
  EventKind kind{};
  Time at{};
  Ckn ckn{};
  Sci sci{};
  Ki ki{};
  An an{};
  CipherSuite suite{};
  Reject reason = Reject::count;
  std::string detail{};
  /// Events of this kind and reason left out since the last one that was reported.
  uint32_t suppressed = 0;
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const Event& event) = 0;
};

/// Passes a burst of events of each kind and reason, then one a period; counts what it holds back.
class EventLimiter {
 public:
  EventLimiter(EventSink& sink, uint32_t burst, Time period)
      : sink_(sink), burst_(burst), period_(period) {}
  void report(Event event);

 private:
  struct Bucket {
    uint32_t tokens = 0;
    uint32_t suppressed = 0;
    Time refilled{};
    bool used = false;
  };
  EventSink& sink_;
  uint32_t burst_;
  Time period_;
  std::array<Bucket, static_cast<size_t>(EventKind::count) + static_cast<size_t>(Reject::count) * 2>
      buckets_{};
};

}  // namespace sealwire::mka
