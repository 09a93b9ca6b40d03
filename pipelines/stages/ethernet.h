// What happens to every frame before any other stage.
#pragma once

#include "pipelines/burst.h"

namespace sealwire::pipelines::ethernet {

// Pure. Drops MalformedEthernet, PauseConsumed, NoBuffer; puts back a VLAN tag that the driver
// stripped into metadata; linearises chained mbufs (counted slow path); sets l2_length to the end
// of the EtherType after at most two VLAN tags.
void receive(Burst& burst, LaneCounters& counters);

}  // namespace sealwire::pipelines::ethernet
