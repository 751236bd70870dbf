# SPDX-License-Identifier: MIT
"""`tapferry run` and `probe` with a macvtap, from a helper whose doings are known: the guest's MAC address is the
macvtap's own, and what comes is told from a tap."""
import json
import os
import re
import signal
import stat
import subprocess
import unittest

import links
import sandbox
from command_case import CommandCase, need_command

MAC = "52:54:00:00:00:0a"
HOST, GUEST = "192.0.2.1", "192.0.2.9"
QUEUE = "/dev/queue-of-mv0"

# Opens QUEUES queues of mv0 as the helper does, and a record that agrees.
MACVTAP = f"""
def macvtap(queues=1, flags=0x5002, size=12):
    fds = [os.open("{QUEUE}", os.O_RDWR | os.O_NONBLOCK) for _ in range(queues)]
    for fd in fds:
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"", flags | (0x100 if queues > 1 else 0)))
        fcntl.ioctl(fd, 0x400454d8, struct.pack("i", size))
    return fds

def of_macvtap(**changes):
    fields = {{"version": 1, "kind": "macvtap", "ifname": "mv0", "ifindex": socket.if_nametoindex("mv0"), "upper": "v0",
              "queues": 1, "vhost": 0, "vnet_hdr": True, "vnet_hdr_sz": 12, "mac": "{MAC}", "mtu": 1500, "up": True,
              "rule": "fake:1"}}
    fields.update(changes)
    return (json.dumps(fields) + "\\n").encode()

"""


def setUpModule():
    need_command()


class MacvtapCase(CommandCase):
    """mv0 is a macvtap on v0, up, with the tag of a hand-over to root."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        sandbox.ip("link", "add", "link", "v0", "name", "mv0", "address", MAC, "type", "macvtap", "mode", "bridge")
        sandbox.ip("link", "set", "mv0", "alias", "tapferry uid=0 kind=macvtap upper=v0 since=1 rule=fake:1", "up")
        self.make_node()

    def make_node(self):
        with open("/sys/class/net/mv0/ifindex", encoding="ascii") as file:
            index = file.read().strip()
        with open(f"/sys/class/net/mv0/tap{index}/dev", encoding="ascii") as file:
            major, minor = file.read().split(":")
        os.mknod(QUEUE, stat.S_IFCHR | 0o600, os.makedev(int(major), int(minor)))
        self.addCleanup(os.unlink, QUEUE)

    def helper_that(self, body):
        return self.fake_helper("\n".join([MACVTAP, body]), "fake-macvtap-helper")

    def run_echo(self, spec, body, words="{mac}"):
        done = self.succeeds("run", f"--helper={self.helper_that(body)}", f"--net={spec}", "--", "echo", words,
                             user="root")
        return done.stdout.rstrip("\n")

    def probe(self, spec, body, status=0):
        """What is wrong, and all facts."""
        done = self.tapferry("probe", "--json", f"--helper={self.helper_that(body)}", f"--net={spec}", user="root")
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        facts = json.loads(done.stdout)
        return [check["property"] for check in facts["checks"] if check["verdict"] == "WRONG"], facts


class OurHelper(CommandCase):
    """The same with the helper that makes macvtaps."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow macvtap=v0 queues=4 mode=bridge,vepa,private,source,passthru mtu=9000 mac=52:54:00:*",
                        "allow macvtap=v0 queues=4 lock=on guest_mac=52:54:00:*", "allow device=mv* queues=2")
        self.box.veth("v0", "v1")

    def test_probe_finds_all_right(self):
        before = links.snapshot()
        for keys in ("", ",queues=4", ",mode=vepa", ",mode=private", ",mode=source", ",mode=passthru", ",mtu=1400",
                     ",up=off", f",mac={MAC}", ",vnet_hdr=off", f",lock=on,guest_mac={MAC}"):
            with self.subTest(keys=keys):
                done = self.succeeds("probe", f"--net=macvtap=v0{keys}")
                self.assertTrue(done.stdout.endswith("all as asked\n"), done.stdout)
                # The next may want the parent for itself.
                self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before, 5), links.snapshot())

    def test_probe_finds_an_existing_one_right(self):
        sandbox.ip("link", "add", "link", "v0", "name", "mv0", "address", MAC, "type", "macvtap", "mode", "bridge")
        done = self.succeeds("probe", "--net=device=mv0,queues=2")
        self.assertTrue(done.stdout.endswith("all as asked\n"), done.stdout)

    def test_run_gives_the_guest_the_macvtaps_address(self):
        done = self.succeeds("run", "--net=macvtap=v0", "--", "sh", "-c",
                             "echo {mac} {fds}; cat /sys/class/net/{ifname}/address")
        self.assertRegex(done.stdout, r"\A([0-9a-f:]{17}) 3\n\1\n\Z")
        done = self.succeeds("run", f"--net=macvtap=v0,lock=on,guest_mac={MAC}", "--", "echo", "{mac}{fds}")
        self.assertEqual(done.stdout, f"{MAC}3\n")


