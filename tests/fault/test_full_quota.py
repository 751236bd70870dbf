# SPDX-License-Identifier: MIT
"""A full quota and the sweeping of taps that were left behind, with faults."""
import unittest

import sandbox
from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800


class FullQuota(FaultCase):
    """max=1, and the one place is taken: by a tap that its holder left behind, or by one that is in use."""

    FAR = 34  # more taps than a hand-over usually looks at for abandoned ones

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 max=1")
        with self.granted("bridge=br0") as got:
            self.alias, self.slot = got.link.alias, got.link.altnames[0]

    def abandon(self):
        """What is left of a tap whose holder made it persistent."""
        if "old" not in sandbox.ip("-brief", "link", "show", "type", "tun"):
            sandbox.ip("tuntap", "add", "dev", "old", "mode", "tap", "user", str(self.box.users["alice"].uid))
            sandbox.ip("link", "set", "old", "alias", self.alias)
            sandbox.ip("link", "property", "add", "dev", "old", "altname", self.slot)

    def check(self, form, shift, *steps):
        """STEPS: the first request of each of these kinds comes in this order when nothing fails."""
        front, _, expected = self.trace(form)
        sent = [call.text for call in front if call.name == "sendto"]
        first = [next(i for i, text in enumerate(sent) if step in text) for step in steps]
        self.assertEqual(first, sorted(first))
        self.run_plan(form, self.short_plan(front, shift), expected)

    def test_of_an_abandoned_tap(self):
        self.check(Form("sweeps an abandoned tap", net("bridge=br0"), "granted", restore=self.abandon,
                        goes=("old",)), 4, "RTM_DELLINK", "RTM_NEWLINKPROP")

    def test_of_an_abandoned_tap_far_down_the_list(self):
        for i in range(self.FAR):
            sandbox.ip("tuntap", "add", "dev", f"far{i}", "mode", "tap")
        self.check(Form("sweeps all taps for a place in the quota", net("bridge=br0"), "granted",
                        restore=self.abandon, goes=("old",)), 5, "RTM_NEWLINKPROP", "RTM_DELLINK")

    def test_of_a_tap_in_use(self):
        self.granted("bridge=br0")
        self.check(Form("refused by a full quota", net("bridge=br0"), "refused", "max=1"), 0, "RTM_NEWLINKPROP")


if __name__ == "__main__":
    unittest.main()
