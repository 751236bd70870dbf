# SPDX-License-Identifier: MIT
"""filter=auto: what crosses follows the addresses that the host's side has, for as long as the interface exists."""
import errno
import struct
import subprocess
import unittest

import frames
import holder
import links
import sandbox
from helper_case import need_helper as setUpModule  # noqa: F401
from warden_case import WardenCase

GUEST, PEER = "52:54:00:00:00:01", "52:54:00:00:00:02"
V4, V6 = "192.0.2.1/24", "2001:db8::1/64"
KINDS = {"ipv4": frames.IPV4, "arp": frames.ARP, "ipv6": frames.IPV6, "rarp": frames.RARP}
NOTHING, ONLY_V4, ONLY_V6, BOTH = set(), {"ipv4", "arp"}, {"ipv6"}, {"ipv4", "arp", "ipv6"}
STORM = 400


class AutoCase(WardenCase):
    """self.upper is whose addresses count; self.guest and self.peer are the two ends."""
    is_own_stack = False  # a packet socket on the interface itself sees what it receives before any filter does

    def setUp(self):
        super().setUp()
        for name in ("br0", "br1", "v0", "v1"):
            self.without_address(name)

    @staticmethod
    def without_address(name):
        """As a host without IPv6 has it: not even a link-local one comes by itself."""
        sandbox.ip("link", "set", name, "addrgenmode", "none")
        sandbox.ip("address", "flush", "dev", name)

    def on_bridge(self, more=""):
        self.upper = "br0"
        self.got = self.granted("bridge=br0,filter=auto" + more)
        self.guest, self.peer = frames.tap_end(self.got), frames.tap_end(self.granted("bridge=br0"))

    def add(self, address):
        sandbox.ip("address", "add", address, "dev", self.upper, *(["nodad"] if ":" in address else []))

    def delete(self, address):
        sandbox.ip("address", "del", address, "dev", self.upper)

    def crossing(self, sender, receiver, src):
        """The kinds of frames that get from one end to the other."""
        sent = {name: frames.make(frames.BROADCAST, src, ethertype) for name, ethertype in KINDS.items()}
        for frame in sent.values():
            try:
                sender.send(frame)
            except OSError as error:  # a packet socket is told of what the filter drops
                self.assertEqual(error.errno, errno.ENOBUFS)
        seen = frames.received_until(receiver, None, 0.1)
        return {name for name, frame in sent.items() if frame in seen}

    def assertCrosses(self, kinds):
        """Both ways, at the latest when the warden has heard of it."""
        def both():
            towards = self.crossing(self.peer, self.guest, PEER)
            return (towards if self.is_own_stack else self.crossing(self.guest, self.peer, GUEST), towards)
        sandbox.eventually(lambda: both() == (kinds, kinds))
        self.assertEqual(both(), (kinds, kinds))


