# SPDX-License-Identifier: MIT
"""tapferryd takes up what a killed warden watched over: at its own start, and when it sees the warden end."""
import array
import os
import re
import signal
import socket
import subprocess
import time
import unittest

import frames
import links
import processes
import sandbox
from broker_case import BrokerCase, need_broker
from warden_case import nodes

TIMEOUT = 600
GUEST = "52:54:00:00:00:01"
LOCKED = f"bridge=br0,lock=on,guest_mac={GUEST}"


def setUpModule():
    need_broker()


class AdoptCase(BrokerCase):
    def adopters(self):
        """Processes of the daemon's that aren't tapferry-broker."""
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children", encoding="ascii") as children:
            return set(map(int, children.read().split())) - set(self.broker_pids())

    def wait_until_adopted(self):
        self.assertTrue(sandbox.eventually(lambda: len(processes.wardens()) == 1 and not self.adopters(), 30))

    def kill_warden(self):
        processes.kill_and_wait(self.warden())

    def kill_all(self):
        """tapferryd, tapferry-broker and the warden, as the end of the whole control group does."""
        processes.kill_and_wait(self.daemon.pid, *self.broker_pids(), self.warden())
        self.stop_daemon()

    def restart(self):
        self.start_daemon()
        self.wait_until_adopted()

    @staticmethod
    def age(name):
        """Its tag says that it was made long ago: no longer could it be in the making."""
        alias = re.sub(r" since=\d+ ", " since=1 ", links.get(name).alias)
        sandbox.ip("link", "set", "dev", name, "alias", alias)

    def held_by_a_process(self, spec):
        """(the interface's name, a process of alice's that alone holds it)."""
        opened = self.open(spec)
        holder = self.box.popen(["sleep", "1000"], "alice", pass_fds=opened.fds)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        opened.close()
        return opened.grant["ifname"], holder


class Restarted(AdoptCase):
    def test_five_macvtaps_and_a_lock_are_watched_over_again(self):
        """Nothing of the others is disturbed, and each goes as if nothing had been."""
        macvtaps = [self.open(f"macvtap=v0,queues={1 + number % 3}") for number in range(5)]
        locked = self.open(LOCKED)
        self.kill_all()
        self.assertTrue(all(self.crosses(opened) for opened in macvtaps), "without anybody of ours")
        self.restart()
        self.assertTrue(all(self.crosses(opened) for opened in macvtaps), "after they were taken up")
        self.assertIsNotNone(locked.link)
        for opened in macvtaps:
            name = opened.grant["ifname"]
            for fd in opened.fds[:-1]:
                os.close(fd)
            opened.fds = opened.fds[-1:]
            self.assertIsNotNone(links.get(name), "one queue is left")
            opened.close()
            self.assertGone(name)
        sandbox.ip("link", "set", "dev", locked.grant["ifname"], "address", "fe:00:00:00:00:01")
        self.assertGone(locked.grant["ifname"])

    def test_what_was_let_go_of_meanwhile_is_removed(self):
        kept, let_go = self.open("macvtap=v0"), self.open("macvtap=v0,queues=2")
        name = let_go.grant["ifname"]
        self.kill_all()
        self.age(name)
        let_go.close()
        self.assertIsNotNone(links.get(name))
        self.start_daemon()
        self.assertTrue(sandbox.eventually(lambda: links.get(name) is None, 30))
        self.assertTrue(sandbox.eventually(
            lambda: any("nobody holds it, and its warden was killed" in str(line) for line in self.box.syslog.lines())))
        self.assertIsNotNone(kept.link)

    def test_a_lock_whose_address_was_changed_meanwhile_is_removed(self):
        opened = self.open(LOCKED)
        name = opened.grant["ifname"]
        self.kill_all()
        sandbox.ip("link", "set", "dev", name, "address", "fe:00:00:00:00:01")
        self.assertIsNotNone(links.get(name))
        self.start_daemon()
        self.assertGone(name)

    def test_a_queue_that_was_closed_meanwhile_is_not_waited_for(self):
        opened = self.open("macvtap=v0,queues=2")
        name = opened.grant["ifname"]
        self.kill_all()
        self.age(name)
        os.close(opened.fds.pop())
        self.start_daemon()
        self.assertTrue(sandbox.eventually(lambda: len(processes.wardens()) == 1, 30))
        self.assertIsNotNone(links.get(name))
        opened.close()
        self.assertTrue(sandbox.eventually(lambda: links.get(name) is None, 60))

    def test_filter_auto_follows_the_hosts_addresses_again(self):
        opened = self.open("bridge=br0,filter=auto")
        guest = frames.tap_end(opened)
        self.kill_all()
        self.restart()
        frame = frames.make(frames.BROADCAST, GUEST, frames.IPV4)
        sandbox.ip("addr", "add", "192.0.2.77/32", "dev", "br0")

        def passes():
            with frames.packet_end("br0") as end:
                guest.send(frame)
                return frame in frames.received_until(end, frame)

        self.assertTrue(sandbox.eventually(passes, 20))

    def test_with_nothing_to_take_up_there_is_no_warden(self):
        self.stop_daemon(signal.SIGKILL)
        self.start_daemon()
        self.assertTrue(sandbox.eventually(lambda: not self.adopters(), 20))
        self.assertEqual(processes.wardens(), [])

    def test_what_a_living_warden_has_stays_its_own(self):
        opened = self.open("macvtap=v0")
        warden = self.warden()
        self.stop_daemon(signal.SIGKILL)
        self.restart()
        self.assertEqual(self.warden(), warden)
        opened.close()
        self.assertGone(opened.grant["ifname"])


