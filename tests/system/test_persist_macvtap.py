# SPDX-License-Identifier: MIT
"""macvtap= with persist=on: it outlives its holders, its user (and nobody else) opens it again by /dev/tap<index>, and what may
be opened by that node is never another interface's."""
import os
import pwd
import stat
import subprocess
import time
import unittest

import attached
import handover
import links
import processes
import sandbox
from command_case import need_command as setUpModule  # noqa: F401
from device_case import in_namespace, mac_behind, number_of, own_sysfs
from one_file import note
from persist_case import PersistCase
from sandbox import ip
from warden_case import need_strace

TIMEOUT = 600

SPEC = "macvtap=v0,name=vm-1,persist=on"
OTHERS = "it is there, and of another interface; ask again"
KILLS = 60
WARDEN_STEPS = 6  # hello, intend, queue, keep, node, stay
ATTEMPTS = 40


def node_of(index):
    return f"/dev/tap{index}"


def nodes():
    return sorted(name for name in os.listdir("/dev") if name.startswith("tap") and name != "tapferry")


class MacvtapCase(PersistCase):
    """v0 is the parent, v1 the wire's other end."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.box.policy("allow macvtap=v0 user=alice,bob persist=on name=vm-* queues=2 mac=52:54:00:* max=2",
                        "allow macvtap=v1 user=alice name=vm-*", "allow device=vm-* user=alice,bob queues=2")
        self.tapferry_uid = pwd.getpwnam(sandbox.WARDEN_USER).pw_uid

    def tearDown(self):
        self.doCleanups()
        for name in nodes():
            os.unlink(f"/dev/{name}")
        self.box.delete_links()
        ended = sandbox.eventually(lambda: not processes.named("tapferry-"), 20)
        processes.kill_and_wait(*processes.wardens())
        self.assertTrue(ended, "a process stays")

    def opens(self, user, path):
        """Whether USER can open what is at PATH."""
        return self.box.run(["/bin/sh", "-c", f"exec 3<>{path}"], user).returncode == 0

    def assert_alices(self, link):
        path = node_of(link.index)
        self.assertEqual(os.stat(path).st_rdev, number_of(link.name))
        who = [user for user in ("alice", "bob", "carol", "mallory") if self.opens(user, path)]
        self.assertEqual(who, ["alice"])

    def next_index(self):
        """Of the next interface: the kernel counts."""
        ip("link", "add", "counter", "type", "bridge")
        index = links.get("counter").index
        ip("link", "del", "counter")
        return index + 1

    def ends_released(self, name="vm-1"):
        self.released(name)
        self.assertEqual(nodes(), [])
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-"), 20))


class Life(MacvtapCase):
    def test_outlives_its_holders_and_its_user_alone_opens_it_again(self):
        link = self.made(SPEC)
        self.assertEqual((link.kind, link.up), ("macvtap", True))
        self.assertIn(" persist=on ", links.get("vm-1").alias)
        self.assert_alices(link)
        self.ends_released()

    def test_while_it_is_held_it_can_be_opened_too_and_queues_stay(self):
        got = self.granted(SPEC + ",queues=2")
        self.assert_alices(got.link)
        copies = [os.dup(fd) for fd in got.fds]
        got.close()
        for copy in copies:
            self.assertEqual(handover.inspect(copy).name, "vm-1")
            os.close(copy)
        time.sleep(0.3)
        self.assert_alices(got.link)
        self.ends_released()

    def test_is_released_while_it_is_held(self):
        got = self.granted(SPEC)
        self.ends_released()
        self.assertEqual(handover.inspect(got.fds[0]).name, "")

    def test_fresh_name_and_down(self):
        link = self.made("macvtap=v0,persist=on,up=off")
        self.assertFalse(links.get(link.name).up)
        self.assertEqual(self.box.run([self.command, "up", link.name, f"--helper={self.helper}"]).returncode, 0)
        self.assertTrue(links.get(link.name).up)
        self.ends_released(link.name)

    def test_probe_finds_it_right(self):
        done = self.box.run([self.command, "probe", f"--net={SPEC}", f"--helper={self.helper}"])
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assert_alices(links.get("vm-1"))
        self.ends_released()

    def test_counts_in_the_quota_until_it_is_released(self):
        self.made(SPEC)
        self.made(SPEC.replace("vm-1", "vm-2"))
        self.refused(SPEC.replace("vm-1", "vm-3"), says="as many as the rule allows")
        self.made(SPEC.replace("vm-1", "vm-3"), "bob")
        self.released("vm-1")
        self.made(SPEC.replace("vm-1", "vm-4"))
        self.assertEqual(len(nodes()), 3)

    def test_neither_a_sweep_nor_doctor_takes_it(self):
        self.made(SPEC)
        self.granted("macvtap=v1,name=vm-9").close()
        self.assertGone("vm-9")
        done = self.box.run([self.command, "doctor", "--repair"], "root")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertNotIn("vm-1", done.stdout)
        self.assert_alices(links.get("vm-1"))
        self.ends_released()

    def test_a_lock_holds_without_a_holder(self):
        self.box.policy("allow macvtap=v0 user=alice persist=on name=vm-* lock=on guest_mac=52:54:00:* filter=auto")
        link = self.made(SPEC + ",guest_mac=52:54:00:00:00:01")
        self.assertEqual(len(processes.wardens()), 1)
        self.assertIn("bpf", subprocess.run(["tc", "filter", "show", "dev", "vm-1", "egress"], capture_output=True,
                                            text=True, check=True).stdout)
        ip("link", "set", "vm-1", "address", "02:00:00:00:00:01")
        self.assertGone("vm-1")
        self.assertTrue(sandbox.eventually(lambda: not self.opens("alice", node_of(link.index))))


class OpenedAgain(MacvtapCase):
    def probe(self, spec, user="alice"):
        return self.box.run([self.command, "probe", f"--net={spec}", f"--helper={self.helper}"], user)

    def test_by_its_user_by_the_helper(self):
        self.made(SPEC)
        for way in ("device=vm-1", "device=vm-1,queues=2", f"device={links.get('vm-1').index}"):
            done = self.probe(way)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIsNotNone(links.get("vm-1"))
        self.ends_released()

    def test_not_by_others(self):
        self.made(SPEC)
        self.assertIn("it was granted to somebody else", self.probe("device=vm-1", "bob").stderr)
        self.ends_released()

    def test_what_its_rule_has_put_on_it_stays(self):
        self.box.policy("allow macvtap=v0 user=alice persist=on name=vm-* filter=arp up=off",
                        "allow device=* user=alice filter=ipv4")
        self.made(SPEC)
        before = self.filters()
        self.assertIn("bpf", before)
        self.refused("device=vm-1", says="it was granted with persist=on")
        self.box.policy("allow device=* user=alice")
        self.granted("device=vm-1")
        self.assertEqual((self.filters(), links.get("vm-1").up), (before, False))
        self.ends_released()

    @staticmethod
    def filters():
        return subprocess.run(["tc", "filter", "show", "dev", "vm-1", "egress"], capture_output=True, text=True,
                              check=True).stdout

    def test_making_it_again_is_refused(self):
        self.made(SPEC)
        self.refused(SPEC, says="an interface of that name exists")
        self.ends_released()


class Refused(MacvtapCase):
    def test_without_the_rules_word(self):
        self.refused("macvtap=v1,name=vm-1,persist=on", says="access denied")
        self.refused(SPEC, user="carol", says="access denied")

    def test_of_a_device_that_is_there(self):
        self.made(SPEC)
        self.box.policy("allow device=* persist=on")
        self.refused("device=vm-1,persist=on", says="persist=")
        self.ends_released()

    def test_with_file_capabilities(self):
        self.helper = self.box.install_helper(name="capable", caps="cap_net_admin,cap_setpcap+ep")
        self.refused(SPEC, says="isn't setuid root")

    def test_release_of_anothers(self):
        self.made(SPEC)
        for user in ("bob", "root"):
            self.not_released("vm-1", user)
        self.assert_alices(links.get("vm-1"))
        self.ends_released()

    def test_release_of_one_that_was_not_to_stay(self):
        got = self.granted("macvtap=v1,name=vm-1")
        self.not_released("vm-1")
        got.close()
        self.assertGone("vm-1")


class MadeByHand(MacvtapCase):
    """The kernel's own node, which goes with its interface, is in tests/vm/test_persist_devtmpfs.py."""

    def test_a_node_of_its_number_that_nobody_would_remove_is_refused(self):
        """With the index that comes next, and the number that is free, unless somebody else on this machine takes it meanwhile."""
        for _ in range(ATTEMPTS):
            ip("link", "add", "link", "v0", "name", "number", "type", "macvtap")
            number = number_of("number")
            ip("link", "del", "number")
            path = node_of(self.next_index())
            os.mknod(path, stat.S_IFCHR | 0o600, number)
            said = self.refused(SPEC, says="make the node").stderr
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            os.unlink(path)
            if OTHERS not in said:
                self.assertIn("neither the kernel's own nor made by tapferry; as root, remove it", said)
                return
        self.fail("others take the numbers")


