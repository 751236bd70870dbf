# SPDX-License-Identifier: MIT
"""The how-tos about guests work as they stand: several queues, macvtap, containers, migration, libvirt. Their QEMU is a real
one, of whose window nobody sees anything."""
import glob
import json
import os
import shutil
import signal
import subprocess
import unittest

import doc_pages
import howto
import links
import processes
import sandbox
from broker_case import SOCKET, add_broker_user, need_broker
from helper_case import HelperCase, need_helper

QEMU = "/usr/bin/qemu-system-x86_64"
PROGRAMS = ("tapferry", "tapferry-vhost", "tapferryd", "tapferry-broker")


def setUpModule():
    need_helper()
    need_broker()
    if sandbox.IS_SANITIZED:
        raise unittest.SkipTest("what the pages show is the plain build")
    # A shell's background jobs ignore it, and so would all that is to end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not os.access(QEMU, os.X_OK):
        raise unittest.SkipTest("qemu-system-x86_64 is not installed (make deps)")


class Runner(howto.Runner):
    """What is left running is ready when the next block runs."""

    def environment(self, name):
        # As pam_systemd has it for whoever has logged in; a short path, since sockets are there.
        return {**super().environment(name), "XDG_RUNTIME_DIR": f"{self.box.users[name].home}/run"}

    def leave_running(self, block):
        said = super().leave_running(block)
        if not sandbox.eventually(lambda: self.has_begun(block), 60):
            raise AssertionError(f"{block.script} hasn't begun\n{self.said()}")
        return said

    def has_begun(self, block):
        """The service listens; or the interface is with the program that is to have it, and what others connect to is there."""
        if block.script.startswith("tapferryd"):
            return os.path.exists(SOCKET)
        monitor = f"{self.box.users['alice'].home}/vm-{block.host}.monitor"
        if "-monitor" in block.script and not os.path.exists(monitor):
            return False
        if "-incoming" in block.script and not self.box.run([*self.wrap[block.host], "ss", "-Hltn", "sport = :4444"], "root").stdout:
            return False
        holder = next(name for name in ("tapferry-vhost", "qemu-system", "tapferry")
                      if name.removeprefix("tapferry") in block.script)
        held = self.box.run([*self.wrap[block.host], f"{sandbox.BASE}/bin/tapferry", "status", "--interval=0", "--json"], "root")
        holders = [one["name"] for interface in json.loads(held.stdout)["interfaces"] for one in interface["holders"]]
        return any(name.startswith(holder) for name in holders) and "tapferry-helper" not in holders


class HowtoCase(HelperCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_broker_user(cls.box)
        for name in PROGRAMS:
            cls.box.install(os.path.join(sandbox.BUILD, name))
        folder = f"{sandbox.BASE}/bin"
        # Installed, it finds the other two by itself.
        os.rename(f"{folder}/tapferryd", f"{folder}/tapferryd.real")
        cls.box.write(f"{folder}/tapferryd", (
            f'#!/bin/sh\nexec {folder}/tapferryd.real --helper={folder}/tapferry-helper --broker={folder}/tapferry-broker "$@"\n'),
            0o755)
        cls.box.write(f"{sandbox.BASE}/tmp/disk.img", bytes(1 << 20), 0o666)
        home = cls.box.users["alice"].home
        cls.box.write(f"{home}/vm/disk.img", bytes(1 << 20), owner="alice")
        os.chown(f"{home}/vm", cls.box.users["alice"].uid, -1)
        # In the folder with the disk, and without a window.
        cls.box.write(f"{folder}/qemu-system-x86_64",
                      f'#!/bin/sh\ncd {sandbox.BASE}/tmp && exec {QEMU} "$@" -display none\n', 0o755)

    def setUp(self):
        super().setUp()
        self.box.policy("# as it comes")

    def run_page(self, name, wrap=None):
        runner = Runner(self.box, wrap)
        self.addCleanup(runner.end_all)
        for block in howto.blocks(f"docs/howto/{name}"):
            runner.run(block)
        runner.end_all()
        self.assertTrue(sandbox.eventually(lambda: not links.taps(), 30), links.taps())

    def two_hosts(self, *, in_namespaces=("a", "b")):
        """With an eth0 each, on one wire; those that aren't in namespaces are here. What comes before a command on each."""
        for name in in_namespaces:
            sandbox.ip("netns", "add", name)
            self.addCleanup(sandbox.ip, "netns", "del", name)
        wrap = {name: ["nsenter", f"--net=/run/netns/{name}"] if name in in_namespaces else [] for name in "ab"}
        sandbox.ip("link", "add", "wire-a", "type", "veth", "peer", "name", "wire-b")
        for number, name in enumerate("ab", 1):
            if name in in_namespaces:
                sandbox.ip("link", "set", f"wire-{name}", "netns", name)
            for words in (["link", "set", f"wire-{name}", "name", "eth0"], ["addr", "add", f"192.0.2.{number}/24", "dev", "eth0"],
                          ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
                subprocess.run([*wrap[name], "ip", *words], check=True, timeout=20)
        return wrap


class Howtos(HowtoCase):

    def test_each_page_is_run_somewhere(self):
        tests = "".join(doc_pages.read_file(path) for path in glob.glob(f"{sandbox.ROOT}/tests/*/test_*.py"))
        for page in glob.glob(f"{sandbox.ROOT}/docs/howto/*.md"):
            self.assertIn(os.path.basename(page), tests)

    def test_multi_queue(self):
        self.run_page("multi-queue.md")

    def test_macvtap(self):
        self.run_page("macvtap.md", self.two_hosts(in_namespaces=("b",)))

    def test_containers(self):
        if not shutil.which("bwrap"):
            self.skipTest("bubblewrap is not installed (make deps)")
        self.run_page("containers.md")

    def test_migration(self):
        if not shutil.which("socat"):
            self.skipTest("socat is not installed (make deps)")
        self.run_page("migration.md", self.two_hosts())

    def test_libvirt_session(self):
        if not shutil.which("virsh") or not os.path.exists("/usr/sbin/libvirtd"):
            self.skipTest("libvirt-daemon and libvirt-clients are not installed (make deps)")
        alice = self.box.users["alice"]
        sandbox.mount("tmpfs", "/usr/local", "tmpfs", data="mode=755")
        self.addCleanup(sandbox.umount, "/usr/local")
        os.mkdir("/usr/local/libexec", 0o755)
        shutil.copyfile(self.helper, "/usr/local/libexec/tapferry-helper")
        os.chmod("/usr/local/libexec/tapferry-helper", 0o4755)
        self.box.install(os.path.join(sandbox.BUILD, "tapferry-libvirt"))
        domain, = doc_pages.code_blocks("docs/howto/libvirt-session.md", "xml")
        self.box.write(f"{alice.home}/vm1.xml", domain, owner="alice")
        self.addCleanup(self.end_libvirt)
        self.run_page("libvirt-session.md")

    @staticmethod
    def end_libvirt():
        for name in ("libvirtd", "virtlogd", "qemu-system"):
            for pid, _ in processes.named(name):
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
