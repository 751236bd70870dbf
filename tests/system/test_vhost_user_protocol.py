# SPDX-License-Identifier: MIT
"""tapferry-vhost: what it answers to the messages of a front-end."""
import struct
import unittest

import vhost_frames as frames
import vhost_front as front
from vhost_case import VhostCase, need_backend
from vhost_front import FEATURES, OFFLOADS, PROTOCOL, SLOTS

OFFERED = {"csum", "guest_csum", "mtu", "guest_tso4", "guest_tso6", "host_tso4", "host_tso6", "mrg_rxbuf", "status",
           "mq", "guest_announce", "log_all", "indirect_desc", "event_idx", "protocol_features", "version_1",
           "ring_packed", "in_order"}
MAY_BE_OFFERED = {"guest_ecn", "host_ecn", "guest_uso4", "guest_uso6", "host_uso"}  # by what the kernel takes


def setUpModule():
    need_backend()


def u32s(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers)


def u64s(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


class Negotiation(VhostCase):
    QUEUES = 2

    def setUp(self):
        super().setUp()
        self.running = self.backend()

    def test_the_features_of_the_manual_are_offered(self):
        offered = set(self.guest(queues=2).negotiated["offered"])
        self.assertEqual(offered - MAY_BE_OFFERED, OFFERED)

    def test_the_protocol_features_of_the_manual_are_offered(self):
        bits = self.connected().ask_u64(front.GET_PROTOCOL_FEATURES)
        self.assertEqual(front.names_of(bits), set(front.PROTOCOL_BITS))
        self.assertEqual(bits, front.protocol(*front.PROTOCOL_BITS), "bits that have no name here")

    def test_there_are_as_many_queue_pairs_as_tap_descriptors(self):
        self.assertEqual(self.connected().ask_u64(front.GET_QUEUE_NUM), 2)

    def test_replies_carry_version_one_and_the_reply_flag(self):
        flags, payload = self.connected().ask(front.GET_FEATURES)
        self.assertEqual((flags & 7, len(payload)), (front.VERSION | front.REPLY, 8))

    def test_what_succeeded_is_acknowledged_when_asked(self):
        guest = self.connected()
        guest.ask_u64(front.GET_PROTOCOL_FEATURES)
        guest.tell(front.SET_PROTOCOL_FEATURES, u64s(front.protocol("reply_ack")))
        self.assertEqual(guest.acknowledged(front.SET_OWNER), 0)
        self.assertEqual(guest.acknowledged(front.SET_FEATURES, u64s(1 << 32 | 1 << 30)), 0)

    def test_features_that_were_not_offered_are_refused(self):
        guest = self.connected()
        guest.tell(front.SET_PROTOCOL_FEATURES, u64s(front.protocol("reply_ack")))
        offered = guest.ask_u64(front.GET_FEATURES)
        missing = next(1 << bit for bit in range(64) if not offered >> bit & 1)
        try:
            self.assertNotEqual(guest.acknowledged(front.SET_FEATURES, u64s(missing)), 0)
        except front.FrontError:
            pass  # the session may end instead
        self.running.says("SET_FEATURES")

    def test_without_protocol_features_rings_are_enabled_from_the_start(self):
        names = [name for name in FEATURES if name not in ("protocol_features", "mq")]
        self.assert_sends(self.guest(wanted=names, protocol=0), [frames.numbered(60)])

    def test_a_second_front_end_waits_until_the_first_has_gone(self):
        first = self.guest()
        second = self.front()
        second.connect(path=self.socket)
        self.assert_sends(first, [frames.numbered(60)])
        first.close()
        self.assert_sends(self.guest(front=second), [frames.numbered(60)])

    def test_status_is_kept_and_zero_resets_the_device(self):
        guest = self.guest(protocol=PROTOCOL | front.protocol("status"))
        self.assertEqual(guest.ask_u64(front.GET_STATUS), 15)
        self.assert_sends(guest, [frames.numbered(60)])
        self.assertEqual(guest.acknowledged(front.SET_STATUS, u64s(0)), 0)
        self.assertEqual(guest.ask_u64(front.GET_STATUS), 0)
        self.assert_stopped(guest)

    def test_reset_device_stops_the_rings_until_they_are_set_up_again(self):
        guest = self.guest()
        self.assertEqual(guest.acknowledged(front.RESET_DEVICE), 0)
        self.assert_stopped(guest)
        self.assert_sends(self.guest(front=guest), [frames.numbered(60)])

    def assert_stopped(self, guest):
        answer = guest.send(frames=[{"frame": frames.numbered(60).hex()}], timeout_ms=100)
        self.assertFalse(answer["used"])
        self.assertEqual(self.host.silence(), [])

    def test_an_mtu_is_taken_and_the_guest_s_announcement_is_sent(self):
        guest = self.guest()
        self.assertEqual(guest.acknowledged(front.NET_SET_MTU, u64s(1500)), 0)
        self.assertEqual(guest.acknowledged(front.SEND_RARP, frames.GUEST_MAC + bytes(2)), 0)
        announced = self.host.receive_one()[1]
        self.assertEqual((announced[:6], announced[6:14]), (b"\xff" * 6, frames.GUEST_MAC + b"\x80\x35"))

    def test_reset_owner_is_tolerated(self):
        guest = self.guest()
        self.assertEqual(guest.acknowledged(front.RESET_OWNER), 0)
        self.assertTrue(self.running.is_running())


class Rings(VhostCase):
    def setUp(self):
        super().setUp()
        self.running = self.backend()

    def test_a_stopped_ring_tells_where_it_was_and_goes_on_there(self):
        for packed in (False, True):
            guest = self.guest(packed=packed)
            self.assert_works(guest)
            for vring in (0, 1):
                base = guest.stop(vring=vring)["base"]
                if not packed:
                    self.assertEqual(base, guest.ring(vring=vring)["resume_base"])
                guest.start_vring(vring=vring, base=base)
                guest.enable(vring=vring)
            self.assert_works(guest)
            guest.close()

    def test_no_byte_of_guest_memory_changes_once_the_rings_are_stopped(self):
        for packed in (False, True):
            guest = self.connected()
            guest.memory(size=1 << 20)
            self.guest(packed=packed, size=64, front=guest)
            self.assert_works(guest)
            guest.stop(vring=0)
            guest.stop(vring=1)
            before = guest.read(0, 1 << 20)
            self.host.send(*[frames.numbered(500, False) for _ in range(20)])
            self.host.silence(0.1)
            self.assertTrue(guest.read(0, 1 << 20) == before)
            guest.close()

    def test_frames_of_a_disabled_send_queue_are_taken_and_dropped(self):
        for packed in (False, True):
            guest = self.guest(packed=packed)
            guest.enable(vring=1, on=False)
            guest.send_frames(*[frames.numbered(60) for _ in range(10)])
            self.assertEqual(self.host.silence(), [])
            guest.enable(vring=1, on=True)
            self.assert_works(guest)
            guest.close()

    def test_a_disabled_receive_queue_gets_nothing_until_it_is_enabled(self):
        guest = self.guest()
        guest.enable(vring=0, on=False)
        self.host.send(frames.numbered(60, False))
        self.assertEqual(guest.receive_frames(1, timeout_ms=100), [])
        guest.enable(vring=0, on=True)
        late = frames.numbered(61, False)
        self.host.send(late)
        self.assertEqual(guest.receive_frames(2, timeout_ms=500)[-1][1], late)

    def test_call_descriptors_may_be_changed_while_frames_pass(self):
        guest = self.guest()
        for _ in range(5):
            guest.tell(front.SET_VRING_CALL, u64s(1), ["eventfd"])
            guest.tell(front.SET_VRING_CALL, u64s(0 | 1 << 8))
            self.assert_sends(guest, [frames.numbered(60)])


class Memory(VhostCase):
    def setUp(self):
        super().setUp()
        self.running = self.backend()

    def test_frames_cross_from_one_region_into_its_neighbour(self):
        for packed in (False, True):
            guest = self.connected()
            guest.memory(gpa=0, size=8 << 20)
            guest.memory(gpa=8 << 20, size=1 << 20)
            self.guest(packed=packed, front=guest)
            frame = frames.numbered(3000)
            gpa = (8 << 20) - 1000
            guest.write(gpa, bytes(12) + frame)
            guest.chain(vring=1, buffers=[[gpa, 3012, 0]])
            self.assertTrue(self.host.receive(1) == [frame])
            guest.close()

    def test_memory_slots_are_added_and_removed_while_frames_pass(self):
        for packed in (False, True):
            guest = self.connected()
            guest.memory(gpa=0, size=32 << 20)
            self.guest(packed=packed, front=guest, protocol=PROTOCOL | SLOTS)
            self.assertGreaterEqual(guest.ask_u64(front.GET_MAX_MEM_SLOTS), 32)
            got = guest.flood(frame=frames.numbered(300).hex(), seconds=0.7, burst=16, churn_gpa=1 << 30)
            self.assertGreater(got["changes"], 10)
            self.assertEqual((got["fault"], got["disconnected"]), ("", False))
            self.host.receive(got["added"], 0.2)
            self.assert_works(guest)
            guest.close()

    def test_a_new_table_while_frames_pass_changes_nothing_for_them(self):
        guest = self.guest()
        got = guest.flood(frame=frames.numbered(300).hex(), seconds=0.7, burst=16, churn_gpa=1 << 30)
        self.assertGreater(got["changes"], 10)
        self.assertEqual(got["fault"], "")
        self.host.receive(got["added"], 0.2)
        self.assert_works(guest)

    def test_a_region_is_removed_once(self):
        guest = self.guest(protocol=PROTOCOL | SLOTS)
        guest.memory(gpa=1 << 30, size=1 << 20, tell=True)
        region = guest.region(region=1)
        payload = u64s(0, region["gpa"], region["size"], region["uva"], 0)
        self.assertEqual(guest.acknowledged(front.REM_MEM_REG, payload), 0)
        try:
            self.assertNotEqual(guest.acknowledged(front.REM_MEM_REG, payload), 0)
        except front.FrontError:
            self.assertTrue(self.running.is_running())

    def test_pages_that_were_written_are_logged_before_they_are_used(self):
        for options in ({}, {"packed": True}, {"without": OFFLOADS}, {"bytes": 300}):
            guest = self.connected()
            guest.memory(size=1 << 20)
            self.guest(front=guest, size=64, **options)
            self.assert_works(guest)
            guest.log_start()
            guest.dirty()
            before = guest.read(0, 1 << 20)
            self.assert_receives(guest, [frames.numbered(size, False) for size in (60, 1514, 700)], repost=False)
            self.assert_sends(guest, [frames.numbered(60)])
            after, logged = guest.read(0, 1 << 20), set(guest.dirty()["pages"])
            changed = {page for page in range(256) if self.page(before, page) != self.page(after, page)}
            places = [guest.ring(vring=vring) for vring in (0, 1)]
            own = {place["avail"] >> 12 for place in places}  # the driver writes there, and buffers that it sends
            own |= {place["used" if options.get("packed") else "desc"] >> 12 for place in places}
            sent = {page for page in changed if frames.HOST_MAC + frames.GUEST_MAC in self.page(after, page)}
            self.assertEqual(changed - own - sent - logged, set())
            self.assertTrue(logged and len(logged) < 30, logged)
            guest.log_stop()
            guest.dirty()  # going to sleep writes to the rings, too
            self.assert_works(guest)
            self.assertEqual(guest.dirty()["pages"], [])
            guest.close()

    @staticmethod
    def page(memory, number):
        return memory[number * 4096:(number + 1) * 4096]


if __name__ == "__main__":
    unittest.main()
