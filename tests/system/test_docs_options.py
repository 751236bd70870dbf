# SPDX-License-Identifier: MIT
"""Every option of every program is in its --help, its manual page and the shells' completion, and nothing else is."""
import os
import re
import shutil
import subprocess
import unittest

import sandbox
from doc_pages import read
from help_pages import (MANUALS, PROGRAMS, changes_in_completion, commands, help_of, operands_in_completion, options_in_completion,
                        options_in_help, options_in_manual, output_of, pages)
from helper_case import need_helper

# What a command wants besides, before it looks at an option's value.
BESIDES = {"attach": ["--qmp=/x", "--net=tap"], "release": ["x"], "up": ["x"], "probe": ["--net=tap"],
           "run": ["--net=tap"], "tapferry-vhost": ["--fd=3", "--net=tap", "--stats=1"]}


def setUpModule():
    need_helper()


def words_in(value):
    """on|off as its words; none for SPEC."""
    return value.removesuffix(",...").split("|") if "|" in value else []


class Options(unittest.TestCase):
    maxDiff = None

    def test_manual_pages_have_them(self):
        for page in pages():
            if page.startswith("tapferry link "):
                continue
            said = options_in_help(page)
            if page == "tapferry link":
                said |= options_in_help("tapferry link show") | options_in_help("tapferry link set")
            if page.startswith("tapferry "):  # the manual says once what every command has
                self.assertEqual((said.pop("--help"), said.pop("-h")), ("", ""))
            self.assertEqual(options_in_manual(page), said, page)

    def test_synopsis_has_them(self):
        for program, manual in MANUALS.items():
            with self.subTest(program=program):
                synopsis = read(manual).split(".Sh SYNOPSIS\n")[1].split(".Sh ")[0]
                named = {f"--{name}" for name in re.findall(r"\bFl -([\w-]+)", synopsis)}
                self.assertEqual(named, {name for name in options_in_help(program) if name.startswith("--")})

    def test_completion_of_bash_has_them(self):
        for page in pages():
            with self.subTest(page=page):
                self.check_completion("bash", page)

    def test_completion_of_zsh_has_them(self):
        if not shutil.which("zsh"):
            self.skipTest("zsh is not installed (make deps)")
        for page in pages():
            with self.subTest(page=page):
                self.check_completion("zsh", page)

    def check_completion(self, shell, page):
        said = options_in_help(page)
        offered = options_in_completion(shell, page)
        self.assertEqual(set(offered), set(said))
        for name, value in offered.items():
            if said[name].endswith(",..."):  # its words are in a sentence
                self.assertEqual(len(words_in(value)), len(self.words_of_sentence(page, said[name])))
            else:
                self.assertEqual(value, said[name])

    def words_of_sentence(self, page, value):
        text = re.search(rf"^{value.removesuffix(',...')} is (.*?)[;.]", help_of(page), re.M | re.S)[1]
        return re.findall(r"[\w-]+", text.replace(" or ", " "))

    def test_commands_are_in_the_completion(self):
        for page in ("tapferry", "tapferry help"):
            self.assertEqual(operands_in_completion(page)[0].split("|"), [*commands(), "help"])

    def test_options_that_the_parsers_know_are_in_the_help(self):
        """Of the programs whose help is written by hand."""
        for program, source in (("tapferry-helper", "helper/request.cc"), ("tapferryd", "helper/tapferryd.cc")):
            known = re.findall(r'\{"([\w-]+)", (no|required)_argument', read(source))
            said = {(f"{name}", "required" if value else "no") for name, value in options_in_help(program).items()}
            self.assertEqual({(f"--{name}", how) for name, how in known}, said)

    def test_words_offered_for_a_value_are_those_that_the_program_takes(self):
        tried = 0
        for page in pages():
            for name, value in options_in_completion("bash", page).items():
                if name.startswith("--") and words_in(value):
                    tried += 1
                    with self.subTest(page=page, option=name):
                        self.check_words(page, name, words_in(value))
        self.assertGreaterEqual(tried, 10)

    def check_words(self, page, name, offered):
        program, *words = page.split()
        besides = BESIDES.get((words or [program])[0], [])
        done = subprocess.run([os.path.join(sandbox.BUILD, program), *words, f"{name}=pizza", *besides],
                              capture_output=True, text=True, check=False, timeout=20)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"{name}=pizza: ", done.stderr)
        known = re.split(r"(?:one of|none of|there are:?|it is) ", done.stderr.splitlines()[0])[-1]
        self.assertEqual(set(re.findall(r"[\w-]+", known)) - {"or"}, set(offered), done.stderr)

    def test_changes_offered_for_link_set_are_those_that_it_takes(self):
        offered = changes_in_completion()
        table = read("tools/link_changes.cc").split("} kKeys[] = {")[1].split("};")[0]
        self.assertLessEqual(set(re.findall(r'\{"([\w-]+)"', table)), set(offered))
        for word in offered:
            done = subprocess.run([os.path.join(sandbox.BUILD, "tapferry"), "link", "set", "no-such-link", word],
                                  capture_output=True, text=True, check=False, timeout=20)
            self.assertNotIn("is nothing that can be set", done.stderr)


