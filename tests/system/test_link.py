# SPDX-License-Identifier: MIT
"""`tapferry link show`: what netdevice(7) reads is what ip(8) and /proc/net show, for everybody."""
import json
import os
import re
import socket
import subprocess
import unittest

import sandbox
from command_case import CommandCase, need_command

# What ip(8) writes beside the kernel's flags, and what it leaves out.
NOT_THE_KERNELS = {"NO-CARRIER", "M-DOWN"}
COUNTERS = {"received": ["bytes", "packets", "errors", "dropped", "fifo", "frame", "compressed", "multicast"],
            "sent": ["bytes", "packets", "errors", "dropped", "fifo", "collisions", "carrier", "compressed"]}


def setUpModule():
    need_command()


def ip_json(*words):
    return json.loads(sandbox.ip("-j", *words) or "[]")


def proc_net_dev():
    """name -> the sixteen numbers."""
    with open("/proc/thread-self/net/dev", encoding="ascii") as file:
        lines = file.read().splitlines()[2:]
    return {line.split(":")[0].strip(): [int(word) for word in line.split(":")[1].split()] for line in lines}


class ShowCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")

    def links(self, *names, user="alice"):
        """name -> what show --json says."""
        done = self.succeeds("link", "show", "--json", *names, user=user)
        self.assertEqual(done.stdout.count("\n"), 1)
        said = json.loads(done.stdout)
        self.assertEqual(said["version"], 1)
        return {link["ifname"]: link for link in said["links"]}

    def one(self, name):
        return self.links(name)[name]