class Run(MacvtapCase):
    def test_guests_mac_is_the_macvtaps(self):
        self.assertEqual(self.run_echo("macvtap=v0", "send(of_macvtap(), *macvtap())"), MAC)

    def test_guests_mac_is_that_of_an_existing_device(self):
        self.assertEqual(self.run_echo("device=mv0", "send(of_macvtap(kind='device', upper=None), *macvtap())"), MAC)

    def test_guest_mac_of_the_request_comes_first(self):
        spec = "macvtap=v0,guest_mac=52:54:00:00:00:0b"
        self.assertEqual(self.run_echo(spec, "send(of_macvtap(), *macvtap())"), "52:54:00:00:00:0b")

    def test_qemu_gets_it_with_every_queue(self):
        path = self.box.write(f"{sandbox.BASE}/bin/qemu-system-fake", '#!/bin/sh\nprintf "%s\\n" "$@"\n', mode=0o755)
        helper = self.helper_that("send(of_macvtap(queues=2), *macvtap(2))")
        done = self.succeeds("run", f"--helper={helper}", "--net=macvtap=v0,queues=2", "--", path, user="root")
        self.assertEqual(done.stdout.splitlines(), [
            "-netdev", "tap,id=tapferry0,fds=3:4",
            "-device", f"virtio-net-pci,netdev=tapferry0,mac={MAC},mq=on,vectors=6"])


class Probe(MacvtapCase):
    def test_finds_all_right(self):
        for spec, body in (("macvtap=v0", "send(of_macvtap(), *macvtap())"),
                           ("macvtap=v0,queues=3", "send(of_macvtap(queues=3), *macvtap(3))"),
                           (f"macvtap=v0,mac={MAC}", "send(of_macvtap(), *macvtap())"),
                           ("macvtap=v0,vnet_hdr_sz=10", "send(of_macvtap(vnet_hdr_sz=10), *macvtap(size=10))"),
                           ("device=mv0", "send(of_macvtap(kind='device', upper=None), *macvtap())")):
            with self.subTest(spec=spec):
                self.assertEqual(self.probe(spec, body)[0], [])

    def test_tells_what_it_is(self):
        facts = self.probe("macvtap=v0", "send(of_macvtap(), *macvtap())")[1]
        fd, interface = facts["fds"][0], facts["interface"]
        self.assertEqual((fd["kind"], fd["path"], fd["ifname"]), ("macvtap queue", QUEUE, "mv0"))
        self.assertEqual(fd["flags"], ["tap", "no_pi", "vnet_hdr"])
        self.assertEqual((interface["type"], interface["parent"], interface["bridge"]), ("macvtap", "v0", None))
        self.assertEqual(interface["mode"], "bridge")
        self.assertEqual((interface["mac"], interface["owner"], interface["carrier"]), (MAC, None, True))

    def test_names_what_is_wrong(self):
        self.box.veth("w0", "w1")
        for spec, body, *rows in (
                ("macvtap=w0", "send(of_macvtap(), *macvtap())", "parent"),
                ("macvtap=v0,mode=private", "send(of_macvtap(), *macvtap())", "mode"),
                ("macvtap=v0,up=off", "send(of_macvtap(), *macvtap())", "up"),
                ("macvtap=v0,mac=52:54:00:00:00:0b", "send(of_macvtap(), *macvtap())", "MAC"),
                ("macvtap=v0", "send(of_macvtap(mac='52:54:00:00:00:0b'), *macvtap())", "MAC"),
                ("macvtap=v0", "send(of_macvtap(ifname='mv1'), *macvtap())", "fd 0 interface"),
                ("macvtap=v0", "send(of_macvtap(vnet_hdr_sz=10), *macvtap(size=10))", "fd 0 vnet header"),
                ("macvtap=v0,queues=2", "send(of_macvtap(queues=2), *macvtap(1), *macvtap(1))", "fd 0 flags",
                 "fd 1 flags"),
                ("tap", "send(of_macvtap(), *macvtap())", "fd 0 kind", "type", "owner")):
            with self.subTest(spec=spec, body=body):
                self.assertEqual(self.probe(spec, body, 1)[0], rows)

    def test_parents_mtu_is_expected(self):
        sandbox.ip("link", "set", "mv0", "mtu", "1400")
        self.assertEqual(self.probe("macvtap=v0", "send(of_macvtap(mtu=1400), *macvtap())", 1)[0], ["MTU"])
        self.assertEqual(self.probe("macvtap=v0,mtu=1400", "send(of_macvtap(mtu=1400), *macvtap())")[0], [])

    def test_tap_in_its_place_is_wrong(self):
        wrong, facts = self.probe("macvtap=v0", "fd = tap()\nsend(record(), fd)", 1)
        self.assertEqual(wrong, ["fd 0 kind", "type", "tag"])
        self.assertIsNone(facts["interface"]["parent"])

    def test_answers_pings_from_the_macvtaps_address(self):
        sandbox.ip("addr", "add", f"{HOST}/24", "dev", "v1")
        helper = self.helper_that("send(of_macvtap(), *macvtap())")
        command = [self.command, "probe", "--json", f"--helper={helper}", "--net=macvtap=v0", f"--echo={GUEST}"]
        with self.box.popen(command, "root", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as proc:
            proc.stdout.readline()
            pinged = self.box.run(["ping", "-n", "-c", "2", "-i", "0.1", "-W", "3", "-s", "20000", "-I", "v1", GUEST],
                                  "root")
            seen = sandbox.ip("neigh", "show", GUEST, "dev", "v1")
            proc.send_signal(signal.SIGINT)
            out, err = proc.communicate(timeout=20)
        self.assertEqual((pinged.returncode, proc.returncode), (0, 0), pinged.stdout + err)
        self.assertTrue(re.search(rf"lladdr {MAC}\b", seen), seen)
        self.assertEqual(json.loads(out)["echo"], 2)


if __name__ == "__main__":
    unittest.main()
