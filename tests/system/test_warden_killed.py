# SPDX-License-Identifier: MIT
"""What comes of a hand-over when the maker or the warden is killed or stopped in the middle of it, by root or for
want of memory, and of macvtaps whose warden was killed."""
import os
import signal
import tempfile
import time
import unittest

import attached
import links
import processes
import sandbox
from command_case import CommandCase, need_command
from helper_case import need_helper
from warden_case import WardenCase, need_strace, nodes

TIMEOUT = 600

CGROUP = "/sys/fs/cgroup"
GUEST = "52:54:00:00:00:01"
# Calls of either process that stand for the steps of a macvtap with two queues: the first and the second of each.
MAKER_STEPS = [("sendmsg", 1), ("sendmsg", 2), ("sendto", 1), ("sendto", 3), ("mkdir", 1), ("mknodat", 1),
               ("mknodat", 2), ("openat", 1), ("ioctl", 1), ("ioctl", 4), ("unlink", 1), ("unlink", 2),
               ("sendmsg", 5), ("sendmsg", 6)]
WARDEN_STEPS = [("setsid", 1), ("inotify_init1", 1), ("recvmsg", 1), ("recvmsg", 2), ("sendmsg", 1), ("sendmsg", 2),
                ("inotify_add_watch", 1), ("inotify_add_watch", 2), ("sendmsg", 4), ("sendmsg", 5)]


def setUpModule():
    need_helper()
    need_strace()


class Steps(WardenCase):
    """strace is attached to the maker alone, while it waits and the front is stopped, or to a warden."""
    SPEC = "macvtap=v0,queues=2"

    def disturbed(self, call, nth, number, follow):
        """Whether it was granted: then the whole hand-over and nothing said, otherwise nothing of it and one line; in
        either case nothing is left.  FOLLOW: the warden that the maker starts is disturbed as well."""
        run = attached.Attached(self.box, self.helper, self.SPEC, [
            *(["-f"] if follow else []), "-qq", "-o", os.devnull, "-e", f"trace={call}",
            "-e", f"inject={call}:signal={number}:when={nth}"])
        with run.end(90) as got:
            self.assertWholeOrNothing(got)
        self.resume()
        run.tracer.wait(30)
        self.assertNothingLeft(20)
        return got.status == 0

    def assertWholeOrNothing(self, got):
        if got.status == 0:
            self.assertEqual((got.stderr, len(got.fds)), ("", 2))
            self.assertIsNotNone(links.get(got.taps[0].name))
        else:
            self.assertRegex(got.stderr, r"\Atapferry-helper: [^\n]+\n\Z")
            self.assertEqual((got.status, got.fds), (1, []))

    @staticmethod
    def resume():
        for pid, _ in processes.named("tapferry-"):
            os.kill(pid, signal.SIGCONT)

    def test_a_maker_killed_at_a_step_leaves_nothing(self):
        for call, nth in MAKER_STEPS:
            with self.subTest(f"{call} {nth}"):
                self.assertFalse(self.disturbed(call, nth, "SIGKILL", False))

    def test_a_warden_killed_at_a_step_leaves_nothing(self):
        for call, nth in WARDEN_STEPS:
            with self.subTest(f"{call} {nth}"):
                is_granted = self.disturbed_warden(call, nth, "SIGKILL")
                # Where it hadn't said a word yet, the maker starts another one.
                self.assertEqual(is_granted, (call, nth) in (("recvmsg", 1), ("sendmsg", 1)))

    def disturbed_warden(self, call, nth, number):
        """The maker makes the same calls, so where they can't be told apart an existing warden is disturbed."""
        if call in ("setsid", "inotify_init1", "inotify_add_watch"):
            return self.disturbed(call, nth, number, True)
        held = self.granted("macvtap=v0")
        name = held.link.name
        tracer = attached.attach(self.box, self.warden(), ["-qq", "-o", os.devnull, "-e", f"trace={call}", "-e",
                                                           f"inject={call}:signal={number}:when={nth}"])
        with self.ask(self.SPEC) as got:
            self.assertWholeOrNothing(got)
            if got.status != 0:
                self.assertEqual([link.name for link in links.of_kind("macvtap")], [name])
        held.close()
        if not sandbox.eventually(lambda: not links.get(name), 1):
            sandbox.ip("link", "del", name)  # its warden was killed
        tracer.wait(30)
        self.assertNothingLeft(20)
        return got.status == 0

    def test_a_stopped_maker_is_waited_for_but_not_for_ever(self):
        self.assertFalse(self.disturbed("mknodat", 2, "SIGSTOP", False))

    def test_a_warden_stopped_at_a_step_leaves_nothing(self):
        self.assertFalse(self.disturbed("inotify_add_watch", 2, "SIGSTOP", True))

    def test_a_warden_that_was_stopped_before_keeps_nobody_from_another(self):
        held = self.granted("macvtap=v0")
        first = self.warden()
        os.kill(first, signal.SIGSTOP)
        self.addCleanup(os.kill, first, signal.SIGCONT)
        got = self.granted("macvtap=v0", timeout=60)
        self.assertEqual(len(processes.wardens()), 2)
        got.close()
        self.assertGone(got.link.name)
        self.assertIsNotNone(links.get(held.link.name))


