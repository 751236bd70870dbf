# SPDX-License-Identifier: MIT
"""The base of tests of bridge=ovs:, with a real Open vSwitch: br-int is there, and no test leaves a port, a keeper or an
interface."""
import open_vswitch
import processes
import sandbox
from helper_case import HelperCase

KEEPER = "tapferry-ovs"


class OvsCase(HelperCase):
    DATAPATH = "netdev"
    RULE = "allow bridge=ovs:br-int user=alice,bob iface_id=vm-* queues=4 name=vm-* mtu=9000 persist=on"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.switch = open_vswitch.start(cls.box)

    def setUp(self):
        self.switch.clear()  # first: what HelperCase deletes are Open vSwitch's own interfaces too
        super().setUp()
        self.switch.bridge("br-int", "192.0.2.1/24", self.DATAPATH)
        self.box.policy(self.RULE)

    def tearDown(self):
        self.doCleanups()
        self.assertNothingLeft()

    def assertNothingLeft(self, seconds=20):
        sandbox.eventually(lambda: not (processes.named("tapferry-") or self.ports()), seconds)
        self.assertEqual((processes.named("tapferry-"), self.ports()), ([], []), "processes or ports are left")

    def ports(self, bridge="br-int"):
        return self.switch.ports(bridge) if bridge in self.switch.bridges() else []

    def keepers(self):
        return [pid for pid, _ in processes.named(KEEPER)]

    def assertPortGone(self, name, seconds=20):
        self.assertTrue(sandbox.eventually(lambda: name not in self.ports(), seconds), f"port {name} is still there")
