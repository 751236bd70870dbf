# SPDX-License-Identifier: MIT
"""The audit line in a real systemd-journald: the fields of PROTOCOL.md, and the command that finds it."""
import json
import os
import re
import shlex
import subprocess
import syslog
import unittest

import sandbox
from helper_case import HelperCase, need_helper

JOURNALD = "/lib/systemd/systemd-journald"
FOLDER = "/run/log/journal"
PAGE = os.path.join(sandbox.ROOT, "docs/PROTOCOL.md")


def setUpModule():
    need_helper()
    if not os.path.exists(JOURNALD):
        raise unittest.SkipTest("systemd-journald is not installed (make deps)")


def section():
    with open(PAGE, encoding="utf-8") as file:
        return file.read().split("### In the journal\n")[1].split("\n## ")[0]


class Journal(HelperCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.makedirs(FOLDER)
        cls.box.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        cls.box.write("/etc/systemd/journald.conf", "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n")
        os.makedirs("/run/systemd/journal")
        os.unlink("/dev/log")
        os.symlink("/run/systemd/journal/dev-log", "/dev/log")
        try:
            sandbox.mount("cgroup2", "/sys/fs/cgroup", "cgroup2")  # journald doesn't start without any
        except OSError as error:
            raise unittest.SkipTest(f"kernel: no cgroups here: {error}") from error
        cls.journald = subprocess.Popen([JOURNALD], stdin=subprocess.DEVNULL)
        cls.addClassCleanup(cls.journald.wait)
        cls.addClassCleanup(cls.journald.kill)
        if not sandbox.eventually(lambda: os.path.exists("/run/systemd/journal/dev-log"), 20):
            raise RuntimeError("journald doesn't listen")

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 user=alice")

    def entries(self, command, at_least):
        """What journalctl finds, the oldest first, when there are so many."""
        found = []

        def is_enough():
            done = subprocess.run([*command, f"--directory={FOLDER}", "--output=json", "--no-pager"],
                                  capture_output=True, text=True, check=False)
            found[:] = [json.loads(line) for line in done.stdout.splitlines()]
            return len(found) >= at_least
        self.assertTrue(sandbox.eventually(is_enough, 20), found)
        return found

    def test_is_found_by_the_pages_command_and_forgeries_are_not(self):
        command, = re.findall(r"^    (journalctl .*)$", section(), re.M)
        with open(os.path.join(sandbox.ROOT, "docs/tapferry-helper.8"), encoding="utf-8") as file:
            self.assertIn(command, file.read())
        forgery = self.box.run(["/usr/bin/python3", "-c", (
            "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto("
            "b'<85>tapferry-helper[1]: uid=0 pid=1 ppid=1 request=\"x\" result=granted', '/dev/log')")])
        self.assertEqual((forgery.returncode, forgery.stderr), (0, ""))
        got = self.granted("bridge=br0")
        self.refused("bridge=br0", "bob")
        everything = self.entries(["journalctl", "SYSLOG_IDENTIFIER=tapferry-helper"], 3)
        self.assertEqual(len(everything), 3, "the forgery came, too")
        granted, refused = self.entries(shlex.split(command), 2)
        self.assertIn(f'result=granted interface="{got.record["ifname"]}"', granted["MESSAGE"])
        self.assertIn("result=refused", refused["MESSAGE"])
        for entry in (granted, refused):
            self.check_fields(entry)

    def check_fields(self, entry):
        """Each row of the page's table."""
        rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section(), re.M)
        self.assertEqual(len(rows), 8)
        pid = re.match(r"uid=\d+ pid=(\d+) ppid=", entry["MESSAGE"])[1]
        expected = {"MESSAGE": entry["MESSAGE"], "SYSLOG_IDENTIFIER": "tapferry-helper",
                    "SYSLOG_FACILITY": str(syslog.LOG_AUTHPRIV >> 3), "PRIORITY": str(syslog.LOG_NOTICE), "SYSLOG_PID": pid,
                    "_TRANSPORT": "syslog", "_UID": "0", "_PID": entry["_PID"]}
        self.assertEqual({name: entry[name] for name, _ in rows}, expected)
        self.assertNotEqual(entry["_PID"], pid)
        for name, said in rows:
            for value in re.findall(r"`(\w+)`,? which is|^`([\w-]+)`$", said):
                self.assertEqual(entry[name], "".join(value))


if __name__ == "__main__":
    unittest.main()
