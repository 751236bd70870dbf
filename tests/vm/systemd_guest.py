# SPDX-License-Identifier: MIT
"""tapferryd's units under systemd as pid 1, for test_systemd.py, which installs them into the emulated Debian host that this
runs in: as an administrator would find them."""
import contextlib
import json
import os
import pwd
import re
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
# pylint: disable=wrong-import-position
import frames  # noqa: E402
import links  # noqa: E402
import processes  # noqa: E402
from broker_case import BROKER, SOCKET, Client, Opened  # noqa: E402

USER = "daemon"
GUEST = "52:54:00:00:00:01"
POLICY = f"""\
allow bridge=br0 user={USER} queues=8 vhost=on guest_mac=52:54:00:*
allow macvtap=v0 user={USER} queues=8
"""
UNIT = "tapferryd.service"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def eventually(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return value


def show(unit, name):
    return run("systemctl", "show", "--value", f"--property={name}", unit).strip()


def setUpModule():
    for line in ("link add br0 type bridge", "link set br0 up", "link add v0 type veth peer name v1", "link set v0 up",
                 "link set v1 up"):
        run("ip", *line.split())
    os.makedirs("/etc/tapferry", exist_ok=True)
    with open("/etc/tapferry/policy.conf", "w", encoding="ascii") as file:
        file.write(POLICY)
    run("systemctl", "start", "tapferryd.socket")


class Units(unittest.TestCase):
    """In the order of their numbers."""

    def open(self, spec):
        """As USER, by the socket."""
        who = pwd.getpwnam(USER)
        sock = socket.socket(socket.AF_UNIX)
        os.setegid(who.pw_gid)
        os.seteuid(who.pw_uid)
        try:
            sock.connect(SOCKET)
        finally:
            os.seteuid(0)
            os.setegid(0)
        sock.settimeout(120)
        client = Client(sock)
        self.addCleanup(client.close)
        sock.settimeout(120)
        opened = Opened(*client.call(f"{BROKER}.Open", net=spec))
        self.addCleanup(opened.close)
        return opened

    def assertGone(self, opened):
        name = opened.grant["ifname"]
        self.assertTrue(eventually(lambda: links.get(name) is None), f"{name} is still there")

    def crosses(self, opened):
        guest = frames.tap_end(opened)
        with contextlib.closing(frames.PacketEnd("v1")) as wire:
            frame = frames.make(frames.BROADCAST, opened.link.mac, 0x88b5)
            guest.send(frame)
            return frame in frames.received_until(wire, frame, 20)

    def main_pid(self):
        return int(show(UNIT, "MainPID"))

    def test_1_sysusers_has_made_the_users_without_a_login(self):
        for name in ("tapferry", "tapferry-broker"):
            self.assertEqual(pwd.getpwnam(name).pw_shell, "/usr/sbin/nologin")

    def test_2_the_first_connection_starts_it(self):
        self.assertEqual((show("tapferryd.socket", "ActiveState"), show(UNIT, "ActiveState")), ("active", "inactive"))
        self.assertEqual(os.stat(SOCKET).st_mode & 0o777, 0o666)
        opened = self.open("bridge=br0")
        self.assertEqual(opened.link.master, "br0")
        self.assertEqual([show(UNIT, name) for name in ("ActiveState", "SubState", "StatusText", "Result")],
                         ["active", "running", "serving", "success"])
        opened.close()
        self.assertGone(opened)

    def test_3_its_hardening_breaks_no_hand_over(self):
        for spec in ("bridge=br0,queues=4,vhost=on", f"bridge=br0,lock=on,guest_mac={GUEST}", "bridge=br0,filter=auto",
                     "bridge=br0,rate_to=100mbit,filter=ipv4", "bridge=br0,isolated=on", "macvtap=v0,queues=4"):
            with self.subTest(spec):
                opened = self.open(spec)
                self.assertTrue(opened.link.up)
                opened.close()
                self.assertGone(opened)

    def test_4_and_is_in_force(self):
        pid = self.main_pid()
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
            mounts = {line.split()[4]: line.split()[5].split(",") for line in file}
        self.assertIn("ro", mounts["/"])
        status = processes.status(pid)
        bounding = run("capsh", f"--decode={status['CapBnd']}").strip().partition("=")[2].split(",")
        self.assertEqual(sorted(bounding), sorted(show(UNIT, "CapabilityBoundingSet").split()))
        self.assertEqual(status["Seccomp"], "2")

    def test_5_the_journal_has_its_fields(self):
        opened = self.open("bridge=br0")
        uid = str(pwd.getpwnam(USER).pw_uid)

        def entries():
            lines = run("journalctl", "--output=json", f"TAPFERRY_UID={uid}", "TAPFERRY_METHOD=open").splitlines()
            return [entry for entry in map(json.loads, lines) if entry["TAPFERRY_REQUEST"] == "bridge=br0"]

        entry = eventually(entries)[-1]
        self.assertEqual((entry["TAPFERRY_OUTCOME"], entry["TAPFERRY_CLIENT_PID"], entry["_SYSTEMD_UNIT"]),
                         ("done", str(os.getpid()), UNIT))
        audit = run("journalctl", "--output=cat", "--identifier=tapferry-helper")
        self.assertRegex(audit, rf'uid={uid} .*result=granted interface="{opened.grant["ifname"]}"')

    def test_6_restart_leaves_holders_and_their_warden_alone(self):
        opened, pid = self.open("macvtap=v0,queues=2"), self.main_pid()
        warden = processes.wardens()
        run("systemctl", "restart", UNIT)
        self.assertNotEqual(self.main_pid(), pid)
        self.assertEqual(processes.wardens(), warden)
        self.assertTrue(self.crosses(opened))
        self.assertTrue(self.crosses(self.open("macvtap=v0")))
        opened.close()
        self.assertGone(opened)

    def test_7_stop_leaves_them_too(self):
        opened = self.open("macvtap=v0")
        run("systemctl", "stop", "tapferryd.socket", UNIT)
        self.assertEqual(show(UNIT, "ActiveState"), "inactive")
        self.assertTrue(self.crosses(opened))
        opened.close()
        self.assertGone(opened)
        run("systemctl", "start", "tapferryd.socket")

    def test_8_killed_with_its_whole_control_group_it_takes_them_up_again(self):
        macvtap, locked = self.open("macvtap=v0,queues=2"), self.open(f"bridge=br0,lock=on,guest_mac={GUEST}")
        pid, wardens = self.main_pid(), processes.wardens()
        run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", UNIT)
        if any(map(processes.is_running, wardens)):
            processes.kill_and_wait(*wardens)  # where it could leave the group
        self.assertTrue(eventually(lambda: self.main_pid() not in (0, pid)), "Restart=on-failure")
        self.assertTrue(eventually(lambda: processes.wardens() and processes.wardens() != wardens), "no other warden")
        self.assertTrue(self.crosses(macvtap))
        run("ip", "link", "set", "dev", locked.grant["ifname"], "address", "fe:00:00:00:00:01")
        self.assertGone(locked)
        self.assertTrue(eventually(lambda: self.is_watched(macvtap)))
        macvtap.close()
        self.assertGone(macvtap)

    @staticmethod
    def is_watched(_opened):
        """Whether nothing of the daemon's is at work any more but its other half."""
        group = run("systemctl", "show", "--value", "--property=ControlGroup", UNIT).strip()
        with open(f"/sys/fs/cgroup{group}/cgroup.procs", encoding="ascii") as file:
            names = {re.sub(r"\W", "", processes.status(int(pid)).get("Name", "")) for pid in file.read().split()}
        return names <= {"tapferryd", "tapferrybroke", "tapferrywarden", "tapferrybroker"}


if __name__ == "__main__":
    unittest.main(verbosity=2)
