# SPDX-License-Identifier: MIT
"""Every audit line is one of PROTOCOL.md's grammar: parsed by that grammar, as it stands there, whatever was asked."""
import fcntl
import json
import os
import re
import shutil
import unittest

import abnf
import holder
import sandbox
from command_case import need_command as setUpModule  # noqa: F401
from device_case import INDEX, DeviceCase

PAGE = os.path.join(sandbox.ROOT, "docs/PROTOCOL.md")
LONGEST = 3800  # of a line, with what is in front of the request


def grammar():
    with open(PAGE, encoding="utf-8") as file:
        text = re.search(r"^```abnf\n(.*?)^```$", file.read(), re.M | re.S)[1]
    return abnf.compile_rules(text)


def fields(line):
    """The fields of a line by their names; strings as they were before they were escaped."""
    found = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|[\w-]+)', line.partition("]: ")[2])
    return {name: json.loads(value) if value.startswith('"') else value for name, value in found}


class Grammar(DeviceCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rules = grammar()

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=4 guest_mac=52:54:00:*", "allow device=mv0",
                        "allow tap=* name=* persist=on")
        self.box.syslog.clear()

    def line(self, rule):
        """The one line; it is a LINE of the grammar, and of that a RULE."""
        lines = self.box.syslog.lines(at_least=1)
        self.assertEqual(len(lines), 1, lines)
        self.box.syslog.clear()
        text = lines[0].text
        self.assertRegex(text, rf"\A(?:{self.rules['line']})\Z")
        self.assertTrue(re.search(rf"(?:{self.rules[rule]})\Z", text), text)
        self.assertLessEqual(len(text), LONGEST)
        return fields(text)

    def test_grants(self):
        for spec in ("bridge=br0", "bridge=br0,queues=2,isolated=on", "tap", 'tap=a"b\\c', f"device=tap{INDEX}", "device=mv0"):
            with self.subTest(spec=spec):
                got = self.granted(spec)
                found = self.line("granted")
                self.assertEqual((found["request"], found["result"], found["interface"], found["ifindex"], found["rule"]),
                                 (spec, "granted", got.record["ifname"], str(got.record["ifindex"]), got.record["rule"]))
                self.assertEqual((found["uid"], found["ppid"]), (str(self.box.users["alice"].uid), str(os.getpid())))

    def test_refusals(self):
        for spec in ("bridge=br1", "bridge=", "nonsense", "", "device=/nothing", "bridge=br0,mac=" + "x" * 900,
                     "bridge=\u00fcber", "device=/\x01\n\t\x7f\"\\\u202e"):
            with self.subTest(spec=spec):
                reason = self.refused(spec).stderr.removeprefix("tapferry-helper: ").rstrip("\n")
                found = self.line("refused")
                self.assertEqual(found["reason"], "".join(c if c.isascii() else "?" * len(c.encode()) for c in reason))

    def test_qemus_form(self):
        self.granted_br()
        self.assertEqual(self.line("granted")["request"], "bridge=br0,vnet_hdr_sz=10")
        self.refused_br("br1")
        self.assertEqual(self.line("refused")["request"], "bridge=br1,vnet_hdr_sz=10")

    def test_releases(self):
        self.granted("tap=vm-1,persist=on").close()
        self.line("granted")
        done = self.box.run([self.helper, "--release=vm-1"], "alice")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = self.line("changed")
        self.assertEqual((found["request"], found["interface"]), ("release=vm-1", "vm-1"))
        self.box.run([self.helper, "--release=vm-1"], "alice")
        self.assertEqual(self.line("refused")["request"], "release=vm-1")

    def test_what_the_warden_removes(self):
        got = self.granted("bridge=br0,lock=on,guest_mac=52:54:00:00:00:01")
        self.line("granted")
        request = holder.hardware_address(got.record["ifname"], "02:00:00:00:00:01")
        fcntl.ioctl(got.fds[0], holder.SIOCSIFHWADDR, request)
        found = self.line("removed")
        self.assertEqual((found["interface"], found["ifindex"], found["uid"]),
                         (got.record["ifname"], str(got.record["ifindex"]), str(self.box.users["alice"].uid)))

    def test_longest_requests_cut_off_nothing_but_themselves(self):
        """Escaped they are six times as long, and whether they were granted would not be told any more."""
        name = "\x01" * 240
        top = f"{sandbox.BASE}/tmp/{name}"
        folder = f"{top}/{name}"
        self.addCleanup(shutil.rmtree, top)
        os.makedirs(folder)
        os.symlink("/dev", f"{folder}/{name}")
        spec = f"device={folder}/{name}/tap{INDEX}"
        self.assertGreater(len(spec) + 5 * spec.count("\x01"), 4000)
        got = self.granted(spec)
        found = self.line("granted")
        self.assertEqual((found["interface"], found["rule"]), (got.record["ifname"], got.record["rule"]))
        self.assertTrue(found["request"].endswith("..."))
        self.assertTrue(spec.startswith(found["request"].removesuffix("...")))
        self.refused(f"device={folder}/{name}/nothing")
        found = self.line("refused")
        self.assertTrue(found["request"].endswith("...") and found["reason"].endswith("..."), found)

    def test_grammar_takes_no_forgeries(self):
        good = '<85>tapferry-helper[8]: uid=1 pid=8 ppid=1 request="a" result=granted interface="t" ifindex=3 rule="r:1"'
        whole = re.compile(rf"(?:{self.rules['line']})\Z")
        self.assertTrue(whole.match(good))
        for before, after in (('"a"', '"a" x="b"'), ('"a"', '"a'), ('"a"', '"\\x"'), ('"a"', '"\x01"'), ("=3", "=x"),
                              ("granted", "refused"), ("uid=1", "uid=-1"), ('"r:1"', '"r:1" '), ("<85>", "<86>")):
            self.assertFalse(whole.match(good.replace(before, after, 1)), (before, after))


if __name__ == "__main__":
    unittest.main()
