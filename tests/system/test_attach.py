# SPDX-License-Identifier: MIT
"""`tapferry attach` and `detach`: what QEMU is told, in which order, and what is taken back when QEMU says no, falls silent
or is gone. (tests/vm/test_attach.py has guests.)"""
import os
import signal
import stat
import subprocess
import unittest

import links
import sandbox
from command_case import CommandCase, need_command
from fake_qmp import FakeQmp

setUpModule = need_command

REFUSAL = {"error": {"class": "GenericError", "desc": "not today"}}
NOT_FOUND = {"error": {"class": "DeviceNotFound", "desc": "not found"}}


class Machine:
    """Answers as a QEMU with the free ports PORTS; `overrides` has the answers to some commands, or functions that give them."""

    def __init__(self, ports=("pci.1", "pci.9", "pci.10"), **overrides):
        self.ports, self.overrides = ports, overrides
        self.devices = []
        self.names = set()
        self.chardevs = set()

    def __call__(self, command):
        name, arguments = command["execute"], command.get("arguments", {})
        if name in self.overrides:
            answer = self.overrides[name]
            return answer(self, arguments) if callable(answer) else answer
        handler = getattr(self, name.replace("-", "_"), None)
        return handler(**arguments) if handler else [{"return": {}}]

    def qom_list(self, path):
        inside = {"/machine/peripheral": [(port, "child<pcie-root-port>") for port in self.ports] +
                                         [(name, "child<virtio-net-pci>") for name in self.devices]}
        for port in self.ports:
            inside[f"/machine/peripheral/{port}"] = [("type", "string"), (port, "child<PCIE>"), ("bus", "link<bus>")]
        found = inside.get(path, [("type", "string")])
        return [{"return": [{"name": name, "type": kind} for name, kind in found]}]

    def qom_get(self, path, property):
        name = path.rsplit("/", 1)[1]
        if property == "netdev" and name in self.devices:
            return [{"return": name}]
        return [{"return": True}] if property == "hotplug" and name in self.ports else [NOT_FOUND]

    def getfd(self, fdname):
        self.names.add(fdname)
        return [{"return": {}}]

    def closefd(self, fdname):
        if fdname not in self.names:
            return [NOT_FOUND]
        self.names.remove(fdname)
        return [{"return": {}}]

    def chardev_remove(self, id):
        if id not in self.chardevs:
            return [NOT_FOUND]
        self.chardevs.remove(id)
        return [{"return": {}}]

    def netdev_add(self, id, fd="", fds="", vhostfds="", **_):
        self.names -= set(f"{fd}:{fds}:{vhostfds}".split(":"))
        return [{"return": {}}]

    def device_add(self, id, **_):
        self.devices.append(id)
        return [{"return": {}}]

    def device_del(self, id):
        if id not in self.devices:
            return [NOT_FOUND]
        self.devices.remove(id)
        # Before the answer: that too has to be heard.
        return [{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/x"}},
                {"event": "DEVICE_DELETED", "data": {"device": id, "path": f"/machine/peripheral/{id}"}}, {"return": {}}]


class AttachCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 user=alice queues=4 name=*")
        self.socket = f"{sandbox.BASE}/tmp/qmp"
        self.before = links.snapshot()

    def qemu(self, *arguments, **overrides):
        self.machine = Machine(*arguments, **overrides)
        qemu = FakeQmp(self.socket, self.machine, owner=self.box.users["alice"])
        self.addCleanup(qemu.close)
        return qemu

    def arguments(self, *words):
        return ["attach", f"--qmp={self.socket}", f"--helper={self.helper}", *words]

    @staticmethod
    def told(qemu):
        """What QEMU was told to do, in short."""
        asked = [(command["execute"], command.get("arguments", {})) for command in qemu.commands]
        return [f"{name} {arguments.get('id', arguments.get('fdname', ''))}".strip() for name, arguments in asked
                if not name.startswith("qom-")]

    def assert_nothing_left(self, qemu):
        for fd in qemu.fds:
            os.close(fd)
        qemu.fds.clear()
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == self.before), links.snapshot())


