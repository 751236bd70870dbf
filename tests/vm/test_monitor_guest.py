# SPDX-License-Identifier: MIT
"""A real guest sees its cable pulled when the host's side of it goes down, by `tapferry monitor --qmp`."""
import fcntl
import os
import struct

import guest
import sandbox
from monitor_case import Watch
from sandbox import ip
from vm_case import VmCase, installed_command

TUNSETIFF, TUNSETCARRIER = 0x400454CA, 0x400454E2  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000

# The guest says when its carrier is as it is waited for; a minute is much more than it takes.
SEES_CARRIER = """
ip link set eth0 up
carrier() {
  for i in $(seq 600); do
    [ "$(cat /sys/class/net/eth0/carrier)" = "$2" ] && { result "$1" "$2"; return; }
    usleep 100000
  done
  result "$1" "still $(cat /sys/class/net/eth0/carrier)"
}
carrier at_first 1
"""


class CarrierOfGuest(VmCase):
    def setUp(self):
        super().setUp()
        self.command = installed_command(self.box)
        self.socket = f"{sandbox.BASE}/tmp/guest.qmp"
        self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self.addCleanup(os.close, self.tap)
        fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", b"vm0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
        ip("link", "set", "vm0", "up")
        self.watch = None

    def boot(self, version, states, actions):
        """Boots a guest that waits for the carriers of STATES (key -> 0 or 1) in turn; ACTIONS say what happens on the host
        once a key was seen."""
        script = SEES_CARRIER + "".join(f"carrier {key} {state}\n" for key, state in states.items())
        network = ["-netdev", f"tap,id=n0,fd={self.tap},vhost=off", *guest.virtio_nic("n0"),
                   "-qmp", f"unix:{self.socket},server=on,wait=off"]

        def on_result(key, value):
            if key == "at_first":
                self.watch = Watch(self.box, self.command, ["vm0", f"--qmp={self.socket}", "--id=n0"])
                self.addCleanup(self.watch.close)
                self.watch.wait(lambda event: event["event"] == "guest-link")
            if key in actions and value in "01":
                actions[key]()

        outcome = self.stage.boot(self.qemu(version), script, network, user=self.alice, pass_fds=[self.tap],
                                  on_result=on_result)
        self.assertEqual(outcome.status, 0, outcome)
        self.assertEqual({key: outcome.results.get(key) for key in states},
                         {key: str(state) for key, state in states.items()}, outcome)
        return outcome

    def check_down_and_up(self, version):
        self.boot(version, {"pulled": 0, "plugged": 1}, {
            "at_first": lambda: ip("link", "set", "vm0", "down"),
            "pulled": lambda: ip("link", "set", "vm0", "up")})
        self.assertEqual(self.watch.ended(), 0, "the monitor ends with the guest")
        self.assertEqual(self.watch.events[-1]["event"], "guest-gone")
        self.assertEqual(self.watch.stderr(), "")
        self.assertEqual([event["up"] for event in self.watch.events if event["event"] == "guest-link"],
                         [True, False, True])

    def test_is_what_the_administrator_sets_on_the_host_with_qemu_7_2(self):
        self.check_down_and_up("7.2")

    def test_is_what_the_administrator_sets_on_the_host_with_qemu_10(self):
        self.check_down_and_up("10.0")

    def test_follows_the_carrier_of_the_hosts_side(self):
        def set_carrier(value):
            fcntl.ioctl(self.tap, TUNSETCARRIER, struct.pack("i", value))
        self.boot("7.2", {"pulled": 0, "plugged": 1}, {
            "at_first": lambda: set_carrier(0), "pulled": lambda: set_carrier(1)})

    def test_is_gone_with_the_hosts_side(self):
        self.boot("7.2", {"pulled": 0}, {"at_first": lambda: ip("link", "delete", "vm0")})
        self.assertEqual(self.watch.ended(), 0)
        self.assertEqual([event["event"] for event in self.watch.events if event["event"] in ("removed", "guest-gone")],
                         ["removed"])
