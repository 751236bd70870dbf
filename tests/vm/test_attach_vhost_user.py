# SPDX-License-Identifier: MIT
"""`tapferry attach --vhost-user`: the NIC's backend outlives the command, and ends with the NIC or with the VM."""
import os
import unittest

import processes
import sandbox
from attach_case import AttachCase

SHARED = ["-object", "memory-backend-memfd,id=mem,share=on,size=256M", "-machine", "memory-backend=mem"]


class VhostUser(AttachCase):
    def setUp(self):
        super().setUp()
        self.vhost = self.box.install(os.path.join(sandbox.BUILD, "tapferry-vhost"))
        self.runtime = f"{sandbox.BASE}/runtime"
        os.makedirs(self.runtime, mode=0o755, exist_ok=True)
        os.chown(self.runtime, self.alice.uid, self.alice.gid)

    def attach(self, *words, **options):
        return super().attach("--vhost-user", *words, env={"XDG_RUNTIME_DIR": self.runtime}, **options)

    def backends(self):
        return processes.of_program(self.vhost)

    def assert_nothing_left(self):
        super().assert_nothing_left()
        self.assertEqual(os.listdir(self.runtime), [])

    def check(self, version, queues):
        def steps():
            fds = self.qemu_fds()
            for number in (1, 2, 3):
                nic, = self.attach(f"--net=bridge=br0,queues={queues}")
                self.assertTrue(nic["vhost_user"])
                backend, = self.backends()
                yield f"ping{number}"
                self.assertEqual(self.backends(), [backend])
                self.detach(nic["id"])
                self.assert_fds(fds)
                self.assert_nothing_left()
            yield "waits"

        script = "for n in 1 2 3; do pings $n 60000; done\n"
        outcome = self.boot(version, script, steps(), network=[*self.network(), *SHARED], smp=queues)
        self.assert_ended_well(outcome, ping1="1/1", ping2="1/1", ping3="1/1")

    def test_with_qemu_7_2(self):
        self.check("7.2", 1)

    def test_with_qemu_10(self):
        self.check("10.0", 1)

    def test_with_two_queues(self):
        self.check("10.0", 2)

    def test_backend_that_dies_is_started_again(self):
        def steps():
            self.attach("--net=bridge=br0", "--id=served")
            yield "first"
            first, = self.backends()
            processes.kill_and_wait(first)
            self.assertTrue(sandbox.eventually(lambda: self.backends() not in ([], [first]), 10))
            log, = (os.path.join(folder, name) for folder, _, names in os.walk(self.runtime) for name in names
                    if name == "log")
            with open(log, encoding="utf-8") as file:
                self.assertIn("it is started again", file.read())
            yield "second"
            self.detach("served")
            self.assert_nothing_left()

        script = """
        await 1
        ip addr add 192.0.2.2/24 dev eth0
        ip link set eth0 up
        reach first 192.0.2.1 64
        for i in $(seq 60); do sleep 1; ping -q -c 1 -W 1 192.0.2.1 >/dev/null && break; done
        reach second 192.0.2.1 64
        """
        outcome = self.boot("10.0", script, steps(), network=[*self.network(), *SHARED])
        self.assert_ended_well(outcome, first="3/3", second="3/3")

    def test_ends_with_the_vm(self):
        def steps():
            self.attach("--net=bridge=br0", "--net=bridge=br0")
            self.assertEqual(len(self.backends()), 2)
            yield "waits"
            processes.kill_and_wait(*self.qemus())
            self.assert_nothing_left()

        self.boot("7.2", "", steps(), network=[*self.network(2), *SHARED])

    def test_needs_memory_that_can_be_shared_and_a_backend(self):
        def steps():
            fds = self.qemu_fds()
            self.attach_fails("--vhost-user", "--net=bridge=br0", says=["its guest's memory can't be shared", "share=on"])
            self.assert_fds(fds)
            self.assert_nothing_left()
            yield "waits"

        self.boot("7.2", "", steps())

    def test_is_taken_back_where_qemu_can_not_reach_the_socket(self):
        """As its netdev would wait for ever, with the whole VM."""
        def steps():
            self.box.policy("allow bridge=br0 user=root")
            fds = self.qemu_fds()
            self.attach_fails("--vhost-user", "--net=bridge=br0", "--id=a", user="root", env={"XDG_RUNTIME_DIR": "/run"},
                              says=["attach a: have QEMU do chardev-add: ", "Permission denied", "the user that QEMU runs as"])
            self.assert_fds(fds)
            self.assert_nothing_left()
            yield "waits"

        self.boot("7.2", "", steps(), network=[*self.network(), *SHARED])

    def test_is_taken_back_where_there_is_no_room_or_no_backend(self):
        def steps():
            fds = self.qemu_fds()
            environment = {"XDG_RUNTIME_DIR": self.runtime}
            self.attach_fails("--vhost-user", "--net=bridge=br0", "--id=a", says=["attach a: ", "device_add"], env=environment)
            self.assert_fds(fds)
            self.assert_nothing_left()
            self.attach_fails("--vhost-user", "--net=bridge=br0", "--id=a", says=["tapferry-vhost: ", "it ended with status 1"],
                              env={**environment, "TAPFERRY_VHOST": "/bin/false"})
            self.assert_fds(fds)
            self.assert_nothing_left()
            yield "waits"

        self.boot("7.2", "", steps(), network=[*self.network(0), *SHARED])


if __name__ == "__main__":
    unittest.main()
