// SPDX-License-Identifier: MIT
#include "base/result.h"

#include <cstring>

#include "base/text.h"

namespace tapferry {

Error Error::from_errno(std::string_view action, std::string_view object, int code) {
  Error error(action, object, strerror(code));
  error.code_ = code;
  return error;
}

std::string Error::line() const {
  std::string text = escape(action_);
  if (!object_.empty()) text += " " + escape(object_);
  text += ": " + escape(reason_);
  if (!hint_.empty()) text += "; " + escape(hint_);
  return text;
}

}  // namespace tapferry
