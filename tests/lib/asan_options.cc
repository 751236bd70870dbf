// SPDX-License-Identifier: MIT
//
// Options of the sanitizers for programs that can't be told by environment: the helper runs setuid,
// and empties its environment. Linked into the programs of `make asan` only.

// The leak checker stops its process by ptrace, which a process that isn't dumpable refuses; it
// would then fail at every exit. The unit tests, which don't link this file, look for leaks.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
