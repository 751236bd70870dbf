# SPDX-License-Identifier: MIT
"""`tapferry monitor` tells what an interface is and what becomes of it, to anybody, in the kernel's words."""
import array
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import unittest

import links
import sandbox
from monitor_case import MonitorCase, in_other_namespace
from sandbox import ip

SIOCETHTOOL, ETHTOOL_GSET, ETHTOOL_SSET = 0x8946, 0x1, 0x2  # linux/sockios.h, linux/ethtool.h


def set_media(name, speed, duplex):
    """What `ethtool -s NAME speed SPEED duplex DUPLEX` does, by the older ioctl (struct ethtool_cmd)."""
    command = array.array("B", struct.pack("I40x", ETHTOOL_GSET))
    request = struct.pack("16sP", name.encode(), command.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)
        struct.pack_into("I", command, 0, ETHTOOL_SSET)
        struct.pack_into("HB", command, 12, speed, duplex)
        fcntl.ioctl(sock, SIOCETHTOOL, request)


class Present(MonitorCase):
    def test_is_what_ip_shows(self):
        self.box.bridge("br0", "192.0.2.1/24")
        self.box.veth("v0", "v1", master="br0")
        ip("link", "set", "v0", "alias", "some words")
        ip("link", "property", "add", "dev", "v0", "altname", "other-name")
        watch = self.watch("v0")
        shown = links.get("v0")
        state = watch.state("v0")
        self.assertEqual((state["kind"], state["mtu"], state["mac"], state["master"], state["alias"]),
                         ("veth", shown.mtu, shown.mac, "br0", "some words"))
        self.assertEqual(state["altnames"], ["other-name"])
        self.assertEqual((state["up"], state["carrier"]), (True, True))
        self.assertEqual(sorted(flag.upper() for flag in state["flags"] if flag != "running"),
                         sorted(shown.raw["flags"]))
        self.assertEqual(state["master_ifindex"], links.get("br0").index)
        self.assertEqual((state["speed_mbit"], state["duplex"]), (10000, "full"))

    def test_is_all_interfaces_when_none_is_named(self):
        self.box.veth("v0", "v1")
        watch = self.watch()
        self.assertTrue(sandbox.eventually(
            lambda: {state["ifname"] for state in watch.interfaces().values()} == {"lo", "v0", "v1"}))
        self.assertEqual(watch.names_of_events()[:3], ["present"] * 3)

    def test_has_the_keys_of_the_manual_in_their_order(self):
        watch = self.watch("lo")
        self.assertEqual(list(watch.events[0]), ["time", "event", "ifindex", "ifname", "now"])
        self.assertEqual(list(watch.state("lo")), [
            "kind", "ifname", "up", "carrier", "flags", "mtu", "mac", "master", "master_ifindex", "speed_mbit", "duplex",
            "addresses", "alias", "altnames"])
        self.assertEqual(watch.state("lo")["addresses"][0], {
            "family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host", "flags": []})

    def test_is_one_line_for_people(self):
        done = self.lines("lo", "--exit-on=up")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\A\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} lo: present: index 1, loopback, up, carrier, "
                                      r"loopback running, mtu 65536, mac 00:00:00:00:00:00, address 127\.0\.0\.1/8.*\n\Z")


