#pragma once

// Builds MapTypes: each call names a key, where its value goes in the struct S, its type and what
// it means. `get` is a member pointer or a function S& -> T&.

#include <fmt/format.h>

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/descriptor.h"
#include "config/scalar.h"

namespace sealwire::config {

// --- what the readers of fields share ----------------------------------------------------------

// The node's kind in words, for "expected a mapping, found a list".
std::string_view kind_name(const Node& node);

void report_wrong_type(ReadContext& context, const NodeEntry& entry, const std::string& expected);

bool valid_name(std::string_view name);
inline constexpr const char* kNamePattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$";

// Reports duplicate keys; returns the first entry of each.
std::vector<const NodeEntry*> distinct_entries(ReadContext& context, const Node& node);

// Adds a key to the context's path for a scope.
class PathScope {
 public:
  PathScope(ReadContext& context, std::string key) : path_(context.path) {
    path_.push_back(std::move(key));
  }
  ~PathScope() { path_.pop_back(); }
  PathScope(const PathScope&) = delete;
  PathScope& operator=(const PathScope&) = delete;

 private:
  Path& path_;
};

template <class T>
std::optional<T> read_scalar(ReadContext& context, const Scalar<T>& scalar,
                             const NodeEntry& entry) {
  if (!entry.value.is_scalar()) {
    report_wrong_type(context, entry, scalar.expected);
    return std::nullopt;
  }
  std::optional<T> value = scalar.parse(entry.value);
  if (!value) {
    const bool choice = !scalar.choices.empty();
    context.report.add(choice ? Rule::unknown_choice : Rule::bad_value, entry.value.position,
                       context.path, fmt::format("{} is not valid here", quote(entry.value.text)),
                       scalar.expected,
                       choice ? nearest(entry.value.text, scalar.choices) : std::string{});
  }
  return value;
}

// Reads a sequence of scalars, or one scalar as a sequence of one.
template <class T>
std::vector<T> read_list(ReadContext& context, const Scalar<T>& scalar, const NodeEntry& entry) {
  std::vector<T> list;
  if (entry.value.is_scalar()) {
    if (auto value = read_scalar(context, scalar, entry)) list.push_back(std::move(*value));
    return list;
  }
  if (!entry.value.is_sequence()) {
    report_wrong_type(context, entry, "a list, each " + scalar.expected);
    return list;
  }
  std::size_t index = 0;
  for (const Node& item : entry.value.items) {
    const PathScope scope(context, fmt::format("[{}]", index++));
    if (auto value = read_scalar(context, scalar, {{}, item.position, item}))
      list.push_back(std::move(*value));
  }
  return list;
}

void read_secret(ReadContext& context, Secret& secret, const NodeEntry& entry);

Json list_schema(const Json& item);

// --- the builder -------------------------------------------------------------------------------

inline constexpr bool kRequired = true;

// How the items of a named mapping take their key.
template <class Item>
struct KeyOf {
  std::string what;      // "name", "AN 0..3"
  std::string expected;  // "a name such as ..."
  std::string pattern;
  std::function<bool(Item&, const std::string&)> set;
};

template <class Item>
KeyOf<Item> by_name() {
  return {"name", "a name of letters, digits and _ . -, up to 63", kNamePattern,
          [](Item& item, const std::string& key) {
            item.name = key;
            return valid_name(key);
          }};
}

template <class S>
class Fields {
 public:
  Fields(std::string name, std::string doc) {
    type_.name = std::move(name), type_.doc = std::move(doc);
  }

  template <class Get, class T>
  Fields& value(std::string name, Get get, const Scalar<T>& scalar, std::string doc,
                bool required = false) {
    Field& field = add(std::move(name), std::move(doc), required, Shape::scalar);
    field.type = scalar.type;
    field.schema = scalar.schema;
    if constexpr (std::is_same_v<Target<Get>, T>) {
      S fresh{};
      if (!required) field.fallback = scalar.show(std::invoke(get, fresh));
    }
    field.read = [get, scalar](ReadContext& context, void* target, const NodeEntry& entry) {
      if (auto value = read_scalar(context, scalar, entry))
        std::invoke(get, *static_cast<S*>(target)) = std::move(*value);
    };
    return *this;
  }

  template <class Get, class T>
  Fields& list(std::string name, Get get, const Scalar<T>& scalar, std::string doc,
               bool required = false) {
    Field& field = add(std::move(name), std::move(doc), required, Shape::list);
    field.type = "list of " + scalar.type;
    field.schema = list_schema(scalar.schema);
    S fresh{};
    for (const T& item : std::invoke(get, fresh))
      field.fallback += (field.fallback.empty() ? "" : ", ") + scalar.show(item);
    if (!field.fallback.empty()) field.fallback = "[" + field.fallback + "]";
    field.read = [get, scalar](ReadContext& context, void* target, const NodeEntry& entry) {
      std::invoke(get, *static_cast<S*>(target)) = read_list(context, scalar, entry);
    };
    return *this;
  }

