# SPDX-License-Identifier: MIT
"""The types of <interface> that a libvirt in session mode can have of us, just as `tapferry libvirt-xml` prints them, under
both versions: the guest is on its network, and nothing is left. (vhostuser is in test_libvirt_vhost_user.py.)"""
import contextlib
import os
import re
import stat

import guest
import links
import sandbox
from libvirt_case import STAY, TypesCase
from sandbox import ip

TIMEOUT = 900


class Bridge(TypesCase):
    def check(self, version):
        before = links.snapshot()
        with self.session(version) as session:
            self.check_guest(session, self.element("bridge=br0"))
        self.assert_nothing_left(before)

    def test_libvirt_9(self):
        self.check("9.0")

    def test_libvirt_11(self):
        self.check("11.3")


class AttachedByVirsh(TypesCase):
    """`virsh attach-device` with what libvirt-xml prints, as its help says: for the next start, and into a running guest."""

    AWAIT_NIC = "result waits yes\nuntil [ -e /sys/class/net/eth0 ]; do usleep 100000; done\n"
    AWAIT_NO_NIC = "while [ -e /sys/class/net/eth0 ]; do usleep 100000; done\n"

    def check(self, version):
        before = links.snapshot()
        with self.session(version) as session:
            nic = self.box.write(f"{session.folder}/nic.xml", self.element("bridge=br0"))
            script = self.AWAIT_NIC + guest.REACH_HOST + "result done yes\n" + self.AWAIT_NO_NIC + STAY
            domain = session.domain("vm1", script, [], self.emulator(session), spare_ports=2)
            domain.define()
            domain.start()
            domain.wait_for("waits")
            session.must("attach-device", "vm1", nic, "--live")
            domain.wait_for("done")
            self.assert_pings(domain)
            session.must("detach-device", "vm1", nic, "--live")
            domain.wait_for("up")
            self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before), "the tap goes with the NIC")
            domain.destroy()
            session.must("attach-device", "vm1", nic, "--config")
            domain.start()
            self.assertEqual(len(links.of_kind("tun")), 1)
            domain.destroy()
        self.assert_nothing_left(before)

    def test_libvirt_9(self):
        self.check("9.0")

    def test_libvirt_11(self):
        self.check("11.3")


class Ethernet(TypesCase):
    """On interfaces that the administrator has made for alice."""

    def check_taps(self, version):
        for name, more in (("vm-1", ()), ("vm-2", ("multi_queue",))):
            ip("tuntap", "add", "dev", name, "mode", "tap", "user", "alice", *more)
            ip("link", "set", name, "master", "br0", "up")
        before = links.snapshot()
        with self.session(version) as session:
            self.check_guest(session, self.element("tap=vm-1"))
            self.check_guest(session, self.element("tap=vm-2,queues=2"), queues=2)
            ip("link", "set", "br0", "mtu", "1400")
            ip("link", "set", "vm-1", "mtu", "1400")
            self.check_guest(session, self.element("tap=vm-1"), mtu=1400)
            ip("link", "set", "vm-1", "mtu", "1500")
            ip("link", "set", "br0", "mtu", "1500")
        self.assert_nothing_left(before)

    def test_taps_with_libvirt_9(self):
        self.check_taps("9.0")

    def test_taps_with_libvirt_11(self):
        self.check_taps("11.3")

    def check_macvtap(self, version):
        ip("addr", "flush", "dev", "br0")
        self.box.veth("v0", "v1")
        ip("addr", "add", f"{guest.HOST_ADDRESS}/24", "dev", "v1")
        ip("link", "add", "link", "v0", "name", "mv0", "type", "macvtap", "mode", "bridge")
        ip("link", "set", "mv0", "up")
        with self.node_of("mv0"):
            before = links.snapshot()
            with self.session(version) as session:
                self.check_guest(session, self.element("device=mv0"))
                self.check_guest(session, self.element(f"device={links.get('mv0').index},queues=2"), queues=2)
            self.assert_nothing_left(before)

    def test_macvtap_with_libvirt_9(self):
        self.check_macvtap("9.0")

    def test_macvtap_with_libvirt_11(self):
        self.check_macvtap("11.3")

    @contextlib.contextmanager
    def node_of(self, name):
        """The node that a host's kernel and udev make, here by hand, given to alice."""
        index = links.get(name).index
        with open(f"/sys/class/net/{name}/tap{index}/dev", encoding="ascii") as file:
            device = os.makedev(*map(int, file.read().split(":")))
        node = f"/dev/tap{index}"
        os.mknod(node, stat.S_IFCHR | 0o600, device)
        os.chown(node, self.alice.uid, self.alice.gid)
        try:
            yield
        finally:
            os.unlink(node)

    def test_what_libvirt_may_not_open_is_said_before(self):
        ip("tuntap", "add", "dev", "vm-1", "mode", "tap", "user", "bob")
        self.element("tap=vm-1", notes=["vm-1 belongs to uid"])
        ip("tuntap", "add", "dev", "vm-2", "mode", "tap", "user", "alice")
        self.box.tun_mode(0o600)
        self.addCleanup(self.box.tun_mode, 0o666)
        element = self.element("tap=vm-2", notes=["open /dev/net/tun: Permission denied; libvirt opens it as you"])
        with self.session("9.0") as session:
            domain = session.domain("vm1", "", [element], self.emulator(session))
            domain.define()
            self.assertIn("Unable to open /dev/net/tun", session.virsh("start", "vm1").stderr)


