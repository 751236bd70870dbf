# SPDX-License-Identifier: MIT
"""What the programs' --help, their manual pages and the shells' completion say of options, in one form."""
import functools
import os
import re
import subprocess

import sandbox
from doc_pages import read

BUILT = os.path.join(sandbox.BUILD, "completion")
PROGRAMS = ("tapferry", "tapferry-vhost", "tapferry-helper", "tapferryd")
MANUALS = {"tapferry-vhost": "docs/tapferry-vhost.8", "tapferry-helper": "docs/tapferry-helper.8", "tapferryd": "docs/tapferryd.8"}


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, stdin=subprocess.DEVNULL).stdout


@functools.cache
def help_of(page):
    """PAGE is "tapferry run" and the like."""
    program, *words = page.split()
    return output_of(os.path.join(sandbox.BUILD, program), *words, "--help")


def commands():
    """Those of tapferry, without help."""
    block = help_of("tapferry").split("Commands:\n")[1].split("\n\n")[0]
    return [name for name in re.findall(r"^  ([\w-]+) ", block, re.M) if name != "help"]


def pages():
    """Every program and command that has a help of its own."""
    return [*PROGRAMS, *(f"tapferry {name}" for name in commands()), "tapferry link show", "tapferry link set"]


def options_in_help(page):
    """{"--net": "SPEC", "-n": "SPEC", "--json": "", ...}"""
    options = {}
    for short, name, value in re.findall(r"^  (?:(-\w), )?(--[a-z-]+)(?:=(\S+))? ", help_of(page), re.M):
        options[name] = value
        if short:
            options[short] = value
    return options


def options_in_manual(page):
    """The same of a page's items; those of `tapferry link' are its subcommands' too."""
    program, *words = page.split()
    if program in MANUALS:
        text = read(MANUALS[program])
    else:
        section = f".Ss tapferry {words[0] if words else 'help'}\n"
        text = re.split(r"^\.S[sh] ", read("docs/tapferry.1").split(section)[1], flags=re.M)[0]
    options = {}
    for item in re.findall(r"^\.It (.*\bFl .*)$", text, re.M):
        for before, after in ((" Ns = Ns ", "="), (" , Ns Ar ...", ",..."), (" | ", "|"), (" Ns Op : Ns Ar N Ns ...", "[:N...]")):
            item = item.replace(before, after)
        previous = None
        values = []
        for part in re.sub(r"\b(Ar|Cm) ", "", item).split(" , "):
            name, _, value = part.partition("=")
            name = re.sub(r"^Fl (?:Fl |(?=-))", "--" if "Fl Fl" in name else "-", name).replace("Fl ", "-")
            options[name] = value
            values.append(value)
            # "-n, --net=SPEC": the value stands once.
            if value and len(values) > 1 and not values[-2]:
                options[previous] = value
            previous = name
    return options


@functools.cache
def _tables(shell):
    """What the completion knows, by page: options and operands as they stand there."""
    command, file = (("bash", "--norc"), "tapferry.bash") if shell == "bash" else (("zsh", "-f"), "_tapferry")
    script = f"""
      compdef() {{ :; }}; _arguments() {{ :; }}; words=() CURRENT=0
      . {BUILT}/{file} 2>/dev/null
      for page in {' '.join(f"'{page}'" for page in [*pages(), 'tapferry help'])}; do
        _tapferry_page "$page" || exit 9
        printf '@ %s\\n' "$page"
        printf 'option %s\\n' "${{opts[@]}}"
        printf 'operand %s\\n' "${{operands[@]}}"
        printf 'change %s\\n' "${{changes[@]}}"
      done"""
    tables = {}
    for line in output_of(*command, "-c", script).splitlines():
        kind, _, text = line.partition(" ")
        if kind == "@":
            table = tables[text] = {"option": [], "operand": [], "change": []}
        elif text:
            table[kind].append(text)
    return tables


def options_in_completion(shell, page):
    """As options_in_help(), but with a list's words."""
    options = {}
    for text in _tables(shell)[page]["option"]:
        if shell == "bash":
            name, _, value = text.partition("=")
        else:
            name, sign, value = re.fullmatch(
                r'(?:\([-\w *]*\)|\*)?(--?[\w-]+)([+=]?)\[.*?(?<!\\)\](?::.*: _tapferry_value "(.*)")?', text).groups(default="")
            assert bool(sign) == bool(value), text
        options[name] = value.replace("\\:", ":")
    return options


def operands_in_completion(page):
    return _tables("bash")[page]["operand"]


def changes_in_completion():
    return [text.partition("=")[0] for text in _tables("bash")["tapferry link set"]["change"]]
