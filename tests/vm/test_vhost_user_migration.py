# SPDX-License-Identifier: MIT
"""A guest on tapferry-vhost moves, running and under traffic, from one QEMU to another that has a tapferry-vhost and a tap of
its own.  The host holds back what the guest shall receive until each page of its memory has been copied once, and the guest
leaves it unread in its socket: the frames lie in pages that nobody but the back-end has written to.  Only the dirty log makes
QEMU copy these again, and only a hash tells whether it did."""
import fcntl
import hashlib
import os
import socket
import struct
import termios
import threading

import guest
import processes
import sandbox
from one_file import note
from qmp_client import Qmp
from sandbox import ip
from vhost_user_case import VhostUserCase

TIMEOUT = 300

UNREAD_BYTES = 2 << 20
SENT_BYTES = 8 << 20
TO_READ, TO_SEND, TO_WAIT = 7001, 7002, 7003
# QEMU passes over the memory until what is left would take no longer than this at that speed. It is more than a page for as long
# as the guest overwrites SENT_BYTES of its memory several times in each pass, which takes a sixth of a second.
NEVER = {"max-bandwidth": 48 << 20, "avail-switchover-bandwidth": 4 << 20, "downtime-limit": 1}
NOW = {"avail-switchover-bandwidth": 1 << 30, "downtime-limit": 1000}

SCRIPT = f"""
echo 4096 8388608 8388608 >/proc/sys/net/ipv4/tcp_rmem
ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
reach before {guest.HOST_ADDRESS} 64
ping -q -i 0.02 {guest.HOST_ADDRESS} >/pinged 2>&1 &
dd if=/dev/urandom of=/out bs=1M count={SENT_BYTES >> 20} 2>/dev/null
(while [ ! -e /moved ]; do dd if=/out of=/overwritten bs=1M conv=notrunc 2>/dev/null; done) &
result out "$(sha256sum /out | cut -d' ' -f1)"
nc {guest.HOST_ADDRESS} {TO_SEND} </out >/dev/null &
sender=$!
nc {guest.HOST_ADDRESS} {TO_READ} </dev/null | {{
  nc {guest.HOST_ADDRESS} {TO_WAIT} </dev/null >/dev/null
  touch /moved
  result moved yes
  cat >/in
}}
result in "$(sha256sum /in | cut -d' ' -f1)"
wait $sender
kill -INT $(pidof ping)
result pinged "$(grep transmitted /pinged)"
reach after {guest.HOST_ADDRESS} 60000
result queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
"""


class Vm:
    """One of the two QEMUs, in a thread; `outcome` when it has ended."""

    def __init__(self, case, name, queues, device, *more):
        qmp_path = f"{case.alice.home}/{name}.qmp"
        vmm = case.stage.reachable(case.qemu("10.0"))
        command = [case.command, "run", "--vhost-user", f"--net=bridge=br0,queues={queues}", f"--helper={case.helper}", "--",
                   *case.stage.arguments(vmm, SCRIPT, smp=2), "-object", "memory-backend-memfd,id=ram,size=256M,share=on",
                   "-machine", "memory-backend=ram", "-chardev", "socket,id=c,path={socket},reconnect=1",
                   "-netdev", f"vhost-user,id=n,chardev=c,queues={queues}",
                   "-device", f"virtio-net-pci,netdev=n,mac={guest.GUEST_MAC},romfile={device}",
                   "-qmp", f"unix:{qmp_path},server=on,wait=off", *more]
        self.outcome = None
        self.results = {}
        self._thread = threading.Thread(target=self._run, args=(command, dict(vmm.environment), case.alice), daemon=True)
        self._thread.start()
        self.qmp = Qmp(qmp_path)
        case.addCleanup(self.end)

    def _run(self, command, environment, user):
        self.outcome = guest.run(command, environment, user, timeout_s=90, on_result=self.results.__setitem__)

    def end(self):
        """At the latest."""
        if self._thread.is_alive():
            try:
                self.qmp.do("quit")
            except (AssertionError, OSError):
                pass
        self.qmp.close()
        self.wait()

    def wait(self):
        self._thread.join(95)
        return self.outcome


