#include "config/schema.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "config/descriptor.h"
#include "config/profiles.h"
#include "config/rules.h"

namespace sealwire::config {
namespace {

Json reference_to(const MapType& type) { return Json{{"$ref", "#/definitions/" + type.name}}; }

Json schema_of(const Field& field) {
  Json schema;
  switch (field.shape) {
    case Shape::scalar:
    case Shape::list:
    case Shape::secret:
      schema = field.schema;
      break;
    case Shape::map:
      schema["allOf"] = Json::array({reference_to(*field.child)});
      break;
    case Shape::maps:
      schema = Json{{"type", "array"}, {"items", reference_to(*field.child)}};
      break;
    case Shape::named:
      schema = Json{{"type", "object"},
                    {"patternProperties", {{field.key_pattern, reference_to(*field.child)}}},
                    {"additionalProperties", false}};
      break;
  }
  schema["description"] = field.doc;
  return schema;
}

Json schema_of(const MapType& type) {
  Json properties = Json::object(), required = Json::array();
  for (const Field& field : type.fields) {
    properties[field.name] = schema_of(field);
    if (field.required) required.push_back(field.name);
  }
  Json schema{{"type", "object"},
              {"description", type.doc},
              {"properties", std::move(properties)},
              {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

// Every mapping type once, in the order in which a reader meets them.
void collect(const MapType& type, std::vector<const MapType*>& types, std::set<std::string>& seen) {
  if (!seen.insert(type.name).second) return;
  types.push_back(&type);
  for (const Field& field : type.fields)
    if (field.child != nullptr) collect(*field.child, types, seen);
}

std::vector<const MapType*> all_types() {
  std::vector<const MapType*> types;
  std::set<std::string> seen;
  collect(document_type(), types, seen);
  return types;
}

// A cell of a table may not hold the column's separator.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2)
    text.replace(at, 1, "\\|");
  return text;
}

std::string type_cell(const Field& field) {
  if (field.child == nullptr) return field.type;
  std::string link = fmt::format("[{0}](#{0})", field.child->name);
  switch (field.shape) {
    case Shape::named:
      return fmt::format("mapping from {} to {}", field.key, link);
    case Shape::maps:
      return "list of " + link;
    default:
      return link;
  }
}

std::string default_cell(const Field& field) {
  if (field.required) return "required";
  return field.fallback.empty() ? "" : fmt::format("`{}`", field.fallback);
}

constexpr const char* kIntroduction = R"(# Configuration reference

<!-- Generated from config/descriptor.cpp by `sealwire check --print-reference`. Do not edit. -->

Sealwire reads one YAML file. `sealwire check FILE` says every mistake in it at once, each with its
line, column and key; `config/schema.json` (`sealwire check --print-schema`) makes editors help while
typing. Examples are in `config/examples`.

- Ports, lines, SAs, policies and keys are mappings by name. Names start with a letter or digit, go on
  with those and `_ . -`, and have up to 63 characters. Policies apply in the order they are written.
- Numbers are decimal or hexadecimal (`0x1001`). Times have a unit: `500ms`, `30s`, `20m`, `8h`, `7d`.
  Sizes are octets, or have a unit: `64KiB`, `512MiB`, `4GiB`, `1TiB`, or decimal `kB`, `MB`, `GB`,
  `TB`.
- A list of one may be written without its brackets.
- A *secret* is `file:PATH`, `env:NAME`, or with `lab: true` the hexadecimal digits themselves. A file
  holds hexadecimal digits, belongs to root or the daemon's user, and is closed to group and others
  (mode 0600). A relative path starts at the configuration file's directory. Quote digits, or YAML
  tools may take them for a number.
- YAML's anchors, aliases and tags are not used.

)";

}  // namespace

std::string json_schema() {
  const MapType& top = document_type();
  Json schema{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "Sealwire"}};
  const Json document = schema_of(top);
  for (const auto& [key, value] : document.items()) schema[key] = value;
  Json definitions = Json::object();
  for (const MapType* type : all_types())
    if (type != &top) definitions[type->name] = schema_of(*type);
  schema["definitions"] = std::move(definitions);
  return schema.dump(2) + "\n";
}

std::string reference() {
  std::string text = kIntroduction;
  for (const MapType* type : all_types()) {
    text += fmt::format("## {}\n\n{}\n\n", type->name, type->doc);
    text += "| Key | Type | Default | Meaning |\n|---|---|---|---|\n";
    for (const Field& field : type->fields)
      text += fmt::format("| `{}` | {} | {} | {} |\n", field.name, cell(type_cell(field)),
                          cell(default_cell(field)), cell(field.doc));
    text += '\n';
  }
  text += "## Profiles\n\nWhat `profile` on a line knows of its far end.\n\n";
  text += "| Profile | Far end | Needs |\n|---|---|---|\n";
  for (const Profile& profile : all_profiles())
    text +=
        fmt::format("| `{}` | {} | {} |\n", profile.name, cell(profile.doc), cell(profile.needs));
  text +=
      "\n## Mistakes and warnings\n\nIds never change their meaning. Those from SW-CFG-200 on are "
      "warnings.\n\n| Id | What must hold | What to do |\n|---|---|---|\n";
  for (const RuleText& rule : all_rules())
    text += fmt::format("| {} | {} | {} |\n", id_of(rule.rule), cell(std::string(rule.title)),
                        cell(std::string(rule.remedy)));
  return text;
}

}  // namespace sealwire::config
