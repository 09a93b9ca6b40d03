// MKPDUs (IEEE 802.1X-2020 §11.11): bounded parsing and building. Pure functions over octets; the
// only cryptography here is none at all: the caller checks the ICV over Envelope::authenticated
// before it looks at any parameter set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "app/control/mka/types.h"
#include "tl/expected.hpp"

namespace sealwire::mka {

/// Why a frame was not taken (§11.11.2 and ours). Stable names: they are in the audit log and the
/// statistics.
enum class Reject : uint8_t {
  not_eapol,               ///< EtherType or packet type is not EAPOL-MKA
  individual_destination,  ///< DA is not a group address
  own_source,              ///< our own frame came back
  truncated,               ///< fewer octets than the EAPOL body length says
  too_short,               ///< body below 32 octets
  not_multiple_of_4,       ///< body length
  bad_basic_set,           ///< basic parameter set does not fit, or reserved SCI
  bad_ckn_length,          ///< CKN of 0 or more than 32 octets
  bad_version,             ///< MKA version 0
  unknown_agility,         ///< algorithm agility is not 00-80-C2-01
  unknown_ckn,             ///< no participant has this CKN
  bad_icv,                 ///< not authentic
  bad_parameter_set,       ///< a parameter set of impossible length, or given twice
  replayed,                ///< MN not above the last one of this MI
  retired_member,          ///< MI of a member that was replaced
  too_many_members,        ///< peer table is full
  count
};
std::string_view name(Reject reason);

inline constexpr MacAddress kPaeGroupAddress{0x01, 0x80, 0xC2, 0x00, 0x00, 0x03};
inline constexpr uint16_t kEapolEtherType = 0x888E;
inline constexpr uint32_t kAlgorithmAgility = 0x0080C201;
inline constexpr size_t kIcvLength = 16;
/// Highest MKA version of ours (§11.11.1).
inline constexpr uint8_t kMkaVersion = 3;
/// Members one MKPDU may name: keeps our own frames below an untagged 1514-octet frame.
inline constexpr size_t kMaxMembers = 64;

struct MemberEntry {
  Mi mi{};
  uint32_t mn = 0;
  bool operator==(const MemberEntry&) const = default;
};

struct BasicSet {
  uint8_t version = kMkaVersion;
  uint8_t priority = 16;
  bool key_server = false;
  bool macsec_desired = true;
  Capability capability = Capability::integrity_confidentiality_0_30_50;
  Sci sci;
  Mi mi{};
  uint32_t mn = 0;
  Ckn ckn;
  bool operator==(const BasicSet&) const = default;
};

struct SakUseSet {
  /// False: the set has no body; the sender's SecY does not do MACsec.
  bool macsec_supported = true;
  An latest_an;
  bool latest_tx = false, latest_rx = false;
  An old_an;
  bool old_tx = false, old_rx = false;
  bool plain_tx = false, plain_rx = false, delay_protect = false;
  Ki latest;
  uint32_t latest_lpn = 0;  ///< low 32 bits
  Ki old;
  uint32_t old_lpn = 0;  ///< low 32 bits
  bool operator==(const SakUseSet&) const = default;
};

struct DistributedSakSet {
  /// True: no SAK, the key server says "plain text" (body of 0 octets).
  bool plain = false;
  An an{};
  Confidentiality confidentiality = Confidentiality::offset_0;
  uint32_t kn = 0;
  /// Nothing: a suite id that we do not know (wrapped is then empty and the SAK cannot be used).
  std::optional<CipherSuite> suite{};
  std::vector<uint8_t> wrapped{};  ///< RFC 3394, 24 or 40 octets
  bool operator==(const DistributedSakSet&) const = default;
};

struct XpnSet {
  uint8_t suspension_time = 0;
  uint32_t latest_lpn_high = 0, old_lpn_high = 0;
  bool operator==(const XpnSet&) const = default;
};

/// All parameter sets of one MKPDU that MKA with pre-shared CAKs acts on; others are stepped over.
struct Mkpdu {
  BasicSet basic;
  std::vector<MemberEntry> live;
  std::vector<MemberEntry> potential;
  /// Octet 2 of the live peer list: low octet of the key server's SSCI (version 3, 0 = not given).
  uint8_t key_server_ssci = 0;
  std::optional<SakUseSet> sak_use;
  std::optional<DistributedSakSet> distributed_sak;
  std::optional<XpnSet> xpn;
  bool operator==(const Mkpdu&) const = default;
};

/// What can be known of a frame before its ICV is checked. Spans point into the frame given to
/// parse_envelope.
struct Envelope {
  MacAddress destination{}, source{};
  BasicSet basic;
  std::span<const uint8_t> authenticated;  ///< DA .. octet before the ICV
  std::span<const uint8_t> sets;           ///< parameter sets after the basic one
  std::span<const uint8_t> icv;            ///< 16 octets
};

/// Parses the Ethernet and EAPOL headers and the basic parameter set of an untagged frame (no FCS).
/// Octets after the EAPOL body are padding and ignored. `ether_type` is the one configured for this
/// port's EAPOL.
tl::expected<Envelope, Reject> parse_envelope(std::span<const uint8_t> frame, uint16_t ether_type);

/// Parses the remaining parameter sets. To be called only with an Envelope whose ICV was verified.
tl::expected<Mkpdu, Reject> parse_sets(const Envelope& envelope);

struct BuildOptions {
  MacAddress destination = kPaeGroupAddress;
  MacAddress source{};
  uint16_t ether_type = kEapolEtherType;
  bool icv_indicator = false;  ///< send the parameter set 255 in front of the ICV
};

/// The frame from DA up to the octet before the ICV, lengths already counting the ICV: append 16
/// octets of AES-CMAC(ICK, it).
std::vector<uint8_t> build_without_icv(const Mkpdu& mkpdu, const BuildOptions& options);

}  // namespace sealwire::mka
