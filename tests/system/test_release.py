# SPDX-License-Identifier: MIT
"""What a release is made of: a tarball that is the same however it is made and that builds without git, files that go where
configure and make are told, profiles that AppArmor takes, the list of what is linked, and news in order."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import sandbox
from doc_pages import ROOT, read

TREE = re.split(r"/build(?:/|$)", sandbox.BUILD)[0]
VERSION = re.search(r"AC_INIT\(\[tapferry\], \[([\d.]+)\]\)", read("configure.ac"))[1]
NAME = f"tapferry-{VERSION}"


def setUpModule():
    sandbox.enter()
    if not os.path.exists(f"{TREE}/config.mk"):
        raise unittest.SkipTest("the tree is not configured (make)")


def run(command, cwd=TREE, umask=0o022, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "SOURCE_"))}
    return subprocess.run(command, cwd=cwd, env={**environment, **variables}, umask=umask, capture_output=True, timeout=240,
                          check=False)


def done(command, **options):
    """As run(), and it must have worked; what it printed."""
    result = run(command, **options)
    if result.returncode:
        raise AssertionError(f"{command}\n{result.stdout.decode()}\n{result.stderr.decode()}")
    return result.stdout


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def files(self, top):
        return {os.path.join(folder, name).removeprefix(top)
                for folder, _, names in os.walk(top) for name in names}


class Tarball(Folder):
    def setUp(self):
        super().setUp()
        if sandbox.BUILD != f"{TREE}/build":
            self.skipTest("nothing of a sanitizer's build is in it")

    def unpacked(self):
        """(bytes, folder) of the tree's tarball."""
        data = done([f"{ROOT}/packaging/tarball", ROOT, NAME])
        subprocess.run(["tar", "-xz", "-C", self.folder], input=data, check=True, timeout=60)
        return data, f"{self.folder}/{NAME}"

    def test_is_the_same_from_anywhere_by_anybody_at_any_time(self):
        first, folder = self.unpacked()
        self.assertTrue(done([f"{ROOT}/packaging/tarball", ROOT, NAME], umask=0o077, LC_ALL="C.UTF-8", TZ="Asia/Tokyo") ==
                        first, "another umask, locale and time zone")
        # There is no git in there, and what building leaves doesn't get in.
        done(["./configure"], cwd=folder)
        os.makedirs(f"{folder}/build/obj")
        done(["make", "dist"], cwd=folder, umask=0o027)
        with open(f"{folder}/{NAME}.tar.gz", "rb") as file:
            self.assertTrue(file.read() == first, "made from the unpacked tarball")
        later = done([f"{ROOT}/packaging/tarball", ROOT, NAME], SOURCE_DATE_EPOCH="1700000000")
        self.assertFalse(later == first, "the time stamp is in it")

    def test_builds_without_git_and_has_what_packagers_need(self):
        _, folder = self.unpacked()
        self.assertFalse(os.path.exists(f"{folder}/.git"))
        version = done(["dpkg-parsechangelog", "-S", "Version"], cwd=folder).decode().strip()
        self.assertRegex(version, rf"^{re.escape(VERSION)}(\+\d{{12}})?$")
        done(["./configure", "--prefix=/usr"], cwd=folder)
        self.assertIn(b"build/tapferry-helper", done(["make", "-n"], cwd=folder))
        for target in ("build/obj/helper/tapferryd.o", "build/confine_filters.h"):
            done(["make", target], cwd=folder)
        self.assertIn('"/usr/libexec/tapferry-helper"', open(f"{folder}/build/paths.h", encoding="ascii").read())
        self.assertEqual(read("NEWS.md"), open(f"{folder}/NEWS.md", encoding="utf-8").read())


