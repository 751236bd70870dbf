# SPDX-License-Identifier: MIT
"""`tapferry doctor` on taps that their holders left and on device nodes, and how it says what it found."""
import fcntl
import glob
import json
import os
import re
import struct
import time
import unittest

import links
import sandbox
from command_case import need_command
from doctor_case import LEFT_BEHIND, LEFT_BEHIND_WORDS, WARDEN_NODES, DoctorCase, tag

TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB  # <linux/if_tun.h>
IFF_TAP, IFF_NO_PI = 0x2, 0x1000


def setUpModule():
    need_command()


class Well(DoctorCase):
    def test_nothing_is_wrong_where_nothing_is(self):
        for user in ("root", "alice"):
            self.assertEqual(self.doctor(user=user), "nothing is wrong\n")
        self.assertEqual(self.repair(), "nothing is wrong\n")

    def test_interfaces_that_are_held_are_in_order(self):
        self.box.policy("allow br0")
        got = self.granted("bridge=br0")
        self.repairs_nothing()
        self.assertIsNotNone(links.get(got.record["ifname"]))


class Tap(DoctorCase):
    def tap(self, name="tap7", alias=None):
        """Persistent and unheld."""
        sandbox.ip("tuntap", "add", name, "mode", "tap", "user", "2001")
        sandbox.ip("link", "set", name, "alias", tag("bridge") if alias is None else alias)
        return name

    def test_made_persistent_by_its_holder_is_found_and_deleted(self):
        self.box.policy("allow br0")
        got = self.granted("bridge=br0")
        name = got.record["ifname"]
        fcntl.ioctl(got.taps[0].fd, TUNSETPERSIST, 1)
        self.assertEqual(self.doctor(), "nothing is wrong\n", "it is held")
        got.close()
        uid = self.box.users["alice"].uid
        self.assertEqual(self.doctor(well=False, user="alice"), f"problem: tap {name} of uid {uid}: its holder made it "
                         "persistent and left it\n    tapferry doctor --repair\n")
        self.assertEqual(self.repair(), f"tap {name} of uid {uid}: deleted\n")
        self.assertEqual(links.taps(), [])

    def test_held_stays(self):
        self.tap()
        with open("/dev/net/tun", "r+b", buffering=0) as tun:
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tap7", IFF_TAP | IFF_NO_PI))
            self.repairs_nothing()

    def test_granted_to_stay_or_of_others_stays(self):
        self.tap("tap1", tag("bridge", more=" persist=on"))
        self.tap("tap2", "")
        self.tap("tap3", "tapferry uid=me kind=bridge")
        self.repairs_nothing()


class Nodes(DoctorCase):
    def node(self, path, kind=0o20600, device=os.makedev(1, 3), age=3600):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.mknod(path, kind, device)
        when = time.time() - age
        os.utime(path, (when, when), follow_symlinks=False)
        self.addCleanup(lambda: os.path.lexists(path) and os.unlink(path))
        return path

    def test_old_ones_are_found_and_removed(self):
        paths = [self.node(f"{WARDEN_NODES}/0123456789abcdef"), self.node("/dev/.tapferry-0123456789abcdef")]
        done = self.tapferry("doctor", user="root")
        self.assertEqual(done.returncode, 1)
        for path in paths:
            self.assertIn(f"device node {path}: left behind ", done.stdout)
            self.assertTrue(os.path.exists(path))
        self.assertEqual(self.repair(), "".join(f"device node {path}: removed\n" for path in paths))
        self.assertEqual([path for path in paths if os.path.lexists(path)], [])

    def test_everything_else_stays(self):
        self.node("/dev/.tapferry-block", 0o60600)
        self.node("/dev/.tapferry-fifo", 0o10600)
        self.node("/dev/tapferry-char")
        self.node(f"{WARDEN_NODES}/file", 0o100600)
        self.node(f"{WARDEN_NODES}/young", age=10)
        self.node(f"{WARDEN_NODES}/from-tomorrow", age=-86400)
        os.symlink("/dev/null", f"{WARDEN_NODES}/link")
        os.utime(f"{WARDEN_NODES}/link", (0, 0), follow_symlinks=False)
        before = sorted(os.listdir("/dev") + os.listdir(WARDEN_NODES))
        done = self.tapferry("doctor", "--repair", user="root")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"nothing is wrong; looked at: {LEFT_BEHIND_WORDS}\n", ""))
        self.assertEqual(sorted(os.listdir("/dev") + os.listdir(WARDEN_NODES)), before)

    def test_a_link_in_the_directorys_place_is_not_followed(self):
        elsewhere = f"{sandbox.BASE}/tmp/elsewhere"
        path = self.node(f"{elsewhere}/node")
        os.symlink(elsewhere, WARDEN_NODES)
        self.addCleanup(os.unlink, WARDEN_NODES)
        done = self.tapferry("doctor", "--repair", user="root")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"open {WARDEN_NODES}: ", done.stderr)
        self.assertTrue(os.path.exists(path))

    def test_users_are_told_what_they_cannot_see(self):
        self.node(f"{WARDEN_NODES}/0123456789abcdef")
        self.assertEqual(self.doctor(user="alice"),
                         f"note: what is left in {WARDEN_NODES} can't be seen without root\nnothing is wrong\n")


