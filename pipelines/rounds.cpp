#include "pipelines/rounds.h"

namespace sealwire::pipelines {

namespace {

// One round, from its first step to the one after it. False: the engine is not done yet.
bool run(Burst& burst, crypto::Engine& engine, const Round& round, BurstStep build, BurstStep wait,
         BurstStep after) {
  if (burst.step == build) {
    burst.step = round.wanted ? wait : after;
    if (!round.wanted) return true;
    round.build(burst);
    if (burst.batch.count != 0) engine.submit(burst.batch);
  }
  if (burst.step == wait) {
    if (burst.batch.count != 0 && !engine.poll(burst.batch)) return false;
    round.finish(burst);
    burst.step = after;
  }
  return true;
}

}  // namespace

bool run_rounds(Burst& burst, crypto::Engine& engine, const std::array<Round, 2>& rounds) {
  using enum BurstStep;
  return run(burst, engine, rounds[0], build_first, wait_first, build_second) &&
         run(burst, engine, rounds[1], build_second, wait_second, crypted);
}

}  // namespace sealwire::pipelines
