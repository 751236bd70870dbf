# SPDX-License-Identifier: MIT
"""rate_to= and rate_from=: what passes when more is sent, measured with real frames; and that the holder of the tap can't
change it.  Bytes are those of the frames with their Ethernet headers, of a GSO frame as its segments."""
import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import time
import unittest

import frames
import handover
import holder
import sandbox
from helper_case import HelperCase, need_helper as setUpModule  # noqa: F401
from one_file import note

GUEST, PEER = "52:54:00:00:00:01", "52:54:00:00:00:02"
BITS = {"kbit": 1000, "mbit": 1000 ** 2, "gbit": 1000 ** 3}
SLOW = int(os.environ.get("TAPFERRY_TIME_FACTOR", "1"))  # on an emulated host a process may not run for tenths of a second
WARM_UP_S, MEASURED_S = 0.4 * SLOW, 2.0 * SLOW
FLOOD = 160 << 10   # bytes to begin with: more than the burst that passes on top of a rate
TICK_S = 0.004
EXCESS = 1.8        # times the rate is sent
HEADERS = 54        # Ethernet, IPv4, TCP
SEGMENT = 1448
TUN_F_CSUM, TUN_F_TSO4 = 1, 2
NO_POLICE = "this kernel has no act_police"


def bits(rate):
    return int(re.match(r"\d+", rate)[0]) * BITS[rate.lstrip("0123456789")]


def plain(length):
    """A frame of LENGTH bytes, and its vnet header."""
    return frames.make(PEER, GUEST, frames.IPV4, frames.ipv4(bytes(length - 34))), None


def gso(segments):
    """A TCP frame that stands for SEGMENTS full ones."""
    tcp = struct.pack("!HHIIBBHHH", 1, 2, 0, 0, 5 << 4, 0x10, 1000, 0, 0) + bytes(segments * SEGMENT)
    header = struct.pack("<BBHHHHH", 1, 1, HEADERS, SEGMENT, 34, 16, 0)  # NEEDS_CSUM, TCPV4
    return frames.make(PEER, GUEST, frames.IPV4, frames.ipv4(tcp, protocol=6)), header


