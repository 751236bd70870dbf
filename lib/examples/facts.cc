// SPDX-License-Identifier: MIT
//
// The same as facts.c in C++: what C hands out is owned, and an error is thrown.
//
//     c++ -std=c++17 facts.cc $(pkg-config --cflags --libs tapferry) -o facts
//     ./facts bridge=br0,queues=2
#include <iostream>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <tapferry.h>

struct Free {
  void operator()(tapferry_grant* grant) const { tapferry_grant_free(grant); }
  void operator()(tapferry_error* error) const { tapferry_error_free(error); }
};

// An interface; its descriptors are closed with it.
class Interface {
 public:
  explicit Interface(const std::string& spec) {
    tapferry_grant* grant;
    tapferry_error* error;
    tapferry_ask(nullptr, spec.c_str(), &grant, &error);
    grant_.reset(grant);
    const std::unique_ptr<tapferry_error, Free> reason(error);
    if (reason) throw std::runtime_error(tapferry_error_message(reason.get()));
  }

  const char* json() const { return tapferry_grant_json(grant_.get()); }
  std::string name() const { return tapferry_grant_ifname(grant_.get()); }
  unsigned queues() const { return tapferry_grant_queues(grant_.get()); }
  int queue_fd(unsigned index) const { return tapferry_grant_queue_fd(grant_.get(), index); }

 private:
  std::unique_ptr<tapferry_grant, Free> grant_;
};

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " SPEC\n";
    return 2;
  }
  const Interface interface(argv[1]);
  std::cout << interface.json() << "\n";
  for (unsigned i = 0; i < interface.queues(); ++i) {
    std::cout << "queue " << i << " of " << interface.name() << " is descriptor " << interface.queue_fd(i) << "\n";
  }
  std::cout << std::flush;
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
} catch (const std::exception& error) {
  std::cerr << argv[0] << ": " << error.what() << "\n";
  return 1;
}
