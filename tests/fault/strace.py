# SPDX-License-Identifier: MIT
"""Makes one system call of a program fail, or end it, by strace's injection: which calls there are to choose
from (a trace of an undisturbed run), which of them are tried with what, and the command line for each.

Two things of strace decide the shape of this:
- It counts `when=N` for each process by itself, and can't be told to disturb a child only.  For the auditor, which
  the helper forks, a small launcher (use_up.cc) spends the first occurrences in the front process before it executes
  the helper.
- What brk() returns on failure is no error but the break as it was; 0 does here.
- It keeps a call from being made at all and lets it return the error.  That is not how close() fails, which frees its
  descriptor whatever it returns; and some calls are always successful, as their manual pages say.  At all these the
  helper is killed, but they don't fail.
"""
import dataclasses
import os
import re
import shutil
import subprocess
import unittest

ERRORS = ("EPERM", "ENOMEM", "EMFILE", "EINTR", "EBUSY")
KILL = "SIGKILL"
AFTER = "SIGUSR1"  # ends the auditor when the call has been made; the launcher ignores it
ACTIONS = (*ERRORS, KILL)
NEVER_FAIL = ("close", "exit_group", "getegid", "geteuid", "getgid", "getpid", "getppid", "gettid", "getuid",
              "set_tid_address", "umask")

# The parts of the helper's life: ld.so and the constructors of libraries; stages 0 to 2; what depends on the request.
START, STAGES, REQUEST = "start", "stages", "request"


@dataclasses.dataclass(frozen=True)
class Call:
    """The NTH call of that name in one process, from 1."""
    name: str
    nth: int
    phase: str
    text: str  # arguments, as strace shows them
    is_late: bool = False  # part of persist=on, for which the message was sent already

    def __str__(self):
        return f"{self.name}#{self.nth}({self.text[:60]}"


@dataclasses.dataclass(frozen=True)
class Injection:
    call: Call
    action: str          # one of ERRORS, another errno's name, or a signal
    from_then_on: bool = False

    @property
    def is_signal(self):
        return self.action.startswith("SIG")

    @property
    def expression(self):
        what = (f"signal={self.action}" if self.is_signal else
                "retval=0" if self.call.name == "brk" else f"error={self.action}")
        return f"inject={self.call.name}:{what}:when={self.call.nth}{'+' if self.from_then_on else ''}"

    def __str__(self):
        return f"{self.action}{' from then on' if self.from_then_on else ''} at {self.call}"


def need_strace():
    """For setUpModule: skip where strace is missing or may not trace."""
    if not shutil.which("strace"):
        raise unittest.SkipTest("strace is not installed (make deps)")
    tried = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise unittest.SkipTest(f"kernel: strace can't trace here: {tried.stderr.strip()}")


# --- command lines --------------------------------------------------------------------------------

# The helper looks at all interfaces in one hand-over of 64, by chance (helper/sweep.cc): what the draw gives is
# decided here, so that every run makes the same calls.
NOT_ALL = ("-e", "inject=getrandom:poke_exit=@arg1=01")


def trace_command(log, user):
    """The undisturbed run.  With -D strace isn't what is waited for: it stays as long as a warden does."""
    return ["strace", "-D", "-f", "-o", log, "-u", user, *NOT_ALL]


def is_complete(log):
    """Whether LOG, of a trace_command(), has the end of every process in it."""
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    return {line.split()[0] for line in lines} == {line.split()[0] for line in lines if "+++" in line}


def inject_command(log, user, injection, follow=False):
    """The run with INJECTION; FOLLOW: in children too."""
    name = injection.call.name
    return ["strace", *(["-D", "-f"] if follow else []), "-qq", "-o", log, "-u", user,
            "-e", f"trace={name},getrandom",
            *(NOT_ALL if name != "getrandom" else []), "-e", injection.expression]


# --- what there is to disturb ---------------------------------------------------------------------

CALL = re.compile(r"(\d+) +(\w+)\((.*)")
# With -f a call during which another process made one is on two lines.
UNFINISHED = re.compile(r"(.*) <unfinished \.\.\.>")
RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
STARTS = ("clone", "clone3", "fork", "vfork")
RETURNED = re.compile(r".* = (\d+)")
# A traced process that waits is interrupted by a child's end, and goes on by this: when that comes is chance.
GOES_ON = "restart_syscall"