class Json(DoctorCase):
    def facts(self, *arguments, **options):
        text = self.doctor("--json", *arguments, **options)
        self.assertEqual(text.count("\n"), 1)
        return json.loads(text)

    def test_is_one_object(self):
        self.assertEqual(self.facts(), {"version": 1, "well": True, "looked_at": LEFT_BEHIND.split(","), "findings": [],
                                        "notes": [], "errors": []})

    def test_findings_say_what_mends_them_and_what_was_done(self):
        self.macvtap()
        self.macvtap("mv1")
        self.open("mv1")
        left, held = self.facts(well=False)["findings"]
        self.assertEqual((left["check"], left["object"], left["remedy"]),
                         ("macvtaps", "macvtap mv0 of uid 2001", "tapferry doctor --repair"))
        self.assertEqual([(one["id"], one["severity"], one["command"]) for one in (left, held)],
                         [("left-macvtap", "problem", "tapferry doctor --repair"), ("unwatched-macvtap", "problem", None)])
        self.assertEqual((left["repairable"], left["repaired"], left["done"], left["error"]), (True, False, None, None))
        self.assertEqual((held["repairable"], held["repaired"]), (False, False))
        facts = self.facts("--repair", well=False)
        self.assertFalse(facts["well"])
        self.assertEqual([(one["repaired"], one["done"]) for one in facts["findings"]], [(True, "deleted"), (False, None)])

    def test_each_kind_of_what_is_left_has_its_id(self):
        sandbox.ip("tuntap", "add", "tap7", "mode", "tap", "user", "2001")
        sandbox.ip("link", "set", "tap7", "alias", tag("bridge"))
        os.mknod("/dev/.tapferry-0123456789abcdef", 0o20600, os.makedev(1, 3))
        os.utime("/dev/.tapferry-0123456789abcdef", (0, 0))
        done = self.tapferry("doctor", "--json", f"--check={LEFT_BEHIND}", user="root")
        self.assertEqual([one["id"] for one in json.loads(done.stdout)["findings"]], ["left-tap", "left-node"])
        facts = self.facts("--repair")
        self.assertEqual([(one["id"], one["repaired"]) for one in facts["findings"]],
                         [("left-tap", True), ("left-node", True)])

    def test_what_could_not_be_mended_says_why(self):
        self.macvtap()
        self.in_flight(self.open(close=False))
        finding, = self.facts("--repair", well=False)["findings"]
        self.assertEqual((finding["repaired"], finding["error"]), (False, "something holds it that can't be seen here"))


def read(path):
    with open(os.path.join(sandbox.ROOT, path), encoding="utf-8") as file:
        return file.read()


class Manual(unittest.TestCase):
    """Scripts go by ids, so the page has all of them."""

    def setUp(self):
        self.section = read("docs/tapferry.1").split(".Ss tapferry doctor\n")[1].split(".Ss ")[0]
        self.header = read("tools/doctor_findings.h")

    def test_has_every_finding_and_how_bad_it_is(self):
        kinds = re.findall(r'= \{"([a-z-]+)", Severity::k(\w+)\};', self.header)
        self.assertGreater(len(kinds), 40)
        items = re.findall(r"^\.It ([a-z-]+)(?: \((\w+)\))?$", self.section, re.M)
        self.assertEqual([(name, severity or "problem") for name, severity in items],
                         [(name, severity.lower()) for name, severity in kinds])

    def test_every_finding_is_used_and_tested(self):
        code = "".join(read(os.path.relpath(path, sandbox.ROOT)) for path in glob.glob(f"{sandbox.ROOT}/tools/doctor*.cc"))
        tests = "".join(read(os.path.relpath(path, sandbox.ROOT)) for folder in ("system", "vm")
                        for path in glob.glob(f"{sandbox.ROOT}/tests/{folder}/*doctor*.py"))
        for constant, name in re.findall(r'FindingKind (k\w+) = \{"([a-z-]+)"', self.header):
            with self.subTest(name=name):
                self.assertTrue(f"finding::{constant}" in code, constant)
                self.assertTrue(f'"{name}"' in tests, name)

    def test_has_every_check(self):
        checks = re.findall(r'^    \{"(\w+)", Subject::', read("tools/doctor.cc"), re.M)
        self.assertIn(f"Looks at these only: {', '.join(checks)}.", re.sub(r"\s+", " ", self.section))


class Usage(DoctorCase):
    def test_errors_have_status_2(self):
        self.fails("doctor", "--mend", status=2, says="--mend")
        self.fails("doctor", "mv0", status=2, says="`mv0' is no option")

    def test_help_names_its_options(self):
        text = self.succeeds("doctor", "--help").stdout
        for option in ("--repair", "--json", "--check", "--user", "--helper"):
            self.assertIn(option, text)


if __name__ == "__main__":
    unittest.main()
