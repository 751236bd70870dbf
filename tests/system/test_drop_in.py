# SPDX-License-Identifier: MIT
"""Ours against Debian's qemu-bridge-helper: the same calls, side by side, nothing may differ unlisted."""
import contextlib
import os
import re
import socket
import unittest

import handover
import links
import sandbox
from drop_in_cases import CASES, LONG
from drop_in_differences import DIFFERENCES

# The words of qemu-bridge-helper's failures that people search for.
WORDS = ("Usage: ", "failed to drop privileges", "' too long: ", "Invalid config line:", "Unknown command `",
         "failed to parse default acl file `", "access denied by acl file", "failed to open /dev/net/tun: ",
         "failed to create tun device: ", "failed to get mtu of bridge `", "failed to add interface `",
         "failed to write fd to unix socket: ")


def setUpModule():
    if not os.path.exists(sandbox.QEMU_HELPER):
        raise unittest.SkipTest(f"no {sandbox.QEMU_HELPER} (package qemu-system-common)")
    if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry-helper")):
        raise unittest.SkipTest("tapferry-helper is not built (make)")
    box = sandbox.enter()
    for name, mtu in (("br0", None), ("br1", None), ("br9000", 9000), ("br1280", 1280), (LONG, None)):
        box.bridge(name, mtu=mtu)
    sandbox.ip("link", "add", "brdown", "type", "bridge")
    box.veth("veth0", "veth1")


@contextlib.contextmanager
def open_fd(kind):
    """A descriptor of that KIND, and the socket to receive from (None where there can't be any)."""
    with contextlib.ExitStack() as stack:
        keep = stack.enter_context
        if kind in ("stream", "seqpacket", "datagram", "peer_gone"):
            family = {"seqpacket": socket.SOCK_SEQPACKET, "datagram": socket.SOCK_DGRAM}
            ours, theirs = socket.socketpair(socket.AF_UNIX, family.get(kind, socket.SOCK_STREAM))
            keep(theirs)
            keep(ours)
            if kind == "peer_gone":
                ours.close()
            yield theirs.fileno(), None if kind == "peer_gone" else ours
        elif kind in ("unconnected", "listening", "inet"):
            sock = keep(socket.socket(socket.AF_INET if kind == "inet" else socket.AF_UNIX))
            if kind == "listening":
                sock.bind("\0tapferry-drop-in")
                sock.listen()
            yield sock.fileno(), None
        elif kind == "pipe":
            ends = os.pipe()
            stack.callback(os.close, ends[0])
            stack.callback(os.close, ends[1])
            yield ends[1], None
        elif kind in ("file", "directory"):
            fd = os.open("/etc/passwd" if kind == "file" else "/etc", os.O_RDONLY)
            stack.callback(os.close, fd)
            yield fd, None
        else:  # closed
            yield None, None


def run_case(box, helper, case):
    """Ask HELPER as CASE says; a comparable picture of all that it did."""
    with open_fd(case.fd) as (fd, ours):
        args = [word.replace("{fd}", str(200 if fd is None else fd)) for word in case.args]
        done = box.run([helper, *args], case.user, pass_fds=() if fd is None else (fd,))
        if ours is not None:
            messages, fds, _eof = handover.drain(ours)
        else:
            messages, fds = [], []
    taps = [handover.inspect(fd) for fd in fds]
    picture = {
        "status": done.returncode,
        "words": tuple(word for word in WORDS if word in done.stderr),
        "says why": bool(done.stderr) != (done.returncode == 0),
        "messages": tuple(messages),
        "taps": tuple((tuple(tap.flag_names), tap.header_size, tap.nonblocking) for tap in taps),
    }
    for tap in taps:
        link = links.get(tap.name)
        picture["interface"] = {
            "called tapN": bool(re.fullmatch(r"tap\d+", link.name)), "up": link.up, "mtu": link.mtu,
            "MAC begins": link.mac[:2], "master": link.master}
        os.close(tap.fd)
    picture["left behind"] = tuple(link.name for link in links.taps())
    for link in links.taps():
        sandbox.ip("link", "del", link.name)
    return picture


class DropIn(unittest.TestCase):
    """One test for each case, made below."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.box = sandbox.enter()
        cls.theirs = cls.box.install_helper(sandbox.QEMU_HELPER)
        cls.ours = cls.box.install_helper()
        cls.powerless = {helper: cls.box.install(helper, os.path.basename(helper) + ".plain")
                         for helper in (cls.theirs, cls.ours)}

    def prepare(self, case):
        self.box.no_policy()
        if case.acl is not None:
            self.box.qemu_conf(*case.acl, mode=case.acl_mode)
        for path, lines, mode in case.files:
            self.box.write(path, "".join(f"{line}\n" for line in lines), mode=mode)
        self.box.tun_mode(case.tun_mode)
        if not case.tun:
            os.rename("/dev/net/tun", "/dev/net/away")
            self.addCleanup(os.rename, "/dev/net/away", "/dev/net/tun")

    def compare(self, case):
        self.prepare(case)
        theirs, ours = (run_case(self.box, helper if case.setuid else self.powerless[helper], case)
                        for helper in (self.theirs, self.ours))
        found = {key: (theirs.get(key), ours.get(key)) for key in sorted({*theirs, *ours})
                 if theirs.get(key) != ours.get(key)}
        _reason, listed = DIFFERENCES.get(case.name, ("", {}))
        self.assertEqual(found, listed, "differences found (first) and listed (second)")

    def test_every_listed_difference_names_a_case_and_a_reason(self):
        names = {case.name for case in CASES}
        for name, (reason, fields) in DIFFERENCES.items():
            self.assertIn(name, names)
            self.assertTrue(reason and fields, name)

    def test_no_two_cases_share_a_name(self):
        self.assertEqual(len({case.name for case in CASES}), len(CASES))

    def test_what_ours_adds_to_every_grant(self):
        """Differences that no VMM sees: the tap has an owner and a tag."""
        self.prepare(CASES[0])
        seen = {}
        for helper in (self.theirs, self.ours):
            with handover.qemu(self.box, helper, "br0") as got:
                with open(f"/sys/class/net/{got.taps[0].name}/owner", encoding="ascii") as owner:
                    seen[helper] = (int(owner.read()), got.link.alias.split(" ")[0])
        alice = self.box.users["alice"].uid
        self.assertEqual(seen, {self.theirs: (-1, ""), self.ours: (alice, "tapferry")})


for _case in CASES:
    setattr(DropIn, f"test_{_case.name}", lambda self, case=_case: self.compare(case))


if __name__ == "__main__":
    unittest.main()
