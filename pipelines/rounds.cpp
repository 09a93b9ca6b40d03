#include "pipelines/rounds.h"

namespace sealwire::pipelines {

namespace {

void start(Burst& burst, crypto::Engine& engine, const Round& round) {
  round.build(burst);
  if (burst.batch.count != 0) engine.submit(burst.batch);
}

bool ready(Burst& burst, crypto::Engine& engine) {
  return burst.batch.count == 0 || engine.poll(burst.batch);
}

}  // namespace

bool run_rounds(Burst& burst, crypto::Engine& engine, const std::array<Round, 2>& rounds) {
  const auto& [first, second] = rounds;
  switch (burst.step) {
    case BurstStep::build_first:
      if (first.wanted) start(burst, engine, first);
      burst.step = BurstStep::wait_first;
      [[fallthrough]];
    case BurstStep::wait_first:
      if (first.wanted) {
        if (!ready(burst, engine)) return false;
        first.finish(burst);
      }
      burst.step = BurstStep::build_second;
      [[fallthrough]];
    case BurstStep::build_second:
      if (second.wanted) start(burst, engine, second);
      burst.step = BurstStep::wait_second;
      [[fallthrough]];
    case BurstStep::wait_second:
      if (second.wanted) {
        if (!ready(burst, engine)) return false;
        second.finish(burst);
      }
      burst.step = BurstStep::crypted;
      [[fallthrough]];
    default:
      return true;
  }
}

}  // namespace sealwire::pipelines
