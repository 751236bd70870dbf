# SPDX-License-Identifier: MIT
"""What the tests of device= have in common: a macvtap of the administrator's, and other network namespaces."""
import contextlib
import ctypes
import fcntl
import os
import shutil
import stat
import subprocess

import links
import processes
import sandbox
from command_case import CommandCase
from sandbox import ip

SIOCGIFHWADDR = 0x8927  # linux/sockios.h
CLONE_NEWNET = 0x40000000  # linux/sched.h
INDEX = 7001  # more than any test here counts up to
NODE = f"/dev/tap{INDEX}"
WAYS = (NODE, "mv0", str(INDEX), f"tap{INDEX}")
ABSENT = "access denied by acl file"


def number_of(name):
    """dev_t of a macvtap's character device."""
    link = links.get(name)
    with open(f"/sys/class/net/{name}/tap{link.index}/dev", encoding="ascii") as file:
        return os.makedev(*map(int, file.read().split(":")))


def mac_behind(fd):
    """The MAC address of the macvtap whose queue FD is."""
    request = bytearray(40)
    fcntl.ioctl(fd, SIOCGIFHWADDR, request)
    return request[18:24].hex(":")


@contextlib.contextmanager
def in_namespace(name):
    """This thread, and what it starts, is in the network namespace that `ip netns` calls NAME."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", encoding="ascii") as home, \
            open(f"/run/netns/{name}", encoding="ascii") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns", name)
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def own_sysfs():
    """/sys shows the network namespace that this thread is in."""
    sandbox.mount("sysfs", "/sys", "sysfs")
    try:
        yield
    finally:
        sandbox.umount("/sys")


class DeviceCase(CommandCase):
    """The administrator's macvtap mv0 on v0: down, index INDEX, its node as the kernel makes it, root's alone."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.macvtap("mv0", INDEX)
        self.node(NODE, "mv0")
        self.box.policy("allow device=mv0 queues=64")

    def tearDown(self):
        self.doCleanups()
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")), processes.named("tapferry-"))
        self.assertEqual(os.listdir("/dev/tapferry") if os.path.isdir("/dev/tapferry") else [], [])

    @staticmethod
    def macvtap(name, index, *more):
        ip("link", "add", "link", "v0", "name", name, "index", str(index), *more, "type", "macvtap", "mode", "bridge")

    def node(self, path, name, mode=0o600):
        """A node of macvtap NAME's device at PATH, gone after the test."""
        os.mknod(path, stat.S_IFCHR | 0o600, number_of(name))
        os.chmod(path, mode)
        self.addCleanup(os.unlink, path)

    def folder(self, path, mode=0o755):
        os.mkdir(path)
        os.chmod(path, mode)
        self.addCleanup(shutil.rmtree, path)

    def refused_as_absent(self, which):
        """In the words that a denied device gets, and an absent one."""
        text = self.refused(f"device={which}", says=ABSENT).stderr
        return text.replace(which, "X")

    @property
    def state(self):
        link = links.get("mv0")
        return link.up, link.mac, link.mtu, link.alias, link.altnames, self.traffic_rules()

    @staticmethod
    def traffic_rules(name="mv0"):
        """What tc(8) says of NAME, but for the queue that the kernel gives to every interface."""
        words = [["tc", "qdisc", "show", "dev", name]]
        words += [["tc", "filter", "show", "dev", name, side] for side in ("ingress", "egress")]
        text = "".join(subprocess.run(part, capture_output=True, text=True, check=True).stdout for part in words)
        return [line for line in text.splitlines() if any(word in line for word in ("tbf", "clsact", "bpf", "police"))]
