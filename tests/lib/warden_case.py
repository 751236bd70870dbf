# SPDX-License-Identifier: MIT
"""The base of tests of what makes macvtaps and watches over interfaces: a veth pair whose one end is the parent, and
the check that every test leaves neither macvtap nor process nor node."""
import os
import shutil
import socket
import subprocess
import unittest

import frames
import links
import processes
import sandbox
from helper_case import HelperCase

NODES = "/dev/tapferry"
GATEWAY = "52:54:00:00:00:fe"
LOCAL_EXPERIMENTAL = 0x88b5  # an EtherType for experiments, IEEE 802


def nodes():
    return sorted(os.listdir(NODES)) if os.path.isdir(NODES) else []


class WardenCase(HelperCase):
    """v0 is the parent, v1 the wire's other end."""
    RULE = ("allow macvtap=v0 queues=8 mtu=9000 mac=52:54:00:* name=vm-* guest_mac=52:54:00:* "
            "mode=bridge,vepa,private,passthru,source max=600")

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.box.policy(self.RULE, "allow bridge=br0 queues=8 guest_mac=52:54:00:*")

    def tearDown(self):
        self.doCleanups()
        self.assertNothingLeft()

    def assertNothingLeft(self, seconds=5):
        sandbox.eventually(lambda: not (links.of_kind("macvtap") or processes.named("tapferry-") or nodes()), seconds)
        self.assertEqual(([link.name for link in links.of_kind("macvtap")], processes.named("tapferry-"), nodes()),
                         ([], [], []), "macvtaps, processes and nodes are left")

    def warden(self):
        """The pid of the one warden."""
        found = processes.wardens()
        self.assertEqual(len(found), 1, found)
        return found[0]

    def start(self, spec, *wrap):
        """(the process, our end of the socket) of a hand-over that nobody waits for.  WRAP, run by root, has to become
        alice."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        with theirs:
            proc = self.box.popen([*wrap, self.helper, f"--net={spec}", f"--fd={theirs.fileno()}"],
                                  "root" if wrap else "alice", pass_fds=[theirs.fileno()],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(proc.stderr.close)
        return proc, ours

    def crosses(self, got, wire="v1"):
        """Whether a frame of the guest comes out at interface WIRE."""
        guest = frames.tap_end(got)
        with frames.packet_end(wire) as end:
            frame = frames.make(frames.BROADCAST, links.get(got.taps[0].name).mac, LOCAL_EXPERIMENTAL)
            guest.send(frame)
            return frame in frames.received_until(end, frame)


def need_strace():
    if not shutil.which("strace"):
        raise unittest.SkipTest("strace is not installed (make deps)")
