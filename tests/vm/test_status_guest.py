# SPDX-License-Identifier: MIT
"""`tapferry status` while a real guest talks: QEMU is the holder, alice the user, and the counters are the guest's own."""
import json
import unittest

import guest
import links
from vm_case import VmCase, installed_command, installed_helper

# The guest's counters when its pings are done, and what it sees of them then.
SCRIPT = guest.REACH_HOST + """
result rx_packets "$(cat /sys/class/net/eth0/statistics/rx_packets)"
result tx_packets "$(cat /sys/class/net/eth0/statistics/tx_packets)"
result look now
sleep 1
"""


class Status(VmCase):
    def setUp(self):
        super().setUp()
        installed_helper(self.box)
        self.command = installed_command(self.box)
        self.box.policy("allow bridge=br0 user=alice queues=2")
        self.seen = None

    def look(self, key, _value):
        if key == "look":
            done = self.box.run([self.command, "status", "--json", "--interval=0"], "alice")
            self.seen = json.loads(done.stdout)["interfaces"]

    def test_guest_of_qemu_is_shown(self):
        prefix = [self.command, "run", "--net=bridge=br0,queues=2", "--"]
        outcome = self.stage.boot(self.qemu("7.2"), SCRIPT, [], user=self.alice, prefix=prefix, smp=2, on_result=self.look)
        self.assert_reached_host(outcome, queues=2)
        one, = self.seen
        self.assertEqual((one["user"], one["upper"], one["queues"], one["state"]), ("alice", "br0", 2, "up"))
        holder, = one["holders"]
        self.assertEqual((holder["name"], holder["uid"]), ("qemu-system-x86", self.alice.uid))
        # The host pings nobody, so what crosses afterwards is little; what the guest has counted has crossed.
        for counted, key in (("rx_packets", "received"), ("tx_packets", "sent")):
            number = int(outcome.results[counted])
            self.assertGreater(number, 40)
            self.assertTrue(number <= one[key]["frames"] <= number + 20, (key, number, one))
        self.assertGreater(one["sent"]["bytes"], 3 * 60000)
        self.assertEqual(links.taps(), [])


if __name__ == "__main__":
    unittest.main()
