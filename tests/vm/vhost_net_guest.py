# SPDX-License-Identifier: MIT
"""A guest whose frames vhost-net moves, for test_vhost_net.py, which runs this file in the emulated Debian host: its
kernel has the module, and here QEMU is emulated once more."""
import os
import re
import unittest

import guest
import links
import sandbox
from attach_case import AttachCase
from kernel_host import ALL_PROCESSES
from vm_case import VmCase, installed_command, installed_helper

TIMEOUT = 500  # times three there

# An emulated emulator does some ten million instructions a second. Time that passes by instructions (16 ns each) keeps
# the guest from being late for every tick of its timer, and so from doing nothing but that.
SLOW = ("-icount", "shift=4")


def setUpModule():
    if not os.path.isdir(ALL_PROCESSES):
        raise unittest.SkipTest("kernel: this one shows no threads of its own; test_vhost_net.py brings another")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def vhost_threads():
    """Owner's name and nanoseconds of CPU of each thread that moves frames (drivers/vhost/vhost.c: vhost-PID)."""
    found = []
    for entry in os.listdir(ALL_PROCESSES):
        try:
            match = re.fullmatch(r"vhost-(\d+)", read(f"{ALL_PROCESSES}/{entry}/comm"))
            if match:
                owner = read(f"{ALL_PROCESSES}/{match[1]}/comm")
                found.append((owner, int(read(f"{ALL_PROCESSES}/{entry}/schedstat").split()[0])))
        except OSError:
            pass  # no process, or gone meanwhile
    return found


class VhostNet(VmCase):
    def test_guest_pings_with_vhost_on(self):
        helper, command = installed_helper(self.box), installed_command(self.box)
        self.box.policy("allow bridge=br0 user=alice vhost=on")
        before, threads = links.snapshot(), {"before": vhost_threads()}
        prefix = [command, "run", "--net=bridge=br0,vhost=on", f"--helper={helper}", "--"]
        outcome = self.stage.boot(self.qemu("7.2"), guest.REACH_HOST, SLOW, user=self.alice, prefix=prefix,
                                  timeout_s=900, on_result=lambda key, _: threads.setdefault(key, vhost_threads()))
        self.assert_reached_host(outcome)
        self.assertEqual(outcome.stderr, "", "QEMU would say that it fell back on its own virtio")
        self.assertEqual(threads["before"], [])
        (owner, at_first), = threads["mac"]
        (_, at_last), = threads["ping60000"]
        self.assertEqual(owner, "qemu-system-x86")
        self.assertGreater(at_last, at_first, "the thread moved no frame")
        self.assertEqual((links.snapshot(), vhost_threads()), (before, []), "all goes with QEMU")


class Plugged(AttachCase):
    def test_guest_pings_over_a_nic_that_was_plugged_in(self):
        self.box.policy("allow bridge=br0 user=alice vhost=on")
        seen = {}

        def steps():
            seen["nic"], = self.attach("--net=bridge=br0,vhost=on", "--id=plugged")
            seen["plugged"] = [owner for owner, _ in vhost_threads()]
            yield "up"
            seen["at_first"] = [ns for _, ns in vhost_threads()]
            yield "ping1"
            seen["at_last"] = [ns for _, ns in vhost_threads()]
            self.detach("plugged")
            self.assertTrue(sandbox.eventually(lambda: not vhost_threads(), 30), "its thread goes with it")
            self.assert_nothing_left()

        script = f"""
        await 1
        ip addr add {guest.GUEST_ADDRESS}/24 dev eth0
        ip link set eth0 up
        result up yes
        reach ping1 {guest.HOST_ADDRESS} 60000 1
        await 0
        """
        outcome = self.boot("7.2", script, steps(), network=[*SLOW, *self.network()], timeout_s=900)
        self.assert_ended_well(outcome, ping1="1/1")
        self.assertEqual(outcome.stderr, "", "QEMU would say that it fell back on its own virtio")
        self.assertEqual((seen["nic"]["vhost"], seen["plugged"]), (1, ["qemu-system-x86"]))
        (first,), (last,) = seen["at_first"], seen["at_last"]
        self.assertGreater(last, first, "the thread moved no frame")


if __name__ == "__main__":
    unittest.main()
