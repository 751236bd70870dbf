#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run on a Debian kernel as the host, as its root, by test_doctor_modules.py: breaks what only a host with modules of its own has,
and does what `tapferry doctor` says about it. Each step is a line of output."""
import json
import os
import subprocess
import sys

BUILD = sys.argv[1]
DOCTOR = "/usr/local/bin/tapferry"


def run(script):
    done = subprocess.run(["sh", "-e", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script}: {done.stderr}")
    return done.stdout


def findings(*arguments):
    done = subprocess.run([DOCTOR, "doctor", "--json", *arguments], capture_output=True, text=True, check=False)
    if done.stderr:
        sys.exit(done.stderr)
    return json.loads(done.stdout)["findings"]


def mend(name, check):
    """The finding is there, its command is run, and it is gone."""
    found = [one for one in findings(f"--check={check}") if one["id"] == name]
    if not found:
        sys.exit(f"{name} is not found, but {[one['id'] for one in findings()]}")
    run(found[0]["command"])
    if name in [one["id"] for one in findings(f"--check={check}")]:
        sys.exit(f"{name} is still there after {found[0]['command']}")
    print(f"mended {name}: {found[0]['command']}")


def main():
    for folder in ("/usr/local/bin", "/usr/local/libexec", "/etc/tapferry"):
        os.makedirs(folder, exist_ok=True)
    run(f"install -m 755 {BUILD}/tapferry {DOCTOR}; install -m 4755 {BUILD}/tapferry-helper /usr/local/libexec/")
    run("echo 'allow bridge=br0 vhost=on rate_from=1gbit rate_to=1gbit filter=ipv4' >/etc/tapferry/policy.conf")
    run("echo 'allow macvtap=br0' >>/etc/tapferry/policy.conf")
    run("echo 'blacklist tun' >/etc/modprobe.d/no-tun.conf")  # or the kernel loads it when the node is opened
    mend("tun-missing", "devices")
    run("modprobe -r tun; mkdir -p /dev/net; rm -f /dev/net/tun; mknod -m 0666 /dev/net/tun c 10 200")
    mend("tun-no-driver", "devices")
    mend("vhost-net", "devices")
    mend("bridge-missing", "links")
    print("kernel:", [one["id"] for one in findings("--check=kernel")])
    print("io_uring:", [one["id"] for one in findings("--check=io_uring")])
    run("modprobe br_netfilter")
    run("nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
    mend("netfilter-drops", "netfilter")
    # Out of the reach of an unprivileged user there as here.
    before = [one["id"] for one in findings("--check=helper,policy,links,netfilter,devices,kernel")]
    print("left:", before)


main()
