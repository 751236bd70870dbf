# SPDX-License-Identifier: MIT
"""macvtap=, device= and a watched tap with faults: in the front, and in all of its processes at once.  Nothing is left
behind."""
import unittest

import sandbox
from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401
import strace

TIMEOUT = 1800


class Macvtap(FaultCase):

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.box.policy("allow macvtap=v0 queues=2 mtu=9000 mac=52:54:00:* guest_mac=52:54:00:*",
                        "allow bridge=br0 guest_mac=52:54:00:*", "allow device=there")

    def check(self, form, shift):
        front, _, expected = self.trace(form)
        children = [call for calls in self.others for call in calls]
        self.assertTrue(children, "no maker in the trace")
        self.run_plan(form, self.short_plan(front, shift), expected)
        # Each name and number once: it is injected in every process anyway. Kills, which would take maker and warden at once, are
        # test_warden_faults.py's: one of the two is there to clean up behind the other.
        once = {(call.name, call.nth): call for call in children}
        self.run_everywhere(form, strace.every_action(strace.pick(list(once.values()), 4), ("EPERM", "ENOMEM", "EMFILE")),
                            expected)

    def test_with_queues_under_a_quota(self):
        self.check(Form("macvtap= with queues", net("macvtap=v0,queues=2"), "granted"), 0)

    def test_locked_and_filtered(self):
        self.check(Form("macvtap= locked", net("macvtap=v0,lock=on,guest_mac=52:54:00:00:00:01,filter=ipv4"), "granted"), 1)

    def test_a_locked_tap(self):
        self.check(Form("bridge= watched", net("bridge=br0,lock=on,guest_mac=52:54:00:00:00:01"), "granted"), 2)

    def test_a_device_that_exists(self):
        sandbox.ip("link", "add", "link", "v0", "name", "there", "up", "type", "macvtap", "mode", "bridge")
        self.check(Form("device=", net("device=there"), "granted"), 3)


if __name__ == "__main__":
    unittest.main()
