# SPDX-License-Identifier: MIT
"""Open vSwitch's kernel datapath, which a Debian 6.1 kernel as the host has."""
import unittest

import kernel_host
from one_file import note

TIMEOUT = 900  # everything runs some ten times slower there


class OvsHost(kernel_host.KernelHostCase):
    def test_a_tap_on_the_kernels_datapath(self):
        note("Open vSwitch " + self.passes_there("tests/system/test_ovs_kernel.py", at_least=3))


if __name__ == "__main__":
    unittest.main()
