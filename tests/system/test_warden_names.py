# SPDX-License-Identifier: MIT
"""Names and numbers that collide, lie or belong to others: network namespaces that look alike, nodes below /dev, the
warden's own name, interfaces that were exchanged."""
import ctypes
import contextlib
import os
import socket
import time
import unittest

import frames
import links
import processes
import sandbox
from helper_case import need_helper as setUpModule  # noqa: F401
from warden_case import LOCAL_EXPERIMENTAL, NODES, WardenCase

CLONE_NEWNET = 0x40000000  # linux/sched.h
NAME = "\0tapferry-warden"
MAC = "52:54:00:00:00:07"
TAG = "tapferry uid=2001 kind=macvtap upper=v0 since=1700000000 rule=policy.conf:1"
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(path):
    """In the network namespace at PATH, this thread."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(other, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        if _libc.setns(own, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(own)
        os.close(other)


class Namespaces(WardenCase):
    """Two, made alike, so that their interfaces have the same names and numbers.  /sys shows that of the test;
    `ip netns exec` mounts it anew, nsenter doesn't."""
    TWINS = ("one", "two")

    def setUp(self):
        super().setUp()
        for name in self.TWINS:
            sandbox.ip("netns", "add", name)
            self.addCleanup(sandbox.ip, "netns", "del", name)
            with inside(f"/run/netns/{name}"):
                sandbox.ip("link", "set", "lo", "up")
                self.box.veth("v0", "v1")

    def ask_in(self, name, spec, sys_of=None):
        """SPEC as alice in that namespace; SYS_OF: whose interfaces /sys shows there, "here" the test's."""
        alice = self.box.users["alice"]
        enter = [] if sys_of == "here" else ["ip", "netns", "exec", sys_of or name]
        enter += ["nsenter", f"--net=/run/netns/{name}"]
        groups = ",".join(map(str, alice.groups))
        return self.ask(spec, user="root", look=False, wrap=[
            *enter, "setpriv", f"--reuid={alice.uid}", f"--regid={alice.gid}", f"--groups={groups}"])

    def granted_in(self, name, spec, sys_of=None):
        got = self.ask_in(name, spec, sys_of)
        self.assertEqual((got.status, got.stderr), (0, ""))
        return got

    def wires(self):
        """The other end of each parent, by namespace; "here" is the test's own."""
        ends = {"here": self.enterContext(frames.packet_end("v1"))}
        for name in self.TWINS:
            with inside(f"/run/netns/{name}"):
                ends[name] = self.enterContext(frames.packet_end("v1"))
        return ends

    def comes_out_at(self, got, mac=MAC):
        """The namespaces on whose wire a frame of the guest is seen."""
        ends = self.wires()
        frame = frames.make(frames.BROADCAST, mac, LOCAL_EXPERIMENTAL)
        frames.tap_end(got).send(frame)
        time.sleep(0.2)
        return [name for name, end in ends.items() if frame in frames.received_until(end, frame, 0)]

    def check_twins(self, sys_of):
        spec = f"macvtap=v0,name=vm-1,mac={MAC}"
        one, two = self.granted_in("one", spec), self.granted_in("two", spec, sys_of)
        same = ("ifname", "ifindex", "mac")
        self.assertEqual([one.record[key] for key in same], [two.record[key] for key in same], "they do collide")
        self.assertEqual((self.comes_out_at(one), self.comes_out_at(two)), (["one"], ["two"]))
        self.assertEqual(len(processes.wardens()), 2)
        one.close()
        with inside("/run/netns/one"):
            self.assertGone("vm-1")
        with inside("/run/netns/two"):
            self.assertIsNotNone(links.get("vm-1"))
        self.assertEqual(self.comes_out_at(two), ["two"])
        two.close()
        with inside("/run/netns/two"):
            self.assertGone("vm-1")

    def test_that_look_alike_get_each_its_own_device(self):
        self.check_twins("two")

    def test_that_look_alike_with_a_sys_that_shows_another_one(self):
        for sys_of in ("here", "one"):
            with self.subTest(sys_of):
                self.check_twins(sys_of)

    def macvtap_in_each(self):
        """macvtap0, the same in both; its index."""
        for name in self.TWINS:
            with inside(f"/run/netns/{name}"):
                sandbox.ip("link", "add", "link", "v0", "name", "macvtap0", "address", MAC, "up", "type", "macvtap",
                           "mode", "bridge")
                index = links.get("macvtap0").index
        return index

    def test_an_existing_device_is_each_ones_own(self):
        index = self.macvtap_in_each()
        self.box.policy("allow device=macvtap0")
        for which in ("macvtap0", str(index), f"tap{index}"):
            for name in self.TWINS:
                with self.subTest(which=which, namespace=name), self.granted_in(name, f"device={which}") as got:
                    self.assertEqual(self.comes_out_at(got), [name])

    def test_an_existing_device_is_not_looked_up_in_a_sys_that_shows_another_one(self):
        index = self.macvtap_in_each()
        self.box.policy("allow device=macvtap0", f"allow device={index}")
        for which in ("macvtap0", str(index), f"tap{index}"):
            for sys_of in ("here", "one"):
                with self.subTest(which=which, sys_of=sys_of):
                    got = self.ask_in("two", f"device={which}", sys_of)
                    self.assertEqual((got.status, got.fds), (1, []))
                    self.assertRegex(got.stderr, "it shows another network namespace|access denied")

    def test_that_end_take_their_warden_along(self):
        got = self.granted_in("one", "macvtap=v0")
        sandbox.ip("netns", "del", "one")
        sandbox.ip("netns", "add", "one")
        self.assertEqual(len(processes.wardens()), 1, "as long as somebody holds a queue")
        got.close()
        self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))


