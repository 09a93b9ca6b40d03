#include "pipelines/egress.h"

#include "pipelines/line.h"
#include "pipelines/rounds.h"
#include "pipelines/stages/classify.h"
#include "pipelines/stages/esp_egress.h"
#include "pipelines/stages/ethernet.h"
#include "pipelines/stages/macsec_egress.h"

namespace sealwire::pipelines::egress {

namespace {

// What cannot be sealed must not leave. The KaY's own frames are clear by nature.
void drop_unsealed(Burst& burst) {
  for (Packet& p : burst.all()) {
    const std::uint16_t clear = kPacketControl | kPacketSkipMacsec;
    if ((p.flags & clear) != clear) drop(p, DropReason::unsealed);
  }
}

}  // namespace

void classify(Burst& burst, LaneCounters& counters) {
  ethernet::receive(burst, counters);
  if (!burst.line->secure) drop_unsealed(burst);
  if (burst.line->esp) gateway_egress::classify(burst);
  burst.step = BurstStep::classified;
}

void number(Burst& burst) {
  if (burst.line->esp) esp_egress::order(burst);
  if (burst.line->macsec) macsec_egress::order(burst);
  burst.step = BurstStep::build_first;
}

bool crypt(Burst& burst, crypto::Engine& engine) {
  const LineSnapshot& line = *burst.line;
  return run_rounds(burst, engine,
                    {Round{line.esp, esp_egress::build, esp_egress::finish},
                     Round{line.macsec, macsec_egress::build, macsec_egress::finish}});
}

void settle(Burst& burst) {
  if (burst.line->macsec) macsec_egress::settle(burst);
}

}  // namespace sealwire::pipelines::egress