class OfAnotherInterface(MacvtapCase):
    """Network namespaces count their interfaces each for itself, and may share one /dev."""

    def setUp(self):
        super().setUp()
        ip("netns", "add", "other")
        self.addCleanup(ip, "netns", "delete", "other")

    def advance(self, index):
        """The next interface here gets INDEX."""
        at = 0
        while at < index:
            at = self.next_index()
        self.assertEqual(at, index)

    def test_a_node_of_another_namespace_is_not_touched(self):
        ahead = self.next_index() + 10
        with in_namespace("other"), own_sysfs():
            self.box.veth("v0", "v1")
            self.advance(ahead)
            link = self.made(SPEC)
            mac = links.get("vm-1").mac
        path = node_of(link.index)
        before = (os.stat(path), os.getxattr(path, "system.posix_acl_access"))
        self.advance(link.index)
        self.refused(SPEC, says=OTHERS)
        self.assertEqual((os.stat(path), os.getxattr(path, "system.posix_acl_access")), before)
        again = self.made(SPEC)
        self.assertGreater(again.index, link.index, "as the line says, another time it has another number")
        self.assert_alices(again)
        done = self.box.run([self.command, "doctor", "--repair"], "root")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.released("vm-1")
        with in_namespace("other"), own_sysfs():
            fd = os.open(path, os.O_RDWR)
            self.assertEqual(mac_behind(fd), mac)
            os.close(fd)
            self.ends_released()

    def test_whatever_else_lies_there_is_refused(self):
        for make in (lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)), os.mkdir,
                     lambda path: os.symlink("/dev/null", path), lambda path: os.close(os.open(path, os.O_CREAT))):
            path = node_of(self.next_index())
            make(path)
            before = os.lstat(path)
            self.refused(SPEC, says=OTHERS)
            self.assertEqual(os.lstat(path), before)
            (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)

    def test_what_is_left_of_ours_makes_room(self):
        path = node_of(self.next_index())
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.chown(path, self.tapferry_uid, self.tapferry_uid)
        os.chmod(path, 0)
        link = self.made(SPEC)
        self.assertEqual(node_of(link.index), path)
        self.assert_alices(link)
        self.ends_released()


