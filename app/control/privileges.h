// What the threads of the daemon may do. Capabilities are a thread's own, and new threads take over
// those of their maker.
#pragma once

namespace sealwire::control {

// The process at its start, before it has a second thread: nothing it runs gains rights, and
// without physical devices only those rights are kept that virtual ones, files and sockets take.
// What DPDK's drivers of physical devices need differs, so with `devices` nothing is given up yet.
void limit_privileges(bool devices);

// The calling thread, for good: no right but to lock memory. For those that read what strangers
// send.
void drop_privileges();

}  // namespace sealwire::control
