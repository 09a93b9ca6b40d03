// Egress of a gateway, before any number is taken: which policy a packet falls under, which SA
// protects it, where it goes, and whether it fits there. Pure.
//
// Input: frames of the inside ports after ethernet::receive. Output: packets with esp_out set
// (PROTECT) or kPacketSkipEsp (BYPASS), TTL decremented, layer 2 header written for the way out,
// Packet::port the outside port; IPv4 packets that do not fit and may be fragmented are, the
// further fragments at the burst's end. Drops: NotForUs, NotIp, MalformedIp, TtlExpired,
// PolicyDiscard, EspNoSa, NoRoute, NoNeighbour, PacketTooBig, NoBuffer, Punted.
#pragma once

#include "pipelines/burst.h"

namespace sealwire::pipelines::gateway_egress {

void classify(Burst& burst);

}  // namespace sealwire::pipelines::gateway_egress
