# SPDX-License-Identifier: MIT
"""`tapferry doctor` on the policy: one that can't be read or isn't believed, and one that doesn't allow this user anything."""
import os
import unittest

import sandbox
from command_case import need_command
from mend_case import MendCase

POLICY = "/etc/tapferry/policy.conf"
QEMUS = "/etc/qemu/bridge.conf"


def setUpModule():
    need_command()


class Files(MendCase):
    """Each makes the helper refuse everything, and is gone when what is printed is done."""

    def mends_and_serves(self, name, **options):
        self.assertFalse(self.is_served())
        found = self.mends(name, "--check=policy", **options)
        self.assertTrue(self.is_served(), found)
        return found

    def test_nothing_is_wrong_with_one_that_allows_something(self):
        for user in ("alice", "root"):
            self.assertEqual(self.ids("--check=policy", user=user), [])

    def test_missing(self):
        os.unlink(POLICY)
        self.assertEqual(self.mends_and_serves("policy-missing")["object"], f"policy {POLICY}")

    def test_its_folder_is_missing_too(self):
        os.unlink(POLICY)
        os.rmdir(os.path.dirname(POLICY))
        self.mends_and_serves("policy-missing")

    def test_unreadable(self):
        os.chmod(POLICY, 0o600)
        self.mends_and_serves("policy-unreadable")

    def test_in_a_folder_that_is_closed(self):
        os.chmod("/etc/tapferry", 0o700)
        found = self.mends_and_serves("policy-unreadable")
        self.assertIn("chmod a+rx /etc/tapferry", found["command"])

    def test_not_roots(self):
        os.chown(POLICY, self.box.users["bob"].uid, 0)
        self.mends_and_serves("policy-owner")

    def test_others_can_write_to_it(self):
        for mode in (0o664, 0o646):
            os.chmod(POLICY, mode)
            self.mends_and_serves("policy-writable")

    def test_malformed(self):
        self.box.policy("allow bridge=br0", "# a comment", "allow brigde=br1")
        found = self.mends_and_serves("policy-malformed")
        self.assertEqual(found["object"], f"policy {POLICY}:3")
        self.assertIn("brigde", found["problem"])

    def test_malformed_in_an_include(self):
        self.box.policy("allow bridge=br0", "include /etc/tapferry/policy.d/*.conf")
        path = self.box.policy_include("more.conf", "allow", "allow bridge=br1")
        self.assertEqual(self.mends_and_serves("policy-malformed")["object"], f"policy {path}:1")

    def test_an_include_that_is_not_believed(self):
        self.box.policy("allow bridge=br0", "include /etc/tapferry/policy.d/*.conf")
        path = self.box.policy_include("more.conf", "allow bridge=br1", mode=0o666)
        self.assertEqual(self.mends_and_serves("policy-writable")["object"], f"policy {path}")
        os.chown(path, self.box.users["bob"].uid, 0)
        self.mends_and_serves("policy-owner")

    def test_a_folder_of_includes_that_is_not_believed(self):
        self.box.policy("allow bridge=br0", "include /etc/tapferry/policy.d/*.conf")
        self.box.policy_include("more.conf", "allow bridge=br1")
        os.chmod("/etc/tapferry/policy.d", 0o775)
        self.assertEqual(self.mends_and_serves("policy-writable")["object"], "policy /etc/tapferry/policy.d")
        os.chmod("/etc/tapferry/policy.d", 0o711)
        self.assertEqual(self.mends_and_serves("policy-unreadable")["object"], "policy /etc/tapferry/policy.d")

    def test_an_include_that_is_missing(self):
        self.box.policy("allow bridge=br0", "include /etc/tapferry/more.conf")
        found = self.mends_and_serves("policy-include")
        self.assertEqual(found["object"], f"policy {POLICY}:2")
        self.assertIn("/etc/tapferry/more.conf", found["problem"])