class Places(Folder):
    """make install and uninstall, of what is built, into a folder."""
    OWN = {"bindir": "/one/bin", "sbindir": "/two/sbin", "libexecdir": "/three/libexec", "sysconfdir": "/four/etc",
           "mandir": "/five/man", "datadir": "/six/share", "systemdsystemunitdir": "/seven/units", "sysusersdir": "/eight/users",
           "apparmordir": "/nine/profiles", "libdir": "/ten/lib", "includedir": "/eleven/include"}

    def make(self, *words, tree=TREE):
        variant = sandbox.BUILD.removeprefix(f"{TREE}/build").strip("/")
        words = [*words, f"VARIANT={variant}"] if variant else list(words)
        return done(["make", "-o", "all", f"DESTDIR={self.folder}", *words], cwd=tree).decode()

    def check_places(self, *words, expected):
        self.make("install", *words)
        files = self.files(self.folder)
        self.assertLessEqual(set(expected), files)
        for path in files:
            with open(self.folder + path, "rb") as file:
                self.assertNotRegex(file.read(4096).decode(errors="replace"), r"@\w+dir@", path)
        self.make("uninstall", *words)
        self.assertEqual(self.files(self.folder), set())

    def test_all_of_it_goes_where_prefix_says_and_away_again(self):
        for words, prefix, etc in (([], "/usr/local", "/etc"), (["PREFIX=/usr"], "/usr", "/etc"),
                                   (["prefix=/opt/tapferry"], "/opt/tapferry", "/opt/tapferry/etc")):
            with self.subTest(words=words):
                self.check_places(*words, expected=[f"{prefix}/{path}" for path in (
                    "bin/tapferry", "bin/tapferry-vhost", "sbin/tapferryd", "libexec/tapferry-helper",
                    "libexec/tapferry-broker", "libexec/tapferry-libvirt", "share/man/man1/tapferry.1",
                    "share/man/man5/tapferry-policy.5", "share/man/man8/tapferryd.8",
                    "share/qemu/vhost-user/50-tapferry-vhost.json", "lib/sysusers.d/tapferry.conf",
                    "lib/sysusers.d/tapferry-broker.conf", "lib/systemd/system/tapferryd.socket",
                    "lib/systemd/system/tapferryd.service")] + [
                        f"{etc}/tapferry/policy.conf", f"{etc}/apparmor.d/tapferryd", f"{etc}/apparmor.d/tapferry-vhost"])

    def expected_of_own(self):
        return ["/one/bin/tapferry", "/two/sbin/tapferryd", "/three/libexec/tapferry-helper", "/four/etc/tapferry/policy.conf",
                "/five/man/man8/tapferryd.8", "/six/share/qemu/vhost-user/50-tapferry-vhost.json",
                "/seven/units/tapferryd.socket", "/eight/users/tapferry.conf", "/nine/profiles/tapferryd"]

    def test_every_directory_can_be_given_to_make(self):
        self.check_places(*(f"{name}={path}" for name, path in self.OWN.items()), expected=self.expected_of_own())

    def test_every_directory_can_be_given_to_configure(self):
        options = [f"--{name if name not in ('systemdsystemunitdir', 'sysusersdir', 'apparmordir') else f'with-{name}'}={path}"
                   for name, path in self.OWN.items()]
        build = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, build)
        done([f"{ROOT}/configure", *options], cwd=build)
        os.symlink(os.path.join(TREE, "build"), f"{build}/build")
        self.make("install", tree=build)
        self.assertLessEqual(set(self.expected_of_own()), self.files(self.folder))
        self.assertFalse([path for path in self.files(self.folder) if path.startswith(("/usr", "/etc"))])

    def test_what_is_not_wanted_is_left_out(self):
        self.make("install", "systemdsystemunitdir=", "sysusersdir=", "apparmordir=")
        self.assertFalse([path for path in self.files(self.folder) if re.search("systemd|sysusers|apparmor", path)])

    def test_a_changed_policy_stays(self):
        self.make("install")
        with open(f"{self.folder}/etc/tapferry/policy.conf", "a", encoding="utf-8") as policy:
            policy.write("allow br0\n")
        self.assertIn("was changed, and stays", self.make("uninstall"))
        self.assertEqual(self.files(self.folder), {"/etc/tapferry/policy.conf"})

    def test_configure_refuses_choices_that_are_none(self):
        for option, says in (("--with-privilege=root", "setuid, filecaps or broker"), ("--with-helper-group", "name of a group"),
                             ("--with-privilege=broker --with-helper-group=kvm", "none does")):
            refused = run([f"{ROOT}/configure", *option.split()], cwd=self.folder)
            self.assertNotEqual(refused.returncode, 0, option)
            self.assertIn(says, refused.stderr.decode())
            self.assertFalse(os.path.exists(f"{self.folder}/config.mk"))

    def test_profiles_are_ones_that_apparmor_takes(self):
        if not shutil.which("apparmor_parser"):
            self.skipTest("apparmor is not installed (make deps)")
        self.make("install")
        for profile in ("tapferryd", "tapferry-vhost"):
            path = f"{self.folder}/etc/apparmor.d/{profile}"
            done(["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--warn=all", path])
            with open(path, "a", encoding="utf-8") as file:
                file.write("profile broken { nonsense }\n")
            self.assertNotEqual(run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", path]).returncode, 0)


class Linked(unittest.TestCase):
    def test_sbom_names_what_each_program_links(self):
        programs = [f"{sandbox.BUILD}/{name}" for name in ("tapferry", "tapferry-helper", "tapferry-vhost", "libtapferry.so.0")
                    if os.path.exists(f"{sandbox.BUILD}/{name}")]
        command = [f"{ROOT}/packaging/sbom", f"--version={VERSION}", *programs]
        text = done(command, SOURCE_DATE_EPOCH="1700000000")
        self.assertEqual(text, done(command, SOURCE_DATE_EPOCH="1700000000"))
        document = json.loads(text)
        self.assertEqual((document["spdxVersion"], document["creationInfo"]["created"]), ("SPDX-2.3", "2023-11-14T22:13:20Z"))
        names = {package["SPDXID"]: package["name"] for package in document["packages"]}
        self.assertEqual(len(names), len(document["packages"]))
        links = {(names.get(one["spdxElementId"]), one["relationshipType"], names[one["relatedSpdxElement"]])
                 for one in document["relationships"]}
        for link in (("tapferry-helper", "DYNAMIC_LINK", "libmnl0"), ("tapferry-helper", "DYNAMIC_LINK", "libcap-ng0"),
                     ("tapferry-vhost", "DYNAMIC_LINK", "liburing2"), ("tapferry", "STATIC_LINK", "nlohmann-json3-dev"), (None, "DESCRIBES", "tapferry")):
            self.assertIn(link, links)
        self.assertFalse([link for link in links if link[0] == "tapferry-helper" and "glib" in link[2]])
        for package in document["packages"]:
            if package["primaryPackagePurpose"] == "LIBRARY":
                installed = done(["dpkg-query", "-W", "-f", "${Version}\n", package["name"]]).decode().split()
                self.assertIn(package["versionInfo"], installed, package["name"])


class News(Folder):
    def lint(self, news):
        for name in ("configure.ac", "SECURITY.md"):
            shutil.copy(f"{ROOT}/{name}", self.folder)
        with open(f"{self.folder}/NEWS.md", "w", encoding="utf-8") as file:
            file.write(news)
        return run([f"{ROOT}/tests/lint/news", self.folder]).stdout.decode()

    def test_lint_sees_what_is_out_of_order(self):
        release = f"## {VERSION}\n\nSomething.\n"
        older = "## 0.0.1\n\nOlder.\n"
        self.assertEqual(self.lint(read("NEWS.md")), "")
        self.assertEqual(self.lint(f"# News\n\n{release}"), "")
        self.assertEqual(self.lint(f"# News\n\n## Unreleased\n\n- x\n\n{release}\n{older}"), "")
        for news, says in ((f"# News\n\n{older}", "newest release"),
                           (f"# News\n\n{release}\n## 99.0.0\n\nx\n", "newest first"),
                           (f"# News\n\n{release}\n## Unreleased\n\nx\n", "at the top"),
                           (f"# News\n\n## Next\n\nx\n\n{release}", "a section is a version"),
                           (f"# News\n\n## Unreleased\n\n{release}", "says nothing"),
                           (f"# News\n\n{release}\n{release}", "two such"),
                           (f"# Changes\n\n{release}", "the first line")):
            with self.subTest(news=news):
                self.assertIn(says, self.lint(news))

    def test_debians_changelog_is_the_newest_section(self):
        text = done([f"{ROOT}/packaging/changelog", ROOT, VERSION, "1700000000"]).decode()
        self.assertLess(max(map(len, text.splitlines()[:-1])), 81)
        first = read("NEWS.md").split("\n## ")[1].partition("\n")[2]
        words = re.sub(r"\*\*|`|^- ", "", first, flags=re.M).split()
        self.assertEqual([word for line in text.splitlines()[2:-1] for word in re.sub(r"^  \* ", "", line).split()], words)
        self.assertTrue(text.splitlines()[-1].endswith(">  Tue, 14 Nov 2023 22:13:20 +0000"), text[-200:])


if __name__ == "__main__":
    unittest.main()
