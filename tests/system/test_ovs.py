# SPDX-License-Identifier: MIT
"""bridge=ovs:BR with a real ovsdb-server and ovs-vswitchd: frames cross, and the port goes with the VM however it ends."""
import os
import signal
import subprocess
import unittest

import frames
import handover
import links
import open_vswitch
import ovs_case
import processes
import sandbox
from helper_case import need_helper

TIMEOUT = 600


def setUpModule():
    need_helper()
    open_vswitch.need_open_vswitch()


class Granted(ovs_case.OvsCase):

    def test_the_tap_is_a_port_of_the_bridge_and_says_whose(self):
        with self.granted("bridge=ovs:br-int,iface_id=vm-1") as got:
            name, uid = got.link.name, self.box.users["alice"].uid
            self.assertEqual(self.ports(), [name])
            self.assertEqual((got.record["kind"], got.record["upper"]), ("bridge", "ovs:br-int"))
            self.assertEqual(self.switch.value("Interface", name, "external_ids:iface-id"), "vm-1")
            self.assertEqual(self.switch.value("Interface", name, "ifindex"), str(got.link.index))
            tag = self.switch.value("Port", name, "external_ids:tapferry")
            self.assertRegex(tag, rf"\Abridge=br-int;ifindex={got.link.index};since=\d+;uid={uid}\Z")
            self.assertEqual(self.switch.value("Port", name, "other_config:transient"), "true")
            self.assertIn(" upper=ovs:br-int ", got.link.alias)
            self.assertTrue(got.link.mac.startswith("fe:"))
            self.assertTrue(got.eof, "nobody has the caller's socket")
        self.assertPortGone(name)

    def test_frames_cross_both_ways(self):
        alice = frames.tap_end(self.granted("bridge=ovs:br-int"))
        bob = frames.tap_end(self.granted("bridge=ovs:br-int", "bob"))
        self.assertTrue(frames.exchanged(alice, bob))

    def test_several_queues_a_name_and_an_mtu(self):
        with self.granted("bridge=ovs:br-int,queues=4,name=vm-7,mtu=1400") as got:
            self.assertEqual((len(got.taps), got.link.name, got.link.mtu), (4, "vm-7", 1400))
            self.assertEqual(self.ports(), ["vm-7"])
        self.assertPortGone("vm-7")

    def test_the_mtu_is_that_of_the_bridges_own_interface(self):
        self.switch.vsctl("set", "Interface", "br-int", "mtu_request=1442")
        self.assertTrue(sandbox.eventually(lambda: links.get("br-int").mtu == 1442, 20))
        self.assertEqual(self.granted("bridge=ovs:br-int").link.mtu, 1442)

    def test_each_port_is_by_itself(self):
        first, second = self.granted("bridge=ovs:br-int"), self.granted("bridge=ovs:br-int", "bob")
        self.assertEqual(len(self.keepers()), 2)
        first.close()
        self.assertPortGone(first.link.name)
        self.assertEqual(self.ports(), [second.link.name])

    def test_persist_keeps_the_port_until_the_tap_is_released(self):
        self.granted("bridge=ovs:br-int,persist=on,name=vm-8").close()
        self.assertEqual(self.ports(), ["vm-8"])
        done = self.box.run([self.helper, "--release=vm-8"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertPortGone("vm-8")

    def test_the_audit_line_is_that_of_any_other(self):
        with self.granted("bridge=ovs:br-int,iface_id=vm-1") as got:
            line, = self.box.syslog.lines()
            self.assertIn(f'request="bridge=ovs:br-int,iface_id=vm-1" result=granted interface="{got.link.name}"', line.text)


class Ends(ovs_case.OvsCase):
    """The port goes, whoever is killed."""

    def test_with_the_processes_that_hold_it(self):
        ours, theirs = handover.socket.socketpair()
        with ours, theirs:
            done = self.box.run([self.helper, "--net=bridge=ovs:br-int", f"--fd={theirs.fileno()}"],
                                pass_fds=[theirs.fileno()])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            _data, fds = handover.receive(ours)
            name = handover.inspect(fds[0]).name
            sleeper = subprocess.Popen(["sleep", "600"], pass_fds=fds)
            self.addCleanup(sleeper.wait)
            for fd in fds:
                os.close(fd)
        self.assertEqual(self.ports(), [name])
        sleeper.kill()
        self.assertPortGone(name)

    def test_with_a_tap_that_the_administrator_deletes(self):
        got = self.granted("bridge=ovs:br-int")
        sandbox.ip("link", "del", got.link.name)
        self.assertPortGone(got.link.name)

    def test_a_port_that_the_administrator_removed_is_no_trouble(self):
        got = self.granted("bridge=ovs:br-int")
        self.switch.vsctl("del-port", got.link.name)
        got.close()
        self.assertTrue(sandbox.eventually(lambda: not self.keepers(), 20))

    def test_nor_is_a_bridge(self):
        got = self.granted("bridge=ovs:br-int")
        self.switch.vsctl("del-br", "br-int")
        got.close()
        self.assertTrue(sandbox.eventually(lambda: not self.keepers(), 20))

    def test_a_keeper_that_was_killed_leaves_it_to_the_next_handover(self):
        got = self.granted("bridge=ovs:br-int")
        processes.kill_and_wait(*self.keepers())
        got.close()
        self.assertGone(got.link.name)
        self.assertEqual(self.ports(), [got.link.name])
        other = self.granted("bridge=ovs:br-int", "bob")
        self.assertEqual(self.ports(), [other.link.name])

    def test_or_to_the_next_of_the_same_name_and_iface_id(self):
        spec = "bridge=ovs:br-int,name=vm-1,iface_id=vm-1"
        got = self.granted(spec)
        processes.kill_and_wait(*self.keepers())
        got.close()
        self.assertGone("vm-1")
        again = self.granted(spec)
        self.assertEqual(self.ports(), ["vm-1"])
        self.assertEqual(self.switch.value("Interface", "vm-1", "ifindex"), str(again.link.index))

    def test_a_vm_that_is_started_anew_at_once_keeps_its_port(self):
        """The end of the first isn't the end of the second, which has its name."""
        got = self.granted("bridge=ovs:br-int,name=vm-1,iface_id=vm-1")
        for _ in range(5):
            got.close()
            got = self.granted("bridge=ovs:br-int,name=vm-1,iface_id=vm-1")
        self.assertTrue(sandbox.eventually(lambda: len(self.keepers()) == 1, 20))
        self.assertEqual(self.ports(), ["vm-1"])
        self.assertEqual(self.switch.value("Interface", "vm-1", "ifindex"), str(got.link.index))

    def test_a_keeper_that_comes_late_leaves_the_next_ones_port_alone(self):
        old = self.granted("bridge=ovs:br-int,name=vm-1,iface_id=vm-1")
        late, = self.keepers()
        os.kill(late, signal.SIGSTOP)
        self.addCleanup(processes.kill_and_wait, late)
        old.close()
        self.assertGone("vm-1")
        new = self.granted("bridge=ovs:br-int,name=vm-1,iface_id=vm-1")
        os.kill(late, signal.SIGCONT)
        self.assertTrue(sandbox.eventually(lambda: late not in self.keepers(), 20), "it has done its part")
        self.assertEqual(self.ports(), ["vm-1"])
        self.assertEqual(self.switch.value("Interface", "vm-1", "ifindex"), str(new.link.index))

    def test_a_database_that_is_away_is_waited_for(self):
        got = self.granted("bridge=ovs:br-int")
        self.switch.stop_database()
        got.close()
        self.assertGone(got.link.name)
        self.switch.start_database()
        self.assertPortGone(got.link.name, 60)

    def test_it_outlives_a_restart_of_the_switch(self):
        alice = self.granted("bridge=ovs:br-int")
        processes.kill_and_wait(self.switch.pid("ovs-vswitchd"))
        self.switch.start_daemon()
        self.switch.vsctl("wait-until", "Interface", alice.link.name, "ofport>0")
        self.assertEqual(self.ports(), [alice.link.name])


if __name__ == "__main__":
    unittest.main()
