# SPDX-License-Identifier: MIT
"""The base of tests with a real libvirt: its sessions, and what must be left in the end."""
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
            raise self.skipTest(str(error)) from error

    def emulator(self, session, version="7.2"):
        return session.emulator(self.qemu(version))

    def assert_pings(self, domain):
        self.assertEqual((domain.results().get("ping64"), domain.results().get("ping60000")), ("3/3", "3/3"), domain)

    def assert_nothing_left(self, before):
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before), "interfaces stay")
        left = processes.named("qemu-system") + processes.named("tapferry-") + processes.named("libvirtd")
        self.assertEqual(left, [])
