// `sealwire doctor`: is this box ready to run Sealwire, and what is missing.
#pragma once

#include <string>

namespace sealwire::cli {

// Checks the box, and against the configuration if `config` is not empty. kFailed when something
// stands in the way; advice alone is kOk.
int doctor(const std::string& config, bool as_json);

}  // namespace sealwire::cli
