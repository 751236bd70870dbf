// SPDX-License-Identifier: MIT
#include "tools/monitor_guest.h"

#include "tools/json.h"

namespace tapferry {

Result<bool> GuestLink::set(bool is_up) {
  if (told_ == is_up) return false;
  JsonWriter arguments;
  arguments.text("name", id_);
  arguments.boolean("up", is_up);
  auto answer = qmp_.execute("set_link", arguments.take_line());
  if (!answer.is_ok()) return std::move(answer).error();
  told_ = is_up;
  return true;
}

}  // namespace tapferry
