// `sealwire show`: what the daemon answers, as tables.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sealwire::cli {

// What can be shown; each is the API method "show." + name.
const std::vector<std::string>& views();

// The result of a show method as text for people. Fields that are missing are left empty.
std::string render(const std::string& view, const nlohmann::json& result);

}  // namespace sealwire::cli
