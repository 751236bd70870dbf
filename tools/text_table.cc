// SPDX-License-Identifier: MIT
#include "tools/text_table.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <glib.h>

#include "base/text.h"

namespace tapferry {
namespace {

constexpr size_t kGap = 2;

size_t letter_width(gunichar letter) {
  if (g_unichar_iszerowidth(letter)) return 0;
  return g_unichar_iswide(letter) ? 2 : 1;
}

}  // namespace

void TextTable::add_row(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = cell.empty() ? "-" : escape(cell);
  rows_.push_back(std::move(cells));
}

TextTable::Rendered TextTable::render(size_t width) const {
  const size_t count = columns_.size();
  std::vector<size_t> widths(count);
  for (size_t i = 0; i < count; ++i) {
    widths[i] = text_width(columns_[i].title);
    for (const auto& row : rows_) widths[i] = std::max(widths[i], text_width(row[i]));
  }
  std::vector<bool> is_shown(count, true);
  const auto total = [&] {
    size_t sum = 0;
    for (size_t i = 0; i < count; ++i) sum += is_shown[i] ? widths[i] + (sum > 0 ? kGap : 0) : 0;
    return sum;
  };
  unsigned last = 0;
  for (const TableColumn& column : columns_) last = std::max(last, column.goes);
  for (unsigned turn = 1; turn <= last && width != 0 && total() > width; ++turn) {
    for (size_t i = 0; i < count; ++i) is_shown[i] = is_shown[i] && columns_[i].goes != turn;
  }
  const auto line_of = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < count; ++i) {
      if (!is_shown[i]) continue;
      const std::string cell = cell_of(i);
      const std::string space(widths[i] - text_width(cell), ' ');
      if (!line.empty()) line += std::string(kGap, ' ');
      line += columns_[i].is_right_aligned ? space + cell : cell + space;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  };
  Rendered rendered;
  rendered.header = line_of([&](size_t i) { return std::string(columns_[i].title); });
  for (const auto& row : rows_) rendered.rows.push_back(line_of([&](size_t i) { return row[i]; }));
  for (size_t i = 0; i < count; ++i) {
    if (!is_shown[i]) rendered.left_out.emplace_back(columns_[i].title);
  }
  return rendered;
}

size_t text_width(std::string_view text) {
  if (!g_utf8_validate_len(text.data(), text.size(), nullptr)) return text.size();
  size_t width = 0;
  const char* end = text.data() + text.size();
  for (const char* at = text.data(); at < end; at = g_utf8_next_char(at)) width += letter_width(g_utf8_get_char(at));
  return width;
}

std::string fit_line(const std::string& line, size_t width) {
  if (width == 0 || text_width(line) <= width) return line;
  std::string fitting;
  size_t used = 1;  // the mark
  const char* end = line.data() + line.size();
  const bool is_utf8 = g_utf8_validate_len(line.data(), line.size(), nullptr) != FALSE;
  for (const char* at = line.data(); at < end;) {
    const char* next = is_utf8 ? g_utf8_next_char(at) : at + 1;
    used += is_utf8 ? letter_width(g_utf8_get_char(at)) : 1;
    if (used > width) break;
    fitting.append(at, next);
    at = next;
  }
  return fitting + ">";
}

std::string short_number(double value) {
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P"};
  size_t unit = 0;
  // What would be rounded to 1000 is one of the next unit.
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  snprintf(text, sizeof text, unit > 0 && value < 9.95 ? "%.1f%s" : "%.0f%s", value, kUnits[unit]);
  return text;
}

std::string short_duration(int64_t seconds) {
  const auto text = [](int64_t large, const char* unit, int64_t small, const char* small_unit) {
    const std::string first = std::to_string(large) + unit;
    return small == 0 ? first : first + std::to_string(small) + small_unit;
  };
  const int64_t s = std::max<int64_t>(seconds, 0);
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return std::to_string(s / 60) + "m";
  if (s < 86400) return text(s / 3600, "h", s / 60 % 60, "m");
  if (s < 10 * 86400) return text(s / 86400, "d", s / 3600 % 24, "h");
  return std::to_string(s / 86400) + "d";
}

}  // namespace tapferry
