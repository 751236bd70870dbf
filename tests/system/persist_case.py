# SPDX-License-Identifier: MIT
"""The base of tests of persist=on: what stays when its holders are gone, and `tapferry release`."""
import os

import links
import processes
import sandbox
from helper_case import HelperCase


class PersistCase(HelperCase):
    def setUp(self):
        super().setUp()
        self.command = self.box.install(os.path.join(sandbox.BUILD, "tapferry"))
        self.box.policy("allow bridge=br0 user=alice,bob persist=on name=vm-* queues=2 max=2",
                        "allow tap=vm-* user=alice,bob persist=on", "allow bridge=br1 user=alice,bob name=vm-*")

    def made(self, spec="bridge=br0,name=vm-1,persist=on", user="alice"):
        """A persistent interface that nobody holds any more."""
        got = self.granted(spec, user)
        got.close()
        processes.wait_for_no_maker()
        self.assertIsNotNone(links.get(got.link.name), "it stays")
        return got.link

    def release(self, name, user="alice"):
        return self.box.run([self.command, "release", name, f"--helper={self.helper}"], user)

    def released(self, name, user="alice"):
        done = self.release(name, user)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertIsNone(links.get(name))

    def not_released(self, name, user="alice"):
        before = links.snapshot()
        done = self.release(name, user)
        uid = self.box.users[user].uid
        self.assertEqual(done.returncode, 1, name)
        self.assertEqual(links.snapshot(), before)
        if name.isprintable() and 0 < len(name) < 64:
            self.assertEqual(done.stderr, f"tapferry: release {name}: tapferry-helper: release {name}: "
                                          f"uid {uid} has no interface of that name with persist=on\n")
        self.assertEqual(done.stderr.count("\n"), 1)
