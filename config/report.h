#pragma once

// Where mistakes are collected while a document is read and checked.

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "config/load.h"
#include "config/node.h"
#include "config/rules.h"

namespace sealwire::config {

// The keys from the document's top to a value; list items are "[2]".
using Path = std::vector<std::string>;

// "lines.x.macsec.suite"; a key with a dot in it is quoted.
std::string to_string(const Path& path);

// The text in quotes for a message, or "this value" when it is long or could be key material:
// secrets that stand in the wrong place must not be repeated.
std::string quote(std::string_view text);

class Report {
 public:
  // `root` must outlive the report.
  Report(std::string file, const Node& root) : file_(std::move(file)), root_(root) {}

  // Routed to the warnings or the mistakes by the rule.
  void add(Rule rule, Position where, const Path& path, std::string message,
           std::string expected = {}, std::string nearest = {});

  // The same, with the position looked up: the value at the path, or the nearest key above it.
  void add(Rule rule, const Path& path, std::string message, std::string expected = {},
           std::string nearest = {});

  // Whether the document itself has a value at the path.
  bool given(const Path& path) const { return at(path) != nullptr; }
  const Node* at(const Path& path) const;  // nullptr: not given

  // Whether a mistake was found in the very value at the path, so that a default stands in for it.
  bool mistaken(const Path& path) const;

  const Node& root() const { return root_; }
  const std::string& file() const { return file_; }

  // Sorted by position, ready to be shown; the report is empty after.
  std::vector<Mistake> take_mistakes();
  std::vector<Mistake> take_warnings();
  bool ok() const { return mistakes_.empty(); }

 private:
  const Node* child(const Node& node, const std::string& key, Position& key_position) const;
  Position position_of(const Path& path) const;

  std::string file_;
  const Node& root_;
  // Of the large mappings only: a look-up in 100,000 SAs is no search.
  using Index = std::unordered_map<std::string_view, const NodeEntry*>;
  mutable std::unordered_map<const Node*, Index> indexes_;
  std::vector<Mistake> mistakes_;
  std::vector<Mistake> warnings_;
};

}  // namespace sealwire::config
