# SPDX-License-Identifier: MIT
"""The documents tell the truth: their commands work, their lists are the code's, their links lead somewhere."""
import glob
import json
import os
import re
import shutil
import subprocess
import unittest

import handover
import links
import sandbox
from doc_pages import ROOT, code_blocks, quoted, read, read_file, sources, table_after
from helper_case import HelperCase, need_helper

DOCUMENTS = sorted(os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/*.md") +
                   glob.glob(f"{ROOT}/docs/**/*.md", recursive=True))
MANUALS = sorted(os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/docs/*.[1-8]"))
FOLDERS = "base|net|lib|helper|broker|completion|vhost|tools|domain|tests|docs|deps|packaging|debian"


def anchor(heading):
    """The name by which a link finds a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def setUpModule():
    need_helper()


class Text(unittest.TestCase):
    """What can be seen without running anything."""

    def test_relative_links_resolve(self):
        found = 0
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)\s]+)\)", read(document)):
                if re.match(r"[a-z]+:", target):
                    continue
                found += 1
                file, _, section = target.partition("#")
                path = os.path.normpath(os.path.join(ROOT, os.path.dirname(document), file)) if file else f"{ROOT}/{document}"
                self.assertTrue(os.path.exists(path), f"{document}: {target}")
                if section:
                    self.assertIn(section, {anchor(line) for line in re.findall(r"(?m)^#+ (.*)$", read_file(path))}, document)
        self.assertGreater(found, 10)

    def test_files_that_are_named_exist(self):
        for document in DOCUMENTS:
            for word in quoted(document):
                if re.fullmatch(rf"({FOLDERS})/[\w.*/-]*", word):
                    self.assertTrue(glob.glob(f"{ROOT}/{word}"), f"{document}: {word}")

    def test_functions_that_architecture_names_exist(self):
        names = {part for word in quoted("docs/ARCHITECTURE.md") for part in re.findall(r"\w+", word)
                 if re.fullmatch(r"[a-z]+(_[a-z]+)+|k[A-Z]\w+", part) and "." not in word}
        self.assertGreater(len(names), 20)
        for name in sorted(names):
            with self.subTest(name=name):
                self.assertTrue(re.search(rf"\b{name}\b", sources()), name)

    def test_system_calls_of_privilege_are_the_filters(self):
        code = read("helper/confine_compile.cc")
        lists = dict(re.findall(r"(k\w+)\[\] = \{(.*?)\};", code, re.S))

        def calls(function):
            """What a function allows, by the lists that it names too."""
            text = re.search(rf"void {function}\(.*?^}}", code, re.M | re.S)[0]
            text = " ".join([text, *(lists[name] for name in lists if name in text)])
            return set(re.findall(r"SCMP_SYS\((\w+)\)|\b((?:TUN|F_|SIOC|FIO)[A-Z_]+)\b", text))
        for who in ("front", "maker", "warden", "auditor", "ovs_keeper"):
            expected = {call or operation for call, operation in calls(f"allow_{who}")}
            section = read("docs/PRIVILEGE.md").split(f"<!-- system calls: {who} -->")[1].split("\n\n")[0]
            listed = re.sub(r"without (PROT_EXEC|an address|a new namespace|new limits)|of AF_UNIX\s+only|with SIG[A-Z]+", "",
                            section.split(":", 1)[1])
            said = set(re.findall(r"\w+", listed))
            self.assertEqual(said, expected, who)

    def test_privileged_operations_are_all_listed(self):
        page = read("docs/PRIVILEGE.md")
        listed = [len(re.findall(r"(?m)^\| ", table.split("\n\n")[0])) for table in
                  page.split("| operation | only if |\n|---|---|\n")[1:]]
        front = re.search(r"using Operation =\s+std::variant<(.*?)>;", read("helper/privileged.h"), re.S)[1]
        maker = re.search(r"MacvtapOperation =\s+std::variant<(.*?)>;", read("helper/privileged_macvtap.h"), re.S)[1]
        # Up and down are one row.
        self.assertEqual(listed, [len(front.split(",")) - 1, len(maker.split(","))])

    def test_diagnostics_of_the_manual_are_the_programs(self):
        items = re.findall(r'^\.It "(.*)"$', read("docs/tapferry-helper.8"), re.M)
        self.assertGreaterEqual(len(items), 15)
        code = re.sub(r'", "', " ", re.sub(r'"\s*\n\s*"', "", sources()))
        for item in items:
            # What is fixed in it: between names in capitals, quotation marks and other punctuation.
            for words in re.split(r"\b[A-Z_]+\b|\.\.\.|[:=()`']", item):
                words = words.strip(" ;").removesuffix(" descriptor")
                with self.subTest(item=item, words=words):
                    self.assertTrue(len(words.split()) < 2 or words in code)

    def test_requests_of_vhost_user_are_those_of_the_code(self):
        rows = re.findall(r'^    \{R::k\w+, "(\w+)"', read("vhost/requests.cc"), re.M)
        self.assertGreater(len(rows), 20)
        self.assertEqual(table_after("docs/PROTOCOL.md", "## tapferry-vhost"), rows)

    def test_versions_agree(self):
        version = re.search(r"AC_INIT\(\[tapferry\], \[([\d.]+)\]\)", read("configure.ac"))[1]
        self.assertEqual(re.search(r"^## ([\d.]+)", read("NEWS.md"), re.M)[1], version)
        self.assertIn(f"| {version.rpartition('.')[0]} |", read("SECURITY.md"))

    def test_targets_that_readme_names_exist(self):
        named = {target for path in DOCUMENTS
                 for target in re.findall(r"(?m)(?:`|^    )(?:sudo )?make ([a-z-]+)", read(path))}
        self.assertLessEqual({"demo", "check", "deps", "help", "lint", "bench", "privileged"}, named)
        for target in sorted(named):
            word = target.removeprefix("check-")
            with self.subTest(target=target):
                rule = rf"(?m)^({target}:|(DRIVEN|PLAIN|CHECKED) .*\b{word}\b)"
                self.assertTrue(re.search(rule, read("Makefile") + read("install.mk")), target)

    def test_ci_runs_readmes_test_command_without_skips(self):
        self.assertIn("    sudo make check\n", read("README.md"))
        self.assertIn("MUST_RUN=1", read(".ci/run"))
        self.assertRegex(read(".ci/run"), r"make .*\bcheck\b")


class Manuals(unittest.TestCase):

    def setUp(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed (make deps)")

    def test_are_all_there_and_clean(self):
        self.assertEqual(MANUALS, ["docs/libtapferry.3", "docs/tapferry-helper.8", "docs/tapferry-policy.5", "docs/tapferry-vhost.8",
                                   "docs/tapferry.1", "docs/tapferryd.8"])
        for page in MANUALS:
            done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(ROOT, page)],
                                  capture_output=True, text=True, check=False)
            self.assertEqual((done.stdout, done.returncode), ("", 0), page)


