# SPDX-License-Identifier: MIT
"""Stock libvirt in session mode, of both versions: an ordinary user's domains on interfaces of ours, from `virsh define`
to `virsh destroy`, and what virsh says where the policy refuses one."""

import guest
import libvirt
import links
import processes
import sandbox
import vm_case
from vm_case import VmCase

TIMEOUT = 600

BRIDGE = f"""<interface type='bridge'>
  <source bridge='br0'/><mac address='{guest.GUEST_MAC}'/><model type='virtio'/>
</interface>"""
STAY = "result up yes\nsleep 1000\n"


class LibvirtCase(VmCase):
    """br0 and the policy "allow br0"; session() starts a libvirtd of alice's."""

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


class Bridge(LibvirtCase):
    """<interface type='bridge'> with our helper as bridge_helper."""

    def check_life(self, version):
        before = links.snapshot()
        with self.session(version) as session:
            domain = session.domain("vm1", guest.REACH_HOST + STAY, [BRIDGE], self.emulator(session))
            domain.define()
            domain.start()
            domain.wait_for("up")
            self.assert_pings(domain)
            self.assertEqual(processes.status(domain.pid())["Uid"].split()[1], str(self.alice.uid))
            (tap,) = links.of_kind("tun")
            self.assertIn(f"<target dev='{tap.name}'/>", domain.live_xml())
            domain.destroy()
            self.assertEqual(domain.state(), "shut off")
            domain.undefine()
        self.assert_nothing_left(before)

    def test_whole_life_with_libvirt_9(self):
        self.check_life("9.0")

    def test_whole_life_with_libvirt_11(self):
        self.check_life("11.3")
