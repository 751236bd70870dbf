# SPDX-License-Identifier: MIT
"""bridge=ovs: with faults in the front, and in the keeper and every ovs-vsctl that it starts: the whole hand-over or nothing of
it, and in the end no port, unless the keeper itself was killed: then the next hand-over takes it away."""
import unittest

import attached
import handover
import links
import open_vswitch
import ovs_case
import processes
import promises
import sandbox
import strace
from fault_case import IS_ALL, LOG, FaultCase, Form, net, set_up_module
from one_file import note

TIMEOUT = 1800
SPEC = "bridge=ovs:br-int,iface_id=vm-1"
MOST = 4  # calls of a name that are disturbed
EVERY = 1 if IS_ALL else 4  # of those, as each takes a second


def setUpModule():
    set_up_module()
    open_vswitch.need_open_vswitch()


class OvsFaults(ovs_case.OvsCase, FaultCase):
    ends_within_s = 30  # ovs-vsctl is run twice before a keeper ends

    def assertWholeOrNothing(self, got):
        if got.status == 0:
            self.assertEqual((got.stderr, len(got.fds)), ("", 1))
            self.assertIsNotNone(links.get(got.taps[0].name))
        else:
            self.assertRegex(got.stderr, promises.LINE)
            self.assertEqual((got.status, got.data, got.fds), (1, b"", []))

    def clear_up(self, was_killed):
        """Waits for the end; what a keeper that WAS_KILLED left goes with another's."""
        self.assertTrue(sandbox.eventually(lambda: not processes.of_program(self.helper), 30), "processes are left")
        if was_killed and self.ports():
            with handover.net(self.box, self.helper, "bridge=ovs:br-int", "bob") as got:
                self.assertEqual((got.status, self.ports()), (0, [got.link.name]), got.stderr)
        self.assertNothingLeft(30)

    def test_front(self):
        form = Form("bridge=ovs:", net(SPEC), "granted")
        front, _, expected = self.trace(form)
        self.clear_up(False)
        calls = [call for call in front if call.phase == strace.REQUEST]
        self.run_plan(form, strace.one_action_each(strace.pick(calls, MOST), 2)[::EVERY], expected)

    def run_one(self, form, injection, expected, before, auditor_only):
        said = super().run_one(form, injection, expected, before, auditor_only)
        if not sandbox.eventually(lambda: not self.ports(), 20):
            self.broken.append(f"ports are left: {self.ports()}: {injection}")
        return said

    def keepers_calls(self):
        """Of an undisturbed run, those of the keeper itself."""
        run = attached.Attached(self.box, self.helper, SPEC, ["-f", "-qq", "-o", LOG], ovs_case.KEEPER)
        with run.end() as got:
            self.assertEqual((got.status, got.stderr), (0, ""))
            name = got.taps[0].name
        self.assertPortGone(name)
        run.tracer.wait(30)
        return strace.auditor_calls(strace.parse(LOG)[1])

    def test_keeper_that_adds(self):
        """Those that it starts make calls of the same name, and are disturbed too: until it has answered."""
        calls = self.keepers_calls()
        added = next(i for i, call in enumerate(calls) if call.name == "sendmsg" and '"ok' in call.text)
        injections = strace.one_action_each(strace.pick(calls[:added + 1], MOST), 0)[::EVERY]
        for injection in injections:
            with self.subTest(str(injection)):
                options = ["-f", "-qq", "-o", LOG, "-e", f"trace={injection.call.name}", "-e", injection.expression]
                run = attached.Attached(self.box, self.helper, SPEC, options, ovs_case.KEEPER)
                with run.end() as got:
                    self.assertWholeOrNothing(got)
                    run.tracer.kill()  # it lets go of all that it holds, at once
                    run.tracer.wait(30)
                self.clear_up(injection.is_signal)
        note(f"fault: the keeper: {len(injections)} injections")

    def test_keeper_that_removes(self):
        calls = self.keepers_calls()
        added = next(i for i, call in enumerate(calls) if call.name == "sendmsg" and '"ok' in call.text)
        # Counted from when strace is attached, which is while it waits in recvmsg or poll.
        later = [call for call in strace.auditor_calls([(call.name, call.text) for call in calls[added + 1:]])
                 if call.name not in strace.NEVER_FAIL]
        for injection in strace.one_action_each(strace.pick(later, 2), 1):
            with self.subTest(str(injection)):
                with self.granted(SPEC):
                    keeper, = self.keepers()
                    tracer = attached.attach(self.box, keeper, ["-qq", "-o", LOG, "-e", f"trace={injection.call.name}",
                                                                "-e", injection.expression])
                self.clear_up(injection.is_signal)
                tracer.wait(30)


if __name__ == "__main__":
    unittest.main()
