# SPDX-License-Identifier: MIT
"""`tapferry link set`: each write of netdevice(7) is seen by ip(8), all of a series or none, and refusals say why."""
import json
import re
import unittest

import sandbox
from command_case import CommandCase, need_command


def setUpModule():
    need_command()


class SetCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        sandbox.ip("link", "set", "v0", "down")

    def set(self, *words, user="root"):
        done = self.succeeds("link", "set", *words, user=user)
        self.assertEqual(done.stdout, "")

    def refused(self, *words, says="", status=1, user="root", name="v0"):
        """Nothing has changed afterwards."""
        before = self.state()
        done = self.fails("link", "set", name, *words, status=status, says=says, user=user)
        self.assertEqual(self.state(), before)
        return done.stderr

    def link(self, name="v0"):
        return json.loads(sandbox.ip("-j", "-d", "link", "show", name))[0]

    def addresses(self, family="inet", name="v0"):
        entries = json.loads(sandbox.ip("-j", "addr", "show", name))[0]["addr_info"]
        return [entry for entry in entries if entry["family"] == family]

    def multicast(self, name="v0"):
        """Those that somebody added, not the kernel for its own protocols."""
        with open("/proc/net/dev_mcast", encoding="ascii") as file:
            entries = [line.split() for line in file]
        return {":".join(re.findall("..", entry[4])) for entry in entries if entry[1] == name and entry[3] == "1"}

    def state(self):
        """Names, properties and addresses of all interfaces, without what time changes."""
        links = json.loads(sandbox.ip("-j", "-d", "addr", "show"))
        for link in links:
            link.pop("operstate", None)
            link.pop("linkinfo", None)
            link["flags"] = sorted(set(link["flags"]) - {"NO-CARRIER", "LOWER_UP", "M-DOWN"})
            link["addr_info"] = [{key: value for key, value in address.items() if key not in ("tentative", "nodad")}
                                 for address in link["addr_info"] if address.get("scope") != "link"]
        return links, {link["ifname"]: self.multicast(link["ifname"]) for link in links}


class Writes(SetCase):
    def test_up_and_down(self):
        self.set("v0", "up")
        self.assertIn("UP", self.link()["flags"])
        self.set("v0", "down")
        self.assertNotIn("UP", self.link()["flags"])

    def test_every_flag_that_can_be_changed(self):
        for flag in ("debug", "notrailers", "noarp", "promisc", "allmulti", "multicast", "portsel", "automedia",
                     "dynamic"):
            for word, has in (("on", True), ("on", True), ("off", False), ("on", True)):
                self.set("v0", flag, word)
                self.assertEqual(flag.upper() in self.link()["flags"], has, f"{flag} {word}")
        self.set("v0", "arp", "on", "debug", "off")
        self.assertTrue({"NOARP", "DEBUG"}.isdisjoint(self.link()["flags"]))
        self.assertIn("DYNAMIC", self.link()["flags"], "one flag leaves the others alone")

    def test_numbers(self):
        self.set("v0", "mtu", "1400", "txqueuelen", "77")
        self.assertEqual((self.link()["mtu"], self.link()["txqlen"]), (1400, 77))
        self.set("v0", "mtu", "68", "txqueuelen", "0")
        self.assertEqual(self.link()["mtu"], 68)
        self.assertEqual(json.loads(self.succeeds("link", "show", "-j", "v0").stdout)["links"][0]["txqueuelen"], 0)

    def test_hardware_addresses(self):
        self.set("v0", "address", "52:54:00:AB:cd:ef", "broadcast", "ff:ff:ff:ff:ff:00")
        self.assertEqual((self.link()["address"], self.link()["broadcast"]), ("52:54:00:ab:cd:ef", "ff:ff:ff:ff:ff:00"))
        self.assertEqual(json.loads(self.succeeds("link", "show", "-j", "v0").stdout)["links"][0]["broadcast"],
                         "ff:ff:ff:ff:ff:00")

    def test_multicast_addresses(self):
        self.set("v0", "multicast", "add", "33:33:00:00:00:99", "multicast", "add", "01:00:5e:00:00:99")
        listed = {entry.get("link") for entry in json.loads(sandbox.ip("-j", "maddr", "show", "v0"))[0]["maddr"]}
        self.assertLessEqual({"33:33:00:00:00:99", "01:00:5e:00:00:99"}, listed)
        self.assertEqual(self.multicast(), {"33:33:00:00:00:99", "01:00:5e:00:00:99"})
        self.set("v0", "multicast", "delete", "33:33:00:00:00:99")
        self.assertEqual(self.multicast(), {"01:00:5e:00:00:99"})

    def test_rename(self):
        index = self.link()["ifindex"]
        self.set("v0", "name", "fresh0")
        self.assertEqual(self.link("fresh0")["ifindex"], index)
        self.set("fresh0", "name", "fresh0")
        self.set("fresh0", "name", "x%d")
        self.assertEqual(self.link("x0")["ifindex"], index)

    def test_what_follows_a_rename_is_done_to_the_same_interface(self):
        self.set("v0", "up")
        self.set("v0", "down", "name", "fresh0", "mtu", "1300", "up")
        link = self.link("fresh0")
        self.assertEqual((link["mtu"], "UP" in link["flags"]), (1300, True))

    def test_by_index_and_altname(self):
        sandbox.ip("link", "property", "add", "dev", "v0", "altname", "other")
        self.set(str(self.link()["ifindex"]), "mtu", "1300")
        self.set("other", "txqueuelen", "5")
        self.assertEqual((self.link()["mtu"], self.link()["txqlen"]), (1300, 5))

    def test_an_interface_may_be_called_like_an_option_or_a_change(self):
        for name in ("-x", "up"):
            sandbox.ip("link", "add", "name", name, "type", "bridge")
            self.addCleanup(sandbox.ip, "link", "del", "dev", name)
            self.set(*(["--"] if name == "-x" else []), name, "up")
            self.assertIn("UP", self.link(name)["flags"])


