// What travels over the API socket: one JSON object a line, both ways. docs/reference/api.md is the
// reference.
//
//   {"version": 1, "id": 7, "method": "show.lines", "params": {}}
//   {"version": 1, "id": 7, "result": {...}}    or    {"version": 1, "id": 7, "error": {"id",
//   "message", "remedy"}}
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "crypto/result.h"

namespace sealwire::control {

inline constexpr int kApiVersion = 1;
inline constexpr std::size_t kMaxRequest = 4 << 20;  // octets of one request line
inline constexpr int kMaxDepth = 32;                 // nesting of arrays and objects in a request

struct ApiRequest {
  nlohmann::json id;  // number, string or null; echoed
  std::string method;
  nlohmann::json params = nlohmann::json::object();
};

// One line, without its newline. Errors: SW-API-001 not JSON, SW-API-002 not a request, SW-API-003
// version. Messages never quote the input: it may hold a key. `id` receives the request's id as
// soon as it is known.
Result<ApiRequest> parse_request(std::string_view line, nlohmann::json& id);

std::string request_line(const ApiRequest& request);
std::string result_line(const nlohmann::json& id, const nlohmann::json& result);
std::string error_line(const nlohmann::json& id, const Error& error);

// The result of a response line, or the error it carries. SW-API-001 when it is no response at all.
Result<nlohmann::json> parse_response(std::string_view line);

// Overwrites every string in `value`, because parameters may hold keys.
void wipe_strings(nlohmann::json& value);

}  // namespace sealwire::control
