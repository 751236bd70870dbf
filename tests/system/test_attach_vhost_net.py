# SPDX-License-Identifier: MIT
"""`tapferry attach` with vhost=on: QEMU takes the descriptors of vhost-net as well. QEMU runs no guest here (-S): what it gets is
what counts. (tests/vm/test_vhost_net.py runs this file under a kernel that has the module.)"""
import json
import os
import subprocess
import unittest

import processes
import qmp_client
import sandbox
from command_case import CommandCase, need_command
from test_vhost import make_node, remove_node, why_no_vhost_net

QEMU = "/usr/bin/qemu-system-x86_64"
TIMEOUT = 400


def setUpModule():
    need_command()
    if not os.path.exists(QEMU):
        raise unittest.SkipTest("qemu-system-x86 is not installed")


class VhostNet(CommandCase):
    def setUp(self):
        super().setUp()
        reason = why_no_vhost_net()
        if reason:
            self.skipTest(reason)
        make_node()
        self.addCleanup(remove_node)
        self.box.policy("allow bridge=br0 user=alice queues=2 vhost=on")
        self.socket = f"{sandbox.BASE}/tmp/vm.qmp"
        self.qemu = self.box.popen([QEMU, "-M", "q35,accel=tcg", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none",
                                    "-S", "-qmp", f"unix:{self.socket},server=on,wait=off",
                                    "-device", "pcie-root-port,id=rp0,chassis=1"], "alice",
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        qmp_client.Qmp(self.socket).close()

    def end(self):
        self.qemu.kill()
        self.qemu.communicate()

    def vhost_fds(self):
        return sum(what == "/dev/vhost-net" for what in processes.descriptors(self.qemu.pid).values())

    def arguments(self, *words):
        return ["attach", f"--qmp={self.socket}", f"--helper={self.helper}", "--net=bridge=br0,queues=2,vhost=on", *words]

    def test_qemu_gets_one_descriptor_for_each_queue(self):
        done = self.succeeds(*self.arguments("--json"), timeout=120)
        nic, = json.loads(done.stdout)["nics"]
        self.assertEqual((nic["queues"], nic["vhost"]), (2, 2))
        self.assertEqual(self.vhost_fds(), 2)

    def test_all_are_taken_back(self):
        self.fails(*self.arguments("--bus=nowhere"), says="Bus 'nowhere' not found", timeout=120)
        self.assertTrue(sandbox.eventually(lambda: self.vhost_fds() == 0, 20), self.vhost_fds())


if __name__ == "__main__":
    unittest.main()