class Addresses(SetCase):
    def only(self):
        self.assertEqual(len(self.addresses()), 1)
        address = self.addresses()[0]
        return address["local"], address["prefixlen"], address.get("broadcast"), address.get("address")

    def test_ipv4(self):
        self.set("v0", "inet", "192.0.2.1/25")
        self.assertEqual(self.only(), ("192.0.2.1", 25, "192.0.2.127", None))
        self.set("v0", "netmask", "255.255.255.0", "brdaddr", "192.0.2.77")
        self.assertEqual(self.only(), ("192.0.2.1", 24, "192.0.2.77", None))
        self.set("v0", "inet", "10.1.2.3", "dstaddr", "10.1.2.9")
        self.assertEqual(self.only(), ("10.1.2.3", 8, "10.255.255.255", "10.1.2.9"), "the mask is that of the class")
        self.set("v0", "inet", "none")
        self.assertEqual(self.addresses(), [])

    def test_ipv6(self):
        self.set("v0", "inet6", "add", "2001:db8::1/64", "inet6", "add", "2001:db8::2/48")
        self.assertEqual({(a["local"], a["prefixlen"]) for a in self.addresses("inet6")},
                         {("2001:db8::1", 64), ("2001:db8::2", 48)})
        self.set("v0", "inet6", "delete", "2001:db8::1/64")
        self.assertEqual([a["local"] for a in self.addresses("inet6")], ["2001:db8::2"])
        self.refused("inet6", "add", "2001:db8::2/48", says="File exists")
        self.refused("inet6", "delete", "2001:db8::3/48", says="Cannot assign requested address")

    def test_where_there_are_several_ipv4_addresses_none_is_touched(self):
        """The ioctls mean the first, and the kernel would drop the others of its network along with it."""
        sandbox.ip("addr", "add", "192.0.2.1/24", "dev", "v0")
        sandbox.ip("addr", "add", "192.0.2.2/24", "dev", "v0", "label", "v0:2")
        for words in (["inet", "192.0.2.9"], ["inet", "none"], ["netmask", "255.0.0.0"], ["brdaddr", "192.0.2.3"]):
            self.refused(*words, says="it has 2 of them; ip-address(8) can name one")

    def test_parts_of_an_address_that_is_not_there(self):
        for words in (["netmask", "255.0.0.0"], ["brdaddr", "192.0.2.3"], ["dstaddr", "192.0.2.3"],
                      ["inet", "192.0.2.1", "inet6", "add", "2001:db8::1/64", "netmask", "255.0.0.0", "mtu", "1"]):
            self.refused(*words, says="it has none" if len(words) == 2 else "at least 68")


