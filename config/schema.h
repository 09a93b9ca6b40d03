#pragma once

// What is generated from the descriptor table: the JSON Schema for editors and the reference.

#include <string>

namespace sealwire::config {

// config/schema.json, JSON Schema draft 7.
std::string json_schema();

// docs/reference/config.md.
std::string reference();

}  // namespace sealwire::config
