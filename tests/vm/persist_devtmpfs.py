#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run on a Debian kernel as the host, as its root, by test_persist_devtmpfs.py: macvtaps with persist=on where /dev is the kernel's
own, which makes and removes the node of each. Prints what is seen."""
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), folder)
                for folder in ("lib", "system")]

import handover  # noqa: E402
import links  # noqa: E402
import processes  # noqa: E402
import sandbox  # noqa: E402
from device_case import in_namespace, number_of, own_sysfs  # noqa: E402

SPEC = "macvtap=v0,name=vm-1,persist=on"


def opens(box, user, path):
    return box.run(["/bin/sh", "-c", f"exec 3<>{path}"], user).returncode == 0


def made(box, helper):
    with handover.net(box, helper, SPEC, "alice") as got:
        if got.status:
            return got.stderr.strip()
        return got.link


def ended():
    return sandbox.eventually(lambda: not processes.named("tapferry-"), 60)


def check_life(box, helper):
    link = made(box, helper)
    node = f"/dev/tap{link.index}"
    status = os.stat(node)
    print("the node:", status.st_uid, oct(status.st_mode & 0o777))
    print("who opens it:", [user for user in ("alice", "bob", "carol") if opens(box, user, node)])
    print("nobody needs to stay:", ended(), links.get("vm-1") is not None)
    kept = os.open(node, os.O_PATH)
    done = box.run([helper, "--release=vm-1"])
    print("released:", done.returncode, done.stderr.strip(), links.get("vm-1") is None, not os.path.exists(node))
    print("what an old descriptor has:", oct(os.fstat(kept).st_mode & 0o777), opens(box, "alice", f"/proc/{os.getpid()}/fd/{kept}"))
    os.close(kept)


def check_collision(box, helper):
    """The kernel has one /dev for all, and no second node of a name."""
    sandbox.ip("link", "add", "counter", "type", "bridge")
    index = links.get("counter").index + 1
    sandbox.ip("netns", "add", "other")
    with in_namespace("other"), own_sysfs():
        box.veth("v0", "v1")
        sandbox.ip("link", "add", "link", "v0", "name", "mv0", "index", str(index), "type", "macvtap")
        theirs = number_of("mv0")
    before = os.stat(f"/dev/tap{index}")
    said = made(box, helper)
    print("another's:", said if isinstance(said, str) else f"made as {said.index}")
    print("nothing is left:", links.get("vm-1") is None, ended())
    print("another's node is as it was:", before.st_rdev == theirs and os.stat(f"/dev/tap{index}") == before)
    print("the next has its own:", made(box, helper).index == index + 1, opens(box, "alice", f"/dev/tap{index + 1}"))


def main():
    sandbox.reexec()
    box = sandbox.enter()
    helper = box.install_helper()
    sandbox.mount("devtmpfs", "/dev", "devtmpfs")
    os.chmod("/dev/net/tun", 0o666)
    box.veth("v0", "v1")
    box.policy("allow macvtap=v0 user=alice name=vm-* persist=on")
    check_life(box, helper)
    check_collision(box, helper)


main()
