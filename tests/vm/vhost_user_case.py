# SPDX-License-Identifier: MIT
"""The base of tests with a guest on `tapferry run --vhost-user`."""
import os

import guest
import processes
import sandbox
from vm_case import VmCase, installed_command, installed_helper


class VhostUserCase(VmCase):
    def setUp(self):
        super().setUp()
        self.helper, self.command = installed_helper(self.box), installed_command(self.box)
        self.vhost = self.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        self.box.policy("allow bridge=br0 user=alice queues=2 mtu=9000", "allow macvtap=v0 user=alice queues=2")

    def boot(self, version, spec, script=guest.REACH_HOST, smp=1, **options):
        prefix = [self.command, "run", "--vhost-user", f"--net={spec}", f"--helper={self.helper}", "--"]
        outcome = self.stage.boot(self.qemu(version), script, [], user=self.alice, prefix=prefix, smp=smp, **options)
        self.assertTrue(sandbox.eventually(lambda: not processes.of_program(self.vhost), 10), "it ends with QEMU")
        return outcome
