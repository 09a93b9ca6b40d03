#include "app/daemon/protection.h"

#include <cap-ng.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace sealwire::daemon {
namespace {

// EAL maps tens of gigabytes of addresses, which count as locked although few of them are used: a
// limit would stop it.
bool may_lock_everything() {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_MEMLOCK, &all);  // root may, and then needs no CAP_IPC_LOCK later on
  rlimit limit{};
  return (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) ||
         capng_have_capability(CAPNG_EFFECTIVE, CAP_IPC_LOCK) == 1;
}

}  // namespace

std::string protect_memory() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  if (!may_lock_everything()) {
    return "memory may be swapped out, keys in it: allow it to be locked (LimitMEMLOCK=infinity, "
           "or "
           "CAP_IPC_LOCK)";
  }
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return fmt::format("memory may be swapped out, keys in it: {}", std::strerror(errno));
  }
  return {};
}

}  // namespace sealwire::daemon
