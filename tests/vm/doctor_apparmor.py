#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run on a Debian kernel as the host, as its root, by test_doctor_modules.py: a program in libvirtd's place, confined as Debian
confines libvirtd, may not start the helper, until what `tapferry doctor` prints is done."""
import json
import os
import subprocess
import sys

BUILD = sys.argv[1]
HELPER = "/usr/local/libexec/tapferry-helper"
LIBVIRTD = "/usr/sbin/libvirtd"
CONF = "/home/alice/.config/libvirt/qemu.conf"
PROFILE = """\
#include <tunables/global>
profile libvirtd /usr/sbin/libvirtd flags=(attach_disconnected) {
  #include <abstractions/base>
  /usr/sbin/libvirtd mr,
  /bin/* PUx,
  /usr/bin/* PUx,
  /usr/{lib,lib64,lib/qemu,libexec}/qemu-bridge-helper Cx -> qemu_bridge_helper,
  profile qemu_bridge_helper {
   #include <abstractions/base>
  }
  #include <local/usr.sbin.libvirtd>
}
"""


def run(script):
    done = subprocess.run(["sh", "-e", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script}: {done.stderr}")
    return done.stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def findings():
    done = subprocess.run(["/usr/local/bin/tapferry", "doctor", "--json", "--check=apparmor"], capture_output=True,
                          text=True, check=False, env={**os.environ, "HOME": "/home/alice"})
    return {one["id"]: one["command"] for one in json.loads(done.stdout)["findings"]}


def is_started():
    """By the program in libvirtd's place, which is a shell."""
    done = subprocess.run([LIBVIRTD, "-c", f"{HELPER} --version"], capture_output=True, text=True, check=False)
    return done.stdout.startswith("tapferry-helper ")


def main():
    run("mount -t securityfs securityfs /sys/kernel/security || true; mkdir -p /usr/local/bin /usr/local/libexec")
    run(f"install -m 755 {BUILD}/tapferry /usr/local/bin; install -m 4755 {BUILD}/tapferry-helper {HELPER}")
    run(f"rm -f {LIBVIRTD}; cp /bin/dash {LIBVIRTD}")
    write(CONF, f'bridge_helper = "{HELPER}"\n')
    write("/etc/apparmor.d/usr.sbin.libvirtd", PROFILE)
    write("/etc/apparmor.d/local/usr.sbin.libvirtd", "")
    print("without the profile:", is_started())
    run("apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd")
    print("with it:", is_started(), sorted(findings()))
    run(findings()["apparmor-denies"])
    print("as told:", is_started(), sorted(findings()))


main()
