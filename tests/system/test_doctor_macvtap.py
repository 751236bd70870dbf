# SPDX-License-Identifier: MIT
"""`tapferry doctor` on macvtaps that outlived their warden: those that nobody holds are deleted, whatever else is there
stays, however well its holder is hidden."""
import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import time
import unittest

import links
import sandbox
from command_case import need_command
from doctor_case import LEFT_BEHIND_WORDS, DoctorCase, tag

TUNSETQUEUE, IFF_DETACH_QUEUE = 0x400454D9, 0x400  # <linux/if_tun.h>
SYS_IO_URING_SETUP, SYS_IO_URING_REGISTER, IORING_REGISTER_FILES = 425, 427, 2


def setUpModule():
    need_command()


class Macvtap(DoctorCase):
    def test_left_behind_is_found_and_not_touched(self):
        self.macvtap()
        before = links.snapshot()
        text = self.doctor(well=False)
        self.assertRegex(text, r"\Aproblem: macvtap mv0 of uid 2001: its warden was killed, and no process .* holds it\n"
                               r"    tapferry doctor --repair\n\Z")
        self.assertEqual(links.snapshot(), before)

    def test_left_behind_is_deleted(self):
        self.macvtap()
        self.assertEqual(self.repair(), "macvtap mv0 of uid 2001: deleted\n")
        self.assertIsNone(links.get("mv0"))
        self.assertEqual(self.doctor(), "nothing is wrong\n")

    def test_all_that_are_left_behind_are_deleted_at_once(self):
        for number in range(20):
            self.macvtap(f"mv{number}")
        self.open("mv7")
        text = self.repair(well=False)
        self.assertEqual(text.count(": deleted\n"), 19, text)
        self.assertEqual([name for name in links.names() if name.startswith("mv")], ["mv7"])

    def test_held_stays_and_is_said_to_be_unwatched(self):
        self.macvtap()
        self.open()
        self.assertIn("mv0 of uid 2001: its warden was killed: it will stay when its holder is gone; "
                      "mended by: tapferry doctor --repair, when its holder is gone\n", self.doctor(well=False))
        self.repairs_nothing(well=False, says="it will stay when its holder is gone")

    def test_held_by_another_process_stays_until_that_ends(self):
        self.macvtap()
        fd = self.open(close=False)
        with subprocess.Popen(["sleep", "60"], pass_fds=[fd]) as holder:
            os.close(fd)
            self.repairs_nothing(well=False, says="holder")
            holder.kill()
        self.assertIn("deleted", self.repair())

    def test_held_in_flight_stays_and_goes_on_receiving(self):
        self.macvtap()
        receive = self.in_flight(self.open(close=False))
        self.repairs_nothing(well=False, says="not mended: something holds it that can't be seen here\n")
        self.check_receives(receive())

    def test_held_in_flight_with_its_queue_switched_off_stays(self):
        self.macvtap()
        fd = self.open(close=False)
        fcntl.ioctl(fd, TUNSETQUEUE, struct.pack("16sH22x", b"", IFF_DETACH_QUEUE))
        self.in_flight(fd)
        self.repairs_nothing(well=False, says="something holds it that can't be seen here")

    def test_held_by_an_io_uring_stays(self):
        self.macvtap()
        ring = self.register_with_io_uring(self.open(close=False))
        self.repairs_nothing(well=False, says="something holds it that can't be seen here")
        os.close(ring)
        self.assertTrue(sandbox.eventually(lambda: "deleted" in self.tapferry("doctor", "--repair", user="root").stdout))

    def check_receives(self, fd):
        """A broadcast frame from the other end of the veth pair comes out of the queue."""
        frame = b"\xff" * 6 + bytes.fromhex("525400000001") + b"\x88\xb5" + b"doctor" * 10
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("v1", 0))
            sender.send(frame)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            select.select([fd], [], [], 1)
            with contextlib.suppress(BlockingIOError):
                if frame in os.read(fd, 65536):
                    return
        self.fail("the frame didn't come")

    def register_with_io_uring(self, fd):
        libc = ctypes.CDLL(None, use_errno=True)
        parameters = ctypes.create_string_buffer(120)  # struct io_uring_params
        ring = libc.syscall(SYS_IO_URING_SETUP, 4, parameters)
        if ring < 0:
            self.skipTest(f"kernel: no io_uring: {os.strerror(ctypes.get_errno())}")
        files = (ctypes.c_int * 1)(fd)
        self.assertEqual(libc.syscall(SYS_IO_URING_REGISTER, ring, IORING_REGISTER_FILES, files, 1), 0)
        os.close(fd)
        return ring


class Foreign(DoctorCase):
    def test_macvtaps_of_others_are_never_touched(self):
        aliases = ("", "my own", "tapferry", "tapferry uid=me kind=macvtap", "tapferry uid=2001 kind=frobnicate",
                   " tapferry uid=2001 kind=macvtap", "xtapferry uid=2001 kind=macvtap", "tapferry uid=2001",
                   tag(kind="bridge"), tag(kind="device"))
        for number, alias in enumerate(aliases):
            self.macvtap(f"mv{number}", alias)
        self.assertEqual(self.doctor(), "nothing is wrong\n")
        self.repairs_nothing()

    def test_other_interfaces_with_such_a_tag_are_not_touched(self):
        for name in ("v0", "br1"):
            sandbox.ip("link", "set", name, "alias", tag())
        self.repairs_nothing()

    def test_macvtap_that_was_granted_to_stay_stays(self):
        self.macvtap(alias=tag(more=" persist=on"))
        self.repairs_nothing()

    def test_macvtap_of_another_namespace_is_not_touched(self):
        self.macvtap()
        script = f"ip link set lo up && {self.command} doctor --repair"
        done = self.box.run(["unshare", "--net", "sh", "-c", script], "root")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"nothing is wrong; looked at: {LEFT_BEHIND_WORDS}\n", ""))
        self.assertIsNotNone(links.get("mv0"))


