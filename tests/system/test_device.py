# SPDX-License-Identifier: MIT
"""device=WHICH: a macvtap that exists, by path, name or index; which it is, who may have it, and what becomes of it."""
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import socket
import stat
import subprocess
import time
import unittest

import links
import processes
import sandbox
from command_case import CommandCase, need_command as setUpModule  # noqa: F401

SIOCGIFHWADDR = 0x8927  # linux/sockios.h
CLONE_NEWNET = 0x40000000  # linux/sched.h
INDEX = 7001  # more than any test here counts up to
NODE = f"/dev/tap{INDEX}"
WAYS = (NODE, "mv0", str(INDEX), f"tap{INDEX}")
ABSENT = "access denied by acl file"


def ip(*words):
    return sandbox.ip(*words)


def number_of(name):
    """dev_t of a macvtap's character device."""
    link = links.get(name)
    with open(f"/sys/class/net/{name}/tap{link.index}/dev", encoding="ascii") as file:
        return os.makedev(*map(int, file.read().split(":")))


def mac_behind(fd):
    """The MAC address of the macvtap whose queue FD is."""
    request = bytearray(40)
    fcntl.ioctl(fd, SIOCGIFHWADDR, request)
    return request[18:24].hex(":")


@contextlib.contextmanager
def in_namespace(name):
    """This thread, and what it starts, is in the network namespace that `ip netns` calls NAME."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", encoding="ascii") as home, \
            open(f"/run/netns/{name}", encoding="ascii") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns", name)
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def own_sysfs():
    """/sys shows the network namespace that this thread is in."""
    sandbox.mount("sysfs", "/sys", "sysfs")
    try:
        yield
    finally:
        sandbox.umount("/sys")


class DeviceCase(CommandCase):
    """The administrator's macvtap mv0 on v0: down, index INDEX, its node as the kernel makes it, root's alone."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.macvtap("mv0", INDEX)
        self.node(NODE, "mv0")
        self.box.policy("allow device=mv0 queues=64")

    def tearDown(self):
        self.doCleanups()
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")), processes.named("tapferry-"))
        self.assertEqual(os.listdir("/dev/tapferry") if os.path.isdir("/dev/tapferry") else [], [])

    @staticmethod
    def macvtap(name, index, *more):
        ip("link", "add", "link", "v0", "name", name, "index", str(index), *more, "type", "macvtap", "mode", "bridge")

    def node(self, path, name, mode=0o600):
        """A node of macvtap NAME's device at PATH, gone after the test."""
        os.mknod(path, stat.S_IFCHR | 0o600, number_of(name))
        os.chmod(path, mode)
        self.addCleanup(os.unlink, path)

    def folder(self, path, mode=0o755):
        os.mkdir(path)
        os.chmod(path, mode)
        self.addCleanup(shutil.rmtree, path)

    def refused_as_absent(self, which):
        """In the words that a denied device gets, and an absent one."""
        text = self.refused(f"device={which}", says=ABSENT).stderr
        return text.replace(which, "X")

    @property
    def state(self):
        link = links.get("mv0")
        return link.up, link.mac, link.mtu, link.alias, link.altnames, self.traffic_rules()

    @staticmethod
    def traffic_rules(name="mv0"):
        """What tc(8) says of NAME, but for the queue that the kernel gives to every interface."""
        words = [["tc", "qdisc", "show", "dev", name]]
        words += [["tc", "filter", "show", "dev", name, side] for side in ("ingress", "egress")]
        text = "".join(subprocess.run(part, capture_output=True, text=True, check=True).stdout for part in words)
        return [line for line in text.splitlines() if any(word in line for word in ("tbf", "clsact", "bpf", "police"))]


