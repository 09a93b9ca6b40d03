#include "app/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sealwire::cli {

Table::Table(std::vector<std::string> headings) : headings_(std::move(headings)) {
  for (std::string& heading : headings_) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
  }
}

void Table::add(std::vector<std::string> row) {
  row.resize(headings_.size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> width;
  for (std::size_t column = 0; column < headings_.size(); ++column) {
    std::size_t widest = headings_[column].size();
    for (const auto& row : rows_) widest = std::max(widest, row[column].size());
    width.push_back(widest);
  }
  std::string text;
  const auto put = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += right_[column] ? fmt::format("{:>{}}", row[column], width[column])
                             : fmt::format("{:<{}}", row[column], width[column]);
      if (column + 1 < row.size()) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  };
  put(headings_);
  for (const auto& row : rows_) put(row);
  return text;
}

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, " ");
  }
  return digits;
}

std::string scaled(double value) {
  constexpr std::array<const char*, 5> kPrefixes = {"", " k", " M", " G", " T"};
  std::size_t prefix = 0;
  while (value >= 999.5 && prefix + 1 < kPrefixes.size()) {
    value /= 1000;
    ++prefix;
  }
  if (prefix == 0) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}{}", value,
                     value < 9.995   ? 2
                     : value < 99.95 ? 1
                                     : 0,
                     kPrefixes[prefix]);
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

}  // namespace sealwire::cli
