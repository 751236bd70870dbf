# SPDX-License-Identifier: MIT
"""However much happens, and however little of it the monitor could hear: its last word is the kernel's state."""
import json
import random
import signal
import subprocess
import unittest

import sandbox
from monitor_case import MonitorCase

TIMEOUT = 600
CHANGES = 10_000
SETTLED_S = 30  # of which IPv6 needs two to see that an address is nobody else's


def kernel_state():
    """Index -> what the monitor says too, from ip(8)."""
    done = subprocess.run(["ip", "-j", "-d", "address", "show"], capture_output=True, check=True)
    state = {}
    for entry in json.loads(done.stdout):
        state[entry["ifindex"]] = {
            "ifname": entry["ifname"], "mtu": entry["mtu"], "mac": entry["address"], "alias": entry.get("ifalias", ""),
            "master": entry.get("master"), "up": "UP" in entry["flags"], "carrier": "LOWER_UP" in entry["flags"],
            "flags": {flag.lower() for flag in entry["flags"]} - {"no-carrier", "m-down"},  # ip(8)'s own
            "altnames": set(entry.get("altnames", ())),
            "addresses": {(info["family"], info["local"], info["prefixlen"], info.get("address"),
                           info.get("tentative", False)) for info in entry["addr_info"]}}
    return state


def monitors_state(watch):
    """The same from the monitor's lines. ip(8) doesn't name the flag of operational state."""
    interfaces = watch.interfaces()
    names = {index: state["ifname"] for index, state in interfaces.items()}
    return {index: {
        **{key: state[key] for key in ("ifname", "mtu", "mac", "alias", "up", "carrier")},
        "master": names.get(state["master_ifindex"]), "flags": set(state["flags"]) - {"running"},
        "altnames": set(state["altnames"]),
        "addresses": {(address["family"], address["local"], address["prefixlen"], address.get("peer"),
                       "tentative" in address["flags"]) for address in state["addresses"]}}
        for index, state in interfaces.items()}


