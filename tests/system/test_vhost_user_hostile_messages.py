# SPDX-License-Identifier: MIT
"""tapferry-vhost and a front-end that breaks the rules, or takes the guest's memory away: a line names the request,
nothing leaks, and the next front-end is served."""
import struct
import unittest

import processes
import sandbox
import vhost_frames as frames
import vhost_front as front
from vhost_case import VhostCase, need_backend
from vhost_front import FrontError

BIG = (1 << 64) - 1


def setUpModule():
    need_backend()


def u64s(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *(number & BIG for number in numbers))


def message(request, payload=b"", flags=front.VERSION, size=None):
    return struct.pack("<III", request, flags, len(payload) if size is None else size) + payload


class HostileMessages(VhostCase):
    def setUp(self):
        super().setUp()
        self.running = self.backend()

    def refused(self, request, payload=b"", fds=(), says="", guest=None):
        """Acknowledged as failed, or the session ends; in both cases a line says it."""
        guest = guest or self.guest()
        try:
            self.assertNotEqual(guest.acknowledged(request, payload, list(fds)), 0, "it was taken")
        except FrontError:
            self.assertTrue(guest.is_closed(timeout_ms=1000)["closed"])
        line = self.running.says(says)
        guest.close()
        self.assert_serves_the_next()
        return line

    def ends(self, raw, fds=(), says=""):
        """Bytes that end the session."""
        guest = self.guest()
        guest.raw_message(hex=raw.hex(), fds=list(fds))
        self.assertTrue(guest.is_closed(timeout_ms=5000)["closed"])
        self.running.says(says)
        guest.close()
        self.assert_serves_the_next()

    def assert_serves_the_next(self):
        self.assertTrue(self.running.is_running(), self.running.stderr())
        guest = self.guest()
        self.assert_works(guest)
        guest.close()

    def test_an_unknown_request_is_refused_by_its_number(self):
        self.refused(77, says="77")

    def test_an_unknown_request_without_need_reply_ends_the_session(self):
        self.ends(message(77), says="77")

    def test_another_version_ends_the_session(self):
        self.ends(message(front.GET_FEATURES, flags=2), says="version")

    def test_a_payload_that_is_too_long_ends_the_session(self):
        self.ends(message(front.GET_FEATURES, size=1 << 30), says="tapferry-vhost: ")

    def test_payloads_of_other_sizes_are_refused(self):
        for request in (front.SET_FEATURES, front.SET_VRING_NUM, front.SET_VRING_ADDR, front.SET_VRING_KICK,
                        front.SET_MEM_TABLE, front.SET_VRING_ENABLE):
            with self.subTest(request=request):
                self.refused(request, b"\0" * 5)

    def test_descriptors_where_none_belong_are_refused(self):
        self.refused(front.SET_VRING_NUM, struct.pack("<II", 0, 256), ["null"], says="SET_VRING_NUM")

    def test_missing_descriptors_are_refused(self):
        self.refused(front.SET_VRING_KICK, u64s(0), says="SET_VRING_KICK")
        self.refused(front.SET_MEM_TABLE, struct.pack("<II", 1, 0) + u64s(0, 4096, 0, 0), says="SET_MEM_TABLE")

    def test_more_descriptors_than_any_message_has_end_the_session(self):
        guest = self.guest()
        guest.raw_message(hex=message(front.GET_FEATURES).hex(), fds=["null"] * 100)
        guest.is_closed(timeout_ms=1000)
        guest.close()
        self.assert_serves_the_next()

    def test_half_a_message_holds_nobody_up(self):
        guest = self.guest()
        guest.raw_message(hex=message(front.SET_FEATURES, u64s(0))[:15].hex())
        self.assert_sends(guest, [frames.numbered(60)])  # the queues' threads don't care
        guest.close()
        self.assert_serves_the_next()

    def test_cve_2020_10723_a_vring_that_does_not_exist(self):
        for request in (front.SET_VRING_NUM, front.SET_VRING_BASE, front.SET_VRING_ENABLE):
            for index in (2, 255, 1 << 31, 0xffffffff):
                self.refused(request, struct.pack("<II", index, 1))
        for index in (2, 0xff):
            self.refused(front.SET_VRING_KICK, u64s(index), ["eventfd"])
            self.refused(front.SET_VRING_CALL, u64s(index), ["eventfd"])

    def test_cve_2020_10722_a_log_whose_size_and_offset_wrap(self):
        for size, offset in ((BIG, 4096), (4096, BIG - 100), (1 << 63, 1 << 63), (0, 0), (1 << 40, 0)):
            guest = self.guest()
            try:
                guest.ask(front.SET_LOG_BASE, u64s(size, offset), ["memfd:4096"])
            except FrontError:
                pass
            self.assertTrue(self.running.is_running())
            guest.close()
        self.assert_serves_the_next()

    def test_cve_2020_10725_ring_addresses_outside_guest_memory(self):
        for place in range(3):
            guest = self.guest(enable=False)
            guest.stop(vring=0)
            region = guest.region(region=0)
            addresses = [region["uva"]] * 3
            addresses[place] = region["uva"] + region["size"] - 8
            payload = struct.pack("<II", 0, 0) + u64s(addresses[0], addresses[1], addresses[2], 0)
            try:
                guest.acknowledged(front.SET_VRING_ADDR, payload)
                guest.acknowledged(front.SET_VRING_KICK, u64s(0), ["eventfd"])
            except FrontError:
                pass
            self.running.says("guest memory")
            guest.close()
            self.assert_serves_the_next()

    def test_ring_sizes_that_are_none(self):
        for size in (0, 3, 65536, 0xffffffff):
            guest = self.guest(enable=False)
            guest.stop(vring=0)
            try:
                answers = [guest.acknowledged(front.SET_VRING_NUM, struct.pack("<II", 0, size)),
                           guest.acknowledged(front.SET_VRING_KICK, u64s(0), ["eventfd"])]
                self.assertNotEqual(answers, [0, 0])
            except FrontError:
                pass
            guest.close()
            self.assert_serves_the_next()

    def test_regions_that_overlap_wrap_or_are_longer_than_their_file(self):
        def table(*regions):
            return struct.pack("<II", len(regions), 0) + b"".join(u64s(*region) for region in regions)
        for regions in ([(0, 0, 0, 0)], [(BIG, 4096, 0, 0)], [(0, 4096, BIG - 5, 0)], [(0, 4096, 0, BIG - 4000)],
                        [(0, 1 << 40, 0, 0)], [(0, 8192, 0, 0), (4096, 8192, 1 << 20, 0)],
                        [(0, 8192, 0, 0), (1 << 20, 8192, 4096, 0)]):
            self.refused(front.SET_MEM_TABLE, table(*regions), ["memfd:16384"] * len(regions))

    def test_a_table_of_more_regions_than_the_protocol_has(self):
        self.refused(front.SET_MEM_TABLE, struct.pack("<II", 9, 0) + u64s(0, 4096, 0, 0) * 9, ["memfd:4096"] * 8)
        self.refused(front.SET_MEM_TABLE, struct.pack("<II", 0xffffffff, 0), [])

    def test_memory_that_is_no_memory(self):
        self.refused(front.SET_MEM_TABLE, struct.pack("<II", 1, 0) + u64s(0, 4096, 0, 0), ["null"])

    def test_kick_descriptors_that_are_no_eventfds(self):
        guest = self.guest()
        for kind in ("null", "memfd:4096"):
            try:
                guest.acknowledged(front.SET_VRING_KICK, u64s(1), [kind])
                guest.acknowledged(front.SET_VRING_CALL, u64s(1), [kind])
            except FrontError:
                break
        guest.close()
        self.assert_serves_the_next()