class EqualsIp(ShowCase):
    def setUp(self):
        super().setUp()
        sandbox.ip("tuntap", "add", "dev", "t0", "mode", "tap")
        sandbox.ip("tuntap", "add", "dev", "t1", "mode", "tun")
        sandbox.ip("link", "set", "v1", "mtu", "1400", "txqueuelen", "77", "promisc", "on", "allmulticast", "on", "arp", "off")
        sandbox.ip("link", "set", "v0", "down")
        sandbox.ip("link", "set", "t0", "dynamic", "on", "multicast", "off")
        self.addCleanup(sandbox.ip, "link", "del", "t0")
        self.addCleanup(sandbox.ip, "link", "del", "t1")

    def test_every_interface_in_every_property(self):
        ours = self.links()
        theirs = {link["ifname"]: link for link in ip_json("-d", "link", "show")}
        self.assertLessEqual({"lo", "br0", "v0", "v1", "t0", "t1"}, set(theirs))
        self.assertEqual(list(ours), [name for name in proc_net_dev()])
        self.assertEqual(set(ours), set(theirs))
        for name, link in theirs.items():
            with self.subTest(name=name):
                got = ours[name]
                self.assertEqual((got["ifindex"], got["mtu"], got["txqueuelen"], got["metric"]),
                                 (link["ifindex"], link["mtu"], link["txqlen"], 0))
                self.assertEqual((got["address"], got["broadcast"]), (link.get("address"), link.get("broadcast")))
                self.assertEqual(got["type"], {"ether": 1, "loopback": 772, "none": 65534}[link["link_type"]])
                self.assertEqual({flag.upper() for flag in got["flags"]} - {"RUNNING"},
                                 set(link["flags"]) - NOT_THE_KERNELS)
                if "UP" in link["flags"]:
                    self.assertEqual("running" in got["flags"], "NO-CARRIER" not in link["flags"])
                self.assertEqual(set(got["map"].values()), {0})
                self.assertIsNone(got["private_flags"], "Linux has none")

    def test_flags_have_been_of_every_kind(self):
        """So that the comparison above means something."""
        seen = {flag for link in self.links().values() for flag in link["flags"]}
        self.assertLessEqual({"up", "broadcast", "loopback", "pointopoint", "running", "noarp", "promisc", "allmulti",
                              "multicast", "dynamic", "lower_up"}, seen)

    def test_addresses(self):
        for words in (["192.0.2.1/24", "dev", "v0"], ["192.0.2.2/24", "brd", "+", "dev", "v0"],
                      ["198.51.100.1", "peer", "198.51.100.9/32", "dev", "v0"],
                      ["203.0.113.1/28", "dev", "v0", "label", "v0:vm"], ["203.0.113.17/32", "dev", "lo"],
                      ["2001:db8::1/64", "dev", "v1", "nodad"], ["fec0::1/10", "dev", "v1", "nodad"]):
            sandbox.ip("addr", "add", *words)
        ours = self.links()
        for link in ip_json("addr", "show"):
            theirs = {"inet": set(), "inet6": set()}
            for address in link["addr_info"]:
                local, peer = address["local"], address.get("address")
                label = address.get("label")
                theirs[address["family"]].add((local, peer, address["prefixlen"], address.get("broadcast"), label))
            got = ours[link["ifname"]]
            with self.subTest(name=link["ifname"]):
                self.assertEqual({(a["address"], a["peer"], a["prefix_len"], a["broadcast"], a["label"])
                                  for a in got["ipv4"]}, theirs["inet"])
                self.assertEqual({(a["address"], None, a["prefix_len"], None, None) for a in got["ipv6"]},
                                 theirs["inet6"])
        self.assertEqual({a["address"]: a["scope"] for a in ours["v1"]["ipv6"]}["fec0::1"], "site")

    def test_multicast_addresses(self):
        sandbox.ip("maddr", "add", "01:00:5e:01:02:03", "dev", "v1")
        ours = self.links()
        for link in ip_json("maddr", "show"):
            theirs = {(entry["link"], entry.get("users", 1)) for entry in link["maddr"] if "link" in entry}
            got = {(entry["address"], entry["users"]) for entry in ours[link["ifname"]]["multicast"]}
            with self.subTest(name=link["ifname"]):
                self.assertEqual(got, theirs)
        self.assertEqual({entry["address"] for entry in ours["v1"]["multicast"] if entry["added"]}, {"01:00:5e:01:02:03"})

    def test_counters(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(7):
                sock.sendto(b"x" * 100, ("127.0.0.1", 9))
        ours, proc = self.links(), proc_net_dev()
        self.assertGreaterEqual(ours["lo"]["received"]["packets"], 7)
        for name, numbers in proc.items():
            got = [ours[name][way][column] for way, columns in COUNTERS.items() for column in columns]
            if "up" not in ours[name]["flags"] or name == "lo":  # those that are up may send meanwhile
                self.assertEqual(got, numbers, name)
        theirs = ip_json("-s", "link", "show", "lo")[0]["stats64"]
        for way, key in (("received", "rx"), ("sent", "tx")):
            self.assertEqual((ours["lo"][way]["bytes"], ours["lo"][way]["packets"]),
                             (theirs[key]["bytes"], theirs[key]["packets"]))


class AddressList(ShowCase):
    def test_grows_as_long_as_the_buffer_comes_back_full(self):
        """lo has one already, the first buffer holds 32; the kernel says nothing of those that don't fit."""
        done = 0
        for count in (30, 31, 32, 33, 63, 64, 500):
            lines = "".join(f"addr add 10.{n // 250}.{n % 250}.1/32 dev v0\n" for n in range(done, count))
            subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
            done = count
            with self.subTest(count=count):
                theirs = [entry["local"] for entry in ip_json("-4", "addr", "show", "v0")[0]["addr_info"]]
                self.assertEqual(len(theirs), count)
                self.assertEqual([entry["address"] for entry in self.one("v0")["ipv4"]], theirs)

    def test_addresses_of_other_interfaces_are_not_mixed_in(self):
        sandbox.ip("addr", "add", "192.0.2.1/24", "dev", "v0")
        sandbox.ip("link", "add", "v00", "type", "veth", "peer", "name", "v01")
        sandbox.ip("addr", "add", "192.0.2.2/24", "dev", "v00")
        self.assertEqual([a["address"] for a in self.one("v0")["ipv4"]], ["192.0.2.1"])
        self.assertEqual([a["address"] for a in self.one("v00")["ipv4"]], ["192.0.2.2"])


class Names(ShowCase):
    def test_index_gives_the_name_and_name_the_index(self):
        index = socket.if_nametoindex("v0")
        self.assertEqual(self.links(str(index))["v0"]["ifindex"], index)

    def test_a_name_goes_before_an_index(self):
        number = str(socket.if_nametoindex("v0"))
        sandbox.ip("link", "add", number, "type", "veth", "peer", "name", "other")
        self.assertEqual(list(self.links(number)), [number])

    def test_an_altname_is_found_and_the_own_name_is_shown(self):
        sandbox.ip("link", "property", "add", "dev", "v0", "altname", "other")
        self.assertEqual(list(self.links("other")), ["v0"])

    def test_order_is_as_asked(self):
        self.assertEqual(list(self.links("v1", "lo", "br0")), ["v1", "lo", "br0"])

    def test_options_may_stand_behind_names(self):
        self.assertEqual(json.loads(self.succeeds("link", "show", "lo", "--json").stdout)["links"][0]["ifname"], "lo")

    def test_an_interface_may_be_called_like_an_option(self):
        sandbox.ip("link", "add", "name", "--json", "type", "bridge")
        self.addCleanup(sandbox.ip, "link", "del", "dev", "--json")
        self.assertTrue(self.succeeds("link", "show", "--", "--json").stdout.splitlines()[0].endswith(": --json"))

    def test_unknown_ones_are_an_error(self):
        for name in ("nosuch", "x" * 16, "x" * 5000, "", "999999", "0", "-1", "4294967297", "v0 ", "v0/x", ".."):
            with self.subTest(name=name):
                self.fails("link", "show", "--", name, says="No such device")

    def test_a_name_is_not_cut_to_another(self):
        long = "a234567890abcde"
        sandbox.ip("link", "add", long, "type", "bridge")
        self.assertEqual(list(self.links(long)), [long])
        self.fails("link", "show", long + "f", says="No such device")
        sandbox.ip("addr", "add", "192.0.2.1/24", "dev", "v0", "label", "v0:1")
        self.assertEqual(self.tapferry("link", "show", "v0:1").stderr,
                         "tapferry: find interface v0:1: Invalid argument\n")

    def test_one_unknown_among_others_prints_nothing(self):
        self.assertEqual(self.fails("link", "show", "lo", "nosuch", says="nosuch").stdout, "")

    def test_control_characters_of_a_name_are_escaped(self):
        name = "x\x1b[31m"
        sandbox.ip("link", "add", "name", name, "type", "bridge")
        try:
            self.assertIn("x\\x1b[31m", self.succeeds("link", "show").stdout)
            self.assertIn(name, self.links())
        finally:  # ip -j of the next test would print it as it is
            sandbox.ip("link", "del", name)


class Readable(ShowCase):
    def test_has_what_json_has(self):
        sandbox.ip("addr", "add", "192.0.2.1/24", "peer", "192.0.2.2", "dev", "v0")
        sandbox.ip("addr", "add", "2001:db8::1/64", "dev", "v0", "nodad")
        sandbox.ip("maddr", "add", "01:00:5e:01:02:03", "dev", "v0")
        link = self.one("v0")
        lines = [line.split(None, 1) for line in self.succeeds("link", "show", "v0").stdout.splitlines()]
        self.assertEqual(lines[0], [f"{link['ifindex']}:", "v0"])
        text = {}
        for key, value in lines[1:]:
            text.setdefault(key, []).append(value)
        self.assertEqual(text["flags"], [" ".join(link["flags"])])
        self.assertEqual((text["mtu"], text["metric"], text["txqueuelen"]), (["1500"], ["0"], ["1000"]))
        self.assertEqual((text["type"], text["address"], text["broadcast"]),
                         (["ether"], [link["address"]], [link["broadcast"]]))
        self.assertEqual(text["inet"], ["192.0.2.1/32 peer 192.0.2.2"])
        self.assertIn("2001:db8::1/64 global", text["inet6"])
        self.assertIn("01:00:5e:01:02:03, 1 user, added", text["multicast"])
        self.assertRegex(text["received"][0], r"\A\d+ bytes \d+ packets")
        self.assertRegex(text["sent"][0], r"\A\d+ bytes \d+ packets")

    def test_all_of_them_without_a_name(self):
        heads = [line for line in self.succeeds("link", "show").stdout.splitlines() if not line.startswith(" ")]
        self.assertEqual([head.split(": ")[1] for head in heads], list(proc_net_dev()))

    def test_an_interface_without_hardware_address(self):
        sandbox.ip("tuntap", "add", "dev", "t1", "mode", "tun")
        self.addCleanup(sandbox.ip, "link", "del", "t1")
        text = self.succeeds("link", "show", "t1").stdout
        self.assertIn("  type        none\n", text)
        self.assertNotIn("address", text)


class Manual(ShowCase):
    def test_names_every_key_of_the_json_and_no_other(self):
        sandbox.ip("addr", "add", "192.0.2.1/24", "dev", "v0")
        sandbox.ip("addr", "add", "2001:db8::1/64", "dev", "v0", "nodad")
        link = self.one("v0")
        with open(f"{sandbox.ROOT}/docs/tapferry.1", encoding="ascii") as file:
            said = re.search(r"^Each of its elements has the keys (.*?)^What an interface", file.read(), re.M | re.S)[1]
        said = re.sub(r"(?m)^\.Pq ", "", said).replace("a number, ARPHRD_*", "")
        keys = []
        for key, value in link.items():
            inner = value[0] if isinstance(value, list) and value else value
            keys += [key, *(inner if isinstance(inner, dict) else [])]
        self.assertEqual([word for word in re.findall(r"\w+", said) if word != "and"], keys)


class Usage(ShowCase):
    def test_help_says_what_there_is(self):
        for words in (["link", "--help"], ["help", "link"], ["link", "show", "--help"], ["link", "set", "--help"]):
            self.assertIn("tapferry link set", self.succeeds(*words).stdout + "tapferry link set" * ("show" in words))
        self.assertIn("--json", self.succeeds("link", "show", "-h").stdout)

    def test_wrong_command_lines(self):
        for words, says in (([], "show or set"), (["list"], "neither show nor set"), (["--json"], "Unknown option"),
                            (["show", "--yaml"], "Unknown option"), (["set", "--json", "v0", "up"], "Unknown option")):
            with self.subTest(words=words):
                self.fails("link", *words, status=2, says=says)

    def test_a_host_without_proc_is_told(self):
        """In a mount namespace whose /proc is empty."""
        script = 'mount -t tmpfs none /proc && exec "$0" link show lo'
        done = self.box.run(["unshare", "-m", "sh", "-c", script, self.command], "root")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("/net/", done.stderr)

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_output_that_can_not_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = self.box.run([self.command, "link", "show"], stdout=full)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
