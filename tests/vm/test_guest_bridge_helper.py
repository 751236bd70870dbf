# SPDX-License-Identifier: MIT
"""A user without capabilities boots a guest by QEMU's own -netdev bridge,helper=, and it reaches the host."""

import guest
import links
from vm_case import VERSIONS, VmCase, installed_helper


class BridgeHelper(VmCase):
    def boot(self, version, policy, netdev="bridge,id=n0,br=br0,helper={helper}"):
        helper = installed_helper(self.box)
        self.box.policy(*policy)
        self.box.qemu_conf(*policy)
        network = ["-netdev", netdev.format(helper=helper), *guest.virtio_nic("n0")]
        return self.stage.boot(self.qemu(version), guest.REACH_HOST, network, user=self.alice)

    def check_reaches_host(self, version):
        before = links.snapshot()
        outcome = self.boot(version, ["allow br0"])
        self.assert_reached_host(outcome)
        self.assertEqual(outcome.stderr, "")
        self.assertEqual(links.snapshot(), before, "the tap goes with QEMU")

    def test_guest_of_qemu_7_2_reaches_host(self):
        self.check_reaches_host("7.2")

    def test_guest_of_qemu_10_reaches_host(self):
        self.check_reaches_host("10.0")

    def test_helper_by_netdev_tap_reaches_host(self):
        """The other place where QEMU takes a helper. A blank in it makes QEMU go through /bin/sh."""
        outcome = self.boot("7.2", ["allow br0"], "tap,id=n0,helper={helper} --br=br0")
        self.assert_reached_host(outcome)

    def test_refusal_ends_qemu_with_the_reason(self):
        for version in VERSIONS:
            with self.subTest(version):
                before = links.snapshot()
                outcome = self.boot(version, ["deny br0"])
                self.assertEqual(outcome.status, 1, outcome)
                self.assertIn("access denied by acl file", outcome.stderr)
                self.assertEqual(links.snapshot(), before)
