# SPDX-License-Identifier: MIT
"""The screens of docs/STATUS.md: real interfaces, held by real programs, with real traffic.

    python3 tests/lib/status_screens.py      prints them, to be put into the page
"""
import contextlib
import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True

import links  # noqa: E402
import sandbox  # noqa: E402
from pty_screen import PtyScreen  # noqa: E402

POLICY = ("allow bridge=br0 queues=4 guest_mac=52:54:00:*", "allow macvtap=eth0")
QEMU = ["/usr/bin/qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-m", "64"]
GUEST = "192.0.2.9"
COLUMNS = 118


class Screens:
    """take() gives (command line, what is on the screen after it) one after the other."""

    def __init__(self, box):
        self.box = box
        self.command = box.install(os.path.join(sandbox.BUILD, "tapferry"))
        box.install_helper()
        # What IPv6 sends by itself would change the order of `top'.
        for name in ("all", "default"):
            with contextlib.suppress(FileNotFoundError), \
                    open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as file:
                file.write("1")
        box.bridge("br0", "192.0.2.1/24")
        box.veth("eth0", "wire")
        box.policy(*POLICY)
        self.processes = []

    def start(self, command, user, name):
        """Returns when the interface is there and up, and COMMAND holds it, alone and by its final NAME: at first its helper
        does."""
        before = len(_ours())
        self.processes.append(self.box.popen(command, user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        if not sandbox.eventually(lambda: len(_ours()) > before and _ours()[-1].up, 20):
            raise RuntimeError(f"{command}: no interface")
        expected = [(self.processes[-1].pid, name)]
        if not sandbox.eventually(lambda: self.holders(_ours()[-1].name) == expected, 20):
            raise RuntimeError(f"{command}: isn't its only holder as {name}")

    def holders(self, interface):
        done = self.box.run([self.command, "status", "--json", "--interval=0", interface], "root")
        return [(each["pid"], each["name"]) for each in json.loads(done.stdout)["interfaces"][0]["holders"]]

    def start_all(self):
        for spec, user in (("bridge=br0,queues=2", "alice"), ("macvtap=eth0", "carol")):
            self.start([self.command, "run", f"--net={spec}", "--", *QEMU], user, "qemu-system-x86")
        self.start([self.command, "probe", f"--echo={GUEST}",
                    "--net=bridge=br0,lock=on,guest_mac=52:54:00:00:00:01,filter=ipv4,arp,rate_to=100mbit"], "bob", "tapferry")
        ping = ["ping", "-q", "-i", "0.002", "-s", "1000", GUEST]
        self.processes.append(self.box.popen(ping, "root", stdout=subprocess.DEVNULL))

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()

    def take(self):
        self.start_all()
        locked = _ours()[-1].name
        screens = []
        for user, arguments in (("root", ["status"]), ("alice", ["status"]), ("root", ["status", "--long", locked])):
            done = self.box.run([self.command, *arguments], user, env={"COLUMNS": str(COLUMNS)})
            screens.append((user, arguments, done.stdout + done.stderr))
        screens.append(("root", ["top"], self.top()))
        return [(f"{'#' if user == 'root' else '$'} tapferry {' '.join(arguments)}", text)
                for user, arguments, text in screens]

    def top(self):
        with contextlib.closing(PtyScreen(self.box, [self.command, "top", "--interval=0.5"], "root", COLUMNS, 8)) as screen:
            lines = screen.until(lambda s: len(s.lines) == 8 and re.search(r"received [1-9].* sent [1-9]", s.lines[0]))
            text = "\n".join(lines) + "\n"
            screen.type("q")
            screen.ended()
        return text


def _ours():
    """The interfaces that tapferry made, the oldest first."""
    return [link for link in links.all_links() if link.alias.startswith("tapferry ")]


def shape(text):
    """What stays when interfaces, processes and times are others."""
    for pattern, word in ((r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", "MAC"), (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", "DATE"),
                          (r"\d\d:\d\d:\d\d", "TIME"), (r"\b(\d+[smhd])+\b", "AGE"), (r"\d+(\.\d+)?[kMG]?\b", "N"),
                          (r"(tap)N\b", r"\1N"), (r"tap\d+", "tapN"), (r" +", " ")):
        text = re.sub(pattern, word, text)
    return [line.strip() for line in text.splitlines()]


def main():
    sandbox.reexec()
    screens = Screens(sandbox.enter())
    try:
        for command, text in screens.take():
            print(f"```console\n{command}\n{text}```\n")
    finally:
        screens.stop()


if __name__ == "__main__":
    main()
