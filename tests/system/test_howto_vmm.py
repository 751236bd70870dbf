# SPDX-License-Identifier: MIT
"""The commands of docs/howto/vmm.md as they stand: with a real QEMU, and with stand-ins for the VMMs that Debian lacks."""
import json
import os
import re
import unittest

import links
import sandbox
from command_case import PYTHON, CommandCase, need_command
from doc_pages import code_blocks, read, read_file

PAGE = "docs/howto/vmm.md"
STAND_INS = ("cloud-hypervisor", "crosvm", "firecracker")
QEMU = "/usr/bin/qemu-system-x86_64"
# Says what it has and ends.
QUICK_QEMU = ("#!/bin/sh\n"
              "printf 'info network\\nquit\\n' |\n"
              f'exec {QEMU} "$@" -S -display none -monitor stdio 2>&1\n')


def setUpModule():
    need_command()


class Vmm(CommandCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = f"{sandbox.BASE}/howto"
        os.mkdir(cls.folder, 0o755)
        cls.box.write(f"{cls.folder}/qemu-system-x86_64", QUICK_QEMU, 0o755)
        program = f"#!{PYTHON}\n" + read_file(f"{sandbox.ROOT}/tests/lib/vmm_stand_in.py")
        for name in STAND_INS:
            cls.box.write(f"{cls.folder}/{name}", program, 0o755)
        cls.box.write(f"{cls.folder}/vm.json", code_blocks(PAGE, "json")[0])
        with open(f"{cls.folder}/disk.img", "wb") as file:
            os.fchmod(file.fileno(), 0o666)
            file.truncate(1 << 20)

    def setUp(self):
        super().setUp()
        self.box.veth("eth0", "wire")
        policy, = code_blocks(PAGE, "policy")
        self.box.policy(*policy.replace("group=kvm", "user=alice").splitlines())
        self.before = links.snapshot()

    def section(self, title):
        """The command blocks below a heading."""
        text = read(PAGE).split(f"\n## {title}\n")[1].split("\n## ")[0]
        return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)

    def done(self, script):
        """What it prints; nothing is left of it."""
        path = f"{self.folder}:{os.path.dirname(self.command)}:/usr/sbin:/usr/bin:/sbin:/bin"
        result = self.box.run(["sh", "-e", "-c", script], timeout=120, cwd=self.folder, env={"PATH": path})
        self.assertEqual((result.returncode, result.stderr), (0, ""), f"{script}\n{result.stdout}")
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == self.before), links.snapshot())
        return result.stdout

    def told(self, script):
        return [json.loads(line) for line in self.done(script).splitlines()]

    def test_qemu(self):
        if not os.access(QEMU, os.X_OK):
            self.skipTest("qemu-system-x86_64 is not installed (make deps)")
        plain, own, two = self.section("QEMU")
        self.assertIn("tapferry0", self.done(plain))
        self.assertRegex(self.done(own), r"lan: index=1,type=tap,fd=")
        said = self.done(two)
        self.assertRegex(said, r"wan: index=0,type=tap,fd=")
        self.assertRegex(said, r"lan: index=0,type=tap,fd=")

    def test_cloud_hypervisor(self):
        one, several, macvtap = self.section("cloud-hypervisor")
        found, = self.told(one)
        self.assertEqual(found["fds"], [3])
        self.assertRegex(found["mac"], "^52:54:00:")
        self.assertEqual([found["fds"] for found in self.told(several)], [[3, 4]])
        self.assertEqual([found["fds"] for found in self.told(macvtap)], [[3]])

    def test_crosvm(self):
        command, = self.section("crosvm")
        self.assertEqual([found["fds"] for found in self.told(command)], [[3]])

    def test_firecracker_opens_it_by_name(self):
        block, = self.section("Firecracker")
        self.assertEqual([found["ifname"] for found in self.told(block)], ["vm-fc"])

    def test_libkrun_opens_it_by_name_too(self):
        block, = self.section("libkrun")
        self.assertEqual(self.done(block), "")
        self.assertEqual(re.search(r'krun_add_net_tap\(ctx, "(.*?)"', read(PAGE))[1], re.search(r"release (\S+)", block)[1])

    def test_another_user_cant_open_it(self):
        block, = self.section("Firecracker")
        ask, firecracker, release = block.splitlines()
        environment = {"PATH": f"{self.folder}:{os.path.dirname(self.command)}:/usr/bin:/bin"}
        options = {"cwd": self.folder, "env": environment}
        self.assertEqual(self.box.run(["sh", "-c", ask], **options).returncode, 0)
        self.assertIn("not permitted", self.box.run(["sh", "-c", firecracker], "bob", **options).stderr)
        self.assertEqual(self.box.run(["sh", "-c", firecracker], **options).returncode, 0)
        self.assertEqual(self.box.run(["sh", "-c", release], **options).returncode, 0)

    def test_words_are_those_that_run_replaces(self):
        words = re.findall(r'\{"(\w+)", Word::', read("tools/compose.cc"))
        table = read(PAGE).split("| word | becomes |")[1].split("\n\n")[0]
        first_column = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `"))
        self.assertEqual(set(re.findall(r"\{(\w+)\}", first_column)), set(words))


if __name__ == "__main__":
    unittest.main()
