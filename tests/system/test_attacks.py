# SPDX-License-Identifier: MIT
"""What other setuid helpers fell to, tried on ours: names, groups, namespaces, what a refusal tells.
Each test bears the name of the case."""
import os
import unittest

import handover
import links
import sandbox
from helper_case import HelperCase, need_helper


def setUpModule():
    need_helper()


class Names(HelperCase):

    def test_cve_2019_13164_name_too_long_in_argument(self):
        self.box.policy("allow br0", "allow all")
        for length in (16, 17, 64, 4096, 100000):
            self.refused_br(bridge="b" * length, says="too long")

    def test_cve_2019_13164_name_too_long_in_config(self):
        for length in (16, 17, 64, 4096):
            for verb in ("allow", "deny"):
                self.box.policy("allow br0", f"{verb} {'b' * length}")
                self.refused_br()
                self.box.no_policy()
                self.box.qemu_conf("allow br0", f"{verb} {'b' * length}")
                self.refused_br()

    def test_cve_2019_13164_truncated_name_does_not_match(self):
        """A rule for the first 15 bytes doesn't serve a request for 16."""
        name = "b" * 15
        self.box.bridge(name)
        self.box.policy(f"allow {name}")
        self.refused_br(bridge=name + "b")
        self.granted_br(bridge=name)

    def test_hostile_names(self):
        self.box.policy("allow all", "allow bridge=*", "allow tap=* name=*")
        for name in ("../br0", "br0/../br0", "/br0", ".", "..", "br%d", "%d", "%s%s%s", "%n", "br0\n", "br0\tx",
                     " br0", "br0 ", "br:0", "all", "*", "br*", "-br0", "--help", "\x01", "\x7f", "b\u00fc", "", "br0@lo"):
            with self.subTest(name=name):
                self.refused_br(bridge=name)
                if not set(name) & set(",="):
                    self.refused(f"bridge={name}")
                if name not in ("%d", "br%d", "", "all", "*", "br*", "-br0", "--help", "b\u00fc", "br0@lo"):
                    self.refused(f"tap={name}")

    def test_lxc_9ed8c96ff_bob_is_not_bobby(self):
        self.box.policy("allow bridge=br0 user=bobby", "allow bridge=br1 user=bob")
        self.granted_br("br0", "bobby")
        self.refused_br("br0", "bob")
        self.granted_br("br1", "bob")
        self.refused_br("br1", "bobby")

    def test_lxc_9ed8c96ff_deny_of_a_prefix(self):
        self.box.policy("allow br0", "deny bridge=br0 user=bob")
        self.refused_br("br0", "bob")
        self.granted_br("br0", "bobby")

    def test_cve_2026_39402_deletes_no_interface_by_name_match(self):
        """Names and tags that look like ours are the administrator's when they aren't ours."""
        self.box.policy("allow br0")
        for name in ("tap0", "tap1", "tap10"):
            sandbox.ip("tuntap", "add", "dev", name, "mode", "tap")
        sandbox.ip("link", "set", "tap1", "alias", "tapferry")
        sandbox.ip("link", "property", "add", "dev", "tap10", "altname", "tapferry.x")
        before = links.snapshot()
        self.refused_br("br1")
        self.granted_br("br0").close()
        self.assertEqual(links.snapshot(), before)


