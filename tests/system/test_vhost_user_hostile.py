# SPDX-License-Identifier: MIT
"""tapferry-vhost and a guest that breaks the rules: each case that other programs fell to. The process goes on, says
which queue, descriptor and rule it was, and serves the next guest."""
import struct
import unittest

import sandbox
import vhost_frames as frames
from raw_ring import INDIRECT, NEXT, WRITE, RawRing
from vhost_case import VhostCase, need_backend

OUTSIDE = 0xfff000  # above the guest's memory
MEMORY = 8 << 20
BUFFER, TABLE = 4 << 20, 5 << 20  # of the guest's memory, where nobody else writes
RX, TX = 0, 1


def setUpModule():
    need_backend()


class Hostile(VhostCase):
    def setUp(self):
        super().setUp()
        self.running = self.backend()

    def rings(self, vring=TX, **options):
        """Split and packed: a raw ring of a guest that is connected."""
        for packed in (False, True):
            self.at("packed" if packed else "split")
            guest = self.connected()
            guest.memory(size=MEMORY)
            self.guest(front=guest, packed=packed, post=False, size=64, **options)
            guest.write(BUFFER, bytes(12) + frames.numbered(60))
            yield RawRing(guest, vring, packed)
            guest.close()
            self.assert_serves_the_next()

    def assert_serves_the_next(self):
        self.assertTrue(self.running.is_running(), self.running.stderr())
        guest = self.guest()
        self.host.silence(0.02)  # what still came of the guest before, and what the tap has for it
        guest.receive_frames(100, timeout_ms=20)
        self.assert_works(guest)
        guest.close()

    def assert_refused(self, *words, vring=TX):
        """A line names queue and rule; the frame went nowhere."""
        line = self.running.says(f"queue {vring}", *words)
        self.assertTrue(line.startswith("tapferry-vhost: "), line)
        self.assertEqual(self.host.silence(0.05), [])
        self.running.forget()  # the next ring's line is another one


class HostileRing(Hostile):
    def test_cve_2018_1059_a_buffer_that_only_begins_in_guest_memory(self):
        for ring in self.rings():
            ring.offer((MEMORY - 16, 4096, 0))
            self.assert_refused("descriptor 0", "4096 bytes", "guest memory")

    def test_a_buffer_whose_end_wraps_round(self):
        for ring in self.rings():
            ring.offer(((1 << 64) - 16, 4096, 0))
            self.assert_refused("descriptor 0", "guest memory")

    def test_a_buffer_outside_guest_memory(self):
        for ring in self.rings():
            ring.offer((BUFFER, 12, 0), (OUTSIDE, 60, 0))
            self.assert_refused("descriptor 1", "guest memory")

    def test_a_receive_buffer_outside_guest_memory(self):
        for ring in self.rings(RX):
            ring.offer((OUTSIDE, 2048, WRITE))
            self.host.send(frames.numbered(60, False))
            self.assert_refused("descriptor 0", "guest memory", vring=RX)

    def test_zero_length_descriptors(self):
        for ring in self.rings():
            ring.offer((BUFFER, 72, 0), (BUFFER, 0, 0))
            self.assert_refused("descriptor 1", "no bytes")

    def test_cve_2019_3900_a_chain_that_never_ends(self):
        for ring in self.rings():
            if ring.packed:
                for _ in range(64):
                    ring.write_descriptor(ring.next, BUFFER, 72, NEXT | 1 << 7, 0)
                    ring.next += 1
                ring.kick()
            else:
                ring.write_descriptor(0, BUFFER, 72, NEXT, 1)
                ring.write_descriptor(1, BUFFER, 72, NEXT, 0)
                ring.offer_heads(0)
            self.assert_refused("doesn't end")

    def test_cve_2019_3900_a_guest_that_kicks_without_end_can_be_stopped(self):
        for ring in self.rings():
            for _ in range(300):
                ring.kick()
            self.assertIn("base", ring.front.stop(vring=TX))

    def test_an_available_index_further_ahead_than_the_ring_is_long(self):
        for ring in self.rings():
            if ring.packed:
                continue  # it has none
            ring.set_avail(65)
            ring.kick()
            self.assert_refused("more than the ring")

    def test_an_available_entry_that_names_no_descriptor(self):
        for ring in self.rings():
            if ring.packed:
                continue
            ring.offer_heads(64)
            self.assert_refused("descriptor 64", "doesn't have")

    def test_a_next_that_names_no_descriptor(self):
        for ring in self.rings():
            if ring.packed:
                continue
            ring.write_descriptor(0, BUFFER, 72, NEXT, 64)
            ring.offer_heads(0)
            self.assert_refused("descriptor 0", "next is 64")

    def test_a_readable_descriptor_behind_a_writable_one(self):
        for ring in self.rings(RX):
            ring.offer((BUFFER, 2048, WRITE), (BUFFER, 72, 0))
            self.host.send(frames.numbered(60, False))
            self.assert_refused("descriptor 1", "behind a writable", vring=RX)

    def test_a_readable_receive_buffer(self):
        for ring in self.rings(RX):
            ring.offer((BUFFER, 2048, 0))
            self.host.send(frames.numbered(60, False))
            self.assert_refused("readable parts", vring=RX)

    def test_an_indirect_table_outside_guest_memory(self):
        for ring in self.rings():
            ring.offer((OUTSIDE, 32, INDIRECT))
            self.assert_refused("descriptor 0", "indirect table", "guest memory")

    def test_an_indirect_table_of_no_whole_number_of_descriptors(self):
        for ring in self.rings():
            ring.offer((TABLE, 24, INDIRECT))
            self.assert_refused("descriptor 0", "24 bytes")

    def test_an_indirect_table_in_an_indirect_table(self):
        for ring in self.rings():
            if ring.packed:
                continue  # in its tables the flag means nothing (virtio 1.2, 2.8.8)
            ring.offer((TABLE, ring.table(TABLE, (TABLE, 16, INDIRECT)), INDIRECT))
            self.assert_refused("indirect descriptor 0", "inside an indirect")

    def test_an_indirect_table_and_a_next(self):
        for ring in self.rings():
            length = ring.table(TABLE, (BUFFER, 72, 0))
            ring.offer((TABLE, length, INDIRECT), (BUFFER, 72, 0))
            self.assert_refused("descriptor 0", "has a next")

    def test_an_indirect_table_that_was_not_negotiated(self):
        for ring in self.rings(without=("indirect_desc",)):
            ring.offer((TABLE, ring.table(TABLE, (BUFFER, 72, 0)), INDIRECT))
            self.assert_refused("wasn't negotiated")

    def test_an_indirect_table_that_loops(self):
        for ring in self.rings():
            if ring.packed:
                continue  # its tables have no next
            ring.write_descriptor(0, BUFFER, 72, NEXT, 1, TABLE)
            ring.write_descriptor(1, BUFFER, 72, NEXT, 0, TABLE)
            ring.offer((TABLE, 32, INDIRECT))
            self.assert_refused("doesn't end")

    def test_an_indirect_table_across_regions_is_as_good_as_any(self):
        for packed in (False, True):
            guest = self.connected()
            guest.memory(gpa=0, size=MEMORY)
            guest.memory(gpa=MEMORY, size=1 << 20)
            self.guest(front=guest, packed=packed, post=False, size=64)
            frame = frames.numbered(60)
            guest.write(BUFFER, bytes(12) + frame)
            ring = RawRing(guest, TX, packed)
            gpa = MEMORY - 24
            ring.offer((gpa, ring.table(gpa, (BUFFER, 12, 0), (BUFFER + 12, 20, 0), (BUFFER + 32, 40, 0)), INDIRECT))
            self.assertTrue(self.host.receive(1) == [frame])
            guest.close()
            self.assert_serves_the_next()


