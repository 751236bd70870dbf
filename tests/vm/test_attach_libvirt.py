# SPDX-License-Identifier: MIT
"""NICs that are plugged into a running libvirt domain and taken out again: `tapferry attach --domain` and `detach`, in session
mode, with real libvirts of two versions."""
import contextlib
import json
import os
import unittest

import guest
import libvirt
import links
import processes
import sandbox
from attach_case import WAIT, WATCH_FOR_NICS
from vm_case import VmCase, installed_command, installed_helper

TIMEOUT = 600
ROUNDS = 10
SCRIPT = WATCH_FOR_NICS + f"for n in $(seq 0 {ROUNDS}); do pings $n; done\n" + WAIT


class LibvirtCase(VmCase):
    def setUp(self):
        super().setUp()
        self.helper, self.command = installed_helper(self.box), installed_command(self.box)
        self.box.install(os.path.join(sandbox.BUILD, "tapferry-libvirt"))
        self.box.policy("allow bridge=br0 user=alice queues=2 name=*")
        self.before = links.snapshot()

    def session(self, version):
        try:
            session = libvirt.Session(self.box, "alice", version, self.stage, self.helper)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error
        return session

    @contextlib.contextmanager
    def domain(self, version, script=SCRIPT, ports=1, qemu="7.2", **how):
        """A running domain whose guest is ready."""
        with self.session(version) as self.libvirt:
            domain = self.libvirt.domain("vm1", script, [], self.libvirt.emulator(self.qemu(qemu)), spare_ports=ports, **how)
            domain.define()
            domain.start()
            domain.wait_for("ready")
            yield domain
            if domain.state() == "running":
                domain.destroy()
            domain.undefine()
        self.assert_nothing_left()

    def tapferry(self, *words, domain="vm1"):
        return self.box.run([self.command, words[0], f"--domain={domain}", "--connect=qemu:///session", *words[1:]], "alice",
                            timeout=120, env=self.libvirt.environment)

    def attach(self, *words):
        done = self.tapferry("attach", f"--helper={self.helper}", "--json", *words)
        self.assertEqual((done.returncode, done.stderr), (0, ""), f"{done}{self.libvirt.log()}")
        return json.loads(done.stdout)["nics"]

    def detach(self, *ids):
        done = self.tapferry("detach", *ids)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), f"{done}{self.libvirt.log()}")

    def fails(self, *words, says, **options):
        done = self.tapferry(*words, **options)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done)
        self.assertIn(says, done.stderr)

    def fds(self, domain):
        return sorted(what.partition(":")[0] for what in processes.descriptors(domain.pid()).values())

    def assert_fds(self, domain, before):
        self.assertTrue(sandbox.eventually(lambda: self.fds(domain) == before, 10), f"{self.fds(domain)}, was {before}")

    def assert_nothing_left(self):
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == self.before, 10), links.snapshot())
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry"), 10), processes.named("tapferry"))


class RunningDomain(LibvirtCase):
    def check(self, version, rounds):
        with self.domain(version) as domain:
            fds = self.fds(domain)
            for number in range(rounds):
                nic, = self.attach("--net=bridge=br0,queues=2")
                self.assertEqual(domain.wait_for(f"ping{number}"), "1/1", domain)
                self.detach(nic["id"])
                self.assert_fds(domain, fds)
                self.assert_nothing_left()

    def test_of_libvirt_9_gets_and_loses_a_nic(self):
        self.check("9.0", ROUNDS)

    def test_of_libvirt_11_gets_and_loses_a_nic(self):
        self.check("11.3", 3)

    def test_gets_and_loses_one_over_vhost_user(self):
        vhost = self.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        with self.domain("9.0", shared_memory=True) as domain:
            fds = self.fds(domain)
            for number in range(2):
                self.attach("--vhost-user", "--net=bridge=br0", "--id=served")
                self.assertEqual(domain.wait_for(f"ping{number}"), "1/1", domain)
                self.assertEqual(len(processes.of_program(vhost)), 1)
                self.detach("served")
                self.assert_fds(domain, fds)
                self.assert_nothing_left()
            self.attach("--vhost-user", "--net=bridge=br0", "--id=served")
            domain.destroy()
            self.assert_nothing_left()

    def test_whose_end_comes_first_takes_the_nic_along(self):
        with self.domain("9.0") as domain:
            self.attach("--net=bridge=br0", "--id=plugged")
            domain.wait_for("ping0")
            domain.destroy()
            self.assert_nothing_left()


class Refusals(LibvirtCase):
    def test_name_the_domain_or_the_nic(self):
        with self.domain("9.0", ports=1) as domain:
            fds = self.fds(domain)
            net = [f"--helper={self.helper}", "--net=bridge=br0"]
            self.fails("attach", *net, domain="vm2", says="tapferry: find domain vm2: Domain not found")
            self.fails("attach", *net, "--net=bridge=br0", "--id=a", "--id=b", says="attach b: have QEMU do device_add")
            self.fails("attach", *net, "--bus=nowhere", says="Bus 'nowhere' not found (GenericError)")
            self.fails("attach", f"--helper={self.helper}", "--net=bridge=br9", says="tapferry-helper: ")
            self.fails("detach", "nothing", says="tapferry: detach nothing: the VM has no such NIC")
            self.assert_fds(domain, fds)
            self.assert_nothing_left()
            domain.destroy()
            self.fails("attach", *net, says="tapferry: attach to domain vm1: it doesn't run")

    def test_of_a_libvirt_that_is_not_there_say_so(self):
        done = self.box.run([self.command, "attach", "--domain=vm1", "--connect=qemu+unix:///session?socket=/nowhere",
                             f"--helper={self.helper}", "--net=bridge=br0"], "alice", timeout=120)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done)
        self.assertIn("tapferry: connect to qemu+unix:///session", done.stderr)


if __name__ == "__main__":
    unittest.main()
