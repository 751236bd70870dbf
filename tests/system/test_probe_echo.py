# SPDX-License-Identifier: MIT
"""`tapferry probe --echo` and --pcap: a tiny guest that answers pings, and a capture that tcpdump opens."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import unittest

import links
import sandbox
from command_case import CommandCase, need_command

HOST4, GUEST4 = "192.0.2.1", "192.0.2.9"
HOST6, GUEST6 = "2001:db8::1", "2001:db8::9"
ETH_P_ALL = 3


def setUpModule():
    need_command()


class EchoCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=4")
        self.address_bridge()
        self.scratch = f"{sandbox.BASE}/home/alice"

    @staticmethod
    def address_bridge():
        sandbox.ip("addr", "add", f"{HOST4}/24", "dev", "br0")
        sandbox.ip("addr", "add", f"{HOST6}/64", "dev", "br0", "nodad")

    def start(self, *arguments, net="bridge=br0", echo=(GUEST4, GUEST6), user="alice"):
        """A probe that answers already; its first output line has been read as .facts."""
        command = [self.command, "probe", "--json", f"--net={net}", *(f"--echo={ip}" for ip in echo), *arguments]
        proc = self.box.popen(command, user, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (proc.kill(), proc.communicate()))
        line = proc.stdout.readline()
        if not line:
            self.fail(proc.communicate()[1])
        proc.facts = json.loads(line)
        return proc

    def end(self, proc, number=signal.SIGINT, status=0):
        """End it; what it counted, and its stderr."""
        if number:
            proc.send_signal(number)
        out, err = proc.communicate(timeout=20)
        self.assertEqual(proc.returncode, status, err)
        tally = json.loads(out)
        if status == 0:
            self.assertEqual((tally["errors"], err), (0, ""))
        return tally, err

    def ping(self, address, size=64, count=2, *more):
        done = self.box.run(["ping", "-n", "-i", "0.05", "-W", "3", "-c", str(count), "-s", str(size - 8), *more,
                             address], user="root")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f" {count} received, 0% packet loss", done.stdout)
        self.assertNotIn("wrong data", done.stdout)


class Ping(EchoCase):
    def test_small_ones_are_answered(self):
        proc = self.start()
        self.ping(GUEST4)
        self.ping(GUEST6)
        tally, _ = self.end(proc)
        self.assertEqual(tally["echo"], 4)
        self.assertGreaterEqual(tally["arp"] + tally["neighbour"], 1)

    def test_large_ones_are_answered_in_fragments(self):
        proc = self.start()
        for size in (1480, 1481, 9000, 60000, 65500):
            self.ping(GUEST4, size)
            self.ping(GUEST6, size)
        self.assertEqual(self.end(proc)[0]["echo"], 20)

    def test_every_size_around_a_fragments_edge(self):
        proc = self.start()
        for size in (*range(1476, 1490), *range(2950, 2966)):
            self.ping(GUEST4, size, 1)
            self.ping(GUEST6, size, 1)
        self.end(proc)

    def test_other_mtus(self):
        for mtu in ("576", "1280", "9000"):
            with self.subTest(mtu=mtu):
                self.box.delete_links()
                self.box.bridge("br0", mtu=int(mtu))
                sandbox.ip("addr", "add", f"{HOST4}/24", "dev", "br0")
                proc = self.start(echo=[GUEST4])
                self.ping(GUEST4, 20000)
                self.end(proc)

    def test_headers_of_every_size(self):
        for spec in ("vnet_hdr=off", "vnet_hdr_sz=10", "queues=4"):
            with self.subTest(spec=spec):
                proc = self.start(net=f"bridge=br0,{spec}")
                self.ping(GUEST4, 60000)
                self.ping(GUEST6, 64)
                self.end(proc)

    def test_many_at_once(self):
        proc = self.start()
        self.ping(GUEST4, 56, 500, "-f", "-i", "0.001")
        self.end(proc)

    def test_second_probe_of_an_address_is_found_at_once(self):
        """It announces itself, so the host's memory of the first one's MAC doesn't matter."""
        for _ in range(2):
            proc = self.start("--count=2")
            self.ping(GUEST4)
            self.end(proc, None)

    def test_what_is_not_asked_for_is_not_answered(self):
        proc = self.start(echo=[GUEST4])
        done = self.box.run(["ping", "-n", "-c1", "-W1", "192.0.2.77"], user="root")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.end(proc)[0]["frames_out"], 1)  # the announcement


class End(EchoCase):
    def test_comes_after_so_many_answers(self):
        proc = self.start("--count=3")
        self.ping(GUEST4, 64, 3)
        self.assertEqual(self.end(proc, None)[0]["echo"], 3)

    def test_comes_after_so_many_seconds(self):
        self.end(self.start("--duration=1"), None)

    def test_comes_with_either_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.end(self.start(), number)

    def test_interface_goes_with_it(self):
        before = links.snapshot()
        self.end(self.start())
        self.assertEqual(links.snapshot(), before)

    def test_comes_as_an_error_when_the_interface_is_deleted(self):
        proc = self.start()
        sandbox.ip("link", "del", proc.facts["interface"]["ifname"])
        _, err = proc.communicate(timeout=20)
        self.assertEqual(proc.returncode, 1)
        self.assertIn("read from the tap: ", err)

    def test_people_get_a_table_and_a_line(self):
        done = self.succeeds("probe", "--net=bridge=br0", f"--echo={GUEST4}", "--duration=1")
        self.assertRegex(done.stdout, r"\nall as asked\n\d+ frames in, \d+ out; answered: 0 echo")


