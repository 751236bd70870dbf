# SPDX-License-Identifier: MIT
"""persist=on: taps that outlive their holders, for those whom a rule allows it, and `tapferry release`, which takes away
nothing but one's own."""
import fcntl
import os
import subprocess
import unittest

import handover
import links
import processes
from helper_case import need_helper
from one_file import note
from persist_case import PersistCase
from sandbox import ip

TIMEOUT = 600

TUNSETPERSIST, TUNSETOWNER, SIOCSIFHWADDR = 0x400454cb, 0x400454cc, 0x8924
KILLS = 150


def setUpModule():
    need_helper()


class Life(PersistCase):
    def test_tap_on_a_bridge_outlives_its_holders(self):
        tap = self.made()
        self.assertEqual((tap.master, tap.kind), ("br0", "tun"))
        self.assertIn(" persist=on ", links.get("vm-1").alias)
        self.released("vm-1")

    def test_queues_are_persistent_from_the_end_of_the_helper_on(self):
        got = self.granted("bridge=br0,name=vm-1,persist=on,queues=2")
        self.assertIn("persist", handover.inspect(got.fds[1]).flag_names)

    def test_tap_without_a_bridge_and_its_owner_again(self):
        self.made("tap=vm-1,persist=on")
        again = self.granted("tap=vm-1")
        self.assertEqual(again.link.name, "vm-1")
        self.refused("tap=vm-1", user="bob")
        self.refused("tap=vm-1,persist=on", says="persist= is for new ones")
        again.close()
        self.assertIsNotNone(links.get("vm-1"))
        self.released("vm-1")

    def test_fresh_name(self):
        self.released(self.made("bridge=br0,persist=on").name)

    def test_probe_finds_it_right(self):
        done = self.box.run([self.command, "probe", "--net=bridge=br0,name=vm-1,persist=on", f"--helper={self.helper}"])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIsNotNone(links.get("vm-1"))
        self.released("vm-1")

    def test_with_file_capabilities(self):
        caps = self.box.install_helper(name="tapferry-helper-caps", caps="cap_net_admin,cap_setpcap+ep")
        got = handover.net(self.box, caps, "bridge=br0,name=vm-1,persist=on", "alice")
        self.assertEqual((got.status, got.stderr), (0, ""))
        got.close()
        self.assertIsNotNone(links.get("vm-1"))
        done = self.box.run([caps, "--release=vm-1"], "bob")
        self.assertIn("has no interface of that name", done.stderr)
        done = self.box.run([caps, "--release=vm-1"], "alice")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIsNone(links.get("vm-1"))

    def test_is_not_swept(self):
        self.made()
        for _ in range(3):
            self.granted("bridge=br1").close()
        self.assertIsNotNone(links.get("vm-1"))
        done = self.box.run([self.command, "doctor"], "root")
        self.assertNotIn("vm-1", done.stdout)

    def test_counts_in_the_quota_until_it_is_released(self):
        self.made("bridge=br0,name=vm-1,persist=on")
        self.made("bridge=br0,name=vm-2,persist=on")
        self.refused("bridge=br0,name=vm-3,persist=on", says="as many as the rule allows")
        self.granted("bridge=br0,name=vm-3", user="bob").close()
        self.released("vm-1")
        self.made("bridge=br0,name=vm-3,persist=on")

    def test_name_that_exists_is_refused(self):
        self.made()
        self.refused("bridge=br0,name=vm-1,persist=on", says="an interface of that name exists")

    def test_is_deleted_while_it_is_held(self):
        """Else whoever got its descriptor could keep it, and its place in the quota, for ever."""
        got = self.granted("bridge=br0,name=vm-1,persist=on")
        self.released("vm-1")
        self.assertEqual(handover.inspect(got.fds[0]).name, "")

    def test_audit_lines(self):
        self.made()
        self.released("vm-1")
        self.not_released("vm-1")
        lines = [line.text for line in self.box.syslog.lines(at_least=3)]
        self.assertRegex(lines[1], r'request="release=vm-1" result=released interface="vm-1" ifindex=\d+\Z')
        self.assertRegex(lines[2], r'request="release=vm-1" result=refused reason="release vm-1: uid \d+ has no ')

    def test_locked_tap_stays_locked(self):
        self.box.policy("allow bridge=br0 user=alice persist=on name=vm-* lock=on guest_mac=52:54:00:*")
        got = self.granted("bridge=br0,name=vm-1,persist=on,guest_mac=52:54:00:00:00:01")
        again = os.dup(got.fds[0])
        self.addCleanup(os.close, again)
        got.close()
        self.assertIsNotNone(links.get("vm-1"))
        request = b"vm-1".ljust(16, b"\0") + (1).to_bytes(2, "little") + bytes.fromhex("020000000001")
        fcntl.ioctl(again, SIOCSIFHWADDR, request.ljust(40, b"\0"))
        self.assertGone("vm-1")


