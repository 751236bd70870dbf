// SPDX-License-Identifier: MIT
//
// A table for a terminal: columns as wide as what is in them, and where the terminal is too narrow, fewer columns. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tapferry {

struct TableColumn {
  const char* title;
  bool is_right_aligned = false;
  unsigned goes = 0;  // which is left out first for want of room: 1, then 2, ...; 0 never
};

class TextTable {
 public:
  explicit TextTable(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}

  // One cell for each column. Control characters are escaped (base/text.h); an empty cell becomes "-".
  void add_row(std::vector<std::string> cells);

  struct Rendered {
    std::string header;
    std::vector<std::string> rows;
    std::vector<std::string> left_out;  // titles
  };
  // Lines without a newline, at most `width` columns long if that can be reached by leaving out columns; 0: all columns.
  Rendered render(size_t width) const;

 private:
  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Columns that a terminal takes for it: two for wide letters, none for combining ones. `text` is UTF-8, or each byte counts.
size_t text_width(std::string_view text);

// The line as it fits: one that is too long ends with a ">" that says so.
std::string fit_line(const std::string& line, size_t width);

// Three digits or so: "0", "999", "1.2k", "34k", "560M".
std::string short_number(double value);

// "45s", "12m", "2h13m", "3d4h", "128d".
std::string short_duration(int64_t seconds);

}  // namespace tapferry
