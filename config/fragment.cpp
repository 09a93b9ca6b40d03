#include "config/fragment.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>

#include "config/check.h"
#include "config/descriptor.h"
#include "config/diff.h"
#include "config/node.h"
#include "config/report.h"
#include "config/rules.h"
#include "config/text.h"

namespace sealwire::config {
namespace {

// The text as a part of a document, so that paths in messages are those of a configuration.
class Part {
 public:
  // `keys` lead from the top to where the text belongs.
  Part(const Path& keys, std::string_view text, const std::string& source)
      : tree_(parse_yaml(text)), report_(source, root_), keys_(keys) {
    for (const TreeProblem& problem : tree_.problems)
      report_.add(problem.feature ? Rule::yaml_feature : Rule::syntax, problem.position, {},
                  problem.message);
    if (report_.ok() && !tree_.root.is_mapping())
      report_.add(Rule::wrong_type, Position{1, 1}, keys, "the text holds no mapping", "a mapping");
    Node node = std::move(tree_.root);
    for (auto key = keys_.rbegin(); key != keys_.rend(); ++key) {
      Node above;
      above.kind = Node::Kind::mapping;
      above.position = {1, 1};
      above.entries.push_back({*key, {1, 1}, std::move(node)});
      node = std::move(above);
    }
    root_ = std::move(node);
  }
  ~Part() { wipe(root_); }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  bool readable() const { return report_.ok(); }
  Report& report() { return report_; }

  // Reads the mapping at the first `depth` keys. Inline secrets are allowed: who may write to the
  // API's socket is told by its permissions, and the keys do not stay in a file.
  void read(const MapType& type, void* target, std::size_t depth, const std::string& directory) {
    Path path(keys_.begin(), keys_.begin() + static_cast<Path::difference_type>(depth));
    const Node* node = report_.at(path);
    ReadContext context{
        .report = report_, .directory = directory, .lab = true, .path = std::move(path)};
    read_map(context, type, target, *node, {1, 1});
  }

  void finish(Fragment& fragment) {
    fragment.mistakes = report_.take_mistakes();
    fragment.warnings = report_.take_warnings();
  }

