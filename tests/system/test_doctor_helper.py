# SPDX-License-Identifier: MIT
"""`tapferry doctor` on the helper, on what takes its privilege away, and on a first install as somebody meets it."""
import ctypes
import os
import re
import subprocess
import unittest

import sandbox
from command_case import need_command
from mend_case import SHIMS, MendCase

PR_SET_NO_NEW_PRIVS = 38
CAPS = "cap_net_admin,cap_setpcap,cap_dac_override+ep"


def setUpModule():
    need_command()


def no_new_privs():
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


class Helper(MendCase):
    def test_nothing_is_wrong_with_an_installed_one(self):
        for user in ("alice", "root"):
            self.assertEqual(self.ids("--check=helper,privilege", user=user), [])

    def mends_and_serves(self, name, *arguments):
        self.assertFalse(self.is_served())
        found = self.mends(name, *arguments)
        self.assertTrue(self.is_served(), found)

    def test_not_setuid(self):
        os.chmod(self.helper, 0o755)
        self.mends_and_serves("helper-not-setuid")
        self.assertEqual(os.stat(self.helper).st_mode & 0o7777, 0o4755)

    def test_not_roots(self):
        os.chown(self.helper, self.box.users["bob"].uid, 0)
        os.chmod(self.helper, 0o4755)
        self.mends_and_serves("helper-owner")

    def test_others_can_write_to_it(self):
        for mode in (0o4775, 0o4757):
            os.chmod(self.helper, mode)
            self.mends("helper-writable")
            self.assertEqual(os.stat(self.helper).st_mode & 0o7777, 0o4755)

    def test_not_for_this_user_to_execute(self):
        os.chmod(self.helper, 0o4750)
        which = f"--helper={self.helper}"
        self.mends("helper-forbidden", which)
        self.assertTrue(self.is_served())
        os.chmod(self.helper, 0o4750)
        self.finds_not("helper-forbidden", which, user="root")
        self.finds("helper-forbidden", which, "--user=alice", user="root")

    def test_only_for_a_group(self):
        os.chown(self.helper, 0, self.box.users["bob"].groups[0])
        os.chmod(self.helper, 0o4750)
        which = f"--helper={self.helper}"
        found = self.finds("helper-forbidden", which)
        self.assertEqual(found["command"], "sudo usermod -aG vmsters alice")
        self.assertIn("only the group vmsters may execute it", found["problem"])

    def test_a_folder_above_it_is_closed(self):
        folder = f"{sandbox.BASE}/closed"
        os.mkdir(folder, 0o700)
        self.addCleanup(os.rmdir, folder)
        found = self.finds("helper-forbidden", f"--helper={folder}/tapferry-helper")
        self.assertEqual((found["command"], "755" in found["remedy"]), (None, True))
        os.chmod(folder, 0o755)
        self.finds_not("helper-forbidden", f"--helper={folder}/tapferry-helper")

    def test_on_a_nosuid_mount(self):
        program = self.box.nosuid_copy(self.helper)
        self.addCleanup(sandbox.umount, os.path.dirname(program))
        found = self.mends("helper-nosuid", f"--helper={program}")
        self.assertIn(os.path.dirname(program), found["command"])
        self.helper = program
        self.assertTrue(self.is_served())

    def test_file_capabilities_that_do_not_suffice(self):
        program = self.box.install_helper(name="tapferry-helper-caps", caps="cap_net_raw+ep")
        self.mends("helper-capabilities", f"--helper={program}")
        self.helper = program
        self.assertTrue(self.is_served())

    def test_file_capabilities_are_in_order_until_a_rule_needs_more(self):
        program = self.box.install_helper(name="tapferry-helper-caps", caps=CAPS)
        self.assertEqual(self.ids("--check=helper", f"--helper={program}"), [])
        for rule in ("allow macvtap=* user=alice", "allow bridge=br0 lock=on guest_mac=*", "allow bridge=br0 filter=auto"):
            with self.subTest(rule=rule):
                os.chmod(program, 0o755)
                self.box.policy("allow bridge=br0", rule)
                found = self.mends("helper-needs-setuid", f"--helper={program}")
                self.assertIn("policy.conf:2", found["problem"])
        os.chmod(program, 0o755)
        self.box.policy("allow bridge=br0", "allow macvtap=* user=bob")
        self.finds_not("helper-needs-setuid", f"--helper={program}")

    def test_one_that_does_not_answer_as_it_should(self):
        program = self.box.write(f"{sandbox.BASE}/bin/odd-helper", "#!/bin/sh\necho hello\n", mode=0o4755)
        found = self.finds("helper-broken", f"--helper={program}")
        self.assertRegex(found["command"], "make install")
        notes = self.examine(f"--helper={program}")["notes"]
        self.assertTrue(any("policy was not looked at" in note for note in notes), notes)

    def test_the_one_that_is_meant_is_looked_at(self):
        os.chmod(self.helper, 0o755)
        other = self.box.install_helper(name="tapferry-helper-other")
        self.assertEqual(self.ids("--check=helper", env={"TAPFERRY_HELPER": other}), [])


