// SPDX-License-Identifier: MIT
//
// Several changes of one interface as if they were one: all are checked first, then each leaves behind how to undo it.
// What can't be undone is what the kernel itself drops along with a change, such as routes; the error names that.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <linux/if.h>
#include <linux/if_addr.h>

#include "net/netdevice_detail.h"
#include "net/netdevice_proc.h"
#include "tools/link.h"

namespace tapferry {
namespace {

constexpr const char* kLearned = "its routes and the IPv6 addresses that it has learned";
constexpr const char* kOfIpv4 = "its routes, and scope and lifetime of its IPv4 address";
constexpr const char* kOfIpv6 = "the IPv6 address's lifetime";
// Below it the kernel takes IPv6 off the interface: IPV6_MIN_MTU in include/net/ipv6.h.
constexpr int kLeastIpv6Mtu = 1280;

struct Undo {
  std::function<Status()> act;
  const char* lost = nullptr;  // what the kernel dropped and doesn't bring back
};

// No signal that can be caught ends the process halfway; one that comes takes effect afterwards.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before_);
  }
  ~HeldSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_;
};

class LinkChanger {
 public:
  static Result<LinkChanger> open(const std::string& which);

  Status run(const std::vector<Change>& changes);

 private:
  LinkChanger(Netdevice device, LinkTarget link) : device_(std::move(device)), link_(std::move(link)) {}

  Status check(const SetFlag& change);
  Status check(const SetMtu& change);
  Status check(const Rename& change);
  Status check(const SetAddress& change);
  Status check(const SetBroadcast& change);
  Status check(const ChangeMulticast& change);
  Status check(const SetIpv4& change);
  // The kernel knows what it takes.
  template <typename Other>
  Status check(const Other& change) {
    (void)change;
    return {};
  }

  // Makes the change and returns how to undo it.
  Result<Undo> apply(const SetFlag& change);
  Result<Undo> apply(const SetMtu& change);
  Result<Undo> apply(const SetTxQueueLen& change);
  Result<Undo> apply(const SetMetric& change);
  Result<Undo> apply(const SetPrivateFlags& change);
  Result<Undo> apply(const Rename& change);
  Result<Undo> apply(const SetAddress& change);
  Result<Undo> apply(const SetBroadcast& change);
  Result<Undo> apply(const ChangeMulticast& change);
  Result<Undo> apply(const SetMap& change);
  Result<Undo> apply(const SetIpv4& change);
  Result<Undo> apply(const ChangeIpv6& change);

  Status check_length(std::string_view action, const std::vector<uint8_t>& present) const;
  Result<Undo> undo_ipv4() const;
  Result<std::vector<Ipv6Entry>> read_ipv6() const;
  Status restore_ipv6(const std::vector<Ipv6Entry>& before) const;
  Error undone(Error error);

  Netdevice device_;
  LinkTarget link_;  // the name changes
  HardwareAddress address_;
  NetdeviceDetail detail_;
  // As the changes so far leave it.
  bool will_be_up_ = false;
  bool will_have_ipv4_ = false;
  size_t ipv4_count_ = 0;  // before all of them
  std::vector<Undo> undos_;
};

Result<LinkChanger> LinkChanger::open(const std::string& which) {
  Netdevice device = TRY(Netdevice::open());
  LinkTarget link = TRY(find_link_target(device, which));
  LinkChanger changer(std::move(device), std::move(link));
  Rtnl rtnl = TRY(Rtnl::open());
  changer.detail_ = TRY(read_netdevice_detail(rtnl, changer.link_.index));
  changer.address_ = TRY(changer.device_.hardware_address(changer.link_.name));
  changer.will_be_up_ = (changer.detail_.flags & IFF_UP) != 0;
  const auto addresses = TRY(changer.device_.ipv4_addresses());
  changer.ipv4_count_ = static_cast<size_t>(std::count_if(
      addresses.begin(), addresses.end(), [&](const auto& each) { return each.interface() == changer.link_.name; }));
  changer.will_have_ipv4_ = changer.ipv4_count_ > 0;
  return changer;
}

// --- checks

