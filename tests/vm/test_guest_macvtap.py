# SPDX-License-Identifier: MIT
"""QEMU as an unprivileged user on a macvtap that the helper made: its guest is on the parent's network, and the macvtap
goes with QEMU, however that ends."""
import concurrent.futures
import os
import signal
import subprocess
import threading
import time

import guest
import links
import processes
import sandbox
from one_file import note
from sandbox import ip
from vm_case import VmCase, installed_command, installed_helper

TIMEOUT = 600

GONE_WITHIN_S = 1.0 * int(os.environ.get("TAPFERRY_TIME_FACTOR", "1"))
ROUNDS = 200

# A QEMU without a machine opens its network all the same, in a tenth of the time. It greets on QMP when all is open.
NO_GUEST = ("-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-S", "-qmp", "stdio",
            "-netdev", "tap,id=n0,fds={fds}")

# Two guests that wait for each other at the beginning and at the end.
MEET = """
ip addr add {own}/24 dev eth0
ip link set eth0 up
for i in $(seq 300); do ping -q -c 1 -W 1 {other} >/dev/null && break; done
reach ping64 {other} 64
reach ping60000 {other} 60000
"""
WAIT_FOR_GOODBYE = "nc -l -p 7 >/dev/null\n"
SAY_GOODBYE = "for i in $(seq 300); do echo bye | nc -w 5 {other} 7 && break; usleep 100000; done\n"


class MacvtapCase(VmCase):
    """A veth pair: v0 is the parent, v1 the wire's other end with the host's address."""

    def setUp(self):
        self.box.delete_links()
        self.box.veth("v0", "v1")
        ip("addr", "add", f"{guest.HOST_ADDRESS}/24", "dev", "v1")
        self.box.policy("allow macvtap=v0 user=alice queues=2 name=vm-*")
        self.helper, self.command = installed_helper(self.box), installed_command(self.box)

    def run_with(self, spec):
        return [self.command, "run", f"--net={spec}", f"--helper={self.helper}", "--"]

    def boot(self, version, spec, script=guest.REACH_HOST, smp=1, on_result=None):
        return self.stage.boot(self.qemu(version), script, [], user=self.alice, prefix=self.run_with(spec), smp=smp,
                               on_result=on_result)

    def assert_gone(self, what=""):
        self.assertTrue(sandbox.eventually(lambda: not links.of_kind("macvtap"), GONE_WITHIN_S), f"it stays {what}")


class Pings(MacvtapCase):
    def check(self, version, queues):
        seen = []

        def look(key, value):
            if key == "mac":
                seen.extend(link.mac for link in links.of_kind("macvtap"))
                seen.append(value)

        outcome = self.boot(version, f"macvtap=v0,queues={queues}", smp=queues, on_result=look)
        self.assert_reached_host(outcome, queues)
        self.assertEqual((len(seen), len(set(seen))), (2, 1), "one macvtap, whose address is the guest's")
        self.assert_gone()

    def test_guest_of_qemu_7_2_with_one_queue(self):
        self.check("7.2", 1)

    def test_guest_of_qemu_7_2_with_two_queues(self):
        self.check("7.2", 2)

    def test_guest_of_qemu_10_with_two_queues(self):
        self.check("10.0", 2)

    def test_two_guests_on_one_parent(self):
        booted = threading.Event()
        addresses = {"own": "192.0.2.2", "other": "192.0.2.3"}
        swapped = {"own": addresses["other"], "other": addresses["own"]}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            script = "result began yes\n" + MEET.format(**addresses) + WAIT_FOR_GOODBYE
            first = pool.submit(self.boot, "7.2", "macvtap=v0", script, on_result=lambda *_: booted.set())
            booted.wait(60)
            second = pool.submit(self.boot, "7.2", "macvtap=v0", MEET.format(**swapped) + SAY_GOODBYE.format(**swapped))
            for outcome in (first.result(), second.result()):
                self.assertEqual(outcome.status, 0, outcome)
                pings = outcome.results.get("ping64"), outcome.results.get("ping60000")
                self.assertEqual(pings, ("3/3", "3/3"), outcome)
        self.assert_gone()

    def test_guest_whose_qemu_is_killed(self):
        killed = []

        def kill(*_):
            killed.extend(pid for pid, _ in processes.named("qemu-system") if not killed)
            os.kill(killed[0], signal.SIGKILL)

        outcome = self.boot("7.2", "macvtap=v0", "result began yes\nsleep 1000\n", on_result=kill)
        self.assertEqual((outcome.status, len(killed)), (-signal.SIGKILL, 1), outcome)
        self.assert_gone()


class Killed(MacvtapCase):
    """Many times, QEMU without a guest: by SIGKILL, and not one macvtap stays."""

    def start(self, *words):
        """The process, when QEMU has its queues, and the lines that came before its greeting."""
        process = self.box.popen([*self.run_with("macvtap=v0,name=vm-1"), *words], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        lines = []
        for line in process.stdout:
            if line.startswith('{"QMP"'):
                return process, lines
            lines.append(line)
        return self.fail(f"QEMU didn't start: {lines}")

    def end(self, process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def seconds_until_gone(self, number):
        start = time.monotonic()
        gone = sandbox.eventually(lambda: not os.path.exists("/sys/class/net/vm-1"), GONE_WITHIN_S)
        self.assertTrue(gone, f"it stays in round {number}")
        return time.monotonic() - start

    def finish(self, longest, words):
        self.assert_gone("at the end")
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")), processes.named("tapferry-"))
        note(f"{ROUNDS} times QEMU killed{words}: its macvtap gone after {1000 * longest:.0f} ms at most, none left")

    def test_two_hundred_times(self):
        qemu, longest = self.qemu("7.2").program, 0
        for number in range(ROUNDS):
            process, _ = self.start(qemu, *NO_GUEST)
            self.assertTrue(os.path.exists("/sys/class/net/vm-1"))
            self.end(process)
            longest = max(longest, self.seconds_until_gone(number))
        self.finish(longest, "")

    def test_two_hundred_times_while_a_third_process_has_the_descriptors_too(self):
        """It is the one that ends last, killed as well."""
        words = ["sh", "-c", 'sleep 1000 >/dev/null & echo $!; exec "$@"', "sh", self.qemu("7.2").program, *NO_GUEST]
        longest = 0
        for number in range(ROUNDS):
            process, (third,) = self.start(*words)
            self.end(process)
            if number % 10 == 0:
                time.sleep(0.1)
            self.assertTrue(os.path.exists("/sys/class/net/vm-1"), "the third process has it")
            os.kill(int(third), signal.SIGKILL)
            longest = max(longest, self.seconds_until_gone(number))
        self.finish(longest, ", its descriptors passed on to a third process that was killed last")