class Storm:
    """A series of random changes as lines for `ip -batch`; it knows which interfaces there are, so that few are refused."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ports = {}    # veths and taps: name -> addresses
        self.peers = {}    # of the veths
        self.bridges = []
        self.lines = []
        self._count = 0

    def fresh_name(self):
        self._count += 1
        return f"s{self._count}"

    def add(self):
        first, second = self.fresh_name(), self.fresh_name()
        kind = self.random.random()
        if kind < 0.1:
            self.lines.append(f"link add {first} type bridge")
            self.bridges.append(first)
            return
        self.ports[first] = set()
        if kind < 0.4:
            self.lines.append(f"tuntap add {first} mode tap")
            return
        self.lines.append(f"link add {first} type veth peer name {second}")
        self.ports[second] = set()
        self.peers.update({first: second, second: first})

    def remove(self, name):
        self.lines.append(f"link delete {name}")
        for gone in (name, self.peers.pop(name, None)):
            self.ports.pop(gone, None)
            self.peers.pop(gone, None)

    def rename(self, name):
        new = self.fresh_name()
        self.lines += [f"link set {name} down", f"link set {name} name {new}"]
        self.ports[new] = self.ports.pop(name)
        if name in self.peers:
            self.peers[new] = self.peers.pop(name)
            self.peers[self.peers[new]] = new

    def set_something(self, name):
        value = self.random.randrange
        self.lines.append(self.random.choice([
            f"link set {name} up", f"link set {name} up", f"link set {name} down",
            f"link set {name} mtu {value(1280, 1501)}",
            f"link set {name} address 02:00:00:00:{value(256):02x}:{value(256):02x}",
            f"link set {name} promisc {self.random.choice(['on', 'off'])}",
            f"link set {name} arp {self.random.choice(['on', 'off'])}",
            f"link set {name} alias words-{value(1000)}",
            f"link set {name} master {self.random.choice(self.bridges)}", f"link set {name} nomaster",
            f"link property add dev {name} altname other{self._count}-{len(self.lines)}"]))

    def set_address(self, name):
        number = self.random.randrange(8)
        addresses = self.ports[name]
        if addresses and self.random.random() < 0.4:
            address = self.random.choice(sorted(addresses))
            addresses.remove(address)
            self.lines.append(f"address delete {address} dev {name}")
            return
        address = self.random.choice([f"192.0.2.{number}/{24 + number % 2}", f"198.51.100.{number} peer 203.0.113.{number}/32",
                                      f"2001:db8::{number}/64 nodad"])
        if ":" not in address:  # going down takes IPv6's along
            addresses.add(address)
        self.lines.append(f"address replace {address} dev {name}")

    def changes(self, count):
        """At least so many lines more."""
        self.lines = []
        while len(self.bridges) < 2 or len(self.ports) < 20:
            self.add()
        while len(self.lines) < count:
            choice = self.random.random()
            name = self.random.choice(list(self.ports))
            if choice < 0.01:
                self.add()
            elif choice < 0.02 and len(self.ports) > 10:
                self.remove(name)
            elif choice < 0.12:
                self.rename(name)
            elif choice < 0.4:
                self.set_address(name)
            else:
                self.set_something(name)
        return self.lines


def difference(mine, kernels):
    """(interface, what, the monitor's word, the kernel's) of everything that isn't the same.

    The kernel doesn't tell of a new alias or altname while an interface is down (netdev_state_change()).
    """
    different = []
    for index in sorted(mine.keys() | kernels.keys()):
        left, right = mine.get(index, {}), kernels.get(index, {})
        name = right.get("ifname") or left.get("ifname")
        untold = set() if right.get("up") else {"alias", "altnames"}
        different += [(name, key, left.get(key), right.get(key)) for key in sorted((left.keys() | right.keys()) - untold)
                      if left.get(key) != right.get(key)]
    return different


class Burst(MonitorCase):
    maxDiff = None

    def batch(self, lines):
        """All of them, as fast as the kernel takes them."""
        done = subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True,
                              check=False, timeout=TIMEOUT)
        refused = done.stderr.count("Command failed")
        self.assertLess(refused, len(lines) // 20, done.stderr[-2000:])

    def assert_settles(self, watch):
        sandbox.eventually(lambda: not difference(monitors_state(watch), kernel_state()), SETTLED_S)
        self.assertEqual(difference(monitors_state(watch), kernel_state()), [])

    def test_last_word_is_the_kernels_state(self):
        watch = self.watch()
        self.batch(Storm(1).changes(CHANGES))
        self.assert_settles(watch)
        self.assertGreater(len(watch.events), 100)
        self.assertEqual(watch.end(), 0)

    def test_also_when_most_of_it_does_not_fit_into_the_receive_buffer(self):
        watch = self.watch("--receive-buffer=1")
        self.batch(Storm(2).changes(CHANGES))
        self.assert_settles(watch)
        self.assertIn("resynchronised", watch.names_of_events())
        self.assertEqual(watch.end(), 0)

    def test_also_when_it_was_stopped_while_everything_happened(self):
        watch = self.watch("--receive-buffer=8192")
        storm = Storm(3)
        self.batch(storm.changes(1000))
        self.assert_settles(watch)
        watch.process.send_signal(signal.SIGSTOP)
        seen = len(watch.events)
        self.batch(storm.changes(1000))
        watch.process.send_signal(signal.SIGCONT)
        self.assert_settles(watch)
        self.assertIn("resynchronised", watch.names_of_events()[seen:])
        self.assertEqual(watch.end(), 0)

    def test_an_interface_that_went_unheard_is_told_as_removed(self):
        self.box.veth("v0", "v1")
        watch = self.watch("v0", "--receive-buffer=1")
        watch.process.send_signal(signal.SIGSTOP)
        self.batch([f"link set v0 mtu {mtu}" for mtu in range(1300, 1400)] + ["link delete v0"])
        watch.process.send_signal(signal.SIGCONT)
        self.assertEqual(watch.ended(), 0)
        self.assertEqual(watch.names_of_events()[-2:], ["resynchronised", "removed"])


if __name__ == "__main__":
    unittest.main()