class WardenKilled(AdoptCase):
    """tapferryd lives, and sees the end of the warden."""

    def test_another_one_takes_its_place(self):
        name, holder = self.held_by_a_process("macvtap=v0,queues=2")
        for _ in range(2):
            self.kill_warden()
            self.wait_until_adopted()
        self.assertIsNotNone(links.get(name))
        holder.kill()
        holder.wait()
        self.assertGone(name)

    def test_a_holder_in_a_namespace_of_its_own_is_seen(self):
        opened = self.open("macvtap=v0")
        holder = self.box.popen(["unshare", "--user", "--pid", "--fork", "--kill-child", "sleep", "1000"], "alice",
                                pass_fds=opened.fds, stderr=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        self.addCleanup(holder.kill)
        if not sandbox.eventually(lambda: holder.poll() is not None or processes.named("sleep")):
            self.fail("unshare hangs")
        if holder.poll() is not None:
            self.skipTest(f"kernel: no user namespaces: {holder.stderr.read().decode()}")
        name = opened.grant["ifname"]
        opened.close()
        self.kill_warden()
        self.wait_until_adopted()
        self.assertIsNotNone(links.get(name))
        holder.kill()
        self.assertGone(name)

    def test_what_is_held_out_of_sight_stays(self):
        """In flight in a socket: no process has it, and yet it is held."""
        opened = self.open("macvtap=v0")
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened.fds))])
        name = opened.grant["ifname"]
        opened.close()
        self.age(name)
        self.kill_warden()
        self.assertTrue(sandbox.eventually(processes.wardens, 30))
        self.assertTrue(sandbox.eventually(lambda: not self.adopters(), 30))
        self.assertIsNotNone(links.get(name))
        ours.close()
        theirs.close()
        self.assertTrue(sandbox.eventually(lambda: links.get(name) is None, 60))

    def test_one_that_has_nothing_left_to_do_ends_and_stays_gone(self):
        opened = self.open("macvtap=v0")
        self.assertEqual(len(processes.wardens()), 1)
        opened.close()
        self.assertGone(opened.grant["ifname"])
        self.assertTrue(sandbox.eventually(lambda: not processes.wardens()))
        self.assertEqual(self.adopters(), set())


class ByHand(AdoptCase):
    """tapferryd --adopt, without a tapferryd."""

    def adopt(self, user="root"):
        return self.box.run([self.daemon_program, "--adopt"], user)

    def test_takes_up_and_ends(self):
        opened = self.open("macvtap=v0")
        self.kill_all()
        done = self.adopt()
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.warden()
        opened.close()
        self.assertGone(opened.grant["ifname"])

    def test_killed_at_any_moment_it_can_be_done_again(self):
        """Also while it has all queues open, to count them."""
        whole, part = self.open("macvtap=v0,queues=2"), self.open("macvtap=v0,queues=3")
        self.kill_all()
        self.age(part.grant["ifname"])
        os.close(part.fds.pop())
        for milliseconds in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128):
            with self.box.popen([self.daemon_program, "--adopt"], "root") as process:
                time.sleep(milliseconds / 1000)
                process.kill()
            processes.kill_and_wait(*processes.wardens())
        self.assertTrue(sandbox.eventually(lambda: self.adopt().returncode == 0, 60))
        self.assertEqual(nodes(), [])
        for opened in (whole, part):
            self.assertTrue(self.crosses(opened))
            opened.close()
            self.assertGone(opened.grant["ifname"])

    def test_is_for_root(self):
        done = self.adopt("alice")
        self.assertEqual((done.returncode, done.stderr),
                         (1, "tapferryd: serve clients: not started by root; see tapferryd(8)\n"))

    def test_without_the_capability_to_see_holders_it_says_so_and_disturbs_nobody(self):
        opened = self.open("macvtap=v0")
        self.kill_all()
        done = self.box.run(["setpriv", "--bounding-set=-sys_ptrace", self.daemon_program, "--adopt"], "root")
        self.assertEqual((done.returncode, done.stderr), (
            1, "tapferryd: take up macvtaps: CAP_SYS_PTRACE is not in the bounding set; it shows who holds them; see "
               "tapferryd(8)\n"))
        self.assertTrue(self.crosses(opened))
        self.restart()


if __name__ == "__main__":
    unittest.main()
