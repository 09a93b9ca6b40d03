// What a KaY is told: plain values, filled from the configuration by the control thread.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "app/control/mka/mkpdu.h"
#include "app/control/mka/types.h"
#include "crypto/secret_bytes.h"

namespace sealwire::mka {

/// One pre-shared CAK/CKN. Several may be valid at once: the newest start wins, a fallback key only
/// when no other works.
struct KeySettings {
  std::string name;
  Ckn ckn;
  crypto::SecretBytes cak;                                 ///< 16 or 32 octets
  int64_t start_ms = std::numeric_limits<int64_t>::min();  ///< wall clock, inclusive
  int64_t end_ms = std::numeric_limits<int64_t>::max();    ///< wall clock, exclusive
  bool fallback = false;
};

/// PendingPNExhaustion (§9.8): a SAK is replaced from here on.
inline constexpr uint64_t kRekeyPn = 0xC0000000;
inline constexpr uint64_t kRekeyPnXpn = 0xC000000000000000;

struct KaySettings {
  MacAddress source{};  ///< SA of our MKPDUs
  Sci sci;              ///< of our transmit SC
  MacAddress destination = kPaeGroupAddress;
  uint16_t ether_type = kEapolEtherType;

  uint8_t priority = 16;  ///< key server priority; the lowest serves, 255 never does
  uint8_t version = 3;    ///< MKA version sent, 1..3
  bool icv_indicator = false;

  /// Suites accepted, in the order in which a key server of ours tries them. Not empty.
  std::vector<CipherSuite> suites{CipherSuite::gcm_aes_128};
  /// Asked for as key server; XPN suites take no offset and use offset_0 instead.
  Confidentiality confidentiality = Confidentiality::offset_0;
  bool delay_protect = false;
  /// False (must-secure): nothing passes without a SAK. True: cleartext passes while no peer speaks
  /// MKA.
  bool should_secure = false;

  Time hello{2000};
  Time bounded_hello{500};  ///< used instead of hello with delay_protect
  Time life{6000};
  Time retire{3000};  ///< time the old transmit SA stays after the switch
  /// An old receive SA stays this long after the last peer said that it transmits with a newer one.
  Time linger_grace{1000};
  /// How long a live but slow peer is waited for: an old receive SA goes, and a SAK that the peer
  /// does not take is replaced by a fresh one.
  Time patience{30000};
  /// Two MKPDUs of a participant caused by events are at least this far apart.
  Time min_interval{50};

  uint64_t rekey_pn = 0;   ///< 0: kRekeyPn or kRekeyPnXpn
  Time rekey_interval{0};  ///< 0: never by time
};

}  // namespace sealwire::mka
