# SPDX-License-Identifier: MIT
"""tapferryd with many clients at once, and with those that aren't nice: nobody waits for another, and nothing is left."""
import json
import os
import signal
import textwrap
import threading
import unittest

import links
import processes
import sandbox
from broker_case import BROKER, SERVICE, BrokerCase, BrokerError, need_broker

TIMEOUT = 600


def setUpModule():
    need_broker()


class Load(BrokerCase):
    """Many at once."""

    GOOD, BAD = 200, 20

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 max=1000")

    def test_200_clients_are_served_beside_20_that_are_not_nice(self):
        broker, = self.broker_pids()
        self.client().call(f"{SERVICE}.GetInfo")
        sandbox.eventually(lambda: len(processes.descriptors(broker)) <= 8, 5)
        before = len(processes.descriptors(broker)), len(processes.descriptors(self.daemon.pid))
        bad = [self.client("bob") for _ in range(self.BAD)]
        for number, client in enumerate(bad):
            client.send_bytes((b"", b"{\"method\":", b"\xff\xfe garbage\0", b"\0\0\0\0")[number % 4])
        good = [self.client("alice") for _ in range(self.GOOD)]
        results = [None] * self.GOOD

        def ask(index):
            try:
                results[index] = good[index].call(f"{BROKER}.Open", net="bridge=br0")
            except (BrokerError, OSError, EOFError) as error:
                results[index] = error

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(self.GOOD)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        failed = [result for result in results if not isinstance(result, tuple)]
        self.assertEqual(failed, [])
        names = {parameters["grant"]["ifname"] for parameters, _fds in results}
        self.assertEqual(len(names), self.GOOD)
        for _parameters, fds in results:
            for fd in fds:
                os.close(fd)
        for client in good + bad:
            client.close()
        self.assertTrue(sandbox.eventually(
            lambda: (len(processes.descriptors(broker)), len(processes.descriptors(self.daemon.pid))) <= before, 20),
            "descriptors are left")
        self.assertEqual([link.name for link in links.of_kind("tun")], [])

    def test_a_user_with_too_many_connections_is_told_and_others_are_served(self):
        many = [self.client("bob") for _ in range(256)]
        with self.assertRaises(BrokerError) as caught:
            self.client("bob").result()
        self.assertEqual(caught.exception.name, f"{BROKER}.Busy")
        self.open("bridge=br0", "alice")
        for client in many:
            client.close()
        self.assertTrue(sandbox.eventually(lambda: self.is_served("bob")))

    def is_served(self, user):
        try:
            return bool(self.client(user).call(f"{SERVICE}.GetInfo"))
        except (BrokerError, OSError):
            return False

    def test_a_user_who_calls_too_often_is_told_and_others_are_served(self):
        client = self.client("bob")
        call = json.dumps({"method": f"{SERVICE}.GetInfo"}).encode() + b"\0"
        names = set()
        for _ in range(100):
            client.send_bytes(call * 20)
            names |= {client.receive()[0].get("error") for _ in range(20)}
            if f"{BROKER}.Busy" in names:
                break
        self.assertEqual(names, {None, f"{BROKER}.Busy"})
        self.open("bridge=br0", "alice")


# Ends when it is killed for one user; is the helper for all others.
SLOW_HELPER = """\
    #!/usr/bin/python3
    import os, sys, time
    if os.getuid() == {uid}:
        time.sleep(100)
    os.execv("{helper}", ["{helper}", *sys.argv[1:]])
"""


class Stopped(BrokerCase):
    """A user whose helpers don't come to an end."""

    def daemon_command(self, *more):
        text = textwrap.dedent(SLOW_HELPER).replace("{uid}", str(self.box.users["bob"].uid)).replace("{helper}", self.helper)
        slow = self.box.write(f"{sandbox.BASE}/bin/slow-helper", text, mode=0o755)
        return [self.daemon_program, f"--helper={slow}", f"--broker={self.broker_program}", *more]

    def slow_helpers(self):
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children", encoding="ascii") as children:
            return sorted(set(map(int, children.read().split())) - set(self.broker_pids()))

    def test_keeps_nobody_else_from_being_served(self):
        slow = [self.client("bob") for _ in range(40)]
        for client in slow:
            client.send(f"{BROKER}.Open", net="bridge=br0")
        self.assertTrue(sandbox.eventually(lambda: len(self.slow_helpers()) == 8, 20))
        self.open("bridge=br0", "alice")
        self.assertEqual(len(self.slow_helpers()), 8, "the others wait")
        # Those who have gone are not begun.
        for client in slow[8:]:
            client.close()
        self.client("alice").call(f"{SERVICE}.GetInfo")
        for pid in self.slow_helpers():
            os.kill(pid, signal.SIGKILL)
        for client in slow[:8]:
            with self.assertRaises(BrokerError) as caught:
                client.result()
            self.assertEqual(caught.exception.message, "tapferry-helper ended with signal 9 (Killed) and no word")
        self.assertEqual(self.slow_helpers(), [])


class Memory(BrokerCase):
    """It doesn't grow."""

    @unittest.skipIf(sandbox.IS_SANITIZED, "a sanitizer keeps what is freed")
    def test_a_thousand_calls_leave_memory_as_it_was(self):
        pid, = self.broker_pids()

        def kilobytes():
            return int(processes.status(pid)["VmRSS"].split()[0])

        def call_often(times):
            for _ in range(times):
                for user in ("alice", "bob", "carol", "mallory", "bobby"):
                    client = self.client(user)
                    client.call(f"{SERVICE}.GetInfo")
                    client.close()

        call_often(60)
        before = kilobytes()
        call_often(200)
        self.assertLess(kilobytes(), before + 2048)


if __name__ == "__main__":
    unittest.main()
