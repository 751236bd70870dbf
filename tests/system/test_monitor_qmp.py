# SPDX-License-Identifier: MIT
"""`tapferry monitor --qmp`: what QEMU is told, and what becomes of the monitor when QEMU is strange or gone."""
import signal
import unittest

import sandbox
from fake_qmp import GREETING, FakeQmp
from monitor_case import MonitorCase
from sandbox import ip


class QmpCase(MonitorCase):
    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")

    def qemu(self, *arguments, **options):
        qemu = FakeQmp(f"{sandbox.BASE}/tmp/qmp", *arguments, owner=self.box.users["alice"], **options)
        self.addCleanup(qemu.close)
        return qemu

    def follow(self, *arguments):
        return self.start("v0", f"--qmp={sandbox.BASE}/tmp/qmp", "--id=n0", *arguments)

    @staticmethod
    def link(up):
        return ("set_link", {"name": "n0", "up": up})

    def failed(self, watch, *words):
        """It ended with status 1 and one line that has these words."""
        self.assertEqual(watch.ended(), 1)
        line = watch.stderr()
        self.assertEqual(line.count("\n"), 1, line)
        for word in words:
            self.assertIn(word, line)


class GuestLink(QmpCase):
    def test_is_told_the_first_state_and_each_that_is_different(self):
        qemu = self.qemu()
        watch = self.follow()
        self.assertEqual(qemu.wait(1), [self.link(True)])
        ip("link", "set", "v0", "mtu", "1400")
        ip("link", "set", "v0", "down")
        ip("link", "set", "v0", "name", "w0")
        ip("link", "set", "w0", "up")
        ip("link", "set", "v1", "down")
        ip("link", "set", "w0", "down")
        ip("link", "set", "w0", "up")
        ip("link", "set", "v1", "up")
        up_and_down = [self.link(state) for state in (True, False, True, False, True)]
        self.assertEqual(qemu.wait(5), up_and_down, "administrator and carrier, and nothing twice")
        self.assertEqual([event["up"] for event in watch.events if event["event"] == "guest-link"][:4],
                         [True, False, True, False])
        self.assertEqual(watch.end(), 0)

    def test_is_down_from_the_start_where_the_interface_is(self):
        ip("link", "set", "v1", "down")
        qemu = self.qemu()
        self.follow()
        self.assertEqual(qemu.wait(1), [self.link(False)])

    def test_goes_down_when_the_interface_is_removed(self):
        qemu = self.qemu()
        watch = self.follow()
        qemu.wait(1)
        ip("link", "delete", "v0")
        self.assertEqual(watch.ended(), 0)
        self.assertEqual(qemu.wait(2)[-1], self.link(False))

    def test_goes_down_when_nothing_was_heard_but_that_the_interface_is_gone(self):
        qemu = self.qemu()
        watch = self.follow("--receive-buffer=1")
        watch.wait(lambda event: event["event"] == "guest-link")
        watch.process.send_signal(signal.SIGSTOP)
        for mtu in range(1400, 1420):
            ip("link", "set", "v0", "mtu", str(mtu))
        ip("link", "delete", "v0")
        watch.process.send_signal(signal.SIGCONT)
        self.assertEqual(watch.ended(), 0)
        self.assertEqual(watch.names_of_events()[-3:], ["resynchronised", "removed", "guest-link"])
        self.assertEqual(qemu.wait(2)[-1], self.link(False))

    def test_follows_an_interface_that_is_waited_for(self):
        ip("link", "delete", "v0")
        qemu = self.qemu()
        self.follow("--wait")
        self.assertEqual(qemu.wait(1), [self.link(False)])
        self.box.veth("v0", "v1")
        self.assertEqual(qemu.wait(2)[-1], self.link(True))
        ip("link", "delete", "v0")
        self.assertEqual(qemu.wait(3)[-1], self.link(False))

    def test_is_told_before_the_monitor_ends_by_a_condition(self):
        qemu = self.qemu()
        watch = self.follow("--exit-on=down")
        qemu.wait(1)
        ip("link", "set", "v0", "down")
        self.assertEqual(watch.ended(), 0)
        self.assertEqual(qemu.wait(2)[-1], self.link(False))


class Qemu(QmpCase):
    def test_that_ends_ends_the_monitor(self):
        qemu = self.qemu()
        watch = self.follow()
        qemu.wait(1)
        watch.wait(lambda event: event["event"] == "guest-link")
        qemu.hang_up()
        self.assertEqual(watch.ended(), 0)
        self.assertEqual(watch.events[-1]["event"], "guest-gone")
        self.assertEqual(watch.stderr(), "")

    def test_that_ends_before_the_awaited_state_is_a_failure(self):
        qemu = self.qemu()
        watch = self.follow("--exit-on=removed")
        watch.wait(lambda event: event["event"] == "guest-link")
        qemu.hang_up()
        self.assertEqual(watch.ended(), 1)

    def test_that_ends_instead_of_answering_ends_the_monitor(self):
        self.qemu(lambda command: None)
        watch = self.follow()
        self.assertEqual(watch.ended(), 0)
        self.assertEqual(watch.events[-1]["event"], "guest-gone")

    def test_may_talk_of_other_things(self):
        event = {"event": "NIC_RX_FILTER_CHANGED", "data": {"name": "n0"}, "timestamp": {"seconds": 1, "microseconds": 2}}
        qemu = self.qemu(lambda command: [event, {"return": {}, "id": "of somebody else"}, event, {"return": {}}, event],
                         greeting={**GREETING, "more": [event]})
        watch = self.follow()
        watch.wait(lambda event: event["event"] == "guest-link")
        for _ in range(200):
            qemu.say(event)
        ip("link", "set", "v0", "down")
        self.assertEqual(qemu.wait(2)[-1], self.link(False))

    def test_may_answer_in_pieces(self):
        def answer(command):
            text = f'{{"return": {{}}, "id": "{command["id"]}"}}\r\n'.encode()
            return [text[:9], text[9:]]
        self.qemu(answer)
        self.follow().wait(lambda event: event["event"] == "guest-link")

    def test_without_such_a_device_says_so(self):
        self.qemu(lambda command: [{"error": {"class": "DeviceNotFound", "desc": "Device 'n0' not found"}}])
        self.failed(self.follow(), "tapferry: have QEMU do set_link: Device 'n0' not found (DeviceNotFound)")

    def test_that_is_busy_with_another_client_is_not_waited_for_long(self):
        self.qemu(greeting=None)
        self.failed(self.follow(), "talk to QEMU at", "timed out; QEMU serves one client of a QMP socket at a time")

    def test_that_is_not_there_is_an_error(self):
        self.failed(self.follow(), f"tapferry: connect to QEMU at {sandbox.BASE}/tmp/qmp: ", "No such file")

    def test_that_is_none_is_an_error(self):
        for rubbish in (b"SSH-2.0-OpenSSH\r\n", b"[]\n", b"\n", b"{\n", b'{"QMP": 1}\n{"QMP"\n', b"\0\n", b"\xff\xfe\n"):
            with self.subTest(rubbish):
                self.qemu(greeting=rubbish)
                self.failed(self.follow(), "QEMU at")
                self.doCleanups()
                self.setUp()

    def test_that_never_ends_a_line_is_an_error(self):
        self.qemu(greeting=b"x" * (5 << 20))
        self.failed(self.follow(), "it sent a line without end")


if __name__ == "__main__":
    unittest.main()
