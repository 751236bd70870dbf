# SPDX-License-Identifier: MIT
"""<interface type='vhostuser'>, as `tapferry libvirt-xml --vhost-user` prints it, with a tapferry-vhost beside the domain, under
both versions of libvirt."""
import os
import subprocess

import links
import sandbox
from libvirt_case import TypesCase

TIMEOUT = 900


class VhostUser(TypesCase):
    def check(self, version, queues):
        vhost = self.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        before = links.snapshot()
        with self.session(version) as session:
            path = f"{session.folder}/vm1 'net0' & <x>"
            spec = f"bridge=br0,queues={queues},name=vm-v0"
            element = self.element(spec, f"--vhost-user={path}", notes=["run beside the domain: tapferry-vhost", "memfd"])
            backend = self.box.popen([vhost, f"--socket-path={path}", f"--net={spec}", f"--helper={self.helper}"],
                                     stderr=subprocess.DEVNULL)
            self.assertTrue(sandbox.eventually(lambda: os.path.exists(path)))
            # Twice: the backend outlives a domain. QEMU 7.2 crashes with MSI-X and vhost-user where there is no KVM.
            for _ in range(3 - queues):
                self.check_guest(session, element, "10.0", queues, shared_memory=True)
            self.assertEqual(links.get("vm-v0").master, "br0")
            backend.terminate()
            backend.wait(10)
        self.assert_nothing_left(before)

    def test_one_queue_with_libvirt_9(self):
        self.check("9.0", 1)

    def test_two_queues_with_libvirt_9(self):
        self.check("9.0", 2)

    def test_one_queue_with_libvirt_11(self):
        self.check("11.3", 1)

    def test_two_queues_with_libvirt_11(self):
        self.check("11.3", 2)
