# SPDX-License-Identifier: MIT
"""The base of tests that ask tapferryd: the daemon in this network namespace, and a Varlink client that was written from
docs/PROTOCOL.md alone."""
import array
import contextlib
import json
import os
import signal
import socket
import subprocess
import unittest

import handover
import links
import processes
import sandbox
from warden_case import WardenCase

SOCKET = "/run/tapferry/broker.sock"
BROKER = "org.tapferry.Broker"
SERVICE = "org.varlink.service"
BROKER_USER = "tapferry-broker"


def need_broker():
    """For setUpModule: skip when there is no daemon to test."""
    for name in ("tapferryd", "tapferry-broker", "tapferry-helper"):
        if not os.path.exists(os.path.join(sandbox.BUILD, name)):
            raise unittest.SkipTest(f"{name} is not built (make)")


class BrokerError(Exception):
    """An error reply."""

    def __init__(self, name, parameters):
        super().__init__(f"{name}: {parameters}")
        self.name, self.parameters = name, parameters

    @property
    def message(self):
        return self.parameters.get("message", "")


class Client:
    """One connection, which may have been made by anybody."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(30)
        self._buffer, self._fds = b"", []

    def close(self):
        self.sock.close()
        self.drop_fds()

    def drop_fds(self):
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def send(self, method, **parameters):
        self.send_bytes(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")

    def send_bytes(self, data):
        self.sock.sendall(data)

    def receive(self):
        """(reply, descriptors); EOFError when the broker has closed."""
        while b"\0" not in self._buffer:
            room = socket.CMSG_SPACE(128 * array.array("i").itemsize)
            data, control, _flags, _peer = self.sock.recvmsg(65536, room, socket.MSG_CMSG_CLOEXEC)
            for level, kind, payload in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i")
                    fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
                    self._fds += fds
            if not data:
                raise EOFError
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        fds, self._fds = self._fds, []
        return json.loads(message), fds

    def result(self):
        """(parameters, descriptors) of a reply; an error reply is raised."""
        reply, fds = self.receive()
        if "error" in reply:
            assert not fds, "descriptors beside an error"
            raise BrokerError(reply["error"], reply["parameters"])
        return reply["parameters"], fds

    def call(self, method, **parameters):
        self.send(method, **parameters)
        return self.result()


class Opened:
    """What Open gave; close() it to let go of the interface."""

    def __init__(self, parameters, fds):
        self.parameters, self.fds = parameters, fds
        self.grant = parameters["grant"]
        self.taps = [handover.inspect(fd) for fd in fds]

    @property
    def link(self):
        return links.get(self.grant["ifname"])

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


@contextlib.contextmanager
def as_user(user):
    """This thread connects with USER's ids and groups: what the kernel writes down is the thread's (credentials(7))."""
    groups = os.getgroups()
    os.setgroups(list(user.groups))
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


class BrokerCase(WardenCase):
    """A running tapferryd; self.client(user) connects to it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        add_broker_user(cls.box)
        cls.daemon_program = cls.box.install(os.path.join(sandbox.BUILD, "tapferryd"))
        cls.broker_program = cls.box.install(os.path.join(sandbox.BUILD, "tapferry-broker"))

    def setUp(self):
        super().setUp()
        self.daemon = None
        self.start_daemon()

    def tearDown(self):
        self.doCleanups()
        self.stop_daemon()
        self.assertNothingLeft()

    # the daemon

    def daemon_command(self, *more):
        return [self.daemon_program, f"--helper={self.helper}", f"--broker={self.broker_program}", *more]

    def start_daemon(self, *more, **options):
        # Its helper has no setuid bit: nothing of what is shown here is that bit's doing.
        os.chmod(self.helper, 0o755)
        self.daemon = self.box.popen(self.daemon_command(*more), "root", stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, **options)
        if not sandbox.eventually(self.is_listening, 20):
            self.daemon.kill()
            raise AssertionError(self.daemon.communicate()[1].decode())

    def is_listening(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            with contextlib.suppress(OSError):
                probe.connect(SOCKET)
                return True
        if self.daemon.poll() is not None:
            raise AssertionError(f"tapferryd ended: {self.daemon.stderr.read().decode()}")
        return False

    def stop_daemon(self, how=signal.SIGTERM):
        """End it and wait until tapferry-broker has gone, too; what it said."""
        if self.daemon is None:
            return ""
        if self.daemon.poll() is None:
            self.daemon.send_signal(how)
        said = self.daemon.communicate(timeout=20)[1].decode()
        self.daemon = None
        self.assertTrue(sandbox.eventually(lambda: not self.broker_pids(), 10), "tapferry-broker stays")
        return said

    def broker_pids(self):
        return [pid for pid, name in processes.named("tapferry-broke") if name == "tapferry-broker"[:15]]

    def broker_pid(self):
        # The socket is there a little before.
        pid, = sandbox.eventually(self.broker_pids)
        return pid

    # clients

    def client(self, user="alice"):
        """A new connection of USER, closed when the test ends."""
        sock = socket.socket(socket.AF_UNIX)
        with as_user(self.box.users[user]) if user != "root" else contextlib.nullcontext():
            sock.connect(SOCKET)
        client = Client(sock)
        self.addCleanup(client.close)
        return client

    def open(self, spec, user="alice", client=None):
        """Open by a connection of its own; closed when the test ends."""
        opened = Opened(*(client or self.client(user)).call(f"{BROKER}.Open", net=spec))
        self.addCleanup(opened.close)
        return opened

    def refuses(self, error, method, user="alice", **parameters):
        """The error of a call that must fail and leave nothing."""
        before = links.snapshot()
        with self.assertRaises(BrokerError) as caught:
            self.client(user).call(method, **parameters)
        self.assertEqual(caught.exception.name, error)
        self.assertEqual(links.snapshot(), before, "left behind")
        return caught.exception


def add_broker_user(box):
    """As sysusers.d/tapferry.conf does; one that the machine has stays."""
    with open("/etc/passwd", encoding="ascii") as passwd:
        if any(line.startswith(BROKER_USER + ":") for line in passwd):
            return
    uid = max(user.uid for user in box.users.values()) + 30
    with open("/etc/passwd", "a", encoding="ascii") as passwd, open("/etc/group", "a", encoding="ascii") as group:
        passwd.write(f"{BROKER_USER}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n")
        group.write(f"{BROKER_USER}:x:{uid}:\n")
