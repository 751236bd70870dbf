# SPDX-License-Identifier: MIT
"""tapferry-helper --explain: the decision and its reasons as JSON, without privilege and without effect."""
import json
import unittest

import links
import sandbox
from helper_case import HelperCase, need_helper


def setUpModule():
    need_helper()


class Explain(HelperCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0", "deny bridge=br1 user=bob", "allow bridge=br* queues=4 max=2")

    def explain(self, *arguments, user="bob", helper=None):
        before = links.snapshot()
        done = self.box.run([helper or self.helper, "--explain", *arguments], user)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\A[^\n]+\n\Z")
        self.assertEqual(links.snapshot(), before)
        return json.loads(done.stdout)

    def outcomes(self, answer):
        return [rule["outcome"] for rule in answer["rules"]]

    def test_names_the_rule_that_allows_and_why_the_others_do_not(self):
        answer = self.explain("--net=bridge=br0,queues=2")
        self.assertEqual((answer["allowed"], answer["rule"]), (True, "policy.conf:3"))
        self.assertEqual(self.outcomes(answer), ["does not fit", "does not match", "decides"])
        self.assertIn("queues=2", answer["rules"][0]["why"])
        self.assertEqual(answer["quota"]["max"], 2)

    def test_names_the_rule_that_denies(self):
        answer = self.explain("--br=br1")
        self.assertEqual((answer["allowed"], answer["rule"]), (False, "policy.conf:2"))
        self.assertTrue(self.explain("--br=br1", user="alice")["allowed"])

    def test_agrees_with_what_a_hand_over_does(self):
        for spec in ("bridge=br0", "bridge=br0,queues=2", "bridge=br1", "bridge=br0,queues=5", "tap"):
            for user in ("alice", "bob"):
                with self.subTest(spec=spec, user=user):
                    answer = self.explain(f"--net={spec}", user=user)
                    if answer["allowed"]:
                        self.assertEqual(self.granted(spec, user).record["rule"], answer["rule"])
                    else:
                        self.refused(spec, user)

    def test_what_can_not_be_had_is_not_allowed(self):
        self.box.policy("allow bridge=br0 guest_mac=52:54:00:*", "allow device=* mtu=9000 vhost=on")
        for spec, says in (("bridge=br0,guest_mac=52:54:00:00:00:01", "binds the guest to nothing without lock=on"),
                           ("device=lo,mtu=1400", "mac= and mtu= are for new ones")):
            with self.subTest(spec=spec):
                answer = self.explain(f"--net={spec}")
                self.assertFalse(answer["allowed"])
                self.assertIn(says, answer["reason"])
                self.refused(spec, says=says)

    def test_a_device_takes_no_place_in_a_quota(self):
        self.box.policy("allow device=*")
        answer = self.explain("--net=device=lo")
        self.assertEqual((answer["allowed"], answer["quota"]), (True, None))

    def test_needs_no_privilege(self):
        plain = self.box.install(self.helper, "tapferry-helper-plain")
        self.assertEqual(self.explain("--br=br0", helper=plain), self.explain("--br=br0"))

    def test_shows_no_more_of_the_policy_than_the_caller_may_read(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/secret.conf")
        secret = self.box.policy_include("secret.conf", "allow bridge=br1 user=carol", mode=0o600)
        answer = self.explain("--br=br0")
        self.assertEqual((len(answer["rules"]), len(answer["skipped"])), (1, 1))
        self.assertIn(secret, answer["skipped"][0])
        self.assertNotIn("carol", json.dumps(answer))

    def test_says_why_a_policy_cannot_be_read(self):
        self.box.policy("allow br0", "nonsense")
        answer = self.explain("--br=br0")
        self.assertFalse(answer["allowed"])
        self.assertIn("policy.conf:2", answer["reason"])

    def test_is_not_audited_and_takes_no_socket(self):
        self.explain("--br=br0")
        self.assertEqual(self.box.syslog.lines(at_least=1, seconds=0.3), [])
        done = self.box.run([self.helper, "--explain", "--br=br0", "--fd=0"])
        self.assertNotEqual(done.returncode, 0)


class Rules(HelperCase):
    """--rules: the policy as the caller sees it."""

    def rules(self, user="bob", helper=None):
        before = links.snapshot()
        done = self.box.run([helper or self.helper, "--rules"], user)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\A[^\n]+\n\Z")
        self.assertEqual(links.snapshot(), before)
        return json.loads(done.stdout)

    def test_lists_every_rule_and_whom_it_is_about(self):
        self.box.policy("allow br0", "deny * user=bob", "allow bridge=br* group=vms max=2", "allow tap=* group=vmsters")
        answer = self.rules()
        self.assertEqual((answer["policy"], answer["user"], answer["error"]), ("/etc/tapferry/policy.conf", "bob", None))
        rows = [(rule["rule"], rule["verb"], rule["kind"], rule["object"], rule["applies"]) for rule in answer["rules"]]
        self.assertEqual(rows, [("policy.conf:1", "allow", "bridge", "br0", True), ("policy.conf:2", "deny", None, "*", True),
                                ("policy.conf:3", "allow", "bridge", "br*", False),
                                ("policy.conf:4", "allow", "tap", "*", True)])
        self.assertEqual((answer["rules"][2]["file"], answer["rules"][2]["line"]), ("/etc/tapferry/policy.conf", 3))
        self.assertIn("vms", answer["rules"][2]["why"])

    def test_names_the_group_that_a_new_login_would_bring(self):
        self.box.policy("allow bridge=br0 group=vms,vmsters")
        bob = self.box.users["bob"]
        rule, = self.rules(user=sandbox.User("bob", bob.uid, bob.gid, ()))["rules"]
        self.assertEqual((rule["applies"], rule["new_login"]), (False, "vmsters"))
        rule, = self.rules()["rules"]
        self.assertEqual((rule["applies"], rule["new_login"]), (True, None))

    def test_says_where_and_why_a_policy_cannot_be_read(self):
        self.box.policy("allow br0", "nonsense")
        answer = self.rules()
        self.assertEqual((answer["rules"], answer["error"]["where"]), ([], "/etc/tapferry/policy.conf:2"))
        self.assertIn("nonsense", answer["error"]["reason"])

    def test_shows_no_more_than_the_caller_may_read_and_needs_no_privilege(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/secret.conf")
        secret = self.box.policy_include("secret.conf", "allow bridge=br1 user=carol", mode=0o600)
        plain = self.box.install(self.helper, "tapferry-helper-plain")
        answer = self.rules()
        self.assertEqual((len(answer["rules"]), answer["skipped"]), (1, [secret]))
        self.assertNotIn("carol", json.dumps(answer))
        self.assertEqual(self.rules(helper=plain), answer)

    def test_names_qemus_file_where_that_is_read(self):
        self.box.qemu_conf("allow br0")
        self.assertEqual(self.rules()["policy"], "/etc/qemu/bridge.conf")

    def test_is_about_no_request(self):
        for more in ("--br=br0", "--net=bridge=br0", "--explain", "--fd=0"):
            done = self.box.run([self.helper, "--rules", more])
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(done.stdout, "")
            self.assertIn("Usage", done.stderr)


if __name__ == "__main__":
    unittest.main()
