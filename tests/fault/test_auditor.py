# SPDX-License-Identifier: MIT
"""The process that writes the audit line, with faults in it alone: without the line nothing is handed over.  It is the
only child in QEMU's form; a maker, which makes many of the same calls, would be disturbed along with it."""
import unittest

import strace
from fault_case import FaultCase, Form, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800
REQUEST = ("--use-vnet", "--fd={fd}", "--br=br0")


class Auditor(FaultCase):

    def check(self, form, most):
        _, auditor, expected = self.trace(form)
        self.assertEqual(self.others, [], "the auditor is the only child")
        # To be ended by exit_group means nothing; the launcher itself calls set_robust_list as it starts, when it
        # can't ignore the signal yet.
        plan = [injection for injection in self.whole_plan(auditor, most, (*strace.ERRORS, strace.AFTER))
                if not (injection.is_signal and injection.call.name in ("exit_group", "set_robust_list"))]
        self.run_plan(form, plan, expected, auditor_only=True)

    def test_of_a_grant(self):
        self.box.policy("allow bridge=br0")
        self.check(Form("the auditor of a grant", REQUEST, "granted"), 8)

    def test_of_a_refusal(self):
        self.box.policy("allow bridge=*", "deny bridge=br0")
        self.check(Form("the auditor of a refusal", REQUEST, "refused", "access denied"), 5)


if __name__ == "__main__":
    unittest.main()
