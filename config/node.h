#pragma once

// A YAML document as a tree that keeps positions, order and duplicate keys, built from the parser's
// events (yaml-cpp's own nodes keep none of the three).

#include <string>
#include <string_view>
#include <vector>

#include "config/model.h"

namespace sealwire::config {

struct NodeEntry;

struct Node {
  enum class Kind { null, scalar, sequence, mapping };
  Kind kind = Kind::null;
  Position position;
  std::string text;                // scalar
  bool quoted = false;             // scalar: in quotes, so never a number or boolean
  std::vector<Node> items;         // sequence
  std::vector<NodeEntry> entries;  // mapping, duplicates kept

  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_mapping() const { return kind == Kind::mapping; }
  bool is_sequence() const { return kind == Kind::sequence; }
  // First entry of that key, or nullptr.
  const NodeEntry* find(std::string_view key) const;
};

struct NodeEntry {
  std::string key;
  Position position;  // of the key
  Node value;
};

struct TreeProblem {
  bool feature = false;  // an unsupported YAML feature rather than a syntax error
  Position position;
  std::string message;
};

struct Tree {
  Node root;
  std::vector<TreeProblem> problems;
};

// Overwrites every scalar: inline keys must not stay behind in freed memory.
void wipe(Node& node);

// Never throws. With a syntax error the tree holds what came before it.
Tree parse_yaml(std::string_view text);

}  // namespace sealwire::config
