// The committed schema and reference are what the descriptor table says.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "config/schema.h"

namespace sealwire::config {
namespace {

std::string committed(const std::string& path) {
  const char* top = std::getenv("SEALWIRE_SOURCE_DIR");
  std::ifstream in(std::string(top != nullptr ? top : ".") + "/" + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Generated, Schema) {
  EXPECT_EQ(committed("config/schema.json"), json_schema())
      << "run: sealwire check --print-schema > config/schema.json";
}

TEST(Generated, Reference) {
  EXPECT_EQ(committed("docs/reference/config.md"), reference())
      << "run: sealwire check --print-reference > docs/reference/config.md";
}

}  // namespace
}  // namespace sealwire::config
