# SPDX-License-Identifier: MIT
"""What the holder of a queue can do without privilege, tried one by one on a tap and on a macvtap: nothing of it
outlives the sweep or the warden, escapes a quota, or undoes a lock, a filter or a rate."""
import contextlib
import errno
import fcntl
import os
import struct
import subprocess
import unittest

import frames
import handover
import holder
import links
import processes
import sandbox
from helper_case import need_helper as setUpModule  # noqa: F401
from warden_case import GATEWAY, WardenCase

GUEST, SPOOFED = "52:54:00:00:00:01", "52:54:00:00:00:99"
TUNSETIFF, TUNSETGROUP = 0x400454ca, 0x400454ce  # linux/if_tun.h
RETURN_ALL = [(0x06, 0, 0, 0xffffffff)]  # BPF_RET | BPF_K, linux/bpf_common.h
TOGGLES = 3000


def flags(value, name=""):
    return struct.pack("16sH22x", name.encode(), value)


# Name -> the attempt, given a queue and its interface's name. Whether it succeeds is the kernel's business.
ATTEMPTS = {
    "TUNSETPERSIST": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETPERSIST, 1),
    "TUNSETOWNER": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETOWNER, 65534),
    "TUNSETGROUP": lambda fd, name: fcntl.ioctl(fd, TUNSETGROUP, 65534),
    "SIOCSIFHWADDR": lambda fd, name: fcntl.ioctl(fd, holder.SIOCSIFHWADDR, holder.hardware_address(name, SPOOFED)),
    "TUNDETACHFILTER": lambda fd, name: fcntl.ioctl(fd, holder.TUNDETACHFILTER, bytes(16)),
    "TUNSETTXFILTER": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETTXFILTER, bytes(4)),
    "TUNSETLINK": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETLINK, holder.ARPHRD_NONE),
    "TUNSETOFFLOAD": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETOFFLOAD, 0),
    "TUNSETSNDBUF": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETSNDBUF, struct.pack("i", 1 << 20)),
    "TUNSETVNETHDRSZ": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETVNETHDRSZ, struct.pack("i", 12)),
    "TUNSETCARRIER": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETCARRIER, struct.pack("i", 1)),
    "TUNSETSTEERINGEBPF": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETSTEERINGEBPF, struct.pack("i", -1)),
    "TUNSETFILTEREBPF": lambda fd, name: fcntl.ioctl(fd, holder.TUNSETFILTEREBPF, struct.pack("i", -1)),
    "TUNSETIFF": lambda fd, name: fcntl.ioctl(fd, TUNSETIFF, flags(
        handover.IFF_TAP | handover.IFF_NO_PI | handover.IFF_VNET_HDR, name)),
    "a queue detached and attached": lambda fd, name: (
        fcntl.ioctl(fd, holder.TUNSETQUEUE, flags(holder.IFF_DETACH_QUEUE)),
        fcntl.ioctl(fd, holder.TUNSETQUEUE, flags(holder.IFF_ATTACH_QUEUE))),
    "another open of the queue": lambda fd, name: os.open(f"/proc/self/fd/{fd}", os.O_RDWR),
    "another mode of its node": lambda fd, name: os.fchmod(fd, 0o666),
}
# On a tap that is a bridge's port these change what frames pass, and are tried by themselves.
TAKES_THE_MAC = ("SIOCSIFHWADDR",)


class HolderCase(WardenCase):
    """br2 has the gateway's address."""

    def setUp(self):
        super().setUp()
        self.box.bridge("br2", "192.0.2.1/24")
        sandbox.ip("link", "set", "br2", "address", GATEWAY)
        self.box.policy("allow macvtap=v0 queues=8 guest_mac=52:54:00:* mac=52:54:00:* max=1",
                        "allow bridge=br2 user=alice queues=4 guest_mac=52:54:00:* max=1", "allow bridge=br2 user=bob")

    def attempt(self, got, what, queue=0):
        return holder.as_user("alice", lambda: ATTEMPTS[what](got.fds[queue], got.taps[0].name))

    def set_mac(self, got, mac):
        request = holder.hardware_address(got.taps[0].name, mac)
        return holder.try_ioctl(got.fds[0], holder.SIOCSIFHWADDR, request)


