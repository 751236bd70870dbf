# SPDX-License-Identifier: MIT
"""`tapferry doctor` on libvirt and QEMU: which helper they start, and whether AppArmor lets libvirt."""
import os
import unittest

import sandbox
from command_case import need_command
from mend_case import MendCase

QEMUS_HELPER = "/usr/lib/qemu/qemu-bridge-helper"
PROFILE = "/etc/apparmor.d/usr.sbin.libvirtd"
LOCAL = "/etc/apparmor.d/local/usr.sbin.libvirtd"
# What Debian's profile has to say about helpers, with a profile inside it that has other rules.
PROFILE_TEXT = """\
#include <tunables/global>
@{LIBVIRT}="libvirt"

profile libvirtd /usr/sbin/libvirtd flags=(attach_disconnected) {
  #include <abstractions/base>
  capability net_admin,
  /bin/* PUx,
  /usr/bin/* PUx,
  /usr/{lib,lib64,lib/qemu,libexec}/virtiofsd PUx,
  /usr/lib/libvirt/* PUxr,
  /usr/{lib,lib64,lib/qemu,libexec}/qemu-bridge-helper Cx -> qemu_bridge_helper,
  /etc/libvirt/hooks/** rmix,

  # child profile for bridge helper process
  profile qemu_bridge_helper {
   #include <abstractions/base>
   /dev/net/tun rw,
   /** rmix,
  }

  # Site-specific additions and overrides. See local/README for details.
  #include <local/usr.sbin.libvirtd>
}
"""


def setUpModule():
    need_command()


