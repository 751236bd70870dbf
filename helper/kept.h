// SPDX-License-Identifier: MIT
//
// What the warden remembers of the interfaces that it watches over, apart from how it hears of changes: a table that is told
// what happened and answers what is to be done. No I/O here.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <sys/types.h>
#include <vector>

#include "net/link.h"
#include "net/mac.h"
#include "net/spec.h"
#include "net/tc.h"

namespace tapferry {

struct Kept {
  std::string name;  // as it was at first, for messages
  std::string alias;
  uint32_t uid = 0;               // whose, by its tag
  bool goes_with_queues = false;  // a macvtap, unless it is to persist; a tap goes by itself
  std::set<int> queues;           // watch descriptors of the queues that are open
  std::optional<Mac> fixed_mac;   // with lock=on: what its MAC address has to stay
  TrafficRules traffic;
  bool follows_addresses = false;  // filter=auto
  int upper = 0;                   // whose addresses filter=auto follows
  std::optional<ino_t> node;       // the inode of the node that its user opens it by, where that is of our making
};

class KeptTable {
 public:
  void add(int index, Kept kept) { table_[index] = std::move(kept); }
  void forget(int index) { table_.erase(index); }
  void note_node(int index, ino_t inode);
  // From now on it outlives its queues.
  void let_stay(int index);
  // Its maker is gone: it is forgotten, unless there is something to watch over.
  void settle(int index);
  bool is_empty() const { return table_.empty(); }
  const Kept* find(int index) const;
  std::vector<int> indexes() const;
  // Of those that follow the addresses of `upper`.
  std::vector<int> followers_of(int upper) const;

  // A queue's node is gone. The interface that has to go with it, if that was its last queue.
  std::optional<int> queue_closed(int watch);
  // Why an interface that looks like this now has to be removed: a sentence.
  std::optional<std::string> why_remove(const Link& link) const;

 private:
  std::map<int, Kept> table_;  // by interface index
};

// What `keep` puts into the table. `link` is the complete interface, its alias one of our tags.
Kept keep_of(const Link& link, const Spec& spec, std::set<int> queues);

// The same from its tag alone, without queues, for a warden that wasn't there when it was made; nothing if it needs none.
std::optional<Kept> keep_by_tag(const Link& link);

}  // namespace tapferry