class Nodes(WardenCase):

    def test_below_dev_that_bear_the_devices_name_do_not_matter(self):
        index = self.granted("macvtap=v0").link.index
        victim = f"{sandbox.BASE}/tmp/victim"
        self.box.write(victim, "untouched")
        makers = (lambda path: os.symlink(victim, path), os.mkfifo, os.mkdir,
                  lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)),
                  lambda path: os.mknod(path, 0o60666, os.makedev(7, 0)),
                  lambda path: self.box.write(path, "a file"))
        for i, make in enumerate(makers):
            path = f"/dev/tap{index + 1 + i}"
            make(path)
            self.addCleanup(os.rmdir if os.path.isdir(path) else os.unlink, path)
        for i in range(len(makers)):
            got = self.granted("macvtap=v0,vnet_hdr=off")
            self.assertEqual(got.link.index, index + 1 + i)
            self.assertTrue(self.crosses(got))
        with open(victim, encoding="ascii") as file:
            self.assertEqual(file.read(), "untouched")

    def test_go_into_a_directory_that_nobody_else_has(self):
        alice = self.box.users["alice"]
        shapes = {
            "a link": lambda: os.symlink(alice.home, NODES),
            "a file": lambda: self.box.write(NODES, ""),
            "a user's": lambda: (os.mkdir(NODES, 0o700), os.chown(NODES, alice.uid, alice.gid)),
            "root's": lambda: os.mkdir(NODES, 0o700),
        }
        for what, make in shapes.items():
            with self.subTest(what):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(NODES)
                make()
                try:
                    self.refused("macvtap=v0", says="it isn't a directory of the user tapferry alone; remove it")
                finally:
                    os.unlink(NODES) if not os.path.isdir(NODES) or os.path.islink(NODES) else os.rmdir(NODES)
        self.granted("macvtap=v0")
        self.assertEqual(os.stat(NODES).st_mode & 0o7777, 0o700)
        os.chmod(NODES, 0o777)
        self.addCleanup(os.chmod, NODES, 0o700)
        self.refused("macvtap=v0", says="alone")


class Squatters(WardenCase):
    """Somebody else has the warden's name: anybody may, as it is an abstract one."""

    def squat(self, kind=socket.SOCK_SEQPACKET, backlog=128, answer=None):
        """A process of mallory's that listens there and says ANSWER to whoever connects."""
        ready, child_ready = os.pipe()
        pid = os.fork()
        if pid == 0:
            mallory = self.box.users["mallory"]
            os.setgid(mallory.gid)
            os.setuid(mallory.uid)
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(NAME)
            if kind != socket.SOCK_DGRAM:
                listener.listen(backlog)
            os.write(child_ready, b"x")
            held = []
            while answer is not None:
                peer, _ = listener.accept()
                held.append(peer)
                with contextlib.suppress(OSError):
                    peer.send(answer)
            time.sleep(600)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, 9)
        os.read(ready, 1)
        os.close(ready)
        os.close(child_ready)

    def check_works(self):
        held = [self.granted("macvtap=v0") for _ in range(3)]
        for got in held:
            self.assertTrue(self.crosses(got))
        name = held[0].link.name
        held[0].close()
        self.assertGone(name)
        for got in held:
            got.close()
        self.assertNothingLeft()

    def test_that_are_silent(self):
        self.squat()
        self.check_works()

    def test_that_answer(self):
        for i, answer in enumerate((b"ok\0", b"error\x000\0a\0b\0c\0d\0", b"", b"\xff" * 4000, b"no end")):
            with self.subTest(answer):
                if i:
                    self.doCleanups()
                    self.setUp()
                self.squat(answer=answer)
                self.check_works()

    def test_that_let_nobody_in(self):
        self.squat(backlog=0)
        crowd = []
        with self.assertRaises(BlockingIOError):
            for _ in range(8):
                crowd.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK))
                crowd[-1].connect(NAME)
        self.check_works()
        for sock in crowd:
            sock.close()

    def test_with_sockets_of_another_kind(self):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with self.subTest(kind):
                self.squat(kind)
                self.check_works()

    def test_strangers_who_talk_to_the_warden_are_not_heard(self):
        got = self.granted("macvtap=v0,name=vm-1")
        pid = self.warden()
        index, mac = got.link.index, got.link.mac
        words = (b"undo\0", b"hello\0/dev/tapferry/x\0", f"keep\0{index}\0macvtap=v0\0".encode(),
                 f"intend\0vm-1\0{mac}\0{mac}\0".encode(), f"intend\0vm-2\0{mac}\0{mac}\0".encode(), b"\0", b"x" * 4096)
        for uid in (self.box.users["alice"].uid, self.box.users["mallory"].uid, 0):
            for word in words:
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                    os.setresuid(-1, uid, -1)
                    try:
                        sock.connect(NAME)
                    finally:
                        os.setresuid(-1, 0, -1)
                    sock.settimeout(5)
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        sock.send(word)
                        self.assertEqual(sock.recv(100), b"", word)
        self.assertEqual((self.warden(), links.get("vm-1").identity), (pid, got.link.identity))
        self.assertTrue(self.crosses(got))

    def test_a_crowd_of_them_keeps_nobody_out(self):
        got = self.granted("macvtap=v0")
        crowd = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(400)]
        for sock in crowd:
            sock.connect(NAME)
        self.granted("macvtap=v0")
        self.assertLess(len(processes.descriptors(self.warden())), 20)
        for sock in crowd:
            sock.close()
        got.close()


