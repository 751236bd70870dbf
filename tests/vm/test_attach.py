# SPDX-License-Identifier: MIT
"""NICs that are plugged into a running guest and taken out again: `tapferry attach --qmp` and `detach`."""
import fcntl
import os
import struct
import time
import unittest

import guest
import links
import qmp_client
from attach_case import AttachCase
from doc_pages import code_blocks
from one_file import note
from sandbox import ip

TIMEOUT = 600
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
ROUNDS = 100


def open_tap(name):
    """A descriptor of a new tap."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return fd


class OneNic(AttachCase):
    def check(self, version, spec, script, kind, queues=1):
        seen = {}

        def steps():
            fds = self.qemu_fds()
            seen["nic"], = self.attach(f"--net={spec}", "--id=plugged")
            seen["link"] = links.get(seen["nic"]["ifname"])
            yield "ping1"
            self.detach("plugged")
            self.assert_fds(fds)
            self.assert_nothing_left()

        outcome = self.boot(version, script, steps(), smp=queues)
        self.assert_ended_well(outcome, ping1="1/1")
        nic = seen["nic"]
        self.assertEqual((nic["id"], nic["kind"], nic["queues"], nic["bus"]), ("plugged", kind, queues, "rp0"))
        self.assertEqual(outcome.results["mac"], nic["mac"])
        self.assertEqual(outcome.results["queues"], str(queues))
        return seen

    script = """
    await 1
    result mac "$(cat /sys/class/net/eth0/address)"
    result queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
    pings 1 60000
    """

    def test_on_a_bridge_with_qemu_7_2(self):
        self.check("7.2", "bridge=br0", self.script, "bridge")

    def test_on_a_bridge_with_qemu_10(self):
        self.check("10.0", "bridge=br0", self.script, "bridge")

    def test_with_two_queues_and_qemu_7_2(self):
        self.check("7.2", "bridge=br0,queues=2", self.script, "bridge", 2)

    def test_with_two_queues_and_qemu_10(self):
        self.check("10.0", "bridge=br0,queues=2", self.script, "bridge", 2)

    def test_with_a_larger_mtu(self):
        seen = self.check("7.2", "bridge=br0,mtu=9000", self.script, "bridge")
        self.assertEqual(seen["nic"]["mtu"], 9000)

    def test_on_a_macvtap(self):
        """The guest has the macvtap's own address, or it would get no frame."""
        ip("link", "delete", "br0")
        self.box.veth("v0", "v1")
        ip("addr", "add", "192.0.2.1/24", "dev", "v1")
        self.before = links.snapshot()
        for version in ("7.2", "10.0"):
            with self.subTest(version):
                seen = self.check(version, "macvtap=v0", self.script, "macvtap")
                self.assertEqual(seen["nic"]["mac"], seen["link"].mac)

    def test_on_a_macvtap_with_two_queues(self):
        ip("link", "delete", "br0")
        self.box.veth("v0", "v1")
        ip("addr", "add", "192.0.2.1/24", "dev", "v1")
        self.before = links.snapshot()
        self.check("7.2", "macvtap=v0,queues=2", self.script, "macvtap", 2)


class SeveralNics(AttachCase):
    script = f"""
    await 3
    n=0
    for dev in $(ls /sys/class/net | grep eth); do
      n=$((n + 1))
      ip addr add {guest.GUEST_ADDRESS}/24 dev $dev
      ip link set $dev up
      reach ping$n {guest.HOST_ADDRESS} 64
      ip addr flush dev $dev
    done
    result macs "$(cat /sys/class/net/eth*/address | sort | tr '\\n' ' ')"
    await 2
    result left "$(nics)"
    await 0
    result none "$(nics)"
    """

    def test_come_together_and_go_one_after_the_other(self):
        seen = {}

        def steps():
            fds = self.qemu_fds()
            seen["nics"] = self.attach("--net=bridge=br0", "--net=bridge=br0", "--net=bridge=br0",
                                       "--id=a", "--id=b", "--id=c")
            yield "macs"
            self.detach("b")
            yield "left"
            self.detach("a", "c")
            yield "none"
            self.assert_fds(fds)
            self.assert_nothing_left()

        outcome = self.boot("7.2", self.script, steps(), ports=3)
        self.assert_ended_well(outcome, ping1="3/3", ping2="3/3", ping3="3/3", left="2", none="0")
        self.assertEqual(outcome.results["macs"].split(), sorted(nic["mac"] for nic in seen["nics"]))
        self.assertEqual(sorted(nic["bus"] for nic in seen["nics"]), ["rp0", "rp1", "rp2"])

    def test_are_all_taken_back_when_there_is_room_for_one(self):
        def steps():
            fds = self.qemu_fds()
            self.attach_fails("--net=bridge=br0", "--net=bridge=br0", "--id=a", "--id=b",
                              says=["tapferry: attach b: ", "device_add", "does not support hotplugging",
                                    "the VM needs a free pcie-root-port"])
            self.assert_fds(fds)
            self.assert_nothing_left()
            self.attach("--net=bridge=br0", "--id=b")
            yield "ping1"

        outcome = self.boot("7.2", "sleep 1; pings 1\n", steps())
        self.assert_ended_well(outcome)


