# SPDX-License-Identifier: MIT
"""`tapferry explain`: which rule decides, for whom, and why the others don't."""
import json
import os
import unittest

import links
import sandbox
from command_case import CommandCase, need_command


def setUpModule():
    need_command()


class ExplainCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br1 user=bob", "allow bridge=br0 user=alice max=4 queues=2", "deny * user=mallory")
        self.alice = self.box.users["alice"]

    def allowed(self, *arguments, **options):
        return self.succeeds("explain", *arguments, **options).stdout

    def refused(self, *arguments, **options):
        """Status 1 and the verdict on stdout: that is an answer, no error."""
        done = self.tapferry("explain", *arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (1, ""), done.stdout)
        return done.stdout

    def facts(self, *arguments, **options):
        done = self.tapferry("explain", "--json", *arguments, **options)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.count("\n"), 1)
        return json.loads(done.stdout)


class Verdict(ExplainCase):
    def test_allowed_names_the_rule_and_the_user(self):
        text = self.allowed("--net=bridge=br0,queues=2")
        self.assertTrue(text.startswith(
            f"allowed: bridge=br0,queues=2 for alice ({self.alice.uid}), by policy.conf:2\n"), text)
        self.assertIn("policy.conf:1  allow bridge=br1 user=bob\n", text)
        self.assertIn("does not match: ", text)
        self.assertIn("quota: 0 of 4 ", text)

    def test_refused_says_why_each_rule_does_not_fit(self):
        text = self.refused("--net=bridge=br0,queues=3")
        self.assertTrue(text.startswith("refused: bridge=br0,queues=3 for alice"), text)
        self.assertIn("does not fit: ", text)
        self.assertIn("queues=", text)

    def test_deny_is_named(self):
        text = self.refused("--net=bridge=br0", user="mallory")
        self.assertIn("by policy.conf:3", text.splitlines()[0])

    def test_br_form_is_explained(self):
        self.assertIn("by policy.conf:2", self.allowed("--br=br0"))

    def test_nothing_is_made(self):
        before = links.snapshot()
        self.allowed("--net=bridge=br0")
        self.assertEqual(links.snapshot(), before)

    def test_a_policy_that_cannot_be_read_is_the_reason(self):
        self.box.policy("allow br0", "permit br1")
        self.assertIn("policy.conf:2", self.refused("--net=bridge=br0"))

    def test_works_with_a_helper_that_has_no_privilege(self):
        plain = self.box.install(os.path.join(sandbox.BUILD, "tapferry-helper"), "plain-helper")
        self.allowed("--net=bridge=br0", f"--helper={plain}")


class Json(ExplainCase):
    def test_has_the_helpers_facts_and_ours(self):
        facts = self.facts("--net=bridge=br0")
        self.assertEqual((facts["version"], facts["allowed"], facts["rule"]), (1, True, "policy.conf:2"))
        self.assertEqual((facts["user"], facts["uid"]), ("alice", self.alice.uid))
        self.assertEqual((facts["quota"]["max"], facts["quota"]["held"], facts["notes"]), (4, 0, []))
        self.assertEqual([rule["rule"] for rule in facts["rules"]],
                         ["policy.conf:1", "policy.conf:2", "policy.conf:3"])

    def test_refusal_is_one_object_too(self):
        facts = self.facts("--net=bridge=br1")
        self.assertEqual((facts["allowed"], facts["effective"], facts["quota"]), (False, None, None))


class Quota(ExplainCase):
    def test_counts_what_the_user_holds_under_the_rule(self):
        for held in range(1, 5):
            self.granted("bridge=br0")
            self.assertIn(f"quota: {held} of 4 ", self.allowed("--net=bridge=br0"))
        self.assertIn("note: the quota is used up", self.allowed("--net=bridge=br0"))

    def test_rule_without_one_says_so(self):
        self.box.policy("allow br0")
        self.assertIn("quota: none", self.allowed("--net=bridge=br0"))


class Notes(ExplainCase):
    def test_bridge_that_is_missing_is_noted(self):
        self.box.policy("allow bridge=*")
        self.assertIn("note: br7 doesn't exist here", self.allowed("--net=bridge=br7"))

    def test_bridge_that_is_none_is_noted(self):
        self.box.policy("allow bridge=*")
        self.assertIn("note: lo is no bridge", self.allowed("--net=bridge=lo"))

    def test_bridge_that_is_down_is_noted(self):
        sandbox.ip("link", "set", "br0", "down")
        self.assertIn("note: br0 is down", self.allowed("--net=bridge=br0"))

    def test_include_that_was_skipped_is_named(self):
        self.box.policy("include /etc/tapferry/policy.d/secret.conf", "allow br0")
        self.box.policy_include("secret.conf", "allow br1", mode=0o600)
        self.assertIn("skipped: /etc/tapferry/policy.d/secret.conf", self.allowed("--net=bridge=br0"))


class User(ExplainCase):
    def test_root_asks_for_anybody_by_name_or_number(self):
        for who in ("alice", str(self.alice.uid)):
            with self.subTest(who=who):
                text = self.allowed(f"--user={who}", "--net=bridge=br0", user="root")
                self.assertIn(f"for alice ({self.alice.uid})", text)
        self.assertIn("for bob", self.allowed("--user=bob", "--net=bridge=br1", user="root"))
        self.assertIn("for mallory", self.refused("--user=mallory", "--net=bridge=br0", user="root"))

    def test_groups_of_that_user_count(self):
        self.box.policy("allow bridge=br0 group=vms")
        self.allowed("--user=carol", "--net=bridge=br0", user="root")
        self.refused("--user=bobby", "--net=bridge=br0", user="root")

    def test_policy_is_read_with_that_users_rights(self):
        self.box.policy("include /etc/tapferry/policy.d/secret.conf", "deny br1")
        self.box.policy_include("secret.conf", "allow br0", mode=0o600)
        self.assertIn("skipped: ", self.refused("--user=alice", "--net=bridge=br0", user="root"))

    def test_oneself_is_allowed_somebody_else_is_not(self):
        self.allowed("--user=alice", "--net=bridge=br0")
        self.fails("explain", "--user=bob", "--net=bridge=br0", says="only root may ask for somebody else")

    def test_unknown_users_are_errors(self):
        for who in ("nosuch", "", "4242424", "-1", "0x1"):
            with self.subTest(who=who):
                self.fails("explain", f"--user={who}", "--net=bridge=br0", says="there is no such user", user="root")


class Usage(ExplainCase):
    def test_errors_have_status_2(self):
        for arguments, says in (([], "give one of --net and --br"),
                                (["--net=tap", "--br=br0"], "give one of --net and --br"),
                                (["--net=frobnicate=1"], "begins with none of"),
                                (["--net=tap", "more"], "`more' is no option")):
            with self.subTest(arguments=arguments):
                self.fails("explain", *arguments, status=2, says=says)

    def test_helper_that_cannot_explain_is_an_error(self):
        for body, says in (("sys.exit('what is --explain?')", "what is --explain?"),
                           ("print('no json')", "explanation"), ("print('{}')", "version is missing"),
                           ("print('[1]')", "it is no object"), ("", "no word"),
                           ("print(json.dumps({'version': 2}))", "version is 2"),
                           ("print(json.dumps({'version': 1, 'allowed': 'yes'}))", "allowed is missing")):
            with self.subTest(body=body):
                fake = self.fake_helper(body)
                self.fails("explain", f"--helper={fake}", "--net=bridge=br0", says=says)


if __name__ == "__main__":
    unittest.main()
