// MACsec transmit (802.1AE-2018 10.5), as steps over a burst. Every step skips dropped packets.
//
// Input: frames as they are to leave, Packet::port the outside port. Output: the same frames sealed
// by that port's SecY, or in clear if protectFrames is off or the mark says so. Drops: OutNoSa,
// OutPnExhausted, OutPktsTooLong, NoHeadroom, NoBuffer, CryptoError.
#pragma once

#include "pipelines/burst.h"

namespace sealwire::pipelines::macsec_egress {

// Number turn: pins each packet's SA and takes its PN.
void order(Burst& burst);
// Pure: writes SecTAGs and fills burst.batch (seal). The batch is empty on entry.
void build(Burst& burst);
// Pure, after the batch: drops what failed, puts the VLAN tags that stay in clear back in front.
void finish(Burst& burst);
// Send turn: counters.
void settle(Burst& burst);

}  // namespace sealwire::pipelines::macsec_egress
