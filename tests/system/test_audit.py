# SPDX-License-Identifier: MIT
"""The audit line: one for every grant and refusal, from a sender that no user can be."""
import os
import re
import unicodedata
import unittest

import handover
import sandbox
from helper_case import HelperCase, need_helper


def setUpModule():
    need_helper()


class Audit(HelperCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 user=alice")

    def one_line(self):
        lines = self.box.syslog.lines(at_least=1)
        self.assertEqual(len(lines), 1, lines)
        self.box.syslog.clear()
        return lines[0]

    def test_grant_says_who_what_and_why(self):
        got = self.granted("bridge=br0")
        line = self.one_line()
        for part in ("tapferry-helper", f"uid={self.box.users['alice'].uid}", "bridge=br0", got.link.name,
                     "policy.conf:1"):
            self.assertIn(part, line.text)

    def test_grant_in_qemus_form(self):
        got = self.granted_br()
        line = self.one_line()
        self.assertIn(got.link.name, line.text)
        self.assertIn("br0", line.text)

    def test_refusal_is_told_too(self):
        bob = self.box.users["bob"]
        self.refused_br(user="bob")
        line = self.one_line()
        self.assertIn(f"uid={bob.uid}", line.text)
        self.assertIn("br0", line.text)

    def test_sender_is_not_the_caller(self):
        """Whoever has the caller's uid could have written a line that carries it."""
        for user, ask in (("alice", self.granted_br), ("bob", self.refused_br)):
            ask(user=user)
            self.assertNotEqual(self.one_line().uid, self.box.users[user].uid)

    def test_goes_to_authpriv(self):
        self.granted_br()
        priority = int(self.one_line().text[1:].split(">")[0])
        self.assertEqual(priority >> 3, 10)  # LOG_AUTHPRIV, RFC 5424 6.2.1

    def test_request_can_forge_neither_a_line_nor_a_field(self):
        """Whatever is asked for stands between its quotes."""
        value = r'"((?:[^"\\]|\\.)*)"'
        whole = re.compile(r"<85>tapferry-helper\[\d+\]: uid=\d+ pid=\d+ ppid=\d+ "
                           rf"request={value} result=refused reason={value}")
        for evil in ("\n<38>tapferry-helper: forged", "\x1b[2J", "\r", "\x7f", "\x9b2J", "\udcff", "\u2028", " uid=0",
                     '" uid=0 result=granted x="', "\\", '\\"', "\x01\x02", "%n%s", "\u202e"):
            with self.subTest(evil=evil):
                self.box.syslog.clear()
                self.refused(f"device=/x{evil}")
                text = self.one_line().text
                self.assertFalse([c for c in text if unicodedata.category(c) == "Cc"], repr(text))
                self.assertRegex(text, whole)

    def test_written_before_the_fd_leaves(self):
        """strace sees the audit line's system call before the one that sends the fd."""
        trace = f"{sandbox.BASE}/tmp/trace"
        self.addCleanup(os.unlink, trace)
        done = self.strace(trace)
        if not os.path.exists(trace) or "PTRACE" in done.stderr.upper():
            self.skipTest(f"strace can't run here: {done.stderr}")
        with open(trace, encoding="utf-8", errors="replace") as file:
            calls = file.read().splitlines()
        audit = next(i for i, call in enumerate(calls) if "tapferry-helper[" in call or "uid=" in call)
        sent = next(i for i, call in enumerate(calls) if "SCM_RIGHTS" in call)
        self.assertLess(audit, sent)

    def strace(self, trace):
        got = handover.qemu(self.box, self.helper, "br0", "root", timeout=60, wrap=[
            "strace", "-f", "-s", "300", "-e", "trace=%network,%desc", "-o", trace, "-u", "alice"])
        self.addCleanup(got.close)
        return got

    def test_without_a_syslog_the_hand_over_still_works(self):
        os.rename("/dev/log", "/dev/log.away")
        self.addCleanup(os.rename, "/dev/log.away", "/dev/log")
        self.granted_br()


if __name__ == "__main__":
    unittest.main()
