# SPDX-License-Identifier: MIT
"""tap=NAME with faults: made, and attached to when it exists, which a failure must leave as it was."""
import fcntl
import os
import struct
import unittest

import handover
import sandbox
from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800

TUNSETIFF, TUNGETVNETHDRSZ, TUNSETVNETHDRSZ = 0x400454ca, 0x800454d7, 0x400454d8  # linux/if_tun.h
FLAGS = handover.IFF_TAP | handover.IFF_NO_PI | handover.IFF_VNET_HDR


def header_size(name, wanted=None):
    """The size that tap NAME has for vnet headers, after setting it to WANTED."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), FLAGS))
        if wanted:
            fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", wanted))
        return struct.unpack("i", fcntl.ioctl(fd, TUNGETVNETHDRSZ, bytes(4)))[0]
    finally:
        os.close(fd)


class Tap(FaultCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow tap=vm-* user=alice")

    def check(self, form, shift):
        front, _, expected = self.trace(form)
        self.run_plan(form, self.short_plan(front, shift), expected)

    def test_made(self):
        self.check(Form("tap= made", net("tap=vm-1"), "granted"), 1)

    def as_the_administrator_left_it(self):
        header_size("vm-1", 10)
        sandbox.ip("link", "set", "vm-1", "down")

    def test_attached_to(self):
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid),
                   "vnet_hdr")
        form = Form("tap= attached to", net("tap=vm-1"), "granted", restore=self.as_the_administrator_left_it,
                    changes=("vm-1",), kept=lambda: header_size("vm-1"))
        self.check(form, 2)

    def test_somebody_elses(self):
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["bob"].uid), "vnet_hdr")
        self.check(Form("tap= of somebody else", net("tap=vm-1"), "refused", "belongs to somebody else",
                        kept=lambda: header_size("vm-1")), 3)


if __name__ == "__main__":
    unittest.main()
