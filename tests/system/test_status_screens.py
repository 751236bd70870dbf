# SPDX-License-Identifier: MIT
"""The screens of docs/STATUS.md are what the programs show: made again, they have the same shape."""
import os
import re
import shutil
import unittest

import sandbox
import status_screens
from command_case import need_command

PAGE = os.path.join(sandbox.ROOT, "docs/STATUS.md")


def setUpModule():
    need_command()
    if not shutil.which("qemu-system-x86_64"):
        raise unittest.SkipTest("qemu-system-x86_64 is not installed (make deps)")


class Page(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        with open(PAGE, encoding="utf-8") as file:
            self.page = file.read()

    def test_screens_are_what_is_shown(self):
        captured = re.findall(r"^```console\n(.*?\n)(.*?)^```$", self.page, re.M | re.S)
        self.assertEqual(len(captured), 4)
        screens = status_screens.Screens(sandbox.enter())
        self.addCleanup(screens.stop)
        for (command, text), (command_now, text_now) in zip(captured, screens.take()):
            with self.subTest(command=command):
                self.assertEqual(status_screens.shape(command), status_screens.shape(command_now))
                self.assertEqual(status_screens.shape(text), status_screens.shape(text_now))

    def test_metrics_are_those_of_the_program(self):
        box = sandbox.enter()
        command = box.install(os.path.join(sandbox.BUILD, "tapferry"))
        text = box.run([command, "status", "--prometheus"]).stdout
        self.assertEqual(re.findall(r"^\| `(tapferry_\w+)` \|", self.page, re.M), re.findall(r"^# TYPE (\w+) ", text, re.M))


if __name__ == "__main__":
    unittest.main()
