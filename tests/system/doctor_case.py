# SPDX-License-Identifier: MIT
"""The base of tests of `tapferry doctor`: what it should find is made by hand, as a killed warden or a holder leaves it."""
import array
import os
import re
import shutil
import socket

import links
import sandbox
from command_case import CommandCase

LONG_AGO = 1700000000
WARDEN = "\0tapferry-warden"
WARDEN_NODES = "/dev/tapferry"
LEFT_BEHIND = "macvtaps,taps,ovs,nodes"
LEFT_BEHIND_WORDS = LEFT_BEHIND.replace(",", ", ")


def tag(kind="macvtap", since=LONG_AGO, more=""):
    return f"tapferry uid=2001 kind={kind} since={since}{more} rule=policy.conf:1"


def unsummed(text):
    """What doctor printed, without the line that sums up, but for its first words where nothing is wrong."""
    return re.sub(r"(?m)^(\d+ problem|no problem).*\n|; looked at: .*$", "", text)


def own_nodes():
    """What a claim opens a macvtap by."""
    return [name for name in os.listdir("/dev") if name.startswith(".tapferry-")]


class DoctorCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        for name in own_nodes():
            os.unlink(f"/dev/{name}")
        shutil.rmtree(WARDEN_NODES, ignore_errors=True)

    def macvtap(self, name="mv0", alias=None):
        """One over v0, up, with an alias (default: our tag, old)."""
        sandbox.ip("link", "add", "link", "v0", "name", name, "type", "macvtap", "mode", "bridge")
        sandbox.ip("link", "set", name, "alias", tag() if alias is None else alias, "up")
        return name

    def open(self, name="mv0", close=True):
        """A queue of it; closed when the test ends, unless the test does."""
        with open(f"/sys/class/net/{name}/tap{links.get(name).index}/dev", encoding="ascii") as file:
            device = os.makedev(*map(int, file.read().split(":")))
        node = f"{sandbox.BASE}/tmp/node-{name}"
        os.mknod(node, 0o20600, device)
        try:
            fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.unlink(node)
        if close:
            self.addCleanup(os.close, fd)
        return fd

    def in_flight(self, fd):
        """The descriptor is nowhere but on its way through a socket; whoever receives it gets it back."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        os.close(fd)

        def receive():
            control = theirs.recvmsg(1, socket.CMSG_SPACE(4))[1]
            received = array.array("i", control[0][2])[0]
            self.addCleanup(os.close, received)
            return received
        return receive

    def warden(self):
        """Somebody who answers where the warden does."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(listener.close)
        listener.bind(WARDEN)
        listener.listen()

    def doctor(self, *arguments, well=True, user="root", **options):
        """What it prints of what was left behind, without the list of what was looked at; well: its status says that
        nothing is wrong (any more)."""
        only = () if "--repair" in arguments else (f"--check={LEFT_BEHIND}",)
        done = self.tapferry("doctor", *only, *arguments, user=user, **options)
        self.assertEqual((done.returncode, done.stderr), (0 if well else 1, ""), done.stdout)
        self.assertEqual(own_nodes(), [], "its own nodes are gone")
        return unsummed(done.stdout)

    def repair(self, well=True, **options):
        return self.doctor("--repair", well=well, **options)

    def repairs_nothing(self, well=True, says="nothing is wrong\n"):
        """--repair leaves every interface as it is."""
        before = links.snapshot()
        self.assertIn(says, self.repair(well))
        self.assertEqual(links.snapshot(), before)