Status LinkChanger::check(const SetFlag& change) {
  if (change.flag.bit == IFF_UP) will_be_up_ = change.is_on;
  return {};
}

Status LinkChanger::check(const SetMtu& change) {
  const auto mtu = static_cast<unsigned>(change.bytes);
  const bool is_large = detail_.max_mtu != 0 && mtu > detail_.max_mtu;
  if (mtu >= detail_.min_mtu && !is_large) return {};
  const std::string limit =
      is_large ? "at most " + std::to_string(detail_.max_mtu) : "at least " + std::to_string(detail_.min_mtu);
  return Error("set", "the MTU of " + link_.name + " to " + std::to_string(mtu), "this interface takes " + limit);
}

Status LinkChanger::check(const Rename& change) {
  const std::string object = link_.name + " to " + change.name;
  if (will_be_up_) {
    return Error::from_errno("rename", object, EBUSY)
        .with_detail("the interface is up")
        .with_hint("put down before name");
  }
  const auto taken = device_.index_of(change.name);
  if (change.name == link_.name || !taken.is_ok()) return {};
  return Error::from_errno("rename", object, EEXIST);
}

// What the ioctls take is as long as what is there.
Status LinkChanger::check_length(std::string_view action, const std::vector<uint8_t>& present) const {
  if (present.size() == Mac{}.bytes.size()) return {};
  return Error(action, link_.name, "its addresses have " + std::to_string(present.size()) + " bytes, not six");
}

Status LinkChanger::check(const SetAddress& change) {
  (void)change;
  return check_length("set the hardware address of", detail_.address);
}

Status LinkChanger::check(const SetBroadcast& change) {
  (void)change;
  return check_length("set the hardware broadcast address of", detail_.broadcast);
}

Status LinkChanger::check(const ChangeMulticast& change) {
  return check_length(change.is_added ? "add a multicast address to" : "delete a multicast address from",
                      detail_.address);
}

// The ioctls mean the first address of a name, and the kernel drops others of the interface along with it.
Status LinkChanger::check(const SetIpv4& change) {
  const bool is_address = change.what == SetIpv4::What::kAddress;
  if (ipv4_count_ > 1) {
    return Error("change", "the IPv4 address of " + link_.name, "it has " + std::to_string(ipv4_count_) + " of them")
        .with_hint("ip-address(8) can name one");
  }
  if (is_address) will_have_ipv4_ = change.address.s_addr != 0;
  if (is_address || will_have_ipv4_) return {};
  return Error("change", "the IPv4 address of " + link_.name, "it has none").with_hint("put inet ADDRESS before");
}

// --- changes

// The addresses that somebody has set: what goes when an interface goes down, or its MTU below kLeastIpv6Mtu.
Result<std::vector<Ipv6Entry>> LinkChanger::read_ipv6() const {
  std::vector<Ipv6Entry> entries = TRY(read_ipv6_entries());
  std::erase_if(entries, [&](const Ipv6Entry& entry) {
    return entry.index != link_.index || entry.scope == Ipv6Entry::kLinkScope || (entry.flags & IFA_F_PERMANENT) == 0;
  });
  return entries;
}

Status LinkChanger::restore_ipv6(const std::vector<Ipv6Entry>& before) const {
  for (const Ipv6Entry& entry : before) {
    const Status done = Netdevice::add_ipv6_address(link_.index, entry.address, entry.prefix_len);
    if (!done.is_ok() && done.error().code() != EEXIST) return done;
  }
  return {};
}

Result<Undo> LinkChanger::apply(const SetFlag& change) {
  const unsigned bit = change.flag.bit;
  const unsigned before = TRY(device_.flags(link_.name));
  const auto ipv6 = TRY(read_ipv6());
  TRY(device_.change_flags(link_.name, bit, change.is_on ? bit : 0));
  const bool is_up_changed = bit == IFF_UP && change.is_on != ((before & IFF_UP) != 0);
  return Undo{[=, this]() -> Status {
                TRY(device_.change_flags(link_.name, bit, before));
                return is_up_changed ? restore_ipv6(ipv6) : Status();
              },
              is_up_changed && !change.is_on ? kLearned : nullptr};
}

