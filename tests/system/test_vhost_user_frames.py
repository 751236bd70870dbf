# SPDX-License-Identifier: MIT
"""tapferry-vhost: what goes in at one side comes out at the other, byte for byte, on every kind of ring, by both
engines."""
import unittest

import vhost_frames as frames
from vhost_case import VhostCase, need_backend, same
from vhost_front import OFFLOADS, USO

RINGS = {
    "split": {},
    "split, in order": {"in_order": True},
    "split, without EVENT_IDX": {"without": ("event_idx",)},
    "split, buffers not merged": {"without": ("mrg_rxbuf",), "bytes": 65562},
    "split, header of 10 bytes": {"without": ("mrg_rxbuf", "version_1"), "bytes": 65562},
    "packed": {"packed": True},
    "packed, in order": {"packed": True, "in_order": True},
    "packed, without EVENT_IDX": {"packed": True, "without": ("event_idx",)},
    "packed, buffers not merged": {"packed": True, "without": ("mrg_rxbuf",), "bytes": 65562},
}
# 14 is a frame without payload, 2036 fills a buffer with its header, 65535 is the most that a tap's MTU allows.
SIZES = [14, 15, 18, 59, 60, 61, 64, 128, 1513, 1514, 1515, 2035, 2036, 2037, 2048, 4084, 4096, 9014, 32768, 65535]
SHAPES = [{}, {"own_header": True}, {"own_header": True, "pieces": [14, 20]}, {"pieces": [12, 1]},
          {"pieces": [5, 6, 7]}, {"pieces": [13]}, {"indirect": True}, {"indirect": True, "own_header": True},
          {"indirect": True, "pieces": [1] * 24}]


def setUpModule():
    need_backend()


