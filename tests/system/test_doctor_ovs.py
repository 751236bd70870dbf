# SPDX-License-Identifier: MIT
"""What `tapferry doctor` finds of Open vSwitch: bridges that are missing, and ports that a killed keeper left."""
import json
import unittest

import open_vswitch
import ovs_case
import processes
from command_case import CommandCase, need_command


def setUpModule():
    need_command()
    open_vswitch.need_open_vswitch()


class Doctor(ovs_case.OvsCase, CommandCase):

    def findings(self, check):
        return json.loads(self.tapferry("doctor", "--json", f"--check={check}", user="root").stdout)["findings"]

    def test_repair_removes_what_a_killed_keeper_left(self):
        held = self.granted("bridge=ovs:br-int", "bob")
        got = self.granted("bridge=ovs:br-int")
        processes.kill_and_wait(*self.keepers())
        got.close()
        self.assertGone(got.link.name)
        found, = self.findings("ovs")
        self.assertEqual((found["id"], found["command"]), ("left-ovs-port", "tapferry doctor --repair"))
        done = self.tapferry("doctor", "--repair", user="root")
        self.assertIn(f"port {got.link.name} of uid {self.box.users['alice'].uid} on Open vSwitch's br-int: removed\n", done.stdout)
        self.assertEqual(self.ports(), [held.link.name])
        self.switch.vsctl("del-port", held.link.name)

    def test_finds_a_bridge_that_is_missing(self):
        self.box.policy("allow bridge=ovs:br-new")
        found, = self.findings("links")
        self.assertEqual((found["id"], found["command"]), ("bridge-missing", "ovs-vsctl add-br br-new"))
        # This kernel may lack the other datapath.
        done = self.box.run(["sh", "-c", f"{found['command']} -- set Bridge br-new datapath_type=netdev"], "root")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.findings("links"), [])

    def test_whoever_may_not_look_is_told_so(self):
        notes = json.loads(self.tapferry("doctor", "--json", "--check=ovs").stdout)["notes"]
        self.assertEqual(notes, ["what is left in Open vSwitch can't be seen without root"])


if __name__ == "__main__":
    unittest.main()
