# SPDX-License-Identifier: MIT
"""persist=on and --release of a macvtap with faults, in the front, in the maker, and in all processes at once: no interface that
nobody was told of, and no node that opens what isn't there."""
import os
import pwd
import stat
import struct
import subprocess
import unittest

import links
import sandbox
import strace
from fault_case import Form, net
from sandbox import ip
from service_case import MAKER, ServiceCase, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800
MOST = 3  # calls of a name that are disturbed
ERRORS = ("EPERM", "ENOMEM")


def nodes():
    return [f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("tap") and name != "tapferry"]


def is_open(path):
    return stat.S_IMODE(os.stat(path).st_mode) != 0


class PersistMacvtap(ServiceCase):

    def setUp(self):
        super().setUp()
        self.target = None
        self.box.policy("allow macvtap=v0 user=alice persist=on name=vm-* max=2", "allow bridge=br1 guest_mac=52:54:00:*")
        self.addCleanup(self.clear)
        self.form = Form("macvtap= with persist=on", net("macvtap=v0,name=vm-1,persist=on"), "granted", restore=self.none,
                         stays=("vm-1",), after=self.leave)

    def none(self):
        """As before a run; a node that opens nothing may have been left by a kill."""
        self.leave()
        self.clear()

    @staticmethod
    def clear():
        subprocess.run(["ip", "link", "del", "vm-1"], check=False, stderr=subprocess.DEVNULL)
        for path in nodes():
            os.unlink(path)

    def leave(self):
        subprocess.run(["ip", "link", "del", "vm-1"], check=False, stderr=subprocess.DEVNULL)
        if not sandbox.eventually(lambda: not any(map(is_open, nodes())), 10):
            self.broken.append(f"left open: {nodes()}")

    def run_one(self, *given):
        """Of the maker where it alone is disturbed, else of whom strace starts."""
        return super().run_one(*given) if self.target else super(ServiceCase, self).run_one(*given)

    def test_granted_with_faults_in_the_front(self):
        front, _, expected = self.trace(self.form)
        self.run_plan(self.form, self.short_plan(front, 0), expected)

    def test_granted_with_faults_in_the_maker(self):
        maker, _, expected = self.trace_services(self.form)
        late = [call for call in maker if call.is_late]
        self.assertGreater(len(late), 8, maker)
        self.run_services(self.form, strace.every_action(late, (strace.KILL, *ERRORS)), expected, MAKER)

    def test_release_with_faults_everywhere(self):
        form = Form("release of a macvtap", ("--release=vm-1",), "released", restore=self.of_alice, goes=("vm-1",),
                    kept=self.is_in_order)
        front, _, expected = self.trace(form)
        self.run_plan(form, self.short_plan(front, 1), expected)
        children = [call for calls in self.others for call in calls]
        once = {(call.name, call.nth): call for call in children}
        self.run_everywhere(form, strace.every_action(strace.pick(list(once.values()), MOST), ERRORS), expected)

    def is_in_order(self):
        """Both are there, or neither: nobody can open what is gone."""
        is_there = links.get("vm-1") is not None
        opened = [path for path in nodes() if is_open(path)]
        return "in order" if is_there == bool(opened) else f"vm-1 there: {is_there}, nodes: {opened}"

    def of_alice(self):
        """One that was granted to her, by hand, so that no warden is there for it."""
        self.clear()
        uid = self.box.users["alice"].uid
        ip("link", "add", "link", "v0", "name", "vm-1", "type", "macvtap")
        ip("link", "set", "vm-1", "alias", f"tapferry uid={uid} kind=macvtap upper=v0 since=1 persist=on rule=policy.conf:1")
        index = links.get("vm-1").index
        with open(f"/sys/class/net/vm-1/tap{index}/dev", encoding="ascii") as file:
            number = os.makedev(*map(int, file.read().split(":")))
        path = f"/dev/tap{index}"
        os.mknod(path, stat.S_IFCHR | 0o600, number)
        ours = pwd.getpwnam(sandbox.WARDEN_USER)
        os.chown(path, ours.pw_uid, ours.pw_gid)
        entries = ((1, 6, -1), (2, 6, uid), (4, 0, -1), (16, 6, -1), (32, 0, -1))  # acl(5): tag, permissions, id
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(
            struct.pack("<HHi", *entry) for entry in entries))


if __name__ == "__main__":
    unittest.main()
