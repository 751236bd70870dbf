// SPDX-License-Identifier: MIT
#include "net/rtnl.h"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "base/syscall.h"

namespace tapferry {
namespace {

// The kernel's words for a refusal, which follow the error code (netlink(7), NETLINK_EXT_ACK).
std::string extended_ack(const nlmsghdr* header, const nlmsgerr* error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  size_t offset = sizeof(nlmsgerr);
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string words;
  for_each_attribute(header, offset, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG) words = string_of(attribute);
  });
  return words;
}

Status to_status(const nlmsghdr* header, std::string_view action, std::string_view object) {
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return Error::from_errno(action, object, EBADMSG);
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
  if (error->error == 0) return {};
  Error failure = Error::from_errno(action, object, -error->error);
  const std::string words = extended_ack(header, error);
  if (words.empty()) return failure;
  return std::move(failure).with_detail(words);
}

}  // namespace

std::string string_of(const nlattr* attribute) {
  const char* text = mnl_attr_get_str(attribute);
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

RtnlRequest::RtnlRequest(uint16_t type, uint16_t flags, size_t capacity) : buffer_(capacity) {
  mnl_nlmsg_put_header(buffer_.data());
  header()->nlmsg_type = type;
  header()->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
}

Result<Rtnl> Rtnl::open(size_t receive_size) {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return Error::from_errno("open", "an rtnetlink socket", errno);
  Rtnl rtnl(socket, receive_size);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) != 0)
    return Error::from_errno("bind", "an rtnetlink socket", errno);
  int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    if (mnl_socket_setsockopt(socket, option, &on, sizeof on) != 0) {
      return Error::from_errno("set up", "an rtnetlink socket", errno);
    }
  }
  return rtnl;
}

Status Rtnl::change(RtnlRequest& request, std::string_view action, std::string_view object) {
  return exchange(request, action, object, nullptr);
}

Status Rtnl::query(RtnlRequest& request, std::string_view action, std::string_view object, const Visitor& visit) {
  return exchange(request, action, object, &visit);
}

Status Rtnl::exchange(RtnlRequest& request, std::string_view action, std::string_view object, const Visitor* visit) {
  nlmsghdr* sent = request.header();
  const bool is_dump = (sent->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  if (!is_dump) sent->nlmsg_flags |= NLM_F_ACK;
  sent->nlmsg_seq = ++sequence_;
  if (retry_on_eintr([&] { return mnl_socket_sendto(socket_.get(), sent, sent->nlmsg_len); }) < 0) {
    return Error::from_errno(action, object, errno);
  }
  alignas(nlmsghdr) static thread_local char buffer[kLargestReceive];
  bool was_interrupted = false;
  for (;;) {
    const ssize_t n = retry_on_eintr([&] { return mnl_socket_recvfrom(socket_.get(), buffer, receive_size_); });
    if (n < 0) return Error::from_errno(action, object, errno);
    int left = static_cast<int>(n);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left)) {
      // What is left of an exchange that was given up midway.
      if (!mnl_nlmsg_seq_ok(header, sequence_)) continue;
      was_interrupted |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (header->nlmsg_type == NLMSG_ERROR) return to_status(header, action, object);
      if (header->nlmsg_type == NLMSG_DONE) {
        if (was_interrupted) return Error::from_errno(action, object, EINTR);
        return {};
      }
      if (visit != nullptr && !(*visit)(header)) return {};
    }
  }
}

}  // namespace tapferry
