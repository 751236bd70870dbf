# SPDX-License-Identifier: MIT
"""vhost-net with the kernel's own module, which a Debian kernel has: as the host, emulated."""

from kernel_host import KernelHostCase
from one_file import note

TIMEOUT = 2500


class VhostNet(KernelHostCase):
    def test_descriptors_are_handed_over(self):
        note("vhost-net: " + self.passes_there("tests/system/test_vhost.py", "-k", "test_vhost.VhostNet.", at_least=10,
                                               timeout_s=700))

    def test_descriptors_are_plugged_into_a_running_qemu(self):
        note("attach: " + self.passes_there("tests/system/test_attach_vhost_net.py", at_least=2, timeout_s=700))

    def test_nested_guests_ping(self):
        note("nested guests with vhost=on: " + self.passes_there("tests/vm/vhost_net_guest.py", at_least=2, timeout_s=1500))