class GoneOtherwise(MacvtapCase):
    """The interface's number is free as soon as it is gone, and the next macvtap's."""

    def test_a_deleted_ones_node_opens_nothing_any_more(self):
        link = self.made(SPEC)
        path = node_of(link.index)
        kept = os.open(path, os.O_PATH)
        self.addCleanup(os.close, kept)
        ip("link", "del", "vm-1")
        self.assertTrue(sandbox.eventually(lambda: stat.S_IMODE(os.fstat(kept).st_mode) == 0, 20))
        self.assertFalse(self.opens("alice", path))
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")))

    def test_what_is_left_is_found_and_removed(self):
        link = self.made(SPEC)
        ip("link", "del", "vm-1")
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry-")))
        self.doctor_removes(node_of(link.index))

    def doctor_removes(self, path):
        done = self.box.run([self.command, "doctor", "--check=nodes"], "root")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(f"device node {path}: its interface is gone", done.stdout)
        done = self.box.run([self.command, "doctor", "--repair"], "root")
        self.assertIn(f"device node {path}: removed\n", done.stdout)
        self.assertEqual((done.returncode, nodes()), (0, []))

    def test_also_behind_a_warden_that_was_killed(self):
        """The one case in which the node still opens: another macvtap that gets its number."""
        link = self.made(SPEC)
        path = node_of(link.index)
        processes.kill_and_wait(*processes.wardens())
        done = self.box.run([self.command, "doctor", "--check=nodes"], "root")
        self.assertEqual(done.returncode, 0, done.stdout)
        ip("link", "del", "vm-1")
        ip("link", "add", "link", "v0", "name", "next", "type", "macvtap")
        self.doctor_removes(path)

    def test_release_does_without_a_warden(self):
        self.made(SPEC)
        processes.kill_and_wait(*processes.wardens())
        self.ends_released()

    def test_release_when_its_node_is_gone(self):
        link = self.made(SPEC)
        os.unlink(node_of(link.index))
        self.ends_released()