Result<Undo> LinkChanger::apply(const SetMtu& change) {
  const int before = TRY(device_.mtu(link_.name));
  const auto ipv6 = TRY(read_ipv6());
  TRY(device_.set_mtu(link_.name, change.bytes));
  const bool loses_ipv6 = change.bytes < kLeastIpv6Mtu && before >= kLeastIpv6Mtu;
  return Undo{[=, this]() -> Status {
                TRY(device_.set_mtu(link_.name, before));
                return loses_ipv6 ? restore_ipv6(ipv6) : Status();
              },
              loses_ipv6 ? kLearned : nullptr};
}

Result<Undo> LinkChanger::apply(const SetTxQueueLen& change) {
  const int before = TRY(device_.tx_queue_len(link_.name));
  TRY(device_.set_tx_queue_len(link_.name, change.frames));
  return Undo{[=, this] { return device_.set_tx_queue_len(link_.name, before); }};
}

Result<Undo> LinkChanger::apply(const SetMetric& change) {
  const int before = TRY(device_.metric(link_.name));
  TRY(device_.set_metric(link_.name, change.metric));
  return Undo{[=, this] { return device_.set_metric(link_.name, before); }};
}

Result<Undo> LinkChanger::apply(const SetPrivateFlags& change) {
  const auto before = TRY(device_.private_flags(link_.name));
  TRY(device_.set_private_flags(link_.name, change.flags));
  return Undo{[=, this] { return device_.set_private_flags(link_.name, before.value_or(0)); }};
}

Result<Undo> LinkChanger::apply(const Rename& change) {
  const std::string before = link_.name;
  link_.name = TRY(device_.rename(before, change.name));
  return Undo{[=, this]() -> Status {
    link_.name = TRY(device_.rename(link_.name, before));
    return {};
  }};
}

Result<Undo> LinkChanger::apply(const SetAddress& change) {
  const HardwareAddress before = TRY(device_.hardware_address(link_.name));
  TRY(device_.set_hardware_address(link_.name, {before.type, hardware_bytes(change.mac)}));
  return Undo{[=, this] { return device_.set_hardware_address(link_.name, before); }};
}

Result<Undo> LinkChanger::apply(const SetBroadcast& change) {
  HardwareAddress before{.type = address_.type, .bytes = {}};
  std::copy(detail_.broadcast.begin(), detail_.broadcast.end(), before.bytes.begin());
  TRY(device_.set_hardware_broadcast(link_.name, {before.type, hardware_bytes(change.mac)}));
  return Undo{[=, this] { return device_.set_hardware_broadcast(link_.name, before); }};
}

Result<Undo> LinkChanger::apply(const ChangeMulticast& change) {
  const HardwareBytes bytes = hardware_bytes(change.mac);
  if (!change.is_added) {
    TRY(device_.delete_multicast(link_.name, bytes));
    return Undo{[=, this] { return device_.add_multicast(link_.name, bytes); }};
  }
  // One that somebody added before stays when ours is undone: the kernel doesn't count them.
  const auto entries = TRY(read_multicast_entries());
  const bool is_there = std::any_of(entries.begin(), entries.end(), [&](const MulticastEntry& entry) {
    return entry.index == link_.index && entry.is_added_globally &&
           std::equal(entry.address.begin(), entry.address.end(), change.mac.bytes.begin(), change.mac.bytes.end());
  });
  TRY(device_.add_multicast(link_.name, bytes));
  return Undo{[=, this] { return is_there ? Status() : device_.delete_multicast(link_.name, bytes); }};
}

Result<Undo> LinkChanger::apply(const SetMap& change) {
  const HardwareMap before = TRY(device_.map(link_.name));
  HardwareMap map = before;
  map.mem_start = change.mem_start.value_or(map.mem_start);
  map.mem_end = change.mem_end.value_or(map.mem_end);
  map.base_addr = static_cast<unsigned short>(change.base_addr.value_or(map.base_addr));
  map.irq = static_cast<unsigned char>(change.irq.value_or(map.irq));
  map.dma = static_cast<unsigned char>(change.dma.value_or(map.dma));
  map.port = static_cast<unsigned char>(change.port.value_or(map.port));
  TRY(device_.set_map(link_.name, map));
  return Undo{[=, this] { return device_.set_map(link_.name, before); }};
}