class Policy(PersistCase):
    def test_needs_the_rules_word(self):
        self.refused("bridge=br1,name=vm-1,persist=on", says="access denied")
        self.refused("bridge=br0,name=vm-1,persist=on", user="carol", says="access denied")
        done = self.box.run([self.command, "explain", "--net=bridge=br1,persist=on", f"--helper={self.helper}"])
        self.assertIn("persist=on needs persist=on in the rule", done.stdout)

    def test_rule_doesnt_force_it(self):
        got = self.granted("bridge=br0,name=vm-1")
        self.assertNotIn("persist", got.taps[0].flag_names)
        got.close()
        self.assertGone("vm-1")

    def test_what_a_rule_forces_isnt_taken_off_by_another(self):
        """A rule for tap= has less to force than the one that put the tap on the bridge."""
        self.box.policy("allow bridge=br0 user=alice persist=on name=vm-* filter=arp", "allow tap=* user=alice queues=2")
        self.made()
        self.refused("tap=vm-1", says="it was made for bridge=br0")
        self.refused("tap=vm-1,filter=ipv4", says="it was made for bridge=br0")
        filters = subprocess.run(["tc", "filter", "show", "dev", "vm-1", "ingress"], capture_output=True, text=True,
                                 check=True)
        self.assertIn("bpf", filters.stdout)


class NotOnesOwn(PersistCase):
    """What release refuses, in the same words as what doesn't exist."""

    def test_absent_and_impossible_names(self):
        for name in ("vm-1", "vm-%d", "", ".", "..", "a/b", "a b", "x" * 16, "x" * 5000, "a\nb", "\u00e9", "all", "0", "1"):
            with self.subTest(name):
                self.not_released(name)

    def test_anothers(self):
        self.made()
        self.not_released("vm-1", "bob")
        self.not_released("vm-1", "root")
        self.released("vm-1")

    def test_interfaces_that_are_not_ours(self):
        ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", "alice")
        ip("tuntap", "add", "dev", "vm-2", "mode", "tap", "user", "alice")
        ip("link", "set", "vm-2", "alias", "persist=on tapferry uid=%d" % self.box.users["alice"].uid)
        for name in ("br0", "lo", "vm-1", "vm-2"):
            self.not_released(name)

    def test_other_kinds_with_our_tag(self):
        tag = f"tapferry uid={self.box.users['alice'].uid} kind=bridge since=1 persist=on rule=x:1"
        self.box.veth("v0", "v1")
        ip("link", "set", "v0", "alias", tag)
        ip("link", "set", "br1", "alias", tag)
        self.not_released("v0")
        self.not_released("br1")

    def test_one_that_was_not_granted_so(self):
        """A holder can make a tap persistent by himself; that is swept, not released."""
        got = self.granted("bridge=br1,name=vm-1")
        fcntl.ioctl(got.fds[0], TUNSETPERSIST, 1)
        got.close()
        self.not_released("vm-1")

    def test_by_another_name_or_index(self):
        tap = self.made()
        ip("link", "property", "add", "dev", "vm-1", "altname", "other")
        self.not_released("other")
        self.not_released(str(tap.index))
        altname = next(name for name in links.get("vm-1").altnames if name.startswith("tapferry."))
        self.not_released(altname)

    def test_rule_text_that_looks_like_a_tag(self):
        """The words behind rule= are a file's name."""
        ip("tuntap", "add", "dev", "vm-1", "mode", "tap")
        uid = self.box.users["alice"].uid
        ip("link", "set", "vm-1", "alias", f"tapferry uid={uid} kind=bridge since=1 rule=a persist=on:1")
        self.not_released("vm-1")

    def test_holders_tricks_change_nothing(self):
        got = self.granted("bridge=br0,name=vm-1,persist=on")
        fcntl.ioctl(got.fds[0], TUNSETOWNER, self.box.users["bob"].uid)
        self.not_released("vm-1", "bob")
        fcntl.ioctl(got.fds[0], TUNSETPERSIST, 0)
        self.released("vm-1")

    def test_options_beside_release(self):
        self.made()
        for more in (["--net=bridge=br0"], ["--fd=3"], ["--br=br0"], ["--explain"], ["--policy=/x"], ["--release=vm-1"],
                     ["vm-1"]):
            done = self.box.run([self.helper, "--release=vm-1", *more])
            self.assertEqual(done.returncode, 1)
            self.assertIn("Usage", done.stderr)
        self.assertIsNotNone(links.get("vm-1"))

    def test_without_privilege(self):
        self.made()
        done = self.box.run([self.box.nosuid_copy(self.helper), "--release=vm-1"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("no CAP_NET_ADMIN", done.stderr)
        self.assertIsNotNone(links.get("vm-1"))

    def test_many_at_once_release_it_once(self):
        self.made()
        running = [self.box.popen([self.helper, "--release=vm-1"], stderr=subprocess.PIPE, text=True) for _ in range(8)]
        ended = [(process.communicate()[1], process.returncode) for process in running]
        self.assertEqual(sorted(status for _, status in ended)[0], 0)
        self.assertIsNone(links.get("vm-1"))
        self.assertTrue(all(status == 0 or said.count("\n") == 1 for said, status in ended), ended)


class Killed(PersistCase):
    def test_killed_at_any_moment_it_is_whole_or_nothing(self):
        """A persistent tap that its receiver doesn't know of would be a place in the quota lost."""
        complete = 0
        for number in range(KILLS):
            has_message = handover.kill_at_random(self.box, self.helper, "bridge=br0,name=vm-1,persist=on", 0.01)
            left = links.get("vm-1")
            if left is not None:
                self.assertTrue(has_message, f"left behind in round {number}, and nobody was told")
                complete += 1
                self.released("vm-1")
        processes.wait_for_no_maker()
        self.assertIsNone(links.get("vm-1"))
        note(f"persist=on: SIGKILL at {KILLS} random moments: {complete} hand-overs were complete, nothing left behind")


if __name__ == "__main__":
    unittest.main()