class OnBridge(AutoCase):

    def test_without_addresses_nothing_crosses(self):
        self.on_bridge()
        self.assertCrosses(NOTHING)

    def test_what_the_bridge_has_already_crosses_from_the_beginning(self):
        self.upper = "br0"
        self.add(V4)
        self.add(V6)
        self.on_bridge()
        self.assertCrosses(BOTH)

    def test_it_follows_addresses_that_come_and_go(self):
        self.on_bridge()
        for step, address, kinds in ((self.add, V4, ONLY_V4), (self.add, V6, BOTH), (self.delete, V4, ONLY_V6),
                                     (self.delete, V6, NOTHING), (self.add, V6, ONLY_V6), (self.add, V4, BOTH),
                                     (self.delete, V6, ONLY_V4), (self.delete, V4, NOTHING)):
            step(address)
            with self.subTest(step=step.__name__, address=address):
                self.assertCrosses(kinds)

    def test_the_last_of_several_addresses_counts(self):
        self.on_bridge()
        self.add(V4)
        self.add("198.51.100.1/24")
        self.delete(V4)
        self.assertCrosses(ONLY_V4)
        self.delete("198.51.100.1/24")
        self.assertCrosses(NOTHING)

    def test_addresses_of_other_interfaces_do_not(self):
        self.on_bridge()
        sandbox.ip("address", "add", V4, "dev", "br1")
        self.assertCrosses(NOTHING)

    def test_a_storm_of_addresses_ends_in_the_state_that_is(self):
        self.on_bridge()
        for last, kinds in ((V4, ONLY_V4), (V6, ONLY_V6), (None, NOTHING)):
            lines = []
            for _ in range(STORM):
                for address in (V4, V6):
                    lines += [f"address add {address} dev br0 {'nodad' if ':' in address else ''}",
                              f"address del {address} dev br0"]
            if last:
                lines.append(f"address add {last} dev br0 {'nodad' if ':' in last else ''}")
            subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
            self.assertCrosses(kinds)
            if last:
                self.delete(last)

    def test_it_follows_through_a_new_name_and_down_and_up(self):
        self.on_bridge()
        sandbox.ip("link", "set", "br0", "down")
        sandbox.ip("link", "set", "br0", "name", "br9")
        sandbox.ip("link", "set", "br9", "up")
        self.upper = "br9"
        self.add(V4)
        self.assertCrosses(ONLY_V4)

    def test_it_stays_with_a_lock_and_a_rate(self):
        self.on_bridge(f",lock=on,guest_mac={GUEST},rate_to=100mbit")
        self.add(V4)
        self.assertCrosses(ONLY_V4)
        self.assertEqual(self.crossing(self.guest, self.peer, PEER), NOTHING)
        self.assertIn("tbf", subprocess.run(["tc", "qdisc", "show", "dev", self.got.link.name], capture_output=True,
                                            text=True, check=True).stdout)

    def test_the_holder_cannot_switch_it_off(self):
        self.on_bridge()
        for request, argument in ((holder.TUNDETACHFILTER, bytes(16)), (holder.TUNSETOFFLOAD, 0),
                                  (holder.TUNSETPERSIST, 1), (holder.TUNSETFILTEREBPF, struct.pack("i", -1))):
            holder.try_ioctl(self.guest.fd, request, argument)
            self.assertCrosses(NOTHING)
        self.assertEqual(holder.try_ioctl(self.guest.fd, holder.TUNSETPERSIST, 0), 0)
        self.add(V4)
        self.assertCrosses(ONLY_V4)

    def test_each_of_several_follows_its_own(self):
        self.box.policy("allow bridge=br*")
        self.on_bridge()
        other = frames.tap_end(self.granted("bridge=br1,filter=auto"))
        self.add(V4)
        self.assertCrosses(ONLY_V4)
        with frames.packet_end("br1") as host:
            self.assertEqual(self.crossing(other, host, GUEST), NOTHING)


class Elsewhere(AutoCase):

    def test_on_a_macvtap_the_parents_addresses_count(self):
        self.upper = "v0"
        self.got = self.granted("macvtap=v0,filter=auto,mac=52:54:00:00:00:01")
        self.guest = frames.tap_end(self.got)
        self.peer = self.enterContext(frames.packet_end("v1"))
        self.assertCrosses(NOTHING)
        self.add(V4)
        self.assertCrosses(ONLY_V4)
        self.add(V6)
        self.assertCrosses(BOTH)
        self.delete(V4)
        self.assertCrosses(ONLY_V6)

    def test_on_a_tap_without_a_bridge_its_own_count(self):
        self.box.policy("allow tap=vm-*")
        self.upper = "vm-1"
        self.got = self.granted("tap=vm-1,filter=auto")
        self.without_address("vm-1")
        self.guest = frames.tap_end(self.got)
        self.peer, self.is_own_stack = self.enterContext(frames.packet_end("vm-1")), True
        self.assertCrosses(NOTHING)
        self.add(V4)
        self.assertCrosses(ONLY_V4)

    def test_it_is_gone_with_the_bridge_and_nothing_breaks(self):
        self.on_bridge()
        sandbox.ip("link", "del", "br0")
        self.assertIsNotNone(links.get(self.got.link.name))
        self.warden()


if __name__ == "__main__":
    unittest.main()
