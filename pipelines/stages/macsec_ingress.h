// MACsec receive in the order of 802.1AE-2018 Figure 10-4, as steps over a burst.
//
// Input: frames of the outside ports. Output: the frames as they were before sealing, in place;
// EAPOL goes to the control thread. After finish a packet that is not dropped is authentic (or
// validateFrames lets it pass) but not checked for replay: that is the settle's, so nothing may
// leave or change state before it. Drops: every InPkts... reason of drop_reason.h, InOwnSci,
// CryptoError.
#pragma once

#include "pipelines/burst.h"

namespace sealwire::pipelines::macsec_ingress {

// Pure: parses, finds the SA, fills burst.batch (open). The batch is empty on entry.
void build(Burst& burst);
// Pure, after the batch: validity, strips SecTAG and ICV.
void finish(Burst& burst);
// Send turn: second replay check, nextPN and lowestPN, counters. A packet it drops must not have
// moved any state of a later stage, so it runs before esp_ingress::settle; packets a later stage
// has dropped are settled all the same.
void settle(Burst& burst);

}  // namespace sealwire::pipelines::macsec_ingress
