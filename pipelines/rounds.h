// The crypt step of a burst: one or two AEAD rounds, the same loop for both directions.
#pragma once

#include <array>

#include "pipelines/burst.h"

namespace sealwire::pipelines {

// One stage's AEAD round. `build` fills burst.batch, `finish` reads its operations' status.
struct Round {
  bool wanted;  // the line has that stage
  void (*build)(Burst&);
  void (*finish)(Burst&);
};

// Takes the burst from build_first to crypted, in the order of `rounds`. False: the engine is not
// done yet, call again. No lock, no turn; the burst is the caller's alone.
bool run_rounds(Burst& burst, crypto::Engine& engine, const std::array<Round, 2>& rounds);

}  // namespace sealwire::pipelines
