# SPDX-License-Identifier: MIT
"""`tapferry status`: whose each interface is, who holds it, what holds for it, and what crosses it; as root sees it, and
as an ordinary user does."""
import fcntl
import json
import os
import re
import time
import unittest

import frames
import links
import sandbox
from command_case import need_command
from status_case import NOTE, StatusCase, in_network_namespace, quiet

TUNSETPERSIST = 0x400454CB  # <linux/if_tun.h>
KEYS = ["ifindex", "ifname", "tapferry", "kind", "upper", "uid", "user", "queues", "mac", "mtu", "state", "up", "carrier",
        "since", "rule", "lock", "isolated", "filter", "rate_to", "rate_from", "limits_known", "persist", "holders",
        "holders_known", "received", "sent"]
TRAFFIC_KEYS = ["bytes", "frames", "errors", "dropped", "bytes_per_s", "frames_per_s"]


def documented():
    """The words of tapferry(1)'s list of JSON keys."""
    with open(os.path.join(sandbox.ROOT, "docs/tapferry.1"), encoding="utf-8") as file:
        section = file.read().split(".Ss tapferry status\n")[1].split(".Ss ")[0]
    return re.findall(r"\w+", section.split("The JSON object has the keys")[1])


def setUpModule():
    need_command()


class Facts(StatusCase):
    def test_of_a_tap_on_a_bridge(self):
        before = int(time.time())
        record, process = self.held("bridge=br0")
        one = self.status()[record["ifname"]]
        self.assertEqual(list(one), KEYS)
        self.assertEqual([key for key in KEYS + TRAFFIC_KEYS if key not in documented()], [])
        self.assertEqual(list(one["received"]), TRAFFIC_KEYS)
        alice = self.box.users["alice"].uid
        expected = {"ifindex": record["ifindex"], "tapferry": True, "kind": "bridge", "upper": "br0", "uid": alice,
                    "user": "alice", "queues": 1, "mac": record["mac"], "mtu": 1500, "state": "up", "up": True,
                    "carrier": True, "rule": "policy.conf:1", "lock": False, "isolated": False, "filter": None,
                    "rate_to": None, "rate_from": None, "limits_known": True, "persist": False,
                    "holders": [{"pid": process.pid, "name": "sleep", "uid": alice}], "holders_known": True}
        self.assertEqual({key: one[key] for key in expected}, expected)
        self.assertTrue(before <= one["since"] <= time.time())

    def test_of_a_macvtap(self):
        record, process = self.held("macvtap=v0,queues=3")
        one = self.status()[record["ifname"]]
        self.assertEqual((one["kind"], one["upper"], one["user"], one["queues"], one["mac"]),
                         ("macvtap", "v0", "alice", 3, record["mac"]))
        self.assertEqual([(each["pid"], each["name"]) for each in one["holders"]], [(process.pid, "sleep")])

    def test_queues_of_a_tap(self):
        record, _ = self.held("bridge=br0,queues=4")
        self.assertEqual(self.status()[record["ifname"]]["queues"], 4)

    def test_limits(self):
        mac = "52:54:00:00:00:01"
        locked, _ = self.held(f"bridge=br0,lock=on,guest_mac={mac}")
        others, _ = self.held("bridge=br0,isolated=on,filter=ipv4,arp,rate_to=80mbit")
        macvtap, _ = self.held(f"macvtap=v0,lock=on,guest_mac={mac},filter=ipv4")
        seen = self.status(user="alice")
        self.assertEqual((seen[locked["ifname"]]["lock"], seen[locked["ifname"]]["isolated"]), (True, False))
        one = seen[others["ifname"]]
        self.assertEqual((one["lock"], one["isolated"], one["filter"], one["rate_to"], one["rate_from"]),
                         (False, True, "ipv4,arp", 80000000, None))
        self.assertEqual((seen[macvtap["ifname"]]["lock"], seen[macvtap["ifname"]]["filter"]), (True, "ipv4"))
        table = self.table()
        self.assertRegex(table, rf"(?m)^{locked['ifname']} .*  lock +\d+ sleep$")
        self.assertRegex(table, rf"(?m)^{others['ifname']} .*  isolated,filter,rate +\d+ sleep$")
        text = self.table("--long", others["ifname"])
        self.assertIn("\n  limits      isolated, filter ipv4,arp, rate_to 80mbit\n", text)

    def test_state(self):
        record, _ = self.held("bridge=br0,up=off")
        name = record["ifname"]
        self.assertEqual(self.status()[name]["state"], "down")
        sandbox.ip("link", "set", name, "up")
        self.assertEqual(self.status()[name]["state"], "up")

    def test_persistent_without_a_holder(self):
        got = self.granted("bridge=br0")
        fcntl.ioctl(got.fds[0], TUNSETPERSIST, 1)
        got.close()
        one, = self.status(user="alice").values()
        self.assertEqual((one["persist"], one["state"], one["queues"], one["holders"], one["holders_known"]),
                         (True, "no-carrier", 0, [], True))
        self.assertRegex(self.table(), r"  persist  -\n\Z")

    def test_gone_with_its_holder(self):
        record, process = self.held("bridge=br0")
        process.kill()
        self.assertGone(record["ifname"])
        self.assertEqual(self.status(), {})
        self.assertEqual(self.table(), "there is nothing to show\n")


