# SPDX-License-Identifier: MIT
"""`tapferry run --vhost-user`: the backends are there before the command, are started again when they die, and end with
the command.  A program of the test's own stands in for tapferry-vhost here; a real one with a real guest is in tests/vm."""
import json
import os
import signal
import subprocess
import textwrap

import links
import processes
import sandbox
from command_case import PYTHON, CommandCase, need_command

TMP = f"{sandbox.BASE}/tmp"

# Writes what it finds to STARTS, answers "pid\n" to everyone who connects, and does what the file MOOD says.
BACKEND = """\
    import fcntl, json, os, signal, socket, struct, sys, time
    args = dict(a[2:].split("=", 1) for a in sys.argv[1:])
    mood = open("{tmp}/mood").read() if os.path.exists("{tmp}/mood") else ""
    if mood == "fail":
        sys.exit("fake: it can't")
    taps = []
    for fd in map(int, args["tap-fd"].split(":")):
        request = bytearray(40)
        fcntl.ioctl(fd, 0x800454d2, request)
        taps.append(request[:16].split(b"\\\\0")[0].decode())
    state = int(args["state-fd"])
    fds = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in map(int, os.listdir("/proc/self/fd"))
           if os.path.exists(f"/proc/self/fd/{fd}")}
    mask = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigBlk"))
    with open("{tmp}/starts", "a") as file:
        file.write(json.dumps({"pid": os.getpid(), "taps": taps, "state": os.pread(state, 8, 0).hex(),
                               "state_bytes": os.fstat(state).st_size, "fds": fds, "mask": mask}) + "\\n")
    os.pwrite(state, struct.pack("Q", struct.unpack("Q", os.pread(state, 8, 0))[0] + 1), 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.write(int(args["supervisor-fd"]), b"+")
    listener = socket.socket(fileno=int(args["fd"]))
    while True:
        peer, _ = listener.accept()
        peer.sendall(f"{os.getpid()}\\n".encode())
        peer.close()
"""

ASK = """
import socket, sys
for path in sys.argv[1:]:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    print(sock.makefile().readline().strip())
"""


def setUpModule():
    need_command()


class VhostUserCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=4", "allow tap=*", "allow bridge=br1 user=bob")
        text = textwrap.dedent(BACKEND).replace("{tmp}", TMP).replace("\\\\0", "\\0")
        self.backend = self.box.write(f"{sandbox.BASE}/bin/fake-vhost", f"#!{PYTHON}\n{text}", mode=0o755)
        for name in ("starts", "mood"):
            if os.path.exists(f"{TMP}/{name}"):
                os.unlink(f"{TMP}/{name}")
        self.before = links.snapshot()
        self.env = {"TAPFERRY_VHOST": self.backend, "XDG_RUNTIME_DIR": TMP}

    def mood(self, word):
        self.box.write(f"{TMP}/mood", word)

    @staticmethod
    def starts():
        with open(f"{TMP}/starts", encoding="ascii") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def run_with(self, *command, nets=("bridge=br0",)):
        return self.tapferry("run", "--vhost-user", *(f"--net={net}" for net in nets), "--", *command, env=self.env)

    def start(self, *command, nets=("bridge=br0",)):
        """A command that waits on its stdin; when its backends are there."""
        proc = self.box.popen([self.command, "run", "--vhost-user", *(f"--net={net}" for net in nets), "--", *command],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        self.addCleanup(proc.communicate)
        self.addCleanup(proc.kill)
        self.assertEqual(proc.stdout.readline(), b"here\n")
        return proc

    def is_gone(self):
        """Nothing is left: no interface, no process, no socket."""
        return (links.snapshot() == self.before and not [name for name in os.listdir(TMP) if name.startswith("tapferry-")]
                and not any(processes.is_running(one["pid"]) for one in self.starts()))

    def assert_gone(self):
        self.assertTrue(sandbox.eventually(self.is_gone, 10), (links.snapshot(), os.listdir(TMP)))


class Command(VhostUserCase):
    def test_finds_a_backend_behind_each_socket(self):
        done = self.run_with(PYTHON, "-c", ASK, "{socket}", "{socket1}", nets=("bridge=br0,queues=2", "tap=t1"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        starts = {str(one["pid"]): one for one in self.starts()}
        first, second = (starts[pid] for pid in done.stdout.split())
        self.assertEqual(len(set(first["taps"])), 1)
        self.assertEqual((len(first["taps"]), second["taps"]), (2, ["t1"]))
        self.assert_gone()

    def test_has_no_descriptor_of_the_taps_and_keeps_its_exit_status(self):
        done = self.run_with("sh", "-c", "ls -l /proc/self/fd; exit 7 # {socket}")
        self.assertEqual(done.returncode, 7)
        self.assertNotIn("tun", done.stdout)
        self.assert_gone()

    def test_ends_its_backends_by_dying(self):
        proc = self.start("sh", "-c", "echo here; exec cat # {socket}")
        proc.send_signal(signal.SIGKILL)
        self.assert_gone()

    def test_may_go_on_in_another_process(self):
        proc = self.start("sh", "-c", "echo here; (exec 0<&-; sleep 2) & exit 0 # {socket}")
        proc.wait(10)
        self.assertTrue(all(processes.is_running(one["pid"]) for one in self.starts()))
        self.assert_gone()

    def test_is_not_kept_waiting_by_who_reads_its_output(self):
        done = self.box.run(["sh", "-c", f"{self.command} run --vhost-user --net=tap -- echo {{socket}} | cat; echo over"],
                            env=self.env)
        self.assertIn("over", done.stdout)
        self.assert_gone()

    def test_that_does_not_exist_leaves_nothing(self):
        done = self.run_with("/nonexistent/vmm", "{socket}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("run /nonexistent/vmm: No such file", done.stderr)
        self.assert_gone()


class Backend(VhostUserCase):
    def test_has_what_it_serves_and_nothing_else(self):
        self.run_with("true", "{socket}", nets=("bridge=br0,queues=3",))
        start, = self.starts()
        self.assertEqual(sorted(map(int, start["fds"])), list(range(9)))
        self.assertEqual(start["fds"]["0"], "/dev/null")
        self.assertEqual(start["fds"]["1"], start["fds"]["2"], "counters are printed where errors are")
        self.assertEqual((start["mask"].strip("0"), start["state_bytes"] >= 4096), ("", True))

    def test_that_dies_is_started_again_with_its_state(self):
        proc = self.start("sh", "-c", "echo here; exec cat # {socket}")
        for count in range(1, 6):
            os.kill(self.starts()[-1]["pid"], signal.SIGKILL)
            self.assertTrue(sandbox.eventually(lambda count=count: len(self.starts()) == count + 1, 10))
        self.assertEqual([int.from_bytes(bytes.fromhex(one["state"]), "little") for one in self.starts()], list(range(6)))
        self.assertEqual(len({tuple(one["taps"]) for one in self.starts()}), 1)
        proc.kill()
        self.assert_gone()
        said = proc.stderr.read().decode().splitlines()
        self.assertRegex(said[0], r"\Atapferry: tapferry-vhost of tap\d+: it ended with signal 9 \(Killed\); it is started again\Z")

    def test_that_could_not_be_started_again_is_tried_until_it_can(self):
        self.start("sh", "-c", "echo here; exec cat # {socket}")
        self.mood("fail")
        os.kill(self.starts()[-1]["pid"], signal.SIGKILL)
        self.assertTrue(sandbox.eventually(lambda: not processes.is_running(self.starts()[-1]["pid"]), 10))
        self.mood("")
        self.assertTrue(sandbox.eventually(lambda: len(self.starts()) == 2, 20))

    def test_that_cannot_start_is_an_error_and_leaves_nothing(self):
        self.mood("fail")
        done = self.run_with("touch", f"{TMP}/ran", "{socket}")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines(), ["fake: it can't", "tapferry: start tapferry-vhost: it ended with status 1"])
        self.assertFalse(os.path.exists(f"{TMP}/ran"))
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == self.before, 10))
        self.assertEqual([name for name in os.listdir(TMP) if name.startswith("tapferry-")], [])

    def test_that_is_missing_is_named(self):
        self.env["TAPFERRY_VHOST"] = "/nonexistent/tapferry-vhost"
        done = self.run_with("true", "{socket}")
        self.assertEqual(done.returncode, 1)
        self.assertIn("start /nonexistent/tapferry-vhost: No such file or directory", done.stderr)

    def test_supervisor_that_is_told_to_end_takes_all_along(self):
        self.start("sh", "-c", "echo here; exec cat # {socket}")
        start, = self.starts()
        os.kill(int(processes.status(start["pid"])["PPid"]), signal.SIGTERM)
        self.assertTrue(sandbox.eventually(lambda: not processes.is_running(start["pid"]), 10))
        self.assertEqual([name for name in os.listdir(TMP) if name.startswith("tapferry-")], [])


class Refusal(VhostUserCase):
    def test_usage_errors_ask_nothing(self):
        for net, command, says in (
                ("tap", ["true", "{fds}"], "with --vhost-user the descriptors are tapferry-vhost's; write {socket}"),
                ("tap", ["true"], "{socket}"),
                ("tap", ["true", "{socket1}"], "1 --net= given"),
                ("tap,vnet_hdr=off", ["true", "{socket}"], "--vhost-user needs vnet_hdr=on"),
                ("tap,vhost=on", ["true", "{socket}"], "vhost=on is for another way")):
            with self.subTest(net=net, command=command):
                self.fails("run", "--vhost-user", f"--net={net}", "--", *command, status=2, says=says)
        self.fails("run", "--net=tap", "--", "true", "{socket}", status=2, says="with --vhost-user only")

    def test_denied_interface_starts_no_backend(self):
        done = self.run_with("true", "{socket}", nets=("tap", "bridge=br1"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("access denied", done.stderr)
        self.assertFalse(os.path.exists(f"{TMP}/starts"))