class Help(unittest.TestCase):
    """One style."""

    def test_ends_with_status_0_and_says_nothing_on_stderr(self):
        for page in pages():
            program, *words = page.split()
            done = subprocess.run([os.path.join(sandbox.BUILD, program), *words, "--help"], capture_output=True, text=True,
                                  check=False, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)
            self.assertTrue(done.stdout.startswith("Usage:"), page)
            self.assertTrue(done.stdout.isascii(), page)

    def test_help_command_says_the_same(self):
        for name in commands():
            self.assertEqual(output_of(os.path.join(sandbox.BUILD, "tapferry"), "help", name), help_of(f"tapferry {name}"))

    def test_options_stand_in_columns(self):
        for page in pages():
            lines = re.findall(r"^  (?:-\w, )?--\S+ +(?=\S)", help_of(page), re.M)
            self.assertEqual(len(set(map(len, lines))), 1, (page, lines))

    def test_defaults_are_said_in_one_way(self):
        for page in pages():
            for line in re.findall(r"^  (?:-\w, )?--\S+ +(.*)", help_of(page), re.M):
                if "default" in line:
                    self.assertRegex(line, r"\(([^()]+; )?default: [^()]+\)$", page)

    def test_options_that_several_have_say_the_same(self):
        """--json may be one object or one a line; what differs is about something else."""
        said = {}
        for page in pages():
            for name, value, text in re.findall(r"^  (?:-\w, )?(--\S+?)(?:=(\S+))? +(\S.*)", help_of(page), re.M):
                said.setdefault((name, value), set()).add(text)
        for option in (("--via", "helper|broker|auto"), ("--help", ""), ("--version", ""), ("--vhost-user", "")):
            self.assertEqual(len(said[option]), 1, said[option])

    def test_versions_of_all_programs_are_equal(self):
        versions = {program: output_of(os.path.join(sandbox.BUILD, program), "--version") for program in PROGRAMS}
        number = re.search(r"AC_INIT\(\[tapferry\], \[([\d.]+)\]\)", read("configure.ac"))[1]
        self.assertEqual(versions, {program: f"{program} {number}\n" for program in PROGRAMS})

    def test_unknown_option_is_a_usage_error(self):
        for page in pages():
            program, *words = page.split()
            done = subprocess.run([os.path.join(sandbox.BUILD, program), *words, "--pizza"], capture_output=True, text=True,
                                  check=False, timeout=20)
            # The helper has one status for all that fails: QEMU looks for no other.
            self.assertEqual(done.returncode, 1 if program == "tapferry-helper" else 2, (page, done.stderr))


if __name__ == "__main__":
    unittest.main()