class Found(DeviceCase):

    def test_by_path_by_name_by_index_and_by_tap_and_index(self):
        for way in WAYS:
            with self.subTest(way=way):
                got = self.granted(f"device={way}")
                self.assertEqual((got.record["kind"], got.record["ifname"], got.record["ifindex"], got.record["upper"]),
                                 ("device", "mv0", INDEX, "v0"))
                self.assertEqual((got.record["mac"], got.record["mtu"]), (links.get("mv0").mac, 1500))
                self.assertEqual([tap.name for tap in got.taps], ["mv0"])
                self.assertEqual(mac_behind(got.fds[0]), links.get("mv0").mac)

    def test_by_a_path_anywhere(self):
        self.folder("/dev/vm")
        self.node("/dev/vm/net", "mv0")
        self.assertEqual(self.granted("device=/dev/vm/net").link.name, "mv0")

    def test_whatever_the_nodes_mode_is(self):
        for mode in (0o000, 0o600, 0o666):
            os.chmod(NODE, mode)
            self.granted(f"device={NODE}")
        self.box.policy("allow device=other")
        self.refused_as_absent(NODE)

    def test_where_no_node_exists(self):
        os.rename(NODE, "/dev/elsewhere")
        self.addCleanup(os.rename, "/dev/elsewhere", NODE)
        self.granted("device=mv0")
        self.granted(f"device=tap{INDEX}")

    def test_an_interface_of_that_name_comes_before_an_index(self):
        self.macvtap(f"tap{INDEX}", INDEX + 1)
        self.box.policy("allow device=*")
        self.assertEqual(self.granted(f"device=tap{INDEX}").record["ifindex"], INDEX + 1)
        ip("link", "delete", f"tap{INDEX}")
        ip("tuntap", "add", "dev", f"tap{INDEX}", "mode", "tap")
        self.refused(f"device=tap{INDEX}", says=f"it is a tap; ask for tap=tap{INDEX}")

    def test_digits_are_an_index_whatever_interfaces_are_called(self):
        self.macvtap(str(INDEX), INDEX + 1)
        self.box.policy(f"allow device={INDEX}")
        self.assertEqual(self.granted(f"device={INDEX}").record["ifname"], "mv0")
        self.refused_as_absent(str(INDEX + 1))

    def test_an_altname_is_no_name(self):
        ip("link", "property", "add", "dev", "mv0", "altname", "other")
        self.box.policy("allow device=*")
        self.refused_as_absent("other")

    def test_an_ipvtap_too(self):
        made = subprocess.run(["ip", "link", "add", "link", "v1", "name", "iv0", "type", "ipvtap"], capture_output=True,
                              text=True, check=False)
        if made.returncode != 0:
            self.skipTest("kernel: no ipvtap")
        self.addCleanup(ip, "link", "delete", "iv0")
        self.box.policy("allow device=iv0")
        self.node("/dev/ipvtap", "iv0")
        for way in ("iv0", "/dev/ipvtap"):
            got = self.granted(f"device={way},up=off")
            self.assertEqual([tap.name for tap in got.taps], ["iv0"])
            got.close()