class Groups(HelperCase):

    def test_lxc_d8f2c55fa_every_group_of_the_list_counts(self):
        alice = self.box.users["alice"]
        gids = [*range(40000, 40100), *alice.groups]
        self.box.policy("allow bridge=br0 group=vms")
        self.granted_br(user=sandbox.User("alice", alice.uid, alice.gid, tuple(gids)))
        self.granted_br(user=sandbox.User("alice", alice.uid, alice.gid, tuple(reversed(gids))))
        self.refused_br(user=sandbox.User("alice", alice.uid, alice.gid, tuple(gids[:-1])))
        self.refused_br(user=sandbox.User("alice", alice.uid, alice.gid, (alice.groups[0] + 1000,)))

    def test_lxc_d8f2c55fa_many_groups(self):
        alice = self.box.users["alice"]
        self.box.policy("allow bridge=br0 group=vms")
        many = (*range(70000, 70000 + 60000), *alice.groups)
        self.granted_br(user=sandbox.User("alice", alice.uid, alice.gid, many))

    def test_cve_2018_7169_shedding_a_group_dodges_no_deny(self):
        mallory = self.box.users["mallory"]
        self.box.policy("allow br0", "deny br0", "deny bridge=br1 group=jailed", "allow br1")
        self.refused_br("br1", user="mallory")
        without = sandbox.User("mallory", mallory.uid, mallory.gid, ())
        self.refused_br("br1", user=without)
        self.granted_br("br1", user="bob")

    def test_cve_2018_7169_a_database_group_grants_nothing(self):
        alice = self.box.users["alice"]
        self.box.policy("allow bridge=br0 group=vms")
        self.refused_br(user=sandbox.User("alice", alice.uid, alice.gid, ()))


class Namespaces(HelperCase):

    def test_cve_2017_5985_acts_only_in_the_callers_network_namespace(self):
        """Somebody with a namespace of his own has no privilege over this one, and the helper takes no
        word for where to act."""
        self.box.policy("allow all", "allow tap=* name=*")
        before = links.snapshot()
        got = handover.qemu(self.box, self.helper, "br0", wrap=["unshare", "--user", "--map-root-user", "--net"])
        self.check_refusal(got, before)

    def test_cve_2017_5985_chosen_names(self):
        self.box.policy("allow bridge=br0 name=vm-*")
        for name in ("eth0", "lo", "br1", "vm", "xvm-1"):
            self.refused(f"bridge=br0,name={name}")


class Oracles(HelperCase):
    """CVE-2018-6556, CVE-2022-47952: nobody learns from a refusal what exists."""

    def texts(self, answers):
        return {(got.status, got.stderr.replace(name, "NAME")) for name, got in answers}

    def test_cve_2018_6556_denied_and_absent_bridges_look_alike(self):
        self.box.veth("veth0", "veth1")
        for rules in ((), ("allow br0",), ("allow all", "deny br1", "deny nosuch1", "deny veth0")):
            self.box.policy(*rules)
            names = ["br1", "nosuch1", "veth0"]
            for form in (self.refused_br, lambda name: self.refused(f"bridge={name}")):
                self.assertEqual(len(self.texts([(name, form(name)) for name in names])), 1, rules)

    def test_cve_2018_6556_denied_and_absent_taps_look_alike(self):
        sandbox.ip("tuntap", "add", "dev", "secret0", "mode", "tap", "user", str(self.box.users["bob"].uid))
        self.box.policy("allow tap=vm-*")
        answers = [(name, self.refused(f"tap={name}")) for name in ("secret0", "nosuch0", "br0")]
        self.assertEqual(len(self.texts(answers)), 1)

    def test_cve_2022_47952_paths_of_devices(self):
        """Files that only root can see: present, absent and unreachable ones give the same words."""
        self.box.write("/run/hidden/file", "x", mode=0o600)
        os.chmod("/run/hidden", 0o700)
        self.box.policy("allow br0")
        answers = [(path, self.refused(f"device={path}"))
                   for path in ("/run/hidden/file", "/run/hidden/nope", "/etc/shadow", "/nope")]
        self.assertEqual(len(self.texts(answers)), 1)

    def test_cve_2022_47952_users_and_groups(self):
        """A rule for a user that exists and one for a user that doesn't refuse alike."""
        seen = set()
        for who in ("user=bob", "user=nosuch", "group=vmsters", "group=nosuch"):
            self.box.policy(f"allow bridge=br0 {who}")
            got = self.refused_br("br0", user="alice")
            seen.add((got.status, got.stderr))
        self.assertEqual(len(seen), 1)


if __name__ == "__main__":
    unittest.main()
