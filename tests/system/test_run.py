# SPDX-License-Identifier: MIT
"""`tapferry run`: the command gets what was asked for, all or nothing."""
import json
import os
import shutil
import signal
import subprocess
import unittest

import links
import sandbox
from command_case import PYTHON, CommandCase, need_command

# Tells what a program finds: its arguments, and what stands behind each descriptor from 3.
TELL = """
import fcntl, json, os, struct, sys
taps = {}
for fd in sorted(int(n) for n in os.listdir("/proc/self/fd")):
    if fd < 3:
        continue
    try:
        request = bytearray(40)
        fcntl.ioctl(fd, 0x800454d2, request)
        taps[fd] = request[:16].split(b"\\0")[0].decode()
    except OSError:
        pass
links = {name: open(f"/sys/class/net/{name}/operstate").read().strip() for name in set(taps.values())}
print(json.dumps({"args": sys.argv[1:], "taps": taps, "links": links}))
"""


def setUpModule():
    need_command()


class RunCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 queues=4", "allow tap=*", "allow bridge=br1 user=bob")
        self.before = links.snapshot()

    def told(self, *arguments, nets=("bridge=br0",), **options):
        """What a program run with the ARGUMENTS sees."""
        done = self.succeeds("run", *(f"--net={net}" for net in nets), "--", PYTHON, "-c", TELL,
                             *arguments, **options)
        self.assertEqual(links.snapshot(), self.before, "the interface goes with the program")
        return json.loads(done.stdout)


