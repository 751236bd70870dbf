# SPDX-License-Identifier: MIT
"""The --net form with faults: a bridge with queues under a quota, and a policy made of several files."""
import unittest

from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800


class Bridge(FaultCase):

    def check(self, form, shift):
        front, _, expected = self.trace(form)
        self.run_plan(form, self.short_plan(front, shift), expected)

    def test_queues_under_a_quota(self):
        self.box.policy("allow bridge=br0 user=alice queues=2 max=4")
        self.check(Form("bridge= with queues and quota", net("bridge=br0,queues=2"), "granted"), 1)

    def test_a_name_and_isolation(self):
        self.box.policy("allow bridge=br0 name=vm-* mtu=1400 mac=52:54:00:* vhost=on")
        self.check(Form("bridge= with all its keys",
                        net("bridge=br0,name=vm-1,mtu=1400,mac=52:54:00:12:34:56,isolated=on,up=off,vnet_hdr=off,"
                            "vhost=auto"),
                        "granted"), 2)

    def test_a_rule_in_an_included_file(self):
        self.box.policy("include /etc/tapferry/policy.d/*.conf", "include /etc/tapferry/more/last.conf")
        self.box.policy_include("10-deny.conf", "deny bridge=br1")
        self.box.policy_include("20-empty.conf", "# nothing")
        self.box.write("/etc/tapferry/more/last.conf", "allow bridge=br* group=vms\n")
        self.check(Form("bridge= by a policy of four files", net("bridge=br0"), "granted"), 3)


if __name__ == "__main__":
    unittest.main()
