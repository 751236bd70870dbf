# SPDX-License-Identifier: MIT
"""docs/PROTOCOL.md tells the truth: what it says of records, explanations, audit lines and tags is what the helper does."""
import fcntl
import json
import re
import struct
import unittest

import links
import sandbox
from doc_pages import code_blocks, read, table_after
from helper_case import HelperCase, need_helper

SIOCSIFHWADDR = 0x8924  # linux/sockios.h


def setUpModule():
    need_helper()


class Protocol(HelperCase):
    """PROTOCOL.md, compared with what the helper does."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 user=alice queues=4 guest_mac=52:54:00:* persist=on name=tap12")

    def client(self):
        blocks = code_blocks("docs/PROTOCOL.md", "python")
        self.assertEqual(len(blocks), 2, "one for the helper, one for the broker: test_broker.py has that")
        self.assertLessEqual(len([line for line in blocks[0].splitlines() if line.strip()]), 20)
        return self.box.write(f"{sandbox.BASE}/bin/client.py", blocks[0])

    def run_client(self, spec):
        return self.box.run(["/usr/bin/python3", self.client(), self.helper, spec])

    def test_client_in_python_gets_an_interface(self):
        done = self.run_client("bridge=br0,queues=2")
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertRegex(done.stdout, r"\Atap\d+ fe(:[0-9a-f]{2}){5} \[\d+, \d+\]\n\Z")
        self.assertEqual(links.taps(), [], "gone with the client")

    def test_client_in_python_is_refused(self):
        done = self.run_client("bridge=br1")
        self.assertEqual((done.stdout, done.returncode), ("", 1))
        self.assertIn("access denied by acl file", done.stderr)

    def test_record_has_the_keys_of_the_table_in_its_order(self):
        record = self.granted("bridge=br0,queues=2").record
        self.assertEqual(list(record), table_after("docs/PROTOCOL.md", "The object has exactly these keys"))

    def test_explanation_has_the_keys_of_the_table_in_its_order(self):
        done = self.box.run([self.helper, "--explain", "--net=bridge=br0"])
        self.assertEqual(list(json.loads(done.stdout)), table_after("docs/PROTOCOL.md", "## `--explain`"))

    def test_audit_lines_have_the_fields_of_the_page(self):
        for pattern in re.findall(r"^    (<85>tapferry-helper.*)$", read("docs/PROTOCOL.md"), re.M):
            shape = re.escape(pattern)
            for name in ("PID", "UID", "PPID"):
                shape = re.sub(rf"(?<=[=\[]){name}\b", r"\\d+", shape)
            shape = re.sub(r'"[^"]*"', '"[^"]+"', shape).replace("ifindex=31", r"ifindex=\d+")
            with self.subTest(pattern=pattern):
                self.box.syslog.clear()
                if "granted" in pattern:
                    self.granted("bridge=br0")
                elif "removed" in pattern:
                    self.remove_locked()
                elif "released" in pattern:
                    self.after_persistent("--release=tap12")
                elif "brought-up" in pattern:
                    self.after_persistent("--up=tap12")
                else:
                    self.refused("bridge=br1")
                lines = self.box.syslog.lines(at_least=2 if re.search("removed|released|brought-up", pattern) else 1)
                self.assertRegex(lines[-1].text, rf"\A{shape}\Z")

    def after_persistent(self, option):
        self.granted("bridge=br0,name=tap12,persist=on").close()
        self.assertEqual(self.box.run([self.helper, option]).returncode, 0)
        if links.get("tap12"):
            sandbox.ip("link", "del", "tap12")

    def remove_locked(self):
        """What a holder does to a locked tap, so that the warden removes it."""
        got = self.granted("bridge=br0,lock=on,guest_mac=52:54:00:00:00:01")
        request = struct.pack("16sH6s", got.link.name.encode(), 1, bytes.fromhex("020000000001")).ljust(40, b"\0")
        fcntl.ioctl(got.fds[0], SIOCSIFHWADDR, request)

    def test_tag_has_the_words_of_the_table(self):
        words = table_after("docs/PROTOCOL.md", "## The tag")
        tag = self.granted("bridge=br0,lock=on,guest_mac=52:54:00:00:00:01,filter=auto").link.alias
        self.assertEqual(re.sub(r"=(?!auto)\S+", "=", tag).split(),
                         [word for word in words if word not in ("persist=on", "up=off", "queues=")])


if __name__ == "__main__":
    unittest.main()