class Attach(AttachCase):
    def test_tells_qemu_of_one_nic_after_the_other(self):
        qemu = self.qemu()
        done = self.succeeds(*self.arguments("--net=bridge=br0,queues=2", "--net=bridge=br0", "--id=a", "--id=b"))
        self.assertEqual(self.told(qemu), ["getfd a-tap0", "getfd a-tap1", "netdev_add a", "getfd b-tap0", "netdev_add b",
                                           "device_add a", "device_add b"])
        self.assertEqual([line.split(":")[0] for line in done.stdout.splitlines()], ["a", "b"])
        self.assertEqual(len(qemu.fds), 3)
        self.assertTrue(all(stat.S_ISCHR(os.fstat(fd).st_mode) for fd in qemu.fds))
        buses = [command["arguments"]["bus"] for command in qemu.commands if command["execute"] == "device_add"]
        self.assertEqual(buses, ["pci.10", "pci.9"], "from the last: libvirt takes the first")
        self.assert_nothing_left(qemu)

    def test_leaves_the_bus_to_a_machine_without_ports(self):
        qemu = self.qemu(())
        self.succeeds(*self.arguments("--net=bridge=br0"))
        self.assertNotIn("bus", qemu.commands[-1]["arguments"])

    def test_asks_for_nothing_where_there_is_no_qemu(self):
        self.fails(*self.arguments("--net=bridge=br0"), says="connect to QEMU at")
        self.assertEqual(self.box.syslog.lines(), [])

    def test_tells_qemu_nothing_when_an_interface_is_refused(self):
        qemu = self.qemu()
        self.fails(*self.arguments("--net=bridge=br0", "--net=bridge=br1"), says="tapferry-helper: ")
        self.assertEqual(self.told(qemu), [])
        self.assert_nothing_left(qemu)

    def test_needs_what_it_can_not_guess(self):
        for words in ([], ["--qmp=/x"], ["--net=bridge=br0"], ["--qmp=/x", "--net=nonsense"],
                      ["--qmp=/x", "--net=bridge=br0", "--id=a", "--id=b"], ["--qmp=/x", "--net=bridge=br0", "--id=9"],
                      ["--qmp=/x", "--net=tap", "--net=tap", "--id=a", "--id=a"],
                      ["--qmp=/x", "--net=tap", "--bus=a", "--bus=b"]):
            with self.subTest(words):
                self.fails("attach", *words, status=2)
        for words in ([], ["--qmp=/x"], ["a"], ["--qmp=/x", "a b"], ["--qmp=/x", "a", "--timeout=0"]):
            with self.subTest(words):
                self.fails("detach", *words, status=2)


