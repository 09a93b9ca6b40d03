// Outside to inside: [macsec] -> [esp] -> policy -> TX, composed from the stages of the line.
#pragma once

#include "crypto/aead.h"
#include "pipelines/burst.h"

namespace sealwire::pipelines::ingress {

void classify(Burst& burst, LaneCounters& counters);  // pure
bool crypt(Burst& burst,
           crypto::Engine& engine);  // pure, resumable: true when done; then step is crypted
void settle(Burst& burst);           // send turn, before the sweep and TX

}  // namespace sealwire::pipelines::ingress
