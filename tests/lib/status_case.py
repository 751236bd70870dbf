# SPDX-License-Identifier: MIT
"""The base of tests of `tapferry status` and `top`: interfaces that the helper made, held by processes that are known."""
import json
import os
import subprocess

import sandbox
from command_case import CommandCase

NOTE = "note: some holders can't be seen from here: processes of other users (root sees those) or of other containers\n"
POLICY = ("allow bridge=br0 queues=8 guest_mac=52:54:00:* max=2000",
          "allow macvtap=v0 queues=8 guest_mac=52:54:00:* max=600")


class StatusCase(CommandCase):
    """v0 is a macvtap's parent, v1 the wire's other end."""

    def setUp(self):
        super().setUp()
        self.box.veth("v0", "v1")
        self.box.policy(*POLICY)

    def tearDown(self):
        self.doCleanups()

    def held(self, spec, user="alice", holder=("sleep", "600")):
        """(the record, the process that alone holds what was handed over)."""
        with self.ask(spec, user) as got:
            self.assertEqual((got.status, got.stderr), (0, ""), spec)
            process = self.box.popen(list(holder), user, pass_fds=got.fds)
            record = got.record
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        # The name is that of the program once it is executed.
        self.assertTrue(sandbox.eventually(lambda: comm(process.pid) == os.path.basename(holder[0])[:15]))
        # The helper's process that made a macvtap may be there a moment longer than the helper.
        self.assertTrue(sandbox.eventually(lambda: self.pids(record["ifname"]) == [process.pid]))
        return record, process

    def pids(self, name):
        return [each["pid"] for each in self.status(name)[name]["holders"]]

    def status(self, *arguments, user="root"):
        """name -> what --json tells of it, without rates."""
        done = self.succeeds("status", "--json", "--interval=0", *arguments, user=user)
        return {one["ifname"]: one for one in json.loads(done.stdout)["interfaces"]}

    def table(self, *arguments, user="root", columns=0):
        env = {"COLUMNS": str(columns)} if columns else {}
        return self.succeeds("status", "--interval=0", *arguments, user=user, env=env).stdout

    def foreign_tap(self, name="foreign0", user="alice"):
        """A persistent tap that somebody else than tapferry made."""
        sandbox.ip("tuntap", "add", name, "mode", "tap", "user", str(self.box.users[user].uid))
        return name


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def in_network_namespace(process):
    """Waits until PROCESS, started by `unshare --net`, is in a namespace of its own."""
    own = os.readlink("/proc/self/ns/net")

    def is_away():
        try:
            return os.readlink(f"/proc/{process.pid}/ns/net") != own
        except OSError:
            return False
    return sandbox.eventually(is_away)


def quiet(command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
