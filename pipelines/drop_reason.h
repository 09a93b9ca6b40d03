// Why a packet did not go on. One enum feeds the code, `sealwire show drops`, the metrics and the
// reference.
//
// Names are the standards' own counters where there is one (802.1AE-2018 §10.6, §10.7; RFC 4301,
// RFC 4303); the rest are ours.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sealwire::pipelines {

// X(identifier, shown name, kind, explanation with the remedy where there is one)
// Kind `lost` is a drop; kind `used` is a frame that reached its end here on purpose (PAUSE,
// keepalive, dummy packet).
#define SEALWIRE_DROP_REASONS(X)                                                                   \
  /* Ethernet and IP */                                                                            \
  X(malformed_ethernet, "MalformedEthernet", lost,                                                 \
    "frame shorter than its Ethernet or VLAN header")                                              \
  X(malformed_ip, "MalformedIp", lost,                                                             \
    "IP header truncated, of a bad length, or with a bad checksum")                                \
  X(not_ip, "NotIp", lost, "neither IPv4, IPv6 nor a frame a gateway handles")                     \
  X(not_for_us, "NotForUs", lost, "not addressed to this gateway's port")                          \
  X(pause_consumed, "PauseConsumed", used, "802.3 PAUSE ends at the port (IEEE 802.3 31B)")        \
  X(punted, "Punted", used, "handed to the control thread: EAPOL, ARP, ND, ICMP, IKE, fragments")  \
  X(punt_full, "PuntFull", lost, "the control thread did not take punted frames fast enough")      \
  X(ttl_expired, "TtlExpired", lost, "TTL or hop limit ran out before forwarding")                 \
  X(packet_too_big, "PacketTooBig", lost,                                                          \
    "over the path's MTU with DF set; the sender was told its MTU")                                \
  X(no_route, "NoRoute", lost, "no route for the destination")                                     \
  X(no_neighbour, "NoNeighbour", lost, "next hop not resolved (yet): look at ARP/ND on the port")  \
  /* resources */                                                                                  \
  X(no_headroom, "NoHeadroom", lost, "no room to encapsulate")                                     \
  X(no_buffer, "NoBuffer", lost, "packet pool empty: raise system.buffers")                        \
  X(tx_full, "TxFull", lost, "the port's transmit queue stayed full")                              \
  X(unsealed, "Unsealed", lost,                                                                    \
    "the line is not ready to seal: self-test, configuration or worker failed")                    \
  X(crypto_error, "CryptoError", lost, "the crypto engine refused or failed an operation")         \
  /* MACsec, transmit */                                                                           \
  X(out_no_sa, "OutNoSa", lost, "no transmit SA in use (encodingSA)")                              \
  X(out_pn_exhausted, "OutPnExhausted", lost,                                                      \
    "the transmit SA's packet numbers are used up: rekey")                                         \
  X(out_pkts_too_long, "OutPktsTooLong", lost,                                                     \
    "sealed frame longer than the port's MTU (802.1AE 10.5)")                                      \
  /* MACsec, receive: order of 802.1AE Figure 10-4 */                                              \
  X(in_pkts_no_tag, "InPktsNoTag", lost, "no SecTAG while validateFrames is strict")               \
  X(in_pkts_bad_tag, "InPktsBadTag", lost, "SecTAG invalid (802.1AE 9.12)")                        \
  X(in_pkts_kay, "InPktsKay", lost, "E=1, C=0: for the KaY only, never delivered")                 \
  X(in_own_sci, "InOwnSci", lost, "carries our own SCI: a loop or a reflection")                   \
  X(in_pkts_no_sa_error, "InPktsNoSAError", lost,                                                  \
    "no receive SC or SA in use for this SCI and AN")                                              \
  X(in_pkts_late, "InPktsLate", lost,                                                              \
    "PN below lowestPN: replayed, or reordered beyond the window")                                 \
  X(in_pkts_duplicate, "InPktsDuplicate", lost,                                                    \
    "PN already received inside the window (duplicate-bitmap)")                                    \
  X(in_pkts_not_valid, "InPktsNotValid", lost, "ICV wrong")                                        \
  /* ESP, outbound (RFC 4303 3.3) */                                                               \
  X(policy_discard, "PolicyDiscard", lost,                                                         \
    "a DISCARD rule, or the final discard of the SPD (RFC 4301 4.4.1)")                            \
  X(esp_no_sa, "EspNoSa", lost, "the rule says PROTECT and there is no outbound SA")               \
  X(esp_sn_exhausted, "EspSnExhausted", lost, "sequence numbers used up (RFC 4303 3.3.3): rekey")  \
  X(esp_lifetime_expired, "EspLifetimeExpired", lost, "hard lifetime reached")                     \
  /* ESP, inbound (RFC 4303 3.4, RFC 4301 5.2) */                                                  \
  X(esp_malformed, "EspMalformed", lost, "too short, of a bad length, or a bad UDP encapsulation") \
  X(esp_unknown_spi, "EspUnknownSpi", lost, "no inbound SA for this SPI and destination")          \
  X(esp_replay, "EspReplay", lost, "sequence number already received or left of the window")       \
  X(esp_auth_failed, "EspAuthFailed", lost, "ICV wrong")                                           \
  X(esp_bad_padding, "EspBadPadding", lost, "padding or inner length wrong after decryption")      \
  X(esp_bad_next_header, "EspBadNextHeader", lost, "next header neither IPv4, IPv6 nor dummy")     \
  X(esp_selector_mismatch, "EspSelectorMismatch", lost, "inner packet outside the SA's selectors") \
  X(esp_clear_inbound, "EspClearInbound", lost, "clear packet where the policy says PROTECT")      \
  X(ecn_invalid, "EcnInvalid", lost, "inner Not-ECT with outer CE (RFC 6040 4.2)")                 \
  X(esp_dummy, "EspDummy", used, "dummy packet, next header 59 (RFC 4303 2.6)")                    \
  X(nat_keepalive, "NatKeepalive", used, "NAT-T keepalive (RFC 3948 2.3)")

enum class DropReason : std::uint8_t {
  none,
#define X(id, name, kind, text) id,
  SEALWIRE_DROP_REASONS(X)
#undef X
};

inline constexpr std::size_t kDropReasons = 0
#define X(id, name, kind, text) +1
                                            SEALWIRE_DROP_REASONS(X)
#undef X
                                            + 1;

enum class DropKind : std::uint8_t { lost, used };

struct DropReasonInfo {
  std::string_view name;
  DropKind kind;
  std::string_view text;
};

inline constexpr std::array<DropReasonInfo, kDropReasons> kDropReasonInfo{
    {{"None", DropKind::used, "the packet went on"},
#define X(id, name, kind, text) {name, DropKind::kind, text},
     SEALWIRE_DROP_REASONS(X)
#undef X
    }};

constexpr const DropReasonInfo& info(DropReason reason) {
  return kDropReasonInfo[static_cast<std::size_t>(reason)];
}

}  // namespace sealwire::pipelines