class Errors(EchoCase):
    def send(self, proc, payload, kind=0x0800):
        """A raw frame from the host to the guest, whose MAC ARP tells."""
        self.ping(GUEST4, 64, 1)
        neighbours = json.loads(sandbox.ip("-j", "neigh", "show", "dev", "br0", GUEST4))
        mac = bytes.fromhex(neighbours[0]["lladdr"].replace(":", ""))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_ALL) as raw:
            raw.bind(("br0", 0))
            raw.send(mac + raw.getsockname()[4] + struct.pack("!H", kind) + payload)
        self.assertTrue(sandbox.eventually(lambda: self.is_idle(proc)))

    @staticmethod
    def is_idle(proc):
        with open(f"/proc/{proc.pid}/stat", encoding="ascii") as file:
            return file.read().split()[2] == "S"

    @staticmethod
    def ipv4(total, checksum=None, payload=b""):
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total, 1, 0, 64, 1, 0, socket.inet_aton(HOST4),
                             socket.inet_aton(GUEST4))
        if checksum is None:
            total = sum(struct.unpack("!10H", header))
            checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
        return header[:10] + struct.pack("!H", checksum) + header[12:] + payload

    def test_short_frame_is_named_with_its_length(self):
        proc = self.start()
        self.send(proc, self.ipv4(1000, payload=bytes(66)))
        tally, err = self.end(proc, status=1)
        self.assertEqual(tally["errors"], 1)
        self.assertIn("tapferry: read a frame of 100 bytes: short: its IPv4 header says 1000 bytes, there are 86", err)
        self.assertIn("tapferry: exchange frames: 1 errors", err)

    def test_wrong_checksums_are_named(self):
        proc = self.start()
        self.send(proc, self.ipv4(60, checksum=1, payload=bytes(40)))
        self.send(proc, self.ipv4(60, payload=b"\x08" + bytes(39)))
        tally, err = self.end(proc, status=1)
        self.assertEqual(tally["errors"], 2)
        self.assertIn("its IPv4 header's checksum is wrong", err)
        self.assertIn("its ICMP message's checksum is wrong", err)

    def test_write_to_an_interface_that_is_down_is_named(self):
        proc = self.start(net="bridge=br0,up=off")
        _, err = self.end(proc, status=1)
        self.assertRegex(err, r"tapferry: write a frame of \d+ bytes: Input/output error")

    def test_lines_are_bounded(self):
        proc = self.start()
        for _ in range(30):
            self.send(proc, self.ipv4(1000, payload=bytes(66)))
        tally, err = self.end(proc, status=1)
        self.assertEqual(tally["errors"], 30)
        self.assertEqual(err.count("short: "), 20)
        self.assertIn("further errors are only counted", err)


class Pcap(EchoCase):
    def read(self, path):
        if not shutil.which("tcpdump"):
            self.skipTest("no tcpdump (package tcpdump)")
        done = self.box.run(["tcpdump", "-nevvr", path, "--nano"], user="root")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_opens_in_tcpdump_and_has_both_directions(self):
        path = f"{self.scratch}/echo.pcap"
        proc = self.start(f"--pcap={path}")
        self.ping(GUEST4, 64, 3)
        self.ping(GUEST6, 3000, 1)
        self.end(proc)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        text = self.read(path).stdout
        for words, times in ((f"{HOST4} > {GUEST4}: ICMP echo request", 3), (f"{GUEST4} > {HOST4}: ICMP echo reply", 3),
                             (f"{GUEST6} > {HOST6}: frag", 3)):
            self.assertEqual(text.count(words), times, text)
        self.assertNotIn("bad cksum", text)
        self.assertNotIn("wrong", text)
        self.assertNotIn("truncated", text)

    def test_alone_captures_what_the_host_sends(self):
        path = f"{self.scratch}/alone.pcap"
        proc = self.start(f"--pcap={path}", "--count=1", echo=())
        self.box.run(["ping", "-n", "-c1", "-W1", GUEST4], user="root")
        self.end(proc, None)
        self.assertIn("\n", self.read(path).stdout)

    def test_file_that_exists_needs_force(self):
        path = self.box.write(f"{self.scratch}/there.pcap", "precious", owner="alice")
        arguments = ["probe", "--net=bridge=br0", f"--pcap={path}", "--duration=1"]
        done = self.tapferry(*arguments)
        self.assertEqual(done.returncode, 1)
        self.assertIn("File exists; --force overwrites it", done.stderr)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")
        self.succeeds(*arguments, "--force")
        self.read(path)

    def test_full_disk_ends_it(self):
        done = self.tapferry("probe", "--net=bridge=br0", "--pcap=/dev/full", "--force", "--duration=5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("write /dev/full: No space left on device", done.stderr)


if __name__ == "__main__":
    unittest.main()
