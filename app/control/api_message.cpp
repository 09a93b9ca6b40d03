#include "app/control/api_message.h"

#include <utility>

#include "crypto/secret_bytes.h"

namespace sealwire::control {
namespace {

using nlohmann::json;

// Nesting is bounded before the parser sees it: everything behind this recurses.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// Invalid UTF-8 in an echoed string must not make dump() throw.
std::string line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace

Result<ApiRequest> parse_request(std::string_view text, json& id) {
  id = nullptr;
  if (too_deep(text)) return fail("SW-API-002", "request nested too deeply");
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    return fail("SW-API-001", "request is not JSON", "send one JSON object a line");
  }
  if (!value.is_object()) {
    wipe_strings(value);
    return fail("SW-API-002", "request is not a JSON object");
  }
  const auto refuse = [&value](const char* id_text, std::string message) {
    wipe_strings(value);
    return fail(id_text, std::move(message));
  };
  if (const auto given = value.find("id"); given != value.end()) {
    if (!given->is_number() && !given->is_string() && !given->is_null()) {
      return refuse("SW-API-002", "id is neither a number nor a string");
    }
    id = *given;
  }
  const auto version = value.find("version");
  if (version == value.end() || !version->is_number_integer() || *version != kApiVersion) {
    return refuse("SW-API-003", "version is not " + std::to_string(kApiVersion));
  }
  const auto method = value.find("method");
  if (method == value.end() || !method->is_string()) {
    return refuse("SW-API-002", "method is missing or not a string");
  }
  ApiRequest request;
  request.id = id;
  request.method = method->get<std::string>();
  if (const auto params = value.find("params"); params != value.end()) {
    if (!params->is_object()) return refuse("SW-API-002", "params is not an object");
    request.params = std::move(*params);
  }
  return request;
}

std::string request_line(const ApiRequest& request) {
  return line({{"version", kApiVersion},
               {"id", request.id},
               {"method", request.method},
               {"params", request.params}});
}

std::string result_line(const json& id, const json& result) {
  return line({{"version", kApiVersion}, {"id", id}, {"result", result}});
}

std::string error_line(const json& id, const Error& error) {
  return line(
      {{"version", kApiVersion},
       {"id", id},
       {"error", {{"id", error.id}, {"message", error.message}, {"remedy", error.remedy}}}});
}

Result<json> parse_response(std::string_view text) {
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded() || !value.is_object()) {
    return fail("SW-API-001", "answer is not a JSON object");
  }
  if (const auto error = value.find("error"); error != value.end() && error->is_object()) {
    const auto field = [&error](const char* name) {
      const auto found = error->find(name);
      return found != error->end() && found->is_string() ? found->get<std::string>()
                                                         : std::string();
    };
    return tl::unexpected(Error{field("id"), field("message"), field("remedy")});
  }
  const auto result = value.find("result");
  if (result == value.end()) return fail("SW-API-001", "answer has neither result nor error");
  return std::move(*result);
}

void wipe_strings(json& value) {
  if (value.is_string()) {
    auto& text = value.get_ref<std::string&>();
    crypto::wipe(text.data(), text.size());
    text.clear();
  } else if (value.is_structured()) {
    for (json& item : value) wipe_strings(item);
  }
}

}  // namespace sealwire::control