class Surroundings(MendCase):
    """What no command can mend is mended where the process is started."""

    def test_no_new_privs(self):
        found = self.finds("no-new-privs", preexec_fn=no_new_privs)
        self.assertEqual((found["command"], "NoNewPrivileges=no" in found["remedy"]), (None, True))
        self.finds_not("no-new-privs")

    def test_no_new_privs_is_no_matter_to_root(self):
        self.finds_not("no-new-privs", user="root", preexec_fn=no_new_privs)

    def test_user_namespace(self):
        wrap = ["unshare", "--user", "--map-root-user"]
        self.finds("user-namespace", wrap=wrap)
        self.assertFalse(any(name.startswith("policy-") for name in self.ids(wrap=wrap)),
                         "there the policy's files are nobody's, and that isn't what is wrong")
        self.finds_not("user-namespace")

    def test_bounding_set(self):
        alice = self.box.users["alice"]
        wrap = ["setpriv", "--bounding-set=-net_admin", f"--reuid={alice.uid}", f"--regid={alice.gid}", "--clear-groups"]
        self.finds("bounding-set", user="root", wrap=wrap)
        self.finds_not("bounding-set", user="root", wrap=[wrap[0], *wrap[2:]])

    def drop_warden_user(self):
        for name in ("passwd", "group"):
            with open(f"/etc/{name}", encoding="utf-8") as file:
                text = file.read()
            # As it was: of the machine's own users some tests remember ids.
            self.addCleanup(self.box.write, f"/etc/{name}", text)
            self.box.write(f"/etc/{name}", re.sub(r"(?m)^tapferry:.*\n", "", text))

    def test_user_of_the_warden(self):
        self.drop_warden_user()
        found = self.mends("warden-user-missing")
        self.assertEqual(found["severity"], "warning")
        self.drop_warden_user()
        self.box.policy("allow macvtap=* user=alice", "allow bridge=br0 lock=on guest_mac=*")
        found = self.mends("warden-user-needed")
        self.assertEqual(found["severity"], "problem")
        self.assertTrue(self.is_served("bridge=br0,guest_mac=52:54:00:00:00:01"))