class Readme(HelperCase):
    """README's commands, run one after the other as somebody would, with a private /usr/local."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for folder in ("/usr/local", "/var/cache/ldconfig"):
            if os.path.isdir(folder):
                sandbox.mount("tmpfs", folder, "tmpfs", data="mode=755")
        cls.folder = f"{sandbox.BASE}/readme"
        os.mkdir(cls.folder, 0o755)
        cls.shims()
        with open("/etc/group", "a+", encoding="ascii") as file:
            file.seek(0)
            found = re.search(r"^kvm:[^:]*:(\d+):", file.read(), re.M)
            cls.kvm = int(found[1]) if found else 2999
            if not found:
                file.write(f"kvm:x:{cls.kvm}:\n")

    @classmethod
    def shims(cls):
        """sudo, for there is nobody to ask; and a QEMU that says what it has and ends."""
        cls.box.write(f"{cls.folder}/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
        cls.box.write(f"{cls.folder}/qemu-system-x86_64", (
            "#!/bin/sh\n"
            "printf 'info network\\nquit\\n' |\n"
            'exec /usr/bin/qemu-system-x86_64 "$@" -S -display none -monitor stdio\n'), 0o755)
        with open(f"{cls.folder}/disk.img", "wb") as file:
            os.fchmod(file.fileno(), 0o666)
            file.truncate(1 << 20)

    def shell(self, script, user):
        path = f"{self.folder}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        cwd = ROOT if script.startswith(("make", "sudo make", "sudo deps/")) else self.folder
        if cwd == ROOT:  # the tree that this build belongs to
            cwd = re.split(r"/build(?:/|$)", sandbox.BUILD)[0]
            variant = sandbox.BUILD.removeprefix(f"{cwd}/build").strip("/")
            # What is built is tested: the programs count as up to date whatever has become of the sources.
            script = script.replace("make", f"make -o all VARIANT={variant}" if variant else "make -o all")
        return self.box.run(["sh", "-e", "-c", script], user, timeout=120, cwd=cwd, env={"PATH": path})

    def done(self, script, user="root"):
        result = self.shell(script, user)
        self.assertEqual(result.returncode, 0, f"{script}\n{result.stdout}\n{result.stderr}")
        return result.stdout

    def test_commands_work_as_they_stand(self):
        install, bridge, ask, macvtap, vhost_user, qemu = code_blocks("README.md", "sh")
        alice = self.box.users["alice"]
        member = sandbox.User(alice.name, alice.uid, alice.gid, (*alice.groups, self.kvm))
        self.done(install)
        self.check_installation()
        self.assertEqual(self.shell(ask.splitlines()[0], member).returncode, 1, "the policy allows nothing as it comes")
        sandbox.ip("link", "del", "br0")
        self.done(bridge)
        if not os.access("/usr/bin/qemu-system-x86_64", os.X_OK):
            self.skipTest("qemu-system-x86_64 is not installed (make deps)")
        said = self.done(ask, member)
        self.assertIn("allowed: bridge=br0,queues=2", said)
        self.assertIn("tapferry0", said)
        self.box.veth("eth0", "wire")
        with open("/etc/tapferry/policy.conf", "a", encoding="utf-8") as policy:
            policy.write(re.search(r"`(allow macvtap=.*?)` in the policy", read("README.md"))[1] + "\n")
        self.assertIn("tapferry0", self.done(macvtap, member))
        self.assertIn("vhost-user", self.done(vhost_user, member))
        self.assertIn("helper=/usr/local/libexec/tapferry-helper,br=br0", self.done(qemu, member))
        self.assertIn("refused", self.shell(ask.splitlines()[0], "bob").stdout, "bob isn't in the group")
        self.assertEqual(links.taps(), [])

    def test_installing_adds_the_wardens_user(self):
        self.box.write("/etc/passwd", re.sub(r"(?m)^tapferry:.*\n", "", read_file("/etc/passwd")))
        self.box.write("/etc/group", re.sub(r"(?m)^tapferry:.*\n", "", read_file("/etc/group")))
        self.done("make install")
        self.assertRegex(read_file("/etc/passwd"), r"(?m)^tapferry:[^:]*:\d+:\d+:.*:/usr/sbin/nologin$")

    def test_policy_of_the_page_on_port_security(self):
        rule, command = code_blocks("docs/howto/port-security.md", "")
        self.box.policy(rule.strip().replace("group=kvm ", ""))
        self.granted(re.search(r"--net=(\S+)", command)[1])
        self.refused("bridge=br0")
        self.refused_br("br0")

    def check_installation(self):
        helper = os.stat("/usr/local/libexec/tapferry-helper")
        self.assertEqual((helper.st_uid, helper.st_mode & 0o7777), (0, 0o4755))
        snippet = code_blocks("README.md", "")
        self.assertIn('bridge_helper = "/usr/local/libexec/tapferry-helper"\n', snippet)
        for page in MANUALS:
            name = os.path.basename(page)
            with open(f"/usr/local/share/man/man{name[-1]}/{name}", encoding="utf-8") as file:
                self.assertNotRegex(file.read(), r"@[a-z]+@", name)
        with open("/etc/tapferry/policy.conf", encoding="utf-8") as file:
            statements = [line for line in file if line.strip() and not line.startswith("#")]
        self.assertEqual(statements, [], "the policy as installed allows nothing")
        with open("/usr/local/share/qemu/vhost-user/50-tapferry-vhost.json", encoding="utf-8") as file:
            self.assertTrue(os.access(json.load(file)["binary"], os.X_OK))

    def test_sample_policy_is_right_with_every_rule_switched_on(self):
        """Each of its lines can have its # taken off."""
        text = re.sub(r"(?m)^#(?=\w)", "", read("docs/policy.conf").replace("@sysconfdir@", "/etc"))
        self.box.qemu_conf("allow br1")
        self.box.write("/etc/tapferry/policy.conf", text)
        done = self.box.run([self.helper, "--explain", "--net=bridge=br0"])
        explained = json.loads(done.stdout)
        self.assertGreaterEqual(len(explained["rules"]), 5, explained["reason"])
        self.assertTrue(explained["allowed"])

    def test_manuals_example_of_file_capabilities(self):
        lines = re.search(r"^chmod 0755.*?^\.Ed", read("docs/tapferry-helper.8"), re.M | re.S)[0]
        script = lines.removesuffix(".Ed").replace("\\e\n    ", "")
        self.assertIn(script.replace("@libexecdir@", "/usr/local/libexec").rstrip(),
                      re.sub("(?m)^    ", "", read("docs/PRIVILEGE.md")), "PRIVILEGE.md has the same commands")
        helper = self.box.install_helper(name="tapferry-helper-example")
        self.done(script.replace("@libexecdir@/tapferry-helper", helper))
        self.assertEqual(os.stat(helper).st_mode & 0o7777, 0o755)
        self.box.policy("allow br0")
        with handover.qemu(self.box, helper, "br0") as got:
            self.assertEqual((got.status, got.stderr), (0, ""))

    def test_manuals_example_of_trying_a_policy(self):
        self.box.write(f"{self.folder}/policy.conf", "allow bridge=br0\n", owner="alice")
        plain = self.box.install(os.path.join(sandbox.BUILD, "tapferry-helper"), "tapferry-helper-plain")
        command = re.search(r"/tapferry-helper (--explain .*)$", read("docs/tapferry-helper.8"), re.M)[1]
        cases = ((plain, "alice", True), (self.helper, "root", False), (self.helper, "alice", False))
        for program, user, allowed in cases:
            done = self.box.run([program, *command.split()], user, cwd=self.folder)
            self.assertEqual(json.loads(done.stdout)["allowed"], allowed, f"{user}: {done.stdout}")
        os.chown(f"{self.folder}/policy.conf", 0, 0)
        done = self.box.run([self.helper, *command.split()], "root", cwd=self.folder)
        self.assertTrue(json.loads(done.stdout)["allowed"], done.stdout)


if __name__ == "__main__":
    unittest.main()
