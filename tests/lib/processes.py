# SPDX-License-Identifier: MIT
"""What /proc says of this pid namespace's processes."""
import contextlib
import os
import signal

import sandbox

MAKER, WARDEN = "tapferry-maker", "tapferry-warden"


def _read(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def status(pid):
    """/proc/PID/status as a dictionary; empty when it is gone."""
    lines = (line.partition(":\t") for line in _read(pid, "status").splitlines())
    return {key: value.strip() for key, _, value in lines}


def is_running(pid):
    """Whether it exists and isn't a zombie."""
    return not status(pid).get("State", "Z").startswith("Z")


def named(prefix):
    """(pid, comm) of each process whose name begins with PREFIX and that isn't a zombie."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        name = _read(pid, "comm").strip()
        if name.startswith(prefix) and is_running(pid):
            found.append((int(pid), name))
    return found


def wardens():
    return [pid for pid, _ in named(WARDEN)]


def makers():
    """A hand-over that was granted doesn't wait for the end of its own."""
    return [pid for pid, _ in named(MAKER)]


def wait_for_no_maker():
    if not sandbox.eventually(lambda: not makers(), 10):
        raise AssertionError(f"{makers()} don't end")


def of_program(path):
    """Processes that run the program at PATH, the oldest first."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe") == path:
                found.append(int(pid))
    return sorted(found)


def descriptors(pid):
    """Number -> what it is, as /proc/PID/fd has it ("/dev/null", "socket:[1234]")."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
    return found


def session(pid):
    """(process group, session), proc_pid_stat(5); None when it is gone."""
    fields = _stat(pid)
    return (int(fields[2]), int(fields[3])) if fields else None


def fronts(path):
    """Processes of the helper at PATH that are in their starter's session: its others have got sessions of their own, or
    are about to."""
    sessions = {pid: session(pid) for pid in of_program(path)}
    return [pid for pid, found in sessions.items() if found and found[1] != pid]


def ticks(pid):
    """Clock ticks that it has had of a processor, in user mode and in the kernel."""
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12])


def _stat(pid):
    return _read(pid, "stat").rpartition(")")[2].split()


def kill_and_wait(*pids):
    """SIGKILL to each; returns when none of them runs any more."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not sandbox.eventually(lambda: not any(map(is_running, pids)), 10):
        raise AssertionError(f"{pids} survived SIGKILL")
