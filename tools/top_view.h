// SPDX-License-Identifier: MIT
//
// What `tapferry top' has on its screen: which interfaces in which order, and the lines for a screen of some size. Does no I/O.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/status.h"

namespace tapferry {

enum class TopOrder { kRate, kFrames, kName, kUser };

// "rate" (bytes in both directions, most first), "frames", "name", "user" (and by rate for each).
std::optional<TopOrder> parse_top_order(std::string_view word);
const char* top_order_name(TopOrder order);

void sort_for_top(StatusSnapshot* snapshot, TopOrder order);

struct ScreenSize {
  size_t columns = 80;
  size_t rows = 24;
};

class TopView {
 public:
  explicit TopView(TopOrder order) : order_(order) {}

  enum class Reaction { kNone, kRedraw, kQuit };
  // What was typed, as the terminal sends it; the arrow and page keys are sequences that begin with ESC.
  Reaction press(std::string_view keys, ScreenSize size);

  // Keeps it, in order.
  void show(StatusSnapshot snapshot);

  // All lines of a screen, none wider than it: a summary, the table's header, rows from where it was scrolled to, and the keys.
  std::vector<std::string> lines(ScreenSize size);

 private:
  void scroll(ptrdiff_t rows, ScreenSize size);
  size_t page(ScreenSize size) const;
  void sort_by(TopOrder order);

  TopOrder order_;
  size_t first_row_ = 0;
  StatusSnapshot snapshot_;
};

}  // namespace tapferry