class OnMacvtap(HolderCase):
    SPECS = ("macvtap=v0", f"macvtap=v0,queues=2,lock=on,guest_mac={GUEST},filter=ipv4")

    def test_nothing_outlives_the_warden_or_escapes_the_quota(self):
        for what in ATTEMPTS:
            with self.subTest(what):
                got = self.granted("macvtap=v0")
                self.attempt(got, what)
                self.assertEqual(links.get(got.link.name).identity, got.link.identity)
                self.refused("macvtap=v0", says="max=1")
                got.close()
                self.assertGone(got.link.name)
                self.granted("macvtap=v0").close()
                self.assertNothingLeft()

    def test_nothing_undoes_lock_or_filter(self):
        for what in ATTEMPTS:
            if what in TAKES_THE_MAC:
                continue
            with self.subTest(what):
                got = self.granted(f"macvtap=v0,queues=2,lock=on,guest_mac={GUEST},filter=ipv4")
                for queue in (0, 1):
                    self.attempt(got, what, queue)
                self.assertEqual([self.passes(got, GUEST, frames.IPV4), self.passes(got, SPOOFED, frames.IPV4),
                                  self.passes(got, GUEST, frames.IPV6)], [True, False, False])
                got.close()
                self.assertGone(got.link.name)

    def passes(self, got, src, ethertype, queue=0):
        """Whether such a frame of the guest comes out of the parent."""
        guest = frames.tap_end(got, queue)
        with frames.packet_end("v1") as wire:
            return frames.passes(guest, wire, frames.make(frames.BROADCAST, src, ethertype),
                                 frames.make(frames.BROADCAST, GUEST, frames.IPV4))

    def test_a_filter_of_his_own_is_none_of_the_kernels(self):
        got = self.granted("macvtap=v0")
        self.assertEqual(holder.attach_filter(got.fds[0], RETURN_ALL), errno.EINVAL)

    def test_a_locked_one_loses_its_interface_with_its_address(self):
        for mac in (GATEWAY, SPOOFED):
            with self.subTest(mac):
                got = self.granted(f"macvtap=v0,lock=on,guest_mac={GUEST}")
                self.box.syslog.clear()
                self.assertEqual(self.set_mac(got, mac), 0)
                self.assertGone(got.link.name)
                self.assertTold(got, mac)
                got.close()
                self.assertNothingLeft()

    def assertTold(self, got, mac):
        line, = self.box.syslog.lines(at_least=1)
        self.assertIn(f'interface="{got.link.name}" ifindex={got.link.index} result=removed', line.text)
        self.assertIn(f"its MAC address was changed from {GUEST} to {mac}", line.text)
        self.assertIn(f"]: uid={self.box.users['alice'].uid} ", line.text)
        self.assertNotIn(line.uid, {user.uid for user in self.box.users.values()}, "sent by nobody who can log in")

    def test_an_unlocked_one_may_change_it(self):
        got = self.granted("macvtap=v0")
        self.assertEqual(self.set_mac(got, SPOOFED), 0)
        self.assertEqual(links.get(got.link.name).mac, SPOOFED)
        self.assertTrue(self.crosses(got))

    def test_more_queues_by_a_node_that_all_may_open_are_dead_when_his_own_are_closed(self):
        got = self.granted("macvtap=v0,queues=2,vnet_hdr=off")
        with open(f"/sys/class/net/{got.link.name}/tap{got.link.index}/dev", encoding="ascii") as file:
            number = os.makedev(*map(int, file.read().split(":")))
        node = f"{sandbox.BASE}/tmp/node"
        os.mknod(node, 0o20666, number)
        os.chmod(node, 0o666)
        self.addCleanup(os.unlink, node)
        self.assertEqual(holder.as_user("alice", lambda: os.open(node, os.O_RDWR)), 0)
        more = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, more)
        got.close()
        self.assertGone(got.link.name)
        self.assertEqual(handover.inspect(more).name, "", "it belongs to no interface any more")

    def test_its_parents_address_comes_back_after_passthru(self):
        self.box.policy("allow macvtap=v0 mode=passthru")
        before = links.get("v0").mac
        got = self.granted("macvtap=v0,mode=passthru")
        self.assertEqual(self.set_mac(got, SPOOFED), 0)
        self.assertEqual(links.get("v0").mac, SPOOFED)
        got.close()
        self.assertGone(got.link.name)
        self.assertEqual(links.get("v0").mac, before)