def parse(log):
    """The calls of each process in LOG, a trace with -f: a list of lists of (name, text).  The first process is the first,
    then come those that it started, in that order, and so on: which of two children says something first is chance."""
    processes = {}
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in map(str.rstrip, file):
            if found := CALL.fullmatch(line):
                pid, name, text = found.groups()
                begun = UNFINISHED.fullmatch(text)
                processes.setdefault(pid, []).append((name, begun[1] if begun else text))
            elif found := RESUMED.fullmatch(line):
                calls = processes.setdefault(found[1], [])
                if calls:  # else it was in this one when strace was attached
                    calls[-1] = (calls[-1][0], calls[-1][1] + found[2])
    return [[call for call in processes[pid] if call[0] != GOES_ON] for pid in _in_order(processes)]


def _in_order(processes):
    """The keys of PROCESSES, every one before those that it started."""
    order = list(processes)[:1]
    for pid in order:
        started = (RETURNED.fullmatch(text) for name, text in processes[pid] if name in STARTS)
        order += [found[1] for found in started if found and found[1] in processes]
    return order


def front_calls(calls):
    """Calls of the front process, each with its phase.  The first, execve, isn't among them."""
    # make_sane() looks at descriptors 0 to 2, then resets all signals; before it the C library does the former only.
    main = next(i for i, (name, _) in enumerate(calls) if name == "rt_sigaction") - 3
    confined = max(i for i, (name, text) in enumerate(calls)
                   if name == "seccomp" or name == "prctl" and text.startswith("PR_SET_SECCOMP"))
    return _numbered(calls, lambda i: START if i < main else STAGES if i <= confined else REQUEST)[1:]


def auditor_calls(calls):
    return _numbered(calls, lambda _: STAGES)


def _numbered(calls, phase_of):
    seen = {}
    numbered = []
    late = _late(calls)
    for i, (name, text) in enumerate(calls):
        seen[name] = seen.get(name, 0) + 1
        numbered.append(Call(name, seen[name], phase_of(i), text, i in late))
    return numbered


# What makes a tap persistent; and the request of the maker for a macvtap, as it goes and comes.
PERSIST = re.compile(r'TUNSETPERSIST|="persist\\0"')


def _late(calls):
    """The indexes of those calls that make an interface persistent."""
    first = next((i for i, (_, text) in enumerate(calls) if PERSIST.search(text)), None)
    if first is None:
        return ()
    name = calls[first][0]
    if name == "ioctl":
        return (first,)
    if name == "sendmsg":  # the front's, until its answer is there
        answer = next((i for i in range(first, len(calls)) if calls[i][0] == "recvmsg"), first)
        return range(first, answer + 1)
    return range(first - 2, len(calls))  # the maker's, which waits for a message before it reads that


def pick(calls, most):
    """At most MOST calls of each name and phase: the first two, the last two, and evenly from those in between."""
    groups = {}
    for call in calls:
        groups.setdefault((call.phase, call.name), []).append(call)
    picked = []
    for group in groups.values():
        if len(group) > most:
            middle = group[2:-2]
            wanted = most - 4
            chosen = [middle[(2 * i + 1) * len(middle) // (2 * wanted)] for i in range(wanted)]
            group = [*group[:2], *chosen, *group[-2:]]
        picked += group
    return picked


def every_action(calls, actions=ACTIONS):
    """Every one of ACTIONS at every one of CALLS, where it makes sense."""
    return [Injection(call, action) for call in calls for action in actions if makes_sense(call, action)]


def one_action_each(calls, shift):
    """One action at each of CALLS, taking turns; SHIFT lets each form begin with another."""
    actions = [ACTIONS[(i + shift) % len(ACTIONS)] for i in range(len(calls))]
    return [Injection(call, action if makes_sense(call, action) else KILL) for call, action in zip(calls, actions)]


def makes_sense(call, action):
    if call.name in NEVER_FAIL:
        return action.startswith("SIG")
    return call.name != "brk" or action in ("ENOMEM", KILL)


def was_injected(log, injection, in_child):
    """Whether LOG, of an inject_command(), shows that it happened (a kill shows in the status instead)."""
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    name = injection.call.name
    if injection.is_signal:
        hits = [line for line in lines if f"--- {injection.action} " in line]
    else:
        hits = [line for line in lines if line.endswith("(INJECTED)") and
                (f"{name}(" in line or f"<... {name} resumed>" in line)]
    if not in_child:
        return bool(hits)
    return any(line.split()[0] != lines[0].split()[0] for line in hits)
