# SPDX-License-Identifier: MIT
"""`tapferry libvirt-xml`: an element that an XML parser takes, or one line that says what libvirt can't express. (What
libvirt makes of it is tests/vm/test_libvirt_types.py.)"""
import os
import unittest
import xml.etree.ElementTree

import links
import sandbox
from helper_case import HelperCase
from sandbox import ip


def setUpModule():
    if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry")):
        raise unittest.SkipTest("tapferry is not built (make)")


class LibvirtXml(HelperCase):
    def setUp(self):
        super().setUp()
        self.command = self.box.install(os.path.join(sandbox.BUILD, "tapferry"))

    def ask(self, *words):
        return self.box.run([self.command, "libvirt-xml", *words])

    def element(self, *words):
        done = self.ask(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return xml.etree.ElementTree.fromstring(done.stdout)

    def refused(self, says, *words, status=1):
        before = links.snapshot()
        done = self.ask(*words)
        self.assertEqual((done.returncode, done.stdout), (status, ""))
        self.assertEqual(done.stderr.count("\n"), status, "one line, and at status 2 the way to the help")
        self.assertIn(says, done.stderr)
        self.assertEqual(links.snapshot(), before)

    def test_needs_no_helper_and_makes_nothing(self):
        before = links.snapshot()
        element = self.element("--net=bridge=br0")
        self.assertEqual((element.tag, element.get("type"), element.find("source").get("bridge")),
                         ("interface", "bridge", "br0"))
        self.assertRegex(element.find("mac").get("address"), "^52:54:00(:[0-9a-f]{2}){3}$")
        self.assertEqual(links.snapshot(), before)

    def test_odd_names_come_back_from_a_parser_as_they_are(self):
        for name in ("a'b\"c", "<&>]]>", "\u00fc", "--"):
            with self.subTest(name):
                self.assertEqual(self.element(f"--net=bridge={name}").find("source").get("bridge"), name)
                path = f"/run/{name} {name}"
                source = self.element("--net=bridge=br0", f"--vhost-user={path}").find("source")
                self.assertEqual(source.get("path"), path)

    def test_usage_errors(self):
        for words in ((), ("--net=nonsense",), ("--net=bridge=br0", "more"), ("--net=bridge=br0", "--wrong"),
                      ("--net=bridge=br0,queues=65",)):
            self.refused("tapferry", *words, status=2)

    def test_what_libvirt_cannot_express(self):
        self.refused("queues=: libvirt tells the helper nothing but the bridge's name", "--net=bridge=br0,queues=2")
        self.refused("libvirt makes no macvtap without privilege", "--net=macvtap=br0")
        self.refused("there is no vm-1", "--net=tap=vm-1")
        self.refused("br0 is no tap", "--net=tap=br0")
        self.refused("br0 is no macvtap", "--net=device=br0")
        self.refused("absolute path", "--net=bridge=br0", "--vhost-user=socket")

    def test_macvtap_by_each_of_its_names(self):
        self.box.veth("v0", "v1")
        ip("link", "add", "link", "v0", "name", "mv0", "type", "macvtap")
        link = links.get("mv0")
        for which in ("mv0", str(link.index), f"/dev/tap{link.index}", f"tap{link.index}"):
            with self.subTest(which):
                element = self.element(f"--net=device={which}")
                self.assertEqual(element.find("target").get("dev"), "mv0")
                self.assertEqual(element.find("mac").get("address"), link.mac)
        self.refused("there is no 9999", "--net=device=9999")
        self.refused("there is no /dev/null", "--net=device=/dev/null")


if __name__ == "__main__":
    unittest.main()
