# SPDX-License-Identifier: MIT
"""A hand-over whose maker, or the warden, runs under strace, and nothing else of it: strace is attached to the maker
while that waits and the front is stopped, at its first look at the policy."""
import os
import signal
import socket
import subprocess
import tempfile

import handover
import processes
import sandbox

FRONT_STOPS = ["strace", "-qq", "-u", "alice", "-P", "/etc/tapferry/policy.conf", "-e", "inject=openat:signal=SIGSTOP"]
STOPPED = "--- stopped by SIGSTOP ---"
SECONDS = 20


class Attached:
    """A hand-over that has begun: end() gives what came of it."""

    def __init__(self, box, helper, spec, options, name=processes.MAKER):
        """OPTIONS of the strace that is attached to the maker; with -f it follows the warden that this one starts.  NAME: of
        another process that waits in the maker's place."""
        self._box, self._helper, self._name = box, helper, name
        processes.wait_for_no_maker()  # so that the next one is ours
        self._sock, theirs = socket.socketpair()
        with theirs, tempfile.NamedTemporaryFile(mode="r") as trace:
            command = [*FRONT_STOPS, "-o", trace.name, helper, f"--net={spec}", f"--fd={theirs.fileno()}"]
            self._front = box.popen(command, "root", pass_fds=[theirs.fileno()], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE)
            is_ready = sandbox.eventually(lambda: self._is_ready(trace), SECONDS)
        if not is_ready:
            self._give_up()
            raise AssertionError("the maker doesn't wait")
        maker, = self._waiting()
        self.tracer = attach(box, maker, options)
        os.kill(self._stopped_front(), signal.SIGCONT)

    def _waiting(self):
        return [pid for pid, _ in processes.named(self._name)]

    def _give_up(self):
        processes.kill_and_wait(*processes.of_program(self._helper))
        self._front.communicate()

    def _stopped_front(self):
        """When it is the only one without a session of its own."""
        found = processes.fronts(self._helper)
        return found[0] if len(found) == 1 else None

    def _is_ready(self, trace):
        """By strace's own word: State tells of every short stop at a call, and a SIGCONT that comes before the SIGSTOP
        is lost."""
        trace.seek(0)
        if STOPPED not in trace.read() or not self._stopped_front():
            return False
        makers = [processes.status(pid) for pid in self._waiting()]
        return bool(makers) and makers[0].get("NoNewPrivs") == "1" and makers[0]["State"].startswith("S")

    def end(self, timeout=60):
        """The Handover; its descriptors are open."""
        try:
            _out, said = self._front.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._give_up()
            raise
        with self._sock:
            messages, fds, eof = handover.drain(self._sock, 1)
        return handover.Handover(self._front.returncode, said.decode(errors="replace"), "", messages,
                                 [handover.inspect(fd) for fd in fds], eof)


def attach(box, pid, options):
    """strace with OPTIONS on process PID, from now on; the Popen of it."""
    tracer = box.popen(["strace", *options, "-p", str(pid)], "root", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def is_attached():
        # What it is to do may be to kill at once.
        return processes.status(pid).get("TracerPid") == str(tracer.pid) or not processes.is_running(pid)

    if not sandbox.eventually(is_attached, SECONDS):
        raise AssertionError(f"strace isn't attached to {pid}")
    return tracer
