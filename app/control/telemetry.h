// The same figures on DPDK's telemetry socket: dpdk-telemetry.py reads them.
//
//   /sealwire/lines         names of the lines       /sealwire/lines,NAME     its figures
//   /sealwire/ports         /sealwire/ports,NAME     /sealwire/cores          /sealwire/cores,NAME
//   /sealwire/sas           LINE/SA of all SAs       /sealwire/sas,LINE/SA    its figures
//   /sealwire/secys         LINE/PORT of all SecYs   /sealwire/secys,LINE/PORT
//   /sealwire/drops         LINE/DIRECTION/REASON: packets, of what was dropped
#pragma once

#include "app/control/figures.h"
#include "crypto/result.h"

namespace sealwire::control {

// DPDK serves the socket in a thread of its own: it reads a copy of the figures that the control
// thread makes once a second and never touches the tables.
class Telemetry {
 public:
  // Error SW-CTL-030 when DPDK refuses. Once per process, after EAL is up.
  static Result<void> start();
  // Control thread.
  static void update(const Figures& figures);
  // Answers nothing any more.
  static void stop();
};

}  // namespace sealwire::control
