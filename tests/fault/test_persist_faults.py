# SPDX-License-Identifier: MIT
"""persist=on and --release with faults: no persistent tap that nobody was told of, and nothing released that isn't the
caller's."""
import subprocess
import unittest

from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401
from sandbox import ip

TIMEOUT = 1800


class Persist(FaultCase):

    def check(self, form, shift):
        front, _, expected = self.trace(form)
        self.run_plan(form, self.short_plan(front, shift), expected)

    def test_granted(self):
        self.box.policy("allow bridge=br0 user=alice persist=on name=vm-* max=2")
        self.check(Form("persist=on", net("bridge=br0,name=vm-1,persist=on"), "granted", restore=self.none,
                        stays=("vm-1",)), 0)

    def test_release(self):
        self.check(Form("release", ("--release=vm-1",), "released", restore=self.of_alice, goes=("vm-1",)), 1)

    def test_release_of_anothers(self):
        self.check(Form("release of another's", ("--release=vm-1",), "refused", "no interface of that name",
                        restore=lambda: self.tap("bob")), 2)

    def test_up(self):
        self.check(Form("up", ("--up=vm-1",), "released", restore=self.of_alice, changes=("vm-1",)), 1)

    def test_up_of_anothers(self):
        self.check(Form("up of another's", ("--up=vm-1",), "refused", "no interface of that name",
                        restore=lambda: self.tap("bob")), 2)

    @staticmethod
    def none():
        subprocess.run(["ip", "link", "del", "vm-1"], check=False, stderr=subprocess.DEVNULL)

    def of_alice(self):
        self.tap("alice")

    def tap(self, user):
        self.none()
        uid = self.box.users[user].uid
        ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", user)
        ip("link", "set", "vm-1", "alias", f"tapferry uid={uid} kind=bridge upper=br0 since=1 persist=on rule=policy.conf:1")


if __name__ == "__main__":
    unittest.main()
