#include "app/control/privileges.h"

#include <cap-ng.h>
#include <rte_debug.h>
#include <sys/prctl.h>

#include <span>
#include <vector>

namespace sealwire::control {
namespace {

// All memory is locked as it comes into use: where RLIMIT_MEMLOCK could not be lifted, a thread
// without CAP_IPC_LOCK would get no more memory. The others: packet sockets; taps, promiscuous mode
// and link state; the configuration, secrets and state of another owner.
constexpr unsigned kOfAll[] = {CAP_IPC_LOCK};
constexpr unsigned kOfVirtualDevices[] = {CAP_IPC_LOCK, CAP_NET_RAW, CAP_NET_ADMIN,
                                          CAP_DAC_OVERRIDE};

// Of the calling thread. Those that it does not have stay away.
void keep_only(std::span<const unsigned> wanted) {
  capng_get_caps_process();
  std::vector<unsigned> kept;
  for (const unsigned one : wanted) {
    if (capng_have_capability(CAPNG_EFFECTIVE, one) == 1) kept.push_back(one);
  }
  capng_clear(CAPNG_SELECT_CAPS);
  for (const unsigned one : kept) {
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), one);
  }
  RTE_VERIFY(capng_apply(CAPNG_SELECT_CAPS) == 0);  // giving up is always allowed
}

}  // namespace

void limit_privileges(bool devices) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!devices) keep_only(kOfVirtualDevices);
}

void drop_privileges() { keep_only(kOfAll); }

}  // namespace sealwire::control
