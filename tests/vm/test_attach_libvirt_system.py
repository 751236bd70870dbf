# SPDX-License-Identifier: MIT
"""`tapferry attach --domain` and `detach` with a libvirt in system mode: who asks is root, QEMU runs as somebody else."""
import json
import os
import unittest

import guest
import libvirt_system
import links
import processes
import sandbox
from attach_case import WAIT, WATCH_FOR_NICS
from vm_case import VmCase, installed_command, installed_helper


class SystemMode(VmCase):
    def tapferry(self, *words):
        done = self.box.run([self.command, words[0], "--domain=vm1", "--connect=qemu:///system", *words[1:]], "root", timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    def check(self, version):
        helper, self.command = installed_helper(self.box), installed_command(self.box)
        self.box.install(os.path.join(sandbox.BUILD, "tapferry-libvirt"))
        self.box.policy("allow bridge=br0 user=root queues=2")
        before = links.snapshot()
        try:
            session = libvirt_system.System(self.box, "alice", version, self.stage, helper)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error
        self.addCleanup(libvirt_system.end)
        with session:
            script = WATCH_FOR_NICS + "pings 1; pings 2\n" + WAIT
            domain = session.domain("vm1", script, [], session.emulator(self.qemu("7.2")), spare_ports=1, smp=2)
            domain.define()
            domain.start()
            domain.wait_for("ready")
            self.assertEqual(processes.status(domain.pid())["Uid"].split()[0], str(self.alice.uid))
            for number in (1, 2):
                nic, = json.loads(self.tapferry("attach", f"--helper={helper}", "--json", "--net=bridge=br0,queues=2"))["nics"]
                self.assertEqual(domain.wait_for(f"ping{number}"), "1/1", domain)
                self.tapferry("detach", nic["id"])
                self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before, 10), links.snapshot())
            domain.destroy()

    def test_domain_of_libvirt_9_gets_and_loses_a_nic(self):
        self.check("9.0")

    def test_domain_of_libvirt_11_gets_and_loses_a_nic(self):
        self.check("11.3")


if __name__ == "__main__":
    unittest.main()
