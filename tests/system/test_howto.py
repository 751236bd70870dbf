# SPDX-License-Identifier: MIT
"""The how-tos work as they stand: every command of docs/howto, in order, on hosts that are network namespaces."""
import glob
import os
import socket
import subprocess
import unittest

import doc_pages
import frames
import handover
import howto
import open_vswitch
import ovn
import sandbox
from helper_case import HelperCase, need_helper

MANY_HOSTS, OPEN_VSWITCH = "docs/howto/many-hosts.md", "docs/howto/openvswitch.md"
HOSTS = {"a": "192.0.2.1", "b": "192.0.2.2"}


def setUpModule():
    need_helper()


class Pages(unittest.TestCase):

    def test_every_one_is_run_here_whole(self):
        pages = sorted(os.path.relpath(path, doc_pages.ROOT) for path in glob.glob(f"{doc_pages.ROOT}/docs/howto/*.md"))
        for page in (MANY_HOSTS, OPEN_VSWITCH):
            self.assertIn(page, pages)
            self.assertGreater(len(howto.blocks(page)), 5)


class HowtoCase(HelperCase):

    def setUp(self):
        super().setUp()
        self.command = self.box.install(os.path.join(sandbox.BUILD, "tapferry"))
        self.box.policy("# as it comes")

    def run_page(self, page, runner, *, until=None, first=None):
        """All blocks, or those before the one that begins with UNTIL.  FIRST: how a block begins, and what comes before it."""
        self.addCleanup(runner.end_all)
        for block in howto.blocks(page):
            if until and block.script.startswith(until):
                return
            if first and block.script.startswith(first[0]):
                first[1]()
            with self.subTest(host=block.host, script=block.script):
                runner.run(block)


class ManyHosts(HowtoCase):
    """Two namespaces, and a wire between their eth0."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        probe = subprocess.run(["ip", "link", "add", "vxlan-probe", "type", "vxlan", "id", "1", "dstport", "4789"],
                               capture_output=True, text=True, check=False)
        if probe.returncode:
            raise unittest.SkipTest(f"kernel: no VXLAN: {probe.stderr.strip()}")
        sandbox.ip("link", "del", "vxlan-probe")

    def setUp(self):
        super().setUp()
        for name in HOSTS:
            sandbox.ip("netns", "add", name)
            self.addCleanup(sandbox.ip, "netns", "del", name)
        sandbox.ip("link", "add", "eth0", "netns", "a", "type", "veth", "peer", "name", "eth0", "netns", "b")
        for name, address in HOSTS.items():
            sandbox.ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            sandbox.ip("-n", name, "link", "set", "eth0", "up")
            sandbox.ip("-n", name, "link", "set", "lo", "up")
        self.runner = howto.Runner(self.box, {name: self.on(name) for name in HOSTS})

    @staticmethod
    def on(name):
        return ["nsenter", f"--net=/run/netns/{name}"]

    def test_commands_work_as_they_stand(self):
        self.run_page(MANY_HOSTS, self.runner)

    def test_guests_on_different_hosts_are_in_one_network(self):
        self.run_page(MANY_HOSTS, self.runner, until="tapferry probe")
        alice, bob = (self.guest(name) for name in HOSTS)
        self.assertTrue(frames.exchanged(alice, bob))

    def guest(self, name):
        """The guest's end of a tap that alice was given on that host."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                command = [*self.on(name), *self.runner.as_user("alice"), self.helper, "--net=bridge=br0",
                           f"--fd={theirs.fileno()}"]
                done = self.box.run(command, "root", pass_fds=[theirs.fileno()])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            messages, fds, eof = handover.drain(ours)
        got = handover.Handover(0, "", "", messages, [handover.inspect(fd) for fd in fds], eof)
        self.addCleanup(got.close)
        return frames.tap_end(got)


class OpenVswitch(HowtoCase):

    @classmethod
    def setUpClass(cls):
        ovn.need_ovn()
        super().setUpClass()
        cls.switch = open_vswitch.start(cls.box)

    def setUp(self):
        self.switch.clear()
        super().setUp()

    def test_commands_work_as_they_stand(self):
        self.run_page(OPEN_VSWITCH, howto.Runner(self.box), first=("ovn-nbctl ls-add", self.start_ovn))

    def start_ovn(self):
        self.addCleanup(ovn.Ovn(self.switch).stop_controller)


if __name__ == "__main__":
    unittest.main()