// An address with all that belongs to it, since the kernel derives the rest anew from each part that is set.
Result<Undo> LinkChanger::undo_ipv4() const {
  const auto before = device_.ipv4_address(link_.name);
  if (!before.is_ok() && before.error().code() == EADDRNOTAVAIL) {
    return Undo{[this] { return device_.set_ipv4_address(link_.name, {}); }};
  }
  const in_addr address = TRY(before);
  const in_addr mask = TRY(device_.ipv4_netmask(link_.name));
  const in_addr broadcast = TRY(device_.ipv4_broadcast(link_.name));
  const in_addr destination = TRY(device_.ipv4_destination(link_.name));
  return Undo{[=, this]() -> Status {
                TRY(device_.set_ipv4_address(link_.name, address));
                TRY(device_.set_ipv4_netmask(link_.name, mask));
                TRY(device_.set_ipv4_broadcast(link_.name, broadcast));
                return device_.set_ipv4_destination(link_.name, destination);
              },
              ipv4_count_ > 0 ? kOfIpv4 : nullptr};
}

Result<Undo> LinkChanger::apply(const SetIpv4& change) {
  Undo undo = TRY(undo_ipv4());
  const std::string& name = link_.name;
  switch (change.what) {
    case SetIpv4::What::kAddress: TRY(device_.set_ipv4_address(name, change.address)); break;
    case SetIpv4::What::kNetmask: TRY(device_.set_ipv4_netmask(name, change.address)); break;
    case SetIpv4::What::kBroadcast: TRY(device_.set_ipv4_broadcast(name, change.address)); break;
    case SetIpv4::What::kDestination: TRY(device_.set_ipv4_destination(name, change.address)); break;
  }
  return undo;
}

Result<Undo> LinkChanger::apply(const ChangeIpv6& change) {
  const auto add = [=, index = link_.index] {
    return Netdevice::add_ipv6_address(index, change.address, change.prefix_len);
  };
  const auto remove = [=, index = link_.index] {
    return Netdevice::delete_ipv6_address(index, change.address, change.prefix_len);
  };
  if (change.is_added) {
    TRY(add());
    return Undo{[=]() -> Status {
      const Status done = remove();
      // It may have gone when the interface was taken down again.
      return !done.is_ok() && done.error().code() == EADDRNOTAVAIL ? Status() : done;
    }};
  }
  TRY(remove());
  return Undo{add, kOfIpv6};
}

// --- all of them

// Undoes what was done, latest first, and says so in the error.
Error LinkChanger::undone(Error error) {
  if (undos_.empty()) return error;
  std::string lost;
  std::string failures;
  for (auto undo = undos_.rbegin(); undo != undos_.rend(); ++undo) {
    const Status done = undo->act();
    if (!done.is_ok()) failures += "; not undone: " + done.error().line();
    if (undo->lost != nullptr && lost.find(undo->lost) == std::string::npos) {
      lost += (lost.empty() ? "" : ", ") + std::string(undo->lost);
    }
  }
  std::string note = "the changes before it were undone";
  if (!lost.empty()) note += ", but not what the kernel dropped meanwhile: " + lost;
  if (!failures.empty()) note = "undoing the changes before it failed" + failures;
  if (!error.hint().empty()) note = error.hint() + "; " + note;
  return std::move(error).with_hint(note);
}

Status LinkChanger::run(const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    TRY(std::visit([&](const auto& one) { return check(one); }, change));
  }
  const HeldSignals held;
  for (const Change& change : changes) {
    auto undo = std::visit([&](const auto& one) { return apply(one); }, change);
    if (!undo.is_ok()) return undone(std::move(undo).error());
    undos_.push_back(std::move(undo).value());
  }
  return {};
}

}  // namespace

Status set_link(const std::string& which, const std::vector<Change>& changes) {
  LinkChanger changer = TRY(LinkChanger::open(which));
  return changer.run(changes);
}

}  // namespace tapferry