class Announcements:
    """Whether the guest has announced itself on the bridge: a RARP, or an ARP for its own address."""

    def __init__(self, name):
        self._sockets = []
        for kind in (0x0806, 0x8035):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(kind))
            sock.bind((name, kind))
            self._sockets.append(sock)

    def count(self):
        """Since the last time."""
        found = 0
        for sock in self._sockets:
            while True:
                try:
                    packet = sock.recv(64)
                except BlockingIOError:
                    break
                found += packet[8:14] == bytes.fromhex(guest.GUEST_MAC.replace(":", "")) and (
                    packet[14:18] == packet[24:28] or packet[6:8] == b"\0\3")
        return found

    def close(self):
        for sock in self._sockets:
            sock.close()


class Migration(VhostUserCase):
    def setUp(self):
        super().setUp()
        # Else it has that of one of its ports, and another one when the port goes.
        ip("link", "set", "br0", "address", "52:54:00:00:00:01")

    def listener(self, port):
        sock = socket.create_server((guest.HOST_ADDRESS, port))
        self.addCleanup(sock.close)
        sock.settimeout(60)
        return sock

    def accept(self, listener):
        peer, _ = listener.accept()
        self.addCleanup(peer.close)
        peer.settimeout(60)
        return peer

    def wait_for(self, what, condition, seconds=60):
        if not sandbox.eventually(condition, seconds):
            raise AssertionError(f"{what}: not after {seconds} s")

    @staticmethod
    def is_received(peer):
        """All that was sent has been acknowledged by the guest's kernel."""
        return struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)))[0] == 0

    def migrate(self, source, target, path, send):
        """Calls SEND between the first pass over the memory and the last."""
        source.qmp.do("migrate-set-parameters", **NEVER)
        source.qmp.do("migrate", uri=f"unix:{path}")

        def status(*others):
            state = source.qmp.do("query-migrate")
            self.assertIn(state["status"], ("setup", "active", *others), state)
            return state

        self.wait_for("a second pass over the memory", lambda: status().get("ram", {}).get("dirty-sync-count", 0) >= 2)
        send()
        status()
        source.qmp.do("migrate-set-parameters", **NOW)
        self.wait_for("the end of the migration", lambda: status("device", "completed")["status"] == "completed")
        self.wait_for("the guest's going on", lambda: target.qmp.do("query-status")["status"] == "running")
        return source.qmp.do("query-migrate")

    def check(self, queues=1, device=""):
        to_read, to_send, to_wait = (self.listener(port) for port in (TO_READ, TO_SEND, TO_WAIT))
        announcements = Announcements("br0")
        self.addCleanup(announcements.close)
        path = f"{self.alice.home}/migration"
        source = Vm(self, "source", queues, device)
        reading, sending, waiting = self.accept(to_read), self.accept(to_send), self.accept(to_wait)
        target = Vm(self, "target", queues, device, "-incoming", f"unix:{path}")
        data = os.urandom(UNREAD_BYTES)
        got = hashlib.sha256(sending.recv(1 << 16))  # the rest waits, in the guest's queue too
        announcements.count()

        def send():
            reading.sendall(data)
            self.wait_for("all being in the guest", lambda: self.is_received(reading))

        state = self.migrate(source, target, path, send)
        source.qmp.do("quit")
        while chunk := sending.recv(1 << 16):
            got.update(chunk)
        for peer in (sending, reading, waiting):
            peer.close()
        before, after = source.wait(), target.wait()
        found = {**before.results, **after.results}
        said = f"{before}\n=== and then\n{after}"
        self.assertNotIn("moved", before.results, said)
        self.assertEqual((after.status, found.get("finished")), (0, "yes"), said)
        self.assertEqual(found.get("in"), hashlib.sha256(data).hexdigest(), said)
        self.assertEqual(found.get("out"), got.hexdigest(), said)
        self.assertEqual((found.get("before"), found.get("after")), ("3/3", "3/3"), said)
        self.assertEqual(found.get("queues"), str(queues), said)
        self.assertGreater(announcements.count(), 0, "the guest or its new back-end announces where it is")
        for outcome in (before, after):
            self.assertEqual([line for line in outcome.stderr.splitlines() if "serves" not in line], [], said)
        self.assertTrue(sandbox.eventually(lambda: not processes.of_program(self.vhost), 10))
        note(f"migration, {queues} queues{device}: {state['ram']['dirty-sync-count']} passes, {state['ram']['transferred'] >> 20}"
             f" MiB, {state['downtime']} ms without the guest; {found.get('pinged')}")

    def test_of_a_guest_with_split_rings(self):
        self.check()

    def test_of_a_guest_with_packed_rings(self):
        self.check(device=",packed=on")

    def test_of_a_guest_with_two_queues(self):
        self.check(queues=2, device=",mq=on,vectors=6")
