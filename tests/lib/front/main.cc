// SPDX-License-Identifier: MIT
//
// front_end: a guest without a VM, for tests (commands on stdin, command.h) and benchmarks (--load, load.h).
#include <cstdio>
#include <iostream>
#include <string>

#include "tests/lib/front/command.h"
#include "tests/lib/front/load.h"

int main(int argc, char** argv) {
  using namespace tapferry::front;
  if (argc > 1) return run_load(argc, argv);
  Session session;
  for (std::string line; std::getline(std::cin, line);) {
    const std::string answer = run_command(&session, line);
    fwrite(answer.data(), 1, answer.size(), stdout);
    fflush(stdout);
  }
  return 0;
}
