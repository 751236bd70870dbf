# SPDX-License-Identifier: MIT
"""Real guests whose frames tapferry-vhost moves: `tapferry run --vhost-user -- qemu-system-x86_64 ...`, as a user without
any capability, over a bridge and over a macvtap."""
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading

import guest
import links
import processes
import sandbox
import vhost_frames
from one_file import note
from sandbox import ip
from vhost_user_case import VhostUserCase

TIMEOUT = 900

BULK_BYTES = 8 << 20
KILLS = 100

# Bytes that nobody could repair unseen: both ends hash them. The host's end waits at ports 7001 and 7002.
BULK = f"""
reach ready {guest.HOST_ADDRESS} 64 100
dd if=/dev/urandom of=/out bs=1M count={BULK_BYTES >> 20} 2>/dev/null
result out "$(sha256sum /out | cut -d' ' -f1)"
nc -w 20 {guest.HOST_ADDRESS} 7001 </out
nc -w 20 {guest.HOST_ADDRESS} 7002 </dev/null >/in
result in "$(sha256sum /in | cut -d' ' -f1)"
result csum_errors "$(awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ {{ print $NF }}' /proc/net/snmp)"
"""

STREAMS = f"""
mkdir /tmp
for direction in "" -R; do
  for family in "" -u; do
    name="tcp$direction"; [ -n "$family" ] && name="udp$direction"
    limit=; [ -n "$family" ] && limit="-b 20M -l 1400"
    /usr/bin/iperf3 -c {guest.HOST_ADDRESS} -t 1 $family $limit $direction >/log 2>&1; code=$?
    result "$(echo $name | tr -d -)" "$code $(grep -m 1 receiver /log)"
  done
done
result csum_errors "$(awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ {{ print $NF }}' /proc/net/snmp)"
"""


def snmp(protocol):
    """The host's counters of it."""
    with open("/proc/net/snmp", encoding="ascii") as file:
        names, values = (line.split()[1:] for line in file if line.startswith(f"{protocol}:"))
    return dict(zip(names, map(int, values)))


class TwoQueues(VhostUserCase):
    def check_two_queues(self, version, spec):
        before = links.snapshot()
        outcome = self.boot(version, spec, smp=2)
        self.assert_reached_host(outcome, 2)
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before, 5), links.snapshot())


class OverABridge(TwoQueues):
    def test_guest_of_qemu_7_2_reaches_the_host(self):
        outcome = self.boot("7.2", "bridge=br0")
        self.assert_reached_host(outcome, 1)

    def test_guest_of_qemu_10_reaches_the_host(self):
        outcome = self.boot("10.0", "bridge=br0")
        self.assert_reached_host(outcome, 1)

    def test_guest_of_qemu_7_2_with_two_queues(self):
        self.check_two_queues("7.2", "bridge=br0,queues=2")

    def test_guest_of_qemu_10_with_two_queues(self):
        self.check_two_queues("10.0", "bridge=br0,queues=2")

    def test_a_large_mtu_reaches_the_guest(self):
        script = f"""
ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
result mtu "$(cat /sys/class/net/eth0/mtu)"
reach ready {guest.HOST_ADDRESS} 64
"""
        ip("link", "set", "br0", "mtu", "9000")
        outcome = self.boot("7.2", "bridge=br0,mtu=9000", script)
        self.assertEqual((outcome.results.get("mtu"), outcome.results.get("ready")), ("9000", "3/3"), outcome)


class OverAMacvtap(TwoQueues):
    FLOWS = 16

    def setUp(self):
        super().setUp()
        self.box.delete_links()
        self.box.veth("v0", "v1")
        ip("addr", "add", f"{guest.HOST_ADDRESS}/24", "dev", "v1")

    def test_guest_of_qemu_7_2(self):
        outcome = self.boot("7.2", "macvtap=v0")
        self.assert_reached_host(outcome, 1)

    def test_guest_of_qemu_10_with_two_queues(self):
        self.check_two_queues("10.0", "macvtap=v0,queues=2")

    def test_a_guest_with_one_processor_hears_of_every_flow(self):
        """It uses one of the two queues; a macvtap's driver spreads flows over those that are in use, whoever began them."""
        listener = socket.create_server((guest.HOST_ADDRESS, 7004))
        self.addCleanup(listener.close)
        listener.settimeout(60)

        def answer():
            for _ in range(self.FLOWS):
                listener.accept()[0].close()
        threading.Thread(target=answer, daemon=True).start()
        script = f"""
ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
flows=0
for i in $(seq {self.FLOWS}); do nc -w 5 {guest.HOST_ADDRESS} 7004 </dev/null && flows=$((flows + 1)); done
result flows $flows
"""
        outcome = self.boot("10.0", "macvtap=v0,queues=2", script)
        self.assertEqual(outcome.results.get("flows"), str(self.FLOWS), outcome)