class WithWarden(DoctorCase):
    """As long as a warden answers, macvtaps are its business."""

    def setUp(self):
        super().setUp()
        self.warden()

    def test_held_is_in_order(self):
        self.macvtap()
        self.open()
        self.assertEqual(self.doctor(), "nothing is wrong\n")
        self.repairs_nothing()

    def test_one_that_is_just_being_made_is_left_alone(self):
        self.macvtap(alias=tag(since=int(time.time())))
        self.assertEqual(self.doctor(), "nothing is wrong\n")
        self.repairs_nothing()

    def test_an_earlier_wardens_is_deleted(self):
        self.macvtap()
        self.assertIn("note: whether anybody holds 1 of the macvtaps can't be seen from here", self.doctor())
        self.assertEqual(self.repair(), "macvtap mv0 of uid 2001: deleted\n")
        self.assertIsNone(links.get("mv0"))

    def test_held_unseen_is_in_order(self):
        self.macvtap()
        self.in_flight(self.open(close=False))
        self.repairs_nothing()


class KilledWarden(DoctorCase):
    """The real one, and a macvtap that the helper made."""

    @staticmethod
    def wardens():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="ascii") as file:
                if file.read() == "tapferry-warden\n":
                    found.append(int(pid))
        return found

    def test_its_macvtap_is_unwatched_and_then_deleted(self):
        self.box.policy("allow macvtap=v0 queues=2")
        got = self.granted("macvtap=v0,queues=2")
        name = got.record["ifname"]
        self.repairs_nothing()
        warden, = self.wardens()
        os.kill(warden, signal.SIGKILL)
        self.assertTrue(sandbox.eventually(lambda: not self.wardens()))
        self.repairs_nothing(well=False, says=f"macvtap {name} of uid {self.box.users['alice'].uid}: its warden was killed")
        got.close()
        self.assertIn(": deleted\n", self.repair())
        self.assertIsNone(links.get(name))


class Surroundings(DoctorCase):
    """What it needs, and what it says without it."""

    def run_without(self, capability, *command):
        return self.box.run(["setpriv", f"--bounding-set=-{capability}", *command], "root")

    def test_users_see_but_do_not_repair(self):
        self.macvtap()
        self.assertIn("no process that can be seen here holds it", self.doctor(well=False, user="alice"))
        self.fails("doctor", "--repair", says="Operation not permitted; it needs CAP_NET_ADMIN: run it as root")
        done = self.run_without("net_admin", self.command, "doctor", "--repair")
        self.assertIn("it needs CAP_NET_ADMIN", done.stderr)
        self.assertIsNotNone(links.get("mv0"))

    def test_without_mknod_nothing_is_deleted(self):
        self.macvtap()
        done = self.run_without("mknod", self.command, "doctor", "--repair")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertRegex(done.stdout, r"mv0 .*; not mended: make /dev/.*: Operation not permitted; it needs CAP_MKNOD")
        self.assertIsNotNone(links.get("mv0"))

    def in_new_namespace(self, *doctor):
        """doctor beside a left macvtap mv0 in a network namespace whose /sys is still this one's, where there is an mv0 too."""
        self.macvtap()
        script = ("ip link add v0 type veth peer name v1 && ip link add link v0 name mv0 type macvtap && "
                  f"ip link set mv0 alias '{tag()}' && \"$@\"; status=$?; ip link show mv0 >&2; exit $status")
        done = self.box.run(["unshare", "--net", "sh", "-c", script, "sh", *doctor], "root")
        self.assertIsNotNone(links.get("mv0"), "the other one")
        return done

    def test_finds_the_device_of_its_own_namespace_whatever_sys_is(self):
        done = self.in_new_namespace(self.command, "doctor", "--repair")
        self.assertEqual((done.returncode, done.stdout), (0, "macvtap mv0 of uid 2001: deleted\n"))
        self.assertIn("does not exist", done.stderr)

    def test_sys_of_another_namespace_is_not_believed(self):
        done = self.in_new_namespace("setpriv", "--bounding-set=-sys_admin", self.command, "doctor", "--repair")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"mv0 .*; not mended: find the device of mv0: /sys shows another network namespace; .*ip netns exec")
        self.assertIn("macvtap", done.stderr + done.stdout)
        self.assertNotIn("does not exist", done.stderr)

    def test_sys_of_this_namespace_will_do(self):
        self.macvtap()
        done = self.run_without("sys_admin", self.command, "doctor", "--repair")
        self.assertEqual(done.stdout, "macvtap mv0 of uid 2001: deleted\n")

    def test_low_limit_of_descriptors_is_raised(self):
        self.macvtap()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        text = self.repair(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard)))
        self.assertIn("deleted", text)

    def test_too_few_descriptors_delete_nothing(self):
        self.macvtap()
        text = self.repair(well=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        self.assertIn("not mended: open mv0: Too many open files", text)
        self.assertIsNotNone(links.get("mv0"))


if __name__ == "__main__":
    unittest.main()
