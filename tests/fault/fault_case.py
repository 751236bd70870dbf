# SPDX-License-Identifier: MIT
"""The base of the fault tests: asks the helper once for each injection of a plan, under strace, and holds every run to
the promises of promises.py.  What broke one is told with a command line that repeats it."""
import collections
import dataclasses
import os
import shlex
import shutil
import subprocess
import tempfile
import unittest

import handover
import promises
import sandbox
import strace
from helper_case import HelperCase, need_helper
from one_file import note

HERE = os.path.dirname(os.path.abspath(__file__))
LOG = f"{sandbox.BASE}/strace.log"
SHOWN = 40  # broken promises that are told in full
TIMEOUT_S = 60
SPENT = 128  # more than the auditor makes of any call

# TAPFERRY_FAULTS=all: every action at every call of every form, which takes far longer.
IS_ALL = os.environ.get("TAPFERRY_FAULTS") == "all"


def set_up_module():
    need_helper()
    strace.need_strace()


@dataclasses.dataclass
class Form:
    """One way of asking, and what comes of it when nothing fails."""
    name: str
    arguments: tuple
    outcome: str            # "granted", "refused", "explained", "released"
    says: str = ""          # the reason of a refusal: that it is for this one
    restore: object = None  # callable: makes the interfaces that stand before each run
    goes: tuple = ()        # those of them that a run may take away
    changes: tuple = ()     # those that a granted or a killed run may leave different
    stays: tuple = ()       # those that may be there after a run whose message was received, with persist=on
    kept: object = None     # callable: anything else that a failed run must leave as it was
    after: object = None    # callable: takes away what may stay, when it was seen, so that no process stays for it


def net(spec):
    return (f"--net={spec}", "--fd={fd}")


class FaultCase(HelperCase):
    ends_within_s = 2  # the processes of a hand-over whose interface is gone

    def setUp(self):
        super().setUp()
        self.broken = []
        self.is_everywhere = False

    def ask_under(self, form, command, launcher=()):
        # Files, not pipes: a strace that stays as long as a warden does keeps what it inherited.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            got = handover.ask(self.box, self.helper, form.arguments, user="root", timeout=TIMEOUT_S, look=False,
                               eof_seconds=0 if self.is_everywhere else 1, wrap=[*command, *launcher], stdout=out,
                               stderr=err)
            got.stdout, got.stderr = (self.text_of(file) for file in (out, err))
        return got

    @staticmethod
    def text_of(file):
        file.seek(0)
        return file.read().decode(errors="replace")

    def trace(self, form):
        """(the front's calls, the auditor's, what is expected) by a run that nothing disturbs; self.others gets those of the
        maker and the warden."""
        if form.restore:
            form.restore()
        with self.ask_under(form, strace.trace_command(LOG, "alice")) as got:
            if form.outcome == "refused":
                self.assertGreater(got.status, 0)
                self.assertRegex(got.stderr, promises.LINE)
                self.assertIn(form.says, got.stderr)
            else:
                self.assertEqual((got.status, got.stderr), (0, ""))
                self.assertIn(form.says, got.stdout)
            expected = {"refused": lambda: None, "released": lambda: None, "explained": lambda: got.stdout,
                        "granted": lambda: promises.picture(got)}[form.outcome]()
        if form.after:
            form.after()
        self.assertEqual(promises.of_processes(self.helper, self.ends_within_s), [])
        sandbox.eventually(lambda: strace.is_complete(LOG), 5)
        front, auditor, *others = strace.parse(LOG)
        self.others = [strace.auditor_calls(calls) for calls in others]
        return strace.front_calls(front), strace.auditor_calls(auditor), expected

    # plans

    @staticmethod
    def whole_plan(calls, most=10, actions=strace.ACTIONS):
        """Every action at every call, but at most MOST of a name in one phase."""
        return strace.every_action(calls if IS_ALL else strace.pick(calls, most), actions)

    def short_plan(self, calls, shift):
        """Every action at the calls that depend on the request, and one at each of those before it, since these are
        the same in every form: SHIFT lets each form begin with another action."""
        if IS_ALL:
            return self.whole_plan(calls)
        request = [call for call in calls if call.phase == strace.REQUEST]
        before = [call for call in calls if call.phase != strace.REQUEST]
        return [*strace.one_action_each(strace.pick(before, 5), shift), *self.whole_plan(request, 32)]

    # running

    def run_plan(self, form, injections, expected, auditor_only=False):
        """Each of INJECTIONS once; fails with the list of those that broke a promise."""
        counts = collections.Counter()
        before = None
        for injection in injections:
            if form.restore:
                form.restore()
            if before is None or form.restore:
                before = (promises.interfaces(), form.kept() if form.kept else None)
            known = len(self.broken)
            counts[self.run_one(form, injection, expected, before, auditor_only)] += 1
            if len(self.broken) > known:
                before = None  # what this one left behind isn't the next one's
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        note(f"fault: {form.name}: {len(injections)} injections: {told}")
        self.assertTrue(injections)
        if self.broken:
            more = len(self.broken) - SHOWN
            self.fail("\n".join([f"{len(self.broken)} broken promises", *self.broken[:SHOWN],
                                 *([f"and {more} more"] if more > 0 else [])]))

    def run_everywhere(self, form, injections, expected):
        """As run_plan, but the call fails in whichever process makes it, in all of them at once."""
        self.is_everywhere = True
        # As at the start of the program: it may be ld.so that fails, and speaks.
        self.run_plan(form, [dataclasses.replace(one, call=dataclasses.replace(one.call, phase=strace.START))
                             for one in injections], expected)

    def run_one(self, form, injection, expected, before, auditor_only):
        """What the run came to, in a word."""
        self.box.syslog.clear()
        command = strace.inject_command(LOG, "alice", injection, follow=auditor_only or self.is_everywhere)
        launcher = (self.use_up(), injection.call.name, str(SPENT)) if auditor_only else ()
        got = None
        try:
            with self.ask_under(form, command, launcher) as got:
                got.eof |= self.is_everywhere  # strace has it
                broken = promises.of_answer(form.outcome, injection, got, expected, self.box.syslog)
        except subprocess.TimeoutExpired:
            broken = [f"no end after {TIMEOUT_S} s"]
        if not self.is_everywhere and not promises.is_killed(got) and not strace.was_injected(LOG, injection, auditor_only):
            broken.append("the call was not reached, so it isn't the same in every run")
        stays = form.stays if got is not None and got.messages and got.status <= 0 else ()
        if stays and form.after:
            form.after()
        is_final = promises.is_killed(got) or (got is not None and got.status == 0)
        broken += promises.of_processes(self.helper, self.ends_within_s)
        broken += promises.of_interfaces(before[0], form.goes, form.changes if is_final else (), stays)
        if form.kept and not is_final and form.kept() != before[1]:
            broken.append(f"was {before[1]}, is {form.kept()}")
        repeat = shlex.join([*command, *launcher, self.helper, *form.arguments])
        self.broken += [f"{what}: {injection}\n    {repeat}" for what in broken]
        return "hanging" if got is None else "killed" if promises.is_killed(got) else \
            "successful" if got.status == 0 else "refused"

    def use_up(self):
        """The launcher that use_up.cc is about, built once."""
        target = f"{sandbox.BASE}/bin/use_up"
        if not os.path.exists(target):
            compiler = shutil.which("c++")
            if not compiler:
                raise unittest.SkipTest("no C++ compiler (make deps)")
            subprocess.run([compiler, "-std=c++20", "-O1", "-static", "-o", target, f"{HERE}/use_up.cc"], check=True)
        return target
