#include "config/node.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <utility>

namespace sealwire::config {
namespace {

Position to_position(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(Tree& tree) : tree_(tree) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    note_anchor(mark, anchor);
    add(make(mark, Node::Kind::null));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases are not supported");
    add(make(mark, Node::Kind::null));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    note_anchor(mark, anchor);
    note_tag(mark, tag);
    Node node = make(mark, Node::Kind::scalar);
    node.text = value;
    node.quoted = tag == "!";
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::sequence);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::mapping);
  }
  void OnMapEnd() override { close(); }

  // After a syntax error the open containers are folded into what there is.
  void finish() {
    while (!stack_.empty()) close();
  }

 private:
  struct Frame {
    Node node;
    bool has_key = false;
    std::string key;
    Position key_position;
  };

  static Node make(const YAML::Mark& mark, Node::Kind kind) {
    Node node;
    node.kind = kind;
    node.position = to_position(mark);
    return node;
  }

  void refuse(const YAML::Mark& mark, std::string message) {
    tree_.problems.push_back({true, to_position(mark), std::move(message)});
  }
  void note_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) refuse(mark, "anchors are not supported");
  }
  void note_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, "tags are not supported");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    note_anchor(mark, anchor);
    note_tag(mark, tag);
    Frame frame;
    frame.node = make(mark, kind);
    stack_.push_back(std::move(frame));
  }

  void close() {
    if (stack_.empty()) return;
    Node node = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(node));
  }

  void add(Node node) {
    if (stack_.empty()) {
      tree_.root = std::move(node);
      return;
    }
    Frame& top = stack_.back();
    if (top.node.is_sequence()) {
      top.node.items.push_back(std::move(node));
      return;
    }
    if (!top.has_key) {
      if (!node.is_scalar())
        tree_.problems.push_back({true, node.position, "a key must be a plain name"});
      top.has_key = true;
      top.key = std::move(node.text);
      top.key_position = node.position;
      return;
    }
    top.has_key = false;
    top.node.entries.push_back({std::move(top.key), top.key_position, std::move(node)});
    top.key.clear();
  }

  Tree& tree_;
  std::vector<Frame> stack_;
};

}  // namespace

const NodeEntry* Node::find(std::string_view key) const {
  for (const NodeEntry& entry : entries)
    if (entry.key == key) return &entry;
  return nullptr;
}

void wipe(Node& node) {
  if (!node.text.empty()) crypto::wipe(node.text.data(), node.text.size());
  for (Node& item : node.items) wipe(item);
  for (NodeEntry& entry : node.entries) wipe(entry.value);
}

Tree parse_yaml(std::string_view text) {
  Tree tree;
  Builder builder(tree);
  std::istringstream in{std::string(text)};
  try {
    YAML::Parser parser(in);
    parser.HandleNextDocument(builder);
    builder.finish();
    Tree rest;
    Builder other(rest);
    if (parser.HandleNextDocument(other))
      tree.problems.push_back({true, rest.root.position, "a file holds one document"});
  } catch (const YAML::Exception& e) {
    builder.finish();
    tree.problems.push_back({false, to_position(e.mark), e.msg});
  } catch (const std::exception&) {
    builder.finish();
    tree.problems.push_back({false, {1, 1}, "the YAML parser gave up on this text"});
  }
  return tree;
}

}  // namespace sealwire::config