class Frames(VhostCase):
    MTU = 65521

    def rings(self):
        """Each engine with each kind of ring: a connected guest."""
        for engine in self.engines():
            backend = self.backend(engine)
            for name, options in RINGS.items():
                self.at(name)
                guest = self.guest(**options)
                yield guest
                self.assertTrue(backend.is_running(), backend.stderr())
                guest.close()
            self.assertEqual(backend.end(), 0, backend.stderr())

    def test_frames_of_every_size_pass_both_ways_on_every_ring(self):
        for guest in self.rings():
            self.assert_sends(guest, [frames.numbered(size) for size in SIZES])
            self.assert_receives(guest, [frames.numbered(size, False) for size in SIZES])

    def test_more_frames_than_the_ring_has_places_pass_both_ways(self):
        for guest in self.rings():
            for _ in range(8):
                self.assert_sends(guest, [frames.numbered(60 + i) for i in range(50)])
                self.assert_receives(guest, [frames.numbered(60 + i, False) for i in range(50)])

    def test_header_and_frame_may_lie_in_any_descriptors(self):
        for guest in self.rings():
            for shape in SHAPES:
                self.assert_sends(guest, [frames.numbered(size) for size in (18, 60, 1514, 20000)], **shape)

    def test_receive_buffers_may_be_chains_and_indirect_tables(self):
        for engine in self.engines():
            self.backend(engine)
            for shape in SHAPES:
                for packed in (False, True):
                    guest = self.guest(packed=packed, post=False)
                    guest.post(count=50, bytes=2048, **shape)
                    self.assert_receives(guest, [frames.numbered(size, False) for size in (18, 60, 1514, 2036, 9014)])
                    guest.close()

    def test_small_receive_buffers_are_merged_to_hold_large_frames(self):
        for engine in self.engines():
            self.backend(engine)
            for size in (64, 100, 1526, 4096):
                guest = self.guest(bytes=size, size=1024)
                sizes = (60, 1514, 9014, 200, 32768)
                got = self.assert_receives(guest, [frames.numbered(length, False) for length in sizes])
                for header, frame, buffers in got:
                    self.assertEqual(buffers, -(-(12 + len(frame)) // size))
                    self.assertEqual(frames.read_header(header)["num_buffers"], buffers)
                guest.close()


class Offloads(VhostCase):
    MTU = 1500
    KINDS = [(frames.TCP, False), (frames.TCP, True)]

    def kinds(self, guest):
        uso = [(frames.UDP, False), (frames.UDP, True)] if "host_uso" in guest.negotiated["features"] else []
        return self.KINDS + uso

    def guests(self, *more, **options):
        for engine in self.engines():
            self.backend(engine)
            for packed in (False, True):
                guest = self.guest(*more, packed=packed, **options)
                yield guest
                guest.close()

    def test_large_frames_of_the_guest_reach_the_host_whole(self):
        for guest in self.guests(*USO):
            for protocol, is_v6 in self.kinds(guest):
                for length in (1449, 8000, 64000 if protocol == frames.UDP else 65400):
                    for shape in ({}, {"own_header": True}, {"indirect": True, "pieces": [4096] * 15}):
                        header, frame = frames.large(protocol, length, 1448, is_v6)
                        guest.send_frames(frame, header=header, **shape)
                        seen, got = self.host.receive_one()
                        seen, sent = frames.read_header(seen), frames.read_header(header)
                        for field in ("flags", "gso_type", "gso_size", "csum_start", "csum_offset"):
                            self.assertEqual(seen[field], sent[field], field)
                        self.assertEqual(same(got, frame), "")

    def test_large_frames_of_the_host_reach_the_guest_whole(self):
        for options in ({}, {"without": ("mrg_rxbuf",), "bytes": 65562, "size": 64}):
            for guest in self.guests(*USO, **options):
                for protocol, is_v6 in self.kinds(guest):
                    for length in (1449, 8000, 64000 if protocol == frames.UDP else 65400):
                        header, frame = frames.large(protocol, length, 1448, is_v6, from_guest=False)
                        self.host.send(frame, header=header)
                        [(seen, got, buffers)] = guest.receive_frames(1)
                        self.assertEqual(same(got, frame), "")
                        seen = frames.read_header(seen)
                        self.assertEqual((seen["gso_type"], seen["gso_size"], seen["flags"]),
                                         (frames.read_header(header)["gso_type"], 1448, frames.NEEDS_CSUM))
                        self.assertEqual(seen["num_buffers"], buffers)

    def test_the_largest_frame_there_is_passes_both_ways(self):
        for guest in self.guests():
            header, frame = frames.large(frames.TCP, frames.MAX_IP - 40, 1448)
            self.assertEqual(len(frame), 65549)
            guest.send_frames(frame, header=header)
            self.assertEqual(same(self.host.receive_one()[1], frame), "")
            # The kernel segments what isn't below the interface's gso_max_size, 65536.
            header, frame = frames.large(frames.TCP, 65535 - 54, 1448, from_guest=False)
            self.host.send(frame, header=header)
            self.assertEqual(same(guest.receive_frames(1)[0][1], frame), "")

    def test_a_guest_without_offloads_gets_segments_with_whole_checksums(self):
        for guest in self.guests(without=OFFLOADS):
            for protocol, is_v6 in self.KINDS:
                header, frame = frames.large(protocol, 5 * 1400, 1400, is_v6, from_guest=False)
                self.host.send(frame, header=header)
                got = guest.receive_frames(5)
                self.assertEqual(b"".join(segment[-1400:] for _, segment, _ in got), frame[-7000:])
                for header, segment, _ in got:
                    self.assertTrue(frames.is_whole(segment))
                    fields = frames.read_header(header)
                    self.assertEqual((fields["flags"] & frames.NEEDS_CSUM, fields["gso_type"]), (0, 0))

    def test_a_checksum_that_is_left_to_the_receiver_stays_so_where_it_may(self):
        frame, _, (start, offset) = frames.packet(frames.UDP, b"x" * 300, partial=True)
        back, _, _ = frames.packet(frames.UDP, b"x" * 300, partial=True, from_guest=False)
        header = frames.header(frames.NEEDS_CSUM, 0, 0, 0, start, offset)
        for guest in self.guests():
            guest.send_frames(frame, header=header)
            seen, got = self.host.receive_one()
            self.assertEqual((frames.read_header(seen)["flags"], got), (frames.NEEDS_CSUM, frame))
            self.host.send(back, header=header)
            [(seen, got, _)] = guest.receive_frames(1)
            self.assertEqual((frames.read_header(seen)["flags"], got), (frames.NEEDS_CSUM, back))
        for guest in self.guests(without=OFFLOADS):
            self.host.send(back, header=header)
            [(seen, got, _)] = guest.receive_frames(1)
            self.assertTrue(frames.is_whole(got))
            self.assertEqual(frames.read_header(seen)["flags"] & frames.NEEDS_CSUM, 0)

    def test_what_doesn_t_fit_into_buffers_that_are_not_merged_is_dropped_and_the_next_frame_comes(self):
        self.tap.close()
        self.host.close()
        self.make_tap(mtu=9000)
        for guest in self.guests(without=("mrg_rxbuf",), bytes=1526):
            fits = [frames.numbered(1514, False), frames.numbered(60, False)]
            self.host.send(fits[0], frames.numbered(1515, False), frames.numbered(9014, False), fits[1])
            self.assertTrue([frame for _, frame, _ in guest.receive_frames(2)] == fits)
            self.assertEqual(guest.receive_frames(1, timeout_ms=50), [])

    def test_what_the_tap_refuses_is_dropped_and_the_next_frame_goes(self):
        bad = frames.header(frames.NEEDS_CSUM, frames.GSO_TCPV4, 54, 0, 60000, 16)  # no size, and sums behind the end
        for guest in self.guests():
            guest.send_frames(frames.numbered(100), header=bad)
            self.assert_works(guest)


if __name__ == "__main__":
    unittest.main()
