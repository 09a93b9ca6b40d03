// The plan of the auto engine, kept in the state directory from one start to the next.
#pragma once

#include <string>

#include "crypto/engines/measure.h"

namespace sealwire::control {

// DIRECTORY/crypto-plan.json. It decides who computes, never what: whatever stands there, the
// engine that it names does the same.
std::string plan_cache_file(const std::string& directory);

// What an earlier start measured; empty if there is none, or it cannot be read.
crypto::Measurement read_plan(const std::string& directory);

// Keeps it for the next start, if the directory is there. Not being able to is no error: the next
// start measures again.
void keep_plan(const std::string& directory, const crypto::Measurement& measurement);

}  // namespace sealwire::control
