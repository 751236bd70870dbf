# SPDX-License-Identifier: MIT
"""`tapferry top`: on a terminal, into a pipe, as JSON lines; with a thousand interfaces."""
import fcntl
import json
import os
import re
import resource
import signal
import struct
import subprocess
import termios
import unittest

import frames
import processes
import sandbox
from command_case import need_command
from pty_screen import PtyScreen
from status_case import StatusCase, quiet

TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
MANY = 1000
TIMEOUT = 600


def setUpModule():
    need_command()


class TopCase(StatusCase):
    def screen(self, *arguments, user="root", **options):
        screen = PtyScreen(self.box, [self.command, "top", "--interval=0.2", *arguments], user, **options)
        self.addCleanup(screen.close)
        return screen

    def first_words(self, screen):
        """The interfaces on the screen."""
        return [line.split()[0] for line in screen.lines[2:-1] if line.strip()]


class Screen(TopCase):
    def test_shows_interfaces_and_gives_the_terminal_back(self):
        record, process = self.held("bridge=br0")
        screen = self.screen()
        lines = screen.until(lambda s: len(s.lines) == s.rows)
        self.assertTrue(screen.is_alternate and screen.is_cursor_hidden)
        self.assertNotEqual(screen.modes()[3] & termios.ICANON, termios.ICANON)
        self.assertRegex(lines[0], r"\Atapferry \d\d:\d\d:\d\d  1 interface, 1 user  received .* B/s .* F/s  sent ")
        self.assertRegex(lines[1], r"\AINTERFACE +USER +KIND +UPPER +Q +STATE +AGE ")
        self.assertRegex(lines[2], rf"\A{record['ifname']} +alice +bridge +br0 +1 +up .* {process.pid} sleep\Z")
        self.assertRegex(lines[-1], r"\Aq quit  sort by: r rate  f frames  n name  u user \(rate\)")
        screen.type("q")
        self.assertEqual(screen.ended(), 0)
        self.assertFalse(screen.is_alternate or screen.is_cursor_hidden)
        self.assertEqual(screen.modes(), screen.before)

    def test_every_way_to_end_gives_the_terminal_back(self):
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, "\x03"):
            with self.subTest(how=how):
                screen = self.screen()
                screen.until(lambda s: len(s.lines) == s.rows)
                if isinstance(how, str):
                    screen.type(how)
                else:
                    screen.process.send_signal(how)
                self.assertEqual(screen.ended(), 0)
                self.assertEqual((screen.is_alternate, screen.modes()), (False, screen.before))

    def test_follows_the_terminals_size(self):
        self.held("bridge=br0")
        screen = self.screen(columns=160, rows=20)
        screen.until(lambda s: len(s.lines) == 20 and " MAC " in s.lines[1])
        for columns, rows in ((80, 10), (40, 6), (200, 50)):
            screen.resize(columns, rows)
            screen.process.send_signal(signal.SIGWINCH)
            screen.until(lambda s, c=columns, r=rows: len(s.lines) == r and max(map(len, s.lines)) <= c)

    def test_sorts_by_key(self):
        names = [self.held("bridge=br0", user)[0]["ifname"] for user in ("bob", "alice", "bob")]
        screen = self.screen("--sort=name")
        screen.until(lambda s: self.first_words(s) == names)
        screen.type("u")
        screen.until(lambda s: self.first_words(s) == [names[1], names[0], names[2]])
        self.assertIn("(user)", screen.lines[-1])

    def test_busiest_comes_first(self):
        quiet_one = self.granted("bridge=br0")
        busy = self.granted("macvtap=v0")
        guest = frames.tap_end(busy)
        frame = frames.make(frames.BROADCAST, guest.mac, frames.IPV4)
        screen = self.screen()

        def is_sorted(_screen):
            guest.send(frame)
            return self.first_words(screen) == [busy.record["ifname"], quiet_one.record["ifname"]] and \
                not screen.lines[0].endswith("sent 0 B/s 0 F/s")
        screen.until(is_sorted)

    def test_new_and_gone_interfaces_come_and_go(self):
        first, _ = self.held("bridge=br0")
        screen = self.screen()
        screen.until(lambda s: self.first_words(s) == [first["ifname"]])
        second, process = self.held("bridge=br0")
        screen.until(lambda s: sorted(self.first_words(s)) == sorted([first["ifname"], second["ifname"]]))
        screen.until(lambda s: any(line.endswith(f"{process.pid} sleep") for line in s.lines))
        process.kill()
        screen.until(lambda s: self.first_words(s) == [first["ifname"]])

    def test_a_dumb_terminal_gets_tables(self):
        self.held("bridge=br0")
        screen = self.screen("--turns=2", env={"TERM": "dumb"}, columns=200)
        self.assertEqual(screen.ended(), 0)
        self.assertEqual(screen.text.count("INTERFACE "), 2)
        self.assertNotIn("\x1b", screen.text)

    def test_hears_of_new_holders_and_limits_within_its_ten_seconds(self):
        """Neither changes anything that rtnetlink's dump shows.  The handle is that of tapferry's own rates."""
        got = self.granted("bridge=br0")
        name = got.record["ifname"]
        screen = self.screen(columns=200)
        screen.until(lambda s: any(line.endswith(f" {os.getpid()} python3") for line in s.lines))
        process = self.box.popen(["sleep", "600"], pass_fds=got.fds)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        got.close()
        quiet(["tc", "qdisc", "add", "dev", name, "root", "handle", "7a9e:", "tbf", "rate", "1mbit", "burst", "64kb",
               "latency", "50ms"])
        screen.until(lambda s: re.search(rf"(?m) rate +{process.pid} sleep$", "\n".join(s.lines)), seconds=60)

    def test_stops_and_goes_on(self):
        screen = self.screen()
        screen.until(lambda s: len(s.lines) == s.rows)
        screen.type("\x1a")
        screen.until(lambda s: not s.is_alternate)
        self.assertTrue(sandbox.eventually(lambda: processes.status(screen.process.pid)["State"].startswith("T")))
        self.assertEqual(screen.modes(), screen.before)
        screen.process.send_signal(signal.SIGCONT)
        screen.until(lambda s: s.is_alternate)
        screen.type("q")
        self.assertEqual(screen.ended(), 0)

    def test_ends_after_its_turns(self):
        screen = self.screen("--turns=2")
        self.assertEqual(screen.ended(), 0)
        self.assertEqual(screen.text.count("tapferry "), 3, "without rates at first")