class Refusals(SetCase):
    def test_without_the_capability_it_is_named(self):
        for words in (["up"], ["promisc", "on"], ["mtu", "1400"], ["txqueuelen", "5"], ["name", "fresh0"],
                      ["address", "52:54:00:00:00:01"], ["broadcast", "ff:ff:ff:ff:ff:00"], ["map", "irq=5"],
                      ["multicast", "add", "33:33:00:00:00:99"], ["multicast", "delete", "33:33:00:00:00:99"],
                      ["metric", "3"], ["inet", "192.0.2.1/24"], ["inet6", "add", "2001:db8::1/64"],
                      ["inet6", "delete", "2001:db8::1/64"], ["mtu", "1400", "up"]):
            with self.subTest(words=words):
                said = self.refused(*words, user="alice", says="Operation not permitted")
                self.assertIn("; needs CAP_NET_ADMIN over this network namespace", said)
                self.assertNotIn("undone", said)
        sandbox.ip("addr", "add", "192.0.2.1/24", "dev", "v0")
        for words in (["netmask", "255.0.0.0"], ["brdaddr", "192.0.2.3"], ["dstaddr", "192.0.2.3"], ["inet", "none"]):
            with self.subTest(words=words):
                self.refused(*words, user="alice", says="needs CAP_NET_ADMIN")

    def test_rename_while_up_whatever_the_kernel_would_do(self):
        sandbox.ip("link", "set", "v0", "up")
        for words in (["name", "fresh0"], ["mtu", "1300", "name", "fresh0"], ["down", "up", "name", "fresh0"],
                      ["name", "v1"]):
            with self.subTest(words=words):
                self.refused(*words, says="rename v0 to ")
                self.refused(*words, says="Device or resource busy (the interface is up); put down before name")
        sandbox.ip("link", "set", "v0", "down")
        self.refused("up", "name", "fresh0", says="the interface is up")

    def test_rename_to_a_name_that_is_taken(self):
        self.refused("name", "v1", says="File exists")
        sandbox.ip("link", "property", "add", "dev", "v1", "altname", "other")
        self.refused("name", "other", says="File exists")

    def test_unknown_interfaces(self):
        for name in ("nosuch", "x" * 16, "999999", "v0/x", ""):
            self.refused("up", name=name, says="No such device")
        self.assertEqual(self.tapferry("link", "set", "v0:1", "up", user="root").stderr,
                         "tapferry: find interface v0:1: Invalid argument\n", "the kernel would take v0")
        self.assertNotIn("UP", self.link()["flags"])

    def test_words_that_are_wrong_are_usage_errors(self):
        for words, says in (
                ([], "nothing is to be changed"), (["upp"], "`upp' is nothing that can be set"), (["mtu"], "wants a number"),
                (["mtu", "abc"], "not `abc'"), (["mtu", "-1"], "not `-1'"), (["mtu", "0x400"], "wants"),
                (["mtu", "2147483648"], "wants"), (["mtu", "1400", "mtu", "1500"], "`mtu' is given twice"),
                (["txqueuelen", "4294967296"], "wants"), (["running", "on"], "the kernel's own"),
                (["loopback", "off"], "the kernel's own"), (["lower_up", "on"], "the kernel's own"),
                (["promisc"], "on or off"), (["promisc", "yes"], "on or off"), (["promisc", "on", "promisc", "on"], "twice"),
                (["address", "52:54:00:00:00"], "six bytes"), (["address", "52:54:00:00:00:0g"], "six bytes"),
                (["address", "01:54:00:00:00:01"], "multicast or zero"), (["address", "00:00:00:00:00:00"], "or zero"),
                (["broadcast", "on"], "six bytes"), (["multicast", "maybe"], "on, off, add or delete"),
                (["multicast", "add"], "a hardware address"), (["multicast", "add", "52:54:00:00:00:01"], "first byte is odd"),
                (["name"], "a name"), (["name", ""], "1 to 15 bytes"), (["name", "x" * 16], "1 to 15 bytes"),
                (["name", "a/b"], "1 to 15"), (["name", ".."], "1 to 15"), (["name", "a b"], "1 to 15"),
                (["name", "a:b"], "1 to 15"), (["map", "irq"], "mem_start="), (["map", "irq=256"], "up to 255"),
                (["map", "irq=1,irq=2"], "twice"), (["map", ""], "mem_start="), (["private-flags", "65536"], "65535"),
                (["inet", "192.0.2"], "an IPv4 address"), (["inet", "192.0.2.1/33"], "1 to 32"), (["inet", "192.0.2.1/"], "1 to 32"),
                (["inet", "0.0.0.0"], "none"), (["netmask", "255.0.255.0"], "ones are all in front"),
                (["inet6", "2001:db8::1/64"], "add or delete"), (["inet6", "add", "2001:db8::1"], "/LENGTH"),
                (["inet6", "add", "2001:db8::1/129"], "up to 128"), (["inet6", "add", "192.0.2.1/24"], "IPv6"),
                (["up", "--json"], "nothing that can be set"), (["up", "x\nterm\x1b[0m"], "\\n")):
            with self.subTest(words=words):
                self.refused(*words, status=2, says=says)

    def test_values_that_this_interface_does_not_take(self):
        sandbox.ip("tuntap", "add", "dev", "t1", "mode", "tun")
        self.addCleanup(sandbox.ip, "link", "del", "t1")
        self.refused("mtu", "65536", says="at most 65535")
        self.refused("mtu", "67", says="at least 68")
        for words in (["address", "52:54:00:00:00:01"], ["broadcast", "52:54:00:00:00:01"],
                      ["multicast", "add", "33:33:00:00:00:01"]):
            self.refused(*words, name="t1", says="its addresses have 0 bytes, not six")
        self.refused("multicast", "add", "33:33:00:00:00:01", name="lo", says="Invalid argument")
        self.refused("multicast", "delete", "33:33:00:00:00:01", says="No such file or directory")

    def test_what_no_linux_has_says_so(self):
        self.refused("metric", "3", says="Linux has metrics of routes, not of interfaces")
        self.refused("private-flags", "1", says="Linux has no private flags")
        self.refused("map", "irq=5", says="this interface's driver takes none")


