# SPDX-License-Identifier: MIT
"""`tapferry doctor` on a Debian 6.1 kernel as the host: what modprobe mends, and what that kernel has and hasn't."""
import os
import unittest

import sandbox
from kernel_host import KernelHostCase
from one_file import note

TIMEOUT = 1200  # everything runs some ten times slower there


class DoctorModules(KernelHostCase):
    def test_modules_are_mended_as_told(self):
        """Among them "tun-no-driver", which a kernel with a built-in tun never has."""
        if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry")):
            self.skipTest("tapferry is not built")
        done = self.runs_there("python3", "tests/vm/doctor_modules.py", sandbox.BUILD, modules=(), timeout_s=400)
        self.assertEqual(done.status, 0, done)
        for name in ("tun-missing", "tun-no-driver", "vhost-net", "bridge-missing", "netfilter-drops"):
            self.assertIn(f"mended {name}: ", done.output)
        self.assertIn("mended tun-no-driver: modprobe tun\n", done.output)
        self.assertIn("kernel: []\n", done.output, "Debian's own kernel has act_police and all else, as doctor says")
        self.assertIn("io_uring: ['tap-nowait']\n", done.output)
        self.assertIn("left: []", done.output)

    def test_apparmor_keeps_libvirt_from_the_helper_until_it_is_mended_as_told(self):
        if not os.path.exists("/usr/sbin/apparmor_parser"):
            self.skipTest("apparmor is not installed (make deps)")
        done = self.runs_there("python3", "tests/vm/doctor_apparmor.py", sandbox.BUILD, timeout_s=400)
        self.assertEqual(done.status, 0, done)
        self.assertEqual(done.output.splitlines(), ["without the profile: True", "with it: False ['apparmor-denies']",
                                                    "as told: True []"])

    def test_the_same_tests_pass_there(self):
        """Those of devices and io_uring."""
        note("doctor " + self.passes_there("tests/system/test_doctor_host.py", "-k", "*.[IT]*.test_*", at_least=8,
                                           may_skip=True))


if __name__ == "__main__":
    unittest.main()
