# SPDX-License-Identifier: MIT
"""Tab in a real bash and a real zsh: commands, options and their values, SPEC, and the interfaces that exist."""
import os
import shutil
import unittest

import sandbox
import shell_pty
from helper_case import HelperCase, need_helper

BUILT = os.path.join(sandbox.BUILD, "completion")
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"
# An interface's name that a shell would run: 15 bytes.
EVIL = "$(touch${IFS}x)"


def setUpModule():
    need_helper()
    if not os.path.exists(f"{BUILT}/tapferry.bash"):
        raise unittest.SkipTest("the completion isn't built (make)")


class CompletionCase(HelperCase):
    """br0, br1, eth0 with the macvtap mv0 on it, tap0, alice's vm-1, and a name that no shell should see."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.box.delete_links()
        for bridge in ("br0", "br1"):
            cls.box.bridge(bridge)
        cls.box.policy("allow bridge=br0 persist=on name=vm-*")
        cls.box.veth("eth0", "wire")
        sandbox.ip("link", "add", "link", "eth0", "name", "mv0", "type", "macvtap")
        for name in ("tap0", EVIL):
            sandbox.ip("tuntap", "add", "dev", name, "mode", "tap")
        sandbox.ip("link", "set", "tap0", "alias", "nottapferry uid=0")
        cls.shell = cls.start()
        cls.addClassCleanup(cls.shell.close)

    def setUp(self):  # the interfaces stay for all tests
        if not os.path.exists("/sys/class/net/vm-1"):
            self.granted("bridge=br0,name=vm-1,persist=on").close()

    @classmethod
    def start(cls):
        raise NotImplementedError

    def becomes(self, line, expected):
        """LINE and Tab."""
        self.assertEqual(self.shell.tab(line), expected)

    def words(self, line):
        """What could stand at the end of LINE; of each the part behind the last = and comma."""
        prefix, _, _ = line.rpartition(" ")
        given = self.shell.all(line)[len(prefix.split()):]
        return [word.rstrip("=").rpartition("=")[2].rpartition(",")[2] + "=" * word.endswith("=") for word in given]


class Both:
    """What holds in either shell."""

    def test_commands(self):
        self.becomes("tapferry mon", "tapferry monitor ")
        self.becomes("tapferry help libv", "tapferry help libvirt-xml ")
        self.assertIn("explain", self.words("tapferry "))
        self.becomes("tapferry link sh", "tapferry link show ")

    def test_options_of_the_command(self):
        self.becomes("tapferry status --prom", "tapferry status --prometheus ")
        self.becomes("tapferry run --vh", "tapferry run --vhost-user ")
        self.becomes("tapferry run --h", "tapferry run --help")
        self.becomes("tapferry explain --ne", "tapferry explain --net=")
        self.becomes("tapferry link show --j", "tapferry link show --json ")

    def test_options_of_the_other_programs(self):
        self.becomes("tapferry-vhost --busy", "tapferry-vhost --busy-poll=")
        self.becomes("tapferry-helper --use", "tapferry-helper --use-vnet ")
        self.becomes("tapferryd --sock", "tapferryd --socket=")

    def test_words_that_a_value_can_be(self):
        self.becomes("tapferry run --via=br", "tapferry run --via=broker ")
        self.becomes("tapferry run --via au", "tapferry run --via auto ")
        self.assertEqual(set(self.words("tapferry-vhost --engine=")), {"auto", "uring", "epoll"})
        self.becomes("tapferry top -s na", "tapferry top -s name ")

    def test_lists(self):
        self.becomes("tapferry monitor --exit-on=car", "tapferry monitor --exit-on=carrier")
        left = self.words("tapferry monitor --exit-on=carrier,")
        self.assertEqual(set(left), {"up", "down", "no-carrier", "removed"})
        self.becomes("tapferry doctor --check=policy,net", "tapferry doctor --check=policy,netfilter")

    def test_kinds_of_spec(self):
        self.assertEqual(set(self.words("tapferry run --net=")), {"bridge=", "tap", "tap=", "macvtap=", "device="})
        self.becomes("tapferry run --net=mac", "tapferry run --net=macvtap=")
        self.becomes("tapferry run --net mac", "tapferry run --net macvtap=")
        self.becomes("tapferry run -n mac", "tapferry run -n macvtap=")

    def test_bridges_that_exist(self):
        self.assertEqual(set(self.words("tapferry run --net=bridge=b")), {"br0", "br1"})
        self.becomes("tapferry run --net=bridge=b", "tapferry run --net=bridge=br")
        self.becomes("tapferry-vhost --net=bridge=br1", "tapferry-vhost --net=bridge=br1")
        self.assertEqual(set(self.words("tapferry explain --br=")), {"br0", "br1"})

    def test_interfaces_that_exist(self):
        parents = set(self.words("tapferry probe --net=macvtap="))
        self.assertLessEqual({"eth0", "wire", "br0"}, parents)
        self.assertNotIn("lo", parents)
        self.becomes("tapferry probe --net=device=", "tapferry probe --net=device=mv0")

    def test_bridge_that_came_and_went(self):
        self.box.bridge("new0")
        self.becomes("tapferry run --net=bridge=n", "tapferry run --net=bridge=new0")
        sandbox.ip("link", "del", "new0")
        self.becomes("tapferry run --net=bridge=n", "tapferry run --net=bridge=n")

    def test_keys_that_fit_and_are_not_there_yet(self):
        keys = self.words("tapferry run --net=bridge=br0,queues=2,")
        self.assertIn("isolated=", keys)
        self.assertNotIn("queues=", keys)
        self.assertNotIn("mode=", keys)
        self.becomes("tapferry run --net=bridge=br0,queues=2,iso", "tapferry run --net=bridge=br0,queues=2,isolated=")
        keys = self.words("tapferry run --net=tap,")
        self.assertIn("name=", keys)
        self.assertNotIn("isolated=", keys)
        self.assertNotIn("name=", self.words("tapferry run --net=tap=tap0,"))
        self.assertIn("mode=", self.words("tapferry run --net=macvtap=eth0,"))

    def test_words_of_a_key(self):
        self.assertEqual(set(self.words("tapferry run --net=macvtap=eth0,mode=")),
                         {"bridge", "vepa", "private", "passthru", "source"})
        self.becomes("tapferry run --net=macvtap=eth0,mode=ve", "tapferry run --net=macvtap=eth0,mode=vepa")
        self.assertIn("arp", self.words("tapferry run --net=tap,filter=ipv4,"))
        self.assertNotIn("ipv4", self.words("tapferry run --net=tap,filter=ipv4,"))

    def test_colons_in_a_value(self):
        self.becomes("tapferry run --net=bridge=br0,guest_mac=52:54:00:12:34:56,lo",
                     "tapferry run --net=bridge=br0,guest_mac=52:54:00:12:34:56,lock=")

    def test_tapferrys_interfaces_for_the_commands_about_them(self):
        self.becomes("tapferry release ", "tapferry release vm-1 ")
        self.becomes("tapferry up v", "tapferry up vm-1 ")
        self.becomes("tapferry-helper --up=", "tapferry-helper --up=vm-1 ")
        self.assertLessEqual({"br0", "eth0", "lo", "vm-1", "tap0"}, set(self.words("tapferry monitor ")))

    def test_changes_of_link_set(self):
        self.becomes("tapferry link set eth", "tapferry link set eth0 ")
        self.becomes("tapferry link set eth0 prom", "tapferry link set eth0 promisc ")
        self.assertEqual(set(self.words("tapferry link set eth0 promisc ")), {"on", "off"})
        self.becomes("tapferry link set eth0 promisc on mt", "tapferry link set eth0 promisc on mtu ")

    def test_users(self):
        self.becomes("tapferry explain --user=mall", "tapferry explain --user=mallory ")

    def test_running_domains(self):
        alice = self.box.users["alice"]
        for name in ("web", "other"):
            self.box.write(f"{alice.home}/run/libvirt/qemu/run/{name}.xml", "<domstatus/>", owner="alice")
        self.becomes("tapferry attach --domain=w", "tapferry attach --domain=web ")

    def test_files(self):
        self.box.write(f"{self.box.users['alice'].home}/a file.pcap", "", owner="alice")
        self.assertIn(self.shell.tab("tapferry probe --pcap=a").rstrip(), (
            r"tapferry probe --pcap=a\ file.pcap", "tapferry probe --pcap='a file.pcap'"))

    def test_name_that_could_be_a_command_is_never_run(self):
        for line in ("tapferry monitor ", "tapferry link show ", "tapferry probe --net=macvtap=", "tapferry run --net=tap="):
            self.shell.all(line)
            self.shell.tab(line + "$")
        self.assertEqual(os.path.exists(f"{self.box.users['alice'].home}/x"), False)

    def test_command_behind_run(self):
        self.becomes("tapferry run --net=tap -- tapferry-vh", "tapferry run --net=tap -- tapferry-vhost ")


class Bash(Both, CompletionCase):
    """Loaded by bash-completion when it is first wanted, as where it is installed."""

    @classmethod
    def start(cls):
        if not os.path.exists(BASH_COMPLETION):
            raise unittest.SkipTest("bash-completion is not installed (make deps)")
        folder = f"{sandbox.BASE}/bash/completions"
        cls.box.write(f"{folder}/tapferry", open(f"{BUILT}/tapferry.bash", "rb").read())
        for name in ("tapferry-vhost", "tapferry-helper", "tapferryd"):
            os.symlink("tapferry", f"{folder}/{name}")
        return shell_pty.bash(cls.box, f". {BASH_COMPLETION}", **paths(cls.box, BASH_COMPLETION_USER_DIR=f"{sandbox.BASE}/bash"))

    def test_options_of_the_command_behind_run(self):
        self.becomes("tapferry run --net=tap -- tapferry-vhost --coal", "tapferry run --net=tap -- tapferry-vhost --coalesce=")

    def test_behind_sudo(self):
        self.box.install("/usr/bin/env", "sudo")
        self.becomes("sudo tapferry explain --net=bridge=br1,per", "sudo tapferry explain --net=bridge=br1,persist=")


class PlainBash(Both, CompletionCase):
    """A bash without bash-completion, where the file is read by hand, and unset variables are errors."""

    @classmethod
    def start(cls):
        file = cls.box.install(f"{BUILT}/tapferry.bash")
        return shell_pty.bash(cls.box, f". {file}", "set -u", **paths(cls.box))

    def test_cursor_in_the_middle(self):
        self.assertEqual(self.shell.press("tapferry run --net=bri --json" + "\x1b[D" * 7 + shell_pty.TAB),
                         "tapferry run --net=bridge= --json")

    def test_equals_sign_that_breaks_no_words(self):
        shell = shell_pty.bash(self.box, f". {sandbox.BASE}/bin/tapferry.bash", "COMP_WORDBREAKS=${COMP_WORDBREAKS//[=:]}",
                               **paths(self.box))
        self.addCleanup(shell.close)
        self.assertEqual(shell.tab("tapferry run --net=bridge=br0,iso"), "tapferry run --net=bridge=br0,isolated=")


class Zsh(Both, CompletionCase):
    """With nothing but compinit."""

    @classmethod
    def start(cls):
        if not shutil.which("zsh"):
            raise unittest.SkipTest("zsh is not installed (make deps)")
        folder = f"{sandbox.BASE}/zsh-functions"
        cls.box.write(f"{folder}/_tapferry", open(f"{BUILT}/_tapferry", "rb").read())
        return shell_pty.zsh(cls.box, folder, **paths(cls.box))


def paths(box, **more):
    """The programs' folder, and libvirt's."""
    for name in ("tapferry", "tapferry-vhost"):
        box.install(os.path.join(sandbox.BUILD, name))
    return {"PATH": f"{sandbox.BASE}/bin:/usr/bin:/bin", "XDG_RUNTIME_DIR": f"{box.users['alice'].home}/run", **more}


if __name__ == "__main__":
    unittest.main()
