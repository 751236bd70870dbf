# SPDX-License-Identifier: MIT
"""Rates, filters, locks and isolation on a Debian 6.1 kernel, which has act_police and bridges that filter VLANs."""
import unittest

import kernel_host
from one_file import note

TIMEOUT = 1200  # everything runs some ten times slower there


class PortSecurityHost(kernel_host.KernelHostCase):
    def test_rates_hold_there(self):
        note(self.passes_there("tests/system/test_rate.py", "-k", "*.[FT]*.test_*", at_least=13))

    def test_locks_filters_and_isolation_hold_there(self):
        note(self.passes_there("tests/system/test_lock.py", "tests/system/test_filter.py",
                               "tests/system/test_isolated.py", at_least=60))


if __name__ == "__main__":
    unittest.main()