class Changes(MonitorCase):
    """Of veth v0, whose other end is v1."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.seen = self.watch("v0")

    def change(self, *words):
        ip("link", "set", *words)

    def told(self, **wanted):
        """The event that brings v0 (whatever it is called) to this."""
        return self.seen.wait(
            lambda event: event["event"] == "changed" and all(event["now"].get(key) == wanted[key] for key in wanted),
            f"{wanted} isn't told")

    def told_flag(self, flag, is_set=True):
        self.seen.wait(lambda event: event["event"] == "changed" and "flags" in event["now"]
                       and (flag in event["now"]["flags"]) == is_set and (flag in event["was"]["flags"]) != is_set,
                       f"{flag} isn't told")

    def test_down_and_up_by_the_administrator(self):
        self.change("v0", "down")
        self.assertEqual(self.told(up=False)["was"]["up"], True)
        self.change("v0", "up")
        self.told(up=True)

    def test_carrier_that_goes_and_comes(self):
        self.change("v1", "down")
        event = self.told(carrier=False)
        self.assertNotIn("up", event["now"], "it stays up")
        self.change("v1", "up")
        self.told(carrier=True)

    def test_every_flag_that_can_be_set(self):
        for word, value, flag in (("promisc", "on", "promisc"), ("allmulticast", "on", "allmulti"),
                                  ("multicast", "off", "multicast"), ("arp", "off", "noarp"), ("dynamic", "on", "dynamic"),
                                  ("trailers", "off", "notrailers")):
            with self.subTest(flag):
                self.change("v0", word, value)
                is_set = flag != "multicast"
                self.told_flag(flag, is_set)
                self.change("v0", word, "off" if value == "on" else "on")
                self.told_flag(flag, not is_set)

    def test_mtu(self):
        self.change("v0", "mtu", "1400")
        self.assertEqual(self.told(mtu=1400)["was"], {"mtu": 1500})

    def test_mac_address(self):
        self.change("v0", "address", "02:00:00:00:00:07")
        self.told(mac="02:00:00:00:00:07")

    def test_bridge_that_it_joins_and_leaves(self):
        self.box.bridge("br0")
        self.change("v0", "master", "br0")
        self.assertEqual(self.told(master="br0")["now"]["master_ifindex"], links.get("br0").index)
        self.change("v0", "nomaster")
        self.told(master=None, master_ifindex=None)
        self.assertNotIn("removed", self.seen.names_of_events(), "a port that leaves its bridge isn't removed")

    def test_name_and_the_follower_keeps_following(self):
        self.change("v0", "name", "w0")
        event = self.told(ifname="w0")
        self.assertEqual((event["ifname"], event["was"]), ("w0", {"ifname": "v0"}))
        ip("link", "add", "v0", "type", "bridge")
        self.change("v0", "mtu", "1300")
        self.change("w0", "mtu", "1400")
        self.told(mtu=1400)
        self.assertEqual({event["ifindex"] for event in self.seen.events}, {event["ifindex"]},
                         "whoever gets the name isn't followed")

    def test_alias_and_other_names(self):
        self.change("v0", "alias", "words \"quoted\"")
        self.told(alias="words \"quoted\"")
        ip("link", "property", "add", "dev", "v0", "altname", "another")
        self.told(altnames=["another"])

    def test_ipv4_addresses_and_their_masks(self):
        ip("address", "add", "192.0.2.1/24", "dev", "v0")
        ip("address", "add", "192.0.2.1/28", "dev", "v0")
        ip("address", "add", "198.51.100.1", "peer", "198.51.100.2/30", "dev", "v0")
        four = self.settled(4)
        self.assertEqual([(address["local"], address["prefixlen"]) for address in four if address["family"] == "inet"],
                         [("192.0.2.1", 24), ("192.0.2.1", 28), ("198.51.100.1", 30)])
        self.assertEqual([address.get("peer") for address in four if address["family"] == "inet"],
                         [None, None, "198.51.100.2"])
        ip("address", "delete", "192.0.2.1/24", "dev", "v0")
        left = self.settled(3)
        self.assertNotIn(("192.0.2.1", 24), [(address["local"], address["prefixlen"]) for address in left])
        self.assertIn(("192.0.2.1", 28), [(address["local"], address["prefixlen"]) for address in left])

    def test_ipv6_addresses_and_when_they_become_usable(self):
        ip("address", "add", "2001:db8::1/64", "dev", "v0")
        self.seen.wait(lambda event: self.of("2001:db8::1", event, flags=["tentative"]), "not told while tentative")
        self.seen.wait(lambda event: self.of("2001:db8::1", event, flags=[]), "not told when usable")
        ip("address", "delete", "2001:db8::1/64", "dev", "v0")
        self.seen.wait(lambda event: "addresses" in event.get("was", {}) and any(
            address["local"] == "2001:db8::1" for address in event["was"]["addresses"]) and not any(
                address["local"] == "2001:db8::1" for address in event["now"]["addresses"]))

    @staticmethod
    def of(local, event, **wanted):
        return any(address["local"] == local and wanted.items() <= address.items()
                   for address in event.get("now", {}).get("addresses", []))

    def settled(self, count):
        """The addresses, once there are so many, with the link-local one."""
        sandbox.eventually(lambda: len(self.seen.state("v0")["addresses"]) == count
                           and not any(address["flags"] for address in self.seen.state("v0")["addresses"]), 10)
        return self.seen.state("v0")["addresses"]

    def test_removal_ends_it(self):
        ip("link", "delete", "v0")
        self.assertEqual(self.seen.ended(), 0)
        self.assertEqual(self.seen.events[-1]["event"], "removed")
        self.assertEqual(self.seen.stderr(), "")

    def test_another_network_namespace_is_as_good_as_removed(self):
        in_other_namespace("v0")
        self.assertEqual(self.seen.ended(), 0)
        self.assertEqual(self.seen.events[-1]["event"], "removed")


class MediaOfTaps(MonitorCase):
    def test_speed_and_duplex_that_somebody_sets(self):
        ip("tuntap", "add", "tap0", "mode", "tap")
        watch = self.watch("tap0")
        set_media("tap0", 100, 0)
        watch.wait(lambda event: event.get("now") == {"speed_mbit": 100, "duplex": "half"})
        set_media("tap0", 2500, 1)
        watch.wait(lambda event: event.get("now") == {"speed_mbit": 2500, "duplex": "full"})

    def test_interface_that_does_not_know_its_speed_has_none(self):
        ip("link", "add", "d0", "type", "bridge")
        state = self.watch("d0").state("d0")
        self.assertEqual((state["speed_mbit"], state["duplex"]), (None, None))

    def test_kernel_without_ethtool_netlink_is_said_once_and_everything_else_works(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed (make deps)")
        self.box.veth("v0", "v1")
        strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=socket", "-e",
                  "inject=socket:error=EPROTONOSUPPORT:when=3", self.command]
        done = self.box.run([*strace, "monitor", "--json", "v0", "--exit-on=up"], "root")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertRegex(done.stderr, r"\Atapferry: speed and duplex are not known here: ")
        self.assertIsNone(json.loads(done.stdout)["now"]["speed_mbit"])


class Following(MonitorCase):
    def test_a_name_that_nobody_has_is_an_error(self):
        done = self.lines("nobody0")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "tapferry: monitor nobody0: No such device; --wait waits for it\n")

    def test_a_name_is_waited_for_and_again_after_its_removal(self):
        watch = self.watch("lo", "--wait", "later0")
        for _ in range(2):
            ip("link", "add", "later0", "type", "bridge")
            index = links.get("later0").index
            watch.wait(lambda event, index=index: event["event"] == "added" and event["ifindex"] == index)
            ip("link", "delete", "later0")
            watch.wait(lambda event, index=index: event["event"] == "removed" and event["ifindex"] == index)
        self.assertEqual(watch.end(), 0)

    def test_an_interface_that_is_given_the_awaited_name_is_followed(self):
        ip("link", "add", "d0", "type", "bridge")
        watch = self.watch("lo", "--wait", "later0")
        ip("link", "set", "d0", "name", "later0")
        added = watch.wait(lambda event: event["event"] == "added")
        self.assertEqual(added["now"]["ifname"], "later0")

    def test_several_are_followed_until_the_last_is_gone(self):
        for name in ("d0", "d1", "d2"):
            ip("link", "add", name, "type", "bridge")
        watch = self.watch("d0", "d1", "d0")
        ip("link", "delete", "d0")
        ip("link", "delete", "d2")
        ip("link", "set", "d1", "mtu", "1400")
        watch.wait(lambda event: event.get("now") == {"mtu": 1400})
        ip("link", "delete", "d1")
        self.assertEqual(watch.ended(), 0)
        self.assertEqual([event["ifname"] for event in watch.events if event["event"] == "removed"], ["d0", "d1"])

    def test_without_a_name_interfaces_that_come_are_followed_too(self):
        watch = self.watch()
        ip("link", "add", "d0", "type", "bridge")
        watch.wait(lambda event: event["event"] == "added" and event["ifname"] == "d0")
        ip("link", "set", "d0", "up")
        watch.wait(lambda event: event["event"] == "changed" and event["ifname"] == "d0" and event["now"].get("up"))


class ExitOn(MonitorCase):
    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")

    def ends_with(self, name, condition, *words):
        watch = self.watch(name, f"--exit-on={condition}")
        self.assertIsNone(watch.process.poll())
        ip("link", *words)
        self.assertEqual(watch.ended(), 0, watch.events)
        return watch.events[-1]

    def test_down(self):
        self.assertFalse(self.ends_with("v0", "down,removed", "set", "v0", "down")["now"]["up"])

    def test_removed(self):
        self.assertEqual(self.ends_with("v0", "down,removed", "delete", "v0")["event"], "changed",
                         "what is removed goes down first")
        ip("link", "add", "d0", "type", "bridge")
        self.assertEqual(self.ends_with("d0", "removed", "delete", "d0")["event"], "removed")

    def test_up_and_carrier(self):
        ip("link", "set", "v0", "down")
        self.ends_with("v0", "up", "set", "v0", "up")
        ip("link", "set", "v1", "down")
        ip("link", "set", "v0", "down")
        ip("link", "set", "v0", "up")
        self.ends_with("v0", "carrier", "set", "v1", "up")
        self.ends_with("v0", "no-carrier", "set", "v1", "down")

    def test_a_state_that_is_there_already_counts(self):
        done = self.lines("v0", "--exit-on=up")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 1))
        ip("link", "set", "v0", "down")
        for state in ("down", "no-carrier"):
            self.assertEqual(self.lines("v0", f"--exit-on={state}").returncode, 0)

    def test_removal_before_the_awaited_state_is_a_failure(self):
        ip("link", "set", "v0", "down")
        watch = self.watch("v0", "--exit-on=up")
        ip("link", "delete", "v0")
        self.assertEqual(watch.ended(), 1)

    def test_an_unknown_state_is_refused_with_those_there_are(self):
        done = self.lines("v0", "--exit-on=down,broken")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("`broken' is no state of an interface; there are removed, up, down, carrier, no-carrier",
                      done.stderr.splitlines()[0])


class Ending(MonitorCase):
    def test_signals_end_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.assertEqual(self.watch("lo").end(number), 0)

    def test_a_reader_who_goes_ends_it_quietly(self):
        watch = self.watch("lo")
        head = self.box.popen([self.command, "monitor", "lo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(b"lo: present", head.stdout.readline())
        head.stdout.close()
        self.assertEqual(head.wait(20), 0, "without waiting for something to print")
        self.assertEqual(head.stderr.read(), b"")
        head.stderr.close()
        self.assertEqual(watch.end(), 0)

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            done = self.lines("lo", stdout=full)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "tapferry: write stdout: No space left on device\n")

    def test_closed_stdout_is_no_descriptor_of_its_own(self):
        done = self.box.run(["sh", "-c", f"exec {self.command} monitor lo --exit-on=up >&-"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_bad_command_lines_are_refused(self):
        for arguments in (["--receive-buffer=0"], ["--receive-buffer=big"], ["--qmp=/x", "lo"], ["--id=n0", "lo"],
                          ["--qmp=/x", "--id=n0"], ["--qmp=/x", "--id=n0", "lo", "v0"], ["--no-such"], ["--exit-on="]):
            with self.subTest(arguments):
                done = self.lines(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertEqual(len(done.stderr.splitlines()), 2)

    def test_idle_it_waits_and_does_nothing(self):
        watch = self.watch("lo")

        def times():
            with open(f"/proc/{watch.process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        def waits():
            with open(f"/proc/{watch.process.pid}/wchan", encoding="ascii") as file:
                return "poll" in file.read()

        if os.path.exists(f"/proc/{watch.process.pid}/wchan"):
            self.assertTrue(sandbox.eventually(waits))
        before = times()
        sandbox.eventually(lambda: False, 1)
        self.assertLessEqual(times() - before, 1)


if __name__ == "__main__":
    unittest.main()
