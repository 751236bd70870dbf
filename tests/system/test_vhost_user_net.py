# SPDX-License-Identifier: MIT
"""tapferry-vhost --net: it asks the helper itself, and its guest is on a bridge or behind a macvtap; what another host
on that network sends and gets."""
import re
import unittest

import links
import sandbox
import vhost_frames as frames
from helper_case import need_helper
from vhost_case import HostEnd, VhostCase, need_backend, same


def setUpModule():
    need_backend()
    need_helper()


class Net(VhostCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.helper = cls.box.install_helper()
        for which in ("all", "default"):  # bridges announce themselves with it
            with open(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6", "w", encoding="ascii") as file:
                file.write("1")

    def setUp(self):
        super().setUp()
        self.tap.close()
        self.host.close()
        self.box.no_policy()
        self.addCleanup(self.box.delete_links)
        self.box.bridge("br0", mtu=9000)

    def peer(self, port, name, **options):
        """Another host on that network: self.host is its end."""
        self.box.veth(port, name, **options)
        for link in (port, name):
            sandbox.ip("link", "set", link, "mtu", "9000")
        self.host = HostEnd(name)
        self.addCleanup(self.host.close)

    def asked(self, spec, *options, **how):
        """A backend that asked for the interface itself; and that interface."""
        backend = self.backend(*options, net=spec, helper=self.helper, **how)
        name = re.search(r"serves (\S+)", backend.says(" serves ")).group(1)
        return backend, links.get(name)

    def test_a_guest_on_a_bridge_talks_to_others_on_it(self):
        self.box.policy("allow bridge=br0 queues=4")
        self.peer("port0", "peer0", master="br0")
        for engine in self.engines():
            for packed in (False, True):
                _, link = self.asked("bridge=br0", engine)
                self.assertEqual((link.master, link.kind), ("br0", "tun"))
                guest = self.guest(packed=packed)
                self.assert_works(guest)
                self.passes_large_frames(guest)
                guest.close()

    def passes_large_frames(self, guest):
        header, frame = frames.large(frames.TCP, 30000, 1448)
        guest.send_frames(frame, header=header)
        self.assertEqual(same(self.host.receive_one()[1], frame), "")
        header, frame = frames.large(frames.TCP, 30000, 1448, from_guest=False)
        self.host.send(frame, header=header)
        [(seen, got, _)] = guest.receive_frames(1)
        self.assertEqual(same(got, frame), "")
        self.assertEqual(frames.read_header(seen)["gso_size"], 1448)

    def test_the_queues_that_were_asked_for_are_there(self):
        self.box.policy("allow bridge=br0 queues=4")
        self.peer("port0", "peer0", master="br0")
        for spec, options, queues in (("bridge=br0,queues=2", (), 2), ("bridge=br0", ("--queues=3",), 3)):
            self.asked(spec, *options)
            guest = self.guest(queues=queues)
            self.assertEqual(guest.negotiated["queue_limit"], queues)
            for queue in range(queues):
                self.assert_sends(guest, [frames.numbered(60)], queue=queue)
            guest.close()

    def test_what_the_policy_refuses_is_told_in_the_helper_s_words(self):
        self.box.policy("allow bridge=br0 user=bob")
        backend = self.backend(net="bridge=br0", helper=self.helper, ready=False)
        self.assertEqual(backend.process.wait(10), 1)
        self.assertIn("br0", backend.stderr())
        self.assertEqual(links.taps(), [])

    def test_the_interface_goes_with_the_backend(self):
        self.box.policy("allow bridge=br0")
        backend, link = self.asked("bridge=br0")
        self.assertEqual(backend.end(), 0)
        self.assertTrue(sandbox.eventually(lambda: links.get(link.name) is None))

    def test_a_guest_behind_a_macvtap_talks_to_others(self):
        self.box.policy("allow macvtap=parent0")
        self.peer("parent0", "peer0")
        for engine in self.engines():
            for packed in (False, True):
                backend, link = self.asked("macvtap=parent0", engine)
                self.assertEqual(link.kind, "macvtap")
                guest = self.guest(packed=packed)
                mac = bytes.fromhex(link.mac.replace(":", ""))
                out, back = frames.numbered(1514), mac + frames.numbered(1514, False)[6:]
                guest.send_frames(out[:6] + mac + out[12:])
                self.assertEqual(same(self.host.receive_one()[1], out[:6] + mac + out[12:]), "")
                self.host.send(back)
                self.assertEqual(same(guest.receive_frames(1)[0][1], back), "")
                header, large = frames.large(frames.TCP, 30000, 1448, from_guest=False)
                self.host.send(mac + large[6:], header=header)
                self.assertEqual(same(guest.receive_frames(1)[0][1], mac + large[6:]), "")
                guest.close()
                self.assertEqual(backend.end(), 0, backend.stderr())


if __name__ == "__main__":
    unittest.main()
