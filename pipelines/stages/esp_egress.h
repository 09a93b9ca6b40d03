// ESP outbound, tunnel mode (RFC 4303 §3.3), as steps over a burst. Every step skips dropped
// packets and those without esp_out.
//
// Input: frames from gateway_egress::classify. Output: the same with outer IP (and UDP) header, ESP
// header, IV, trailer and ICV. Drops: EspSnExhausted, EspLifetimeExpired, NoHeadroom, CryptoError.
#pragma once

#include "pipelines/burst.h"

namespace sealwire::pipelines::esp_egress {

// Number turn: takes sequence numbers, counts lifetimes.
void order(Burst& burst);
// Pure: headers and trailers; fills burst.batch (seal), which is empty on entry.
void build(Burst& burst);
// Pure, after the batch: drops what failed, puts the outer header in its final form.
void finish(Burst& burst);

}  // namespace sealwire::pipelines::esp_egress
