#pragma once

// The types of scalar values that a configuration has, each with how it reads, prints and appears
// in the schema.

#include <fmt/format.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/descriptor.h"
#include "config/text.h"

namespace sealwire::config {

template <class T>
struct Scalar {
  std::string type;      // "number 68..9600"
  std::string expected;  // "a number from 68 to 9600"
  Json schema;
  std::function<std::optional<T>(const Node&)> parse;  // of a scalar node
  std::function<std::string(const T&)> show;
  std::vector<std::string_view> choices{};  // of a choice, for the nearest name
};

namespace scalar {

// From a parser of text. `pattern` is for the schema only and may be wider than the parser.
template <class T, class Parse, class Show>
Scalar<T> of_text(std::string type, std::string expected, const char* pattern, Parse parse,
                  Show show) {
  Json schema{{"type", "string"}};
  if (pattern != nullptr) schema["pattern"] = pattern;
  return {std::move(type), std::move(expected), std::move(schema),
          [parse](const Node& n) -> std::optional<T> { return parse(n.text); }, show};
}

template <class T>
Scalar<T> number(std::uint64_t least, std::uint64_t most = std::numeric_limits<T>::max()) {
  return {fmt::format("number {}..{}", least, most),
          fmt::format("a number from {} to {}", least, most),
          Json{{"type", "integer"}, {"minimum", least}, {"maximum", most}},
          [=](const Node& n) -> std::optional<T> {
            const auto value = parse_number(n.text);
            if (n.quoted || !value || *value < least || *value > most) return std::nullopt;
            return static_cast<T>(*value);
          },
          [](const T& v) { return std::to_string(v); }};
}

// A number, or a word that stands for no number.
template <class T>
Scalar<std::optional<T>> number_or(std::string word, std::uint64_t least, std::uint64_t most) {
  const Scalar<T> plain = number<T>(least, most);
  return {fmt::format("`{}` or {}", word, plain.type),
          fmt::format("'{}' or {}", word, plain.expected),
          Json{{"anyOf", Json::array({Json{{"const", word}}, plain.schema})}},
          [=](const Node& n) -> std::optional<std::optional<T>> {
            if (n.text == word) return std::optional<T>{};
            const auto value = plain.parse(n);
            if (!value) return std::nullopt;
            return std::optional<T>{*value};
          },
          [=](const std::optional<T>& v) { return v ? std::to_string(*v) : word; }};
}

inline Scalar<bool> boolean() {
  return {"boolean", "true or false", Json{{"type", "boolean"}},
          [](const Node& n) -> std::optional<bool> {
            if (n.quoted || (n.text != "true" && n.text != "false")) return std::nullopt;
            return n.text == "true";
          },
          [](const bool& v) { return std::string(v ? "true" : "false"); }};
}

template <class E>
Scalar<E> choice(std::vector<std::pair<std::string_view, E>> names) {
  Scalar<E> result;
  result.schema = Json{{"enum", Json::array()}};
  for (const auto& [name, value] : names) {
    if (!result.type.empty()) {
      result.type += ", ";
      result.expected += ", ";
    }
    result.type += fmt::format("`{}`", name);
    result.expected += name;
    result.schema["enum"].push_back(std::string(name));
    result.choices.push_back(name);
  }
  result.expected = "one of " + result.expected;
  result.parse = [names](const Node& n) -> std::optional<E> {
    for (const auto& [name, value] : names)
      if (name == n.text) return value;
    return std::nullopt;
  };
  result.show = [names](const E& v) -> std::string {
    for (const auto& [name, value] : names)
      if (value == v) return std::string(name);
    return {};
  };
  return result;
}

inline Scalar<std::string> text(std::string type, std::string expected) {
  return of_text<std::string>(
      std::move(type), std::move(expected), nullptr,
      [](const std::string& t) -> std::optional<std::string> {
        if (t.empty() || t.find('\0') != std::string::npos) return std::nullopt;
        return t;
      },
      [](const std::string& v) { return v; });
}

inline Scalar<Milliseconds> duration(Milliseconds least, Milliseconds most) {
  return {fmt::format("time {}..{}", to_string(least), to_string(most)),
          fmt::format("a time such as 30s, 500ms or 2h, from {} to {}", to_string(least),
                      to_string(most)),
          Json{{"anyOf", Json::array({Json{{"type", "string"}, {"pattern", "^[0-9]+(d|h|m|s|ms)$"}},
                                      Json{{"const", 0}}})}},
          [=](const Node& n) -> std::optional<Milliseconds> {
            const auto value = parse_duration(n.text);
            if (!value || *value < least || *value > most) return std::nullopt;
            return value;
          },
          [](const Milliseconds& v) { return to_string(v); }};
}

inline Scalar<std::uint64_t> size() {
  return {"size", "a size such as 64KiB, 512MiB or 4GiB",
          Json{{"anyOf", Json::array({Json{{"type", "integer"}, {"minimum", 0}},
                                      Json{{"type", "string"},
                                           {"pattern", "^[0-9]+(B|kB|[MGT]B|[KMGT]iB)$"}}})}},
          [](const Node& n) { return parse_size(n.text); },
          [](const std::uint64_t& v) { return size_to_string(v); }};
}

inline Scalar<MacAddress> mac() {
  return of_text<MacAddress>(
      "MAC address", "a MAC address such as 02:00:00:00:00:01",
      "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$", [](const std::string& t) { return parse_mac(t); },
      [](const MacAddress& v) { return to_string(v); });
}

inline Scalar<IpAddress> ip() {
  return of_text<IpAddress>(
      "IP address", "an IPv4 or IPv6 address", "^[0-9a-fA-F.:]+$",
      [](const std::string& t) { return parse_ip(t); },
      [](const IpAddress& v) { return to_string(v); });
}

inline Scalar<Endpoint> endpoint() {
  return of_text<Endpoint>(
      "IPv4 address:port", "an IPv4 address and a port such as 127.0.0.1:9464", "^[0-9.]+:[0-9]+$",
      [](const std::string& t) { return parse_endpoint(t); },
      [](const Endpoint& v) { return to_string(v); });
}

inline Scalar<Prefix> prefix() {
  return of_text<Prefix>(
      "prefix", "a prefix such as 10.1.0.0/16 or 2001:db8::/32", "^[0-9a-fA-F.:]+(/[0-9]+)?$",
      [](const std::string& t) { return parse_prefix(t); },
      [](const Prefix& v) { return to_string(v); });
}

inline Scalar<Prefix> interface_address() {
  Scalar<Prefix> result = prefix();
  result.type = "address with prefix length";
  result.expected = "an address with its prefix length, such as 192.0.2.1/30";
  result.schema["pattern"] = "^[0-9a-fA-F.:]+/[0-9]+$";
  result.parse = [](const Node& n) -> std::optional<Prefix> {
    if (n.text.find('/') == std::string::npos) return std::nullopt;
    return parse_prefix(n.text);
  };
  return result;
}

inline Scalar<std::uint64_t> sci() {
  return of_text<std::uint64_t>(
      "SCI", "an SCI such as 02:00:00:00:00:0a/1, or 16 hexadecimal digits",
      "^([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}/[0-9]+|[0-9a-fA-F]{16})$",
      [](const std::string& t) { return parse_sci(t); },
      [](const std::uint64_t& v) { return sci_to_string(v); });
}

inline Scalar<PortRange> port_range() {
  return {
      "port or range", "a port such as 443, or a range such as 8000-8080",
      Json{{"anyOf", Json::array({Json{{"type", "integer"}, {"minimum", 0}, {"maximum", 65535}},
                                  Json{{"type", "string"}, {"pattern", "^[0-9]+(-[0-9]+)?$"}}})}},
      [](const Node& n) { return parse_port_range(n.text); },
      [](const PortRange& v) { return to_string(v); }};
}

inline Scalar<std::vector<std::uint8_t>> hex(std::size_t least, std::size_t most) {
  return {fmt::format("{}..{} octets in hexadecimal", least, most),
          fmt::format("{} to {} octets as hexadecimal digits", least, most),
          Json{{"type", "string"}, {"pattern", "^([0-9a-fA-F]{2}:?)+$"}},
          [=](const Node& n) -> std::optional<std::vector<std::uint8_t>> {
            auto octets = parse_hex(n.text);
            if (!octets || octets->size() < least || octets->size() > most) return std::nullopt;
            return octets;
          },
          [](const std::vector<std::uint8_t>& v) { return fmt::format("{} octets", v.size()); }};
}

inline Scalar<std::int64_t> time() {
  return of_text<std::int64_t>(
      "date and time", "a date and time such as 2027-01-01T00:00:00Z",
      "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$",
      [](const std::string& t) { return parse_time(t); },
      [](const std::int64_t& v) { return std::to_string(v); });
}

inline Scalar<std::uint8_t> protocol() {
  return {"IP protocol", "a protocol such as tcp, udp, icmp, icmpv6, or a number from 0 to 255",
          Json{{"anyOf", Json::array({Json{{"type", "integer"}, {"minimum", 0}, {"maximum", 255}},
                                      Json{{"type", "string"}}})}},
          [](const Node& n) { return parse_protocol(n.text); },
          [](const std::uint8_t& v) { return std::to_string(v); }};
}

}  // namespace scalar
}  // namespace sealwire::config
