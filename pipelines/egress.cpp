#include "pipelines/egress.h"

#include "pipelines/line.h"
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
  for (;;) {
    switch (burst.step) {
      case BurstStep::build_first:
        if (!line.esp) {
          burst.step = BurstStep::build_second;
          break;
        }
        esp_egress::build(burst);
        if (burst.batch.count != 0) engine.submit(burst.batch);
        burst.step = BurstStep::wait_first;
        break;
      case BurstStep::wait_first:
        if (burst.batch.count != 0 && !engine.poll(burst.batch)) return false;
        esp_egress::finish(burst);
        burst.step = BurstStep::build_second;
        break;
      case BurstStep::build_second:
        if (!line.macsec) {
          burst.step = BurstStep::crypted;
          break;
        }
        macsec_egress::build(burst);
        if (burst.batch.count != 0) engine.submit(burst.batch);
        burst.step = BurstStep::wait_second;
        break;
      case BurstStep::wait_second:
        if (burst.batch.count != 0 && !engine.poll(burst.batch)) return false;
        macsec_egress::finish(burst);
        burst.step = BurstStep::crypted;
        break;
      default:
        return true;
    }
  }
}

void settle(Burst& burst) {
  if (burst.line->macsec) macsec_egress::settle(burst);
}

}  // namespace sealwire::pipelines::egress
