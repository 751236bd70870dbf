# SPDX-License-Identifier: MIT
"""The process that speaks with clients, in somebody else's hands: what stands in for it passes tapferryd sockets that have
root, or another user, at their other end."""
import os
import socket
import textwrap
import unittest

import links
import sandbox
from broker_case import SOCKET, BrokerCase, need_broker

# As tapferry-broker's user, with its descriptors: 3 listens, 4 leads to tapferryd. Serves one client of ours, then tries.
TAKEN_OVER = """\
    #!/usr/bin/python3
    import array, os, socket, sys
    listener, channel = socket.socket(fileno=3), socket.socket(fileno=4)
    listener.setblocking(True)

    def run(number, client, verb="open", spec="bridge=br0"):
        ours, theirs = socket.socketpair()
        out, words = os.pipe()
        fds = array.array("i", [client.fileno(), theirs.fileno(), words])
        fields = ["run", str(number), verb, spec]
        channel.sendmsg(["".join(field + "\\0" for field in fields).encode()],
                        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        answer = channel.recv(4096).split(b"\\0")
        theirs.close()
        ours.settimeout(5)
        # The first byte is enough to know that there was a message.
        return answer[0].decode(), answer[2].decode() if answer[0] == b"refused" else len(ours.recv(1))

    def connection_to(path):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return sock

    with open("{report}", "w") as report:
        print(*run(1, listener), file=report)
        print(*run(2, channel), file=report)
        print(*run(3, connection_to("{root}")), file=report)
        print(*run(4, socket.socketpair()[0]), file=report)
        print(*run(5, socket.socket(socket.AF_INET)), file=report)
        own = connection_to("{path}")
        accepted, _ = listener.accept()
        # Who is at the other end of the first is who listens: root.
        print(*run(6, own), file=report)
        print(*run(7, accepted), file=report)
        print("end", file=report)
    while channel.recv(4096):  # until tapferryd has ended
        pass
"""


def setUpModule():
    need_broker()


class TakenOver(BrokerCase):
    """It can ask as those who are connected, and as nobody else."""

    def setUp(self):
        self.report = f"{sandbox.BASE}/tmp/report"
        self.roots = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.roots.close)
        path = f"{sandbox.BASE}/tmp/roots.sock"
        self.roots.bind(path)
        self.addCleanup(os.unlink, path)
        os.chmod(path, 0o777)
        self.roots.listen()
        self.program = self.box.write(
            f"{sandbox.BASE}/bin/taken-over",
            textwrap.dedent(TAKEN_OVER).replace("{report}", self.report).replace("{root}", path).replace("{path}", SOCKET),
            mode=0o755)
        super().setUp()

    def daemon_command(self, *more):
        return [self.daemon_program, f"--helper={self.helper}", f"--broker={self.program}", *more]

    def is_listening(self):
        """Nobody must connect but itself."""
        return os.path.exists(SOCKET)

    def broker_pids(self):
        return []

    def test_sockets_with_somebody_else_at_their_end_are_refused(self):
        self.box.policy("allow bridge=br0 user=root")
        self.assertTrue(sandbox.eventually(lambda: os.path.exists(self.report) and "end" in self.read(), 20), self.read())
        *refused, own, _end = self.read().splitlines()
        self.assertEqual(refused, ["refused serve a client: what tapferry-broker passed on is no connection of ours"] * 6)
        # A connection that was accepted is served, as the user that made it: tapferry-broker, whom no rule names.
        self.assertEqual(own, "ended 0")
        self.assertIn("result=refused", "".join(str(line) for line in self.box.syslog.lines()))
        self.assertEqual(links.taps(), [])

    def read(self):
        with open(self.report, encoding="utf-8") as file:
            return file.read()


if __name__ == "__main__":
    unittest.main()
