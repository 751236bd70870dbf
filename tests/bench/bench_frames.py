# SPDX-License-Identifier: MIT
"""The frames of the fast path's benchmarks, written to files that vhost_load and vhost_floor read (tests/bench/frame_file.h)."""
import os
import struct

import vhost_frames as vf

ETH_IP_TCP = 14 + 20 + 20
RING = 1024  # frames of one flow have consecutive numbers all around the ring
FAR_MAC = bytes.fromhex("02000000cc01")  # whom guests send to: beyond the bridge, or nobody
BATCH = 64  # frames that the host's end sends as one, for the kernel to cut up


def write(path, frames):
    """FRAMES: (vnet header of 10 bytes, frame, how many it stands for)."""
    with open(path, "wb") as file:
        for header, frame, count in frames:
            data = header + bytes(2) + frame
            file.write(struct.pack("<II", len(data), count) + data)
    return path


def towards(frame, mac):
    return mac + frame[6:]


def _tcp(payload, sequence, port=4000, partial=True):
    """A frame from the guest; PARTIAL: as a guest with checksum offload sends it."""
    frame, headers, (start, offset) = vf.packet(vf.TCP, bytes(payload), partial=partial, sequence=sequence,
                                                identification=sequence // max(payload, 1) & 0xffff)
    if port != 4000:
        assert partial, "a full checksum covers the ports"
        frame = frame[:headers - 20] + struct.pack("!H", port) + frame[headers - 18:]
    header = vf.header(vf.NEEDS_CSUM, 0, 0, 0, start, offset) if partial else vf.header()
    return header, towards(frame, FAR_MAC), 1


def plain(length):
    """A UDP frame of that many bytes, whose checksum is complete."""
    frame, _, _ = vf.packet(vf.UDP, bytes(length - 42))
    return [(vf.header(), towards(frame, FAR_MAC), 1)]


def flow(payload, partial=True):
    """A TCP flow's neighbours, which can all be merged."""
    return [_tcp(payload, 1 + i * payload, partial=partial) for i in range(RING)]


def two_flows(payload):
    """Neighbours belong to different flows: nothing can be merged."""
    return [_tcp(payload, 1 + i // 2 * payload, port=4000 + i % 2) for i in range(RING)]


def large(length, to=None):
    """A GSO frame of about that many bytes, with segments of a full MTU: from the guest, or TO one's MAC."""
    header, frame = vf.large(vf.TCP, length - ETH_IP_TCP, 1448, from_guest=to is None)
    return [(header, towards(frame, to or FAR_MAC), 1)]


def cut_up(length, to, count=BATCH):
    """From the host: one GSO frame that the kernel makes into COUNT frames of LENGTH."""
    size = length - ETH_IP_TCP
    count = min(count, (vf.MAX_IP - 40) // size)
    header, frame = vf.large(vf.TCP, size * count, size, from_guest=False)
    return [(header, towards(frame, to), count)]


def single(length, to):
    """From the host: one frame of LENGTH."""
    frame, _, (start, offset) = vf.packet(vf.TCP, bytes(length - ETH_IP_TCP), from_guest=False, partial=True)
    return [(vf.header(vf.NEEDS_CSUM, 0, 0, 0, start, offset), towards(frame, to), 1)]


def echo_request(mac, guest_mac, own, guest):
    """From the guest to the tap's OWN address."""
    icmp = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(22)
    icmp = icmp[:2] + struct.pack("!H", ~vf.folded(icmp) & 0xffff) + icmp[4:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0x4000, 64, 1, 0) + guest + own
    ip = ip[:10] + struct.pack("!H", ~vf.folded(ip) & 0xffff) + ip[12:]
    return [(vf.header(), mac + guest_mac + struct.pack("!H", 0x0800) + ip + icmp, 1)]


class Files:
    """Each kind of frames is written once."""

    def __init__(self, directory):
        self.directory = directory

    def get(self, name, frames):
        path = os.path.join(self.directory, name)
        return path if os.path.exists(path) else write(path, frames())
