# SPDX-License-Identifier: MIT
"""Isolation, locks, rates and filters with faults: a tap never comes without one that was asked for, and one that was there
keeps those that it had."""
import subprocess
import unittest

import sandbox
from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800

GUEST = "52:54:00:00:00:01"


def traffic_control(name):
    def shown(*words):
        return subprocess.run(["tc", *words, "dev", name], capture_output=True, text=True, check=True).stdout
    return shown("qdisc", "show") + shown("filter", "show", "ingress") + shown("filter", "show", "egress")


class PortSecurity(FaultCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 guest_mac=52:54:00:*", "allow tap=vm-* user=alice")

    def check(self, form, shift):
        front, _, expected = self.trace(form)
        self.run_plan(form, self.short_plan(front, shift), expected)

    def test_on_a_bridge(self):
        self.check(Form("isolated, rate and filter", net("bridge=br0,isolated=on,rate_to=10mbit,filter=ipv4,arp"),
                        "granted"), 4)

    def test_locked(self):
        self.check(Form("locked", net(f"bridge=br0,lock=on,guest_mac={GUEST},filter=ipv4"), "granted"), 5)

    def existing(self):
        """vm-1 as an earlier hand-over left it."""
        subprocess.run(["ip", "link", "del", "vm-1"], stderr=subprocess.DEVNULL, check=False)
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid), "vnet_hdr")
        self.granted("tap=vm-1,rate_to=20mbit,filter=arp,up=off").close()

    def test_of_a_tap_that_exists(self):
        self.existing()
        form = Form("rate and filter of an existing tap", net("tap=vm-1,rate_to=10mbit,filter=ipv4"), "granted",
                    restore=self.as_it_was, changes=("vm-1",), kept=lambda: traffic_control("vm-1"))
        self.check(form, 6)

    def as_it_was(self):
        self.granted("tap=vm-1,rate_to=20mbit,filter=arp,up=off").close()
        sandbox.ip("link", "set", "vm-1", "down")


if __name__ == "__main__":
    unittest.main()
