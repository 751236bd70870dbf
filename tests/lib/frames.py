# SPDX-License-Identifier: MIT
"""Raw Ethernet frames in and out of an interface, by a tap's descriptor (the guest's side) or a packet socket (the host's).

    guest, peer = frames.tap_end(got), frames.tap_end(other)
    frames.passes(guest, peer, frames.make(dst, src, frames.IPV4))

Every frame carries a number of its own, so that what else is on the wire (IPv6 announcing itself, say) doesn't count.
"""
import contextlib
import itertools
import os
import select
import socket
import struct
import time

import links

IPV4, ARP, RARP, VLAN, IPV6, QINQ, LLDP = 0x0800, 0x0806, 0x8035, 0x8100, 0x86dd, 0x88a8, 0x88cc
BROADCAST = "ff:ff:ff:ff:ff:ff"
LOCAL_EXPERIMENTAL = 0x88b5  # IEEE 802
ETH_P_ALL = 3
PACKET_OUTGOING = 4
MARK = b"tapferry-frame-"
ARRIVES_S = 5  # for what must arrive; passing takes microseconds

_numbers = itertools.count(1)


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def make(dst, src, ethertype, payload=None, tags=()):
    """A frame; TAGS are (TPID, VLAN id) from the outside in.  ETHERTYPE below 0x600 is a length, as LLC frames have it."""
    body = payload
    if body is None:
        body = MARK + b"%08d" % next(_numbers) + bytes(30)
        body = {IPV4: ipv4, IPV6: ipv6}.get(ethertype, bytes)(body)
    header = mac_bytes(dst) + mac_bytes(src)
    for tpid, vid in tags:
        header += struct.pack("!HH", tpid, vid)
    return header + struct.pack("!H", ethertype) + body


def ipv4(payload, protocol=253):
    """A packet around PAYLOAD with a valid header: br_netfilter drops others.  253 is for experiments (RFC 3692)."""
    words = [0x4500, 20 + len(payload), 0, 0, 64 << 8 | protocol, 0, 0xc000, 0x0201, 0xc000, 0x0202]
    total = sum(words)
    words[5] = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return struct.pack("!10H", *words) + payload


def ipv6(payload, protocol=253):
    address = bytes.fromhex("20010db8000000000000000000000001")
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + address + address + payload


class TapEnd:
    """The guest's side of a handed-over tap."""

    def __init__(self, tap):
        self.fd, self.name = tap.fd, tap.name
        self.header = bytes(tap.header_size) if "vnet_hdr" in tap.flag_names else b""
        os.set_blocking(self.fd, False)

    @property
    def mac(self):
        return links.get(self.name).mac

    def send(self, frame, header=None):
        os.write(self.fd, (self.header if header is None else header) + frame)

    def receive(self):
        """One frame, or None."""
        try:
            return os.read(self.fd, 1 << 17)[len(self.header):]
        except BlockingIOError:
            return None


class PacketEnd:
    """What an interface of the host sends and receives itself."""

    def __init__(self, name):
        self.name = name
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
        self.socket.bind((name, ETH_P_ALL))
        self.fd = self.socket.fileno()

    @property
    def mac(self):
        return links.get(self.name).mac

    def send(self, frame):
        self.socket.send(frame)

    def receive(self):
        while True:
            try:
                frame, address = self.socket.recvfrom(1 << 17)
            except BlockingIOError:
                return None
            if address[2] != PACKET_OUTGOING:
                return frame

    def close(self):
        self.socket.close()


def tap_end(got, queue=0):
    """Of a Handover; the interface must be able to carry frames by now."""
    return TapEnd(got.taps[queue])


@contextlib.contextmanager
def packet_end(name):
    end = PacketEnd(name)
    try:
        yield end
    finally:
        end.close()


def received_until(end, frame, seconds=ARRIVES_S):
    """All that END receives up to FRAME, which is the last of them if it came at all."""
    seen = []
    deadline = time.monotonic() + seconds
    while True:
        got = end.receive()
        if got is not None:
            seen.append(got)
            if got == frame:
                return seen
        elif not select.select([end.fd], [], [], max(0, deadline - time.monotonic()))[0]:
            return seen


def cross(got, wire):
    """Whether a frame of the guest comes out at the interface WIRE, and one from there at the guest."""
    guest = tap_end(got)
    with packet_end(wire) as end:
        return exchanged(guest, end, guest.mac, end.mac)


def exchanged(one, other, mac="52:54:00:00:00:0a", others_mac="52:54:00:00:00:0b"):
    """Whether a broadcast of ONE's comes out at OTHER, and the answer to MAC at ONE."""
    for sender, receiver, dst, src in ((one, other, BROADCAST, mac), (other, one, mac, others_mac)):
        frame = make(dst, src, LOCAL_EXPERIMENTAL)
        sender.send(frame)
        if frame not in received_until(receiver, frame):
            return False
    return True


def passes(sender, receiver, frame, after):
    """Whether FRAME comes out at RECEIVER.  AFTER, a frame that is known to pass the same way, tells when it is too late;
    None: wait a while (half a second) for what isn't expected."""
    sender.send(frame)
    if after is None:
        return frame in received_until(receiver, frame, 0.5)
    sender.send(after)
    seen = received_until(receiver, after)
    if not seen or seen[-1] != after:
        raise AssertionError("the frame that always passes didn't")
    return frame in seen