def length_on_the_wire(read, header_size):
    """Of what was READ from a tap, vnet header and all."""
    length = len(read) - header_size
    size = struct.unpack_from("<H", read, 4)[0] if read[1] else 0
    return length + HEADERS * ((length - HEADERS - 1) // size) if size else length


@contextlib.contextmanager
def sending(end, frame, header, rate):
    """Meanwhile a process sends FRAME into END at EXCESS times RATE, in bits per second."""
    data = (end.header if header is None else header) + frame
    each = len(frame) + (HEADERS * (len(frame) // (SEGMENT + 1)) if header else 0)
    pid = os.fork()
    if pid == 0:
        try:
            sent, start = 0, time.monotonic()
            while True:
                due = FLOOD + (time.monotonic() - start) * EXCESS * rate / 8
                while sent < due:
                    os.write(end.fd, data)
                    sent += each
                time.sleep(TICK_S)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def rate_at(*ends):
    """Bits per second that come out at ENDS, the queues of one guest, after a while that the first burst has."""
    sizes = {end.fd: len(end.header) for end in ends}
    start = time.monotonic()
    begin, stop, count = start + WARM_UP_S, start + WARM_UP_S + MEASURED_S, 0
    first = last = None
    while (now := time.monotonic()) < stop:
        for fd in select.select(list(sizes), [], [], stop - now)[0]:
            read = os.read(fd, 1 << 17)
            now = time.monotonic()
            if now < begin:
                continue
            if first is None:
                first = now  # the interval begins with this one's arrival, so it doesn't count
                continue
            count += length_on_the_wire(read, sizes[fd])
            last = now
    return count * 8 / (last - first) if last else 0


class RateCase(HelperCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=2", "allow tap=vm-* user=alice")

    def pair(self, spec, user="alice"):
        """A guest as SPEC says, and a peer without any limit."""
        got = self.ask(spec, user)
        if got.status != 0 and NO_POLICE in got.stderr:
            self.skipTest("kernel: no act_police")
        self.assertEqual((got.status, got.stderr), (0, ""))
        self.guest = frames.tap_end(got)
        self.queues = [frames.TapEnd(tap) for tap in got.taps]
        self.box.policy("allow bridge=br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))
        for end in (self.guest, self.peer):
            holder.try_ioctl(end.fd, holder.TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)

    def check(self, sender, receiver, rate, what):
        for _ in range(SLOW):  # too little can be the host's fault, too much can't
            with sending(sender, *what, bits(rate)):
                measured = rate_at(receiver)
            note(f"{self.id().rpartition('.')[2]}: {measured / 1e6:.2f} Mbit/s of {rate}")
            self.assertLessEqual(measured / bits(rate), 1.1)
            if measured / bits(rate) >= 0.9:
                return
        self.fail(f"{measured / bits(rate):.2f} of {rate}")

    def check_to(self, rate, what):
        self.check(self.peer, self.guest, rate, what)

    def check_from(self, rate, what):
        self.check(self.guest, self.peer, rate, what)


class To(RateCase):
    """Towards the guest: a tbf."""

    def test_holds_for_small_frames(self):
        self.pair("bridge=br0,rate_to=500kbit")
        self.check_to("500kbit", plain(60))

    def test_holds_for_full_frames(self):
        self.pair("bridge=br0,rate_to=20mbit")
        self.check_to("20mbit", plain(1514))

    def test_holds_for_whole_gso_frames(self):
        self.pair("bridge=br0,rate_to=40mbit")
        self.check_to("40mbit", gso(44))

    def test_holds_for_gso_frames_that_are_taken_apart(self):
        self.pair("bridge=br0,rate_to=4mbit")
        self.check_to("4mbit", gso(44))

    def test_does_not_slow_the_other_direction(self):
        self.pair("bridge=br0,rate_to=1mbit")
        with sending(self.guest, *plain(1514), bits("20mbit")):
            self.assertGreater(rate_at(self.peer), bits("20mbit"))

    def test_forced_by_the_policy_holds_though_nobody_asked(self):
        self.box.policy("allow bridge=br0 rate_to=20mbit")
        self.pair("bridge=br0")
        self.check_to("20mbit", plain(1514))

    def test_a_lower_one_than_the_policys_can_be_asked_for(self):
        self.box.policy("allow bridge=br0 rate_to=20mbit")
        self.pair("bridge=br0,rate_to=4mbit")
        self.check_to("4mbit", plain(1514))


class From(RateCase):
    """From the guest: act_police."""

    def test_holds_for_small_frames(self):
        self.pair("bridge=br0,rate_from=500kbit")
        self.check_from("500kbit", plain(60))

    def test_holds_for_full_frames(self):
        self.pair("bridge=br0,rate_from=20mbit")
        self.check_from("20mbit", plain(1514))

    def test_holds_for_gso_frames(self):
        self.pair("bridge=br0,rate_from=40mbit")
        self.check_from("40mbit", gso(44))

    def test_holds_for_gso_frames_at_a_rate_that_is_slow_for_them(self):
        self.pair("bridge=br0,rate_from=6mbit")
        self.check_from("6mbit", gso(44))

    def test_holds_next_to_a_filter_and_the_other_rate(self):
        self.pair("bridge=br0,rate_from=10mbit,rate_to=4mbit,filter=ipv4")
        self.check_from("10mbit", plain(1514))
        self.check_to("4mbit", plain(1514))

    def test_forced_by_the_policy_holds_in_qemus_form(self):
        self.box.policy("allow bridge=br0 rate_from=10mbit")
        got = handover.qemu(self.box, self.helper, "br0")
        self.addCleanup(got.close)
        if NO_POLICE in got.stderr:
            self.skipTest("kernel: no act_police")
        self.guest = frames.tap_end(got)
        self.box.policy("allow bridge=br0")
        self.peer = frames.tap_end(self.granted("bridge=br0"))
        self.check_from("10mbit", plain(1514))


class Missing(RateCase):
    def test_a_kernel_without_act_police_refuses_rate_from_and_keeps_nothing(self):
        if self.ask("bridge=br0,rate_from=10mbit").status == 0:
            self.skipTest("kernel: it has act_police")
        self.refused("bridge=br0,rate_from=10mbit,rate_to=10mbit,filter=ipv4", says=NO_POLICE)

    def test_and_leaves_an_existing_tap_as_it_was(self):
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid), "vnet_hdr")
        with self.granted("tap=vm-1,rate_to=10mbit,filter=ipv4,up=off"):
            before = traffic_control("vm-1")
        self.assertIn("rate 10Mbit", before)
        if self.ask("tap=vm-1,rate_from=10mbit,up=off").status == 0:
            self.skipTest("kernel: it has act_police")
        self.refused("tap=vm-1,rate_from=10mbit,rate_to=20mbit,filter=arp", says=NO_POLICE)
        self.assertEqual(traffic_control("vm-1"), before)


def traffic_control(name):
    def shown(*words):
        return subprocess.run(["tc", *words, "dev", name], capture_output=True, text=True, check=True).stdout
    return shown("qdisc", "show") + shown("filter", "show", "ingress") + shown("filter", "show", "egress")


class Refused(RateCase):
    def test_a_rate_too_low_to_be_held(self):
        for key in ("rate_to", "rate_from"):
            self.refused(f"bridge=br0,{key}=7999bit", says="8kbit at least")

    def test_a_higher_rate_than_the_policys(self):
        self.box.policy("allow bridge=br0 rate_to=20mbit")
        self.refused("bridge=br0,rate_to=21mbit", says="access denied")

    def test_an_existing_tap_with_a_root_qdisc_of_the_administrators(self):
        sandbox.ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", str(self.box.users["alice"].uid), "vnet_hdr")
        subprocess.run("tc qdisc add dev vm-1 root tbf rate 1gbit burst 1mb latency 10ms".split(), check=True)
        before = traffic_control("vm-1")
        self.refused("tap=vm-1,rate_to=10mbit", says="queueing or filters of its own")
        self.assertEqual(traffic_control("vm-1"), before)


class Limits(RateCase):
    def test_every_rate_that_can_be_written_is_set_as_it_is(self):
        for rate, shown in (("8kbit", "8Kbit"), ("56kbit", "56Kbit"), ("1gbit", "1Gbit"), ("40gbit", "40Gbit"),
                            ("1000tbit", "1000Tbit"), ("18446744tbit", None)):
            with self.granted(f"bridge=br0,rate_to={rate}") as got:
                told = traffic_control(got.link.name)
                self.assertIn("qdisc tbf 7a9e: root", told)
                self.assertTrue(shown is None or f" rate {shown} " in told, told)

    def test_a_slow_rate_lets_the_largest_frame_of_the_mtu_pass(self):
        self.box.policy("allow bridge=br0 mtu=65521")
        guest = frames.tap_end(self.granted("bridge=br0,mtu=9000,rate_to=8kbit"))
        sandbox.ip("link", "set", "br0", "mtu", "9000")
        with frames.packet_end("br0") as host:
            frame = frames.make(frames.BROADCAST, host.mac, frames.ARP, bytes(9000))
            host.send(frame)
            self.assertEqual(frames.received_until(guest, frame)[-1:], [frame])


class Holder(RateCase):
    """What the holder of the descriptor can do to it without privilege; the rate stays."""

    def setUp(self):
        super().setUp()
        self.pair("bridge=br0,queues=2,rate_to=4mbit")
        self.before = traffic_control(self.guest.name)

    def check(self):
        with sending(self.peer, *plain(1514), bits("4mbit")):
            measured = rate_at(*self.queues)
        self.assertGreater(measured, 0)
        self.assertLess(measured / bits("4mbit"), 1.1)
        self.assertEqual(traffic_control(self.guest.name), self.before)

    def test_detaching_queues_does_not_matter(self):
        for operation in (holder.IFF_DETACH_QUEUE, holder.IFF_ATTACH_QUEUE, holder.IFF_DETACH_QUEUE):
            argument = struct.pack("16sH22x", b"", operation)
            self.assertEqual(holder.try_ioctl(self.queues[1].fd, holder.TUNSETQUEUE, argument), 0)
        self.check()

    def test_the_send_buffer_and_offloads_do_not_matter(self):
        self.assertEqual(holder.try_ioctl(self.guest.fd, holder.TUNSETSNDBUF, struct.pack("i", 1 << 30)), 0)
        self.assertEqual(holder.try_ioctl(self.guest.fd, holder.TUNSETOFFLOAD, 0), 0)
        self.check()

    def test_the_carrier_does_not_matter(self):
        for carrier in (0, 1):
            self.assertEqual(holder.try_ioctl(self.guest.fd, holder.TUNSETCARRIER, struct.pack("i", carrier)), 0)
        self.check()


if __name__ == "__main__":
    unittest.main()
