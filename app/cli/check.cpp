#include "app/cli/check.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "app/cli/client.h"
#include "config/host.h"
#include "config/load.h"
#include "config/rules.h"
#include "config/schema.h"

namespace sealwire::cli {
namespace {

using nlohmann::ordered_json;

std::string remedy(const config::Mistake& mistake) {
  for (const config::RuleText& rule : config::all_rules())
    if (config::id_of(rule.rule) == mistake.id) return std::string(rule.remedy);
  return {};
}

ordered_json to_json(const std::vector<config::Mistake>& mistakes) {
  ordered_json list = ordered_json::array();
  for (const config::Mistake& m : mistakes)
    list.push_back({{"file", m.file},
                    {"line", m.line},
                    {"column", m.column},
                    {"id", m.id},
                    {"path", m.path},
                    {"message", m.message},
                    {"expected", m.expected},
                    {"nearest", m.nearest},
                    {"remedy", remedy(m)}});
  return list;
}

void print(const char* kind, const std::vector<config::Mistake>& mistakes) {
  for (const config::Mistake& m : mistakes) {
    fmt::print("{}{}\n", kind, config::to_string(m));
    if (const std::string help = remedy(m); !help.empty()) fmt::print("    {}\n", help);
  }
}

std::string count(std::size_t n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

}  // namespace

int check_command(const CheckOptions& options) {
  if (options.print_schema || options.print_reference) {
    fmt::print("{}", options.print_schema ? config::json_schema() : config::reference());
    return kOk;
  }
  if (options.file.empty()) {
    fmt::print(stderr, "sealwire check: which file? (`sealwire check FILE`)\n");
    return kUsage;
  }
  const config::Loaded loaded =
      options.host ? config::load_for_host(options.file) : config::load_file(options.file);
  const int code = loaded.ok() ? kOk : kUsage;
  if (options.as_json) {
    // Text from the file may be no valid UTF-8: replace what is not.
    fmt::print("{}\n", ordered_json{{"version", 1},
                                    {"ok", loaded.ok()},
                                    {"mistakes", to_json(loaded.mistakes)},
                                    {"warnings", to_json(loaded.warnings)}}
                           .dump(2, ' ', false, ordered_json::error_handler_t::replace));
    return code;
  }
  print("", loaded.mistakes);
  print("warning: ", loaded.warnings);
  if (loaded.ok())
    fmt::print(
        "{}: ok, {} and {}{}\n", options.file, count(loaded.document.lines.size(), "line", "lines"),
        count(loaded.document.ports.size(), "port", "ports"),
        loaded.warnings.empty() ? ""
                                : ", with " + count(loaded.warnings.size(), "warning", "warnings"));
  else
    fmt::print("{}: {}\n", options.file, count(loaded.mistakes.size(), "mistake", "mistakes"));
  return code;
}

}  // namespace sealwire::cli