class Leaks(VhostCase):
    def test_cve_2019_14818_repeated_messages_leave_no_descriptor_and_no_memory(self):
        backend = self.backend()
        guest = self.guest()
        region = guest.region(region=0)
        table = struct.pack("<II", 1, 0) + u64s(region["gpa"], region["size"], region["uva"], 0)

        def repeat(times):
            for _ in range(times):
                guest.acknowledged(front.SET_MEM_TABLE, table, ["memory"])
                guest.acknowledged(front.SET_VRING_CALL, u64s(0), ["eventfd"])
                guest.acknowledged(front.SET_VRING_ERR, u64s(0), ["eventfd"])
                guest.ask(front.SET_LOG_BASE, u64s(65536, 0), ["memfd:65536"])

        def maps():
            with open(f"/proc/{backend.pid}/maps", encoding="utf-8") as file:
                return len(file.readlines())
        repeat(3)
        before = len(processes.descriptors(backend.pid)), maps()
        repeat(200)
        self.assertEqual((len(processes.descriptors(backend.pid)), maps()), before)

    def test_descriptors_of_messages_that_are_refused_are_closed(self):
        backend = self.backend()
        idle = len(processes.descriptors(backend.pid))
        for request in (front.GET_FEATURES, front.SET_VRING_NUM, 77):
            for _ in range(5):
                guest = self.guest()
                try:
                    guest.acknowledged(request, struct.pack("<II", 0, 256), ["null"] * 8)
                except (FrontError, AssertionError, struct.error):
                    pass
                guest.close()
        guest = self.guest()
        self.assert_sends(guest, [frames.numbered(60)])
        guest.close()
        self.assertTrue(sandbox.eventually(lambda: len(processes.descriptors(backend.pid)) <= idle))


