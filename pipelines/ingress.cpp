#include "pipelines/ingress.h"

#include "pipelines/line.h"
#include "pipelines/stages/esp_ingress.h"
#include "pipelines/stages/ethernet.h"
#include "pipelines/stages/macsec_ingress.h"

namespace sealwire::pipelines::ingress {

void classify(Burst& burst, LaneCounters& counters) {
  ethernet::receive(burst, counters);
  if (!burst.line->secure) {
    for (Packet& p : burst.all()) drop(p, DropReason::unsealed);
  }
  burst.step = BurstStep::build_first;
}

bool crypt(Burst& burst, crypto::Engine& engine) {
  const LineSnapshot& line = *burst.line;
  for (;;) {
    switch (burst.step) {
      case BurstStep::build_first:
        if (!line.macsec) {
          burst.step = BurstStep::build_second;
          break;
        }
        macsec_ingress::build(burst);
        if (burst.batch.count != 0) engine.submit(burst.batch);
        burst.step = BurstStep::wait_first;
        break;
      case BurstStep::wait_first:
        if (burst.batch.count != 0 && !engine.poll(burst.batch)) return false;
        macsec_ingress::finish(burst);
        burst.step = BurstStep::build_second;
        break;
      case BurstStep::build_second:
        if (!line.esp) {
          burst.step = BurstStep::crypted;
          break;
        }
        esp_ingress::build(burst);
        if (burst.batch.count != 0) engine.submit(burst.batch);
        burst.step = BurstStep::wait_second;
        break;
      case BurstStep::wait_second:
        if (burst.batch.count != 0 && !engine.poll(burst.batch)) return false;
        esp_ingress::finish(burst);
        burst.step = BurstStep::crypted;
        break;
      default:
        return true;
    }
  }
}

void settle(Burst& burst) {
  if (burst.line->macsec) macsec_ingress::settle(burst);
  if (burst.line->esp) esp_ingress::settle(burst);
}

}  // namespace sealwire::pipelines::ingress
