// What keeps keys inside this process.
#pragma once

#include <string>

namespace sealwire::daemon {

// Of the whole process, before it reads the first key: no core file, no reading by others of the
// same user, and no page in swap. Locks pages as they come into use, those of threads and pools
// made later included. What could not be done, for the log; empty: all of it was. The secrets
// themselves (crypto::SecretBytes) are locked even then, up to what RLIMIT_MEMLOCK allows.
std::string protect_memory();

}  // namespace sealwire::daemon