class Rules(DeviceCase):
    """A rule is for the device, in whichever way it and the request name it."""

    def setUp(self):
        super().setUp()
        self.macvtap("mv1", INDEX + 1)
        self.node(f"/dev/tap{INDEX + 1}", "mv1")
        self.others = (f"/dev/tap{INDEX + 1}", "mv1", str(INDEX + 1), f"tap{INDEX + 1}")

    def test_an_allow_hits_every_way_of_asking_and_no_other_device(self):
        for rule in WAYS:
            self.box.policy(f"allow device={rule}")
            for asked in WAYS:
                with self.subTest(rule=rule, asked=asked):
                    self.assertEqual(self.granted(f"device={asked}").record["ifname"], "mv0")
            self.refused_as_absent(self.others[WAYS.index(rule)])

    def test_a_deny_hits_every_way_of_asking_and_no_other_device(self):
        self.folder("/dev/vm")
        self.node("/dev/vm/net", "mv0")
        for rule in WAYS:
            self.box.policy("allow device=*", f"deny device={rule}")
            for asked in (*WAYS, "/dev/vm/net"):
                with self.subTest(rule=rule, asked=asked):
                    self.refused_as_absent(asked)
            self.granted(f"device={self.others[WAYS.index(rule)]}")

    def test_they_take_patterns(self):
        self.box.policy("allow device=mv*")
        self.granted(f"device={NODE}")
        self.box.policy("allow device=/dev/tap7*")
        self.granted("device=mv0")

    def test_those_of_other_kinds_are_not_for_it(self):
        self.box.policy("allow macvtap=mv0", "allow tap=*", "allow all", "allow macvtap=v0")
        self.refused_as_absent("mv0")

    def test_a_pattern_for_one_folder_is_not_for_another(self):
        self.folder("/dev/vm")
        self.box.policy("allow device=/dev/vm/*")
        for path in (f"/dev/vm/../tap{INDEX}", f"/dev/vm//../tap{INDEX}", f"/dev/vm/./../tap{INDEX}"):
            self.refused_as_absent(path)

    def test_a_path_that_changes_meanwhile_does_not_get_another_device(self):
        """Alice's link leads to mv0 and to mv1 by turns, and a deny keeps her from mv1."""
        home = self.box.users["alice"].home
        for name in ("mv0", "mv1"):
            self.folder(f"/dev/{name}")
            self.node(f"/dev/{name}/net", name)
        self.box.policy("allow device=*", "deny device=mv1")
        flips = (f"import os, time\nend = time.monotonic() + 60\nos.chdir('{home}')\n"
                 "while time.monotonic() < end:\n"
                 "    for name in 'mv0', 'mv1':\n"
                 "        os.symlink('/dev/' + name, 'fresh'); os.rename('fresh', 'vm'); time.sleep(0.0003)\n")
        with self.box.popen(["/usr/bin/python3", "-c", flips]) as flipper:
            try:
                self.assertTrue(sandbox.eventually(lambda: os.path.islink(f"{home}/vm"), 20))
                granted = []
                for _ in range(40):
                    got = self.ask(f"device={home}/vm/net", look=False)
                    granted += [tap.name for tap in got.taps]
                    got.close()
            finally:
                flipper.kill()
        self.assertEqual(set(granted), {"mv0"}, "it was never granted, or mv1 was")


