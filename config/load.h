#pragma once

// Reading a configuration: YAML text in, a resolved Document and every mistake out.

#include <string>
#include <string_view>
#include <vector>

#include "config/model.h"

namespace sealwire::config {

// One thing wrong, or one thing worth a warning. No field ever holds a secret's bytes.
struct Mistake {
  std::string file;
  int line = 0;          // 1-based, 0: the file as a whole
  int column = 0;        // 1-based
  std::string path;      // "lines.x.macsec.suite"
  std::string id;        // "SW-CFG-004", stable; warnings are "SW-CFG-1nn"
  std::string message;   // what is wrong
  std::string expected;  // what was expected, may be empty
  std::string nearest;   // nearest valid name for a misspelt one, may be empty
};

struct Loaded {
  Document document;              // meaningful only if ok()
  std::vector<Mistake> mistakes;  // in file order
  std::vector<Mistake> warnings;  // in file order
  bool ok() const { return mistakes.empty(); }
};

// Reads and checks the file and loads the secrets it names. Relative `file:` secrets are relative
// to the file's directory. Never throws; an unreadable file is a Mistake.
Loaded load_file(const std::string& path);

// The same for text; `name` is used in messages and for relative secrets.
Loaded load_text(std::string_view text, const std::string& name);

// "site-a.yaml:12:7: SW-CFG-004: lines.x.macsec.suit: unknown key; did you mean 'suite'?"
std::string to_string(const Mistake& mistake);

}  // namespace sealwire::config
