// sealwire: the command line. Talks to a running daemon over its API socket; links no DPDK.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "app/cli/check.h"
#include "app/cli/client.h"
#include "app/cli/doctor.h"
#include "app/cli/show.h"
#include "app/cli/top.h"
#include "app/control/state_store.h"
#include "config/version.h"
#include "crypto/secret_bytes.h"

namespace sealwire::cli {
namespace {

using nlohmann::json;

std::string default_socket() {
  const char* given = std::getenv("SEALWIRE_API");
  return given != nullptr && *given != '\0' ? given : "/run/sealwire/api.sock";
}

int call_and_print(const std::string& socket, const std::string& method, json params,
                   bool as_json) {
  auto client = Client::connect(socket);
  if (!client) return report(client.error());
  auto result = client->call(method, std::move(params));
  if (!result) return report(result.error());
  if (as_json) {
    fmt::print("{}\n", result->dump(2));
    return kOk;
  }
  for (const json& warning : result->value("warnings", json::array())) {
    if (warning.is_string()) fmt::print(stderr, "warning: {}\n", warning.get<std::string>());
  }
  for (const json& line : result->value("done", json::array())) {
    if (line.is_string()) fmt::print("{}\n", line.get<std::string>());
  }
  return kOk;
}

int show(const std::string& socket, const std::string& view, json params, bool as_json) {
  auto client = Client::connect(socket);
  if (!client) return report(client.error());
  const auto result = client->call("show." + view, std::move(params));
  if (!result) return report(result.error());
  fmt::print("{}", as_json ? result->dump(2) + "\n" : render(view, *result));
  return kOk;
}

// The YAML of SAs or policies: from a file, or from standard input for "-". Keys never come as
// arguments, which every user of the machine could read.
Result<std::string> read_items(const std::string& path) {
  if (path == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  std::ifstream in(path);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.good() && !in.eof()) return fail("SW-CLI-004", path + ": cannot be read");
  return text;
}

int send_items(const std::string& socket, const std::string& method, const std::string& line,
               const std::string& path, json extra, bool as_json) {
  auto text = read_items(path);
  if (!text) return report(text.error());
  json params = std::move(extra);
  params["line"] = line;
  params["yaml"] = *text;
  crypto::wipe(text->data(), text->size());
  return call_and_print(socket, method, std::move(params), as_json);
}

int send_cak(const std::string& socket, const std::string& path, json params, bool as_json) {
  auto text = read_items(path);
  if (!text) return report(text.error());
  std::string digits;
  for (const char c : *text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) digits += c;
  }
  params["cak"] = digits;
  crypto::wipe(text->data(), text->size());
  crypto::wipe(digits.data(), digits.size());
  return call_and_print(socket, "keys.add", std::move(params), as_json);
}

int run(int argc, char** argv) {
  CLI::App app("Sealwire: look at and change a running sealwired", "sealwire");
  app.set_version_flag("--version", config::kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  int code = kOk;
  std::string socket = default_socket();
  bool as_json = false;
  app.add_option("--api", socket, "API socket of the daemon (system.api-socket; or $SEALWIRE_API)")
      ->capture_default_str();
  app.add_flag("--json", as_json, "print the answer as JSON");

  CLI::App* show_command = app.add_subcommand("show", "lines, ports, SAs, SecYs, drops, cores");
  show_command->require_subcommand(1);
  std::string only_line;
  bool all = false;
  for (const std::string& view : views()) {
    CLI::App* one = show_command->add_subcommand(view, "the " + view);
    one->add_option("--line", only_line, "of this line only");
    if (view == "drops") one->add_flag("--all", all, "also the reasons that never happened");
    one->callback([&, view] {
      json params = json::object();
      if (!only_line.empty()) params["line"] = only_line;
      if (all) params["all"] = true;
      code = show(socket, view, std::move(params), as_json);
    });
  }

  TopOptions top_options;
  CLI::App* top_command = app.add_subcommand("top", "live view of lines, cores and drops");
  top_command->add_option("--interval", top_options.interval, "seconds between two pictures")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  top_command->add_option("--count", top_options.count, "pictures to show, 0: until Ctrl-C")
      ->capture_default_str();
  top_command->callback([&] { code = top(socket, top_options); });

  std::string file;
  CLI::App* reload = app.add_subcommand("reload", "apply what changed in the configuration");
  reload->add_option("file", file, "another file than the one the daemon was started with");
  reload->callback([&] {
    json params = json::object();
    if (!file.empty()) params["file"] = file;
    code = call_and_print(socket, "reload", std::move(params), as_json);
  });

  std::string line, name;
  CLI::App* sa = app.add_subcommand("sa", "add, replace or remove ESP SAs at run time");
  sa->require_subcommand(1);
  for (const char* verb : {"add", "replace"}) {
    const bool add = std::string(verb) == "add";
    CLI::App* one = sa->add_subcommand(
        verb, add ? "new SAs, written as under esp.sas in the configuration"
                  : "rekey: SAs of the same names give way without a lost packet");
    one->add_option("line", line, "line with an esp stage")->required();
    one->add_option("file", file, "YAML file, or - for standard input")->required();
    one->callback([&, add] {
      code = send_items(socket, add ? "sa.add" : "sa.replace", line, file, json::object(), as_json);
    });
  }
  CLI::App* sa_remove = sa->add_subcommand("remove", "remove one SA");
  sa_remove->add_option("line", line, "line with an esp stage")->required();
  sa_remove->add_option("name", name, "name of the SA")->required();
  sa_remove->callback([&] {
    code = call_and_print(socket, "sa.remove", {{"line", line}, {"name", name}}, as_json);
  });

  CLI::App* policy = app.add_subcommand("policy", "replace the policies of a line at run time");
  policy->require_subcommand(1);
  CLI::App* policy_set = policy->add_subcommand("set", "all rules, written as under esp.policies");
  policy_set->add_option("line", line, "line with an esp stage")->required();
  policy_set->add_option("file", file, "YAML file, or - for standard input")->required();
  policy_set->callback(
      [&] { code = send_items(socket, "policy.set", line, file, json::object(), as_json); });

  std::string port;
  CLI::App* secy = app.add_subcommand("secy", "change the static SAs of a SecY at run time");
  secy->require_subcommand(1);
  CLI::App* secy_set = secy->add_subcommand(
      "set", "the static tx and rx of a SecY, written as under macsec in the configuration");
  secy_set->add_option("line", line, "line with a macsec stage")->required();
  secy_set->add_option("file", file, "YAML file with tx and rx, or - for standard input")
      ->required();
  secy_set->add_option("--port", port, "outside port, when the line has several");
  secy_set->callback([&] {
    json extra = json::object();
    if (!port.empty()) extra["port"] = port;
    code = send_items(socket, "secy.set", line, file, std::move(extra), as_json);
  });

  CLI::App* rekey = app.add_subcommand("rekey", "ask MKA for a fresh SAK, without a lost frame");
  rekey->add_option("line", line, "line with MKA, whose end is the key server")->required();
  rekey->add_option("--port", port, "outside port, when the line has several");
  rekey->callback([&] {
    json params = {{"line", line}};
    if (!port.empty()) params["port"] = port;
    code = call_and_print(socket, "rekey", std::move(params), as_json);
  });

  std::string ckn, cak_file, start, end;
  bool fallback = false;
  CLI::App* keys = app.add_subcommand("keys", "the CAKs of a line with MKA");
  keys->require_subcommand(1);
  CLI::App* keys_list = keys->add_subcommand("list", "names and lifetimes; never the CAKs");
  keys_list->add_option("line", line, "of this line only");
  keys_list->callback([&] {
    json params = json::object();
    if (!line.empty()) params["line"] = line;
    code = show(socket, "keys", std::move(params), as_json);
  });
  CLI::App* keys_add = keys->add_subcommand(
      "add", "one more CAK, until the next reload: put it in the configuration too");
  keys_add->add_option("line", line, "line with MKA")->required();
  keys_add->add_option("name", name, "name of the key")->required();
  keys_add->add_option("--ckn", ckn, "its CKN, 2 to 64 hexadecimal digits")->required();
  keys_add
      ->add_option("--cak-file", cak_file,
                   "file with the CAK, 32 or 64 hexadecimal digits, or - for standard input")
      ->required();
  keys_add->add_option("--start", start, "valid from, 2027-01-01T00:00:00Z; default: now");
  keys_add->add_option("--end", end, "valid until; default: for ever");
  keys_add->add_flag("--fallback", fallback, "used only when no other key works");
  keys_add->add_option("--port", port, "outside port, when the line has several");
  keys_add->callback([&] {
    json params = {{"line", line}, {"name", name}, {"ckn", ckn}, {"fallback", fallback}};
    if (!start.empty()) params["start"] = start;
    if (!end.empty()) params["end"] = end;
    if (!port.empty()) params["port"] = port;
    code = send_cak(socket, cak_file, std::move(params), as_json);
  });
  CLI::App* keys_retire =
      keys->add_subcommand("retire", "take a CAK out; another one takes over where there is one");
  keys_retire->add_option("line", line, "line with MKA")->required();
  keys_retire->add_option("name", name, "name of the key, or its CKN")->required();
  keys_retire->add_option("--port", port, "outside port, when the line has several");
  keys_retire->callback([&] {
    json params = {{"line", line}, {"name", name}};
    if (!port.empty()) params["port"] = port;
    code = call_and_print(socket, "keys.retire", std::move(params), as_json);
  });

  std::string directory;
  bool force = false;
  CLI::App* state = app.add_subcommand("state", "the state directory");
  state->require_subcommand(1);
  CLI::App* init = state->add_subcommand("init", "make an empty state directory");
  init->add_option("directory", directory, "system.state-directory")->required();
  init->add_flag("--force", force,
                 "forget the numbers already used: only when every static key is replaced too");
  init->callback([&] {
    const auto made = control::StateStore::init(directory, force);
    if (!made) {
      code = report(made.error());
    } else if (as_json) {
      fmt::print("{}\n", json{{"directory", directory}}.dump());
    } else {
      fmt::print("{}: ready\n", directory);
    }
  });

  CheckOptions check_options;
  CLI::App* check = app.add_subcommand("check", "find every mistake in a configuration");
  check->add_option("file", check_options.file, "the configuration");
  check->add_flag("--host", check_options.host, "also whether this host has its cores and devices");
  check->add_flag("--print-schema", check_options.print_schema, "the JSON Schema, for editors");
  check->add_flag("--print-reference", check_options.print_reference, "the reference, in Markdown");
  check->callback([&] {
    check_options.as_json = as_json;
    code = check_command(check_options);
  });

  CLI::App* doctor_command = app.add_subcommand(
      "doctor", "is this box ready: cores, hugepages, NICs, crypto features, MTU, offloads");
  std::string doctor_config;
  doctor_command->add_option("-c,--config", doctor_config,
                             "configuration to check the box against");
  doctor_command->callback([&] { code = doctor(doctor_config, as_json); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return code;
}

}  // namespace
}  // namespace sealwire::cli

int main(int argc, char** argv) {
  try {
    return sealwire::cli::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "sealwire: {}\n", error.what());
    return sealwire::cli::kFailed;
  }
}
