# SPDX-License-Identifier: MIT
"""Installed and removed in a Debian of its own, by packages and by make: an unprivileged user's guest reaches the host after one
line of policy, and when all is removed nothing is left."""
import contextlib
import glob
import os
import re
import shutil
import subprocess
import unittest

import guest
import guest_fetch
import links
import processes
import sandbox
from debian_root import USER, DebianRoot
from vm_case import VmCase

TIMEOUT = 1500
PACKAGES = ("libtapferry-dev", "libtapferry0", "tapferry", "tapferry-helper", "tapferry-vhost", "tapferryd")
RULE = f"allow bridge=br0 user={USER} max=4 persist=on name=vm-* queues=4"
MACVTAP = "macvtap=br0,name=vm-2"
MACVTAP_RULE = f"allow macvtap=br0 user={USER} persist=on name=vm-*"
PING = f"ip addr add {guest.GUEST_ADDRESS}/24 dev eth0\nip link set eth0 up\nreach ping64 {guest.HOST_ADDRESS} 64\n"
ASK = "tapferry probe --net=bridge=br0 --json"


def tree_of_build():
    """The tree that this build belongs to."""
    return re.split(r"/build(?:/|$)", sandbox.BUILD)[0]


class InstallCase(VmCase):
    """self.root: a Debian with nothing of ours; self.before: what is in it."""

    def setUp(self):
        super().setUp()
        try:
            self.root = DebianRoot(self.box)
        except guest_fetch.Unavailable as error:
            self.skipTest(str(error))
        self.before = self.root.files()

    def check_first_minutes(self, helper):
        """Refused as it comes; with one line of policy a guest of an unprivileged user reaches the host."""
        self.assertIn("access denied", self.root.run(f"{ASK} 2>&1", USER).stdout, "the policy allows nothing as it comes")
        self.root.done(f"echo '{RULE}' >>/etc/tapferry/policy.conf; echo '{MACVTAP_RULE}' >>/etc/tapferry/policy.conf")
        outcome = self.root.boot(self.stage, PING, ["-global", "virtio-net-pci.romfile="],
                                 prefix=["tapferry", "run", "--net=bridge=br0", "--"])
        self.check_reached(outcome)
        network = ["-netdev", f"bridge,id=n0,br=br0,helper={helper}", *guest.virtio_nic("n0")]
        return network

    def check_reached(self, outcome):
        self.assertEqual((outcome.results.get("ping64"), outcome.capabilities), ("3/3", 0), outcome)
        self.assertEqual(outcome.uid, self.root.id_of(USER)[0])

    def leave_interfaces(self, *more):
        """That their user asked to stay: only the removal takes them away."""
        for spec in ("bridge=br0,name=vm-1", *more):
            self.root.done(f"tapferry probe --net={spec},persist=on", USER)
        self.assertIn("vm-1", [link.name for link in links.taps()])

    def check_nothing_is_left(self):
        # debhelper's own script removes that one when it is empty, whoever made it.
        self.assertEqual([change for change in self.root.changes(self.before) if change != "removed /etc/apparmor.d/disable"],
                         [])
        for user in ("tapferry", "tapferry-broker"):
            self.assertIsNone(self.root.id_of(user), user)
        self.assertEqual([link.name for link in links.all_links() if link.name not in ("lo", "br0")], [])
        self.assertEqual(processes.named("tapferry"), [])

    @contextlib.contextmanager
    def tapferryd(self, program):
        """As its unit starts it, without the unit."""
        with subprocess.Popen(self.root.words([program]), stdin=subprocess.DEVNULL) as daemon:
            try:
                socket = f"{self.root.path}/run/tapferry/broker.sock"
                self.assertTrue(sandbox.eventually(lambda: os.path.exists(socket), 30))
                yield
            finally:
                daemon.terminate()
                daemon.wait(30)


