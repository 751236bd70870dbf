# SPDX-License-Identifier: MIT
"""libtapferry: the same facts and the same refusals as the command's, from C, C++ and Python, by helper and broker; and
the program that has it loaded notices nothing else."""
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import unittest

import doc_pages
import links
import sandbox
from broker_case import SOCKET, BrokerCase, need_broker
from command_case import PYTHON, CommandCase, need_command

MAC = "52:54:00:00:00:0c"
INSTALLED = f"{sandbox.BASE}/installed"
LIBRARY = f"{INSTALLED}/usr/local/lib"
# /dev/vhost-net is for the tests of vhost=; some kernels lack it.
SPECS = (f"bridge=br0,queues=2,name=vm-1,mac={MAC}", f"tap=vm-1,mac={MAC},up=off",
         f"macvtap=v0,name=vm-1,mac={MAC},queues=2", f"bridge=br0,name=vm-1,mac={MAC},vnet_hdr=off",
         f"bridge=br0,name=vm-1,mac={MAC},vnet_hdr_sz=10,mtu=1400")
REFUSED = "bridge=br1"


def setUpModule():
    need_broker()
    need_command()
    if sandbox.IS_SANITIZED:
        raise unittest.SkipTest("a sanitizer's runtime can't be loaded with a library; the unit tests have it linked in")


