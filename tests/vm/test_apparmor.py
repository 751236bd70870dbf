# SPDX-License-Identifier: MIT
"""Our AppArmor profiles on a Debian kernel as the host: what they keep a program from, and that nothing is missed under them."""
import os
import shutil
import unittest

import sandbox
from kernel_host import KernelHostCase

TIMEOUT = 1200  # everything runs some ten times slower there
UNDER_THEM = ("tests/system/test_broker.py -k *Open*tap*", "tests/system/test_broker_adopts.py -k *watched_over_again*",
              "tests/system/test_vhost_user_net.py -k *bridge*")


class AppArmor(KernelHostCase):
    def test_profiles_take_away_what_is_not_needed_and_nothing_else(self):
        if not shutil.which("apparmor_parser"):
            self.skipTest("apparmor is not installed (make deps)")
        if not os.path.exists(f"{sandbox.BUILD}/tapferryd"):
            self.skipTest("tapferryd is not built")
        done = self.runs_there("env", f"PYTHONPATH={sandbox.ROOT}/tests/lib", "python3", "tests/vm/confined.py", *UNDER_THEM,
                               timeout_s=800)
        self.assertEqual(done.status, 0, done)
        lines = done.output.splitlines()
        for line in ("free: read run write allowed", "tapferryd: allowed", "tapferry-vhost: read allowed",
                     "was denied: yes", *(f"status 0: {arguments}" for arguments in UNDER_THEM)):
            self.assertIn(line, lines, done)
        self.assertEqual([line for line in lines if line.startswith("DENIED")], [], done)


if __name__ == "__main__":
    unittest.main()
