# SPDX-License-Identifier: MIT
"""What the tests with real guests have in common: a sandbox with one bridge, and the guests' files in it."""

import os
import pathlib
import unittest

import guest
import sandbox

VERSIONS = ("7.2", "10.0")


def helper_under_test():
    """$TAPFERRY_TEST_HELPER, else the one that was built."""
    source = os.environ.get("TAPFERRY_TEST_HELPER") or os.path.join(sandbox.BUILD, "tapferry-helper")
    if not os.path.exists(source):
        raise unittest.SkipTest(f"{source} is not built")
    return source


def installed_helper(box):
    """A setuid copy of the helper under test."""
    return box.install_helper(helper_under_test(), "tapferry-helper")


def installed_command(box):
    """A copy of the tapferry command that every user can run."""
    source = os.path.join(sandbox.BUILD, "tapferry")
    if not os.path.exists(source):
        raise unittest.SkipTest(f"{source} is not built")
    return box.install(source)


class VmCase(unittest.TestCase):
    """Bridge br0 with the host's address, and `stage` to boot guests from; skips where there is no kernel."""

    @classmethod
    def setUpClass(cls):
        cls.box = sandbox.enter()
        cls.alice = cls.box.users["alice"]
        folder = pathlib.Path(sandbox.BASE, "guest")
        folder.mkdir(mode=0o755, exist_ok=True)
        try:
            cls.stage = guest.Stage(folder)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error

    def setUp(self):
        self.box.delete_links()
        self.box.bridge("br0", f"{guest.HOST_ADDRESS}/24")

    def qemu(self, version):
        try:
            return guest.qemu(version)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error

    def assert_reached_host(self, outcome, queues=1):
        """The guest ended well, reached the host with both sizes and has so many queues; QEMU had no privilege."""
        self.assertEqual(outcome.status, 0, outcome)
        self.assertEqual(outcome.results.get("finished"), "yes", outcome)
        self.assertEqual(outcome.results.get("ping64"), "3/3", outcome)
        self.assertEqual(outcome.results.get("ping60000"), "3/3", outcome)
        self.assertEqual(outcome.results.get("rx_queues"), str(queues), outcome)
        self.assertEqual(outcome.results.get("tx_queues"), str(queues), outcome)
        self.assertEqual(outcome.uid, self.alice.uid, outcome)
        self.assertEqual(outcome.capabilities, 0, outcome)
