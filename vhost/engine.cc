// SPDX-License-Identifier: MIT
#include "vhost/engine.h"

#include "vhost/epoll_engine.h"
#include "vhost/uring_engine.h"

namespace tapferry {

Result<std::unique_ptr<Engine>> make_engine(const EngineOptions& options, std::string* reason) {
  reason->clear();
  if (options.kind != EngineKind::kEpoll) {
    auto engine = UringEngine::make(options);
    if (engine.is_ok() || options.kind == EngineKind::kUring) return engine;
    const Error& error = engine.error();
    *reason = error.action() + " " + error.object() + ": " + error.reason();
  }
  return EpollEngine::make(options);
}

}  // namespace tapferry
