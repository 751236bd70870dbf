# SPDX-License-Identifier: MIT
"""`tapferry attach` to a real QEMU that is killed in the middle of it: before each command, and after each that it has carried
out but not answered.  QEMU runs no guest (-S): it has to come so far only."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import unittest

import links
import processes
import sandbox
from command_case import CommandCase, need_command
from one_file import note

QEMU = "/usr/bin/qemu-system-x86_64"
TIMEOUT = 600
MOST_COMMANDS = 40


def setUpModule():
    need_command()
    if not os.path.exists(QEMU):
        raise unittest.SkipTest("qemu-system-x86 is not installed")


class Relay(threading.Thread):
    """Between tapferry and QEMU: passes everything on, descriptors too, and kills QEMU at the command of this number."""

    def __init__(self, path, qemu_path, kill, number, is_after):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen()
        self._path, self._qemu_path, self._kill = path, qemu_path, kill
        self._number, self._is_after = number, is_after
        self.commands = []
        self.start()

    def run(self):
        with self.listener, contextlib.suppress(OSError):
            ours, _ = self.listener.accept()
            with ours, socket.socket(socket.AF_UNIX) as theirs:
                theirs.connect(self._qemu_path)
                answers = threading.Thread(target=self._pass_answers, args=(theirs, ours), daemon=True)
                answers.start()
                self._pass_commands(ours, theirs)
                with contextlib.suppress(OSError):
                    theirs.shutdown(socket.SHUT_RDWR)
                answers.join(30)
        os.unlink(self._path)

    def _pass_commands(self, ours, theirs):
        while True:
            data, fds, _flags, _address = socket.recv_fds(ours, 65536, 16)
            try:
                if not data:
                    return
                self.commands += [json.loads(line)["execute"] for line in data.splitlines() if line.strip()]
                if len(self.commands) >= self._number and not self._is_after:
                    self._kill()
                    return
                socket.send_fds(theirs, [data], fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _pass_answers(self, theirs, ours):
        with contextlib.suppress(OSError):
            while data := theirs.recv(65536):
                if len(self.commands) >= self._number and self._is_after:
                    self._kill()
                    break
                ours.sendall(data)
            ours.shutdown(socket.SHUT_RDWR)


class QemuDies(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.box.policy("allow bridge=br0 user=alice queues=2", "allow macvtap=v0 user=alice queues=2")
        self.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        self.runtime = f"{sandbox.BASE}/runtime"
        os.makedirs(self.runtime, mode=0o755, exist_ok=True)
        os.chown(self.runtime, self.box.users["alice"].uid, -1)
        self.qmp, self.relayed = f"{sandbox.BASE}/tmp/vm.qmp", f"{sandbox.BASE}/tmp/relayed.qmp"

    @contextlib.contextmanager
    def qemu(self):
        words = [QEMU, "-M", "q35,accel=tcg", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none", "-S",
                 "-object", "memory-backend-memfd,id=mem,size=64M,share=on", "-numa", "node,memdev=mem",
                 "-qmp", f"unix:{self.qmp},server=on,wait=off"]
        for number in range(2):
            words += ["-device", f"pcie-root-port,id=rp{number},chassis={number + 1}"]
        with self.box.popen(words, "alice", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as vm:
            try:
                self.assertTrue(sandbox.eventually(lambda: os.path.exists(self.qmp) or vm.poll() is not None, 60))
                self.assertIsNone(vm.poll(), "QEMU doesn't start")
                yield vm
            finally:
                vm.kill()
                vm.wait()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.qmp)

    def attach(self, path, *words):
        return self.box.run([self.command, "attach", f"--qmp={path}", f"--helper={self.helper}", *words], "alice",
                            timeout=120, env={"XDG_RUNTIME_DIR": self.runtime})

    def assertNothingLeft(self, before, words):
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before, 20), (words, links.snapshot()))
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry"), 20), (words, processes.named("tapferry")))
        self.assertEqual(os.listdir(self.runtime), [], words)

    def dies_at_each_command(self, *words):
        before, seen = links.snapshot(), None
        for number in range(1, MOST_COMMANDS):
            for is_after in (False, True):
                with self.qemu() as vm:
                    relay = Relay(self.relayed, self.qmp, lambda vm=vm: (vm.kill(), vm.wait()), number, is_after)
                    done = self.attach(self.relayed, *words)
                    relay.join(60)
                    if len(relay.commands) < number:
                        self.assertEqual((done.returncode, done.stderr), (0, ""), relay.commands)
                        note(f"attach {' '.join(words)}: QEMU killed before and after each of {len(seen)} commands")
                        return
                    seen = relay.commands
                    self.assertEqual(done.returncode, 1, done)
                    self.assertRegex(done.stderr, r"\Atapferry: [^\n]+\n\Z", relay.commands)
                    self.assertRegex(done.stderr, r"QEMU at \S+: (it closed the connection|Connection reset|Broken pipe)")
                    self.assertNothingLeft(before, relay.commands)
        self.fail(f"more than {MOST_COMMANDS} commands: {seen}")

    def test_with_a_tap_and_a_macvtap(self):
        self.dies_at_each_command("--net=bridge=br0,queues=2", "--net=macvtap=v0")

    def test_with_vhost_user(self):
        self.dies_at_each_command("--net=bridge=br0", "--vhost-user")

    def test_that_was_stopped_first(self):
        """It answers nothing, and then it is gone."""
        before = links.snapshot()
        with self.qemu() as vm:
            self.assertEqual(self.attach(self.qmp, "--net=bridge=br0", "--id=first").returncode, 0)
            vm.send_signal(signal.SIGSTOP)
            with self.box.popen([self.command, "attach", f"--qmp={self.qmp}", f"--helper={self.helper}",
                                 "--net=macvtap=v0"], "alice", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True) as attach:
                self.assertTrue(sandbox.eventually(lambda: processes.status(attach.pid).get("State", "").startswith("S"), 20))
                vm.kill()
                out, err = attach.communicate(timeout=60)
        self.assertEqual((attach.returncode, out), (1, ""))
        self.assertRegex(err, r"\Atapferry: [^\n]+\n\Z")
        self.assertNothingLeft(before, err)


if __name__ == "__main__":
    unittest.main()
