// ESP inbound, tunnel mode (RFC 4303 §3.4, RFC 4301 §5.2), and the inbound policy, as steps over a
// burst.
//
// Input: frames of the outside ports, as MACsec (if the line has it) opened them. Output: inner
// packets with a layer 2 header for the inside port, in Packet::port. After finish nothing may
// leave or change state before settle: replay is checked there. A packet with esp_in and
// kPacketEspOpened is authentic: its number is committed whatever drop reason finish found. Drops:
// every reason of "Ethernet and IP" and "ESP, inbound", PolicyDiscard, CryptoError.
#pragma once

#include "pipelines/burst.h"

namespace sealwire::pipelines::esp_ingress {

// Pure: clear packets get their policy; ESP packets their SA and an operation in burst.batch
// (open), empty on entry.
void build(Burst& burst);
// Pure, after the batch: padding, next header, inner packet, selectors, ECN, next hop.
void finish(Burst& burst);
// Send turn, after MACsec's settle: replay check and commit, lifetimes, counters, packets for the
// control thread.
void settle(Burst& burst);

}  // namespace sealwire::pipelines::esp_ingress