class Refusals(AttachCase):
    """Each leaves QEMU and the host as they were."""

    def test_name_what_is_wrong(self):
        def steps():
            fds = self.qemu_fds()
            helper = f"--helper={self.helper}"
            self.attach_fails("--net=bridge=br1", says=["tapferry-helper: "])
            self.attach_fails("--net=bridge=br0", "--id=rp0", says=["attach rp0: the VM has a device of this id already"])
            self.attach_fails("--net=bridge=br0", "--bus=nowhere", says=["device_add", "Bus 'nowhere' not found"])
            self.attach_fails("--net=bridge=br0,name=1st", says=["attach 1st: ", "--id="])
            self.detach_fails("tap9", says=["tapferry: detach tap9: the VM has no such NIC"])
            self.detach_fails("rp0", says=["tapferry: detach rp0: it is a device that tapferry did not attach"])
            self.assert_fds(fds)
            self.assert_nothing_left()
            self.attach("--net=bridge=br0", "--id=twice")
            self.attach_fails("--net=bridge=br0", "--id=twice",
                              says=["attach twice: the VM has a device of this id already", "tapferry detach"])
            self.detach_fails("n1", says=["detach n1: it is the netdev of /machine/peripheral/own, "])
            self.attach_fails("--net=bridge=br0", "--id=n1", says=["attach n1: ", "Duplicate ID", "--id="])
            yield "ping1"
            self.detach("twice")
            self.assert_nothing_left()
            done = self.tapferry("attach", f"--qmp={self.socket}", helper, "--net=bridge=br0", "--id=words")
            self.assertRegex(done.stdout, r"\Awords: bridge on br0, interface tap\d+, MAC 52:54:00(:\w\w){3}, 1 queue, "
                                          r"plugged into rp\d\n\Z")

        network = [*self.network(3), "-netdev", "hubport,hubid=0,id=n1", "-device", "virtio-net-pci,netdev=n1,id=own,romfile="]
        outcome = self.boot("7.2", "ip link set eth0 name own\npings 1\n", steps(), network=network)
        self.assert_ended_well(outcome, ping1="1/1")

    def test_of_a_guest_that_does_not_let_go(self):
        """Its driver has never been there, nor its kernel: QEMU is stopped."""
        def steps():
            qmp = qmp_client.Qmp(self.socket)
            qmp.do("stop")
            qmp.close()
            self.attach("--net=bridge=br0", "--id=held")
            self.detach_fails("--timeout=2", "held", says=["tapferry: detach held: the guest has not let go of it within 2 s"])
            self.detach_fails("--timeout=2", "held", says=["the guest has not let go of it within 2 s"])
            qmp = qmp_client.Qmp(self.socket)
            qmp.do("cont")
            qmp.close()
            self.detach("held")
            self.assert_nothing_left()
            yield "waits"

        self.assert_ended_well(self.boot("7.2", "", steps()))


class WhatAKilledAttachLeft(AttachCase):
    def test_is_taken_away_by_detach(self):
        """Killed before the device: QEMU has a netdev, and a descriptor that would be the next one's, until somebody takes
        them away."""
        self.addCleanup(lambda: [os.close(fd) for fd in self.fds])
        self.fds = [open_tap("left0"), open_tap("left1")]

        def steps():
            fds = self.qemu_fds()
            qmp = qmp_client.Qmp(self.socket)
            for number, fd in enumerate(self.fds):
                qmp.send_fd(f"nic-tap{number}", fd)
            qmp.do("netdev_add", type="tap", id="nic", fd="nic-tap0", vhost=False)
            qmp.send_fd("nic-tap0", self.fds[1])
            qmp.close()
            while self.fds:
                os.close(self.fds.pop())
            self.assertEqual(len(links.taps()), 2)
            self.detach("nic")
            self.assert_fds(fds)
            self.assert_nothing_left()
            self.detach_fails("nic", says=["the VM has no such NIC"])
            yield "waits"

        self.assert_ended_well(self.boot("7.2", "", steps()))


class Page(AttachCase):
    """docs/howto/hot-plug.md."""

    def test_commands_work_as_they_stand(self):
        attach, detach = (line.replace("vm.qmp", self.socket).split()[1:]
                          for line in code_blocks("docs/howto/hot-plug.md", "")[0].splitlines())

        def steps():
            for words in ([*attach, f"--helper={self.helper}"], detach):
                done = self.tapferry(*words)
                self.assertEqual((done.returncode, done.stderr), (0, ""), words)
                if words is not detach:
                    yield "ping1"
            self.assert_nothing_left()

        self.assert_ended_well(self.boot("7.2", self.script, steps(), smp=2), ping1="1/1", queues="2")

    script = OneNic.script


class OverAndOver(AttachCase):
    def check(self, version, rounds):
        start = time.monotonic()

        def steps():
            fds = self.qemu_fds()
            for number in range(rounds):
                nic, = self.attach("--net=bridge=br0")
                self.assertEqual(nic["id"], nic["ifname"])
                yield f"ping{number}"
                self.detach(nic["id"])
                self.assert_fds(fds)
                self.assert_nothing_left()
            yield "waits"

        script = f"for n in $(seq 0 {rounds - 1}); do pings $n; done\n"
        outcome = self.boot(version, script, steps(), timeout_s=400)
        self.assert_ended_well(outcome, **{f"ping{number}": "1/1" for number in range(rounds)})
        note(f"QEMU {version}: {rounds} times attached, pinged and detached in {time.monotonic() - start:.0f} s")

    def test_a_hundred_times_with_qemu_7_2(self):
        self.check("7.2", ROUNDS)

    def test_twenty_times_with_qemu_10(self):
        self.check("10.0", 20)


if __name__ == "__main__":
    unittest.main()
