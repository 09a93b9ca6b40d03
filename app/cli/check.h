// `sealwire check FILE`: every mistake in a configuration, like a compiler says them.
#pragma once

#include <string>

namespace sealwire::cli {

struct CheckOptions {
  std::string file;
  bool host = false;             // also the rules of this host
  bool as_json = false;          // one JSON object instead of lines
  bool print_schema = false;     // the JSON Schema, for editors; no file needed
  bool print_reference = false;  // the reference as Markdown
};

// Mistakes and warnings go to stdout. kOk without mistakes (warnings are no mistakes), else kUsage.
int check_command(const CheckOptions& options);

}  // namespace sealwire::cli