class HostileFrames(Hostile):
    def test_cve_2022_2132_a_chain_no_longer_than_the_header(self):
        for ring in self.rings():
            for length in (1, 9, 12, 25):  # 25: no whole Ethernet header
                ring.offer((BUFFER, length, 0))
            ring.offer((BUFFER, 72, 0))
            self.assertEqual([len(frame) for frame in self.host.receive(1)], [60])

    def test_cve_2022_2132_a_header_over_many_descriptors(self):
        for ring in self.rings():
            ring.offer(*[(BUFFER + i, 1, 0) for i in range(13)], (BUFFER + 13, 59, 0))
            self.assertEqual([len(frame) for frame in self.host.receive(1)], [60])

    def test_a_send_chain_with_writable_parts_is_not_sent(self):
        for ring in self.rings():
            ring.offer((BUFFER, 72, 0), (TABLE, 100, WRITE))
            self.assertEqual(self.host.silence(0.1), [])

    def test_runt_receive_descriptors(self):
        for ring in self.rings(RX):
            for length in (1, 5, 11):
                ring.offer((BUFFER, length, WRITE))
            for i in range(20):
                ring.offer((BUFFER + 4096 * (1 + i), 2048, WRITE))
            self.host.send(*[frames.numbered(60, False) for _ in range(5)])
            sandbox.eventually(lambda: ring.is_used(0) if ring.packed else ring.used_count(), 0.3)
            self.assertTrue(self.running.is_running())

    def test_cve_2018_16880_a_frame_that_needs_more_buffers_than_the_ring_has(self):
        for ring in self.rings(RX):
            for i in range(64):
                ring.offer((BUFFER + 64 * i, 64, WRITE), kick=i == 63)
            header, frame = frames.large(frames.TCP, 60000, 1448, from_guest=False)
            self.host.send(frame, header=header)
            self.host.send(frames.numbered(40, False))
            sandbox.eventually(lambda: ring.is_used(0) if ring.packed else ring.used_count(), 0.3)
            self.assertTrue(self.running.is_running())

    def test_buffers_that_overlap_and_cover_the_ring_itself(self):
        for ring in self.rings(RX):
            for i in range(16):
                ring.offer((ring.desc if i % 2 else BUFFER, 2048, WRITE), kick=i == 15)
            self.host.send(*[frames.numbered(1000, False) for _ in range(20)])
            self.host.silence(0.05)
            self.assertTrue(self.running.is_running())

    def test_double_fetch_of_length_next_and_flags(self):
        for ring in self.rings():
            for _ in range(10):
                at = ring.next
                ring.offer((BUFFER, 72, 0), kick=False)
                ring.kick()
                rest = ring.front.read(ring.desc + 16 * at + 8, 8)
                other = struct.pack("<IHH", 0xfffffff0, 0xffff, 0xffff)
                ring.front.flip(gpa=ring.desc + 16 * at + 8, first=rest.hex(), second=other.hex(), count=20000)
            self.assertTrue(self.running.is_running())

    def test_double_fetch_of_the_length_of_an_indirect_table(self):
        for ring in self.rings():
            length = ring.table(TABLE, (BUFFER, 12, 0), (BUFFER + 12, 60, 0))
            for _ in range(10):
                at = ring.next
                ring.offer((TABLE, length, INDIRECT))
                ring.front.flip(gpa=ring.desc + 16 * at + 8, first=struct.pack("<I", length).hex(), second="f0ffffff",
                                count=20000)
                ring.front.flip(gpa=TABLE + 8, first=struct.pack("<I", 12).hex(), second="ffffff7f", count=20000)
            self.assertTrue(self.running.is_running())


if __name__ == "__main__":
    unittest.main()
