// SPDX-License-Identifier: MIT
//
// Owning an event source of GLib's main loop: it is gone with its owner, so no callback comes to what doesn't exist any more.
#pragma once

#include <functional>
#include <glib.h>

namespace tapferry {

class GlibSource {
 public:
  GlibSource() = default;
  ~GlibSource() { stop(); }
  GlibSource(const GlibSource&) = delete;
  GlibSource& operator=(const GlibSource&) = delete;

  // Calls `ready` whenever `fd` has one of `conditions` (G_IO_HUP and G_IO_ERR are always among them), until it returns false. It
  // may destroy this source.
  void watch(int fd, int conditions, std::function<bool(GIOCondition)> ready);

  // Calls `expired` once. It may destroy this source.
  void after(unsigned seconds, std::function<void()> expired);

  void stop();
  bool is_active() const { return id_ != 0; }

 private:
  struct Callback;
  void attach(GSource* source, Callback* callback);
  void forget();

  guint id_ = 0;
  Callback* callback_ = nullptr;
};

}  // namespace tapferry
