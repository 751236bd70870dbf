// SPDX-License-Identifier: MIT
#include "broker/glib_source.h"

#include <glib-unix.h>

namespace tapferry {

// GLib frees it when the source is destroyed and no callback of it runs any more.
struct GlibSource::Callback {
  GlibSource* owner = nullptr;  // null once it has stopped
  std::function<bool(GIOCondition)> ready;
  std::function<void()> expired;
};

void GlibSource::attach(GSource* source, Callback* callback) {
  callback_ = callback;
  id_ = g_source_attach(source, nullptr);
  g_source_unref(source);
}

void GlibSource::watch(int fd, int conditions, std::function<bool(GIOCondition)> ready) {
  stop();
  auto* callback = new Callback{this, std::move(ready), {}};
  GSource* source = g_unix_fd_source_new(fd, static_cast<GIOCondition>(conditions | G_IO_HUP | G_IO_ERR));
  const GUnixFDSourceFunc on_ready = [](int, GIOCondition condition, gpointer data) -> gboolean {
    auto* called = static_cast<Callback*>(data);
    if (called->ready(condition)) return G_SOURCE_CONTINUE;
    if (called->owner != nullptr) called->owner->forget();
    return G_SOURCE_REMOVE;
  };
  g_source_set_callback(source, G_SOURCE_FUNC(on_ready), callback,
                        [](gpointer data) { delete static_cast<Callback*>(data); });
  attach(source, callback);
}

void GlibSource::after(unsigned seconds, std::function<void()> expired) {
  stop();
  auto* callback = new Callback{this, {}, std::move(expired)};
  GSource* source = g_timeout_source_new_seconds(seconds);
  const GSourceFunc on_expired = [](gpointer data) -> gboolean {
    auto* called = static_cast<Callback*>(data);
    if (called->owner != nullptr) called->owner->forget();
    called->expired();
    return G_SOURCE_REMOVE;
  };
  g_source_set_callback(source, on_expired, callback, [](gpointer data) { delete static_cast<Callback*>(data); });
  attach(source, callback);
}

void GlibSource::forget() {
  callback_->owner = nullptr;
  callback_ = nullptr;
  id_ = 0;
}

void GlibSource::stop() {
  if (id_ == 0) return;
  const guint id = id_;
  forget();
  g_source_remove(id);
}

}  // namespace tapferry
