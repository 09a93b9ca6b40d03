#include "config/load.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "config/check.h"
#include "config/descriptor.h"
#include "config/node.h"
#include "config/report.h"
#include "config/rules.h"

namespace sealwire::config {
namespace {

constexpr std::size_t kLargestFile = 256U << 20;

Loaded unreadable(const std::string& path, std::string message) {
  Loaded loaded;
  loaded.mistakes.push_back(
      {path, 0, 0, "", id_of(Rule::unreadable_file), std::move(message), "a readable file", ""});
  return loaded;
}

bool says_lab(const Node& root) {
  const NodeEntry* lab = root.find("lab");
  return lab != nullptr && lab->value.is_scalar() && !lab->value.quoted &&
         lab->value.text == "true";
}

}  // namespace

Loaded load_text(std::string_view text, const std::string& name) {
  Tree tree = parse_yaml(text);
  Loaded loaded;
  Report report(name, tree.root);
  for (const TreeProblem& problem : tree.problems)
    report.add(problem.feature ? Rule::yaml_feature : Rule::syntax, problem.position, {},
               problem.message);
  const bool readable = report.ok();
  if (!tree.root.is_mapping()) {
    if (readable)
      report.add(Rule::wrong_type, Position{1, 1}, {}, "the file holds no mapping",
                 "a mapping with sealwire, ports and lines");
  } else {
    ReadContext context{.report = report,
                        .directory = std::filesystem::path(name).parent_path().string(),
                        .lab = says_lab(tree.root),
                        .partial = !readable};
    read_map(context, document_type(), &loaded.document, tree.root, {1, 1});
    if (const NodeEntry* system = tree.root.find("system"))
      loaded.document.system.where = system->position;
    // What follows a syntax error is not there, so it cannot be held against the rules.
    if (readable) {
      resolve(loaded.document, report);
      check(loaded.document, report);
    }
  }
  loaded.mistakes = report.take_mistakes();
  loaded.warnings = report.take_warnings();
  wipe(tree.root);
  return loaded;
}

Loaded load_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return unreadable(path, fmt::format("cannot read the file: {}", strerror(errno)));
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return unreadable(path, "cannot read the file: it is a directory");
  std::string text;
  char part[16384];
  while (text.size() <= kLargestFile && (in.read(part, sizeof part), in.gcount() > 0))
    text.append(part, static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return unreadable(path, "cannot read the file");
  if (text.size() > kLargestFile)
    return unreadable(path, "cannot read the file: it has more than 256 MiB");
  Loaded loaded = load_text(text, path);
  crypto::wipe(text.data(), text.size());
  crypto::wipe(part, sizeof part);
  return loaded;
}

}  // namespace sealwire::config