class Swept(WardenCase, CommandCase):
    """The warden was killed: what it watched stays, until doctor sweeps it."""

    @classmethod
    def setUpClass(cls):
        need_command()
        super().setUpClass()

    def kill_warden(self):
        processes.kill_and_wait(self.warden())

    def test_while_it_is_held_it_stays_and_works(self):
        got = self.granted("macvtap=v0,vnet_hdr=off")
        self.kill_warden()
        self.assertTrue(self.crosses(got))
        self.assertIn("it will stay when its holder is gone", self.tapferry("doctor", "--repair", user="root").stdout)
        self.assertIsNotNone(links.get(got.link.name))
        got.close()
        self.assertIn(f"macvtap {got.link.name} ", self.tapferry("doctor", "--repair", user="root").stdout)

    def test_unheld_it_is_deleted_and_nothing_else_is(self):
        got = self.granted("macvtap=v0")
        self.kill_warden()
        sandbox.ip("link", "add", "link", "v0", "name", "mine", "type", "macvtap", "mode", "bridge")
        sandbox.ip("link", "add", "link", "v0", "name", "other", "type", "macvtap", "mode", "bridge")
        sandbox.ip("link", "set", "other", "alias", "tapferry is what I like")
        got.close()
        self.assertIn(f"macvtap {got.link.name} of uid {self.box.users['alice'].uid}: deleted\n",
                      self.tapferry("doctor", "--repair", user="root").stdout)
        self.assertEqual(sorted(link.name for link in links.of_kind("macvtap")), ["mine", "other"])
        sandbox.ip("link", "del", "mine")
        sandbox.ip("link", "del", "other")

    def test_a_new_handover_has_a_new_warden_that_sees_to_its_own(self):
        old = self.granted("macvtap=v0")
        self.kill_warden()
        new = self.granted("macvtap=v0")
        self.warden()
        new.close()
        self.assertGone(new.link.name)
        self.assertIsNotNone(links.get(old.link.name))
        old.close()
        sandbox.ip("link", "del", old.link.name)

    def test_its_place_in_a_quota_is_free_again_after_the_sweep(self):
        self.box.policy("allow macvtap=v0 max=1")
        got = self.granted("macvtap=v0")
        self.kill_warden()
        got.close()
        self.refused("macvtap=v0", says="max=1")
        self.tapferry("doctor", "--repair", user="root")
        self.granted("macvtap=v0")


class Cgroup(WardenCase):
    """The caller may own the cgroup that he starts the helper in, and so kill or freeze all that is in there.  Cgroups are in
    no namespace of the test's own, so its group has a name that no other run has, and goes whatever happens."""

    def setUp(self):
        super().setUp()
        try:
            sandbox.mount("tapferry", CGROUP, "cgroup2")
        except OSError as error:
            self.skipTest(f"kernel: no cgroup2: {error}")
        self.addCleanup(sandbox.umount, CGROUP)
        self.group = tempfile.mkdtemp(prefix="tapferry-test-", dir=CGROUP)
        self.addCleanup(self.remove_group)
        if not os.path.exists(f"{self.group}/cgroup.kill"):
            self.skipTest("kernel: no cgroup.kill")

    def remove_group(self):
        if os.path.exists(f"{self.group}/cgroup.kill"):
            self.write(f"{self.group}/cgroup.kill", "1")
        sandbox.eventually(lambda: "populated 0" in self.read(f"{self.group}/cgroup.events"))
        os.rmdir(self.group)

    @staticmethod
    def read(path):
        with open(path, encoding="ascii") as file:
            return file.read()

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)

    def granted_inside(self, spec="macvtap=v0"):
        alice = self.box.users["alice"]
        script = f'echo $$ > {self.group}/cgroup.procs && exec "$@"'
        return self.granted(spec, user="root", wrap=[
            "sh", "-c", script, "sh", "setpriv", f"--reuid={alice.uid}", f"--regid={alice.gid}", "--clear-groups"])

    def test_is_left_by_the_warden(self):
        self.granted_inside()
        # Others of the hand-over's processes may still be about to end.
        self.assertTrue(sandbox.eventually(lambda: not self.read(f"{self.group}/cgroup.procs")))
        line, = (line for line in self.read(f"/proc/{self.warden()}/cgroup").splitlines() if line.startswith("0::"))
        self.assertEqual(line, "0::/")

    def test_that_is_killed_does_not_take_the_warden_along(self):
        for spec in ("macvtap=v0", f"bridge=br0,lock=on,guest_mac={GUEST}"):
            with self.subTest(spec):
                got = self.granted_inside(spec)
                pid = self.warden()
                self.write(f"{self.group}/cgroup.kill", "1")
                time.sleep(0.2)
                self.assertEqual(self.warden(), pid)
                got.close()
                self.assertGone(got.link.name)
                self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))

    def test_that_is_frozen_does_not_keep_the_warden_from_its_work(self):
        got = self.granted_inside()
        self.write(f"{self.group}/cgroup.freeze", "1")
        got.close()
        self.assertGone(got.link.name)
        self.write(f"{self.group}/cgroup.freeze", "0")

    def test_that_no_cgroup2_is_mounted_is_no_reason_to_refuse(self):
        sandbox.mount("tmpfs", CGROUP, "tmpfs")
        self.addCleanup(sandbox.umount, CGROUP)
        self.granted("macvtap=v0")
        self.assertEqual(nodes(), [])


if __name__ == "__main__":
    unittest.main()
