// `sealwire top`: the live table.
#pragma once

#include <string>

namespace sealwire::cli {

struct TopOptions {
  double interval = 1.0;  // seconds
  int count = 0;          // pictures; 0: until interrupted
};

int top(const std::string& socket, const TopOptions& options);

}  // namespace sealwire::cli
