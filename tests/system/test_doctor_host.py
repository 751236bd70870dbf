# SPDX-License-Identifier: MIT
"""`tapferry doctor` on the host's side: interfaces that rules name, netfilter, devices, the kernel, io_uring."""
import ctypes
import errno
import os
import platform
import socket
import struct
import subprocess
import unittest

import sandbox
from command_case import need_command
from mend_case import MendCase

ETH_P_ALL, ETH_P_IP = 3, 0x0800
CAPS_WITHOUT_OVERRIDE = "cap_net_admin,cap_setpcap+ep"
IO_URING_SETUP = 425  # on every architecture
IO_URING_DISABLED = "/proc/sys/kernel/io_uring_disabled"


def setUpModule():
    need_command()


class Links(MendCase):
    def test_bridge_that_does_not_exist(self):
        sandbox.ip("link", "del", "br0")
        self.mends("bridge-missing")
        self.assertTrue(self.is_served())
        self.assertEqual(self.ids("--check=links"), [])

    def test_bridge_that_is_down(self):
        sandbox.ip("link", "set", "br0", "down")
        self.mends("bridge-down")

    def test_what_is_no_bridge(self):
        self.box.veth("v0", "v1")
        self.box.policy("allow bridge=v0")
        self.assertFalse(self.is_served("bridge=v0"))
        found = self.mends("bridge-no-bridge", env={"NEW_LINE": "allow bridge=br0"})
        self.assertIn("veth", found["problem"])
        self.assertTrue(self.is_served())

    def test_parent_of_macvtaps(self):
        self.box.policy("allow macvtap=v0")
        self.assertFalse(self.is_served("macvtap=v0"))
        self.box.veth("v2", "v1")
        self.mends("parent-missing", env={"NEW_LINE": "allow macvtap=v1"})
        sandbox.ip("link", "set", "v1", "down")
        self.mends("parent-down")
        self.assertTrue(self.is_served("macvtap=v1"))

    def test_rules_of_others_and_patterns_name_nothing_that_must_be_there(self):
        self.box.policy("allow bridge=br0", "allow bridge=br7 user=bob", "allow bridge=vm*", "allow all",
                        "deny bridge=br8", "allow tap=vm7", "allow macvtap=*")
        self.assertEqual(self.ids("--check=links"), [])
        self.assertEqual(self.ids("--check=links", user="root"), ["bridge-missing"])

    def test_each_is_named_once(self):
        self.box.policy("allow bridge=br7 queues=2", "allow bridge=br7")
        self.assertEqual(self.ids("--check=links"), ["bridge-missing"])


