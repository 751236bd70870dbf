# SPDX-License-Identifier: MIT
"""`make demo`: a user without privilege puts real guests on a bridge, and is refused what he may not have.

Everything happens in namespaces made here: nobody's interfaces, files or users are touched. As root, since those
namespaces need it; what is shown runs as an ordinary user with no capability.
"""

import os
import pathlib
import shlex
import sys
import textwrap
import time

sys.dont_write_bytecode = True

import guest  # noqa: E402
import guest_fetch  # noqa: E402
import links  # noqa: E402
import sandbox  # noqa: E402

POLICY = "allow bridge=br0 user=alice queues=2"
WORDS = {
    "mac": "its NIC has the address {}",
    "rx_queues": "its NIC has {} receive queue(s)",
    "ping64": "{} pings of 64 bytes to the host answered",
    "ping60000": "{} pings of 60,000 bytes answered",
}


class Demo:
    def __init__(self, start):
        self.start = start
        self.summary = []
        self.box = sandbox.enter()
        self.alice = self.box.users["alice"]
        self.helper = self.box.install_helper()  # beside the command, where that looks for it
        self.command = self.box.install(os.path.join(sandbox.BUILD, "tapferry"))
        folder = pathlib.Path(sandbox.BASE, "guest")
        folder.mkdir(mode=0o755)
        self.stage = guest.Stage(folder)
        self.qemu = guest.qemu("7.2")

    def say(self, text):
        say(self.start, text)

    def conclude(self, what, good, outcome):
        self.summary.append((what, good))
        if not good:
            print(textwrap.indent(str(outcome), "      "), flush=True)

    def prepare(self):
        self.box.bridge("br0", f"{guest.HOST_ADDRESS}/24")
        self.box.policy(POLICY)
        self.say(f"a bridge br0 with {guest.HOST_ADDRESS}; /etc/tapferry/policy.conf says:  {POLICY}")

    def boot(self, title, network, prefix=(), queues=1):
        """One guest, with its results as they come."""
        shown = [self.short(word) for word in [*prefix, self.qemu.program, "...", *network]]
        self.say(title)
        print(textwrap.indent(f"alice$ {shlex.join(shown)}", "           "), flush=True)
        taps = []

        def on_result(key, value):
            # The first one comes while the guest runs, so the tap is there to be seen.
            if not taps:
                taps.extend(links.taps())
                for tap in taps:
                    state = "up" if tap.up else "down"
                    self.say(f"  host:  {tap.name} is a port of {tap.master}, {state}, MAC {tap.mac}")
            if key in WORDS:
                self.say(f"  guest: {WORDS[key].format(value)}")

        outcome = self.stage.boot(self.qemu, guest.REACH_HOST, network, user=self.alice, prefix=prefix,
                                  smp=queues, on_result=on_result)
        if outcome.uid is not None:
            self.say(f"  QEMU ran as uid {outcome.uid} with capabilities {outcome.capabilities:#x}; "
                     f"powered off after {outcome.seconds:.1f} s, taps left: {len(links.taps())}")
        unprivileged = (outcome.uid, outcome.capabilities) == (self.alice.uid, 0)
        expected = {"ping64": "3/3", "ping60000": "3/3", "rx_queues": str(queues), "finished": "yes"}
        good = outcome.status == 0 and unprivileged and expected.items() <= outcome.results.items()
        return good and not links.taps(), outcome

    def short(self, word):
        """A word of a command line as one would type it: programs by their names."""
        return os.path.basename(word) if word in (self.command, self.qemu.program) else word

    def stock_qemu(self):
        network = ["-netdev", f"bridge,id=net0,br=br0,helper={self.helper}", *guest.virtio_nic("net0")]
        title = "(a) QEMU as it is, with tapferry-helper in the place of its own helper"
        good, outcome = self.boot(title, network)
        self.conclude("QEMU's -netdev bridge,helper= : guest on the bridge", good, outcome)

    def tapferry_run(self):
        prefix = [self.command, "run", "--net=bridge=br0,queues=2", "--"]
        title = "(b) tapferry run, which adds the network to QEMU's options: two queues"
        good, outcome = self.boot(title, [], prefix, 2)
        self.conclude("tapferry run, queues=2        : guest with two queues", good, outcome)

    def refusal(self):
        self.say("(c) more than the policy allows, and why it was refused")
        request = "--net=bridge=br0,queues=8"
        refused = self.show([self.command, "run", request, "--", self.qemu.program])
        reason = self.show([self.command, "explain", request])
        good = refused.returncode == 1 and "policy.conf:1" in reason.stdout and not links.taps()
        self.conclude("a request beyond the policy   : refused, with the reason", good, reason.stderr)

    def show(self, argv):
        """Runs a command as alice and prints it with what it says."""
        shown = [self.short(word) for word in argv]
        print(textwrap.indent(f"alice$ {shlex.join(shown)}", "           "), flush=True)
        done = self.box.run(argv, user="alice")
        print(textwrap.indent((done.stderr + done.stdout).rstrip(), "           "), flush=True)
        self.say(f"  exit status {done.returncode}")
        return done

    def finish(self):
        print(f"\nIn {time.time() - self.start:.0f} s, on kernel {os.uname().release} with QEMU {self.qemu.version}, "
              "as a user without capabilities:")
        for what, good in self.summary:
            print(f"  {'ok    ' if good else 'FAILED'}  {what}")
        return 0 if all(good for _, good in self.summary) else 1


def say(start, text):
    print(f"[{time.time() - start:5.1f} s] {text}", flush=True)


def main():
    if os.geteuid() != 0:
        print("demo: the namespaces that it works in need root: sudo make demo", file=sys.stderr)
        return 1
    start = float(os.environ.setdefault("TAPFERRY_DEMO_START", str(time.time())))
    try:
        if not sandbox.is_inside():  # in there is no network to download by
            guest_fetch.kernel("cloud", lambda text: say(start, f"{text} (30 MB, once)"))
        sandbox.reexec()
        demo = Demo(start)
    except (guest.Unavailable, FileNotFoundError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    for step in (demo.prepare, demo.stock_qemu, demo.tapferry_run, demo.refusal):
        step()
    return demo.finish()


if __name__ == "__main__":
    sys.exit(main())