class Streams(VhostUserCase):
    """What crosses is what was sent, whatever is offloaded, segmented and merged on the way."""

    def configured(self, script):
        return f"ip addr add {guest.GUEST_ADDRESS}/24 dev eth0\nip link set eth0 up\n{script}"

    @staticmethod
    def host_checksum_errors():
        return [snmp(protocol)["InCsumErrors"] for protocol in ("Tcp", "Udp")]

    def serve_bulk(self, data):
        """Threads for the two ports; the dictionary gets the hash of what came."""
        got = {}
        listeners = []
        for port in (7001, 7002):
            listener = socket.create_server((guest.HOST_ADDRESS, port))
            self.addCleanup(listener.close)
            listener.settimeout(110)
            listeners.append(listener)

        def work():
            peer, _ = listeners[0].accept()
            digest = hashlib.sha256()
            peer.settimeout(60)
            while chunk := peer.recv(1 << 16):
                digest.update(chunk)
            peer.close()
            got["out"] = digest.hexdigest()
            peer, _ = listeners[1].accept()
            peer.sendall(data)
            peer.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread, got

    def check_bulk(self, spec, version="7.2"):
        data = os.urandom(BULK_BYTES)
        before = self.host_checksum_errors()
        thread, got = self.serve_bulk(data)
        outcome = self.boot(version, spec, self.configured(BULK.replace(" 100", " 3")))
        thread.join(20)
        self.assertEqual(outcome.results.get("out"), got.get("out"), outcome)
        self.assertEqual(outcome.results.get("in"), hashlib.sha256(data).hexdigest(), outcome)
        self.assertEqual(outcome.results.get("csum_errors"), "0", outcome)
        self.assertEqual(self.host_checksum_errors(), before)

    def test_bulk_arrives_byte_for_byte_both_ways(self):
        self.check_bulk("bridge=br0")

    def test_bulk_arrives_byte_for_byte_with_two_queues_and_qemu_10(self):
        self.check_bulk("bridge=br0,queues=2", "10.0")

    def test_checksums_are_whole_beyond_a_wire_without_offloads(self):
        """What leaves the bridge is segmented and summed by where the guest said its checksums are; the far end verifies all."""
        self.box.veth("w0", "w1", master="br0")
        for end in ("w0", "w1"):
            subprocess.run(["ethtool", "-K", end, "tx", "off", "rx", "off"], check=True, stdout=subprocess.DEVNULL)
        ip("addr", "del", f"{guest.HOST_ADDRESS}/24", "dev", "br0")
        ip("addr", "add", f"{guest.HOST_ADDRESS}/24", "dev", "w1")
        with open("/proc/sys/net/ipv4/conf/br0/arp_ignore", "w", encoding="ascii") as file:
            file.write("1")
        before = snmp("Udp")["InCsumErrors"]
        self.send_a_wrong_checksum("w0", "w1")
        self.assertTrue(sandbox.eventually(lambda: snmp("Udp")["InCsumErrors"] == before + 1, 5),
                        "this wire's far end doesn't look at checksums")
        self.check_bulk("bridge=br0")

    @staticmethod
    def send_a_wrong_checksum(near, far):
        with open(f"/sys/class/net/{far}/address", encoding="ascii") as file:
            mac = bytes.fromhex(file.read().strip().replace(":", ""))
        frame, _, _ = vhost_frames.packet(vhost_frames.UDP, b"wrong")
        addresses = socket.inet_aton(guest.GUEST_ADDRESS) + socket.inet_aton(guest.HOST_ADDRESS)
        header = frame[14:24] + b"\0\0" + addresses
        header = header[:10] + struct.pack("!H", ~vhost_frames.folded(header) & 0xffff) + header[12:]
        wrong = struct.pack("!H", struct.unpack("!H", frame[40:42])[0] ^ 0x5555)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
            wire.bind((near, 0x0800))
            wire.send(mac + frame[6:14] + header + frame[34:40] + wrong + frame[42:])

    def test_iperf3_runs_both_ways_over_tcp_and_udp(self):
        if not os.path.exists("/usr/bin/iperf3"):
            self.skipTest("iperf3 is not installed")
        before = self.host_checksum_errors()
        server = subprocess.Popen(["iperf3", "-s", "-B", guest.HOST_ADDRESS], stdout=subprocess.DEVNULL)
        try:
            outcome = self.boot("7.2", "bridge=br0", self.configured(STREAMS), files=guest.program_files("/usr/bin/iperf3"))
        finally:
            server.kill()
            server.wait()
        for name in ("tcp", "udp", "tcpR", "udpR"):
            result = outcome.results.get(name, "")
            self.assertRegex(result, r"\A0 .*bits/sec", outcome)
            note(f"vhost-user guest under TCG, iperf3 {name}: {re.search(r'[0-9.]+ .bits/sec', result)[0]}")
        self.assertEqual(outcome.results.get("csum_errors"), "0", outcome)
        self.assertEqual(self.host_checksum_errors(), before)


