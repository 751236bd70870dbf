# SPDX-License-Identifier: MIT
"""QEMU's form of a hand-over, with every kind of fault at every call: those before the request is known are the same
in all forms."""
import unittest

from fault_case import FaultCase, Form, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800


class BridgeHelper(FaultCase):

    def test_hands_over_whole_or_not_at_all(self):
        self.box.policy("allow br0")
        form = Form("--use-vnet --br", ("--use-vnet", "--fd={fd}", "--br=br0"), "granted")
        front, _, expected = self.trace(form)
        self.run_plan(form, self.whole_plan(front), expected)


if __name__ == "__main__":
    unittest.main()
