# SPDX-License-Identifier: MIT
"""Stock libvirt in session mode, of both versions: an ordinary user's domains on interfaces of ours, from `virsh define`
to `virsh destroy`, and what virsh says where the policy refuses one."""

import guest
import links
import processes
from libvirt_case import BRIDGE, STAY, LibvirtCase

TIMEOUT = 600

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


class Refusals(LibvirtCase):
    """virsh ends with our line, and says all of it each time."""

    NOT_ALLOWED = (r"tapferry-helper: access denied by acl file: bridge=\w+,vnet_hdr_sz=10 is not allowed to uid \d+, "
                   r"or there is no such interface; `tapferry explain --net=bridge=\w+,vnet_hdr_sz=10' says which rule "
                   r"decides\n")

    def check(self, version):
        cases = (("br0", "deny br0", self.NOT_ALLOWED), ("br0", "allow bridge=br0 user=bob", self.NOT_ALLOWED),
                 ("absent0", "allow bridge=* user=alice", "tapferry-helper: .*absent0.*"),
                 ("br0", "allow nonsense=1", r".*policy\.conf:1: Invalid config line: `nonsense=1' names no object.*"))
        before = links.snapshot()
        with self.session(version) as session:
            for bridge, rule, says in cases:
                self.box.policy(rule)
                domain = session.domain("vm1", STAY, [BRIDGE.replace("br0", bridge)], self.emulator(session))
                domain.define()
                for _ in range(5):
                    done = session.virsh("start", "vm1")
                    self.assertNotEqual(done.returncode, 0)
                    self.assertRegex(done.stderr, "failed to communicate with bridge helper: stderr=" + says)
                    self.assertEqual(links.snapshot(), before)
                domain.undefine()
            self.box.policy("allow bridge=br0 user=alice")
            domain = session.domain("vm1", guest.REACH_HOST, [BRIDGE], self.emulator(session))
            domain.define()
            domain.start()
            domain.wait_until_off()
            self.assert_pings(domain)
        self.assert_nothing_left(before)

    def test_refusals_with_libvirt_9(self):
        self.check("9.0")

    def test_refusals_with_libvirt_11(self):
        self.check("11.3")

    def test_quota_holds_over_domains(self):
        self.box.policy("allow bridge=br0 user=alice max=1")
        before = links.snapshot()
        with self.session("9.0") as session:
            first, second = (session.domain(name, STAY, [BRIDGE], self.emulator(session)) for name in ("vm1", "vm2"))
            first.define()
            second.define()
            first.start()
            self.assertIn("has as many as the rule allows at once (max=1)", session.virsh("start", "vm2").stderr)
            first.destroy()
            second.start()
        self.assert_nothing_left(before)

    def test_killed_qemu_leaves_nothing(self):
        before = links.snapshot()
        with self.session("9.0") as session:
            domain = session.domain("vm1", STAY, [BRIDGE], self.emulator(session))
            domain.define()
            domain.start()
            domain.wait_for("up")
            processes.kill_and_wait(domain.pid())
            domain.wait_until_off()
            self.assertEqual(links.snapshot(), before)
        self.assert_nothing_left(before)