 private:
  Tree tree_;
  Node root_;
  Report report_;
  Path keys_;
};

// Leaves a mistake when there is no such line with that stage.
const Line* line_with(const Document& running, std::string_view name, Stage stage, Report& report) {
  const Line* line = find(running.lines, name);
  if (line == nullptr) {
    std::vector<std::string_view> names;
    for (const Line& each : running.lines) names.push_back(each.name);
    report.add(Rule::missing_settings, Position{1, 1}, {"lines", std::string(name)},
               fmt::format("there is no line {}", quote(name)), "a line", nearest(name, names));
  } else if (!line->has(stage)) {
    report.add(Rule::foreign_settings, Position{1, 1}, {"lines", std::string(name)},
               fmt::format("the line has no stage {}", stage == Stage::esp ? "esp" : "macsec"));
    return nullptr;
  }
  return line;
}

// What the rules look at beside the SAs and policies.
Line surroundings(const Line& line) {
  Line copy;
  copy.name = line.name;
  copy.stages = line.stages;
  copy.inside = line.inside;
  copy.outside = line.outside;
  copy.cleartext = line.cleartext;
  copy.gateway = line.gateway;
  return copy;
}

// esp needs its policies; in a part they do not stand beside the SAs.
const MapType& only(const MapType& type, std::string_view field) {
  static const MapType sas = [&] {
    MapType part = type;
    std::erase_if(part.fields, [](const Field& f) { return f.name != "sas"; });
    return part;
  }();
  static const MapType policies = [&] {
    MapType part = type;
    std::erase_if(part.fields, [](const Field& f) { return f.name != "policies"; });
    return part;
  }();
  return field == "sas" ? sas : policies;
}

void name_in_use(const Line& line, const EspSa& sa, Report& report) {
  report.add(Rule::duplicate_key, sa.where, {"lines", line.name, "esp", "sas", sa.name},
             fmt::format("the line has an SA {} already", quote(sa.name)), "another name");
}

void name_unknown(const Line& running, const EspSa& sa, Report& report) {
  std::vector<std::string_view> names;
  for (const EspSa& each : running.sas) names.push_back(each.name);
  report.add(Rule::unknown_sa, sa.where, {"lines", running.name, "esp", "sas", sa.name},
             fmt::format("there is no SA {} to replace", quote(sa.name)), "an SA of this line",
             nearest(sa.name, names));
}

}  // namespace

Fragment read_sas(const Document& running, std::string_view line, std::string_view text,
                  const std::string& source, bool replace) {
  Fragment fragment;
  Part part({"lines", std::string(line), "esp", "sas"}, text, source);
  const Line* here = line_with(running, line, Stage::esp, part.report());
  if (here != nullptr && part.readable()) {
    fragment.line = surroundings(*here);
    std::vector<EspSa>& sas = fragment.line.sas;
    part.read(only(esp_type(), "sas"), &fragment.line, 3, {});
    std::unordered_set<std::string_view> fresh;
    for (EspSa& sa : sas) {
      fresh.insert(sa.name);
      const EspSa* before = find(here->sas, sa.name);
      if (before != nullptr && !replace) name_in_use(*here, sa, part.report());
      if (before == nullptr && replace) name_unknown(*here, sa, part.report());
    }
    resolve_sas(sas, here->policies, line, part.report());
    for (EspSa& sa : sas)
      if (const EspSa* before = find(here->sas, sa.name);
          before != nullptr && sa.selectors.empty() && sa.direction == before->direction)
        sa.selectors = before->selectors;
    // A replaced SA lives on until the peer has moved: its key and SPI are still in use.
    std::vector<const EspSa*> same_line, others;
    for (const Line& each : running.lines)
      for (const EspSa& sa : each.sas) (&each == here ? same_line : others).push_back(&sa);
    check_sas(fragment.line, same_line, others, part.report());
  }
  part.finish(fragment);
  return fragment;
}

Fragment read_policies(const Document& running, std::string_view line, std::string_view text,
                       const std::string& source) {
  Fragment fragment;
  Part part({"lines", std::string(line), "esp", "policies"}, text, source);
  const Line* here = line_with(running, line, Stage::esp, part.report());
  if (here != nullptr && part.readable()) {
    fragment.line = surroundings(*here);
    part.read(only(esp_type(), "policies"), &fragment.line, 3, {});
    check_policies(fragment.line, here->sas, part.report());
  }
  part.finish(fragment);
  return fragment;
}

Fragment read_secy(const Document& running, std::string_view line, std::string_view port,
                   std::string_view text, const std::string& source) {
  Fragment fragment;
  const Line* there = find(running.lines, line);
  const bool several = there != nullptr && there->outside.size() > 1;
  Path keys{"lines", std::string(line), "macsec"};
  if (several) keys.insert(keys.end(), {"secys", std::string(port)});
  Part part(keys, text, source);
  const Line* here = line_with(running, line, Stage::macsec, part.report());
  const SecY* before = nullptr;
  if (here != nullptr && here->macsec) {
    for (const SecY& secy : here->macsec->secys)
      if (secy.port == port || (port.empty() && !several)) before = &secy;
    if (before == nullptr)
      part.report().add(Rule::secys, Position{1, 1}, keys,
                        fmt::format("{} is not an outside port of this line", quote(port)),
                        "an outside port",
                        nearest(port, {here->outside.begin(), here->outside.end()}));
  }
  if (before != nullptr && part.readable()) {
    SecY secy;
    secy.port = before->port;
    secy.where = {1, 1};
    part.read(secy_type(), &secy, keys.size(), {});
    if (!secy.sci) secy.sci = before->sci;
    fragment.line = surroundings(*here);
    fragment.line.macsec = clone(*here->macsec);
    fragment.line.macsec->secys.clear();
    if (secy.mka || mka_of(*here->macsec, *before) != nullptr)
      part.report().add(Rule::static_and_mka, Position{1, 1}, keys,
                        "this SecY gets its keys from MKA");
    check_secy(running, fragment.line, secy, part.report());
    fragment.line.macsec->secys.push_back(std::move(secy));
  }
  part.finish(fragment);
  return fragment;
}

}  // namespace sealwire::config
