// SPDX-License-Identifier: MIT
//
// A terminal whose whole screen is drawn on and whose keys are read one by one. Everything it takes is a handful of the
// control sequences that every terminal since the VT100 knows (ECMA-48) and the alternate screen of xterm, so no library.
#pragma once

#include <string>
#include <termios.h>
#include <vector>

#include "base/result.h"
#include "tools/top_view.h"

namespace tapferry {

class Terminal {
 public:
  // Takes the screen of stdout, and the keys of stdin where that is a terminal; the destructor gives both back.
  Terminal();
  ~Terminal() { leave(); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool has_keys() const { return has_keys_; }
  ScreenSize size() const;

  // As many lines as the screen has, none wider, from the top left corner in one write: what was there is overwritten, so nothing
  // flickers. The second line is shown reversed.
  Status draw(const std::vector<std::string>& lines);

  // Gives the terminal back, stops this process as ^Z would have, and takes the terminal again when it is continued.
  void suspend();

 private:
  void enter();
  void leave();

  bool has_keys_ = false;
  bool is_entered_ = false;
  termios before_ = {};
};

}  // namespace tapferry