class Exchanged(WardenCase):
    """Another interface under the name or the number of one that the warden watches: it deletes its own
    (CVE-2026-39402 was a deletion by name)."""

    def setUp(self):
        super().setUp()
        self.box.veth("w0", "w1")
        self.got = self.granted(f"macvtap=v0,name=vm-1,mac={MAC}")

    def other(self, name, parent="w0", *more):
        sandbox.ip("link", "add", "link", parent, "name", name, "address", MAC, *more, "type", "macvtap", "mode",
                   "bridge")

    def check_stays(self, name, before):
        """NAME stays when ours goes."""
        self.got.close()
        time.sleep(0.3)
        self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))
        self.assertEqual(links.get(name), before)
        sandbox.ip("link", "del", name)

    def test_under_its_name_after_it_was_renamed(self):
        sandbox.ip("link", "set", "vm-1", "down")
        sandbox.ip("link", "set", "vm-1", "name", "vm-2")
        self.other("vm-1")
        sandbox.ip("link", "set", "vm-1", "alias", self.got.link.alias)
        before = links.get("vm-1")
        self.check_stays("vm-1", before)
        self.assertIsNone(links.get("vm-2"))

    def test_under_its_name_after_it_was_deleted(self):
        sandbox.ip("link", "del", "vm-1")
        self.other("vm-1")
        self.check_stays("vm-1", links.get("vm-1"))

    def test_under_its_number_after_it_was_deleted(self):
        for alias in ("", "mine", TAG):
            with self.subTest(alias):
                sandbox.ip("link", "del", "vm-1")
                self.other("vm-1", "v0", "index", str(self.got.link.index))
                sandbox.ip("link", "set", "vm-1", "alias", alias)
                self.check_stays("vm-1", links.get("vm-1"))
                self.got = self.granted(f"macvtap=v0,name=vm-1,mac={MAC}")

    def test_one_that_was_given_to_another_owner(self):
        for alias in ("", "mine", TAG):
            with self.subTest(alias):
                sandbox.ip("link", "set", "vm-1", "alias", alias)
                self.check_stays("vm-1", links.get("vm-1"))
                self.got = self.granted(f"macvtap=v0,name=vm-1,mac={MAC}")

    def test_one_that_was_there_is_not_deleted_by_a_failed_request(self):
        self.got.close()
        self.assertGone("vm-1")
        self.other("vm-1", "v0")
        before = links.get("vm-1")
        self.refused(f"macvtap=v0,name=vm-1,mac={MAC}", says="an interface of that name exists")
        self.assertEqual(links.get("vm-1"), before)
        sandbox.ip("link", "del", "vm-1")

    def test_hostile_names_are_refused_or_taken_literally(self):
        self.box.policy(self.RULE.replace("name=vm-*", "name=*"))
        for name in ("all", "default", ".", "..", "a/b", "a b", "a\nb", "a\tb", "a:b", "x" * 16, "x" * 255, "%s%s%n",
                     "a%d%d", "%", "\udcff", "a\x1b[m", "a\x9b", "", "lo", "v0"):
            with self.subTest(name):
                self.refused(f"macvtap=v0,name={name}")
        for name in ("vm;id", "\u00ff", "$(id)", "`id`", "--help", "*", "a'b", 'a"b', "a\\b", "u\xe4"):
            with self.subTest(name), self.ask(f"macvtap=v0,name={name}") as got:
                self.assertEqual((got.status, got.taps[0].name if got.taps else ""), (0, name), got.stderr)
                index = got.record["ifindex"]
            self.assertTrue(sandbox.eventually(lambda index=index: index not in
                                               [link.index for link in links.all_links()]))


if __name__ == "__main__":
    unittest.main()
