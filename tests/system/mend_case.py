# SPDX-License-Identifier: MIT
"""The base of tests that break a host, have `tapferry doctor` find it, and run the very command that it prints."""
import json
import os
import shutil

import links
import sandbox
from command_case import CommandCase

SHIMS = f"{sandbox.BASE}/shims"
SUDO = '#!/bin/sh\nexec "$@"\n'
# What an administrator does in an editor: `+LINE FILE`, and the line is gone; or the line that he writes instead.
EDITOR = '#!/bin/sh\nline=${1#+}\nif [ -n "$NEW_LINE" ]; then sed -i "${line}s|.*|$NEW_LINE|" "$2"; else sed -i "${line}d" "$2"; fi\n'


class MendCase(CommandCase):
    """A host on which nothing is wrong for alice: br0, a policy that allows it, an installed helper."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shim("sudo", SUDO)
        cls.shim("editor", EDITOR)

    @classmethod
    def shim(cls, name, text):
        """A program that stands before the system's own; nobody is there to type a password, or to edit a file."""
        cls.box.write(f"{SHIMS}/{name}", text, mode=0o755)

    def setUp(self):
        super().setUp()
        self.helper = self.box.install_helper()
        self.box.policy("allow bridge=br0")
        self.set_sysctls("net/bridge", {"bridge-nf-call-iptables": 0, "bridge-nf-call-ip6tables": 0})
        for user in self.box.users.values():
            if user.uid:
                shutil.rmtree(f"{user.home}/.config", ignore_errors=True)

    @staticmethod
    def set_sysctls(folder, values):
        """Of this network namespace, or of the machine; False: this kernel has none of them."""
        if not os.path.isdir(f"/proc/sys/{folder}"):
            return False
        for name, value in values.items():
            with open(f"/proc/sys/{folder}/{name}", "w", encoding="ascii") as file:
                file.write(f"{value}\n")
        return True

    def examine(self, *arguments, user="alice", wrap=(), program=None, **options):
        """The JSON object; the exit status is what it says."""
        command = [*wrap, program or self.command, "doctor", "--json", *arguments]
        done = self.box.run(command, user, **options)
        self.assertEqual(done.stderr, "", done.stdout)
        facts = json.loads(done.stdout)
        has_problem = any(one["severity"] == "problem" and not one["repaired"] for one in facts["findings"])
        self.assertEqual((done.returncode, facts["well"]), (1, False) if has_problem else (0, True), facts)
        return facts

    def ids(self, *arguments, **options):
        return [one["id"] for one in self.examine(*arguments, **options)["findings"]]

    def finds(self, name, *arguments, **options):
        """The one finding of that id."""
        found = self.examine(*arguments, **options)["findings"]
        self.assertEqual([one["id"] for one in found].count(name), 1, found)
        return next(one for one in found if one["id"] == name)

    def finds_not(self, name, *arguments, **options):
        self.assertNotIn(name, self.ids(*arguments, **options))

    def shell(self, script, user="alice", **options):
        """As that user, as root where the script says sudo; in his home."""
        who = self.box.users[user]
        environment = {"PATH": f"{SHIMS}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": who.home if who.uid else "/root"}
        environment.update(options.pop("env", {}))
        done = self.box.run(["sh", "-e", "-c", script], "root" if "sudo " in script else user, env=environment, **options)
        self.assertEqual(done.returncode, 0, f"{script}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def mends(self, name, *arguments, user="alice", env=None, cwd="/", **options):
        """The finding is there; its command is run as it stands; the finding is gone. Returns the finding."""
        found = self.finds(name, *arguments, user=user, **options)
        self.assertTrue(found["command"], found)
        self.shell(found["command"], user, env=env or {}, cwd=cwd)
        self.finds_not(name, *arguments, user=user, **options)
        return found

    def is_served(self, spec="bridge=br0", user="alice"):
        """Whether a hand-over works."""
        before = links.snapshot()
        got = self.ask(spec, user)
        granted = got.status == 0
        got.close()
        if not granted:
            self.assertEqual(links.snapshot(), before)
        return granted
