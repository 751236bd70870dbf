# SPDX-License-Identifier: MIT
"""isolated=on: guests on one bridge don't reach each other, shown with real frames, and do reach everybody else."""
import unittest

import frames
import sandbox
from helper_case import HelperCase, need_helper as setUpModule  # noqa: F401

ALICE, BOB, OTHER = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0c"


class Isolated(HelperCase):
    def setUp(self):
        super().setUp()
        self.box.bridge("br2", "192.0.2.1/24")
        self.box.policy("allow bridge=br2")

    def guest(self, spec="bridge=br2,isolated=on", user="alice"):
        return frames.tap_end(self.granted(spec, user))

    def send_from(self, sender, src, dst, *receivers):
        """Sends one frame; which of RECEIVERS get it, and not by broadcast only."""
        frame = frames.make(dst, src, frames.IPV4)
        sender.send(frame)
        # The host gets this one, and by then the bridge is done with the one before.
        with frames.packet_end("br2") as host:
            last = frames.make(frames.BROADCAST, src, frames.ARP)
            sender.send(last)
            self.assertEqual(frames.received_until(host, last)[-1:], [last])
        arrived = []
        for receiver in receivers:
            seen = []
            while (got := receiver.receive()) is not None:
                seen.append(got)
            arrived.append(frame in seen)
        return arrived

    def test_guests_do_not_reach_each_other(self):
        alice, bob = self.guest(), self.guest(user="bob")
        self.assertEqual(self.send_from(alice, ALICE, frames.BROADCAST, bob), [False])
        self.assertEqual(self.send_from(alice, ALICE, "01:00:5e:00:00:01", bob), [False], "multicast")
        self.assertEqual(self.send_from(bob, BOB, ALICE, alice), [False], "unicast to a known address")
        self.assertEqual(self.send_from(alice, ALICE, BOB, bob), [False])

    def test_and_do_reach_ports_that_are_not_isolated_both_ways(self):
        alice, bob = self.guest(), self.guest(user="bob")
        other = self.guest("bridge=br2", user="carol")
        self.assertEqual(self.send_from(alice, ALICE, frames.BROADCAST, bob, other), [False, True])
        self.assertEqual(self.send_from(other, OTHER, ALICE, alice, bob), [True, False])
        self.assertEqual(self.send_from(bob, BOB, OTHER, other, alice), [True, False])

    def test_and_the_host_both_ways(self):
        alice = self.guest()
        with frames.packet_end("br2") as host:
            frame = frames.make(host.mac, ALICE, frames.IPV4)
            alice.send(frame)
            self.assertEqual(frames.received_until(host, frame)[-1:], [frame])
            frame = frames.make(ALICE, host.mac, frames.IPV4)
            host.send(frame)
            self.assertEqual(frames.received_until(alice, frame)[-1:], [frame])

    def test_without_it_they_reach_each_other(self):
        alice, bob = self.guest("bridge=br2"), self.guest(user="bob")
        self.assertEqual(self.send_from(alice, ALICE, frames.BROADCAST, bob), [True])

    def test_forced_by_the_policy_it_applies_in_both_forms(self):
        self.box.policy("allow bridge=br2 isolated=on")
        alice = frames.tap_end(self.granted_br("br2"))
        bob = self.guest("bridge=br2", user="bob")
        self.assertEqual(self.send_from(alice, ALICE, frames.BROADCAST, bob), [False])

    def test_forced_by_the_policy_it_cannot_be_declined(self):
        self.box.policy("allow bridge=br2 isolated=on")
        self.refused("bridge=br2,isolated=off", says="access denied")

    def test_is_refused_for_what_is_on_no_bridge(self):
        self.box.policy("allow tap=vm-* user=alice")
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid))
        self.refused("tap=vm-1,isolated=on", says="isolated= is for bridge=")
        self.refused("tap=vm-2,isolated=on", says="isolated= is for bridge=")


if __name__ == "__main__":
    unittest.main()