class Lines(TopCase):
    def test_json_is_a_line_each_turn_with_rates(self):
        record, process = self.held("bridge=br0")
        done = self.succeeds("top", "--json", "--turns=3", "--interval=0.2", user="root")
        turns = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(turns), 3)
        for turn in turns:
            self.assertEqual(list(turn), ["version", "time_ms", "interval_ms", "interfaces"])
            one, = turn["interfaces"]
            self.assertEqual((one["ifname"], one["holders"][0]["pid"]), (record["ifname"], process.pid))
            self.assertIsInstance(one["received"]["bytes_per_s"], int)
        self.assertEqual(sorted(turn["time_ms"] for turn in turns), [turn["time_ms"] for turn in turns])

    def test_into_a_pipe_it_writes_tables(self):
        self.held("bridge=br0")
        done = self.succeeds("top", "--turns=2", "--interval=0.1")
        self.assertEqual(done.stdout.count("INTERFACE "), 2)
        self.assertNotIn("\x1b", done.stdout)

    def test_ends_with_its_reader(self):
        with self.box.popen([self.command, "top", "--json", "--interval=600"], stdout=subprocess.PIPE) as process:
            process.stdout.close()
            self.assertEqual(process.wait(20), 0)

    def test_ends_by_a_signal(self):
        with self.box.popen([self.command, "top", "--interval=600"], stdout=subprocess.PIPE) as process:
            blocked = sandbox.eventually(lambda: int(processes.status(process.pid)["SigBlk"], 16))
            self.assertTrue(blocked)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(20), 0)

    def test_wrong_options(self):
        for wrong, says in ((["--interval=0.05"], "from 0.1 to 3600"), (["--turns=0"], "from 1 on"),
                            (["--sort=size"], "none of rate, frames, name, user")):
            with self.subTest(wrong=wrong):
                self.fails("top", *wrong, status=2, says=says)
        self.fails("top", "nothing0", says="find interface nothing0")


class Thousand(TopCase):
    def make(self):
        """MANY taps with a tag, each of two users', held by this process."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(4 * MANY, limit[0]), max(4 * MANY, limit[1])))
        # Without snooping a port's coming up doesn't concern all others.
        quiet(["ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "0"])
        batch = []
        for number in range(MANY):
            fd = os.open("/dev/net/tun", os.O_RDWR)
            self.addCleanup(os.close, fd)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"tap%d" % number, 0x5002))
            uid = self.box.users["alice" if number % 2 else "bob"].uid
            batch.append(f"link set tap{number} alias 'tapferry uid={uid} kind=bridge upper=br0 since=1767225600 "
                         "rule=policy.conf:1' master br0 up\n")
        subprocess.run(["ip", "-batch", "-"], input="".join(batch), text=True, check=True)

    def test_are_all_shown(self):
        self.make()
        names = [f"tap{number}" for number in range(MANY)]
        for user, pids in (("root", {os.getpid()}), ("alice", set())):
            with self.subTest(user=user):
                seen = self.status(user=user)
                self.assertEqual(list(seen), names, "in the order of their numbers")
                self.assertEqual({each["pid"] for one in seen.values() for each in one["holders"]}, pids)
                self.assertEqual({one["user"] for one in seen.values()}, {"alice", "bob"})
        self.assertEqual(self.table().count("\ntap"), MANY)
        done = self.succeeds("top", "--json", "--turns=2", "--interval=0.5", user="root")
        for line in done.stdout.splitlines():
            self.assertEqual(len(json.loads(line)["interfaces"]), MANY)
        self.check_screen()

    def check_screen(self):
        screen = self.screen("--sort=name", rows=30)
        screen.until(lambda s: re.search(r"rows 1-27 of 1000", s.lines[-1] if s.lines else ""))
        self.assertIn(f"{MANY} interfaces, 2 users", screen.lines[0])
        screen.type(" ")
        screen.until(lambda s: "rows 28-54 of 1000" in s.lines[-1])
        self.assertEqual(self.first_words(screen)[0], "tap27")
        screen.type("q")
        self.assertEqual(screen.ended(), 0)


if __name__ == "__main__":
    unittest.main()