class Refused(DeviceCase):
    """What is no macvtap of this network namespace; the policy allows to ask for anything."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow device=*")

    def test_paths_that_are_no_character_device_by_what_they_are(self):
        self.folder("/dev/vm")
        with open("/dev/vm/file", "wb"):
            pass
        os.mkdir("/dev/vm/folder")
        os.mkfifo("/dev/vm/fifo")
        os.symlink(NODE, "/dev/vm/link")
        os.mknod("/dev/vm/disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("/dev/vm/socket")
            for name, what in (("file", "a regular file"), ("folder", "a directory"), ("fifo", "a fifo"),
                               ("link", "a symbolic link, and those are not followed"), ("socket", "a socket"),
                               ("disk", "a block device")):
                with self.subTest(name=name):
                    self.refused(f"device=/dev/vm/{name}", says=f"it is {what}, not the character device of a macvtap")

    def test_character_devices_of_others_by_their_number(self):
        self.refused("device=/dev/null", says="it is character device 1:3, not the character device of a macvtap")

    def test_what_makes_taps_with_a_hint(self):
        self.refused("device=/dev/net/tun", says="it makes taps, and is none itself; ask for tap")

    def test_interfaces_of_other_kinds_by_their_kind(self):
        ip("tuntap", "add", "dev", "vm-1", "mode", "tap")
        for name, says in (("vm-1", "it is a tap; ask for tap=vm-1"), ("br0", "it is of kind bridge, no macvtap"),
                           ("v0", "it is of kind veth, no macvtap"), ("lo", "it is hardware, or the loopback")):
            for which in (name, str(links.get(name).index)):
                with self.subTest(which=which):
                    self.refused(f"device={which}", says=says)

    def test_absent_ones_in_the_words_of_denied_ones(self):
        absent = {self.refused_as_absent(which) for which in
                  (f"/dev/tap{INDEX + 1}", "/dev/tap/7", f"{NODE}/7", "mv7", str(INDEX + 1), f"tap{INDEX + 1}")}
        self.box.policy("allow device=*", "deny device=mv0")
        absent |= {self.refused_as_absent(which) for which in WAYS}
        self.box.policy("allow device=other")
        absent |= {self.refused_as_absent(which) for which in WAYS}
        self.assertEqual(len(absent), 1, absent)

    def test_a_path_that_the_caller_cannot_reach_as_if_it_were_absent(self):
        self.folder("/dev/secret", mode=0o700)
        self.node("/dev/secret/net", "mv0", mode=0o666)
        os.mkfifo("/dev/secret/fifo")
        unreachable = {self.refused_as_absent(f"/dev/secret/{name}") for name in ("net", "fifo", "nothing")}
        self.assertEqual(unreachable, {self.refused_as_absent("/dev/nothing")})
        self.granted("device=/dev/secret/net", user="root")

    def test_relative_paths(self):
        for which in (f"./tap{INDEX}", f"dev/tap{INDEX}", f"../dev/tap{INDEX}", "tap/7"):
            with self.subTest(which=which):
                self.refused(f"device={which}", says="device= takes an absolute path", cwd="/dev")

    def test_hostile_words(self):
        for which in ("", "/", "//", ".", "..", "0", "-1", "4294967297", "99999999999999999999", "tap", "tap-1", "mv0\n",
                      "mv0 ", "a" * 16, "/" + "a" * 300, "/" + "a/" * 400, "%d", "mv%s", "/dev/tap\n7", "*", "mv*"):
            with self.subTest(which=which):
                self.refused(f"device={which}")


class OtherNamespace(DeviceCase):
    """Another network namespace has a macvtap of the same name and the same index, with a node of its own."""

    def setUp(self):
        super().setUp()
        ip("netns", "add", "other")
        self.addCleanup(ip, "netns", "delete", "other")
        with in_namespace("other"):
            self.box.veth("v0", "v1")
            self.macvtap("mv0", INDEX)
            self.mac = links.get("mv0").mac
            with own_sysfs():
                self.node("/dev/others", "mv0")
        self.box.policy("allow device=*")

    def test_has_its_own_device_and_never_this_one(self):
        for way in ("mv0", NODE):
            self.assertEqual(mac_behind(self.granted(f"device={way}").fds[0]), links.get("mv0").mac)
        self.refused_as_absent("/dev/others")

    def test_gets_its_own_device_and_never_ours(self):
        with in_namespace("other"), own_sysfs():
            for way in ("mv0", f"tap{INDEX}", "/dev/others"):
                self.assertEqual(mac_behind(self.granted(f"device={way}").fds[0]), self.mac)
            self.refused_as_absent(NODE)

    def test_with_colliding_nodes_the_number_tells_not_the_name(self):
        os.rename(NODE, "/dev/ours")
        os.rename("/dev/others", NODE)
        self.addCleanup(os.rename, "/dev/ours", NODE)
        self.addCleanup(os.rename, NODE, "/dev/others")
        self.refused_as_absent(NODE)
        self.assertEqual(mac_behind(self.granted("device=/dev/ours").fds[0]), links.get("mv0").mac)
        self.assertEqual(mac_behind(self.granted(f"device=tap{INDEX}").fds[0]), links.get("mv0").mac)
        with in_namespace("other"), own_sysfs():
            self.assertEqual(mac_behind(self.granted(f"device={NODE}").fds[0]), self.mac)

    def test_whose_sys_shows_this_one_is_told_so(self):
        with in_namespace("other"):
            for way in ("mv0", "/dev/others", "nothing"):
                self.refused(f"device={way}", says="look for devices in /sys: it shows another network namespace; "
                                                   "`mount -t sysfs sysfs /sys' in this one")

    def test_a_bare_sys_is_told_as_well(self):
        sandbox.mount("tmpfs", "/sys", "tmpfs")
        self.addCleanup(sandbox.umount, "/sys")
        self.refused("device=mv0", says="look for devices in /sys: ")


class HandedOver(DeviceCase):

    def test_up_on_brings_it_up_and_up_off_leaves_it(self):
        got = self.granted("device=mv0,up=off")
        self.assertEqual((got.link.up, got.record["up"]), (False, False))
        got = self.granted("device=mv0")
        self.assertEqual((got.link.up, got.record["up"]), (True, True))
        got = self.granted("device=mv0,up=off")
        self.assertEqual((got.link.up, got.record["up"]), (True, True))

    def test_with_and_without_a_vnet_header(self):
        got = self.granted("device=mv0,vnet_hdr=off")
        self.assertEqual((got.taps[0].flag_names, got.record["vnet_hdr_sz"]), (["no_pi", "tap"], 0))
        for size in (10, 12):
            tap = self.granted(f"device=mv0,vnet_hdr_sz={size}").taps[0]
            self.assertEqual((tap.flag_names, tap.header_size, tap.nonblocking), (["no_pi", "tap", "vnet_hdr"], size, True))

    def test_with_as_many_queues_as_are_asked_for(self):
        got = self.granted("device=mv0,queues=4")
        self.assertEqual([tap.flag_names for tap in got.taps], [["multi_queue", "no_pi", "tap", "vnet_hdr"]] * 4)
        self.refused("device=mv0,queues=65")

    def test_until_it_has_no_room_for_more(self):
        held = []
        for _ in range(16):  # MAX_TAP_QUEUES is 256 (include/linux/if_tap.h); it was 16 once
            got = self.ask("device=mv0,queues=64", look=False)
            if got.status != 0:
                break
            held.append(got)
        self.assertIn("open a queue of mv0: it has as many queues as it can have", got.stderr)
        self.assertEqual((got.taps, len(held)), ([], 4))
        held[0].close()
        self.granted("device=mv0,queues=64")

    def test_it_stays_when_its_descriptors_are_closed(self):
        before = links.snapshot()
        got = self.granted("device=mv0,queues=3")
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")), "nobody needs to watch over it")
        got.close()
        time.sleep(0.3)
        self.assertEqual(links.snapshot(), before)

    def test_frames_cross_both_ways(self):
        got = self.granted("device=mv0,vnet_hdr=off")
        guest = bytes.fromhex(got.link.mac.replace(":", ""))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)) as wire:
            wire.bind(("v1", 0x88b5))
            wire.settimeout(5)
            os.write(got.fds[0], b"\xff" * 6 + guest + b"\x88\xb5" + b"from the guest".ljust(50))
            self.assertIn(b"from the guest", wire.recv(2000))
            wire.send(guest + b"\x02\0\0\0\0\1" + b"\x88\xb5" + b"to the guest".ljust(50))
            self.assertTrue(sandbox.eventually(lambda: self.reads(got.fds[0], b"to the guest")))

    @staticmethod
    def reads(fd, text):
        try:
            return text in os.read(fd, 2000)
        except BlockingIOError:
            return False

    def test_keys_for_new_interfaces_are_refused(self):
        self.box.policy("allow device=mv0 mac=* mtu=9000 guest_mac=* lock=on", "allow device=mv0 mac=* mtu=9000 vhost=on")
        for keys, says in (("mac=52:54:00:00:00:01", "mac= and mtu= are for new ones"),
                           ("mtu=1400", "mac= and mtu= are for new ones"), ("filter=auto", "filter=auto is for new ones"),
                           ("lock=on,guest_mac=52:54:00:00:00:01", "lock=on is for new ones")):
            with self.subTest(keys=keys):
                before = self.state
                self.refused(f"device=mv0,{keys}", says=f"open device mv0: it exists, and {says}")
                self.assertEqual(self.state, before)
        for keys in ("name=mv7", "mode=private", "isolated=on"):
            self.refused(f"device=mv0,{keys}")

    def test_rate_and_filter_are_put_on_it_until_the_next_hand_over(self):
        got = self.granted("device=mv0,rate_from=10mbit,filter=ipv4,arp")
        self.assertIn("rate 10Mbit", "\n".join(self.traffic_rules()))
        self.assertIn("bpf", "\n".join(self.traffic_rules()))
        got.close()
        self.granted("device=mv0")
        self.assertEqual(self.traffic_rules(), [])

    def test_a_rate_towards_the_guest_where_the_kernel_has_that(self):
        got = self.ask("device=mv0,rate_to=10mbit")
        if "this kernel has no act_police" in got.stderr:
            self.skipTest("kernel: no act_police")
        self.assertEqual((got.status, got.stderr), (0, ""))
        self.assertIn("bpf", "\n".join(self.traffic_rules()))

    def test_that_fails_leaves_it_as_it_was(self):
        before = self.state
        for keys in ("", ",rate_from=10mbit,filter=ipv4"):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            ours.close()
            with theirs:
                done = self.box.run([self.helper, f"--net=device=mv0{keys}", f"--fd={theirs.fileno()}"],
                                    pass_fds=[theirs.fileno()])
            self.assertEqual(done.returncode, 1)
            self.assertIn("failed to write fd to unix socket", done.stderr)
            self.assertIn("result=granted", self.box.syslog.lines(1)[0].text, "it came as far as that")
            self.assertEqual(self.state, before)
            self.box.syslog.clear()

    def test_that_cannot_come_up_is_left_as_it_was(self):
        ip("link", "set", "mv0", "up")
        self.macvtap("mv1", INDEX + 1, "address", links.get("mv0").mac)
        self.box.policy("allow device=mv1")
        self.refused("device=mv1,rate_from=10mbit,filter=ipv4", says="bring up mv1")
        self.assertEqual((links.get("mv1").up, self.traffic_rules("mv1")), (False, []))

    def test_needs_the_setuid_bit(self):
        self.helper = self.box.install_helper(name="capable", caps="cap_net_admin,cap_setpcap+ep")
        self.refused("device=mv0", says="isn't setuid root")

    def test_is_written_down(self):
        self.granted(f"device={NODE}")
        line = self.box.syslog.lines(1)[0].text
        self.assertIn(f'request="device={NODE}" result=granted interface="mv0" ifindex={INDEX}', line)


class Tools(DeviceCase):

    def test_probe_finds_all_right(self):
        for way in WAYS:
            for keys in ("", ",queues=2", ",vnet_hdr=off", ",up=off"):
                with self.subTest(way=way, keys=keys):
                    done = self.tapferry("probe", "--json", f"--net=device={way}{keys}")
                    self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        facts = json.loads(done.stdout)
        self.assertEqual((facts["interface"]["type"], facts["interface"]["parent"]), ("macvtap", "v0"))
        self.assertEqual((facts["fds"][0]["kind"], facts["fds"][0]["ifname"]), ("macvtap queue", "mv0"))

    def test_run_gives_the_guest_its_mac(self):
        done = self.succeeds("run", "--net=device=mv0", "--", "echo", "{mac} {ifname} {fds}")
        self.assertEqual(done.stdout, f"{links.get('mv0').mac} mv0 3\n")

    def test_explain_tells_the_rule_however_it_is_asked_for(self):
        self.box.policy("allow device=other", f"allow device={INDEX}", "deny device=mv0 user=bob")
        for way in WAYS:
            with self.subTest(way=way):
                text = self.succeeds("explain", f"--net=device={way}").stdout
                self.assertIn(f"allowed: device={way} for alice", text)
                self.assertIn("by policy.conf:2", text.splitlines()[0])
                done = self.tapferry("explain", f"--net=device={way}", user="bob")
                self.assertEqual((done.returncode, done.stderr), (1, ""))
                self.assertIn("by policy.conf:3", done.stdout.splitlines()[0])

    def test_explain_of_an_absent_one_goes_by_what_was_asked(self):
        self.box.policy("allow device=mv7")
        self.assertIn("by policy.conf:1", self.succeeds("explain", "--net=device=mv7").stdout)
        self.assertEqual(self.tapferry("explain", "--net=device=mv8").returncode, 1)


if __name__ == "__main__":
    unittest.main()