class Truncated(VhostCase):
    """Memory that the front-end cuts off ends the session, with a line, not the process with a signal."""

    def cases(self):
        for engine in self.engines():
            for packed in (False, True):
                self.at("packed" if packed else "split")
                backend = self.backend(engine)
                guest = self.connected()
                guest.memory(gpa=0, size=32 << 20)
                guest.memory(gpa=1 << 30, size=4 << 20)
                self.guest(front=guest, packed=packed, post=False)
                yield backend, guest
                guest.close()
                self.assertTrue(backend.is_running(), backend.stderr())
                guest = self.guest()
                guest.receive_frames(10, timeout_ms=50)  # what the tap still has
                self.host.silence(0.01)
                self.assert_works(guest)
                guest.close()
                self.assertEqual(backend.end(), 0)

    def test_a_buffer_that_is_sent(self):
        for backend, guest in self.cases():
            guest.truncate(region=1, size=0)
            guest.chain(vring=1, buffers=[[1 << 30, 12, 0], [(1 << 30) + 4096, 1000, 0]])
            backend.says("guest memory")

    def test_a_buffer_that_is_received_into(self):
        for backend, guest in self.cases():
            guest.chain(vring=0, buffers=[[1 << 30, 2048, 1]])
            guest.truncate(region=1, size=0)
            self.host.send(frames.numbered(60, False))
            backend.says("guest memory")

    def test_the_rings_themselves(self):
        for backend, guest in self.cases():
            self.assertEqual(guest.ring(vring=1)["desc"] >> 20, 0)
            guest.truncate(region=0, size=0)
            guest.kick(vring=1)
            guest.kick(vring=0)
            self.host.send(frames.numbered(60, False))
            backend.says("guest memory")

    def test_the_dirty_log(self):
        for backend, guest in self.cases():
            guest.post(bytes=2048)
            guest.log_start()
            guest.log_truncate()
            self.host.send(frames.numbered(60, False))
            guest.send(frames=[{"frame": frames.numbered(60).hex()}], timeout_ms=100)
            self.assertTrue(backend.is_running(), backend.stderr())


if __name__ == "__main__":
    unittest.main()