class Rules(MendCase):
    def test_none_for_this_user(self):
        self.box.policy("allow bridge=br0 user=bob", "allow bridge=br1 group=vmsters")
        self.assertFalse(self.is_served())
        found = self.mends("policy-no-rule", "--check=policy")
        self.assertIn("alice", found["problem"])
        self.assertTrue(self.is_served())
        self.assertEqual(self.ids("--check=policy", user="bob"), [])

    def test_none_at_all_as_it_is_installed(self):
        self.box.policy("# allows nothing")
        self.finds("policy-no-rule", "--check=policy", user="root")
        self.mends("policy-no-rule", "--check=policy")
        self.assertEqual(self.ids("--check=policy", user="root"), [])

    def test_one_for_root_names_a_group_and_not_root(self):
        self.box.policy()
        found = self.mends("policy-no-rule", "--check=policy", user="root")
        self.assertIn("group=kvm", found["command"])

    def test_none_in_qemus_file_keeps_what_others_have(self):
        os.unlink(POLICY)
        self.box.qemu_conf("allow br1")
        self.assertEqual(self.ids("--check=policy"), ["policy-qemu-fallback"])
        self.box.qemu_conf("deny br1")
        self.mends("policy-no-rule", "--check=policy")
        self.assertTrue(self.is_served())
        with open(POLICY, encoding="utf-8") as file:
            self.assertEqual(file.readline(), f"include {QEMUS}\n")

    def test_qemus_file_in_the_place_of_ours(self):
        os.unlink(POLICY)
        self.box.qemu_conf("allow br0")
        self.assertTrue(self.is_served())
        found = self.mends("policy-qemu-fallback")
        self.assertEqual((found["severity"], found["object"]), ("note", f"policy {QEMUS}"))
        self.assertTrue(self.is_served())

    def test_a_group_that_a_new_login_brings(self):
        self.box.policy("allow bridge=br0 group=vms")
        alice = self.box.users["alice"]
        before = sandbox.User("alice", alice.uid, alice.gid, ())
        found = self.finds("policy-new-login", "--check=policy", user=before)
        self.assertEqual(found["command"], "newgrp vms")
        # It starts a shell, which reads what comes next.
        script = f'echo "{self.command} doctor --check=policy" | {found["command"]}'
        done = self.box.run(["sh", "-c", script], before, env={"SHELL": "/bin/sh"})
        self.assertEqual((done.returncode, done.stdout), (0, "nothing is wrong; looked at: policy\n"), done.stderr)

    def test_everything_is_denied(self):
        self.box.policy("allow bridge=br0", "deny * user=mallory,alice")
        self.assertFalse(self.is_served())
        found = self.mends("policy-denied", "--check=policy", env={"NEW_LINE": "deny * user=mallory"})
        self.assertIn("policy.conf:2", found["object"])
        self.assertTrue(self.is_served())
        self.finds("policy-denied", "--user=mallory", user="root")
        self.finds_not("policy-denied", user="root")

    def test_a_deny_that_not_all_can_read(self):
        self.box.policy("allow bridge=br0", "include /etc/tapferry/policy.d/secret.conf")
        self.box.policy_include("secret.conf", "deny bridge=br0 user=alice", mode=0o640)
        self.assertTrue(self.is_served(), "which is what is wrong")
        self.assertEqual(self.mends("policy-deny-hidden", user="root")["severity"], "warning")
        self.assertFalse(self.is_served())

    def test_an_include_that_this_user_cannot_read(self):
        self.box.policy("allow bridge=br0", "include /etc/tapferry/policy.d/secret.conf")
        path = self.box.policy_include("secret.conf", "allow bridge=br1 user=alice", mode=0o640)
        found = self.finds("policy-include-skipped")
        self.assertEqual((found["severity"], found["object"], found["command"]), ("note", f"policy {path}", None))
        os.chmod(path, 0o644)
        self.finds_not("policy-include-skipped")


if __name__ == "__main__":
    unittest.main()