SERIES = ["mtu", "1400", "txqueuelen", "77", "promisc", "on", "noarp", "on", "address", "52:54:00:00:00:01", "broadcast",
          "ff:ff:ff:ff:ff:00", "multicast", "add", "33:33:00:00:00:99", "inet", "192.0.2.1/25", "brdaddr", "192.0.2.9",
          "inet6", "add", "2001:db8::1/64", "name", "fresh0", "multicast", "off", "up"]


class Undo(SetCase):
    """metric fails always, and only when its turn comes."""

    def test_a_series_that_works(self):
        self.set("v0", *SERIES)
        self.assertEqual((self.link("fresh0")["mtu"], self.multicast("fresh0")), (1400, {"33:33:00:00:00:99"}))

    def test_all_that_came_before_is_undone(self):
        said = self.refused(*SERIES, "metric", "1", says="set the metric of fresh0 to 1: Operation not supported; ")
        self.assertIn("; the changes before it were undone\n", said)

    def test_an_address_comes_back_with_all_that_belongs_to_it(self):
        sandbox.ip("addr", "add", "192.0.2.1", "peer", "192.0.2.64/26", "brd", "192.0.2.77", "dev", "v0")
        for words in (["inet", "10.0.0.1/8"], ["inet", "none"], ["netmask", "255.255.0.0"], ["dstaddr", "192.0.2.3"],
                      ["inet", "10.0.0.1/8", "brdaddr", "10.0.0.2", "inet", "none"][:4]):
            with self.subTest(words=words):
                said = self.refused(*words, "metric", "1", says="were undone, but not what the kernel dropped meanwhile: ")
                self.assertIn("its routes, and scope and lifetime of its IPv4 address", said)

    def test_what_the_kernel_drops_with_down_is_named(self):
        sandbox.ip("link", "set", "v0", "up")
        self.set("v0", "inet6", "add", "2001:db8::1/64", "inet6", "add", "fec0::1/10", "inet", "192.0.2.1/24")
        learned = "dropped meanwhile: its routes and the IPv6 addresses that it has learned"
        self.refused("down", "metric", "1", says=learned)
        self.refused("mtu", "1279", "metric", "1", says=learned)
        self.assertNotIn("dropped", self.refused("mtu", "1280", "up", "metric", "1"))

    def test_ipv6_addresses_of_an_interface_that_was_down_come_back(self):
        self.set("v0", "inet6", "add", "2001:db8::1/64")
        self.refused("up", "inet6", "add", "2001:db8::2/64", "metric", "1", says="undone")
        self.refused("down", "metric", "1", says="undone")

    def test_a_multicast_address_of_somebody_else_stays(self):
        self.set("v0", "multicast", "add", "33:33:00:00:00:99")
        self.refused("multicast", "add", "33:33:00:00:00:99", "metric", "1", says="undone")
        self.assertEqual(self.multicast(), {"33:33:00:00:00:99"})
        self.refused("multicast", "delete", "33:33:00:00:00:99", "metric", "1", says="undone")
        self.assertEqual(self.multicast(), {"33:33:00:00:00:99"})

    def test_ipv6_addresses_come_back(self):
        self.set("v0", "inet6", "add", "2001:db8::1/64")
        self.refused("inet6", "delete", "2001:db8::1/64", "metric", "1", says="the IPv6 address's lifetime")

    def test_renaming_there_and_up_is_undone_in_turn(self):
        sandbox.ip("link", "set", "v0", "up")
        self.refused("down", "name", "fresh0", "address", "52:54:00:00:00:01", "up", "metric", "1", says="undone")

    def test_nothing_is_begun_where_the_check_finds_something(self):
        said = self.refused("mtu", "1400", "name", "v1", says="File exists")
        self.assertNotIn("undone", said)


if __name__ == "__main__":
    unittest.main()