class Packages(InstallCase):
    """Those of `make deb`, in a small Debian 12 that has their dependencies and no network."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which("dh"):
            raise unittest.SkipTest("debhelper is not installed (make deps)")
        # What is built is packaged: the programs count as up to date whatever has become of the sources.
        done = subprocess.run(["make", "-o", "all", "deb"], cwd=tree_of_build(), capture_output=True, text=True, timeout=900,
                              check=False)
        if done.returncode:
            raise AssertionError(f"make deb: {done.stdout}\n{done.stderr}")
        cls.debs = sorted(glob.glob(f"{tree_of_build()}/build/deb/*.deb"))

    def packed_again(self, deb, version):
        """The same package as a later version of it, whose sample policy has another word in it."""
        folder = f"{sandbox.BASE}/again"
        shutil.rmtree(folder, ignore_errors=True)
        script = (f"dpkg-deb -R {deb} {folder}; cd {folder}; "
                  f"sed -i -E 's/^Version: .*/Version: {version}/; s/\\(= [^)]*\\)/(= {version})/' DEBIAN/control; "
                  "if [ -e etc/tapferry/policy.conf ]; then echo '# later' >>etc/tapferry/policy.conf; fi; "
                  f"dpkg-deb --root-owner-group -b . {self.root.path}/debs/")
        subprocess.run(["sh", "-e", "-c", script], check=True, capture_output=True, timeout=60)

    def put_debs(self):
        for deb in self.debs:
            shutil.copy(deb, f"{self.root.path}/debs")

    def test_installed_used_upgraded_and_purged(self):
        self.assertEqual({os.path.basename(deb).split("_")[0] for deb in self.debs}, set(PACKAGES))
        self.put_debs()
        self.root.done("apt-get install -y /debs/*.deb", timeout=300)
        self.assertEqual(self.root.status("/usr/libexec/tapferry-helper"), (0, 0, 0o4755))
        for user in ("tapferry", "tapferry-broker"):
            self.assertIsNotNone(self.root.id_of(user), user)
        self.assertIn("enabled", self.root.done("deb-systemd-helper is-enabled tapferryd.socket && echo enabled; "
                                                "systemctl is-enabled tapferryd.socket"))
        self.root.done("systemd-analyze verify --man=no tapferryd.socket tapferryd.service")
        network = self.check_first_minutes("/usr/libexec/tapferry-helper")
        self.check_reached(self.root.boot(self.stage, PING, network))
        self.root.done("tapferry-vhost --print-capabilities", USER)
        with self.tapferryd("/usr/sbin/tapferryd"):
            self.assertIn('"bridge"', self.root.done(f"{ASK} --via=broker", USER))
        self.upgrade()
        self.leave_interfaces(MACVTAP)
        self.root.done(f"apt-get purge -y {' '.join(PACKAGES)}", timeout=300)
        self.check_nothing_is_left()

    def upgrade(self):
        """What the administrator wrote stays, without a question when the sample hasn't changed, and by his choice when it has."""
        self.root.done("rm /debs/*")
        for deb in self.debs:
            self.packed_again(deb, "9.0")
        self.root.done("apt-get install -y -o Dpkg::Options::=--force-confold /debs/*.deb", timeout=300)
        self.assertEqual(self.root.done("dpkg-query -W -f '${Version}' tapferry"), "9.0")
        self.assertIn(f"\n{RULE}\n", self.root.read("/etc/tapferry/policy.conf"))
        self.assertNotIn("later", self.root.read("/etc/tapferry/policy.conf"))
        self.assertIn('"bridge"', self.root.done(ASK, USER))

    def test_removed_they_leave_the_policy_and_purged_without_the_command_they_clean_up_too(self):
        self.put_debs()
        self.root.done("apt-get install -y --no-install-recommends /debs/tapferry_*.deb /debs/tapferry-helper_*.deb",
                       timeout=300)
        self.root.done(f"echo '{RULE}' >>/etc/tapferry/policy.conf; echo '{MACVTAP_RULE}' >>/etc/tapferry/policy.conf")
        self.leave_interfaces(MACVTAP)
        self.root.done("dpkg --purge tapferry")
        self.root.done("apt-get remove -y tapferry-helper", timeout=300)
        self.assertEqual(links.taps(), [])
        self.assertIn(RULE, self.root.read("/etc/tapferry/policy.conf"))
        self.root.done("apt-get purge -y tapferry-helper", timeout=300)
        self.check_nothing_is_left()

    def test_are_as_debian_wants_them(self):
        if not shutil.which("lintian"):
            self.skipTest("lintian is not installed (make deps)")
        changes, = glob.glob(f"{tree_of_build()}/build/deb/*.changes")
        done = subprocess.run(["lintian", "--allow-root", "--fail-on=error,warning", changes], capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))


