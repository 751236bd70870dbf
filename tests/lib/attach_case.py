# SPDX-License-Identifier: MIT
"""The base of tests that plug NICs into a running guest: a QEMU with a QMP socket and free ports, and what is left of it all.

    def steps(self):                     a generator; each `yield KEY` waits until the guest has said RESULT KEY=...
        self.attach("--net=bridge=br0")
        value = yield "ping1"
    outcome = self.boot("7.2", script, self.steps())
"""
import json

import guest
import links
import processes
import qmp_client
import sandbox
from vm_case import VmCase, installed_command, installed_helper

# pings NUMBER: waits for a NIC, reaches the host over it, and waits until it is gone again.
WATCH_FOR_NICS = f"""
nics() {{ ls /sys/class/net | grep -c eth; }}
await() {{ for i in $(seq 1200); do [ "$(nics)" = "$1" ] && return; usleep 50000; done; result stuck "$(nics), not $1"; }}
pings() {{
  await 1
  dev=$(ls /sys/class/net | grep eth)
  ip addr add {guest.GUEST_ADDRESS}/24 dev $dev
  ip link set $dev up
  reach ping$1 {guest.HOST_ADDRESS} "${{2:-64}}" 1
  await 0
}}
result ready yes
"""
# Its end would come in the way of what is still to be done outside: that ends the guest.
WAIT = """
result waits yes
while :; do sleep 60; done
"""


class AttachCase(VmCase):
    def setUp(self):
        super().setUp()
        self.helper, self.command = installed_helper(self.box), installed_command(self.box)
        self.socket = f"{sandbox.BASE}/tmp/guest.qmp"
        self.box.policy("allow bridge=br0 user=alice queues=4 name=* mtu=9000",
                        "allow macvtap=v0 user=alice queues=2 name=*", "allow tap=* user=alice")
        self.before = links.snapshot()

    def network(self, ports=1):
        words = ["-qmp", f"unix:{self.socket},server=on,wait=off"]
        for number in range(ports):
            words += ["-device", f"pcie-root-port,id=rp{number},chassis={number + 1}"]
        return words

    def boot(self, version, script, steps, ports=1, network=None, **options):
        """Boots a guest that runs SCRIPT, while STEPS go on with each result that they wait for."""
        self.vmm = self.stage.reachable(self.qemu(version))
        failed = []
        awaited = []

        def go_on(value):
            if failed:
                return
            try:
                awaited[:] = [steps.send(value)]
            except StopIteration:
                awaited[:] = []
                self.quit()
            except Exception as error:  # to be raised again: it would be lost in the middle of the guest's run
                failed.append(error)
                awaited[:] = []
                processes.kill_and_wait(*self.qemus())

        def on_result(key, value):
            if not awaited and key == "ready":
                go_on(None)
            elif key in awaited:
                go_on(value)

        outcome = self.stage.boot(self.vmm, WATCH_FOR_NICS + script + WAIT, network or self.network(ports), user=self.alice,
                                  on_result=on_result, **options)
        if failed:
            raise AssertionError(f"{failed[0]}\n{outcome}") from failed[0]
        return outcome

    def quit(self):
        """The guest's end, unless it has ended."""
        if self.qemus():
            qmp = qmp_client.Qmp(self.socket)
            qmp.do("quit")
            qmp.close()

    def qemus(self):
        return [pid for pid, name in processes.named("qemu-system") if processes.is_running(pid)]

    def qemu_fds(self):
        """What QEMU has open."""
        pid, = self.qemus()
        return sorted(what.partition(":")[0] for what in processes.descriptors(pid).values())

    def assert_fds(self, before):
        """QEMU has what it had; it takes a moment until it has closed the connection of QMP."""
        self.assertTrue(sandbox.eventually(lambda: self.qemu_fds() == before, 10), f"{self.qemu_fds()}, was {before}")

    def tapferry(self, *words, user="alice", **options):
        return self.box.run([self.command, *words], user, timeout=120, **options)

    def attach(self, *words, **options):
        """The NICs that were attached, as --json has them."""
        done = self.tapferry("attach", f"--qmp={self.socket}", f"--helper={self.helper}", "--json", *words, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return json.loads(done.stdout)["nics"]

    def attach_fails(self, *words, says, **options):
        done = self.tapferry("attach", f"--qmp={self.socket}", f"--helper={self.helper}", *words, **options)
        self.assertEqual(done.returncode, 1, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done)
        for word in says:
            self.assertIn(word, done.stderr)

    def detach(self, *ids, **options):
        done = self.tapferry("detach", f"--qmp={self.socket}", *ids, **options)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""), done)

    def detach_fails(self, *words, says):
        done = self.tapferry("detach", f"--qmp={self.socket}", *words)
        self.assertEqual(done.returncode, 1, done)
        for word in says:
            self.assertIn(word, done.stderr)

    def assert_nothing_left(self):
        """No interface, and no process of ours, of which wardens take a moment to end."""
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == self.before, 10), (links.snapshot(), self.before))
        self.assertTrue(sandbox.eventually(lambda: not processes.named("tapferry"), 10), processes.named("tapferry"))

    def assert_ended_well(self, outcome, **results):
        self.assertEqual(outcome.status, 0, outcome)
        self.assertNotIn("stuck", outcome.results, outcome)
        for key, value in results.items():
            self.assertEqual(outcome.results.get(key), value, outcome)