class Netfilter(MendCase):
    """br0 with two ports, and iptables' chain between them."""

    def setUp(self):
        super().setUp()
        if not os.path.isdir("/proc/sys/net/bridge"):
            self.skipTest("kernel: br_netfilter is not there")
        self.box.veth("p0", "w0", master="br0")
        self.box.veth("p1", "w1", master="br0")
        self.set_sysctls("net/bridge", {"bridge-nf-call-iptables": 1})

    def nft(self, script):
        done = subprocess.run(["nft", "-f", "-"], input=script, text=True, capture_output=True, check=False)
        if "Operation not supported" in done.stderr or "Protocol not supported" in done.stderr:
            self.skipTest("kernel: nf_tables is not there")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(subprocess.run, ["nft", "flush", "ruleset"], check=False)

    def drop(self, family="ip", table="filter"):
        """As Docker sets iptables up."""
        self.nft(f"add table {family} {table}\n"
                 f"add chain {family} {table} FORWARD {{ type filter hook forward priority 0; policy drop; }}\n")

    def crosses(self):
        """Whether an IPv4 packet that is sent into one port comes out of the other."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as out, \
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as into:
            out.bind(("w1", ETH_P_ALL))
            into.bind(("w0", 0))
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 7, 0, 64, 17, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
            total = sum(struct.unpack("!10H", header))
            total = ~((total & 0xffff) + (total >> 16)) & 0xffff
            packet = header[:10] + struct.pack("!H", total) + header[12:] + struct.pack("!HHHH", 7, 7, 8, 0)
            frame = b"\xff" * 6 + bytes.fromhex("525400000001") + struct.pack("!H", ETH_P_IP) + packet
            out.settimeout(0.5)
            into.send(frame)
            try:
                while out.recv(2048)[:len(frame)] != frame:
                    pass
            except TimeoutError:
                return False
            return True

    def test_root_sees_the_chain_that_drops(self):
        self.assertTrue(sandbox.eventually(self.crosses))
        self.finds_not("netfilter-drops", user="root")
        for family, table in (("ip", "filter"), ("inet", "firewall")):
            with self.subTest(family=family):
                self.set_sysctls("net/bridge", {"bridge-nf-call-iptables": 1, "bridge-nf-call-ip6tables": 1})
                self.drop(family, table)
                self.assertFalse(self.crosses())
                found = self.mends("netfilter-drops", user="root")
                self.assertIn(f"{family} {table} FORWARD", found["problem"])
                self.assertTrue(self.crosses())
                subprocess.run(["nft", "flush", "ruleset"], check=True)

    def test_users_are_told_that_it_may_be(self):
        self.drop()
        found = self.mends("netfilter-may-drop")
        self.assertEqual(found["severity"], "warning")
        self.assertTrue(self.crosses())

    def test_switched_on_for_one_bridge_alone(self):
        self.set_sysctls("net/bridge", {"bridge-nf-call-iptables": 0})
        sandbox.ip("link", "set", "br0", "type", "bridge", "nf_call_iptables", "1")
        self.drop()
        self.assertFalse(self.crosses())
        found = self.mends("netfilter-drops", user="root")
        self.assertIn("ip link set br0", found["command"])
        self.assertTrue(self.crosses())

    def test_chains_that_accept_or_are_elsewhere_are_in_order(self):
        self.nft("add table ip filter\n"
                 "add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }\n"
                 "add chain ip filter INPUT { type filter hook input priority 0; policy drop; }\n")
        self.assertTrue(self.crosses())
        self.assertEqual(self.ids("--check=netfilter", user="root"), [])

    def test_no_matter_without_a_bridge_that_is_allowed(self):
        self.drop()
        self.box.policy("allow tap=*")
        self.assertEqual(self.ids("--check=netfilter", user="root"), [])
        self.box.policy("allow bridge=br*")
        self.assertEqual(self.ids("--check=netfilter", user="root"), ["netfilter-drops"])


class TunNode(MendCase):
    NODE = "/dev/net/tun"

    def without_node(self):
        os.rename(self.NODE, "/dev/net/away")

        def back():
            os.rename("/dev/net/away", self.NODE)
        self.addCleanup(back)

    def test_missing(self):
        self.without_node()
        self.assertFalse(self.is_served())
        found = self.mends("tun-missing")
        self.assertIn("mknod", found["command"], "where the kernel has the driver")
        self.assertTrue(self.is_served())

    def test_something_else(self):
        self.without_node()
        os.mknod(self.NODE, 0o20666, os.makedev(1, 3))
        self.assertFalse(self.is_served())
        self.mends("tun-no-device")
        self.assertTrue(self.is_served())

    def test_closed_to_users(self):
        self.box.tun_mode(0o600)
        self.assertTrue(self.is_served(), "the helper opens it as root")
        found = self.mends("tun-mode")
        self.assertEqual(found["severity"], "note")
        self.assertIn("0600", found["problem"])

    def test_closed_to_a_helper_with_few_capabilities(self):
        self.helper = self.box.install_helper(name="tapferry-helper-caps2", caps=CAPS_WITHOUT_OVERRIDE)
        self.box.tun_mode(0o600)
        self.assertFalse(self.is_served())
        self.mends("tun-closed", f"--helper={self.helper}")
        self.assertTrue(self.is_served())

    def test_vhost_net(self):
        self.box.policy("allow bridge=br0 vhost=on")
        if os.path.exists("/dev/vhost-net"):
            os.unlink("/dev/vhost-net")
        found = self.finds("vhost-net")
        self.assertEqual(found["command"], "sudo modprobe vhost_net")
        self.box.policy("allow bridge=br0")
        self.finds_not("vhost-net")


class Kernel(MendCase):
    """What a rule needs: doctor says that it is lacking if and only if the helper can't do it."""

    RULES = {"kernel-rate-from": "rate_from=1gbit", "kernel-rate-to": "rate_to=1gbit", "kernel-filter": "filter=ipv4"}

    def test_agrees_with_what_a_hand_over_does(self):
        for name, key in self.RULES.items():
            with self.subTest(key=key):
                self.box.policy(f"allow bridge=br0 {key}")
                got = self.ask("bridge=br0")
                for user in ("alice", "root"):
                    self.assertEqual(name not in self.ids("--check=kernel", user=user), got.status == 0, got.stderr)
                got.close()

    def test_macvtaps_are_tried_out(self):
        self.box.veth("v0", "v1")
        self.box.policy("allow macvtap=v0")
        served = self.is_served("macvtap=v0")
        self.assertEqual("kernel-macvtap" not in self.ids("--check=kernel"), served)

    def test_act_police_where_it_is_not(self):
        self.box.policy("allow bridge=br0 rate_from=1gbit")
        if self.is_served():
            self.skipTest("kernel: act_police is there")
        found = self.finds("kernel-rate-from")
        self.assertIn("act_police", found["problem"])
        self.assertIn(platform.release(), found["object"])
        self.box.policy("allow bridge=br0")
        self.assertEqual(self.ids("--check=kernel"), [])

    def test_what_cannot_be_tried_out_is_said_so(self):
        self.box.policy("allow bridge=br0 rate_to=1gbit")
        facts = self.examine("--check=kernel", wrap=["setpriv", "--no-new-privs"], preexec_fn=forbid(272, errno.EPERM))
        self.assertEqual((facts["findings"], len(facts["notes"])), ([], 1))


