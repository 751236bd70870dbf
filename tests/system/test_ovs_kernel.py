# SPDX-License-Identifier: MIT
"""bridge=ovs: on the kernel's datapath, where there is one: tests/vm/test_ovs_host.py runs this where there is."""
import json
import os
import subprocess
import unittest

import frames
import open_vswitch
import ovs_case
import sandbox
from helper_case import need_helper

TIMEOUT = 600
ALICE = "52:54:00:00:00:0a"


def setUpModule():
    need_helper()
    open_vswitch.need_open_vswitch()
    subprocess.run(["modprobe", "-q", "openvswitch"], check=False)
    if not os.path.isdir("/sys/module/openvswitch"):
        raise unittest.SkipTest("kernel: no openvswitch module")


class KernelDatapath(ovs_case.OvsCase):
    DATAPATH = "system"

    def test_frames_cross_both_ways_and_the_port_goes_with_the_vm(self):
        first = self.granted("bridge=ovs:br-int")
        self.assertEqual(first.link.master, "ovs-system")
        alice, bob = frames.tap_end(first), frames.tap_end(self.granted("bridge=ovs:br-int", "bob"))
        self.assertTrue(frames.exchanged(alice, bob))
        first.close()
        self.assertPortGone(first.link.name, 60)

    def test_the_hosts_own_stack_gets_nothing_on_the_tap(self):
        """Where a flow drops the question nobody answers it, though the host has the address on the tap itself."""
        self.switch.flows("br-int", "priority=2,arp,actions=drop", "priority=1,actions=normal")
        got = self.granted("bridge=ovs:br-int")
        sandbox.ip("addr", "add", "192.0.2.9/32", "dev", got.link.name)
        alice, bob = frames.tap_end(got), frames.tap_end(self.granted("bridge=ovs:br-int", "bob"))
        question = bytes.fromhex("0001080006040001") + frames.mac_bytes(ALICE) + bytes((192, 0, 2, 7, *[0] * 6, 192, 0, 2, 9))
        alice.send(frames.make(frames.BROADCAST, ALICE, frames.ARP, question))
        last = frames.make(frames.BROADCAST, ALICE, frames.LOCAL_EXPERIMENTAL)
        alice.send(last)
        self.assertEqual(frames.received_until(bob, last)[-1:], [last], "and what was before it is through")
        answers = []
        while (one := alice.receive()) is not None:
            answers.append(one[12:14])
        self.assertNotIn(bytes.fromhex("0806"), answers)

    def test_probe_and_status_name_the_bridge(self):
        command = self.box.install(os.path.join(sandbox.BUILD, "tapferry"))
        with self.granted("bridge=ovs:br-int"):
            done = self.box.run([command, "status", "--json"], "root", timeout=120)
            found, = json.loads(done.stdout)["interfaces"]
            self.assertEqual((found["kind"], found["upper"]), ("bridge", "ovs:br-int"))
        done = self.box.run([command, "probe", "--net=bridge=ovs:br-int,iface_id=vm-1"], timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)


if __name__ == "__main__":
    unittest.main()
