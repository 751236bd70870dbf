# SPDX-License-Identifier: MIT
"""A Debian 6.1 kernel as the host, emulated: with its own tun and bridge the same hand-over tests pass as here."""

import os

from kernel_host import KernelHostCase
from one_file import note
from vhost_case import need_backend
from vm_case import helper_under_test

TIMEOUT = 1800  # everything runs some ten times slower there
# All but the classes Record and Refusals, which ask nothing of the kernel.
SAME_TESTS = ("tests/system/test_handover.py", "tests/system/test_tap.py", "-k", "*.[!R]*.test_*")
# All but Refused and Tools, for the same reason.
MACVTAP_TESTS = ("tests/system/test_macvtap.py", "tests/system/test_device.py", "-k", "*.[!RT]*.test_*")
VHOST_TESTS = ("tests/system/test_vhost_user_frames.py", "tests/system/test_vhost_user_order.py",
               "tests/system/test_vhost_user_options.py")


class KernelHost(KernelHostCase):
    def test_programs_of_this_system_run_there_and_report(self):
        done = self.runs_there("sh", "-c", "uname -r; test -c /dev/net/tun && touch /etc/tapferry-was-here; exit 7")
        self.assertEqual(done.status, 7, done)
        self.assertIn(done.kernel, done.output)
        self.assertFalse(os.path.exists("/etc/tapferry-was-here"), "what is written there doesn't reach this system")

    def test_modules_of_that_kernel_are_loaded_when_they_are_asked_for(self):
        done = self.runs_there("sh", "-c", "ip link add vrf0 type vrf table 7 && ip -d link show vrf0")
        self.assertEqual(done.status, 0, done)

    def test_hand_over_tests_pass_there(self):
        helper_under_test()  # skips while it isn't built
        note(self.passes_there(*SAME_TESTS, at_least=25, may_skip=True, timeout_s=800))

    def test_macvtaps_are_made_and_opened_there(self):
        note("macvtaps " + self.passes_there(*MACVTAP_TESTS, at_least=36, timeout_s=800))

    def test_the_fast_path_moves_frames_there(self):
        """By epoll, as the first line says: there io_uring can't read a tap without waiting."""
        need_backend()
        note("tapferry-vhost " + self.passes_there(*VHOST_TESTS, at_least=30, timeout_s=800))