def can_raise_limits():
    """Whether this process has CAP_SYS_RESOURCE (24)."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("CapEff:")).split()[1], 16) >> 24 & 1 == 1


class SockFilter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class SockProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("filter", ctypes.POINTER(SockFilter))]


def forbid(number, code):
    """A preexec_fn that makes a system call fail, as a container's filter does."""
    def install():
        rules = (SockFilter * 4)((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | code),
                                 (0x06, 0, 0, 0x7fff0000))
        program = SockProgram(4, rules)
        libc = ctypes.CDLL(None)
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        if libc.prctl(22, 2, ctypes.byref(program)) != 0:  # PR_SET_SECCOMP
            os._exit(126)
    return install


class IoUring(MendCase):
    def test_switched_off(self):
        """The setting is the machine's, so a file stands in its place, and the process is treated as it says."""
        if not os.path.exists(IO_URING_DISABLED):
            self.skipTest("kernel: kernel.io_uring_disabled is not there")
        setting = self.box.write(f"{sandbox.BASE}/tmp/io_uring_disabled", "2\n")
        sandbox.mount(setting, IO_URING_DISABLED, flags=sandbox.MS_BIND)
        self.addCleanup(sandbox.umount, IO_URING_DISABLED)
        found = self.finds("io-uring-disabled", "--check=io_uring", preexec_fn=forbid(IO_URING_SETUP, errno.EPERM))
        self.assertEqual(found["severity"], "warning")
        self.shell(found["command"])
        with open(setting, encoding="ascii") as file:
            self.assertEqual(file.read(), "0\n")
        self.finds_not("io-uring-disabled", "--check=io_uring")

    def test_forbidden_by_a_filter(self):
        found = self.finds("io-uring-forbidden", "--check=io_uring", preexec_fn=forbid(IO_URING_SETUP, errno.EPERM))
        self.assertIsNone(found["command"])
        self.assertEqual(self.ids("--check=io_uring"), self.expected())

    def test_not_in_this_kernel(self):
        self.finds("io-uring-missing", "--check=io_uring", preexec_fn=forbid(IO_URING_SETUP, errno.ENOSYS))
        self.assertEqual(self.ids("--check=io_uring"), self.expected())

    def expected(self):
        """Before Linux 6.4 a tap can't be read without waiting."""
        version = tuple(map(int, platform.release().split(".")[:2]))
        return [] if version >= (6, 4) else ["tap-nowait"]

    def test_too_little_memory_may_be_locked(self):
        """As before Linux 5.12: rings count against the limit."""
        found = self.finds("io-uring-memlock", "--check=io_uring", preexec_fn=forbid(IO_URING_SETUP, errno.ENOMEM))
        self.assertIn("prlimit --memlock=unlimited", found["command"])
        if not can_raise_limits():
            self.skipTest("kernel: this container may not raise limits (CAP_SYS_RESOURCE)")
        # The command is for the shell that it is typed into.
        script = f"ulimit -l 64; {found['command'].removeprefix('sudo ')}; ulimit -l"
        done = self.box.run(["bash", "-c", script], "root")
        self.assertEqual((done.returncode, done.stdout), (0, "unlimited\n"), done.stderr)
        self.finds_not("io-uring-memlock", "--check=io_uring", user="root", wrap=["prlimit", "--memlock=unlimited"],
                       preexec_fn=forbid(IO_URING_SETUP, errno.ENOMEM))


if __name__ == "__main__":
    unittest.main()
