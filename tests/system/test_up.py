# SPDX-License-Identifier: MIT
"""`tapferry up`: an interface that was granted with up=off is brought up by its user, unless its rule keeps it down."""
import os
import unittest

import links
import sandbox
from helper_case import need_helper
from sandbox import ip
from warden_case import WardenCase

UP, RULE = "allow {} user=alice,bob name=vm-* persist=on", "allow {} user=alice,bob name=vm-* persist=on up=off"
SPECS = ("bridge=br0,name=vm-1", "tap=vm-1", "macvtap=v0,name=vm-1")


def setUpModule():
    need_helper()


class Up(WardenCase):
    def setUp(self):
        super().setUp()
        self.command = self.box.install(os.path.join(sandbox.BUILD, "tapferry"))
        self.allow(UP)

    def allow(self, rule):
        self.box.policy(rule.format("bridge=br0"), rule.format("tap=vm-*").replace("name=vm-* ", ""),
                        rule.format("macvtap=v0").replace(" persist=on", ""))

    def up(self, name, user="alice"):
        return self.box.run([self.command, "up", name, f"--helper={self.helper}"], user)

    def not_brought_up(self, name, user="alice"):
        before = links.snapshot()
        done = self.up(name, user)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"tapferry: bring up {name}: tapferry-helper: bring up {name}: uid "
                                      f"{self.box.users[user].uid} has no interface of that name, or its rule has up=off\n")
        self.assertEqual(links.snapshot(), before)

    def test_what_was_granted_down(self):
        for spec in SPECS:
            with self.subTest(spec=spec):
                got = self.granted(f"{spec},up=off")
                self.assertFalse(links.get("vm-1").up)
                for _ in range(2):
                    done = self.up("vm-1")
                    self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
                    self.assertTrue(links.get("vm-1").up)
                got.close()
                self.assertTrue(sandbox.eventually(lambda: links.get("vm-1") is None))

    def test_what_nobody_holds(self):
        self.granted("bridge=br0,name=vm-1,up=off,persist=on").close()
        self.assertEqual(self.up("vm-1").returncode, 0)
        self.assertTrue(links.get("vm-1").up)
        ip("link", "del", "vm-1")

    def test_not_what_its_rule_keeps_down(self):
        """Also not when the rule has changed since, or when the request said nothing of it."""
        self.allow(RULE)
        for spec in SPECS:
            for more in ("", ",up=off"):
                with self.subTest(spec=spec + more):
                    self.allow(RULE)
                    got = self.granted(spec + more)
                    self.assertIn(" up=off ", links.get("vm-1").alias)
                    self.not_brought_up("vm-1")
                    self.allow(UP)
                    self.not_brought_up("vm-1")
                    got.close()
                    self.assertTrue(sandbox.eventually(lambda: links.get("vm-1") is None))

    def test_not_anothers_nor_what_isnt_ours(self):
        got = self.granted("bridge=br0,name=vm-1,up=off")
        self.not_brought_up("vm-1", "bob")
        got.close()
        alice, bob = (self.box.users[user].uid for user in ("alice", "bob"))
        ip("tuntap", "add", "dev", "vm-2", "mode", "tap", "user", "alice")
        self.addCleanup(ip, "link", "del", "vm-2")
        for alias in ("", f"tapferry uid={bob} kind=bridge since=1 rule=policy.conf:1",
                      f"x tapferry uid={alice} kind=bridge since=1 rule=policy.conf:1"):
            ip("link", "set", "vm-2", "alias", alias)
            self.not_brought_up("vm-2")
        ip("link", "set", "v1", "alias", f"tapferry uid={alice} kind=bridge since=1 rule=policy.conf:1")
        for name in ("v1", "lo", "absent", "default", "tap%d", "-1"):
            if name != "-1":
                self.not_brought_up(name)

    def test_the_audit_line(self):
        got = self.granted("bridge=br0,name=vm-1,up=off")
        self.box.syslog.clear()
        self.assertEqual(self.up("vm-1").returncode, 0)
        line = self.box.syslog.lines(at_least=1)[0].text
        self.assertRegex(line, rf'request="up=vm-1" result=brought-up interface="vm-1" ifindex={got.link.index}\Z')
        got.close()

    def test_command_line(self):
        for arguments in ([], ["a", "b"], ["--via=pigeon", "a"], ["--colour", "a"]):
            done = self.box.run([self.command, "up", *arguments], "alice")
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
        for arguments in (["--up=a", "--fd=3"], ["--up=a", "--release=a"], ["--up=a", "--net=tap"]):
            done = self.box.run([self.helper, *arguments], "alice")
            self.assertEqual(done.returncode, 1)
            self.assertIn("goes with no other option", done.stderr)


if __name__ == "__main__":
    unittest.main()
