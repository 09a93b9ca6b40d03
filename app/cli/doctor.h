// `sealwire doctor`: is this box ready to run Sealwire, and what is missing.
#pragma once

#include <string>

namespace sealwire::cli {

// kFailed when something
// stands in the way; advice alone is kOk.
int doctor(bool as_json);

}  // namespace sealwire::cli