class Session(MendCase):
    """qemu.conf of a user's own libvirt."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Whether libvirt is installed is told by its programs.
        sandbox.mount("overlay", "/usr/bin", "overlay",
                      data=f"lowerdir=/usr/bin,upperdir={folder('bin-upper')},workdir={folder('bin-work')}")
        if not os.path.exists("/usr/bin/virsh"):
            cls.box.write("/usr/bin/virsh", "#!/bin/sh\n", mode=0o755)

    def setUp(self):
        super().setUp()
        self.conf = f"{self.box.users['alice'].home}/.config/libvirt/qemu.conf"
        self.box.write("/etc/libvirt/qemu.conf", "# as it comes\n")

    def configure(self, text):
        self.box.write(self.conf, text, owner="alice")
        alice = self.box.users["alice"]
        for path in (f"{alice.home}/.config", os.path.dirname(self.conf)):
            os.chown(path, alice.uid, alice.gid)

    def text(self):
        with open(self.conf, encoding="utf-8") as file:
            return file.read()

    def test_names_none(self):
        found = self.mends("libvirt-helper-unset")
        self.assertEqual(found["severity"], "note")
        self.assertEqual(self.text(), f'bridge_helper = "{self.helper}"\n')
        self.assertEqual(os.stat(self.conf).st_uid, self.box.users["alice"].uid)

    def test_has_it_in_a_comment_only(self):
        self.configure(f'#bridge_helper = "{self.helper}"\nsecurity_driver = "none"\n')
        self.mends("libvirt-helper-unset")
        self.assertEqual(len(self.text().splitlines()), 3)

    def test_names_one_that_is_not_there(self):
        self.configure('security_driver = "none"\n  bridge_helper="/usr/libexec/gone"\nuser = "x"\n')
        found = self.mends("libvirt-helper-missing")
        self.assertIn("/usr/libexec/gone", found["problem"])
        self.assertEqual(self.text(), f'security_driver = "none"\nbridge_helper = "{self.helper}"\nuser = "x"\n')

    def test_names_another(self):
        self.configure('bridge_helper = "/bin/true"\n')
        self.assertEqual(self.mends("libvirt-helper-other")["severity"], "warning")

    def test_names_ours_by_another_path(self):
        link = f"{sandbox.BASE}/tmp/link-to-helper"
        os.symlink(self.helper, link)
        self.addCleanup(os.unlink, link)
        self.configure(f"bridge_helper = '{link}'\n")
        self.assertFalse(any(name.startswith("libvirt-") for name in self.ids()))

    def test_the_systems_file_is_the_wrong_one(self):
        self.box.write("/etc/libvirt/qemu.conf", f'bridge_helper = "{self.helper}"\n')
        self.mends("libvirt-wrong-file")

    def test_the_users_own_folder_counts(self):
        env = {"XDG_CONFIG_HOME": f"{self.box.users['alice'].home}/elsewhere"}
        found = self.finds("libvirt-helper-unset", env=env)
        self.assertIn("/elsewhere/libvirt/qemu.conf", found["object"])
        self.configure(f'bridge_helper = "{self.helper}"\n')
        self.finds_not("libvirt-helper-unset", "--user=alice", user="root")

    def test_is_nobodys_business_for_root(self):
        self.assertFalse(any(name.startswith("libvirt-") for name in self.ids(user="root")))


class Qemu(MendCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.path.exists(QEMUS_HELPER):
            raise unittest.SkipTest("qemu-system-common is not installed (make deps)")
        for place in ("/usr/lib/qemu", "/var/lib/dpkg"):
            name = place.strip("/").replace("/", "-")
            sandbox.mount("overlay", place, "overlay",
                          data=f"lowerdir={place},upperdir={folder(name + '-upper')},workdir={folder(name + '-work')}")

    def test_starts_its_own_helper_unless_it_is_told(self):
        found = self.mends("qemu-default-helper")
        self.assertEqual(found["severity"], "note")
        done = self.box.run(["dpkg-divert", "--list", QEMUS_HELPER], "root")
        self.assertIn(f"{QEMUS_HELPER}.distrib", done.stdout)
        self.helper = QEMUS_HELPER
        self.granted_br("br0")


class AppArmor(MendCase):
    """The kernel that runs this may have none; what is looked at are its word for "enabled" and the profile's text."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sandbox.mount("tmpfs", "/sys/module", "tmpfs", data="mode=755")
        # Reads the profile as the real one would, and so must find what it includes.
        cls.shim("apparmor_parser", "#!/bin/sh\nset -e\ntest \"$1\" = -r\ngrep -q 'profile libvirtd' \"$2\"\n"
                                    "test -s /etc/apparmor.d/local/usr.sbin.libvirtd\n")

    def setUp(self):
        super().setUp()
        self.enabled("Y")
        self.box.write(PROFILE, PROFILE_TEXT)
        self.box.write(LOCAL, "# Site-specific additions and overrides for 'usr.sbin.libvirtd'\n")
        self.box.write(f"{self.box.users['alice'].home}/.config/libvirt/qemu.conf", f'bridge_helper = "{self.helper}"\n')
        os.chown(f"{self.box.users['alice'].home}/.config", self.box.users["alice"].uid, self.box.users["alice"].gid)

    def enabled(self, value):
        self.box.write("/sys/module/apparmor/parameters/enabled", f"{value}\n")

    def is_found(self):
        return "apparmor-denies" in self.ids("--check=apparmor")

    def test_profile_that_does_not_name_the_helper(self):
        found = self.mends("apparmor-denies")
        self.assertIn(f"{self.helper} PUx,", found["command"])

    def test_profile_that_does(self):
        for rule in (f"  {self.helper} PUx,", f"{os.path.dirname(self.helper)}/** ix,",
                     f"{os.path.dirname(self.helper)}/{{other,tapferry-helper}} rPUx,"):
            self.box.write(LOCAL, rule + "\n")
            self.assertFalse(self.is_found(), rule)

    def test_rules_that_only_look_like_it(self):
        for rule in (f"#{self.helper} PUx,", f"{self.helper} r,", f"{self.helper}s PUx,", f"deny {self.helper} x,",
                     f"{os.path.dirname(os.path.dirname(self.helper))}/* PUx,"):
            self.box.write(LOCAL, rule + "\n")
            self.assertTrue(self.is_found(), rule)

    def test_no_matter_where_apparmor_or_the_profile_is_off(self):
        self.enabled("N")
        self.assertFalse(self.is_found())
        self.enabled("Y")
        self.box.write(PROFILE, PROFILE_TEXT.replace("attach_disconnected", "attach_disconnected,complain"))
        self.assertFalse(self.is_found())
        self.box.write(PROFILE, PROFILE_TEXT)
        os.makedirs("/etc/apparmor.d/disable", exist_ok=True)
        os.symlink(PROFILE, "/etc/apparmor.d/disable/usr.sbin.libvirtd")
        self.addCleanup(os.unlink, "/etc/apparmor.d/disable/usr.sbin.libvirtd")
        self.assertFalse(self.is_found())

    def test_no_matter_to_whom_libvirt_starts_another(self):
        self.assertTrue(self.is_found())
        self.box.write(f"{self.box.users['alice'].home}/.config/libvirt/qemu.conf", 'bridge_helper = "/bin/true"\n')
        self.assertFalse(self.is_found())


def folder(name):
    path = f"{sandbox.BASE}/overlays/{name}"
    os.makedirs(path, exist_ok=True)
    return path


if __name__ == "__main__":
    unittest.main()
