# SPDX-License-Identifier: MIT
"""Runs the pages of docs/howto: every block of shell commands, in the page's order, each on the host and as the user that its
first line names.

    # on host a                                     as root, to its end; each command must succeed
    # on host a, as alice                           as alice
    # on host a, as alice, and leave it running     until the page's end, or until
    # on host a, as alice: end it with Ctrl-C       (a block without commands)
    # on the host                                   where there is one only

A host is a network namespace.
"""
import dataclasses
import re
import signal
import subprocess
import tempfile

import doc_pages
import sandbox

HEADER = re.compile(r"# on (?:the host|host (?P<host>\w+))(?:, as (?P<user>\w+))?(?P<how>, and leave it running|: end it with Ctrl-C)?\n")
COMMAND_S = 60


@dataclasses.dataclass(frozen=True)
class Block:
    host: str  # "" of the only one
    user: str
    how: str
    script: str


def blocks(page):
    """The blocks of PAGE; one without a line that says where it runs is an error."""
    found = []
    for text in doc_pages.code_blocks(page, "sh"):
        header = HEADER.match(text)
        if not header:
            raise AssertionError(f"{page}: no line says where this runs: {text}")
        found.append(Block(header["host"] or "", header["user"] or "root", header["how"] or "", text[header.end():]))
    return found


class Runner:
    """Runs blocks; WRAP of a host is what comes before a command there."""

    def __init__(self, box, wrap=None):
        self.box = box
        self.wrap = wrap or {"": []}
        self.left_running = {}

    def run(self, block):
        """What the block printed; AssertionError when a command failed."""
        if block.how.startswith(":"):
            return self.end(block.host, block.user)
        if block.how:
            return self.leave_running(block)
        proc = self.popen(block, subprocess.PIPE)
        out, _ = proc.communicate(timeout=COMMAND_S)
        if proc.returncode != 0:
            raise AssertionError(f"status {proc.returncode}: {block.script}\n{out.decode()}{self.said()}")
        return out.decode()

    def popen(self, block, output):
        # set(1): -e passes over a command behind `!', whose failure is meant.
        script = re.sub(r"(?m)^! (.*)$", r"if \1; then exit 99; fi", block.script)
        command = [*self.wrap[block.host], *self.as_user(block.user), "sh", "-e", "-c", script]
        return self.box.popen(command, "root", env=self.environment(block.user), stdout=output, stderr=subprocess.STDOUT)

    def as_user(self, name):
        """Behind nsenter, which needs root."""
        user = self.box.users[name]
        if user.uid == 0:
            return []
        groups = f"--groups={','.join(map(str, user.groups))}" if user.groups else "--clear-groups"
        return ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", groups]

    def environment(self, name):
        user = self.box.users[name]
        return {"PATH": f"{sandbox.BASE}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "USER": name,
                "HOME": user.home if user.uid else "/root"}

    def leave_running(self, block):
        with tempfile.NamedTemporaryFile(delete=False) as output:
            proc = self.popen(dataclasses.replace(block, script=f"exec {block.script}"), output)
        self.left_running[block.host, block.user] = proc, output.name
        return ""

    def end(self, host, user):
        proc, _ = self.left_running.pop((host, user))
        proc.send_signal(signal.SIGINT)
        proc.wait(30)
        return ""

    def end_all(self):
        for host, user in list(self.left_running):
            self.end(host, user)

    def said(self):
        """By what was left running."""
        text = ""
        for _, path in self.left_running.values():
            with open(path, encoding="utf-8", errors="replace") as file:
                text += file.read()
        return text
