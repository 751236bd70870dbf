# SPDX-License-Identifier: MIT
"""Real guests whose frames tapferry-vhost moves: `tapferry run --vhost-user -- qemu-system-x86_64 ...`, as a user without
any capability, over a bridge and over a macvtap."""
import hashlib
import os
import re
import signal
import subprocess
import threading

import guest
import links
import processes
import sandbox
from one_file import note
from sandbox import ip
from vm_case import VmCase, installed_command, installed_helper

TIMEOUT = 900

BULK_BYTES = 8 << 20
KILLS = 100

# Bytes that nobody could repair unseen: both ends hash them. The host's end waits at ports 7001 and 7002.
BULK = f"""
reach ready {guest.HOST_ADDRESS} 64 100
dd if=/dev/urandom of=/root/out bs=1M count={BULK_BYTES >> 20} 2>/dev/null
result out "$(sha256sum /root/out | cut -d' ' -f1)"
nc -w 20 {guest.HOST_ADDRESS} 7001 </root/out
nc -w 20 {guest.HOST_ADDRESS} 7002 </dev/null >/root/in
result in "$(sha256sum /root/in | cut -d' ' -f1)"
result csum_errors "$(awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ {{ print $NF }}' /proc/net/snmp)"
"""

STREAMS = f"""
for direction in "" -R; do
  for family in "" -u; do
    name="tcp$direction"; [ -n "$family" ] && name="udp$direction"
    limit=; [ -n "$family" ] && limit="-b 20M -l 1400"
    /usr/bin/iperf3 -c {guest.HOST_ADDRESS} -t 1 $family $limit $direction >/root/log 2>&1; code=$?
    result "$(echo $name | tr -d -)" "$code $(grep -m 1 receiver /root/log)"
  done
done
result csum_errors "$(awk '$1 == "Tcp:" && $2 ~ /^[0-9]/ {{ print $NF }}' /proc/net/snmp)"
"""


class VhostUserCase(VmCase):
    def setUp(self):
        super().setUp()
        self.helper, self.command = installed_helper(self.box), installed_command(self.box)
        self.vhost = self.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        self.box.policy("allow bridge=br0 user=alice queues=2 mtu=9000", "allow macvtap=v0 user=alice queues=2")

    def boot(self, version, spec, script=guest.REACH_HOST, smp=1, **options):
        prefix = [self.command, "run", "--vhost-user", f"--net={spec}", f"--helper={self.helper}", "--"]
        outcome = self.stage.boot(self.qemu(version), script, [], user=self.alice, prefix=prefix, smp=smp, **options)
        self.assertTrue(sandbox.eventually(lambda: not processes.of_program(self.vhost), 10), "it ends with QEMU")
        return outcome

    def check_two_queues(self, version, spec):
        before = links.snapshot()
        outcome = self.boot(version, spec, smp=2)
        self.assert_reached_host(outcome, 2)
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before, 5), links.snapshot())


class OverABridge(VhostUserCase):
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


class OverAMacvtap(VhostUserCase):
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


class Streams(VhostUserCase):
    """What crosses is what was sent, whatever is offloaded, segmented and merged on the way."""

    def configured(self, script):
        return f"ip addr add {guest.GUEST_ADDRESS}/24 dev eth0\nip link set eth0 up\n{script}"

    @staticmethod
    def host_checksum_errors():
        with open("/proc/net/snmp", encoding="ascii") as file:
            return {line.split()[0]: int(line.split()[-1]) for line in file if re.match(r"(Tcp|Udp): \d", line)}

    def serve_bulk(self, data):
        """Threads for the two ports; the dictionary gets the hash of what came."""
        import socket
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


class BackendKilled(VhostUserCase):
    """SIGKILL under traffic: the guest's network is back each time, and nothing arrives twice or changed."""
    SCRIPT = f"""
ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
reach before {guest.HOST_ADDRESS} 64
result flood yes
ping -q -i 0.02 -s 1000 -w 600 {guest.HOST_ADDRESS} >/root/flood 2>&1 &
while [ ! -e /tmp/over ]; do nc -w 1 {guest.HOST_ADDRESS} 7003 </dev/null >/root/word 2>/dev/null; \
 [ "$(cat /root/word 2>/dev/null)" = over ] && break; sleep 1; done
kill -INT %1; wait
result flood_seen "$(tail -n 2 /root/flood | tr '\\n' ' ')"
result duplicates "$(grep -c DUP /root/flood)"
reach after {guest.HOST_ADDRESS} 60000
"""

    def answered(self):
        """Echo requests that the host has answered so far."""
        with open("/proc/net/snmp", encoding="ascii") as file:
            rows = [line.split() for line in file if line.startswith("Icmp:")]
        return int(dict(zip(*rows))["InEchos"])

    def kill_again_and_again(self, failures):
        for count in range(KILLS):
            backends = processes.of_program(self.vhost)
            if len(backends) != 1:
                failures.append(f"kill {count}: backends {backends}")
                return
            os.kill(backends[0], signal.SIGKILL)
            before = self.answered()
            if not sandbox.eventually(lambda before=before: self.answered() >= before + 5, 30):
                failures.append(f"kill {count}: the guest's network isn't back after 30 s")
                return

    def test_a_hundred_times_under_traffic(self):
        import socket
        os.makedirs("/tmp", exist_ok=True)
        flooding = threading.Event()
        failures = []
        over = socket.create_server((guest.HOST_ADDRESS, 7003))
        self.addCleanup(over.close)
        over.settimeout(30)

        def disturb():
            flooding.wait(60)
            self.kill_again_and_again(failures)
            for _ in range(3):
                try:
                    peer, _ = over.accept()
                    peer.sendall(b"over\n")
                    peer.close()
                    return
                except OSError:
                    pass

        thread = threading.Thread(target=disturb, daemon=True)
        thread.start()
        outcome = self.boot("10.0", "bridge=br0", self.SCRIPT, timeout_s=400,
                            on_result=lambda key, _: flooding.set() if key == "flood" else None)
        flooding.set()
        thread.join(30)
        self.assertEqual(failures, [], outcome)
        self.assertEqual(outcome.results.get("after"), "3/3", outcome)
        self.assertEqual(outcome.results.get("duplicates"), "0", outcome)
        note(f"{KILLS} kills of the backend under a guest's traffic: {outcome.results.get('flood_seen')}")
