# SPDX-License-Identifier: MIT
"""The base of tests with a real libvirt: its sessions, and what must be left in the end."""
import unittest

import guest
import libvirt
import links
import processes
import sandbox
import vm_case
from vm_case import VmCase

BRIDGE = f"""<interface type='bridge'>
  <source bridge='br0'/><mac address='{guest.GUEST_MAC}'/><model type='virtio'/>
</interface>"""
# A guest that stays, and says that it is done with what came before.
STAY = "result up yes\nsleep 1000\n"


class LibvirtCase(VmCase):
    """br0, which alice may use; session() is a libvirtd of hers."""

    def setUp(self):
        super().setUp()
        self.helper = vm_case.installed_helper(self.box)
        self.box.no_policy()
        self.box.policy("allow bridge=br0 user=alice")

    def session(self, version):
        try:
            return libvirt.Session(self.box, "alice", version, self.stage, self.helper)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error

    def emulator(self, session, version="7.2"):
        return session.emulator(self.qemu(version))

    def assert_pings(self, domain):
        self.assertEqual((domain.results().get("ping64"), domain.results().get("ping60000")), ("3/3", "3/3"), domain)

    def assert_nothing_left(self, before):
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before), "interfaces stay")
        left = [name for name in ("qemu-system", "tapferry-", "libvirtd")
                if not sandbox.eventually(lambda name=name: not processes.named(name), 10)]
        self.assertEqual(left, [], "still run")


class TypesCase(LibvirtCase):
    """Domains with what `tapferry libvirt-xml` prints."""

    def setUp(self):
        super().setUp()
        self.command = vm_case.installed_command(self.box)
        self.box.policy("allow bridge=br0 user=alice queues=2 mtu=9000 name=vm-* persist=on")

    def element(self, spec, *options, notes=()):
        """What libvirt-xml prints for SPEC; each of `notes` must be among what it says besides."""
        done = self.box.run([self.command, "libvirt-xml", f"--net={spec}", *options])
        self.assertEqual(done.returncode, 0, done.stderr)
        for note in notes:
            self.assertIn(note, done.stderr)
        if not notes:
            self.assertEqual(done.stderr, "")
        return done.stdout

    def tapferry(self, *words):
        done = self.box.run([self.command, *words])
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)

    def check_guest(self, session, element, emulator="7.2", queues=1, mtu=1500, **how):
        script = guest.REACH_HOST + 'result mtu "$(cat /sys/class/net/eth0/mtu)"\n'
        domain = session.domain("vm1", script, [element], self.emulator(session, emulator), smp=queues, **how)
        domain.define()
        domain.start()
        results = domain.wait_until_off()
        self.assert_pings(domain)
        self.assertEqual((results["rx_queues"], results["mtu"]), (str(queues), str(mtu)), domain)
        domain.undefine()
