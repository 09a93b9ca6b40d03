#include "config/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <tuple>
#include <utility>

#include "config/text.h"

namespace sealwire::config {
namespace {

// Keys and salts are runs of hexadecimal digits; one that stands in the wrong place must not be
// repeated in a message. Names and addresses have no such runs.
bool could_be_secret(std::string_view text) {
  constexpr std::size_t kLongestName = 63;
  constexpr int kLongestRun = 15;
  if (text.size() > kLongestName) return true;
  int run = 0;
  for (const char c : text) {
    if (c < ' ' || c > '~') return true;
    run = std::isxdigit(static_cast<unsigned char>(c)) != 0 ? run + 1 : 0;
    if (run > kLongestRun) return true;
  }
  return false;
}

std::vector<Mistake> sorted(std::vector<Mistake> list) {
  std::stable_sort(list.begin(), list.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return list;
}

}  // namespace

std::string to_string(const Path& path) {
  std::string text;
  for (const std::string& key : path) {
    if (key.starts_with('[')) {
      text += key;
      continue;
    }
    if (!text.empty()) text += '.';
    if (could_be_secret(key))
      text += "(not shown)";
    else
      text += key.find('.') == std::string::npos ? key : fmt::format("\"{}\"", key);
  }
  return text;
}

std::string quote(std::string_view text) {
  constexpr std::size_t kLongest = 40;  // an IPv6 address has 39
  if (text.size() > kLongest || could_be_secret(text)) return "this value";
  return fmt::format("'{}'", text);
}

const Node* Report::child(const Node& node, const std::string& key, Position& key_position) const {
  if (node.is_sequence() && key.size() > 2 && key.front() == '[') {
    const auto index = parse_number(std::string_view(key).substr(1, key.size() - 2));
    if (!index || *index >= node.items.size()) return nullptr;
    key_position = node.items[*index].position;
    return &node.items[*index];
  }
  constexpr std::size_t kSearched = 32;
  const NodeEntry* entry = nullptr;
  if (node.entries.size() <= kSearched) {
    entry = node.find(key);
  } else {
    Index& index = indexes_[&node];
    if (index.empty())
      for (const NodeEntry& each : node.entries) index.emplace(each.key, &each);
    const auto found = index.find(key);
    if (found != index.end()) entry = found->second;
  }
  if (entry == nullptr) return nullptr;
  key_position = entry->position;
  return &entry->value;
}

const Node* Report::at(const Path& path) const {
  const Node* node = &root_;
  Position ignored;
  for (const std::string& key : path) {
    node = child(*node, key, ignored);
    if (node == nullptr) return nullptr;
  }
  return node;
}

bool Report::mistaken(const Path& path) const {
  return std::any_of(mistakes_.begin(), mistakes_.end(),
                     [place = to_string(path)](const Mistake& m) { return m.path == place; });
}

Position Report::position_of(const Path& path) const {
  const Node* node = &root_;
  Position position{1, 1};
  for (const std::string& key : path) {
    Position key_position;
    node = child(*node, key, key_position);
    if (node == nullptr) return position;
    position = key_position;
  }
  return node->is_scalar() ? node->position : position;
}

void Report::add(Rule rule, Position where, const Path& path, std::string message,
                 std::string expected, std::string nearest) {
  auto& list = is_warning(rule) ? warnings_ : mistakes_;
  list.push_back({file_, where.line, where.column, to_string(path), id_of(rule), std::move(message),
                  std::move(expected), std::move(nearest)});
}

void Report::add(Rule rule, const Path& path, std::string message, std::string expected,
                 std::string nearest) {
  add(rule, position_of(path), path, std::move(message), std::move(expected), std::move(nearest));
}

std::vector<Mistake> Report::take_mistakes() { return sorted(std::exchange(mistakes_, {})); }
std::vector<Mistake> Report::take_warnings() { return sorted(std::exchange(warnings_, {})); }

std::string to_string(const Mistake& m) {
  std::string text = m.file;
  if (m.line > 0) text += fmt::format(":{}:{}", m.line, m.column);
  text += fmt::format(": {}: ", m.id);
  if (!m.path.empty()) text += m.path + ": ";
  text += m.message;
  if (!m.expected.empty()) text += fmt::format("; expected {}", m.expected);
  if (!m.nearest.empty()) text += fmt::format("; did you mean '{}'?", m.nearest);
  return text;
}

}  // namespace sealwire::config
