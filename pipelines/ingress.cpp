#include "pipelines/ingress.h"

#include "pipelines/line.h"
#include "pipelines/rounds.h"
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
  return run_rounds(burst, engine,
                    {Round{line.macsec, macsec_ingress::build, macsec_ingress::finish},
                     Round{line.esp, esp_ingress::build, esp_ingress::finish}});
}

void settle(Burst& burst) {
  if (burst.line->macsec) macsec_ingress::settle(burst);
  if (burst.line->esp) esp_ingress::settle(burst);
}

}  // namespace sealwire::pipelines::ingress
