// SPDX-License-Identifier: MIT
#include "tools/top_view.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <set>

#include "base/parse.h"
#include "tools/status_columns.h"

namespace tapferry {
namespace {

constexpr struct {
  const char* name;
  char key;
  TopOrder order;
} kOrders[] = {{"rate", 'r', TopOrder::kRate},
               {"frames", 'f', TopOrder::kFrames},
               {"name", 'n', TopOrder::kName},
               {"user", 'u', TopOrder::kUser}};

// Summary and header above the rows, the keys below.
constexpr size_t kOtherLines = 3;

double both(const InterfaceStatus& one, double TrafficRate::*member) {
  return (one.receive_rate ? (*one.receive_rate).*member : 0) + (one.send_rate ? (*one.send_rate).*member : 0);
}

bool is_name_before(const InterfaceStatus& a, const InterfaceStatus& b) {
  return strverscmp(a.link.name.c_str(), b.link.name.c_str()) < 0;
}

bool is_before(const InterfaceStatus& a, const InterfaceStatus& b, TopOrder order) {
  if (order == TopOrder::kName) return is_name_before(a, b);
  if (order == TopOrder::kUser && a.user != b.user) return a.user < b.user;
  const auto member = order == TopOrder::kFrames ? &TrafficRate::frames : &TrafficRate::bytes;
  const double rate_a = both(a, member);
  const double rate_b = both(b, member);
  return rate_a != rate_b ? rate_a > rate_b : is_name_before(a, b);
}

std::string clock_text(int64_t time_us) {
  const auto seconds = static_cast<time_t>(time_us / 1000000);
  tm local = {};
  char text[16] = "";
  if (localtime_r(&seconds, &local) != nullptr) strftime(text, sizeof text, "%H:%M:%S", &local);
  return text;
}

std::string counted(size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

std::string summary(const StatusSnapshot& snapshot) {
  std::set<std::string> users;
  TrafficRate received;
  TrafficRate sent;
  for (const InterfaceStatus& one : snapshot.interfaces) {
    users.insert(one.user);
    if (!one.receive_rate || !one.send_rate) continue;
    received = {received.bytes + one.receive_rate->bytes, received.frames + one.receive_rate->frames};
    sent = {sent.bytes + one.send_rate->bytes, sent.frames + one.send_rate->frames};
  }
  const auto rate = [](const TrafficRate& sum) {
    return short_number(sum.bytes) + " B/s " + short_number(sum.frames) + " F/s";
  };
  return "tapferry " + clock_text(snapshot.time_us) + "  " + counted(snapshot.interfaces.size(), "interface") + ", " +
         counted(users.size(), "user") + "  received " + rate(received) + "  sent " + rate(sent);
}

}  // namespace

std::optional<TopOrder> parse_top_order(std::string_view word) {
  for (const auto& one : kOrders) {
    if (word == one.name) return one.order;
  }
  return std::nullopt;
}

const char* top_order_name(TopOrder order) {
  for (const auto& one : kOrders) {
    if (order == one.order) return one.name;
  }
  return "";
}

void sort_for_top(StatusSnapshot* snapshot, TopOrder order) {
  std::sort(snapshot->interfaces.begin(), snapshot->interfaces.end(),
            [order](const auto& a, const auto& b) { return is_before(a, b, order); });
}

void TopView::show(StatusSnapshot snapshot) {
  snapshot_ = std::move(snapshot);
  sort_for_top(&snapshot_, order_);
}

void TopView::sort_by(TopOrder order) {
  order_ = order;
  first_row_ = 0;
  sort_for_top(&snapshot_, order_);
}

size_t TopView::page(ScreenSize size) const { return size.rows > kOtherLines ? size.rows - kOtherLines : 1; }

void TopView::scroll(ptrdiff_t rows, ScreenSize size) {
  const size_t count = snapshot_.interfaces.size();
  const size_t last = count > page(size) ? count - page(size) : 0;
  const ptrdiff_t wanted = static_cast<ptrdiff_t>(first_row_) + rows;
  first_row_ = std::min(static_cast<size_t>(std::max<ptrdiff_t>(wanted, 0)), last);
}

TopView::Reaction TopView::press(std::string_view keys, ScreenSize size) {
  const auto page_rows = static_cast<ptrdiff_t>(page(size));
  const struct {
    std::string_view key;
    ptrdiff_t rows;
  } scrolls[] = {{"\x1b[A", -1},         {"\x1b[B", 1},    {"\x1bOA", -1},    {"\x1bOB", 1}, {"\x1b[5~", -page_rows},
                 {"\x1b[6~", page_rows}, {" ", page_rows}, {"b", -page_rows}, {"k", -1},     {"j", 1}};
  Reaction reaction = Reaction::kNone;
  while (!keys.empty()) {
    if (keys[0] == 'q' || keys[0] == '\x03') return Reaction::kQuit;
    bool is_known = false;
    for (const auto& one : scrolls) {
      if (is_known || !consume_prefix(&keys, one.key)) continue;
      is_known = true;
      scroll(one.rows, size);
    }
    if (!is_known) {
      for (const auto& one : kOrders) {
        if (keys[0] != one.key) continue;
        sort_by(one.order);
        is_known = true;
      }
      keys.remove_prefix(1);
    }
    if (is_known) reaction = Reaction::kRedraw;
  }
  return reaction;
}

std::vector<std::string> TopView::lines(ScreenSize size) {
  scroll(0, size);
  const auto& interfaces = snapshot_.interfaces;
  const size_t end = std::min(interfaces.size(), first_row_ + page(size));
  std::vector<const InterfaceStatus*> shown;
  for (size_t i = first_row_; i < end; ++i) shown.push_back(&interfaces[i]);
  const TextTable::Rendered table = status_columns(shown, snapshot_.time_us).render(size.columns);
  std::vector<std::string> lines = {summary(snapshot_), table.header};
  lines.insert(lines.end(), table.rows.begin(), table.rows.end());
  lines.resize(size.rows > kOtherLines ? size.rows - 1 : lines.size());
  std::string keys = "q quit  sort by: r rate  f frames  n name  u user (" + std::string(top_order_name(order_)) + ")";
  if (shown.size() < interfaces.size()) {
    keys += "  rows " + std::to_string(first_row_ + 1) + "-" + std::to_string(end) + " of " +
            std::to_string(interfaces.size());
  }
  lines.push_back(keys);
  lines.resize(std::max<size_t>(size.rows, 1));
  for (std::string& line : lines) line = fit_line(line, size.columns);
  return lines;
}

}  // namespace tapferry
