#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run on a Debian kernel as the host, as its root, by test_apparmor.py: loads our AppArmor profiles for the programs of the tests'
sandbox, shows what they keep a shell in a program's place from, runs tests under them, and prints what was denied meanwhile."""
import os
import re
import shutil
import subprocess
import sys

import sandbox  # found by PYTHONPATH

BIN = f"{sandbox.BASE}/bin"
PROFILES = ("tapferryd", "tapferry-vhost")
SHELL = "/bin/dash"


def load():
    """The profiles, for programs in BIN."""
    subprocess.run("mount -t securityfs securityfs /sys/kernel/security || true", shell=True, check=True)
    for name in PROFILES:
        with open(f"{sandbox.ROOT}/docs/apparmor/{name}", encoding="utf-8") as file:
            text = re.sub(r"@(bin|sbin|libexec)dir@", BIN, file.read())
        subprocess.run(["apparmor_parser", "-r", "--skip-cache"], input=text, text=True, check=True)


def shell_can(program, script):
    """Whether a shell that runs as `program` can do what the script does."""
    os.makedirs(BIN, exist_ok=True)
    shutil.copy(SHELL, f"{BIN}/{program}")
    done = subprocess.run([f"{BIN}/{program}", "-c", script], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          check=False)
    os.unlink(f"{BIN}/{program}")
    return done.returncode == 0


def denied():
    """What profiles have denied, as the kernel logs it."""
    text = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    found = set()
    for line in re.findall(r'apparmor="DENIED".*', text):
        found.add(re.sub(r" (pid|error|fsuid|ouid)=-?\d+", "", line))
    return sorted(found)


def main():
    attempts = (("read", "read x </etc/shadow"), ("run", "/bin/true"), ("write", "echo x >/etc/tapferry-was-here"),
                ("allowed", "read x </etc/passwd || read x </proc/self/status"))
    for program in ("free", *PROFILES):
        if program == PROFILES[0]:
            load()
        print(f"{program}:", *(name for name, script in attempts if shell_can(program, script)))
    print(f"was denied: {'yes' if denied() else 'no'}")
    subprocess.run(["dmesg", "--clear"], check=True)
    for arguments in sys.argv[1:]:
        done = subprocess.run(["python3", "tests/run", *arguments.split()], cwd=sandbox.ROOT, check=False)
        print(f"status {done.returncode}: {arguments}")
    for line in denied():
        print(f"DENIED {line}")


main()
