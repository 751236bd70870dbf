# SPDX-License-Identifier: MIT
"""What bridge=ovs:BR refuses, with a real Open vSwitch: in which words, and that nothing is left of it."""
import subprocess
import unittest

import handover
import open_vswitch
import ovs_case
import sandbox
from helper_case import need_helper

TIMEOUT = 600
ALICE = "52:54:00:00:00:0a"


def setUpModule():
    need_helper()
    open_vswitch.need_open_vswitch()


class Refused(ovs_case.OvsCase):

    def refused(self, spec, *arguments, **options):
        got = super().refused(spec, *arguments, **options)
        self.assertEqual(self.ports(), [])
        self.assertTrue(sandbox.eventually(lambda: not self.keepers(), 20))
        return got

    def test_what_no_rule_allows_and_what_does_not_exist_in_the_same_words(self):
        self.box.policy(self.RULE, "allow bridge=ovs:br-nope")
        for spec, user in (("bridge=ovs:br-int", "carol"), ("bridge=ovs:br-nope", "alice"), ("bridge=ovs:lo", "alice")):
            got = self.refused(spec, user, says="access denied by acl file: ")
            uid = self.box.users[user].uid
            self.assertIn(f"{spec} is not allowed to uid {uid}, or there is no such interface; ", got.stderr)

    def test_an_interface_that_is_no_bridge_of_open_vswitch(self):
        self.box.policy("allow bridge=ovs:br0")
        self.refused("bridge=ovs:br0", says="or there is no such interface")

    def test_rules_for_linux_bridges_are_not_for_these(self):
        for rule in ("allow all", "allow bridge=*", "allow bridge=o*", "allow bridge=br-int", "allow br-int"):
            with self.subTest(rule):
                self.box.policy(rule)
                self.refused("bridge=ovs:br-int", says="access denied")

    def test_and_the_other_way_round(self):
        self.box.policy("allow bridge=ovs:*")
        self.refused("bridge=br0", says="access denied")
        self.granted("bridge=ovs:br-int").close()

    def test_denies_hold(self):
        for rule in ("deny *", "deny bridge=*", "deny bridge=ovs:*", "deny bridge=ovs:br-*", "deny bridge=ovs:br-int user=alice"):
            with self.subTest(rule):
                self.box.policy(self.RULE, rule)
                self.refused("bridge=ovs:br-int", says="access denied")

    def test_an_iface_id_that_the_rule_does_not_list(self):
        self.refused("bridge=ovs:br-int,iface_id=db-1", says="access denied")
        self.box.policy("allow bridge=ovs:br-int")
        self.refused("bridge=ovs:br-int,iface_id=vm-1", says="access denied")

    def test_an_iface_id_that_another_port_has(self):
        self.switch.vsctl("add-port", "br-int", "other", "--", "set", "Interface", "other", "type=internal",
                          "external_ids:iface-id=vm-1")
        got = self.ask("bridge=ovs:br-int,iface_id=vm-1")
        self.assertIn("another port of this host has it", got.stderr)
        self.switch.vsctl("del-port", "other")
        self.granted("bridge=ovs:br-int,iface_id=vm-1").close()

    def test_keys_that_do_not_hold_there(self):
        for keys, says in ((f"lock=on,guest_mac={ALICE}", "lock=, guest_mac= and isolated="), ("isolated=on", "isolated="),
                           ("rate_to=1mbit", "rates and filter="), ("filter=ipv4", "rates and filter="),
                           ("name=vm:1", "name= takes"), ("name=vm;1", "name= takes"), ("iface_id=vm 1", "iface_id= takes"),
                           ("iface_id=-x", "iface_id= takes"), ("iface_id=", "iface_id= takes")):
            with self.subTest(keys):
                self.refused(f"bridge=ovs:br-int,{keys}", says=says)
        for spec in ("bridge=ovs:", "bridge=ovs:-br", "bridge=ovs:br int", 'bridge=ovs:br"', "bridge=ovs:a-name-too-long0"):
            with self.subTest(spec):
                self.refused(spec, says="bridge=ovs: takes")
        self.refused("bridge=br0,iface_id=vm-1", says="iface_id= is for bridge=ovs:")
        self.refused_br("ovs:br-int", says="no interface can have it")

    def test_a_policy_with_keys_that_do_not_hold_there(self):
        for rule in ("allow bridge=ovs:br-int lock=on", "allow bridge=ovs:br-int rate_to=1mbit", "allow br0 iface_id=vm-1",
                     "allow bridge=ovs:b?", "allow ovs:br-int", "allow bridge=ovs:", "allow tap=ovs:x"):
            with self.subTest(rule):
                self.box.policy(rule)
                self.refused("bridge=ovs:br-int", says="Invalid config line")

    def test_a_name_that_the_administrator_has_given_away(self):
        self.switch.vsctl("--no-wait", "add-port", "br-int", "vm-5")
        got = self.ask("bridge=ovs:br-int,name=vm-5")
        self.assertIn('failed to add interface `vm-5\' to bridge `ovs:br-int\': ', got.stderr)
        self.assertGone("vm-5")
        self.assertEqual(self.ports(), ["vm-5"], "his is still there")
        self.switch.vsctl("del-port", "vm-5")

    def test_without_ovs_vsctl(self):
        sandbox.mount("/dev/null", "/usr/bin/ovs-vsctl", flags=sandbox.MS_BIND)
        try:
            got = self.ask("bridge=ovs:br-int")
        finally:
            sandbox.umount("/usr/bin/ovs-vsctl")
        self.assertRegex(got.stderr, r"Permission denied \(/usr/bin/ovs-vsctl\); install openvswitch-switch\n\Z")

    def test_without_a_database(self):
        self.switch.stop_database()
        try:
            got = self.ask("bridge=ovs:br-int")
            self.assertIn("database connection failed", got.stderr)
            self.assertEqual((got.status, got.data, got.fds), (1, b"", []))
        finally:
            self.switch.start_database()

    def test_with_a_database_that_does_not_answer(self):
        thaw = self.switch.freeze("ovsdb-server")
        try:
            got = self.ask("bridge=ovs:br-int", timeout=60)
        finally:
            thaw()
        self.assertIn("no answer within 4 s", got.stderr)

    def test_with_a_switch_that_does_not_answer(self):
        thaw = self.switch.freeze("ovs-vswitchd")
        try:
            got = self.ask("bridge=ovs:br-int", timeout=60)
            self.assertEqual(self.ports(), [], "what was begun is taken back")
        finally:
            thaw()
        self.assertIn("no answer within 4 s", got.stderr)

    def test_in_another_network_namespace(self):
        """Open vSwitch would take whatever has the name in its own."""
        script = ('ip link add br-int type bridge && exec setpriv --reuid={0.uid} --regid={0.gid} --clear-groups "$@"'
                  .format(self.box.users["alice"]))
        got = self.ask("bridge=ovs:br-int", user="root", wrap=["unshare", "--net", "sh", "-c", script, "sh"])
        self.assertEqual(got.status, 1)
        self.assertIn("it is in another network namespace", got.stderr)

    def test_with_file_capabilities(self):
        helper = self.box.install_helper(name="tapferry-helper-caps", caps="cap_net_admin,cap_setpcap+ep")
        got = handover.net(self.box, helper, "bridge=ovs:br-int")
        self.addCleanup(got.close)
        self.assertIn("file capabilities don't suffice", got.stderr)

    def test_a_receiver_that_takes_nothing_gets_no_port(self):
        ours, theirs = handover.socket.socketpair()
        with theirs:
            proc = self.box.popen([self.helper, "--net=bridge=ovs:br-int", f"--fd={theirs.fileno()}"],
                                  pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
            ours.close()
            _out, err = proc.communicate(timeout=60)
        self.assertEqual(proc.returncode, 1, err)
        self.assertEqual(self.ports(), [])


if __name__ == "__main__":
    unittest.main()