class EchoRequests:
    """Counts the ICMP echo requests that come in at an interface: `total`, and of those `again`, which came before."""

    def __init__(self, name):
        self.total = self.again = 0
        self._seen = set()
        self._over = False
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._socket.bind((name, 0x0800))
        self._socket.settimeout(0.5)
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join()
        self._socket.close()

    def _count(self):
        while not self._over:
            try:
                packet = self._socket.recv(64)
            except TimeoutError:
                continue
            # An unfragmented packet of 20 bytes of header, ICMP, type 8; identifier and number.
            if packet[0] == 0x45 and packet[6] & 0x3f == packet[7] == 0 and packet[9] == 1 and packet[20] == 8:
                self.total += 1
                self.again += packet[24:28] in self._seen
                self._seen.add(packet[24:28])


class BackendKilled(VhostUserCase):
    """SIGKILL under traffic: the guest's network is back each time, nothing is changed, and nothing comes twice but the frame
    or two that a backend had written to the tap and not yet acknowledged."""
    SCRIPT = f"""
ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
reach before {guest.HOST_ADDRESS} 64
for flood in 1 2; do ping -q -i 0.005 -s 1400 {guest.HOST_ADDRESS} >/flood$flood 2>&1 & done
nc {guest.HOST_ADDRESS} 7003 </dev/null >/dev/null
kill -INT $(pidof ping)
wait
result pinged "$(cat /flood? | grep transmitted | tr '\\n' ';')"
result csum_errors "$(awk '$1 == "Icmp:" && $2 ~ /^[0-9]/ {{ print $4 }}' /proc/net/snmp)"
reach after {guest.HOST_ADDRESS} 60000
"""

    def answered(self):
        """Echo requests that the host has answered so far."""
        return snmp("Icmp")["InEchos"]

    def is_back(self, before):
        """The guest's pings come, and it answers the host's."""
        return self.answered() >= before + 20 and subprocess.run(
            ["ping", "-q", "-c", "1", "-W", "0.5", "-s", "1400", guest.GUEST_ADDRESS], check=False,
            stdout=subprocess.DEVNULL).returncode == 0

    def kill_again_and_again(self, failures):
        for count in range(KILLS):
            backends = processes.of_program(self.vhost)
            if len(backends) != 1:
                failures.append(f"kill {count}: backends {backends}")
                return
            os.kill(backends[0], signal.SIGKILL)
            before = self.answered()
            if not sandbox.eventually(lambda before=before: self.is_back(before), 30):
                failures.append(f"kill {count}: the guest's network isn't back after 30 s")
                return

    def test_a_hundred_times_under_traffic(self):
        failures = []
        over = socket.create_server((guest.HOST_ADDRESS, 7003))
        self.addCleanup(over.close)
        over.settimeout(60)

        def disturb():
            try:
                peer, _ = over.accept()
            except OSError:
                return
            with peer:  # its end, after a hundred times without a network, ends the flood
                self.kill_again_and_again(failures)

        thread = threading.Thread(target=disturb, daemon=True)
        thread.start()
        before = snmp("Icmp")
        with EchoRequests("br0") as seen:
            outcome = self.boot("10.0", "bridge=br0", self.SCRIPT, timeout_s=400)
        thread.join(30)
        after = snmp("Icmp")
        self.assertEqual(failures, [], outcome)
        self.assertEqual(outcome.results.get("after"), "3/3", outcome)
        self.assertEqual(outcome.results.get("csum_errors"), "0", outcome)
        self.assertEqual([after[name] - before[name] for name in ("InErrors", "InCsumErrors")], [0, 0])
        self.assertLessEqual(seen.again, 2 * KILLS)
        note(f"{KILLS} kills of the backend under a guest's traffic: {seen.total} frames came, {seen.again} of them twice; "
             f"{outcome.results.get('pinged')}")