class LibraryCase(BrokerCase, CommandCase):
    """The helper is setuid root and tapferryd runs; the library is installed as `make install' does it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make("install-lib")
        cls.host_program = cls.box.install(f"{sandbox.ROOT}/tests/lib/library_host.py")
        cls.python_example = cls.box.install(f"{sandbox.ROOT}/lib/examples/tapferry.py")

    @staticmethod
    def make(target):
        # What is built is tested, whatever has become of the sources; the build may be another tree's.
        tree = re.split(r"/build(?:/|$)", sandbox.BUILD)[0]
        return subprocess.run(["make", "-o", "all", target, f"DESTDIR={INSTALLED}"], cwd=tree, check=True, timeout=60,
                              capture_output=True, text=True)

    def setUp(self):
        super().setUp()
        os.chmod(self.helper, 0o4755)
        self.box.policy(*(f"allow {what} queues=4 name=vm-* mac=52:54:00:* mtu=9000 persist=on"
                          for what in ("bridge=br0", "tap=vm-*")),
                        "allow macvtap=v0 queues=4 name=vm-* mac=52:54:00:*")
        self.environment = {"LD_LIBRARY_PATH": LIBRARY, "TAPFERRY_HELPER": self.helper}

    @staticmethod
    def compiled(source, *options):
        """The program made of an example as its comment says."""
        target = f"{sandbox.BASE}/bin/{source.replace('.', '-')}"
        if os.path.exists(target):
            return target
        environment = dict(os.environ, PKG_CONFIG_PATH=f"{LIBRARY}/pkgconfig", PKG_CONFIG_SYSROOT_DIR=INSTALLED)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "tapferry"], env=environment, check=True,
                               capture_output=True, text=True).stdout.split()
        subprocess.run([*options, f"{sandbox.ROOT}/lib/examples/{source}", *flags, "-o", target], check=True, timeout=60)
        return target

    def examples(self):
        """The commands of the three."""
        strict = ("-pedantic", "-Wall", "-Wextra", "-Werror")
        return ([self.compiled("facts.c", "cc", "-std=c99", *strict)],
                [self.compiled("facts.cc", "c++", "-std=c++17", *strict)], [PYTHON, self.python_example])

    @contextlib.contextmanager
    def running(self, command):
        """What COMMAND's first line says, until the block ends."""
        with self.box.popen(command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True) as proc:
            line = proc.stdout.readline()
            if not line:
                self.fail(proc.communicate(timeout=60)[1])
            yield json.loads(line)
            proc.communicate(timeout=60)
            self.assertEqual(proc.returncode, 0)

    def host(self, what, *arguments, **options):
        """What library_host.py says."""
        done = self.box.run(self.host_command(what, *arguments, **options), env=self.environment, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return json.loads(done.stdout)

    def host_command(self, what, *arguments, **options):
        return [PYTHON, self.host_program, what, json.dumps(options), *map(str, arguments)]

    def probed(self, spec, via):
        """The record that `tapferry probe' has, and all it found right."""
        done = self.succeeds("probe", "--json", f"--net={spec}", f"--via={via}")
        facts = json.loads(done.stdout)
        self.assertTrue(facts["ok"])
        self.assertGone("vm-1")
        return facts["record"]

    def error_of_probe(self, spec, *options):
        before = links.snapshot()
        done = self.tapferry("probe", f"--net={spec}", *options)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(links.snapshot(), before)
        return done.stderr.splitlines()[0].removeprefix("tapferry: ")


class Facts(LibraryCase):
    def check(self, command, expected):
        """That COMMAND holds an interface with these facts, but for its number."""
        with self.running(command) as found:
            record = found.get("record", found)
            link = links.get("vm-1")
            self.assertEqual(record, {**expected, "ifindex": link.index})
        self.assertGone("vm-1")
        return found

    def test_from_c_c_plus_plus_and_python_are_those_of_probe(self):
        # They take the default way, which no_new_privs turns into the broker.
        for via, wrap in (("helper", ()), ("broker", ("setpriv", "--no-new-privs"))):
            for spec in SPECS[:3]:
                expected = self.probed(spec, via)
                for command in self.examples():
                    with self.subTest(via=via, spec=spec, command=command):
                        self.box.syslog.clear()
                        self.check([*wrap, *command, spec], expected)
                        is_brokers = via == "broker"
                        lines = self.box.syslog.lines(at_least=1 + is_brokers)
                        self.assertEqual(any("tapferryd[" in str(line) for line in lines), is_brokers)

    def test_by_either_way_and_with_descriptors_that_work(self):
        for via in ("helper", "broker"):
            for spec in SPECS:
                with self.subTest(via=via, spec=spec):
                    expected = self.probed(spec, via)
                    found = self.check(self.host_command("hold", spec, via=via), expected)
                    queues = expected["queues"]
                    self.assertEqual(found["taps"], ["vm-1"] * queues)
                    self.assertEqual((found["nonblocking"], found["cloexec"]), ([True] * queues, [True] * queues))

    def test_accessors_say_what_the_record_says(self):
        for spec in SPECS:
            with self.subTest(spec=spec):
                said = self.host("accessors", spec)
                record, found = said["record"], said["found"]
                self.assertEqual(record.pop("version"), 1)
                self.assertEqual(record.pop("vnet_hdr"), found["vnet_hdr_sz"] != 0)
                found["vhost"] = found.pop("vhosts")
                found["up"] = bool(found["up"])
                self.assertEqual(found, record)
                self.assertEqual(set(said["beyond"]), {-1})
                self.assertGone("vm-1")

    def test_descriptors_that_were_taken_are_the_callers(self):
        said = self.host("take", SPECS[0])
        self.assertEqual(said, {"names": ["vm-1", "vm-1"], "again": [-1, -1]})

    def test_what_was_granted_is_brought_up_and_released(self):
        for via in ("helper", "broker"):
            with self.subTest(via=via):
                self.succeeds("probe", "--net=bridge=br0,name=vm-1,up=off,persist=on")
                self.assertEqual(self.host("errors", "up vm-1", via=via)["errors"], [None])
                self.assertTrue(links.get("vm-1").up)
                self.assertEqual(self.host("errors", "release vm-1", via=via)["errors"], [None])
                self.assertIsNone(links.get("vm-1"))


class Errors(LibraryCase):
    def errors(self, *requests, **options):
        before = links.snapshot()
        said = self.host("errors", *requests, **options)
        self.assertEqual(links.snapshot(), before)
        self.assertFalse(said["has_child"])
        return said["errors"]

    def test_of_a_refusal_is_that_of_probe(self):
        for via in ("helper", "broker"):
            expected = self.error_of_probe(REFUSED, f"--via={via}")
            self.assertIn("access denied by acl file", expected)
            self.assertEqual(self.errors(REFUSED, "bridge=nosuch", via=via)[0], ["refused", expected])
            self.assertEqual(self.errors("bridge=nosuch", via=via)[0],
                             ["refused", expected.replace("br1", "nosuch")])

    def test_of_the_examples_is_that_of_probe(self):
        expected = self.error_of_probe(REFUSED)
        for command in self.examples():
            done = self.box.run([*command, REFUSED], env=self.environment)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertEqual(done.stderr, f"{command[-1]}: {expected}\n")

    def test_of_nonsense_is_found_before_anybody_is_asked(self):
        self.box.syslog.clear()
        for spec in ("", "owl", "bridge=", "bridge=br0,queues=0", "bridge=br0,owl=1", "bridge=br/0", "tap,name=\x1b[2J"):
            with self.subTest(spec=spec):
                self.assertEqual(self.errors(spec, helper="/nonexistent"), [["usage", self.error_of_probe(spec)]])
        self.assertEqual([found[0] for found in self.errors("up a/b", "release " + "x" * 16)], ["usage"] * 2)
        self.assertEqual(self.box.syslog.lines(), [])

    def test_where_there_is_nobody_to_ask(self):
        missing = self.error_of_probe(REFUSED, "--via=helper", "--helper=/nonexistent")
        self.assertIn("No such file or directory", missing)
        self.assertEqual(self.errors(REFUSED, via="helper", helper="/nonexistent"), [["unavailable", missing]])
        unreadable = self.box.install(self.helper, "tapferry-helper-group", 0o750)
        forbidden = self.error_of_probe(REFUSED, "--via=helper", f"--helper={unreadable}")
        self.assertEqual(self.errors(REFUSED, via="helper", helper=unreadable), [["unavailable", forbidden]])
        self.stop_daemon()
        stopped = self.error_of_probe(REFUSED, "--via=broker")
        self.assertIn(SOCKET, stopped)
        self.assertEqual(self.errors(REFUSED, "up vm-1", via="broker"), [["unavailable", stopped], ["unavailable", stopped]])
        self.assertEqual(self.errors(REFUSED, via="broker", broker="/" + "x" * 200)[0][0], "failed")

    def test_of_what_isnt_ones_own(self):
        for via in ("helper", "broker"):
            for code, text in self.errors("up br0", "release br0", via=via):
                self.assertEqual(code, "refused")
                self.assertIn("has no interface of that name", text)

    def test_of_helpers_that_are_none(self):
        for body, code, says in (("time.sleep(600)", "timeout", "Connection timed out (killed after 2 s)"),
                                 ("sys.exit(3)", "failed", "ended with status 3 and no word"),
                                 ("send(b'{}\\n')", "failed", "version is missing"),
                                 ("send(record() * 2, 0)", "failed", "not one JSON object"),
                                 ("send(record(ifname='a\\\\u0000'), 0)", "failed", "no interface"),
                                 ("send(record(), 0, 0)", "failed", "sent 2 descriptors where its record says 1"),
                                 ("print('\\x1b[2J', file=sys.stderr); sys.exit(1)", "failed", "\\x1b[2J")):
            with self.subTest(body=body):
                body = "\n    ".join(["    def record(**changes):",
                                      "        return (json.dumps({'version': 1, **changes}) + '\\n').encode()", body])
                helper = self.fake_helper(body.replace("    def", "def", 1).replace("\n    ", "\n"))
                (found, text), = self.errors(REFUSED, via="helper", helper=helper, timeout_ms=2000)
                self.assertEqual(found, code, text)
                self.assertNotRegex(text, r"[\x00-\x1f]")

    def test_options_that_are_none_are_refused(self):
        for options in ({"via": 7}, {"timeout_ms": 0}, {"timeout_ms": -1}):
            done = self.box.run(self.host_command("errors", **options), env=self.environment)
            self.assertIn("ValueError", done.stderr, options)


class Host(LibraryCase):
    """The program that has the library loaded."""
    SPEC = "bridge=br0,queues=2"

    def test_keeps_no_descriptor_and_no_child_of_200(self):
        for via in ("helper", "broker"):
            with self.subTest(via=via):
                said = self.host("many", self.SPEC, REFUSED, 100, via=via)
                self.assertEqual(said, {"same_fds": True, "has_child": False})
        self.assertEqual(links.taps(), [])

    def test_asks_in_several_threads(self):
        for via in ("helper", "broker"):
            with self.subTest(via=via):
                said = self.host("threads", self.SPEC, 4, 8, via=via)
                self.assertEqual((said["failures"], said["has_child"]), ([], False))
                self.assertEqual(len(said["names"]), 32)
                self.assertTrue(all(name == tap for name, tap in said["names"]))

    def test_notices_nothing_in_its_signals_and_children(self):
        for via in ("helper", "broker"):
            expected = [None, ["refused", self.error_of_probe(REFUSED, f"--via={via}")]]
            with self.subTest(via=via):
                said = self.host("signals", self.SPEC, REFUSED, via=via)
                self.assertEqual(said, {"found": {"handler": expected, "waits": expected, "ignored": expected}, "seen": [],
                                        "reaped": [], "is_same": True, "stays_ignored": 1})

    def test_forks_and_its_child_asks_too(self):
        said = self.host("forked", self.SPEC)
        self.assertEqual(said["status"], 0)
        self.assertNotEqual(said["ours"], said["childs"])
        self.assertTrue(said["childs"])


class Binary(LibraryCase):
    """The files, without asking anybody."""

    @staticmethod
    def declarations():
        """The header without its comments."""
        return re.sub(r"/\*.*?\*/", "", doc_pages.read("lib/tapferry.h"), flags=re.S)

    def functions(self):
        return sorted(re.findall(r"\b(tapferry_\w+)\(", self.declarations()))

    def run_tool(self, *command):
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def test_exports_are_the_maps_the_headers_and_the_manuals(self):
        functions = self.functions()
        self.assertGreater(len(functions), 25)
        lines = self.run_tool("nm", "-D", "--defined-only", "--with-symbol-versions", f"{LIBRARY}/libtapferry.so.0")
        exported = [line.split()[-1] for line in lines.splitlines() if not line.endswith(" A LIBTAPFERRY_0")]
        self.assertEqual(exported, [f"{name}@@LIBTAPFERRY_0" for name in functions])
        self.assertEqual(sorted(re.findall(r"^    (\w+);$", doc_pages.read("lib/libtapferry.map"), re.M)), functions)
        page = doc_pages.read("docs/libtapferry.3")
        self.assertEqual(sorted(set(re.findall(r"^\.F[no] (tapferry_\w+)", page, re.M))), functions)
        names = set(re.findall(r"^\.Nm (tapferry_\w+)", page.split(".Sh LIBRARY")[0], re.M))
        self.assertEqual(sorted(names), functions)

    def test_prototypes_of_the_manual_are_the_headers(self):
        synopsis = doc_pages.read("docs/libtapferry.3").split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
        said = []
        for kind, name, arguments in re.findall(r'^\.Ft "?(.*?)"?\n\.Fn (\w+) (.*)$', synopsis, re.M):
            said.append(f"{kind} {name}({', '.join(shlex.split(arguments))})")
        declared = re.findall(r"^(?!#|typedef)([^{};]*?\btapferry_\w+\([^)]*\));", self.declarations(), re.M)
        self.assertEqual(sorted(said), sorted(" ".join(text.split()) for text in declared))

    def test_brings_nothing_but_the_c_library(self):
        dynamic = self.run_tool("readelf", "-dW", f"{LIBRARY}/libtapferry.so.0")
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        self.assertLessEqual({re.sub(r"-.*|\.so.*", "", name) for name in needed}, {"libc", "ld"}, needed)
        self.assertEqual(re.findall(r"\(SONAME\).*\[(.*)\]", dynamic), ["libtapferry.so.0"])
        self.assertNotIn("TEXTREL", dynamic)

    def test_header_is_clean_c_and_c_plus_plus(self):
        source = self.box.write(f"{sandbox.BASE}/tmp/header.c", "#include <tapferry.h>\nint main(void) { return 0; }\n")
        for command in (["cc", "-std=c99", "-Wstrict-prototypes"], ["c++", "-x", "c++", "-std=c++98"],
                        ["c++", "-x", "c++", "-std=c++20"]):
            self.run_tool(*command, "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{INSTALLED}/usr/local/include",
                          "-fsyntax-only", source)

    def test_version_is_the_projects(self):
        version = re.search(r"AC_INIT\(\[tapferry\], \[([\d.]+)\]\)", doc_pages.read("configure.ac"))[1]
        self.assertIn(f"\nVersion: {version}\n", doc_pages.read_file(f"{LIBRARY}/pkgconfig/tapferry.pc"))
        done = self.box.run([PYTHON, "-c", "import ctypes; f = ctypes.CDLL('libtapferry.so.0').tapferry_version; "
                             "f.restype = ctypes.c_char_p; print(f().decode())"], env=self.environment)
        self.assertEqual(done.stdout, version + "\n", done.stderr)

    def test_uninstalling_leaves_nothing(self):
        try:
            self.make("uninstall-lib")
            left = [os.path.join(folder, name) for folder, _, names in os.walk(INSTALLED) for name in names]
            self.assertEqual(left, [])
        finally:
            shutil.rmtree(INSTALLED)
            self.make("install-lib")


if __name__ == "__main__":
    unittest.main()
