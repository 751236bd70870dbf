# SPDX-License-Identifier: MIT
"""Which files are the policy, and that one which can't be read in full denies everything."""
import os
import subprocess
import unittest

import handover
from helper_case import HelperCase, need_helper


def setUpModule():
    need_helper()


class WhichFile(HelperCase):

    def test_qemus_file_is_read_only_where_ours_does_not_exist(self):
        self.box.qemu_conf("allow br0")
        self.granted_br("br0")
        self.box.policy("allow br1")
        self.refused_br("br0")
        self.granted_br("br1")

    def test_qemus_deny_does_not_count_beside_our_file(self):
        self.box.qemu_conf("deny br0")
        self.box.policy("allow br0")
        self.granted_br("br0")

    def test_an_unreadable_file_of_ours_is_not_an_absent_one(self):
        self.box.qemu_conf("allow br0")
        self.box.policy("allow br0", mode=0o600)
        self.refused_br("br0")

    def test_an_empty_file_of_ours_denies(self):
        self.box.qemu_conf("allow br0")
        self.box.policy()
        self.refused_br("br0", says="access denied by acl file")

    def test_no_file_at_all_denies(self):
        self.refused_br("br0", says="failed to parse default acl file `")

    def test_qemus_file_serves_the_net_form_too(self):
        self.box.qemu_conf("allow br0")
        self.assertIn("bridge.conf:1", self.granted("bridge=br0").record["rule"])

    def test_another_policy_cannot_be_named_with_privilege(self):
        mine = self.box.write(f"{self.box.users['alice'].home}/mine.conf", "allow all\n", owner="alice")
        self.box.policy("allow br1")
        for user in ("alice", "bob"):
            self.refused_br("br0", user=user, wrap=[], env={"TAPFERRY_POLICY": mine})
            for place in (0, 1):
                done = self.box.run([self.helper, *["--br=br0"][:place], f"--policy={mine}",
                                     *["--br=br0"][place:], "--fd=0"], user)
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(done.stdout, "")

    def test_root_can_name_one(self):
        other = self.box.write("/etc/tapferry/other.conf", "allow br0\n")
        got = handover.ask(self.box, self.helper, ["--br=br0", f"--policy={other}", "--fd={fd}"], "root")
        self.addCleanup(got.close)
        self.assertEqual((got.status, got.stderr), (0, ""))


