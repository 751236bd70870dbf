# SPDX-License-Identifier: MIT
"""tapferryd as another project's client sees it: the varlinkctl of Debian 13's systemd, by its own C library."""
import json
import unittest

import guest_fetch
from broker_case import BROKER, SERVICE, SOCKET, BrokerCase, need_broker

TIMEOUT = 300

setUpModule = need_broker


class Varlinkctl(BrokerCase):
    @classmethod
    def setUpClass(cls):
        try:
            tree = guest_fetch.ensure("varlinkctl")
        except guest_fetch.Unavailable as error:
            raise unittest.SkipTest(f"varlinkctl of systemd 257: {error}") from error
        super().setUpClass()
        libraries = tree / "usr/lib/x86_64-linux-gnu"
        cls.command = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", f"{libraries}:{libraries}/systemd",
                       str(tree / "usr/bin/varlinkctl")]

    def varlinkctl(self, *words):
        # The cache is root's, and so is the caller.
        return self.box.run([*self.command, *words], "root", timeout=60)

    def output(self, *words):
        done = self.varlinkctl(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout

    def call(self, method, **parameters):
        return json.loads(self.output("--json=short", "call", SOCKET, f"{BROKER}.{method}", json.dumps(parameters)))

    def test_info(self):
        info = self.output("info", SOCKET)
        for words in ("Vendor: tapferry", "Product: tapferryd", BROKER, SERVICE):
            self.assertIn(words, info)

    def test_interfaces_and_methods_are_listed(self):
        self.assertEqual(self.output("list-interfaces", SOCKET).split(), [BROKER, SERVICE])
        methods = self.output("list-methods", SOCKET, BROKER).split()
        self.assertEqual(methods, [f"{BROKER}.{name}" for name in ("Explain", "List", "Open", "Release", "Up")])

    def test_the_description_is_one_by_its_parser(self):
        text = self.output("introspect", SOCKET, BROKER)
        self.assertIn(f"interface {BROKER}", text)
        for name in ("Open", "Up", "Release", "Explain", "List"):
            self.assertRegex(text, rf"(?m)^method {name}\b")
        self.box.write("/run/described.varlink", text)
        self.output("validate-idl", "/run/described.varlink")

    def test_list_and_explain(self):
        grant = self.open("bridge=br0,queues=2").grant
        listed, = self.call("List")["interfaces"]
        self.assertEqual((listed["ifname"], listed["uid"], listed["upper"]),
                         (grant["ifname"], self.box.users["alice"].uid, "br0"))
        explanation = self.call("Explain", net="bridge=br0,queues=2")["explanation"]
        self.assertEqual((explanation["allowed"], explanation["rule"]), (True, "policy.conf:2"))

    def test_open_without_room_for_descriptors_leaves_nothing(self):
        """It takes none, so the interface goes as soon as it was made."""
        self.assertIn(f"{BROKER}.", self.varlinkctl("call", SOCKET, f"{BROKER}.Open", '{"net": "bridge=br1"}').stderr)
        reply = self.call("Open", net="bridge=br0")
        self.assertGone(reply["grant"]["ifname"])

    def test_an_error_is_shown_as_such(self):
        done = self.varlinkctl("call", SOCKET, f"{BROKER}.Open", '{"net": 5}')
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"{SERVICE}.InvalidParameter", done.stderr)


if __name__ == "__main__":
    unittest.main()
