# SPDX-License-Identifier: MIT
"""The base of tests that ask our helper for something: a clean sandbox for each test, a short way to
ask, and the check that a refusal leaves nothing behind."""
import os
import unittest

import handover
import links
import sandbox


def need_helper():
    """For setUpModule: skip when there is no helper to test."""
    if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry-helper")):
        raise unittest.SkipTest("tapferry-helper is not built (make)")


class HelperCase(unittest.TestCase):
    """br0 and br1 exist, no policy does; self.ask() and self.refused() do the rest."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.box = sandbox.enter()
        cls.helper = cls.box.install_helper()

    def setUp(self):
        self.box.delete_links()
        self.box.no_policy()
        self.box.tun_mode(0o666)
        self.box.bridge("br0")
        self.box.bridge("br1")
        self.box.syslog.clear()

    def ask(self, spec, user="alice", **options):
        """--net=SPEC as USER; a Handover, closed when the test ends."""
        got = handover.net(self.box, self.helper, spec, user, **options)
        self.addCleanup(got.close)
        return got

    def granted(self, spec, user="alice", **options):
        """As ask(), and it must have worked."""
        got = self.ask(spec, user, **options)
        self.assertEqual((got.status, got.stderr), (0, ""), spec)
        self.assertTrue(got.taps, spec)
        return got

    def granted_br(self, bridge="br0", user="alice", **options):
        """QEMU's form, and it must have worked."""
        got = handover.qemu(self.box, self.helper, bridge, user, **options)
        self.addCleanup(got.close)
        self.assertEqual((got.status, got.stderr, got.data), (0, "", b"\0"))
        return got

    def refused(self, spec, user="alice", says="", **options):
        """SPEC must be refused: status, one line that has SAYS in it, no byte, no fd, no interface."""
        before = links.snapshot()
        return self.check_refusal(self.ask(spec, user, **options), before, says)

    def refused_br(self, bridge="br0", user="alice", says="", **options):
        """The same in QEMU's form."""
        before = links.snapshot()
        return self.check_refusal(handover.qemu(self.box, self.helper, bridge, user, **options), before,
                                  says)

    def check_refusal(self, got, before, says=""):
        got.close()
        self.assertNotIn(got.status, (0, None))
        self.assertGreater(got.status, 0, "ended by a signal")
        self.assertEqual((got.data, got.fds, got.stdout), (b"", [], ""))
        self.assertTrue(got.eof, "something still holds the socket")
        self.assertRegex(got.stderr, r"\Atapferry-helper: [^\n]+\n\Z", "one line, with our name")
        self.assertIn(says, got.stderr)
        self.assertEqual(links.snapshot(), before, "left behind")
        return got

    def assertGone(self, name):
        self.assertTrue(sandbox.eventually(lambda: links.get(name) is None), f"{name} is still there")