class Selection(MendCase):
    def test_check_looks_at_nothing_else(self):
        os.chmod(self.helper, 0o755)
        self.box.no_policy()
        self.assertEqual(self.ids("--check=policy"), ["policy-missing"])
        facts = self.examine("--check=helper,nodes", user="root")
        self.assertEqual((facts["looked_at"], [one["id"] for one in facts["findings"]]),
                         (["helper", "nodes"], ["helper-not-setuid"]))

    def test_an_unknown_check_is_an_error_that_names_all(self):
        self.fails("doctor", "--check=helper,pizza", status=2, says="`pizza' is no check; there are: helper, privilege, ")
        self.fails("doctor", "--check=", status=2, says="is no check")

    def test_repair_is_about_what_was_left_behind_and_nothing_else(self):
        os.chmod(self.helper, 0o755)
        self.box.no_policy()
        self.assertEqual(self.examine("--repair", user="root")["looked_at"], ["macvtaps", "taps", "ovs", "nodes"])

    def test_user_is_for_root_and_not_for_repair(self):
        self.fails("doctor", "--user=bob", says="only root may ask for somebody else")
        self.fails("doctor", "--user=nobody-at-all", user="root", says="there is no such user")
        self.fails("doctor", "--repair", "--user=bob", user="root", status=2, says="leave out --user")

    def test_user_is_looked_at_as_he_would_be(self):
        self.box.policy("allow bridge=br0 user=bob")
        self.assertEqual(self.ids("--check=policy", "--user=bob", user="root"), [])
        self.assertEqual(self.ids("--check=policy", "--user=alice", user="root"), ["policy-no-rule"])
        self.assertEqual(self.ids("--check=policy", user="root"), [], "the administrator's question is about all")

    def test_commands_say_sudo_to_those_who_need_it(self):
        os.chmod(self.helper, 0o755)
        self.assertEqual(self.finds("helper-not-setuid")["command"], f"sudo chmod 4755 {self.helper}")
        self.assertEqual(self.finds("helper-not-setuid", user="root")["command"], f"chmod 4755 {self.helper}")


class FirstInstall(MendCase):
    """README's install, and then what doctor says until nothing is wrong, as docs/howto/doctor.md shows it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sandbox.mount("tmpfs", "/usr/local", "tmpfs", data="mode=755")
        cls.tree = re.split(r"/build(?:/|$)", sandbox.BUILD)[0]
        variant = sandbox.BUILD.removeprefix(f"{cls.tree}/build").strip("/")
        # What is built is tested: the programs count as up to date whatever has become of the sources.
        cls.shim("make", f'#!/bin/sh\nexec /usr/bin/make -o all {f"VARIANT={variant}" if variant else ""} "$@"\n')

    def screens(self):
        """The page's: what is typed, and what comes."""
        with open(f"{sandbox.ROOT}/docs/howto/doctor.md", encoding="utf-8") as file:
            return re.findall(r"^```text\n\$ tapferry doctor\n(.*?)^```$", file.read(), re.M | re.S)

    def doctor_says(self):
        """What it prints, without notes: those depend on what else is installed."""
        done = self.box.run([self.command, "doctor"])
        self.assertEqual(done.stderr, "")
        return re.sub(r"(?m)^note: .*\n(    .*\n)*", "", done.stdout)

    def test_screens_of_its_page_are_what_it_prints(self):
        self.box.no_policy()
        self.shell("sudo make install", cwd=self.tree)
        self.command, self.helper = "/usr/local/bin/tapferry", "/usr/local/libexec/tapferry-helper"
        sandbox.ip("link", "del", "br0")
        sandbox.ip("link", "del", "br1")
        os.chmod(self.helper, 0o755)
        sick, well = self.screens()
        self.assertEqual(self.doctor_says(), sick)
        for command in re.findall(r"(?m)^    (sudo|echo)(.*)$", sick):
            self.shell("".join(command))
        self.mends("bridge-missing", program=self.command)
        self.assertEqual(self.doctor_says(), well)

    def test_doctor_leads_from_a_bare_install_to_an_interface(self):
        self.box.no_policy()
        self.shell("sudo make install", cwd=self.tree)
        self.command, self.helper = "/usr/local/bin/tapferry", "/usr/local/libexec/tapferry-helper"
        os.unlink(self.helper)
        sandbox.ip("link", "del", "br0")
        sandbox.ip("link", "del", "br1")
        said = []
        for _ in range(10):
            facts = self.examine(program=self.command)
            problems = [one for one in facts["findings"] if one["severity"] == "problem"]
            if not problems:
                break
            said.append(problems[0]["id"])
            self.shell(problems[0]["command"], cwd=self.tree)
        self.assertEqual(said, ["helper-missing", "policy-no-rule", "bridge-missing"])
        self.assertTrue(self.is_served())
        done = subprocess.run(["sh", "-c", f"PATH={SHIMS}:$PATH; make uninstall"], cwd=self.tree, capture_output=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.finds("helper-missing", program=f"{sandbox.BASE}/bin/tapferry", env={"TAPFERRY_HELPER": self.helper})


if __name__ == "__main__":
    unittest.main()