class Make(InstallCase):
    """`make install` in a small Debian, with what was built outside."""

    def make(self, words):
        return self.root.done(f"make -C {tree_of_build()} -o all {words}")

    def remove(self, words=""):
        # File capabilities don't do for macvtaps.
        self.leave_interfaces(*([] if "filecaps" in words else [MACVTAP]))
        self.assertIn("/etc/tapferry/policy.conf was changed, and stays", self.make(f"uninstall {words}"))
        self.root.done("rm -r /etc/tapferry")
        self.check_nothing_is_left()

    def test_setuid(self):
        self.make("install")
        network = self.check_first_minutes("/usr/local/libexec/tapferry-helper")
        self.check_reached(self.root.boot(self.stage, PING, network))
        self.assertIn("stays as it is", self.make("install"))
        self.assertIn(RULE, self.root.read("/etc/tapferry/policy.conf"))
        self.remove()

    def test_an_unchanged_policy_goes_too(self):
        self.make("install")
        self.make("uninstall")
        self.check_nothing_is_left()

    def test_for_a_group(self):
        self.root.done("groupadd --system kvm")
        choice = "helper_group=kvm"
        self.make(f"install {choice}")
        kvm = int(re.search(r"^kvm:[^:]*:(\d+):", self.root.read("/etc/group"), re.M)[1])
        self.assertEqual(self.root.status("/usr/local/libexec/tapferry-helper"), (0, kvm, 0o4750))
        self.root.done("echo 'allow br0' >>/etc/tapferry/policy.conf")
        refused = self.root.run(ASK, USER)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("Permission denied", refused.stdout + refused.stderr)
        self.assertIn('"bridge"', self.root.done(f"setpriv --reuid={USER} --regid={USER} --groups={kvm} {ASK}"))
        self.make(f"uninstall {choice}")

    def test_with_file_capabilities(self):
        choice = "privilege=filecaps"
        self.make(f"install {choice}")
        helper = "/usr/local/libexec/tapferry-helper"
        self.assertEqual(self.root.status(helper), (0, 0, 0o755))
        caps, _, sets = self.root.done(f"getcap {helper}").split()[1].partition("=")
        self.assertEqual((set(caps.split(",")), sets), ({"cap_dac_override", "cap_net_admin", "cap_setpcap"}, "ep"))
        self.root.done(f"echo '{RULE}' >>/etc/tapferry/policy.conf; echo '{MACVTAP_RULE}' >>/etc/tapferry/policy.conf")
        self.assertIn('"bridge"', self.root.done(ASK, USER))
        with self.tapferryd("/usr/local/sbin/tapferryd"):
            refused = self.root.run(f"{ASK} --via=broker", USER)
            self.assertIn("write the audit line", refused.stderr, "the file's replace what tapferryd gives it")
        self.remove(choice)

    def test_by_the_broker_alone(self):
        choice = "privilege=broker"
        self.make(f"install {choice}")
        self.assertEqual(self.root.status("/usr/local/libexec/tapferry-helper"), (0, 0, 0o755))
        self.root.done(f"echo '{RULE}' >>/etc/tapferry/policy.conf; echo '{MACVTAP_RULE}' >>/etc/tapferry/policy.conf")
        self.assertNotEqual(self.root.run(ASK, USER).returncode, 0)
        with self.tapferryd("/usr/local/sbin/tapferryd"):
            self.assertIn('"bridge"', self.root.done(ASK, USER), "found by itself")
            self.assertEqual(self.root.done("tapferry doctor --check=helper", USER),
                             "nothing is wrong; looked at: helper\n")
            self.leave_interfaces(MACVTAP)
        self.make(f"uninstall {choice}")
        self.root.done("rm -r /etc/tapferry")
        self.check_nothing_is_left()

    def test_choices_that_are_none_install_nothing(self):
        for words, says in (("privilege=root", "setuid, filecaps or broker"),
                            ("helper_group=nobodys", "no such group")):
            done = self.root.run(f"make -C {tree_of_build()} -o all install {words}")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(says, done.stderr)
        self.assertEqual(self.root.changes(self.before), [])


if __name__ == "__main__":
    unittest.main()
