// SPDX-License-Identifier: MIT
#include "tools/compose.h"

#include <cstring>
#include <optional>

#include "base/parse.h"

namespace tapferry {
namespace {

enum class Word { kFds, kFdList, kVhostFds, kSocket, kMac, kIfname };

struct Placeholder {
  Word word = Word::kFds;
  size_t nic = 0;
  size_t length = 0;  // with its braces
};

constexpr struct {
  std::string_view text;
  Word word;
} kWords[] = {{"fds", Word::kFds},       {"fdlist", Word::kFdList}, {"vhostfds", Word::kVhostFds},
              {"socket", Word::kSocket}, {"mac", Word::kMac},       {"ifname", Word::kIfname}};

// The placeholder at the front of `text`, which begins with a brace.
std::optional<Placeholder> placeholder_at(std::string_view text) {
  const size_t end = text.find('}');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view inside = text.substr(1, end - 1);
  for (const auto& entry : kWords) {
    std::string_view number = inside;
    if (!consume_prefix(&number, entry.text)) continue;
    const auto nic = number.empty() ? 0 : parse_uint(number, 0, 1000000);
    if (nic) return Placeholder{entry.word, *nic, end + 1};
  }
  return std::nullopt;
}

// Calls `visit` for each placeholder and `keep` for the text between.
template <typename Visit, typename Keep>
void walk(std::string_view text, Visit visit, Keep keep) {
  while (!text.empty()) {
    const size_t brace = text.find('{');
    keep(text.substr(0, brace));
    if (brace == std::string_view::npos) return;
    text.remove_prefix(brace);
    const auto placeholder = placeholder_at(text);
    const size_t length = placeholder ? placeholder->length : 1;
    if (placeholder) {
      visit(*placeholder, text.substr(0, length));
    } else {
      keep(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
}

// "3:4", as QEMU separates descriptors; others have commas.
std::string joined(std::span<const int> fds, char separator = ':') {
  std::string text;
  for (const int fd : fds) {
    if (!text.empty()) text += separator;
    text += std::to_string(fd);
  }
  return text;
}

std::string value_of(Word word, const Nic& nic) {
  switch (word) {
    case Word::kFds: return joined(nic.fds);
    case Word::kFdList: return joined(nic.fds, ',');
    case Word::kVhostFds: return joined(nic.vhost_fds);
    case Word::kSocket: return nic.socket;
    case Word::kMac: return to_string(nic.guest_mac);
    case Word::kIfname: return nic.ifname;
  }
  return "";
}

constexpr auto kKeepNothing = [](std::string_view) {};

Status check_placeholder(Word word, std::string_view text, const Spec& spec, Way way) {
  const bool is_descriptor = word == Word::kFds || word == Word::kFdList || word == Word::kVhostFds;
  if (way == Way::kVhostUser && is_descriptor) {
    return Error("fill in", text, "with --vhost-user the descriptors are tapferry-vhost's").with_hint("write {socket}");
  }
  if (way == Way::kDescriptors && word == Word::kSocket) {
    return Error("fill in", text, "there is a socket with --vhost-user only");
  }
  if (word == Word::kVhostFds && spec.vhost == VhostNet::kOff) {
    return Error("fill in", text, "that --net= asks for no vhost descriptors").with_hint("add vhost=on to it");
  }
  return {};
}

// One vector for each direction of each queue, one for the configuration, one for the control queue.
std::string multi_queue(size_t queues) { return queues > 1 ? ",mq=on,vectors=" + std::to_string(2 * queues + 2) : ""; }

std::string device_of(const Nic& nic, const std::string& netdev_id, const std::string& queues) {
  std::string device = "virtio-net-pci,netdev=" + netdev_id + ",mac=" + to_string(nic.guest_mac) + queues;
  // virtio-net's own default; QEMU offers the feature only when it is told.
  if (nic.mtu != 1500) device += ",host_mtu=" + std::to_string(nic.mtu);
  return device;
}

// The first accelerator that `command` names: those after it are for where that one doesn't work.
std::string_view first_accelerator(std::span<const std::string> command) {
  for (size_t i = 1; i < command.size(); ++i) {
    std::string_view word = command[i];
    if (word == "-enable-kvm" || word == "--enable-kvm") return "kvm";
    const bool is_option = command[i - 1] == "-accel" || command[i - 1] == "--accel";
    const size_t at = word.find("accel=");
    if (is_option) return word.substr(0, word.find(','));
    if (at == std::string_view::npos) continue;
    word.remove_prefix(at + strlen("accel="));
    return word.substr(0, word.find_first_of(",:"));
  }
  return command[0].ends_with("kvm") ? "kvm" : "tcg";
}

// What -m says, as memory-backend-memfd wants it: there a bare number is bytes, behind -m it is MiB.
std::string memory_size(std::span<const std::string> command) {
  std::string_view size = "128";  // QEMU's own default
  for (size_t i = 0; i + 1 < command.size(); ++i) {
    if (command[i] != "-m" && command[i] != "--m") continue;
    size = command[i + 1];
    consume_prefix(&size, "size=");
    size = size.substr(0, size.find(','));
  }
  const bool is_bare = !size.empty() && size.back() >= '0' && size.back() <= '9';
  return std::string(size) + (is_bare ? "M" : "");
}

}  // namespace

Status check_vhost_user(const Spec& spec, const std::string& spec_text) {
  if (!spec.vnet_hdr) return Error("use", spec_text, "--vhost-user needs vnet_hdr=on");
  if (spec.vhost == VhostNet::kOn) return Error("use", spec_text, "vhost=on is for another way than --vhost-user");
  return {};
}

bool has_placeholder(std::span<const std::string> arguments) {
  bool found = false;
  for (const std::string& argument : arguments) {
    walk(
        argument, [&](const Placeholder&, std::string_view) { found = true; }, kKeepNothing);
  }
  return found;
}

Status check_placeholders(std::span<const std::string> arguments, std::span<const Spec> asked, Way way) {
  Status status;
  const auto check = [&](const Placeholder& placeholder, std::string_view text) {
    if (placeholder.nic >= asked.size()) {
      status = Error("fill in", text, std::to_string(asked.size()) + " --net= given, numbered from 0");
    } else {
      status = check_placeholder(placeholder.word, text, asked[placeholder.nic], way);
    }
  };
  for (const std::string& argument : arguments) {
    walk(
        argument,
        [&](const Placeholder& placeholder, std::string_view text) {
          if (status.is_ok()) check(placeholder, text);
        },
        kKeepNothing);
    if (!status.is_ok()) return status;
  }
  return status;
}

std::vector<std::string> fill_placeholders(std::span<const std::string> arguments, std::span<const Nic> nics) {
  std::vector<std::string> filled;
  for (const std::string& argument : arguments) {
    std::string& text = filled.emplace_back();
    walk(
        argument,
        [&](const Placeholder& placeholder, std::string_view original) {
          text +=
              placeholder.nic < nics.size() ? value_of(placeholder.word, nics[placeholder.nic]) : std::string(original);
        },
        [&](std::string_view kept) { text += kept; });
  }
  return filled;
}

bool is_qemu(std::string_view program) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  return name.starts_with("qemu-system-") || name == "qemu-kvm" || name == "kvm";
}

std::vector<std::string> qemu_options(std::span<const Nic> nics) {
  std::vector<std::string> options;
  for (size_t i = 0; i < nics.size(); ++i) {
    const Nic& nic = nics[i];
    const std::string id = "tapferry" + std::to_string(i);
    const bool is_multi_queue = nic.fds.size() > 1;
    std::string netdev = "tap,id=" + id + (is_multi_queue ? ",fds=" : ",fd=") + joined(nic.fds);
    if (!nic.vhost_fds.empty()) {
      netdev += std::string(",vhost=on") + (is_multi_queue ? ",vhostfds=" : ",vhostfd=") + joined(nic.vhost_fds);
    }
    const std::string device = device_of(nic, id, multi_queue(nic.fds.size()));
    options.insert(options.end(), {"-netdev", netdev, "-device", device});
  }
  return options;
}

std::vector<std::string> qemu_vhost_user_options(std::span<const std::string> command, std::span<const Nic> nics,
                                                 bool has_kvm) {
  const bool is_emulated = !has_kvm || first_accelerator(command) != "kvm";
  std::vector<std::string> options;
  bool has_memory = false;
  for (const std::string& word : command) has_memory = has_memory || word.find("memory-backend") != std::string::npos;
  if (!has_memory) {
    options = {"-object", "memory-backend-memfd,id=tapferry-memory,share=on,size=" + memory_size(command), "-machine",
               "memory-backend=tapferry-memory"};
  }
  for (size_t i = 0; i < nics.size(); ++i) {
    const Nic& nic = nics[i];
    const std::string id = "tapferry" + std::to_string(i);
    const std::string chardev = id + "-socket";
    // QEMU 7.2 without KVM crashes when a vhost-user device has MSI-X vectors (msix_set_vector_notifiers).
    const std::string without_vectors = nic.queues > 1 ? ",mq=on,vectors=0" : ",vectors=0";
    const std::string device = device_of(nic, id, is_emulated ? without_vectors : multi_queue(nic.queues));
    // It tries again each second when its backend is gone, and the supervisor has a new one there.
    std::string netdev = "vhost-user,id=" + id;
    netdev += ",chardev=" + chardev + ",queues=" + std::to_string(nic.queues);
    options.insert(options.end(), {"-chardev", "socket,id=" + chardev + ",path=" + nic.socket + ",reconnect=1",
                                   "-netdev", netdev, "-device", device});
  }
  return options;
}

}  // namespace tapferry