class Killed(MacvtapCase):
    def test_killed_at_any_moment_it_is_whole_or_nothing(self):
        complete = 0
        for number in range(KILLS):
            has_message = handover.kill_at_random(self.box, self.helper, SPEC, 0.03)
            processes.wait_for_no_maker()
            if not has_message:
                self.assertGone("vm-1")
            # One whose keeper was killed before it was to stay goes with the descriptors.
            if sandbox.eventually(lambda: links.get("vm-1") is None, 0.3):
                self.assertFalse([name for name in nodes() if self.opens("alice", f"/dev/{name}")], f"round {number}")
                continue
            complete += 1
            self.assert_alices(links.get("vm-1"))
            self.released("vm-1")
        note(f"persist=on of a macvtap: SIGKILL at {KILLS} random moments: {complete} hand-overs were complete")

    def test_whole_or_nothing_when_its_warden_is_killed_at_a_step(self):
        need_strace()
        granted = [(call, nth) for call in ("recvmsg", "sendmsg") for nth in range(1, WARDEN_STEPS + 1)
                   if self.is_granted_though_killed(call, nth)]
        # Where nothing was said yet the maker starts another one.
        self.assertEqual(granted, [("recvmsg", 1), ("sendmsg", 1)])

    def is_granted_though_killed(self, call, nth):
        """Whether it was granted while its warden, which has another macvtap too, got SIGKILL at that call."""
        held = self.granted("macvtap=v1")
        warden, = processes.wardens()
        tracer = attached.attach(self.box, warden, ["-qq", "-o", os.devnull, "-e", f"trace={call}",
                                                    "-e", f"inject={call}:signal=SIGKILL:when={nth}"])
        got = handover.net(self.box, self.helper, SPEC, "alice")
        got.close()
        tracer.wait(30)
        with self.subTest(f"{call} {nth}"):
            self.assertFalse(processes.is_running(warden))
            if got.status == 0:
                self.assert_alices(links.get("vm-1"))
                self.released("vm-1")
            else:
                self.assertRegex(got.stderr, r"\Atapferry-helper: [^\n]+\n\Z")
                self.assertGone("vm-1")
            self.assertFalse([name for name in nodes() if self.opens("alice", f"/dev/{name}")])
        held.close()
        ip("link", "del", held.link.name)
        processes.wait_for_no_maker()
        return got.status == 0


if __name__ == "__main__":
    unittest.main()