class Command(RunCase):
    def test_finds_the_descriptors_and_their_placeholders(self):
        told = self.told("--fd={fds}", "name={ifname},mac={mac}", nets=["bridge=br0,queues=3"])
        self.assertEqual(told["args"][0], "--fd=3:4:5")
        name = told["taps"]["3"]
        self.assertEqual(told["taps"], {"3": name, "4": name, "5": name})
        self.assertRegex(told["args"][1], rf"\Aname={name},mac=52:54:00(:[0-9a-f]{{2}}){{3}}\Z")

    def test_gets_several_interfaces_in_order(self):
        told = self.told("{fds}", "{fds0}", "{fds1}", "{ifname1}", "{ifname2}{mac2}",
                         nets=["bridge=br0,queues=2", "tap", "bridge=br0"])
        self.assertEqual(told["args"][:3], ["3:4", "3:4", "5"])
        self.assertEqual(told["args"][3], told["taps"]["5"])
        self.assertTrue(told["args"][4].startswith(told["taps"]["6"] + "52:54:00:"))
        self.assertEqual(len(set(told["taps"].values())), 3)

    def test_keeps_what_only_looks_like_a_placeholder(self):
        words = ["{}", "{fd}", "{fdsx}", "{fds01}", "{ mac}", "{fds", "}{", '{"a":{"b":1}}', "{macaddr}"]
        told = self.told("{fds}", *words)
        self.assertEqual(told["args"], ["3", *words])

    def test_placeholder_inside_json_is_filled_in(self):
        told = self.told('{"type":"tap","fds":"{fds}"}')
        self.assertEqual(told["args"], ['{"type":"tap","fds":"3"}'])

    def test_guest_mac_of_the_request_is_the_placeholders(self):
        fake = self.fake_helper("""
            fd = tap()
            send(record(kind="bridge", upper="br0"), fd)
        """)
        done = self.tapferry("run", f"--helper={fake}", "--net=bridge=br0,guest_mac=52:54:00:01:02:03", "--", "echo",
                             "{mac}", user="root")
        self.assertEqual(done.stdout, "52:54:00:01:02:03\n", done.stderr)

    def test_two_runs_get_different_macs(self):
        self.assertNotEqual(self.told("{mac}")["args"], self.told("{mac}")["args"])

    def test_is_found_in_path_and_gives_its_exit_status(self):
        done = self.tapferry("run", "--net=tap", "--", "sh", "-c", "exit 7 # {fds}")
        self.assertEqual(done.returncode, 7, done.stderr)

    def test_double_dash_of_its_own_arguments_stays(self):
        told = self.told("{fds}", "--", "-x", "--net=no")
        self.assertEqual(told["args"], ["3", "--", "-x", "--net=no"])

    def test_reads_stdin_that_nobody_touched(self):
        with self.box.popen([self.command, "run", "--net=tap", "--", "sh", "-c", "cat # {fds}"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proc:
            out, _ = proc.communicate(b"hello", timeout=20)
        self.assertEqual(out, b"hello")

    def test_inherits_signal_dispositions_and_mask(self):
        command = ["sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status # {fds}"]

        def settings():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

        options = {"preexec_fn": settings, "restore_signals": False}
        plain = self.box.run(command, **options).stdout
        ran = self.tapferry("run", "--net=tap", "--", *command, **options)
        self.assertEqual(ran.stdout, plain, ran.stderr)

    def test_inherits_other_descriptors_which_the_helper_does_not_see(self):
        fake = self.fake_helper("""
            print(sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1], file=sys.stderr)
            fd = tap()
            send(record(), fd)
        """)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        probed = self.tapferry("probe", "--net=tap", f"--helper={fake}", user="root", pass_fds=[read_end])
        self.assertIn("the helper says: [0, 1, 2, 3]", probed.stderr)
        done = self.tapferry("run", "--net=tap", f"--helper={fake}", "--", "sh", "-c",
                             f"test -p /proc/self/fd/{read_end} && echo inherited {{fds}}", user="root",
                             pass_fds=[read_end])
        self.assertRegex(done.stdout, r"\Ainherited \d+\n\Z", done.stderr)

    def test_closed_stdio_does_not_become_a_tap(self):
        done = self.tapferry("run", "--net=tap", "--", "sh", "-c", "echo {fds} >&2",
                             preexec_fn=lambda: (os.close(0), os.close(1)))
        self.assertEqual(done.stderr, "3\n")


class Refusal(RunCase):
    def test_second_request_refused_takes_the_first_interface_along(self):
        self.fails("run", "--net=bridge=br0", "--net=bridge=br1", "--", "touch",
                   f"{sandbox.BASE}/tmp/{{fds}}{{fds1}}", says="access denied")
        self.assertEqual(links.snapshot(), self.before)
        self.assertEqual(os.listdir(f"{sandbox.BASE}/tmp"), [])

    def test_line_of_the_helper_is_kept_word_for_word(self):
        done = self.fails("run", "--net=bridge=nosuch", "--", "true", "{fds}")
        own = self.ask("bridge=nosuch").stderr.strip()
        self.assertIn(f": {own}", done.stderr)

    def test_command_that_does_not_exist_leaves_no_interface(self):
        self.fails("run", "--net=bridge=br0", "--", "/nonexistent/vmm", "{fds}",
                   says="run /nonexistent/vmm: No such file or directory")
        self.assertEqual(links.snapshot(), self.before)

    def test_usage_errors_ask_nothing(self):
        broken = self.fake_helper("open('/run/tapferry-test/tmp/asked', 'w')")
        for arguments, says in (
                ([], "--net=SPEC is missing"),
                (["--net=tap"], "the command is missing"),
                (["--net=tap", "--"], "the command is missing"),
                (["--", "true", "{fds}"], "--net=SPEC is missing"),
                (["--net=tap,queues=zz", "--", "true", "{fds}"], "queues= takes 1 to 64"),
                (["--net=tap", "--frobnicate", "--", "true", "{fds}"], "frobnicate"),
                (["--net=tap", "--", "true", "{fds1}"], "fill in {fds1}: 1 --net= given"),
                (["--net=tap", "--", "true", "{vhostfds}"], "no vhost descriptors"),
                (["--net=tap", "--", "true"], "{fds}"),
                (["--net=tap", "--", "/bin/qemu-img", "info"], "it isn't QEMU")):
            with self.subTest(arguments=arguments):
                self.fails("run", f"--helper={broken}", *arguments, status=2, says=says)
        self.assertFalse(os.path.exists(f"{sandbox.BASE}/tmp/asked"))


class Helper(RunCase):
    def answers(self, body, says, **options):
        fake = self.fake_helper(body)
        self.fails("run", f"--helper={fake}", "--net=tap", "--", "true", "{fds}", says=says, user="root", **options)
        self.assertEqual(links.snapshot(), self.before)

    def test_that_is_missing_says_how_to_get_one(self):
        self.fails("run", "--helper=/nonexistent/helper", "--net=tap", "--", "true", "{fds}", says="make install")

    def test_that_may_not_be_executed_says_so(self):
        path = self.box.write(f"{sandbox.BASE}/bin/closed", "#!/bin/sh\n", mode=0o700)
        self.fails("run", f"--helper={path}", "--net=tap", "--", "true", "{fds}", says="Permission denied")

    def test_comes_from_the_environment(self):
        fake = self.fake_helper("sys.exit('from the environment')")
        self.fails("run", "--net=tap", "--", "true", "{fds}", says="from the environment",
                   env={"TAPFERRY_HELPER": fake})

    def test_without_one_beside_it_is_where_install_puts_it(self):
        alone = f"{sandbox.BASE}/alone"
        os.makedirs(alone, exist_ok=True)
        shutil.copy(self.command, alone)
        done = self.box.run([f"{alone}/tapferry", "run", "--net=tap", "--", "true", "{fds}"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("libexec", done.stderr)

    def test_that_sends_nothing_with_status_0_is_an_error(self):
        self.answers("", "ended with status 0 and sent nothing")

    def test_that_ends_by_a_signal_is_named(self):
        self.answers("os.kill(os.getpid(), 9)", "signal 9 (Killed)")

    def test_that_says_nothing_is_named(self):
        self.answers("sys.exit(3)", "ended with status 3 and no word")

    def test_that_sends_but_fails_is_not_believed(self):
        self.answers("fd = tap()\nsend(record(), fd)\nsys.exit(1)",
                     "ended with status 1")

    def test_that_sends_two_messages_is_not_believed(self):
        self.answers("fd = tap()\nsend(record(), fd)\nsend(b'more')", "more than one message")

    def test_that_sends_too_few_descriptors_is_not_believed(self):
        self.answers("fd = tap()\nsend(record(queues=2), fd)", "1 descriptors where its record says 2")

    def test_that_sends_no_record_is_not_believed(self):
        self.answers("send(b'\\0', tap())", "no grant record")

    def test_that_sends_another_version_is_not_believed(self):
        self.answers("fd = tap()\nsend(record(version=2), fd)", "version is 2")

    def test_that_leaves_a_child_with_the_socket_does_not_hang_it(self):
        fake = self.fake_helper("""
            fd = tap()
            send(record(), fd)
            os.close(fd)
            if os.fork() == 0:
                os.close(1)
                time.sleep(20)
        """)
        done = self.tapferry("run", f"--helper={fake}", "--net=tap", "--", "echo", "{fds}", user="root", timeout=10)
        self.assertEqual((done.returncode, done.stdout), (0, "3\n"), done.stderr)


class Qemu(RunCase):
    def options_of(self, *nets, program="qemu-system-fake", arguments=(), **options):
        path = self.box.write(f"{sandbox.BASE}/bin/{program}", '#!/bin/sh\nprintf "%s\\n" "$@"\n', mode=0o755)
        done = self.succeeds("run", *(f"--net={net}" for net in nets), "--", path, *arguments, **options)
        return done.stdout.splitlines()

    def test_gets_options_for_one_queue(self):
        words = self.options_of("bridge=br0", arguments=["-m", "1G"])
        self.assertEqual(words[:5], ["-m", "1G", "-netdev", "tap,id=tapferry0,fd=3", "-device"])
        self.assertRegex(words[5], r"\Avirtio-net-pci,netdev=tapferry0,mac=52:54:00(:[0-9a-f]{2}){3}\Z")

    def test_gets_options_for_each_interface(self):
        sandbox.ip("link", "set", "br0", "mtu", "9000")
        words = self.options_of("bridge=br0,queues=2", "tap", program="qemu-kvm")
        self.assertEqual(words[1], "tap,id=tapferry0,fds=3:4")
        self.assertRegex(words[3], r",mq=on,vectors=6,host_mtu=9000\Z")
        self.assertEqual(words[5], "tap,id=tapferry1,fd=5")
        self.assertEqual(len(words), 8)

    def test_with_placeholders_gets_no_more_options(self):
        self.assertEqual(self.options_of("tap", arguments=["tap,fd={fds}"]), ["tap,fd=3"])

    def accepted_by_qemu(self, spec, expected):
        qemu = shutil.which("qemu-system-x86_64")
        if not qemu:
            self.skipTest("no qemu-system-x86_64 (package qemu-system-x86)")
        arguments = ["-M", "q35", "-accel", "tcg", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio"]
        command = [self.command, "run", f"--net={spec}", "--", qemu, *arguments]
        with self.box.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True) as proc:
            out, _ = proc.communicate("info network\nquit\n", timeout=60)
        self.assertEqual(proc.returncode, 0, out)
        for words in expected:
            self.assertIn(words, out)
        self.assertEqual(links.snapshot(), self.before)

    def test_itself_accepts_one_queue(self):
        self.accepted_by_qemu("bridge=br0", ["tapferry0: index=0,type=tap,fd=3"])

    def test_itself_accepts_two_queues(self):
        self.accepted_by_qemu("bridge=br0,queues=2", ["tapferry0: index=0,type=tap,fd=3", "index=1,type=tap,fd=4"])


class Help(CommandCase):
    def test_every_command_explains_itself(self):
        for words in (["--help"], ["help"], ["help", "run"], ["run", "--help"], ["probe", "--help"],
                      ["help", "explain"], ["explain", "--help"]):
            with self.subTest(words=words):
                text = self.succeeds(*words).stdout
                self.assertIn("Usage:", text)
                self.assertTrue(text.isascii() and "OPTION?" not in text, text)

    def test_version_is_told(self):
        self.assertRegex(self.succeeds("--version").stdout, r"\Atapferry \d+\.\d+\.\d+\n\Z")

    def test_unknown_commands_are_usage_errors(self):
        for words in ([], ["frobnicate"], ["help", "frobnicate"], ["--frobnicate"]):
            with self.subTest(words=words):
                done = self.tapferry(*words)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("tapferry --help", done.stderr)

    def test_full_disk_is_noticed(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            for words in (["--help"], ["run", "--help"]):
                done = self.box.run([self.command, *words], stdout=full)
                self.assertEqual(done.returncode, 1)
                self.assertIn("No space left", done.stderr)


if __name__ == "__main__":
    unittest.main()