class Counters(StatusCase):
    """They are the guest's: of a tap the reverse of the host's, of a macvtap the same."""

    def check(self, got, wire, name):
        guest = frames.tap_end(got)
        mac = links.get(got.taps[0].name).mac
        before = self.status()[name]
        for _ in range(5):
            guest.send(frames.make(frames.BROADCAST, mac, frames.IPV4))
        sent = self.status()[name]
        self.assertGreaterEqual(sent["sent"]["frames"], before["sent"]["frames"] + 5)
        self.assertGreaterEqual(sent["sent"]["bytes"], before["sent"]["bytes"] + 5 * 60)
        with frames.packet_end(wire) as end:
            deadline = time.monotonic() + 20
            # Until they have come: on their way is room for some only. A tap counts a frame when the guest reads it.
            while time.monotonic() < deadline and self.status()[name]["received"]["frames"] < 300:
                for _ in range(20):
                    end.send(frames.make(mac, "52:54:00:00:00:77", frames.IPV4))
                while guest.receive() is not None:
                    pass
        after = self.status()[name]
        self.assertGreaterEqual(after["received"]["frames"], 300)
        self.assertLess(after["sent"]["frames"], 300)

    def test_of_a_tap(self):
        got = self.granted("bridge=br0")
        self.check(got, "br0", got.record["ifname"])

    def test_of_a_macvtap(self):
        got = self.granted("macvtap=v0")
        self.check(got, "v1", got.record["ifname"])

    def test_rates_are_of_the_interval(self):
        got = self.granted("bridge=br0")
        done = self.succeeds("status", "--json", "--interval=0.3", user="root")
        snapshot = json.loads(done.stdout)
        self.assertGreaterEqual(snapshot["interval_ms"], 300)
        self.assertEqual(list(snapshot), ["version", "time_ms", "interval_ms", "interfaces"])
        one, = snapshot["interfaces"]
        self.assertEqual((one["ifname"], type(one["sent"]["bytes_per_s"]), type(one["received"]["frames_per_s"])),
                         (got.record["ifname"], int, int))
        without = json.loads(self.succeeds("status", "--json", "--interval=0").stdout)
        self.assertEqual((without["interval_ms"], without["interfaces"][0]["sent"]["bytes_per_s"]), (0, None))


