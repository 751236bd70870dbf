# SPDX-License-Identifier: MIT
"""The base of the fault tests of the maker and the warden, which strace disturbs alone: the front has done its part
when they begin, and the promises (promises.py) are the same."""
import attached
import fault_case
import handover
import links
import processes
import promises
import sandbox
import strace
from fault_case import LOG, FaultCase
from warden_case import nodes

MAKER, NEW_WARDEN, WARDEN = "maker", "new warden", "warden"


def set_up_module():
    fault_case.set_up_module()


class ServiceCase(FaultCase):
    """v0 is the parent of macvtaps, v1 the other end."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")

    def spec(self, form):
        return form.arguments[0].removeprefix("--net=")

    def trace_services(self, form):
        """(the maker's calls, those of the warden that it starts, what is expected) by an undisturbed run."""
        if form.restore:
            form.restore()
        run = attached.Attached(self.box, self.helper, self.spec(form), ["-f", "-qq", "-o", LOG])
        with run.end() as got:
            self.assertEqual((got.status, got.stderr), (0, ""))
            expected = promises.picture(got)
        if form.after:
            form.after()
        run.tracer.wait(30)
        maker, *others = strace.parse(LOG)
        return strace.auditor_calls(maker), strace.auditor_calls(others[0]) if others else [], expected

    def trace_serving(self, form):
        """(what is expected, the calls of a warden that was there) by an undisturbed run and the closing of it."""
        with self.hold():
            warden, = processes.wardens()
            tracer = attached.attach(self.box, warden, ["-f", "-qq", "-o", LOG])
            with handover.net(self.box, self.helper, self.spec(form)) as got:
                self.assertEqual((got.status, got.stderr), (0, ""))
                expected = promises.picture(got)
            sandbox.eventually(lambda: links.get(got.link.name) is None)
        tracer.wait(30)
        return expected, strace.auditor_calls(strace.parse(LOG)[0])

    @staticmethod
    def two_actions_each(calls, shift):
        """The kill, and one error that takes turns."""
        kills = [strace.Injection(call, strace.KILL) for call in calls]
        errors = [injection for injection in strace.one_action_each(calls, shift) if not injection.is_signal]
        return [*kills, *errors] if not fault_case.IS_ALL else strace.every_action(calls)

    def run_services(self, form, injections, expected, target):
        """As run_plan(), with TARGET disturbed."""
        self.target = target
        self.run_plan(form, injections, expected, auditor_only=False)

    def options(self, injection):
        return [*(["-f"] if self.target == NEW_WARDEN else []), "-qq", "-o", LOG, "-e",
                f"trace={injection.call.name}", "-e", injection.expression]

    def ask_disturbed(self, form, injection):
        """(the Handover, the strace)."""
        if self.target != WARDEN:
            run = attached.Attached(self.box, self.helper, self.spec(form), self.options(injection))
            return run.end(fault_case.TIMEOUT_S), run.tracer
        warden, = processes.wardens()
        tracer = attached.attach(self.box, warden, self.options(injection))
        return handover.net(self.box, self.helper, self.spec(form), look=False, timeout=fault_case.TIMEOUT_S), tracer

    def run_one(self, form, injection, expected, before, auditor_only):
        self.box.syslog.clear()
        held = self.hold() if self.target == WARDEN else None
        got, tracer = self.ask_disturbed(form, injection)
        with got:
            broken = promises.of_answer(form.outcome, injection, got, expected, self.box.syslog)
        if held:
            broken += self.let_go(held, injection)
        if got.status == 0 and form.after:
            form.after()
        if got.status == 0 and self.target != MAKER and injection.action == strace.KILL:
            self.sweep(before[0])
        tracer.wait(30)
        broken += promises.of_processes(self.helper)
        broken += promises.of_interfaces(before[0], form.goes, form.changes if got.status == 0 else ())
        if nodes():
            broken.append(f"nodes are left: {nodes()}")
        if form.kept and got.status != 0 and form.kept() != before[1]:
            broken.append(f"was {before[1]}, is {form.kept()}")
        self.broken += [f"{what}: {injection}\n    of the {self.target}: {form.name}" for what in broken]
        return "successful" if got.status == 0 else "refused"

    # A warden that is there already, with something to watch.

    def hold(self):
        """A locked tap of bob's, since that goes by itself, whatever becomes of the warden."""
        got = handover.net(self.box, self.helper, "bridge=br1,lock=on,guest_mac=52:54:00:00:00:77", "bob", look=False)
        self.assertEqual((got.status, got.stderr), (0, ""))
        return got

    def let_go(self, held, injection):
        """What a fault that concerned another's request did to it."""
        name = held.taps[0].name
        is_there = links.get(name) is not None
        held.close()
        return [] if is_there else [f"another's interface is gone after {injection}"]

    @staticmethod
    def sweep(before):
        """What doctor does where the warden was killed after it had promised to stay."""
        def is_over():
            return not processes.wardens() or not [link for link in links.of_kind("macvtap") if link.name not in before]
        sandbox.eventually(is_over)
        for link in links.of_kind("macvtap") if not processes.wardens() else []:
            if link.name not in before:
                sandbox.ip("link", "del", link.name)
