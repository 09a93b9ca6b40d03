// Aligned columns for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sealwire::cli {

class Table {
 public:
  // A heading that starts with '>' is right-aligned, without the '>'.
  explicit Table(std::vector<std::string> headings);
  void add(std::vector<std::string> row);
  bool empty() const { return rows_.empty(); }
  std::string text() const;

 private:
  std::vector<std::string> headings_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

// 1234567 -> "1 234 567"
std::string grouped(std::uint64_t n);
// 12345678.0 -> "12.3 M"; three significant digits, decimal prefixes.
std::string scaled(double value);
// 0.123 -> "12.3 %"
std::string percent(double share);

}  // namespace sealwire::cli