class Holders(StatusCase):
    def test_users_see_their_own_processes(self):
        record, process = self.held("bridge=br0")
        one = self.status(user="alice")[record["ifname"]]
        self.assertEqual((one["holders"][0]["pid"], one["holders_known"]), (process.pid, True))
        self.assertNotIn("note", self.table(user="alice"))

    def test_of_others_they_are_told_that_they_cant_see(self):
        for spec in ("bridge=br0", "macvtap=v0"):
            record, _ = self.held(spec)
            with self.subTest(spec=spec):
                one = self.status(user="bob")[record["ifname"]]
                self.assertEqual((one["user"], one["holders"], one["holders_known"]), ("alice", [], False))
                self.assertRegex(self.table(record["ifname"], user="bob"), rf"  \?\n{re.escape(NOTE)}\Z")
                self.assertIn("nobody that can be seen from here\n", self.table("--long", record["ifname"], user="bob"))

    def test_several_processes(self):
        got = self.granted("bridge=br0")
        with self.box.popen(["sleep", "600"], pass_fds=got.fds) as process:
            holders = self.status()[got.record["ifname"]]["holders"]
            process.kill()
        self.assertEqual(sorted(each["pid"] for each in holders), sorted([os.getpid(), process.pid]))
        self.assertEqual(len(holders), 2)

    def test_name_of_a_process_cant_act_on_the_terminal(self):
        name = f"{sandbox.BASE}/tmp/\x1b[2Jx\ny"
        os.symlink("/usr/bin/sleep", name)
        self.addCleanup(os.unlink, name)
        record, process = self.held("bridge=br0", holder=(name, "600"))
        self.assertTrue(self.table(record["ifname"]).endswith(f"{process.pid} \\x1b[2Jx\\ny\n"))
        self.assertEqual(self.status()[record["ifname"]]["holders"][0]["name"], "\x1b[2Jx\ny")

    def test_a_strangers_tap_of_the_same_name_elsewhere_is_another(self):
        """Names are unique in a network namespace only."""
        name = self.foreign_tap("tap0")
        script = ("import fcntl, os, struct, time; fd = os.open('/dev/net/tun', os.O_RDWR);"
                  "fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'tap0', 0x1002)); print(flush=True); time.sleep(600)")
        stranger = self.box.popen(["unshare", "--net", "/usr/bin/python3", "-c", script], "root", stdout=-1)
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        self.addCleanup(stranger.stdout.close)
        self.assertTrue(in_network_namespace(stranger))
        stranger.stdout.readline()
        self.assertEqual(self.status(name)[name]["holders"], [])

    def test_holder_in_another_namespace_is_found_when_it_is_the_owners(self):
        got = self.granted("bridge=br0")
        holder = self.box.popen(["unshare", "--user", "--net", "sleep", "600"], pass_fds=got.fds)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        name = got.record["ifname"]
        got.close()
        if not in_network_namespace(holder):
            self.skipTest("kernel: user namespaces are off")
        self.assertEqual([each["pid"] for each in self.status(name)[name]["holders"]], [holder.pid])


class Selection(StatusCase):
    def test_names(self):
        first, _ = self.held("bridge=br0")
        self.held("bridge=br0")
        self.assertEqual(list(self.status(first["ifname"])), [first["ifname"]])

    def test_others_taps_are_shown_on_demand(self):
        record, _ = self.held("bridge=br0")
        name = self.foreign_tap()
        self.assertEqual(list(self.status()), [record["ifname"]])
        for seen in (self.status("--all"), self.status(name)):
            one = seen[name]
            self.assertEqual((one["tapferry"], one["kind"], one["user"], one["since"], one["rule"], one["queues"]),
                             (False, "tap", "alice", None, None, 0))
        self.assertIn("kind        tap, not made by tapferry\n", self.table("--long", name))

    def test_what_isnt_there_or_is_no_tap_is_an_error(self):
        self.fails("status", "nothing0", says="find interface nothing0: No such device")
        self.fails("status", "br0", says="show br0: it is neither a tap nor a macvtap; tapferry link show has the others")
        sandbox.ip("tuntap", "add", "tun0", "mode", "tun")
        self.fails("status", "tun0", says="neither a tap nor a macvtap")

    def test_wrong_options(self):
        for wrong, says in ((["--interval=x"], "not a number of seconds"), (["--interval=3601"], "from 0 to 3600"),
                            (["--json", "--long"], "exclude each other"), (["--nothing"], "Unknown option"),
                            (["--prometheus", "--interval=1"], "takes no --interval")):
            with self.subTest(wrong=wrong):
                self.fails("status", *wrong, status=2, says=says)


class Table(StatusCase):
    def test_fits_80_and_120_columns_and_says_what_it_leaves_out(self):
        self.held("bridge=br0,queues=8")
        self.held("macvtap=v0")
        for columns in (80, 100, 120):
            with self.subTest(columns=columns):
                lines = self.table(columns=columns).splitlines()
                self.assertLessEqual(max(map(len, lines)), columns)
                self.assertRegex(lines[-1], r"\Anote: no room for [\w/, ]+; --long has it\Z")
        self.assertNotIn("note", self.table())

    def test_cuts_no_name(self):
        quiet(["ip", "link", "set", "br0", "down", "name", "bridge-of-15-by"])
        self.box.policy("allow bridge=bridge-of-15-by name=*")
        self.held("bridge=bridge-of-15-by,name=tap-of-15-bytes")
        table = self.table(columns=80)
        self.assertIn("tap-of-15-bytes", table)
        self.assertIn("bridge-of-15-by", table)

    def test_full_disk_is_an_error(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.tapferry("status", "--interval=0", stdout=full)
        self.assertEqual((done.returncode, done.stderr), (1, "tapferry: write stdout: No space left on device\n"))


if __name__ == "__main__":
    unittest.main()
