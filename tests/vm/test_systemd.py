# SPDX-License-Identifier: MIT
"""The units as `make install` leaves them, under a booted systemd: in an emulated Debian host."""
import os
import re
import shlex
import subprocess
import tempfile
import unittest

import sandbox
from kernel_host import KernelHostCase
from one_file import note

TIMEOUT = 900
ACCOUNTS = "/etc/passwd /etc/shadow /etc/group /etc/gshadow"


class Systemd(KernelHostCase):
    @unittest.skipIf(sandbox.IS_SANITIZED, "its programs aren't what make install installs")
    def test_socket_service_and_users(self):
        with tempfile.TemporaryDirectory(prefix="tapferry-install-", dir=sandbox.BUILD) as root:
            os.chmod(root, 0o755)  # cp -a makes it that of /
            subprocess.run(["make", "--silent", "install", f"DESTDIR={root}"], cwd=sandbox.ROOT, check=True, timeout=300,
                           stdout=subprocess.DEVNULL)
            done = self.runs_there(
                "python3", "tests/vm/systemd_guest.py", timeout_s=600,
                systemd_after=f"cp -a {shlex.quote(root)}/. /\nsed -i '/^tapferry/d' {ACCOUNTS}\nsystemd-sysusers")
        self.assertEqual(done.status, 0, done)
        ran = re.search(r"^Ran (\d+) tests in ([\d.]+)s", done.output, re.MULTILINE)
        self.assertEqual(ran[1], "8", done)
        note(f"systemd: {ran[1]} tests of the units, {done.run.seconds:.0f} s with its start")


if __name__ == "__main__":
    unittest.main()
