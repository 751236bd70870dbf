# SPDX-License-Identifier: MIT
"""The tables of docs/PRIVILEGE.md, compared with a helper that is stopped at each stage: strace sends it SIGSTOP
at a certain system call, and /proc/PID/status says what it has."""
import dataclasses
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import processes
import sandbox
from helper_case import HelperCase, need_helper

# linux/capability.h
DAC_OVERRIDE, FOWNER, SETPCAP, NET_ADMIN, MKNOD = 1 << 1, 1 << 3, 1 << 8, 1 << 12, 1 << 27
FILE_ACCESS = 0x1f | 1 << 9 | 1 << 27 | 1 << 32  # what setfsuid(2) takes away: CAP_FS_SET
STOPPED = "--- stopped by SIGSTOP ---"
NODES = "/dev/tapferry"
CALLERS_SOCKET = "the caller's socket"

# Row -> the calls that it is stopped behind, and the path, or CALLERS_SOCKET, that tells one from others like it: the
# maker sends too.
MOMENTS = {
    "front, stages 0 and 1": [("clone", None)],
    "front, opening the tun node": [("openat", "/dev/net/tun")],
    "front, stages 2, 3 and 5": [("openat", "/etc/tapferry/policy.conf"), ("sendmsg", CALLERS_SOCKET)],
    "front, within an operation of stage 4": [("ioctl", "/dev/net/tun")],
}
WAITING = ("openat", "/etc/tapferry/policy.conf")  # the front's, before it asks anybody for anything
BETWEEN_OPERATIONS = ("unlink", None)              # the maker's, of a node
WITHIN_OPERATIONS = {DAC_OVERRIDE: ("mkdir", NODES), MKNOD: ("mknodat", None)}


def setUpModule():
    need_helper()
    if not shutil.which("strace"):
        raise unittest.SkipTest("strace is not installed (make deps)")


@dataclasses.dataclass(frozen=True)
class State:
    """A process as /proc/PID has it."""
    uids: tuple
    permitted: int
    effective: int
    bounding: int
    no_new_privs: int
    seccomp: int
    inheritable: int
    ambient: int
    groups: tuple
    pid: int = dataclasses.field(compare=False)
    session: tuple = dataclasses.field(compare=False)
    cwd: str = dataclasses.field(compare=False)
    owner: int = dataclasses.field(compare=False)  # of /proc/PID/fd: root's when it isn't dumpable, proc(5)
    descriptors: dict = dataclasses.field(compare=False, hash=False)


