# SPDX-License-Identifier: MIT
"""The tables of docs/PRIVILEGE.md, compared with a helper that is stopped at each stage: strace sends it SIGSTOP
at a certain system call, and /proc/PID/status says what it has."""
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import sandbox
from helper_case import HelperCase, need_helper

DAC_OVERRIDE, SETPCAP, NET_ADMIN = 1 << 1, 1 << 8, 1 << 12
FILE_ACCESS = 0x1f | 1 << 9 | 1 << 27 | 1 << 32  # what setfsuid(2) takes away: CAP_FS_SET, linux/capability.h
STOPPED = "--- stopped by SIGSTOP ---"

# Row -> the calls that it is stopped behind, and the path that tells one from others like it.
MOMENTS = {
    "front, stages 0 and 1": [("clone", None)],
    "front, opening the tun node": [("openat", "/dev/net/tun")],
    "front, stages 2, 3 and 5": [("openat", "/etc/tapferry/policy.conf"), ("sendmsg", None)],
    "front, within an operation of stage 4": [("ioctl", "/dev/net/tun")],
}


def setUpModule():
    need_helper()
    if not shutil.which("strace"):
        raise unittest.SkipTest("strace is not installed (make deps)")


@dataclasses.dataclass(frozen=True)
class State:
    """A process as /proc/PID/status has it."""
    uids: tuple
    permitted: int
    effective: int
    bounding: int
    no_new_privs: int
    seccomp: int
    inheritable: int
    ambient: int
    groups: tuple


def state_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        values = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    caps = {name: int(values[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")}
    return State(tuple(map(int, values["Uid"].split())), caps["CapPrm"], caps["CapEff"], caps["CapBnd"],
                 int(values["NoNewPrivs"]), int(values["Seccomp"]), caps["CapInh"], caps["CapAmb"],
                 tuple(map(int, values["Groups"].split())))


def helpers(path):
    """Processes that run the program at PATH, the oldest first: the front, then the auditor."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/exe") == path:
                    found.append(int(name))
            except OSError:
                pass
    return sorted(found)


class Stopped:
    """The helper as alice, stopped behind a system call: the state of the front, and the auditor's if there is one."""

    def __init__(self, box, helper, call, path):
        self.front = self.auditor = None
        ours, theirs = socket.socketpair()
        with ours, theirs, tempfile.NamedTemporaryFile(mode="r") as trace:
            command = ["strace", "-f", "-u", "alice", "-o", trace.name, "-e", f"trace={call}",
                       "-e", f"inject={call}:signal=SIGSTOP:when=1", *(["-P", path] if path else []),
                       helper, "--net=bridge=br0", f"--fd={theirs.fileno()}"]
            proc = box.popen(command, "root", pass_fds=[theirs.fileno()],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                sandbox.eventually(lambda: proc.poll() is not None or STOPPED in self.read(trace), 30)
                self.trace = self.read(trace)
                if STOPPED in self.trace:
                    self.look(*helpers(helper))
            finally:
                proc.kill()
                for pid in helpers(helper):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                proc.communicate(timeout=20)
        sandbox.eventually(lambda: not helpers(helper))

    @staticmethod
    def read(trace):
        trace.seek(0)
        return trace.read()

    def look(self, front, auditor=None):
        self.front = state_of(front)
        if auditor:  # it runs by itself: wait until it has dropped everything
            self.auditor = sandbox.eventually(lambda: self.settled(auditor), 10)

    @staticmethod
    def settled(pid):
        state = state_of(pid)
        return state if state.no_new_privs and state.seccomp == filter_mode("filter") else None


def filter_mode(word):
    """Seccomp's mode for a table's word; a build with a sanitizer has no filter."""
    is_sanitized = os.path.basename(sandbox.BUILD) in ("asan", "tsan")
    return 2 if word == "filter" and not is_sanitized else 0


def table(title):
    """Rows of PRIVILEGE.md's table: name -> cells."""
    with open(f"{sandbox.ROOT}/docs/PRIVILEGE.md", encoding="utf-8") as file:
        text = file.read().split(f"<!-- stages: {title} -->")[1].split("\n\n")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows[1:]}


class Stages(HelperCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0")
        self.alice = self.box.users["alice"]

    def compare(self, helper, title, file_capabilities=0):
        rows = table(title)
        with open("/proc/self/status", encoding="ascii") as file:
            everything = int(re.search(r"CapBnd:\s+(\w+)", file.read())[1], 16)
        meaning = {"all": everything, "none": 0, "empty": 0, "NET_ADMIN": NET_ADMIN, "the file's": file_capabilities}
        auditors = set()
        for name, calls in MOMENTS.items():
            row = rows.pop(name)
            for call, path in calls:
                with self.subTest(moment=name, call=call):
                    stopped = Stopped(self.box, helper, call, path)
                    self.assertIsNotNone(stopped.front, stopped.trace)
                    self.check(row, stopped.front, meaning)
                    auditors.add(stopped.auditor)
        auditors.discard(None)  # none yet where fork(2) itself was interrupted
        (name, row), = rows.items()
        self.assertEqual(name, "auditor")
        self.assertEqual(len(auditors), 1, auditors)
        self.check(row, auditors.pop(), meaning)

    def check(self, row, state, meaning):
        uids, permitted, effective, bounding, no_new_privs, seccomp = row
        self.assertEqual(state.uids, tuple(self.alice.uid if word == "U" else int(word) for word in uids.split()))
        self.assertEqual(state.permitted, meaning[permitted])
        if effective == "no file capability":
            self.assertFalse(state.effective & FILE_ACCESS)
        else:
            self.assertEqual(state.effective, meaning[effective])
        self.assertEqual(state.bounding, meaning[bounding])
        self.assertEqual((state.no_new_privs, state.seccomp), (int(no_new_privs), filter_mode(seccomp)))
        self.assertEqual((state.inheritable, state.ambient), (0, 0))
        has_groups = state.uids != (0, 0, 0, 0)
        self.assertEqual(set(self.alice.groups) & set(state.groups), set(self.alice.groups) if has_groups else set())

    def test_setuid_helper_has_what_the_table_says(self):
        self.compare(self.helper, "setuid")

    def test_helper_with_file_capabilities_has_what_the_table_says(self):
        caps = "cap_net_admin,cap_setpcap,cap_dac_override+ep"
        helper = self.box.install_helper(name="tapferry-helper-caps", caps=caps)
        self.compare(helper, "file capabilities", NET_ADMIN | SETPCAP | DAC_OVERRIDE)


if __name__ == "__main__":
    unittest.main()