class TakenBack(AttachCase):
    """Whatever step fails, those before it are undone in the opposite order, and the error names the NIC."""

    def check(self, told, overrides, says="attach a: have QEMU do", **options):
        qemu = self.qemu(**overrides)
        self.fails(*self.arguments("--net=bridge=br0", "--net=bridge=br0", "--id=a", "--id=b"), says=says, **options)
        self.assertEqual(self.told(qemu), told)
        self.assertEqual((self.machine.names, self.machine.devices), (set(), []))
        self.assert_nothing_left(qemu)

    def test_a_descriptor(self):
        self.check(["getfd a-tap0"], {"getfd": [REFUSAL]})

    def test_a_netdev(self):
        self.check(["getfd a-tap0", "netdev_add a", "closefd a-tap0"], {"netdev_add": [REFUSAL]})

    def test_a_device(self):
        self.check(["getfd a-tap0", "netdev_add a", "getfd b-tap0", "netdev_add b", "device_add a", "netdev_del b",
                    "closefd b-tap0", "netdev_del a", "closefd a-tap0"], {"device_add": [REFUSAL]})

    def test_the_second_device(self):
        def device_add(machine, arguments):
            return [REFUSAL] if arguments["id"] == "b" else machine.device_add(**arguments)
        self.check(["getfd a-tap0", "netdev_add a", "getfd b-tap0", "netdev_add b", "device_add a", "device_add b",
                    "device_del a", "netdev_del b", "closefd b-tap0", "netdev_del a", "closefd a-tap0"],
                   {"device_add": device_add}, says="attach b: have QEMU do device_add: not today (GenericError)")

    def test_a_guest_that_keeps_the_first_device_is_named(self):
        def device_add(machine, arguments):
            return [REFUSAL] if arguments["id"] == "b" else machine.device_add(**arguments)
        refuses = [{"return": {}}, {"event": "DEVICE_UNPLUG_GUEST_ERROR", "data": {"device": "a", "path": ""}}]
        self.qemu(device_add=device_add, device_del=refuses)
        self.fails(*self.arguments("--net=bridge=br0", "--net=bridge=br0", "--id=a", "--id=b"),
                   says="(then: detach a: the guest refuses to let go of it)")

    def test_nothing_of_a_qemu_that_dies(self):
        for command in ("getfd", "netdev_add", "device_add"):
            with self.subTest(command):
                qemu = self.qemu(**{command: None})
                self.fails(*self.arguments("--net=bridge=br0", "--id=a"), says="attach a: talk to QEMU at")
                self.assert_nothing_left(qemu)
                self.doCleanups()

    def test_all_when_a_signal_comes(self):
        """It comes while QEMU makes the netdev; the step that has begun is finished first."""
        def netdev_add(machine, arguments):
            self.process.send_signal(signal.SIGTERM)
            return machine.netdev_add(**arguments)
        qemu = self.qemu(netdev_add=netdev_add)
        self.process = self.box.popen([self.command, *self.arguments("--net=bridge=br0", "--id=a")],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        _, stderr = self.process.communicate(timeout=30)
        self.assertEqual((self.process.returncode, stderr), (1, "tapferry: attach a: Interrupted system call\n"))
        self.assertEqual(self.told(qemu), ["getfd a-tap0", "netdev_add a", "netdev_del a", "closefd a-tap0"])
        self.assert_nothing_left(qemu)


class Detach(AttachCase):
    def detach(self, *words):
        return ["detach", f"--qmp={self.socket}", *words]

    def test_hears_of_the_end_before_the_answer_too(self):
        qemu = self.qemu()
        self.machine.devices = ["a", "b"]
        self.succeeds(*self.detach("a", "b"))
        self.assertEqual(self.told(qemu), [words for id in "ab" for words in (
            f"device_del {id}", f"netdev_del {id}", f"chardev-remove {id}-socket", f"closefd {id}-lifeline",
            f"closefd {id}-tap0", f"closefd {id}-vhost0")])

    def test_goes_on_waiting_where_the_guest_was_asked_before(self):
        deleted = {"event": "DEVICE_DELETED", "data": {"device": "a", "path": ""}}
        busy = {"error": {"class": "GenericError", "desc": "Device a is already in the process of unplug"}}
        self.qemu(device_del=[busy, deleted])
        self.machine.devices = ["a"]
        self.succeeds(*self.detach("a"))

    def test_takes_away_what_a_killed_attach_left(self):
        """SIGKILL while QEMU holds two descriptors by their names: QEMU keeps them until somebody takes them away."""
        def third(machine, arguments):
            if arguments["fdname"].endswith("2"):
                self.process.kill()
                self.process.wait()
                return [{"return": {}}]
            return machine.getfd(**arguments)
        self.qemu(getfd=third)
        self.process = self.box.popen([self.command, *self.arguments("--net=bridge=br0,queues=4", "--id=a")],
                                      stderr=subprocess.PIPE, text=True)
        self.process.communicate(timeout=30)
        self.assertEqual(self.machine.names, {"a-tap0", "a-tap1"})
        names = self.machine.names
        self.doCleanups()
        self.qemu(netdev_del=[NOT_FOUND])
        self.machine.names = names
        self.succeeds(*self.detach("a"))
        self.assertEqual(self.machine.names, set())

    def test_of_a_backend_whose_lifeline_came_by_another_socket_says_so(self):
        self.qemu()
        self.machine.devices, self.machine.chardevs = ["a"], {"a-socket"}
        self.fails(*self.detach("a"), says="its tapferry-vhost will end with the VM only; detach by the QMP socket that attach")

    def test_of_what_is_not_there_says_so(self):
        self.qemu(netdev_del=[NOT_FOUND])
        self.fails(*self.detach("a"), says="detach a: the VM has no such NIC")

    def test_leaves_devices_alone_that_are_not_its_own(self):
        qemu = self.qemu()
        self.fails(*self.detach("pci.9"), says="detach pci.9: it is a device that tapferry did not attach")
        self.assertEqual(self.told(qemu), [])

    def test_of_several_goes_on_after_a_failure(self):
        self.qemu(netdev_del=lambda machine, arguments: [{"return": {}}] if arguments["id"] == "b" else [NOT_FOUND])
        self.machine.devices = ["b"]
        self.fails(*self.detach("a", "b"), says="detach a: the VM has no such NIC")
        self.assertEqual(self.machine.devices, [])


if __name__ == "__main__":
    unittest.main()
