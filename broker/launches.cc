// SPDX-License-Identifier: MIT
#include "broker/launches.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/syscall.h"
#include "broker/glib_source.h"
#include "net/child.h"
#include "net/wire.h"

namespace tapferry {
namespace {

// At once. Each is up to three processes for some milliseconds; more of them don't get more done on the same processors.
constexpr size_t kMostRuns = 24;
// Who asks can stop or starve a helper that has his uid, until tapferryd ends it: that must not take all of them.
constexpr size_t kMostRunsOfOne = 8;
// A helper says one line.
constexpr size_t kMaxWords = 4096;
// A policy of a thousand rules, each with its reason.
constexpr size_t kMaxExplanation = 256 << 10;

// As tapferryd knows it (kVerbs in helper/launcher.cc).
const char* verb_of(LaunchKind kind) {
  switch (kind) {
    case LaunchKind::kOpen: return "open";
    case LaunchKind::kExplain: return "explain";
    case LaunchKind::kRelease: return "release";
    case LaunchKind::kUp: return "up";
  }
  return "";
}

}  // namespace

struct Launches::Launch {
  uint64_t id = 0;
  LaunchKind kind = LaunchKind::kOpen;
  int client = -1;
  uid_t uid = 0;
  std::string text;
  LaunchDone done;  // empty: forgotten

  // While it runs.
  Fd result;  // of Open a socket, of others a pipe
  Fd words;
  LaunchResult got;
  GlibSource result_source;

  // False at its end.
  bool read_result() {
    if (kind == LaunchKind::kOpen) return receive_answer(result.get(), &got.answer);
    return read_text(result.get(), kMaxExplanation + 1, &got.text);
  }
};

Launches::Launches(Fd channel, std::function<void()> on_end)
    : channel_(std::move(channel)), on_end_(std::move(on_end)) {
  (void)set_nonblocking(channel_.get(), true).is_ok();
  channel_source_ = g_unix_fd_add(
      channel_.get(), static_cast<GIOCondition>(G_IO_IN | G_IO_HUP | G_IO_ERR),
      [](int, GIOCondition, gpointer self) -> gboolean {
        auto& launches = *static_cast<Launches*>(self);
        if (launches.read_channel()) return G_SOURCE_CONTINUE;
        launches.channel_source_ = 0;
        launches.on_end_();
        return G_SOURCE_REMOVE;
      },
      this);
}

Launches::~Launches() {
  if (channel_source_ != 0) g_source_remove(channel_source_);
}

uint64_t Launches::add(LaunchKind kind, int client, uid_t uid, std::string text, LaunchDone done) {
  auto launch = std::make_unique<Launch>();
  launch->id = ++last_id_;
  launch->kind = kind;
  launch->client = client;
  launch->uid = uid;
  launch->text = std::move(text);
  launch->done = std::move(done);
  const uint64_t id = launch->id;
  waiting_.push_back(std::move(launch));
  // Not from within: `done` may come before this returns otherwise.
  g_idle_add_once([](gpointer self) { static_cast<Launches*>(self)->start_some(); }, this);
  return id;
}

void Launches::forget(uint64_t id) {
  std::erase_if(waiting_, [&](const auto& launch) { return launch->id == id; });
  const auto found = running_.find(id);
  if (found != running_.end()) found->second->done = nullptr;
}

// Of those that wait the first of whoever has the fewest running, none if those are as many as one may have: one user's hundred
// don't keep another's one waiting.
Launches::Queue::iterator Launches::next_waiting() {
  std::map<uid_t, size_t> runs;
  for (const auto& [id, launch] : running_) ++runs[launch->uid];
  const auto next = std::min_element(waiting_.begin(), waiting_.end(),
                                     [&](const auto& a, const auto& b) { return runs[a->uid] < runs[b->uid]; });
  if (next == waiting_.end() || runs[(*next)->uid] >= kMostRunsOfOne) return waiting_.end();
  return next;
}

void Launches::start_some() {
  while (running_.size() < kMostRuns) {
    const auto next = next_waiting();
    if (next == waiting_.end()) return;
    std::unique_ptr<Launch> launch = std::move(*next);
    waiting_.erase(next);
    const uint64_t id = launch->id;
    const Status started = start(*launch);
    running_[id] = std::move(launch);
    if (!started.is_ok()) end(id, started.error());
  }
}

Status Launches::start(Launch& launch) {
  const bool is_open = launch.kind == LaunchKind::kOpen;
  auto [result, helpers_result] = TRY(is_open ? socket_pair(SOCK_STREAM) : text_pipe());
  auto [words, helpers_words] = TRY(text_pipe());
  TRY(set_nonblocking(result.get(), true));
  launch.result = std::move(result);
  launch.words = std::move(words);
  launch.got.answer.request = launch.text;
  launch.got.answer.helper = "tapferry-helper";
  launch.result_source.watch(launch.result.get(), G_IO_IN, [&launch](GIOCondition) { return launch.read_result(); });
  return send_fields(channel_.get(), {"run", std::to_string(launch.id), verb_of(launch.kind), launch.text},
                     std::to_array({launch.client, helpers_result.get(), helpers_words.get()}));
}

bool Launches::read_channel() {
  const Result<WireMessage> message = receive_fields(channel_.get(), 0);
  if (!message.is_ok()) return message.error().code() == EAGAIN || message.error().code() == ETIMEDOUT;
  return take_message(message.value().fields);
}

bool Launches::take_message(const std::vector<std::string>& fields) {
  if (fields.size() != 3) return false;
  const auto id = parse_uint(fields[1], 1, last_id_);
  if (!id) return false;
  if (fields[0] == "refused") {
    end(*id, Error("get", "", fields[2]));
    return true;
  }
  const auto status = parse_uint(fields[2], 0, 0xffff);
  if (fields[0] != "ended" || !status) return false;
  finish(*id, static_cast<int>(*status));
  return true;
}

void Launches::finish(uint64_t id, int wait_status) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  Launch& launch = *found->second;
  // All that the helper sent is there by now. One that floods is cut off by what is kept.
  for (int i = 0; i < 64 && launch.read_result(); ++i) {
    if (launch.kind == LaunchKind::kOpen && launch.got.answer.has_message) break;
  }
  std::string words;
  (void)read_text(launch.words.get(), kMaxWords, &words);
  words = without_newline(words);
  launch.got.answer.wait_status = wait_status;
  const bool is_mute = launch.kind == LaunchKind::kRelease || launch.kind == LaunchKind::kUp;
  const bool is_done = wait_status == 0 && (is_mute || launch.got.answer.has_message || !launch.got.text.empty());
  if (is_done && launch.got.text.size() <= kMaxExplanation) {
    end(id, std::move(launch.got));
  } else if (is_done) {
    end(id, Error("get", "", "the explanation is too long; `tapferry explain' prints it on the host"));
  } else {
    end(id, Error("get", "",
                  words.empty() ? "tapferry-helper ended with " + describe_wait_status(wait_status) + " and no word"
                                : words));
  }
}

void Launches::end(uint64_t id, Result<LaunchResult> result) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  const std::unique_ptr<Launch> launch = std::move(found->second);
  running_.erase(found);
  if (launch->done) launch->done(std::move(result));
  g_idle_add_once([](gpointer self) { static_cast<Launches*>(self)->start_some(); }, this);
}

}  // namespace tapferry