class OnTap(HolderCase):

    def pair(self, spec):
        self.got = self.granted(spec)
        self.guest = frames.tap_end(self.got)
        self.peer = frames.tap_end(self.granted("bridge=br2", user="bob"))

    def passes(self, src, ethertype=frames.IPV4):
        return frames.passes(self.guest, self.peer, frames.make(frames.BROADCAST, src, ethertype),
                             frames.make(frames.BROADCAST, GUEST, frames.IPV4))

    def swept(self, name):
        """Whether it is gone at the latest when the next one asks who would otherwise be refused."""
        with contextlib.suppress(RuntimeError):
            self.granted("bridge=br2").close()
        return sandbox.eventually(lambda: links.get(name) is None)

    def test_nothing_outlives_the_sweep_or_escapes_the_quota(self):
        for what in ATTEMPTS:
            with self.subTest(what):
                got = self.granted("bridge=br2")
                self.attempt(got, what)
                self.assertEqual(links.get(got.link.name).identity, got.link.identity)
                self.refused("bridge=br2", says="max=1")
                got.close()
                self.assertTrue(self.swept(got.link.name))

    def test_nothing_undoes_lock_or_filter(self):
        for what in ATTEMPTS:
            if what in TAKES_THE_MAC:
                continue
            with self.subTest(what):
                self.pair(f"bridge=br2,lock=on,guest_mac={GUEST},filter=ipv4")
                self.attempt(self.got, what)
                self.assertEqual([self.passes(GUEST), self.passes(SPOOFED), self.passes(GUEST, frames.IPV6)],
                                 [True, False, False])
                self.doCleanups()
                self.assertTrue(self.swept(self.got.link.name))

    def test_a_filter_of_his_own_undoes_none_of_ours(self):
        self.pair(f"bridge=br2,lock=on,guest_mac={GUEST},filter=ipv4")
        self.assertEqual(holder.attach_filter(self.guest.fd, RETURN_ALL), 0)
        self.assertEqual(self.attempt(self.got, "TUNDETACHFILTER"), 0)
        self.assertFalse(self.passes(SPOOFED))
        self.assertFalse(self.passes(GUEST, frames.IPV6))

    def test_a_rate_stays(self):
        def qdisc():
            return subprocess.run(["tc", "qdisc", "show", "dev", got.link.name], capture_output=True, text=True,
                                  check=True).stdout
        got = self.granted("bridge=br2,rate_to=10mbit")
        before = qdisc()
        self.assertIn("tbf", before)
        for what in ATTEMPTS:
            self.attempt(got, what)
        self.assertEqual(qdisc(), before)

    def test_a_third_queue_is_locked_and_filtered_as_the_others_are(self):
        self.pair(f"bridge=br2,queues=2,lock=on,guest_mac={GUEST},filter=ipv4")
        third = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, third)
        many = handover.IFF_TAP | handover.IFF_NO_PI | handover.IFF_VNET_HDR | handover.IFF_MULTI_QUEUE
        status = holder.as_user("alice", lambda: fcntl.ioctl(third, TUNSETIFF, flags(many, self.got.link.name)))
        self.assertEqual(status, 0, "the owner may")
        self.guest = frames.TapEnd(handover.inspect(third))
        self.assertEqual([self.passes(GUEST), self.passes(SPOOFED), self.passes(GUEST, frames.IPV6)],
                         [True, False, False])

    def test_a_tap_with_one_queue_takes_no_second(self):
        got = self.granted("bridge=br2")
        for more in (0, handover.IFF_MULTI_QUEUE):
            second = os.open("/dev/net/tun", os.O_RDWR)
            value = handover.IFF_TAP | handover.IFF_NO_PI | handover.IFF_VNET_HDR | more
            status = holder.as_user("alice", lambda fd=second, value=value: fcntl.ioctl(
                fd, TUNSETIFF, flags(value, got.link.name)))
            self.assertIn(status, (errno.EBUSY, errno.EINVAL))
            os.close(second)


