# SPDX-License-Identifier: MIT
"""The keeper of a port of Open vSwitch as a process, and what the tools show of such a port."""
import json
import os
import pwd
import signal
import subprocess
import unittest

import open_vswitch
import ovs_case
import sandbox
from broker_case import BROKER, BrokerCase, need_broker
from command_case import CommandCase, need_command
from test_stages import DAC_OVERRIDE, filter_mode, state_of, table

TIMEOUT = 600


def setUpModule():
    need_command()
    need_broker()
    open_vswitch.need_open_vswitch()


class OutOfReach(ovs_case.OvsCase):
    """The keeper, and what it starts."""

    def test_the_caller_cannot_signal_it(self):
        self.granted("bridge=ovs:br-int")
        pid, = self.keepers()
        done = self.box.run(["kill", "-9", str(pid)])
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.keepers(), [pid])

    def test_it_has_no_more_than_it_needs(self):
        self.granted("bridge=ovs:br-int")
        pid, = self.keepers()
        state = state_of(pid)
        row = ["T T T T", "DAC_OVERRIDE", "none", "empty", "1", "filter"]
        self.assertEqual(table("setuid")["keeper"], row, "what follows is about this")
        uid = pwd.getpwnam(sandbox.WARDEN_USER).pw_uid
        self.assertEqual((state.uids, state.groups), ((uid,) * 4, ()))
        self.assertEqual((state.permitted, state.effective, state.bounding), (DAC_OVERRIDE, 0, 0))
        self.assertEqual((state.inheritable, state.ambient), (DAC_OVERRIDE, DAC_OVERRIDE), "for ovs-vsctl")
        self.assertEqual((state.no_new_privs, state.seccomp), (1, filter_mode("filter")))
        self.assertEqual((state.cwd, state.owner), ("/", 0))
        self.assertNotEqual(state.session[1], os.getsid(0))
        what = set(state.descriptors.values())
        self.assertTrue(all(one == "/dev/null" or one.startswith("socket:") for one in what), what)

    def test_nothing_that_the_caller_chose_reaches_ovs_vsctl(self):
        """Its environment, its directory and its descriptors."""
        spy = self.box.write(f"{sandbox.BASE}/bin/spy", "#!/bin/sh\n{ env; pwd; ls -l /proc/$$/fd; echo \"$@\"; } >>"
                             f"{sandbox.BASE}/tmp/spied\nexec {sandbox.BASE}/bin/real-vsctl \"$@\"\n", mode=0o755)
        self.box.install("/usr/bin/ovs-vsctl", "real-vsctl")
        reading, writing = os.pipe()
        sandbox.mount(spy, "/usr/bin/ovs-vsctl", flags=sandbox.MS_BIND)
        try:
            got = self.granted("bridge=ovs:br-int", env={"OVS_RUNDIR": "/tmp/alices", "LD_PRELOAD": "/tmp/alices.so"},
                               cwd=self.box.users["alice"].home, pass_fds=[writing])
            got.close()
            self.assertPortGone(got.link.name)
        finally:
            sandbox.eventually(lambda: not self.keepers(), 20)
            sandbox.umount("/usr/bin/ovs-vsctl")
            os.close(reading)
            os.close(writing)
        with open(f"{sandbox.BASE}/tmp/spied", encoding="utf-8") as file:
            spied = file.read()
        self.assertNotIn("alice", spied)
        self.assertIn("\n/\n", spied)
        self.assertNotIn(f"{writing} -> pipe", spied.replace("1 -> pipe", "").replace("2 -> pipe", ""))


class ByBroker(BrokerCase, ovs_case.OvsCase):
    """By way of tapferryd, whose helper has no setuid bit."""

    def test_a_port_comes_and_goes_and_outlives_the_daemon(self):
        self.box.policy(ovs_case.OvsCase.RULE)
        got = self.open("bridge=ovs:br-int,iface_id=vm-1")
        name = got.grant["ifname"]
        self.assertEqual((self.ports(), got.grant["upper"]), ([name], "ovs:br-int"))
        keeper, = self.keepers()
        self.stop_daemon()
        self.assertEqual(self.keepers(), [keeper])
        got.close()
        self.assertPortGone(name)

    def test_refusals_are_the_helpers(self):
        self.box.policy(ovs_case.OvsCase.RULE)
        error = self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", net="bridge=ovs:br-int,iface_id=db-1")
        self.assertIn("access denied", error.message)
        self.assertEqual(self.ports(), [])


class Tools(ovs_case.OvsCase, CommandCase):

    def test_a_guest_answers_through_the_switch(self):
        proc = self.box.popen([self.command, "probe", "--net=bridge=ovs:br-int,iface_id=vm-1", "--echo=192.0.2.7"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(proc.stdout.close)
        try:
            ping = ["ping", "-c1", "-W1", "192.0.2.7"]
            answered = sandbox.eventually(
                lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, 30)
        finally:
            proc.send_signal(signal.SIGINT)
            proc.wait(30)
        self.assertTrue(answered, proc.stdout.read())

    def test_probe_finds_all_right(self):
        done = self.tapferry("probe", "--net=bridge=ovs:br-int,queues=2")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_status_names_the_bridge(self):
        with self.granted("bridge=ovs:br-int"):
            found, = json.loads(self.tapferry("status", "--json", user="root").stdout)["interfaces"]
            self.assertEqual((found["kind"], found["upper"]), ("bridge", "ovs:br-int"))

    def test_explain_names_the_rule(self):
        done = self.tapferry("explain", "--net=bridge=ovs:br-int,iface_id=vm-1")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("no bridge", done.stdout)
        self.assertEqual(self.tapferry("explain", "--net=bridge=ovs:br-int,iface_id=db-1").returncode, 1)
        self.box.policy("allow bridge=*")
        self.assertIn("needs bridge=ovs: in the rule", self.tapferry("explain", "--net=bridge=ovs:br-int").stdout)

    def test_libvirt_xml_says_what_libvirt_has_for_it(self):
        done = self.tapferry("libvirt-xml", "--net=bridge=ovs:br-int,iface_id=vm-1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("<virtualport type='openvswitch'><parameters interfaceid='vm-1'/></virtualport>", done.stderr)


if __name__ == "__main__":
    unittest.main()
