# SPDX-License-Identifier: MIT
"""max=: how many interfaces one user holds by one rule; the kernel counts, so no race passes it."""
import concurrent.futures
import unittest

import handover
import links
from helper_case import HelperCase, need_helper
from one_file import note


def setUpModule():
    need_helper()


class Quota(HelperCase):

    def hold(self, spec, user="alice", **options):
        return self.granted(spec, user, look=False, **options)

    def test_of_50_parallel_requests_exactly_max_are_granted(self):
        self.box.policy("allow bridge=br0 max=7")
        for attempt in range(3):
            with concurrent.futures.ThreadPoolExecutor(50) as pool:
                asked = [pool.submit(handover.net, self.box, self.helper, "bridge=br0", look=False, timeout=60)
                         for _ in range(50)]
                got = [future.result() for future in asked]
            with self.subTest(attempt=attempt):
                granted = [one for one in got if one.status == 0]
                self.assertEqual(len(links.taps()), 7)
                self.assertEqual(len(granted), 7)
                for one in got:
                    self.assertEqual(len(one.taps), 1 if one.status == 0 else 0)
            for one in got:
                one.close()
        note("quota: 3 times 50 parallel requests under max=7, 7 granted each time")

    def test_a_refusal_says_that_it_is_the_quota(self):
        self.box.policy("allow bridge=br0 max=1")
        self.hold("bridge=br0")
        self.refused("bridge=br0", says="max=")

    def test_counts_for_each_user(self):
        self.box.policy("allow bridge=br0 max=1")
        for user in ("alice", "bob", "carol"):
            self.hold("bridge=br0", user)
        for user in ("alice", "bob", "carol"):
            self.refused("bridge=br0", user)

    def test_counts_for_each_rule(self):
        self.box.policy("allow bridge=br0 max=1", "allow bridge=br* max=2")
        self.hold("bridge=br0")
        self.assertEqual([self.hold("bridge=br1").record["rule"] for _ in range(2)], ["policy.conf:2"] * 2)
        self.refused("bridge=br1")

    def test_the_first_rule_that_fits_decides_also_when_it_is_full(self):
        self.box.policy("allow bridge=br0 max=1", "allow bridge=br* max=2")
        self.hold("bridge=br0")
        self.refused("bridge=br0", says="max=")

    def test_an_interface_with_many_queues_counts_once(self):
        self.box.policy("allow bridge=br0 max=2 queues=8")
        self.hold("bridge=br0,queues=8")
        self.hold("bridge=br0,queues=8")
        self.refused("bridge=br0")

    def test_a_closed_interface_frees_its_place(self):
        self.box.policy("allow bridge=br0 max=2")
        held = [self.hold("bridge=br0") for _ in range(2)]
        for _ in range(5):
            held.pop(0).close()
            held.append(self.hold("bridge=br0"))
        self.refused("bridge=br0")

    def test_is_16_when_unsaid(self):
        self.box.policy("allow bridge=br0")
        held = [self.hold("bridge=br0") for _ in range(16)]
        self.refused("bridge=br0")
        self.assertEqual(len(held), 16)

    def test_does_not_bind_qemus_bare_form_of_a_rule(self):
        self.box.policy("allow br0")
        for _ in range(40):
            self.hold("bridge=br0")

    def test_holds_over_both_forms(self):
        self.box.policy("allow bridge=br0 max=2")
        self.hold("bridge=br0")
        self.granted_br()
        self.refused_br()
        self.refused("bridge=br0")

    def test_moving_the_rule_to_another_line_changes_nothing(self):
        self.box.policy("allow bridge=br0 max=1")
        self.hold("bridge=br0")
        self.box.policy("# a comment", "", "allow   bridge=br0   max=1   # the same rule")
        self.refused("bridge=br0")

    def test_slots_are_altnames_of_the_interface(self):
        self.box.policy("allow bridge=br0 max=3")
        uid = self.box.users["alice"].uid
        held = [self.granted("bridge=br0") for _ in range(3)]
        names = [name for one in held for name in one.link.altnames]
        self.assertEqual(len(set(names)), 3)
        for name in names:
            self.assertRegex(name, rf"\Atapferry\.u{uid}\.[0-9a-f]+\.\d+\Z")

    def test_a_users_own_altname_cannot_be_claimed_from_outside(self):
        """Only CAP_NET_ADMIN can name interfaces, so nobody can fill or free another's slots."""
        self.box.policy("allow bridge=br0 max=1")
        got = self.granted("bridge=br0")
        done = self.box.run(["ip", "link", "property", "del", "dev", got.link.name, "altname",
                             got.link.altnames[0]])
        self.assertIn("Operation not permitted", done.stderr)


if __name__ == "__main__":
    unittest.main()