  template <class Get>
  Fields& secret(std::string name, Get get, std::string doc, bool required = false) {
    Field& field = add(std::move(name), std::move(doc), required, Shape::secret);
    field.type = "secret";
    field.schema = Json{{"type", "string"}};
    field.read = [get](ReadContext& context, void* target, const NodeEntry& entry) {
      read_secret(context, std::invoke(get, *static_cast<S*>(target)), entry);
    };
    return *this;
  }

  // A nested mapping that fills T, a part of S. A std::optional becomes engaged.
  template <class Get>
  Fields& map(std::string name, Get get, const MapType& child, std::string doc,
              bool required = false) {
    Field& field = add(std::move(name), std::move(doc), required, Shape::map);
    field.type = "mapping";
    field.child = &child;
    field.read = [get, &child](ReadContext& context, void* target, const NodeEntry& entry) {
      if (!entry.value.is_mapping()) return report_wrong_type(context, entry, "a mapping");
      auto& part = std::invoke(get, *static_cast<S*>(target));
      if constexpr (requires { part.emplace(); }) {
        auto& fresh = part.emplace();
        if constexpr (requires { fresh.where; }) fresh.where = entry.position;
        read_map(context, child, &fresh, entry.value, entry.position);
      } else {
        read_map(context, child, &part, entry.value, entry.position);
      }
    };
    return *this;
  }

  // A mapping from keys to items; the items keep the document's order.
  template <class Get, class Item>
  Fields& named(std::string name, Get get, const KeyOf<Item>& key, const MapType& child,
                std::string doc, bool required = false) {
    Field& field = add(std::move(name), std::move(doc), required, Shape::named);
    field.type = "mapping";
    field.child = &child;
    field.key = key.what;
    field.key_pattern = key.pattern;
    field.read = [get, key, &child](ReadContext& context, void* target, const NodeEntry& entry) {
      if (!entry.value.is_mapping())
        return report_wrong_type(context, entry, fmt::format("a mapping by {}", key.what));
      std::vector<Item>& items = std::invoke(get, *static_cast<S*>(target));
      items.reserve(entry.value.entries.size());
      for (const NodeEntry* each : distinct_entries(context, entry.value)) {
        const PathScope scope(context, each->key);
        Item item{};
        item.where = each->position;
        if (!key.set(item, each->key)) {
          context.report.add(Rule::bad_name, each->position, context.path,
                             fmt::format("{} is not valid as a key here", quote(each->key)),
                             key.expected);
          continue;
        }
        if (!each->value.is_mapping()) {
          report_wrong_type(context, *each, "a mapping");
          continue;
        }
        read_map(context, child, &item, each->value, each->position);
        items.push_back(std::move(item));
      }
    };
    return *this;
  }

  // A list of mappings.
  template <class Get>
  Fields& maps(std::string name, Get get, const MapType& child, std::string doc) {
    Field& field = add(std::move(name), std::move(doc), false, Shape::maps);
    field.type = "list of mappings";
    field.child = &child;
    field.read = [get, &child](ReadContext& context, void* target, const NodeEntry& entry) {
      if (!entry.value.is_sequence()) return report_wrong_type(context, entry, "a list");
      auto& items = std::invoke(get, *static_cast<S*>(target));
      std::size_t index = 0;
      for (const Node& node : entry.value.items) {
        const PathScope scope(context, fmt::format("[{}]", index++));
        if (!node.is_mapping()) {
          report_wrong_type(context, {{}, node.position, node}, "a mapping");
          continue;
        }
        read_map(context, child, &items.emplace_back(), node, node.position);
      }
    };
    return *this;
  }

  // A value of more than one shape.
  Fields& custom(std::string name, std::string type, std::string fallback, Json schema,
                 std::string doc, std::function<void(ReadContext&, S&, const NodeEntry&)> read) {
    Field& field = add(std::move(name), std::move(doc), false, Shape::scalar);
    field.type = std::move(type);
    field.fallback = std::move(fallback);
    field.schema = std::move(schema);
    field.read = [read](ReadContext& context, void* target, const NodeEntry& entry) {
      read(context, *static_cast<S*>(target), entry);
    };
    return *this;
  }

  Fields& prepare(std::function<void(ReadContext&, S&, const Node&)> prepare) {
    type_.prepare = [prepare](ReadContext& context, void* target, const Node& node) {
      prepare(context, *static_cast<S*>(target), node);
    };
    return *this;
  }

  MapType build() { return std::move(type_); }

 private:
  template <class Get>
  using Target = std::remove_cvref_t<std::invoke_result_t<Get, S&>>;

  Field& add(std::string name, std::string doc, bool required, Shape shape) {
    Field& field = type_.fields.emplace_back();
    field.name = std::move(name);
    field.doc = std::move(doc);
    field.required = required;
    field.shape = shape;
    return field;
  }

  MapType type_;
};

}  // namespace sealwire::config
