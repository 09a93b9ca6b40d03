#pragma once

// Secrets: file:PATH, env:NAME, or inline hexadecimal digits.

#include <string>
#include <string_view>

#include "config/model.h"
#include "config/rules.h"

namespace sealwire::config {

struct SecretProblem {
  Rule rule;
  std::string message;  // never holds any of the secret
  std::string expected;
};

// Loads what `text` names into `secret`; relative paths start at `directory`. Returns false and
// fills `problem` when it cannot. Files: regular, owned by root or the effective user, no access
// for group and others, at most 4 KiB, hexadecimal digits with white space around.
bool load_secret(std::string_view text, const std::string& directory, bool lab, Secret& secret,
                 SecretProblem& problem);

// Keys people type: one octet repeated, or octets counting up or down.
bool looks_weak(const crypto::SecretBytes& key);

}  // namespace sealwire::config
