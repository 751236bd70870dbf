# SPDX-License-Identifier: MIT
"""Frames for the fast path's tests: numbered ones of any length, TCP and UDP with true checksums, headers."""
import itertools
import struct

EXPERIMENT = 0x88b5  # EtherType for experiments: nobody answers it, and no two of them are made into one
GUEST_MAC, HOST_MAC = bytes.fromhex("02000000aa01"), bytes.fromhex("02000000bb01")
GUEST4, HOST4 = bytes([192, 0, 2, 9]), bytes([192, 0, 2, 1])
GUEST6, HOST6 = bytes.fromhex("20010db8" + "00" * 11 + "09"), bytes.fromhex("20010db8" + "00" * 11 + "01")
NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 0, 1, 4, 5
TCP, UDP = 6, 17
MAX_IP = 65535
ETH = 14

_numbers = itertools.count(1)


def header(flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0, num_buffers=None):
    """virtio 1.2, 5.1.6: 10 bytes, or 12 with num_buffers."""
    data = struct.pack("<BBHHHH", flags, gso_type, hdr_len, gso_size, csum_start, csum_offset)
    return data if num_buffers is None else data + struct.pack("<H", num_buffers)


def read_header(data):
    names = ("flags", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_offset")
    fields = dict(zip(names, struct.unpack_from("<BBHHHH", data)))
    fields["num_buffers"] = struct.unpack_from("<H", data, 10)[0] if len(data) >= 12 else None
    return fields


def filler(length, number):
    """Bytes that differ from those of other numbers, and at each place."""
    block = struct.pack("<I", number) + bytes((i * 7 + number) & 0xff for i in range(251))
    return (block * (length // len(block) + 1))[:length]


def numbered(length, from_guest=True, number=None):
    """A frame of that length, 14 or more, unlike all others if there is room for a number."""
    number = next(_numbers) if number is None else number
    ends = HOST_MAC + GUEST_MAC if from_guest else GUEST_MAC + HOST_MAC
    return ends + struct.pack("!H", EXPERIMENT) + filler(length - ETH, number)


def number_of(frame):
    """Of a numbered frame of 18 bytes or more."""
    return struct.unpack_from("<I", frame, ETH)[0]


def folded(data, start=0):
    data += b"\0" * (len(data) % 2)
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def _pseudo(source, destination, protocol, length):
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!IHBB", length, 0, 0, protocol)


def _transport(protocol, payload, sequence, push):
    if protocol == UDP:
        return struct.pack("!4H", 4000, 4001, 8 + len(payload), 0), 6
    flags = 0x10 | (8 if push else 0)
    return struct.pack("!HHIIBBHHH", 4000, 4001, sequence, 1, 5 << 4, flags, 1000, 0, 0), 16


def packet(protocol, payload, is_v6=False, from_guest=True, partial=False, sequence=1, push=False, identification=0):
    """An Ethernet frame with TCP or UDP in IP.  PARTIAL: only the pseudo header's sum, the receiver does the rest.
    Returns the frame, its header's length, and (csum_start, csum_offset)."""
    ends = (GUEST_MAC, HOST_MAC) if from_guest else (HOST_MAC, GUEST_MAC)
    addresses = ((GUEST6, HOST6) if is_v6 else (GUEST4, HOST4))[::1 if from_guest else -1]
    segment, offset = _transport(protocol, payload, sequence, push)
    pseudo = folded(_pseudo(*addresses, protocol, len(segment) + len(payload)))
    total = pseudo if partial else ~folded(segment + payload, pseudo) & 0xffff
    if not partial and protocol == UDP and total == 0:
        total = 0xffff
    segment = segment[:offset] + struct.pack("!H", total) + segment[offset + 2:]
    if is_v6:
        ip = struct.pack("!IHBB", 6 << 28, len(segment) + len(payload), protocol, 64) + addresses[0] + addresses[1]
    else:
        length = 20 + len(segment) + len(payload)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, length, identification, 0x4000, 64, protocol, 0)
        ip += addresses[0] + addresses[1]
        ip = ip[:10] + struct.pack("!H", ~folded(ip) & 0xffff) + ip[12:]
    start = ETH + len(ip)
    link = ends[1] + ends[0] + struct.pack("!H", 0x86dd if is_v6 else 0x0800)
    return link + ip + segment + payload, start + len(segment), (start, offset)


def is_chatter(destination):
    """Multicast: bridges' announcements, and the frames by which the backend finds out what the tap takes."""
    return bool(destination[0] & 1) and destination != b"\xff" * 6


def is_whole(frame):
    """Whether the checksums of a TCP or UDP packet are right."""
    is_v6 = frame[12:14] == b"\x86\xdd"
    ip = frame[ETH:]
    if is_v6:
        length = struct.unpack_from("!H", ip, 4)[0]
        source, destination, protocol, segment = ip[8:24], ip[24:40], ip[6], ip[40:40 + length]
    else:
        length = struct.unpack_from("!H", ip, 2)[0]
        source, destination, protocol, segment = ip[12:16], ip[16:20], ip[9], ip[20:length]
        if folded(ip[:20]) != 0xffff:
            return False
    return folded(segment, folded(_pseudo(source, destination, protocol, len(segment)))) == 0xffff


def large(protocol, length, gso_size, is_v6=False, from_guest=True):
    """A GSO frame with that many bytes of payload; (header, frame)."""
    kind = GSO_UDP_L4 if protocol == UDP else GSO_TCPV6 if is_v6 else GSO_TCPV4
    payload = filler(length, next(_numbers))
    frame, bytes_of_headers, (start, offset) = packet(protocol, payload, is_v6, from_guest, partial=True)
    return header(NEEDS_CSUM, kind, bytes_of_headers, gso_size, start, offset), frame
