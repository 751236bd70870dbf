# SPDX-License-Identifier: MIT
"""Where the privilege comes from: setuid root, file capabilities, and what is said when there is none."""
import ctypes
import os
import unittest

import handover
import links
from helper_case import HelperCase, need_helper

PR_SET_NO_NEW_PRIVS = 38
CAPS = "cap_net_admin,cap_setpcap,cap_dac_override+ep"
CAPS_WITHOUT_OVERRIDE = "cap_net_admin,cap_setpcap+ep"


def setUpModule():
    need_helper()


def no_new_privs():
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


class TunNode(HelperCase):
    """/dev/net/tun is opened as the caller, as root only where its mode forbids that."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0", "allow tap=* name=vm-*")

    def test_serves_with_mode_0666_and_0600(self):
        for mode in (0o666, 0o600):
            with self.subTest(mode=oct(mode)):
                self.box.tun_mode(mode)
                self.granted_br()
                self.granted("bridge=br0,up=off")
                self.granted("tap,name=vm-%d")

    def test_serves_every_user_of_the_group_of_a_0660_node(self):
        os.chown("/dev/net/tun", 0, self.box.users["alice"].groups[0])
        self.addCleanup(os.chown, "/dev/net/tun", 0, 0)
        self.box.tun_mode(0o660)
        for user in ("alice", "bob"):
            self.granted_br(user=user)

    def test_a_node_that_is_none_is_refused(self):
        os.rename("/dev/net/tun", "/dev/net/away")
        self.addCleanup(os.rename, "/dev/net/away", "/dev/net/tun")
        self.refused_br(says="failed to open /dev/net/tun: ")
        os.symlink("/dev/null", "/dev/net/tun")
        self.addCleanup(os.unlink, "/dev/net/tun")
        self.refused_br()


class FileCapabilities(HelperCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.helper = cls.box.install_helper(name="tapferry-helper-caps", caps=CAPS)

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0", "allow bridge=br1 queues=4", "allow tap=* name=vm-*")

    def test_serve_bridges_and_taps(self):
        for mode in (0o666, 0o600):
            with self.subTest(mode=oct(mode)):
                self.box.tun_mode(mode)
                self.assertEqual(self.granted_br().link.master, "br0")
                self.assertEqual(len(self.granted("bridge=br1,queues=4").taps), 4)
                self.granted("tap,name=vm-%d")

    def test_refuse_as_strictly(self):
        self.refused("bridge=br0,queues=2")
        self.refused_br("br2")

    def test_need_no_override_where_the_node_is_open_to_all(self):
        helper = self.box.install_helper(name="tapferry-helper-caps2", caps=CAPS_WITHOUT_OVERRIDE)
        with handover.qemu(self.box, helper, "br0") as got:
            self.assertEqual((got.status, got.stderr), (0, ""))
        self.box.tun_mode(0o600)
        before = links.snapshot()
        got = handover.qemu(self.box, helper, "br0")
        self.check_refusal(got, before, "failed to open /dev/net/tun: ")

    def test_do_not_let_the_caller_read_what_he_may_not(self):
        """DAC_OVERRIDE opens the tun node; the policy is still read as the caller."""
        self.box.policy("allow br0", mode=0o600)
        self.refused_br()


class Powerless(HelperCase):
    """The message names the cause, and what serves instead."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow br0")

    def explained(self, helper, cause, **options):
        before = links.snapshot()
        got = handover.qemu(self.box, helper, "br0", **options)
        self.check_refusal(got, before, cause)
        self.assertIn("tapferryd", got.stderr)

    def test_on_a_nosuid_mount(self):
        self.explained(self.box.nosuid_copy(self.helper), "nosuid")

    def test_under_no_new_privs(self):
        self.explained(self.helper, "no_new_privs", preexec_fn=no_new_privs)

    def test_in_a_user_namespace(self):
        self.explained(self.helper, "user namespace",
                       wrap=["unshare", "--user", "--map-root-user"])

    def test_without_setuid_bit(self):
        plain = self.box.install(self.helper, "tapferry-helper-plain")
        before = links.snapshot()
        got = handover.qemu(self.box, plain, "br0")
        self.check_refusal(got, before)
        self.assertRegex(got.stderr, "setuid")


if __name__ == "__main__":
    unittest.main()
