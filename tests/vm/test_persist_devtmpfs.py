# SPDX-License-Identifier: MIT
"""persist=on of macvtaps on a Debian 6.1 kernel as the host, where /dev is the kernel's own."""
import os
import re
import unittest

import sandbox
from kernel_host import KernelHostCase

TIMEOUT = 600


class PersistDevtmpfs(KernelHostCase):
    def test_the_kernels_node_lets_its_user_in_and_goes_with_the_interface(self):
        if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry-helper")):
            self.skipTest("tapferry-helper is not built")
        done = self.runs_there("python3", "tests/vm/persist_devtmpfs.py", timeout_s=400)
        self.assertEqual(done.status, 0, done)
        seen = re.sub(r"/dev/tap\d+", "/dev/tapN", done.output).splitlines()
        self.assertEqual(seen, [
            "the node: 0 0o660",
            "who opens it: ['alice']",
            "nobody needs to stay: True True",
            "released: 0  True True",
            "what an old descriptor has: 0o0 False",
            "another's: tapferry-helper: make the node /dev/tapN: it is there, and of another interface; ask again, and the "
            "next interface has another number; `tapferry doctor' tells if it was left behind",
            "nothing is left: True True",
            "another's node is as it was: True",
            "the next has its own: True True"])


if __name__ == "__main__":
    unittest.main()