def state_of(pid):
    values = processes.status(pid)
    caps = {name: int(values[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")}
    return State(tuple(map(int, values["Uid"].split())), caps["CapPrm"], caps["CapEff"], caps["CapBnd"],
                 int(values["NoNewPrivs"]), int(values["Seccomp"]), caps["CapInh"], caps["CapAmb"],
                 tuple(map(int, values["Groups"].split())), pid, processes.session(pid),
                 os.readlink(f"/proc/{pid}/cwd"), os.stat(f"/proc/{pid}/fd").st_uid, processes.descriptors(pid))


class Stopped:
    """The helper as alice, stopped behind a system call: the states of its processes, None of those that there
    aren't."""

    def __init__(self, box, helper, call, path, spec="bridge=br0"):
        self.front = self.auditor = self.maker = self.warden = self.keeper = None
        ours, theirs = socket.socketpair()
        self.socket = os.readlink(f"/proc/self/fd/{theirs.fileno()}")
        if path == CALLERS_SOCKET:
            path = self.socket
        with ours, theirs, tempfile.NamedTemporaryFile(mode="r") as trace:
            command = ["strace", "-f", "-u", "alice", "-o", trace.name, "-e", f"trace={call}",
                       "-e", f"inject={call}:signal=SIGSTOP:when=1", *(["-P", path] if path else []),
                       helper, f"--net={spec}", f"--fd={theirs.fileno()}"]
            proc = box.popen(command, "root", pass_fds=[theirs.fileno()],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                sandbox.eventually(lambda: proc.poll() is not None or STOPPED in self.read(trace), 30)
                self.trace = self.read(trace)
                if STOPPED in self.trace:
                    self.look(processes.of_program(helper))
            finally:
                proc.kill()
                processes.kill_and_wait(*processes.of_program(helper))
                proc.communicate(timeout=20)
        shutil.rmtree(NODES, ignore_errors=True)

    @staticmethod
    def read(trace):
        trace.seek(0)
        return trace.read()

    def look(self, pids):
        """The front is the oldest.  The others run by themselves: wait until each has dropped what it drops."""
        front, *others = pids
        self.front = state_of(front)
        for pid in others:
            settled = sandbox.eventually(lambda pid=pid: self.settled(pid), 10)
            if settled:
                setattr(self, *settled)

    @staticmethod
    def settled(pid):
        """(role, state) when it is in its place."""
        role = processes.status(pid)["Name"].removeprefix("tapferry-")
        state = state_of(pid)
        if not state.no_new_privs:
            return None
        if role == "maker":
            return role, state
        if role == "ovs":
            return "keeper", state
        if state.seccomp != filter_mode("filter"):
            return None
        return ("warden", state) if role == "warden" else ("auditor", state)


def filter_mode(word):
    """Seccomp's mode for a table's word; a build with a sanitizer has no filter."""
    return 2 if word == "filter" and not sandbox.IS_SANITIZED else 0


def table(title):
    """Rows of PRIVILEGE.md's table: name -> cells."""
    with open(f"{sandbox.ROOT}/docs/PRIVILEGE.md", encoding="utf-8") as file:
        text = file.read().split(f"<!-- stages: {title} -->")[1].split("\n\n")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows[1:]}


class StagesCase(HelperCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0", "allow macvtap=v0")
        self.alice = self.box.users["alice"]
        self.service = pwd.getpwnam(sandbox.WARDEN_USER)

    def stop(self, helper, call, path, spec="bridge=br0"):
        stopped = Stopped(self.box, helper, call, path, spec)
        self.assertIsNotNone(stopped.front, stopped.trace)
        return stopped

    def check(self, row, state, meaning, inheritable=0):
        uids, permitted, effective, bounding, no_new_privs, seccomp = row
        ids = {"U": self.alice.uid, "T": self.service.pw_uid, "0": 0}
        self.assertEqual(state.uids, tuple(ids[word] for word in uids.split()))
        self.assertEqual(state.permitted, meaning[permitted])
        if effective == "no file capability":
            self.assertFalse(state.effective & FILE_ACCESS)
        else:
            self.assertEqual(state.effective, meaning[effective])
        self.assertEqual(state.bounding, meaning[bounding])
        self.assertEqual((state.no_new_privs, state.seccomp), (int(no_new_privs), filter_mode(seccomp)))
        self.assertEqual((state.inheritable, state.ambient), (inheritable, 0))
        is_callers = self.alice.uid in state.uids
        self.assertEqual(state.groups and set(self.alice.groups) & set(state.groups),
                         set(self.alice.groups) if is_callers else ())


class Front(StagesCase):
    """And the auditor, which there is in every form."""

    def compare(self, helper, title, file_capabilities=0):
        rows = table(title)
        with open("/proc/self/status", encoding="ascii") as file:
            everything = int(re.search(r"CapBnd:\s+(\w+)", file.read())[1], 16)
        meaning = {"all": everything, "none": 0, "empty": 0, "NET_ADMIN": NET_ADMIN, "the file's": file_capabilities}
        auditors = set()
        for name, calls in MOMENTS.items():
            for call, path in calls:
                with self.subTest(moment=name, call=call):
                    stopped = self.stop(helper, call, path)
                    self.check(rows[name], stopped.front, meaning)
                    auditors.add(stopped.auditor)
        auditors.discard(None)  # none yet where fork(2) itself was interrupted
        self.assertEqual(len(auditors), 1, auditors)
        self.check(rows["auditor"], auditors.pop(), meaning)
        return set(rows) - set(MOMENTS) - {"auditor"}

    def test_of_a_setuid_helper_has_what_the_table_says(self):
        self.assertEqual(self.compare(self.helper, "setuid"), set(Service.ROWS))

    def test_of_a_helper_with_file_capabilities_has_what_the_table_says(self):
        caps = "cap_net_admin,cap_setpcap,cap_dac_override+ep"
        helper = self.box.install_helper(name="tapferry-helper-caps", caps=caps)
        self.assertEqual(self.compare(helper, "file capabilities", NET_ADMIN | SETPCAP | DAC_OVERRIDE), set())


class Service(StagesCase):
    """The maker, the warden and the keeper, which have the uid of the system user tapferry."""
    ROWS = ("maker, waiting", "maker, at work", "warden", "keeper, waiting", "keeper")  # the last one: test_ovs_keeper.py
    MEANING = {"none": 0, "empty": 0, "NET_ADMIN": NET_ADMIN, "DAC_OVERRIDE": DAC_OVERRIDE,
               "NET_ADMIN DAC_OVERRIDE FOWNER MKNOD": NET_ADMIN | DAC_OVERRIDE | FOWNER | MKNOD}

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.rows = table("setuid")

    def check_service(self, name, state, stopped, now=0, inheritable=0):
        """NOW is what "one at a time" is at this moment."""
        self.assertIsNotNone(state, stopped.trace)
        self.check(self.rows[name], state, {**self.MEANING, "one at a time": now}, inheritable)
        self.assertEqual((state.session, state.cwd, state.owner), ((state.pid, state.pid), "/", 0))
        self.assertEqual([state.descriptors[number] for number in range(3)], ["/dev/null"] * 3)
        others = [what for number, what in state.descriptors.items() if number > 2]
        self.assertEqual([what for what in others if not re.match(r"(socket:|anon_inode:inotify\Z)", what)], [],
                         "neither a device nor a file")
        self.assertNotIn(stopped.socket, others, "the caller's socket")

    def test_a_maker_that_waits_has_what_the_table_says(self):
        stopped = self.stop(self.helper, *WAITING)
        self.assertIsNone(stopped.warden)
        self.check_service("maker, waiting", stopped.maker, stopped)

    def test_a_keeper_that_waits_has_what_the_table_says(self):
        stopped = self.stop(self.helper, *WAITING, "bridge=ovs:br-int")
        self.assertIsNone(stopped.maker, "it is there in its place")
        self.check_service("keeper, waiting", stopped.keeper, stopped, inheritable=DAC_OVERRIDE)

    def test_a_maker_at_work_and_the_warden_have_what_the_table_says(self):
        stopped = self.stop(self.helper, *BETWEEN_OPERATIONS, "macvtap=v0")
        self.check_service("warden", stopped.warden, stopped)
        # It has the queue that it has just opened, by a node whose name is gone.
        queue = [number for number, what in stopped.maker.descriptors.items() if what.startswith(NODES)]
        self.assertEqual(len(queue), 1, stopped.maker.descriptors)
        del stopped.maker.descriptors[queue[0]]
        self.check_service("maker, at work", stopped.maker, stopped)

    def test_a_maker_raises_one_capability_for_each_operation(self):
        for capability, moment in WITHIN_OPERATIONS.items():
            with self.subTest(moment[0]):
                self.box.delete_links()
                self.box.veth("v0", "v1")
                stopped = self.stop(self.helper, *moment, "macvtap=v0")
                self.check_service("maker, at work", stopped.maker, stopped, capability)

    def test_with_file_capabilities_there_is_neither(self):
        helper = self.box.install_helper(name="tapferry-helper-caps", caps="cap_net_admin,cap_setpcap+ep")
        stopped = self.stop(helper, *WAITING)
        self.assertEqual((stopped.maker, stopped.warden), (None, None))
        self.assertIsNone(self.stop(helper, *WAITING, "bridge=ovs:br-int").keeper)


if __name__ == "__main__":
    unittest.main()
