#include "config/reader.h"

#include <unordered_map>

#include "config/secrets.h"

namespace sealwire::config {

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::scalar:
      return "a single value";
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::mapping:
      return "a mapping";
  }
  return "nothing";
}

void report_wrong_type(ReadContext& context, const NodeEntry& entry, const std::string& expected) {
  context.report.add(Rule::wrong_type,
                     entry.value.is_scalar() ? entry.value.position : entry.position, context.path,
                     fmt::format("{} stands here", kind_name(entry.value)), expected);
}

bool valid_name(std::string_view name) {
  constexpr std::size_t kLongest = 63;
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kLongest && alphanumeric(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

std::vector<const NodeEntry*> distinct_entries(ReadContext& context, const Node& node) {
  std::vector<const NodeEntry*> entries;
  entries.reserve(node.entries.size());
  std::unordered_map<std::string_view, const NodeEntry*> seen;
  for (const NodeEntry& entry : node.entries) {
    const auto [first, fresh] = seen.emplace(entry.key, &entry);
    if (fresh) {
      entries.push_back(&entry);
      continue;
    }
    const PathScope scope(context, entry.key);
    context.report.add(Rule::duplicate_key, entry.position, context.path,
                       fmt::format("{} is already given in line {}", quote(entry.key),
                                   first->second->position.line));
  }
  return entries;
}

void read_secret(ReadContext& context, Secret& secret, const NodeEntry& entry) {
  if (!entry.value.is_scalar())
    return report_wrong_type(context, entry, "file:PATH, env:NAME or hexadecimal digits");
  SecretProblem problem;
  if (!load_secret(entry.value.text, context.directory, context.lab, secret, problem))
    context.report.add(problem.rule, entry.value.position, context.path, problem.message,
                       problem.expected);
}

Json list_schema(const Json& item) {
  return Json{{"anyOf", Json::array({item, Json{{"type", "array"}, {"items", item}}})}};
}

void read_map(ReadContext& context, const MapType& type, void* target, const Node& node,
              Position where) {
  if (type.prepare) type.prepare(context, target, node);
  for (const NodeEntry* entry : distinct_entries(context, node)) {
    const PathScope scope(context, entry->key);
    const auto field = std::find_if(type.fields.begin(), type.fields.end(),
                                    [&](const Field& f) { return f.name == entry->key; });
    if (field == type.fields.end()) {
      std::vector<std::string_view> names;
      for (const Field& f : type.fields) names.push_back(f.name);
      context.report.add(Rule::unknown_key, entry->position, context.path, "unknown key", {},
                         nearest(entry->key, names));
      continue;
    }
    field->read(context, target, *entry);
  }
  if (context.partial) return;
  for (const Field& field : type.fields)
    if (field.required && node.find(field.name) == nullptr) {
      const PathScope scope(context, field.name);
      context.report.add(Rule::missing_key, where, context.path, "this key is missing", field.type);
    }
}

}  // namespace sealwire::config
