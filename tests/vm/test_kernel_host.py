# SPDX-License-Identifier: MIT
"""A Debian 6.1 kernel as the host, emulated: with its own tun and bridge the same hand-over tests pass as here."""

import os
import re
import unittest

import guest
import kernel_host
import sandbox
from one_file import note
from vm_case import helper_under_test

TIMEOUT = 900  # everything runs some ten times slower there
# All but the classes Record and Refusals, which ask nothing of the kernel.
SAME_TESTS = ("tests/system/test_handover.py", "tests/system/test_tap.py", "-k", "*.[!R]*.test_*")
PASSED_ON = ("TAPFERRY_TEST_HELPER", "MUST_RUN")


class KernelHost(unittest.TestCase):
    def on_6_1(self, *command, **options):
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment.update(TAPFERRY_BUILD=sandbox.BUILD, TAPFERRY_TIME_FACTOR="3", PYTHONDONTWRITEBYTECODE="1")
        try:
            done = kernel_host.run(command, vmm=guest.qemu("7.2"), directory=sandbox.ROOT, environment=environment,
                                   **options)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error
        self.assertRegex(done.kernel, r"^6\.1\.", done)
        return done

    def test_programs_of_this_system_run_there_and_report(self):
        done = self.on_6_1("sh", "-c", "uname -r; test -c /dev/net/tun && touch /etc/tapferry-was-here; exit 7")
        self.assertEqual(done.status, 7, done)
        self.assertIn(done.kernel, done.output)
        self.assertFalse(os.path.exists("/etc/tapferry-was-here"), "what is written there doesn't reach this system")

    def test_hand_over_tests_pass_there(self):
        helper_under_test()  # skips while it isn't built
        done = self.on_6_1("python3", "tests/run", *SAME_TESTS, timeout_s=800)
        self.assertEqual(done.status, 0, done)
        summary = re.search(r"^(\d+) passed, 0 failed, \d+ skipped$", done.output, re.MULTILINE)
        self.assertIsNotNone(summary, done)
        self.assertGreater(int(summary[1]), 25, done)
        note(f"on kernel {done.kernel} as the host: {summary[0]}")
