# SPDX-License-Identifier: MIT
"""A guest with two queues: by `tapferry run`, and by descriptors opened here, so that the guest side is known."""

import fcntl
import os
import struct

import guest
import links
from sandbox import ip
from vm_case import VmCase, installed_command, installed_helper

TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000


def open_queues(name, count):
    """So many descriptors of a new multi-queue tap."""
    fds = []
    for _ in range(count):
        fds.append(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE
        fcntl.ioctl(fds[-1], TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return fds


class OwnDescriptors(VmCase):
    def test_guest_has_a_queue_for_each_descriptor(self):
        fds = open_queues("mq0", 2)
        try:
            ip("link", "set", "mq0", "master", "br0", "up")
            network = ["-netdev", f"tap,id=n0,fds={':'.join(map(str, fds))},vhost=off", *guest.virtio_nic("n0", 2)]
            outcome = self.stage.boot(self.qemu("7.2"), guest.REACH_HOST, network, user=self.alice, smp=2, pass_fds=fds)
        finally:
            for fd in fds:
                os.close(fd)
        self.assert_reached_host(outcome, 2)


class TapferryRun(VmCase):
    """`tapferry run --net=bridge=br0,queues=2 -- qemu-system-x86_64 ...`"""

    def boot(self, version, spec="bridge=br0,queues=2", network=()):
        helper = installed_helper(self.box)
        command = installed_command(self.box)
        self.box.policy("allow bridge=br0 user=alice queues=2")
        prefix = [command, "run", f"--net={spec}", f"--helper={helper}", "--"]
        return self.stage.boot(self.qemu(version), guest.REACH_HOST, network, user=self.alice, prefix=prefix, smp=2)

    def check_two_queues(self, version, network=()):
        before = links.snapshot()
        outcome = self.boot(version, network=network)
        self.assert_reached_host(outcome, 2)
        self.assertEqual(links.snapshot(), before, "the tap goes with QEMU")

    def test_run_adds_the_network_for_qemu_7_2(self):
        self.check_two_queues("7.2")

    def test_run_adds_the_network_for_qemu_10(self):
        self.check_two_queues("10.0")

    def test_run_fills_in_placeholders(self):
        device = f"virtio-net-pci,netdev=n0,mac={guest.GUEST_MAC},mq=on,vectors=6,romfile="
        self.check_two_queues("7.2", ["-netdev", "tap,id=n0,fds={fds},vhost=off", "-device", device])

    def test_run_with_one_queue_is_a_plain_nic(self):
        outcome = self.boot("7.2", "bridge=br0")
        self.assert_reached_host(outcome, 1)

    def test_refused_run_starts_nothing(self):
        before = links.snapshot()
        outcome = self.boot("7.2", "bridge=br0,queues=3")
        self.assertEqual(outcome.status, 1, outcome)
        self.assertEqual(outcome.console, "")
        self.assertIn("tapferry", outcome.stderr)
        self.assertEqual(links.snapshot(), before)
