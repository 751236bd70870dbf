// SPDX-License-Identifier: MIT
//
// One rtnetlink socket (rtnetlink(7)), by libmnl: a request goes out, its answers or its acknowledgement come back.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <libmnl/libmnl.h>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tapferry {

// The attributes behind the `offset` bytes of a message's family header, and those inside a nest. (libmnl's own loops are
// macros that only C takes.)
template <typename Visit>
void for_each_attribute_between(const char* begin, const char* end, Visit visit) {
  const auto* attribute = reinterpret_cast<const nlattr*>(begin);
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    visit(attribute);
    attribute = mnl_attr_next(attribute);
  }
}

template <typename Visit>
void for_each_attribute(const nlmsghdr* header, size_t offset, Visit visit) {
  for_each_attribute_between(static_cast<const char*>(mnl_nlmsg_get_payload_offset(header, offset)),
                             reinterpret_cast<const char*>(header) + header->nlmsg_len, visit);
}

template <typename Visit>
void for_each_nested(const nlattr* nest, Visit visit) {
  const auto* begin = static_cast<const char*>(mnl_attr_get_payload(nest));
  for_each_attribute_between(begin, begin + mnl_attr_get_payload_len(nest), visit);
}

// The bytes of a string attribute up to its terminating zero, if it has one.
std::string string_of(const nlattr* attribute);

// An attribute of fixed size, as the kernel has it in memory; bytes that it lacks are zeros. The kernel sends none such.
template <typename T>
T value_of(const nlattr* attribute) {
  T value = {};
  memcpy(&value, mnl_attr_get_payload(attribute), std::min<size_t>(sizeof value, mnl_attr_get_payload_len(attribute)));
  return value;
}

// A request under construction: the header, then attributes.
class RtnlRequest {
 public:
  // `type` is RTM_*, `flags` NLM_F_* besides NLM_F_REQUEST. `capacity` is what it can grow to, in bytes; the default has room
  // for an altname of 128 bytes, or an alias of 256, and a few small attributes.
  RtnlRequest(uint16_t type, uint16_t flags, size_t capacity = 1024);

  // The family's own header (ifinfomsg, ...), zeroed, right behind netlink's.
  template <typename T>
  T* family_header() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header(), sizeof(T)));
  }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(buffer_.data()); }

  void put_u8(uint16_t type, uint8_t value) { mnl_attr_put_u8(header(), type, value); }
  void put_u16(uint16_t type, uint16_t value) { mnl_attr_put_u16(header(), type, value); }
  void put_u32(uint16_t type, uint32_t value) { mnl_attr_put_u32(header(), type, value); }
  void put_u64(uint16_t type, uint64_t value) { mnl_attr_put_u64(header(), type, value); }
  void put_string(uint16_t type, const std::string& value) { mnl_attr_put_strz(header(), type, value.c_str()); }
  void put_bytes(uint16_t type, const void* bytes, size_t size) { mnl_attr_put(header(), type, size, bytes); }
  nlattr* begin_nest(uint16_t type) { return mnl_attr_nest_start(header(), type); }
  void end_nest(nlattr* nest) { mnl_attr_nest_end(header(), nest); }

 private:
  std::vector<char> buffer_;  // operator new aligns for any type
};

class Rtnl {
 public:
  // The kernel asks for the capability of whoever opened the socket, as well as of whoever sends (netlink_capable() in
  // net/netlink/af_netlink.c): a socket for changes is opened with CAP_NET_ADMIN effective.
  // `receive_size` bytes are read at once, and of a dump the kernel prepares as much: what is to be cut short takes less.
  static Result<Rtnl> open(size_t receive_size = kLargestReceive);

  // The kernel fills at most 32 KiB for one read (netlink_recvmsg()), and never has to have more than 8 KiB (NLMSG_GOODSIZE).
  static constexpr size_t kLargestReceive = 32768;
  static constexpr size_t kSmallestReceive = 8192;

  // Sends a request for a change and waits for its acknowledgement. The error has the kernel's own words (extended ack)
  // behind strerror's where it gives some.
  Status change(RtnlRequest& request, std::string_view action, std::string_view object);

  // Returns whether more answers are wanted.
  using Visitor = std::function<bool(const nlmsghdr*)>;
  // Sends a request and hands every answer to `visit`. A dump that changed while it ran is EINTR: ask again. After a dump that
  // `visit` cut short the socket is good for nothing more: the kernel is still in the middle of it.
  Status query(RtnlRequest& request, std::string_view action, std::string_view object, const Visitor& visit);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  Rtnl(mnl_socket* socket, size_t receive_size) : socket_(socket), receive_size_(receive_size) {}
  Status exchange(RtnlRequest& request, std::string_view action, std::string_view object, const Visitor* visit);

  std::unique_ptr<mnl_socket, Close> socket_;
  size_t receive_size_;
  uint32_t sequence_ = 0;
};

}  // namespace tapferry