class Persistent(TypesCase):
    """type='ethernet' on taps that the helper made for alice, who has no privilege in all of it."""

    def check(self, version):
        before = links.snapshot()
        specs = {1: "bridge=br0,name=vm-1,persist=on", 2: "bridge=br0,name=vm-2,queues=2,mtu=1400,persist=on"}
        with self.session(version) as session:
            for queues, spec in specs.items():
                name = f"vm-{queues}"
                mtu = 1500 if queues == 1 else 1400
                announced = self.element(spec, notes=[f"{name} isn't there yet: tapferry probe '--net={spec}'"])
                self.tapferry("probe", f"--net={spec}", f"--helper={self.helper}")
                element = self.element(spec)
                self.assertEqual(*(re.sub("<mac .*>", "", text) for text in (announced, element)))
                # Twice: it outlives a domain.
                for _ in range(3 - queues):
                    self.check_guest(session, element, queues=queues, mtu=mtu)
                self.assertEqual(links.get(name).master, "br0")
                self.tapferry("release", name, f"--helper={self.helper}")
        self.assert_nothing_left(before)

    def test_libvirt_9(self):
        self.check("9.0")

    def test_libvirt_11(self):
        self.check("11.3")


class PersistentMacvtap(TypesCase):
    """type='ethernet' on a macvtap that the helper made for alice, by the name that her libvirt opens."""

    def setUp(self):
        super().setUp()
        ip("addr", "flush", "dev", "br0")
        self.box.veth("v0", "v1")
        ip("addr", "add", f"{guest.HOST_ADDRESS}/24", "dev", "v1")
        self.box.policy("allow macvtap=v0 user=alice queues=2 name=vm-* persist=on")

    def check(self, version):
        before = links.snapshot()
        spec = "macvtap=v0,name=vm-1,queues=2,persist=on"
        with self.session(version) as session:
            done = self.box.run([self.command, "libvirt-xml", f"--net={spec}"])
            self.assertIn("or make it first: tapferry probe", done.stderr)
            self.tapferry("probe", f"--net={spec}", f"--helper={self.helper}")
            made = links.get("vm-1")
            element = self.element(spec)
            self.assertIn(f"<mac address='{made.mac}'/>", element)
            # It outlives a domain, however that ends.
            domain = session.domain("vm1", guest.REACH_HOST + STAY, [element], self.emulator(session), smp=2)
            domain.define()
            domain.start()
            domain.wait_for("up")
            self.assert_pings(domain)
            domain.destroy()
            domain.undefine()
            self.assertEqual((links.get("vm-1").index, links.get("vm-1").alias), (made.index, made.alias))
            self.check_guest(session, element, queues=2)
            self.tapferry("release", "vm-1", f"--helper={self.helper}")
        self.assertFalse(os.path.exists(f"/dev/tap{made.index}"))
        self.assert_nothing_left(before)

    def test_libvirt_9(self):
        self.check("9.0")

    def test_libvirt_11(self):
        self.check("11.3")
