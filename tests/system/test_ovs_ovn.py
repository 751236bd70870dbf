# SPDX-License-Identifier: MIT
"""iface_id= binds a user's tap to a logical port of OVN, and what OVN says of that port holds for his guest."""
import unittest

import frames
import ovn
import ovs_case
import sandbox
from helper_case import need_helper

TIMEOUT = 600
ALICE, BOB, FALSE = "52:54:00:00:00:0a", "52:54:00:00:00:0b", "52:54:00:00:00:0f"
LOCAL_EXPERIMENTAL = 0x88b5  # an EtherType for experiments, IEEE 802


def setUpModule():
    need_helper()
    ovn.need_ovn()


class LogicalPorts(ovs_case.OvsCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.switch.clear()
        cls.ovn = ovn.Ovn(cls.switch)
        cls.addClassCleanup(cls.ovn.stop_controller)
        cls.ovn.switch_with_ports("blue", {"vm-1": ALICE, "vm-2": BOB})
        cls.ovn.switch_with_ports("red", {"vm-3": BOB})

    def setUp(self):
        # ovn-controller makes br-int and whatever else it needs; what HelperCase clears away isn't all ours.
        self.box.no_policy()
        self.box.policy(self.RULE)
        self.box.syslog.clear()
        self.switch.vsctl("wait-until", "Bridge", "br-int")
        self.assertTrue(sandbox.eventually(self.is_switch_up, 60))

    def is_switch_up(self):
        return self.switch.value("Interface", "br-int", "ofport") == "65534"

    def guest(self, port, user="alice"):
        got = self.granted(f"bridge=ovs:br-int,iface_id={port}", user)
        self.ovn.wait_until(port, True)
        return got

    def passes(self, sender, receiver, frame):
        """Whether FRAME comes out; it is sent until it does, or until one that must has done."""
        for _ in range(20):
            sender.send(frame)
            if frame in frames.received_until(receiver, frame):
                return True
        return False

    def test_a_logical_port_is_up_while_the_vm_is(self):
        got = self.guest("vm-1")
        self.assertIn("Port_Binding vm-1", self.ovn.sbctl("show"))
        got.close()
        self.ovn.wait_until("vm-1", False)
        self.assertNotIn("Port_Binding vm-1", self.ovn.sbctl("show"))

    def test_guests_of_one_logical_switch_reach_each_other_and_port_security_holds(self):
        alice, bob = frames.tap_end(self.guest("vm-1")), frames.tap_end(self.guest("vm-2", "bob"))
        self.assertTrue(self.passes(alice, bob, frames.make(BOB, ALICE, LOCAL_EXPERIMENTAL)))
        lie = frames.make(BOB, FALSE, LOCAL_EXPERIMENTAL)
        alice.send(lie)
        truth = frames.make(BOB, ALICE, LOCAL_EXPERIMENTAL)
        alice.send(truth)
        received = frames.received_until(bob, truth)
        self.assertEqual((truth in received, lie in received), (True, False))

    def test_guests_of_another_do_not(self):
        alice, bob, other = (frames.tap_end(self.guest(port, user)) for port, user in
                             (("vm-1", "alice"), ("vm-2", "bob"), ("vm-3", "bob")))
        frame = frames.make(BOB, ALICE, LOCAL_EXPERIMENTAL)
        self.assertTrue(self.passes(alice, bob, frame))
        seen = []
        while (one := other.receive()) is not None:
            seen.append(one)
        self.assertNotIn(frame, seen)

    def test_without_an_iface_id_a_port_is_in_no_network(self):
        alice, stranger = frames.tap_end(self.guest("vm-1")), frames.tap_end(self.granted("bridge=ovs:br-int", "bob"))
        bob = frames.tap_end(self.guest("vm-2", "bob"))
        stranger.send(frames.make(ALICE, BOB, LOCAL_EXPERIMENTAL))
        frame = frames.make(ALICE, BOB, LOCAL_EXPERIMENTAL)
        self.assertTrue(self.passes(bob, alice, frame))
        self.assertIsNone(stranger.receive())


if __name__ == "__main__":
    unittest.main()
