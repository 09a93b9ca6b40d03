#pragma once

// The one table of everything a configuration may say. The reader (load.cpp), the JSON Schema and
// the reference (schema.cpp) walk it; nothing else knows a key's name, type, range or default.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/node.h"
#include "config/report.h"

namespace sealwire::config {

using Json = nlohmann::ordered_json;

// What reading needs to know beside the node.
struct ReadContext {
  Report& report;
  std::string directory;  // relative secrets start here
  bool lab = false;
  bool partial = false;   // the text broke off: what is missing may have followed
  std::string profile{};  // of the line being read
  LinkSpeed link_speed = LinkSpeed::unknown;
  Path path{};
};

struct MapType;

enum class Shape { scalar, list, secret, map, named, maps };

struct Field {
  std::string name;
  std::string doc;
  bool required = false;
  Shape shape = Shape::scalar;
  std::string type;      // for people: "number 68..9600", "time", "list of prefixes"
  std::string fallback;  // the default, as it would be written; empty: none
  Json schema;           // of the value; map, named, maps: made from `child`
  const MapType* child = nullptr;
  std::string key;          // named: what the keys are, e.g. "name"
  std::string key_pattern;  // named: regular expression of a key
  // Reads the node into the struct behind the pointer, which is of the MapType's type.
  std::function<void(ReadContext&, void*, const NodeEntry&)> read;
};

struct MapType {
  std::string name;  // unique, for the schema's definitions
  std::string doc;
  std::vector<Field> fields;
  // Runs on the fresh struct before any field is read (profiles).
  std::function<void(ReadContext&, void*, const Node&)> prepare;
};

// The whole document; target of its fields is Document.
const MapType& document_type();

// Parts of it that also come alone: `esp` of a Line, and one of `secys`.
const MapType& esp_type();
const MapType& secy_type();

// Reads a mapping: unknown and duplicate keys, required ones, then every field.
void read_map(ReadContext& context, const MapType& type, void* target, const Node& node,
              Position where);

}  // namespace sealwire::config