class Locked(HolderCase):
    """A tap that is locked and takes the gateway's address on the bridge."""

    def setUp(self):
        super().setUp()
        self.got = self.granted(f"bridge=br2,lock=on,guest_mac={GUEST}")
        self.box.syslog.clear()

    def assertRemoved(self, mac):
        name = self.got.link.name
        self.assertGone(name)
        line = self.box.syslog.lines(at_least=1)[0]
        self.assertRegex(line.text, rf'interface="{name}" ifindex={self.got.link.index} result=removed reason="it is '
                         rf"locked, and its MAC address was changed from {self.got.link.mac} to {mac}")
        self.assertEqual(links.get("br2").mac, GATEWAY)

    def test_loses_the_interface(self):
        self.assertEqual(self.set_mac(self.got, GATEWAY), 0)
        self.assertRemoved(GATEWAY)

    def test_with_any_other_address_as_well(self):
        self.assertEqual(self.set_mac(self.got, SPOOFED), 0)
        self.assertRemoved(SPOOFED)

    def test_by_ip_it_is_not_the_holders_to_change(self):
        done = self.box.run(["ip", "link", "set", self.got.link.name, "address", GATEWAY])
        self.assertNotEqual(done.returncode, 0)

    def test_though_it_changes_back_at_once(self):
        bad, good = (holder.hardware_address(self.got.link.name, mac) for mac in (GATEWAY, self.got.link.mac))

        def toggle():
            for _ in range(TOGGLES):
                fcntl.ioctl(self.got.fds[0], holder.SIOCSIFHWADDR, bad)
                fcntl.ioctl(self.got.fds[0], holder.SIOCSIFHWADDR, good)

        self.assertEqual(holder.as_user("alice", toggle), errno.EBADFD, "it is gone before he is done")
        self.assertRemoved(GATEWAY)

    def test_though_other_events_come_in_a_flood(self):
        name, good = self.got.link.name, self.got.link.mac

        def flood():
            for i in range(TOGGLES):
                fcntl.ioctl(self.got.fds[0], holder.TUNSETCARRIER, struct.pack("i", i % 2))
            fcntl.ioctl(self.got.fds[0], holder.SIOCSIFHWADDR, holder.hardware_address(name, GATEWAY))

        self.assertNotEqual(good, GATEWAY)
        self.assertEqual(holder.as_user("alice", flood), 0)
        self.assertGone(name)

    def test_though_it_was_made_persistent_and_taken_again(self):
        self.assertEqual(self.attempt(self.got, "TUNSETPERSIST"), 0)
        name = self.got.link.name
        self.got.close()
        self.assertIsNotNone(links.get(name))
        self.warden()
        again = os.open("/dev/net/tun", os.O_RDWR)
        self.addCleanup(os.close, again)
        value = handover.IFF_TAP | handover.IFF_NO_PI | handover.IFF_VNET_HDR

        def take():
            fcntl.ioctl(again, TUNSETIFF, flags(value, name))
            fcntl.ioctl(again, holder.SIOCSIFHWADDR, holder.hardware_address(name, GATEWAY))

        self.assertEqual(holder.as_user("alice", take), 0)
        self.assertGone(name)
        self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))

    def test_others_keep_theirs(self):
        with self.granted("bridge=br2", user="bob") as other:
            self.set_mac(self.got, GATEWAY)
            self.assertGone(self.got.link.name)
            self.assertEqual(links.get(other.link.name).identity, other.link.identity)

    def test_unlocked_it_is_the_bridges_administrator_who_has_to_care(self):
        with self.granted("bridge=br2", user="bob") as other:
            self.assertEqual(self.set_mac(other, GATEWAY), 0)
            self.assertIsNotNone(links.get(other.link.name))


if __name__ == "__main__":
    unittest.main()
