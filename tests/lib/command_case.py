# SPDX-License-Identifier: MIT
"""The base of tests that run the `tapferry` command: it lies beside the helper, as in a build tree, and
helpers of the test's own stand in where a wrong one is wanted."""
import os
import textwrap
import unittest

import sandbox
from helper_case import HelperCase, need_helper

# That of the running tests may lie where users may not look.
PYTHON = "/usr/bin/python3"

# What a helper of the test's own begins with: `sock` is the socket, `spec` what was asked, tap() makes a queue.
FAKE_HELPER = """\
    import array, fcntl, json, os, socket, struct, sys, time
    args = dict(a[2:].split("=", 1) if "=" in a else (a[2:], "") for a in sys.argv[1:])
    spec = args.get("net", "")
    sock = socket.socket(fileno=int(args["fd"])) if "fd" in args else None

    def tap(name="fake0", flags=0x5002, nonblock=os.O_NONBLOCK, size=12):
        fd = os.open("/dev/net/tun", os.O_RDWR | nonblock)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), flags))
        if flags & 0x4000:
            fcntl.ioctl(fd, 0x400454d8, struct.pack("i", size))
        return fd

    def record(**changes):
        fields = {"version": 1, "kind": "tap", "ifname": "fake0", "ifindex": socket.if_nametoindex("fake0"),
                  "upper": None, "queues": 1, "vhost": 0, "vnet_hdr": True, "vnet_hdr_sz": 12,
                  "mac": open("/sys/class/net/fake0/address").read().strip(), "mtu": 1500, "up": False,
                  "rule": "fake:1"}
        fields.update(changes)
        return (json.dumps(fields) + "\\n").encode()

    def send(data, *fds):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sock.sendmsg([data], control)

"""


def need_command():
    """For setUpModule: skip when there is no command or helper to test."""
    need_helper()
    if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry")):
        raise unittest.SkipTest("tapferry is not built (make)")


class CommandCase(HelperCase):
    """self.tapferry() runs the command; br0 and br1 exist, no policy does."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.command = cls.box.install(os.path.join(sandbox.BUILD, "tapferry"))

    def tapferry(self, *arguments, user="alice", **options):
        """Run it to its end; a CompletedProcess."""
        return self.box.run([self.command, *arguments], user, **options)

    def succeeds(self, *arguments, **options):
        done = self.tapferry(*arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done

    def fails(self, *arguments, status=1, says="", **options):
        """Status 1 (failed) or 2 (usage); one line on stderr with our name that has SAYS in it."""
        done = self.tapferry(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 2 if status == 2 else 1, done.stderr)
        self.assertRegex(lines[0], r"\Atapferry: [^:]+: ")
        self.assertIn(says, lines[0])
        if status == 2:
            self.assertRegex(lines[1], r"\Atapferry: try: tapferry [a-z]+ --help\Z")
        return done

    def fake_helper(self, body, name="fake-helper"):
        """An executable Python script: FAKE_HELPER, then BODY."""
        text = f"#!{PYTHON}\n" + textwrap.dedent(FAKE_HELPER) + textwrap.dedent(body)
        return self.box.write(f"{sandbox.BASE}/bin/{name}", text, mode=0o755)
