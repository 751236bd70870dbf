# SPDX-License-Identifier: MIT
"""`tapferry probe`: what it says of right and wrong hand-overs, from any helper."""
import json
import os
import signal
import socket
import stat
import subprocess
import unittest

import handover
import links
import sandbox
from command_case import CommandCase, need_command


def setUpModule():
    need_command()


def rows(text):
    """{property: (asked, received, verdict)} of the table."""
    lines = text.splitlines()
    columns = [lines[0].index(name) for name in ("ASKED", "RECEIVED")]
    found = {}
    for line in lines[1:-1]:
        received, verdict = line[columns[1]:].rsplit(None, 1)
        found[line[:columns[0]].strip()] = (line[columns[0]:columns[1]].strip(), received.strip(), verdict)
    return found


class ProbeCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=4 mtu=9000 mac=* name=*", "allow tap=*")
        self.before = links.snapshot()

    def all_ok(self, *arguments, **options):
        done = self.succeeds("probe", *arguments, **options)
        self.assertTrue(done.stdout.endswith("all as asked\n"), done.stdout)
        self.assertEqual(links.snapshot(), self.before)
        return rows(done.stdout)

    def facts(self, *arguments, status=0, **options):
        done = self.tapferry("probe", "--json", *arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return json.loads(done.stdout)

    def wrong(self, body, *properties, spec="tap"):
        """A helper of one's own; exactly these rows are WRONG."""
        facts = self.facts(f"--net={spec}", f"--helper={self.fake_helper(body)}", status=1, user="root")
        self.assertFalse(facts["ok"])
        self.assertEqual([check["property"] for check in facts["checks"] if check["verdict"] == "WRONG"],
                         list(properties))
        return facts


class OurHelper(ProbeCase):
    def test_hands_over_a_bridge_port(self):
        table = self.all_ok("--net=bridge=br0")
        self.assertEqual(table["descriptors"], ("1", "1", "ok"))
        self.assertEqual(table["fd 0 flags"], ("tap no_pi vnet_hdr",) * 2 + ("ok",))
        self.assertEqual(table["bridge"], ("br0", "br0", "ok"))
        self.assertEqual(table["owner"][1], f"uid {self.box.users['alice'].uid}")
        self.assertIn("csum tso4 tso6", table["fd 0 offloads"][1])

    def test_hands_over_what_else_was_asked(self):
        for spec in ("bridge=br0,queues=4", "tap", "tap=vm7", "tap,queues=1,vnet_hdr=off", "bridge=br0,up=off",
                     "bridge=br0,vnet_hdr_sz=10", "bridge=br0,mtu=1400", "bridge=br0,mac=52:54:00:00:00:07",
                     "bridge=br0,name=vm%d", "bridge=br0,isolated=on"):
            with self.subTest(spec=spec):
                self.all_ok(f"--net={spec}")

    def test_answers_qemus_form(self):
        table = self.all_ok("--br=br0")
        self.assertEqual(table["message"], ("one zero byte", "one zero byte", "ok"))
        self.assertEqual(table["fd 0 O_NONBLOCK"], ("off", "off", "ok"))
        self.assertEqual(table["fd 0 vnet header"], ("10 bytes", "10 bytes", "ok"))

    def test_says_why_it_refuses(self):
        self.fails("probe", "--net=bridge=br1", says="access denied")

    def test_mtu_of_the_bridge_is_taken(self):
        sandbox.ip("link", "set", "br0", "mtu", "9000")
        self.assertEqual(self.all_ok("--net=bridge=br0")["MTU"], ("9000", "9000", "ok"))

    def test_facts_as_json(self):
        facts = self.facts("--net=bridge=br0,queues=2")
        self.assertEqual((facts["version"], facts["ok"], facts["helper_end"]), (1, True, "status 0"))
        self.assertEqual((facts["trailing_bytes"], facts["trailing_fds"], len(facts["fds"])), (0, 0, 2))
        first, record, interface = facts["fds"][0], facts["record"], facts["interface"]
        self.assertEqual(first["flags"], ["tap", "multi_queue", "no_pi", "vnet_hdr"])
        self.assertEqual((first["nonblocking"], first["cloexec"], first["vnet_hdr_sz"]), (True, True, 12))
        self.assertEqual((record["rule"], record["upper"], record["mtu"]), ("policy.conf:1", "br0", 1500))
        self.assertEqual((interface["ifname"], interface["ifindex"]), (record["ifname"], record["ifindex"]))
        self.assertEqual((interface["up"], interface["bridge"]), (True, "br0"))
        self.assertTrue(interface["tag"].startswith("tapferry uid="))


class QemuHelper(ProbeCase):
    def test_hands_over_a_bridge_port(self):
        if not os.path.exists(sandbox.QEMU_HELPER):
            self.skipTest(f"no {sandbox.QEMU_HELPER} (package qemu-system-common)")
        helper = self.box.install_helper(sandbox.QEMU_HELPER)
        self.box.qemu_conf("allow br0")
        table = self.all_ok("--br=br0", f"--helper={helper}")
        self.assertEqual((table["owner"][1], table["tag"][1]), ("none", "none"))
        self.fails("probe", "--br=br1", f"--helper={helper}", says="access denied by acl file")


class WrongHelper(ProbeCase):
    """fake0 is on no bridge, has no tag and no owner; those rows are wrong besides the one in question."""
    ALWAYS = ("owner", "tag")

    def check(self, body, *properties, spec="tap"):
        return self.wrong(body, *properties, *self.ALWAYS, spec=spec)

    def test_that_is_right_but_for_owner_and_tag(self):
        self.check("fd = tap()\nsend(record(), fd)")

    def test_fd_that_blocks(self):
        self.check("fd = tap(nonblock=0)\nsend(record(), fd)", "fd 0 O_NONBLOCK")

    def test_no_vnet_header(self):
        self.check("fd = tap(flags=0x1002)\nsend(record(vnet_hdr=False, vnet_hdr_sz=0), fd)",
                   "fd 0 flags", "fd 0 vnet header")

    def test_header_of_another_size(self):
        self.check("fd = tap(size=10)\nsend(record(), fd)", "fd 0 vnet header")

    def test_multi_queue_that_was_not_asked_for(self):
        self.check("fd = tap(flags=0x5102)\nsend(record(), fd)", "fd 0 flags")

    def test_tap_that_persists_unasked(self):
        facts = self.check("fd = tap()\nfcntl.ioctl(fd, 0x400454cb, 1)\nsend(record(), fd)", "fd 0 flags")
        self.assertIn("persist", facts["fds"][0]["flags"])

    def test_too_many_descriptors(self):
        self.check("fd = tap(flags=0x5102)\nsend(record(), fd, tap(flags=0x5102))",
                   "descriptors", "fd 0 flags", "fd 1 kind", "fd 1 flags")

    def test_no_tap_at_all(self):
        facts = self.wrong("send(b'{}\\n', 0, 1)", "descriptors", "record", "fd 0 kind", "fd 0 O_NONBLOCK",
                           "fd 1 kind", "interface")
        self.assertIn("pipe", facts["fds"][1]["kind"])

    def test_tun_node_without_interface(self):
        facts = self.wrong("send(b'{}\\n', os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK))", "record", "fd 0 kind",
                           "interface")
        self.assertEqual(facts["fds"][0]["kind"], "/dev/net/tun")

    def test_exit_status(self):
        self.check("fd = tap()\nsend(record(), fd)\nsys.exit(1)", "helper's end")

    def test_bytes_and_descriptors_behind_the_message(self):
        facts = self.check("fd = tap()\nsend(record(), fd)\nsend(b'more', fd)", "descriptors", "behind it", "fd 1 kind")
        self.assertEqual((facts["trailing_bytes"], facts["trailing_fds"]), (4, 1))

    def test_record_that_says_something_else(self):
        for change, row in (("ifname='other'", "fd 0 interface"), ("ifindex=4711", "index"), ("up=True", "up"),
                            ("mtu=1400", "MTU"), ("mac='52:54:00:00:00:01'", "MAC")):
            with self.subTest(change=change):
                self.check(f"fd = tap()\nsend(record({change}), fd)", row)

    def test_record_that_is_none(self):
        for data, why in (("b'\\0'", "no newline"), ("record()[:-1]", "no newline"), ("record() * 2", "JSON"),
                          ("record(queues='1')", "queues is not a whole number"),
                          ("record(more=1)", "a key that version 1 doesn't have"),
                          ("record(version=2)", "version is 2")):
            with self.subTest(data=data):
                facts = self.check(f"fd = tap()\nsend({data}, fd)", "record")
                self.assertIn(why, next(c["received"] for c in facts["checks"] if c["property"] == "record"))

    def test_interface_that_is_not_up_as_asked(self):
        self.check("fd = tap()\nsend(record(), fd)", "up", spec="tap,up=on")

    def test_table_says_how_many_are_wrong(self):
        fake = self.fake_helper("fd = tap()\nsend(record(), fd)")
        done = self.tapferry("probe", "--net=tap", f"--helper={fake}", user="root")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertTrue(done.stdout.endswith("\n2 WRONG\n"), done.stdout)

    def test_hostile_words_do_not_reach_the_terminal(self):
        fake = self.fake_helper("fd = tap()\nprint('\\x1b[2Jhello', file=sys.stderr)\nsend(record(rule='\\x1b[2J'), fd)")
        done = self.tapferry("probe", "--net=tap", f"--helper={fake}", user="root")
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertIn("\\x1b[2J", done.stdout)


class Listen(ProbeCase):
    PATH = f"{sandbox.BASE}/home/alice/probe.sock"

    def start(self, *arguments):
        proc = self.box.popen([self.command, "probe", f"--listen={self.PATH}", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (proc.kill(), proc.communicate()))
        self.assertTrue(sandbox.eventually(lambda: os.path.exists(self.PATH) or proc.poll() is not None))
        return proc

    def test_receives_from_a_helper_somebody_else_starts(self):
        proc = self.start("--json")
        mode = os.stat(self.PATH)
        self.assertTrue(stat.S_ISSOCK(mode.st_mode))
        self.assertEqual(stat.S_IMODE(mode.st_mode), 0o600)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.PATH)
            done = self.box.run([self.helper, "--net=bridge=br0", f"--fd={sock.fileno()}"], pass_fds=[sock.fileno()])
            self.assertEqual(done.returncode, 0, done.stderr)
        out, err = proc.communicate(timeout=20)
        self.assertEqual((proc.returncode, err), (0, ""))
        facts = json.loads(out)
        self.assertTrue(facts["ok"])
        self.assertEqual((facts["record"]["upper"], facts["fds"][0]["kind"]), ("br0", "tap queue"))
        self.assertFalse(os.path.exists(self.PATH))

    def test_trailing_bytes_are_wrong(self):
        proc = self.start()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.PATH)
            socket.send_fds(sock, [b"\0"], [0])
            sock.send(b"more")
        out, _ = proc.communicate(timeout=20)
        self.assertEqual(proc.returncode, 1)
        self.assertRegex(out, r"behind it .* 4 bytes, 0 descriptors +WRONG")

    def test_peer_that_sends_nothing_is_an_error(self):
        proc = self.start()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.PATH)
        _, err = proc.communicate(timeout=20)
        self.assertEqual(proc.returncode, 1)
        self.assertIn("sent nothing", err)

    def test_signals_end_the_wait_and_remove_the_path(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            proc = self.start()
            proc.send_signal(number)
            _, err = proc.communicate(timeout=20)
            self.assertEqual(proc.returncode, 1)
            self.assertIn("Interrupted", err)
            self.assertFalse(os.path.exists(self.PATH))

    def test_path_that_exists_is_left_alone(self):
        path = self.box.write(f"{sandbox.BASE}/home/alice/there", "x", owner="alice")
        self.fails("probe", f"--listen={path}", says="File exists")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "x")
        self.fails("probe", f"--listen={'x' * 200}", says="File name too long")


