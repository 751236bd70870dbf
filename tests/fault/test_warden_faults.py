# SPDX-License-Identifier: MIT
"""The maker and the warden with faults in one of them alone: a kill or an error at each of its calls."""
import unittest

import links
import sandbox
import strace
from fault_case import Form, net
from service_case import MAKER, NEW_WARDEN, WARDEN, ServiceCase, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800
GUEST = "52:54:00:00:00:01"
MOST = 4  # calls of a name that are disturbed


class Services(ServiceCase):
    RULES = ("allow macvtap=v0 queues=2 mac=52:54:00:* mtu=1400 guest_mac=52:54:00:* max=4",
             "allow bridge=br0 guest_mac=52:54:00:*", "allow bridge=br1 guest_mac=52:54:00:*", "allow device=macvtap0")
    MACVTAP = Form("macvtap=", net("macvtap=v0,queues=2"), "granted")
    WHOLE = Form("macvtap= with all its keys", net(f"macvtap=v0,mtu=1400,lock=on,guest_mac={GUEST},filter=ipv4"),
                 "granted")
    LOCKED = Form("bridge= locked", net(f"bridge=br0,lock=on,guest_mac={GUEST}"), "granted")
    AUTO = Form("bridge= with filter=auto", net("bridge=br0,filter=auto"), "granted")

    def setUp(self):
        super().setUp()
        self.box.policy(*self.RULES)

    def check_maker(self, form, shift):
        maker, _, expected = self.trace_services(form)
        self.run_services(form, self.two_actions_each(strace.pick(maker, MOST), shift), expected, MAKER)

    def test_maker_of_a_macvtap(self):
        self.check_maker(self.MACVTAP, 0)

    def test_maker_of_a_macvtap_with_all_its_keys(self):
        self.check_maker(self.WHOLE, 1)

    def test_maker_for_a_locked_port(self):
        self.check_maker(self.LOCKED, 2)

    def existing(self):
        if links.get("macvtap0") is None:
            sandbox.ip("link", "add", "link", "v0", "name", "macvtap0", "up", "type", "macvtap", "mode", "bridge")
            self.addCleanup(sandbox.ip, "link", "del", "macvtap0")

    def test_maker_that_opens_a_device(self):
        self.existing()
        self.check_maker(Form("device=", net("device=macvtap0"), "granted"), 3)

    def test_warden_that_begins(self):
        """The maker makes the same calls, and is disturbed too where it makes as many."""
        _, warden, expected = self.trace_services(self.MACVTAP)
        confined = max(i for i, call in enumerate(warden) if call.name in ("seccomp", "prctl"))
        self.run_services(self.MACVTAP, self.two_actions_each(strace.pick(warden[:confined + 1], MOST), 0), expected,
                          NEW_WARDEN)

    def check_warden(self, form, shift):
        """One that is there already: its calls from the hello on, counted from when strace is attached."""
        expected, calls = self.trace_serving(form)
        self.run_services(form, self.two_actions_each(strace.pick(calls, 2 * MOST), shift), expected, WARDEN)

    def test_warden_that_serves_a_macvtap(self):
        self.check_warden(self.MACVTAP, 0)

    def test_warden_that_serves_a_locked_port(self):
        self.check_warden(self.LOCKED, 1)

    def test_warden_that_follows_addresses(self):
        self.check_warden(self.AUTO, 2)


if __name__ == "__main__":
    unittest.main()