class Unsafe(HelperCase):
    """A file that somebody else than root could have written."""

    def test_writable_by_group_or_all(self):
        for mode in (0o664, 0o646, 0o666):
            with self.subTest(mode=oct(mode)):
                self.box.policy("allow br0", mode=mode)
                self.refused_br()

    def test_owned_by_a_user(self):
        self.box.policy("allow br0", owner="alice")
        self.refused_br()

    def test_the_same_for_includes(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/*.conf")
        for how in ({"mode": 0o666}, {"mode": 0o664}, {"owner": "alice"}):
            with self.subTest(how=how):
                self.box.policy_include("a.conf", "allow br1", **how)
                self.refused_br()

    def test_the_same_for_qemus_file(self):
        self.box.qemu_conf("allow br0", mode=0o666)
        self.refused_br()

    def test_no_plain_file(self):
        os.mkdir("/etc/tapferry/policy.conf")
        self.refused_br()
        os.rmdir("/etc/tapferry/policy.conf")
        os.mkfifo("/etc/tapferry/policy.conf", 0o644)
        self.refused_br(timeout=5)
        os.unlink("/etc/tapferry/policy.conf")
        os.symlink("/dev/zero", "/etc/tapferry/policy.conf")
        self.refused_br(timeout=5)


class Includes(HelperCase):

    def test_missing_one_denies_everything(self):
        self.box.policy("allow br0", "include /etc/tapferry/absent.conf")
        self.refused_br(says="absent.conf")

    def test_one_that_the_caller_may_not_read_is_skipped(self):
        alice = self.box.users["alice"]
        self.box.policy("include /etc/tapferry/policy.d/alice.conf")
        self.box.policy_include("alice.conf", "allow br0", mode=0o640, group=alice.gid)
        self.granted_br("br0", "alice")
        self.refused_br("br0", "bob", says="access denied by acl file")

    def test_glob_without_a_match_is_empty(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/*.conf")
        self.granted_br()
        os.mkdir("/etc/tapferry/policy.d")
        self.granted_br()

    def test_glob_takes_no_dot_files_and_no_other_names(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/*.conf")
        self.box.policy_include(".hidden.conf", "deny br0")
        self.box.policy_include("a.conf.bak", "deny br0")
        self.granted_br()
        self.box.policy_include("a.conf", "deny br0")
        self.refused_br(says="access denied by acl file")

    def test_glob_over_a_directory_that_cannot_be_read_denies(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/*.conf")
        os.mkdir("/etc/tapferry/policy.d", 0o700)
        self.refused_br()

    def test_loop_denies(self):
        self.box.policy("allow br0", "include /etc/tapferry/policy.d/a.conf")
        self.box.policy_include("a.conf", "include /etc/tapferry/policy.d/b.conf")
        self.box.policy_include("b.conf", "include /etc/tapferry/policy.d/a.conf")
        self.refused_br()
        self.box.policy("allow br0", "include /etc/tapferry/policy.conf")
        self.refused_br()

    def test_malformed_line_anywhere_denies_and_is_named(self):
        for line in ("nonsense", "allow", "allow bridge", "allow bridge=", "allow br0 max=x", "allow br0 max=0",
                     "allow bridge=br0 colour=red", "deny br0 max=3", "allow bridge=br0 max=1 max=2",
                     "include", "allow bridge=*x", "allow bridge=br0 mode=bridge,nonsense"):
            with self.subTest(line=line):
                self.box.policy("allow br0", "include /etc/tapferry/policy.d/a.conf")
                self.box.policy_include("a.conf", "# comment", line)
                self.refused_br(says="a.conf:2")

    def test_over_long_line_denies(self):
        self.box.policy("allow br0", "# " + "x" * 70000)
        self.refused_br(says="policy.conf:2")

    def test_nul_byte_denies(self):
        self.box.write("/etc/tapferry/policy.conf", b"allow br0\nallow br1\0\n")
        self.refused_br()


class Unprivileged(HelperCase):
    """The database of users is the files', and nothing else is asked."""

    def test_users_and_groups_are_whole_names_or_numbers(self):
        alice = self.box.users["alice"]
        for who, allowed in (("user=alice", "alice"), ("user=bob", "bob"), (f"user={alice.uid}", "alice"),
                             ("group=vms", "alice"), ("group=vmsters", "bob"), ("group=alice", "alice"),
                             (f"group={alice.groups[0]}", "alice"), ("user=alice,bob group=vms", "alice")):
            with self.subTest(who=who):
                self.box.policy(f"allow bridge=br0 {who}")
                self.granted_br(user=allowed)
                self.refused_br(user="bobby")

    def test_unknown_users_and_groups_match_nobody(self):
        self.box.policy("allow bridge=br0 user=nosuchuser", "allow bridge=br0 group=nosuchgroup")
        self.refused_br(says="access denied by acl file")

    def test_helper_opens_no_socket_and_maps_no_module_for_names(self):
        self.box.policy("allow bridge=br0 user=alice", "allow bridge=br0 group=vms")
        done = subprocess.run(["strace", "-f", "-e", "trace=openat,socket", "-u", "alice", self.helper,
                               "--br=br0", "--fd=0"], capture_output=True, text=True, check=False)
        if "strace: " in done.stderr and "ptrace" in done.stderr:
            self.skipTest(f"strace can't run here: {done.stderr.splitlines()[0]}")
        self.assertNotRegex(done.stderr, r"libnss_|nsswitch|AF_INET|nscd")


if __name__ == "__main__":
    unittest.main()
