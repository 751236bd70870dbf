// SPDX-License-Identifier: MIT
//
// The client side of asking tapferryd: one call of org.tapferry.Broker.Open (docs/PROTOCOL.md), answered as a helper answers, so that
// what comes is checked by the same code.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/ask.h"

namespace tapferry {

// Where tapferryd listens: TAPFERRY_BROKER, else where `make install' has it.
std::string broker_socket();

// The answer's bytes are the grant record, as a helper would have sent it; its helper is "the broker". A refusal's words are
// those of the helper that the broker started, unchanged.
Result<Answer> ask_broker(const std::string& socket, std::string_view spec, int timeout_ms = kAskTimeoutMs);

enum class Via { kHelper, kBroker, kAuto };
std::optional<Via> parse_via(std::string_view text);

// Why `helper` can't get privilege by its setuid bit here, a clause without a subject; nothing if nothing is in its way, or if
// this process has CAP_NET_ADMIN itself, which a helper then inherits.
std::optional<std::string> why_setuid_cannot_work(const std::string& helper);

// Its methods Release and Up.
Status ask_broker_to_change(const std::string& socket, GrantChange change, const std::string& ifname,
                            int timeout_ms = kAskTimeoutMs);

// Whether `via` means the broker here. kAuto: where setuid can't work and tapferryd's `socket` is there.
bool is_by_broker(Via via, const std::string& helper, const std::string& socket);

// By the way that `via` names.
Result<Answer> ask_via(Via via, const std::string& helper, std::string_view spec);
Status change_via(Via via, const std::string& helper, GrantChange change, const std::string& ifname);

}  // namespace tapferry