class Usage(ProbeCase):
    def test_errors_have_status_2(self):
        for arguments, says in (([], "give one of --net, --br and --listen"),
                                (["--net=tap", "--br=br0"], "give one of"),
                                (["--net=nonsense"], "begins with none of"),
                                (["--net=tap", "--echo=192.0.2"], "--echo=192.0.2"),
                                (["--net=tap", "--echo=224.0.0.1"], "not an address that a guest can have"),
                                (["--net=tap", "--echo=0.0.0.0"], "not an address that a guest can have"),
                                (["--net=tap", "--count=1"], "go with --echo or --pcap"),
                                (["--net=tap", "--force"], "goes with --pcap"),
                                (["--net=tap", "--echo=192.0.2.2", "--count=-1"], "negative"),
                                (["--net=tap", "--echo=192.0.2.2", "--count=x"], "count")):
            with self.subTest(arguments=arguments):
                self.fails("probe", *arguments, status=2, says=says)

    def test_nothing_is_left_when_the_probe_is_killed(self):
        with self.box.popen([self.command, "probe", "--net=bridge=br0", "--echo=192.0.2.9"],
                            stdout=subprocess.PIPE) as proc:
            proc.stdout.readline()
            self.assertEqual(len(links.taps()), 1)
            proc.kill()
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == self.before))
        self.assertEqual(handover.net(self.box, self.helper, "bridge=br1").status, 1)


if __name__ == "__main__":
    unittest.main()
