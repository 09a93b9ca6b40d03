#include "app/control/mka/events.h"

#include <algorithm>
#include <utility>

namespace sealwire::mka {

std::string_view name(EventKind kind) {
  switch (kind) {
    case EventKind::participant_started:
      return "participant-started";
    case EventKind::participant_ended:
      return "participant-ended";
    case EventKind::ckn_in_use:
      return "ckn-in-use";
    case EventKind::peer_live:
      return "peer-live";
    case EventKind::peer_lost:
      return "peer-lost";
    case EventKind::peer_replaced:
      return "peer-replaced";
    case EventKind::key_server_elected:
      return "key-server-elected";
    case EventKind::sak_created:
      return "sak-created";
    case EventKind::sak_installed:
      return "sak-installed";
    case EventKind::sak_transmitting:
      return "sak-transmitting";
    case EventKind::sak_retired:
      return "sak-retired";
    case EventKind::sak_refused:
      return "sak-refused";
    case EventKind::session_established:
      return "session-established";
    case EventKind::session_lost:
      return "session-lost";
    case EventKind::rekey_requested:
      return "rekey-requested";
    case EventKind::mkpdu_rejected:
      return "mkpdu-rejected";
    case EventKind::replay:
      return "replay";
    case EventKind::member_identifier_reset:
      return "member-identifier-reset";
    case EventKind::cleartext:
      return "cleartext";
    case EventKind::secy_failed:
      return "secy-failed";
    case EventKind::count:
      break;
  }
  return "";
}

void EventLimiter::report(Event event) {
  size_t index = static_cast<size_t>(event.kind);
  if (event.reason != Reject::count) {
    index = static_cast<size_t>(EventKind::count) + static_cast<size_t>(event.reason) +
            (event.kind == EventKind::replay ? static_cast<size_t>(Reject::count) : 0);
  }
  Bucket& bucket = buckets_[index];
  if (!bucket.used) {
    bucket = {burst_, 0, event.at, true};
  }
  const auto periods = (event.at - bucket.refilled) / period_;
  if (periods > 0) {
    bucket.tokens = static_cast<uint32_t>(std::min<int64_t>(burst_, bucket.tokens + periods));
    bucket.refilled += periods * period_;
  }
  if (bucket.tokens == 0) {
    if (bucket.suppressed != UINT32_MAX) ++bucket.suppressed;
    return;
  }
  --bucket.tokens;
  event.suppressed = std::exchange(bucket.suppressed, 0);
  sink_.on_event(event);
}

}  // namespace sealwire::mka
