#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Debian 6.1 kernel as the host: runs a program of this system under another kernel, as root, and comes back.

The full-flavour kernel is emulated with this process's whole file tree as its root, shared read-only by 9p below an
overlay in the emulated memory. So anything that runs here runs there, with that kernel's own tun, bridge, macvtap and
vhost_net, and can write where it likes without a trace here. Boot to power-off is about seven seconds plus the
program, which runs some ten times slower than here.

    done = kernel_host.run(["python3", "tests/run", "tests/system/test_x.py"], vmm=guest.qemu("10.0"))
    done.status, done.output

Tests that need that kernel are ordinary files of tests/system, which skip where theirs lacks something; a KernelHostCase
in tests/vm runs them there. By hand:

    sudo tests/lib/kernel_host.py tests/system/test_x.py [-k PATTERN]

A program that makes itself a sandbox there should be run from outside of a sandbox here: its users would exist twice.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
import unittest
from collections.abc import Callable, Sequence

import guest
import guest_fetch
import initramfs
import sandbox

ROOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
# Others the kernel loads by itself when they are asked for.
HOST_MODULES = ("tun", "bridge", "veth", "dummy", "macvtap", "vhost_net", "8021q")
# All processes, the kernel's threads too, for tests that are in a process namespace of their own.
ALL_PROCESSES = "/kernel-host/proc"

# Pid 1 of the emulated host. The program's output is framed, as the kernel may write to the same console.
_MAIN = """
cd {directory}
echo "RESULT kernel=$(uname -r)"
echo {begin}
{command} </dev/null 2>&1
status=$?
echo
echo {end}
echo "RESULT status=$status"
exec busybox poweroff -f
"""
_BEGIN, _END = "-----begin output-----", "-----end output-----"

# systemd becomes pid 1 instead, and starts little more than journald and the program. What the machine's own units would start,
# mount and wait for isn't there.
_BOOT = """
set -e
: >/etc/fstab
echo uninitialized >/etc/machine-id
rm -rf /etc/systemd/system/* /lib/systemd/system-generators/* /lib/systemd/system/*.wants/* /var/log/journal
{prepare}
printf %s {main} >/kernel-host/main
cat >/etc/systemd/system/kernel-host.service <<END
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /kernel-host/main
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
END
cat >/etc/systemd/system/kernel-host.target <<END
[Unit]
Requires=systemd-journald.service systemd-journald-dev-log.socket kernel-host.service
AllowIsolate=yes
END
ln -sf kernel-host.target /etc/systemd/system/default.target
exec /lib/systemd/systemd --show-status=no --log-target=journal
"""

# Not chroot: in one no user namespace can be made.
_SWITCH = """
mkdir /lower /upper /host
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /lower || poweroff -f
mount -t tmpfs -o mode=755 upper /upper
mkdir /upper/files /upper/scratch
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/scratch root /host || poweroff -f
mount -t devtmpfs dev /host/dev
mkdir -p /host/dev/pts /host/dev/shm
mount -t devpts -o ptmxmode=0666 devpts /host/dev/pts
mount -t tmpfs -o mode=1777 shm /host/dev/shm
mount -t proc proc /host/proc
mount -t sysfs sysfs /host/sys
mkdir -p /host{all_processes} /host/lib/modules
mount -t proc proc /host{all_processes}
ln -s {modules} /host/lib/modules/{release}
exec switch_root /host {busybox} sh -c {main}
"""

# Files of different mounts below / may have equal inode numbers; remap keeps them apart.
_SHARE = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"


@dataclasses.dataclass
class Completed:
    """`status` is the program's, None when it didn't get to its end; `output` its stdout and stderr."""

    status: int | None
    output: str
    kernel: str
    run: guest.Outcome

    def __str__(self) -> str:
        return str(self.run) if self.status is None else f"status {self.status} on {self.kernel}\n{self.output}"


def run(command: Sequence[str], *, vmm: guest.Qemu, environment: dict[str, str] | None = None, directory: str = "/",
        modules: Sequence[str] = HOST_MODULES, smp: int = 2, memory_mb: int = 1024, timeout_s: float = 120,
        systemd_after: str | None = None, say: Callable[[str], None] = lambda text: None) -> Completed:
    """Runs `command` in `directory`, with few variables besides `environment`. Raises Unavailable without a kernel.

    With `systemd_after`, a shell script that is run first, systemd is pid 1 and the command a service of its own.
    """
    kernel = guest_fetch.kernel("full", say)
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C", **(environment or {})}
    words = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
    main = _MAIN.format(directory=shlex.quote(directory), begin=shlex.quote(_BEGIN), end=shlex.quote(_END),
                        command=shlex.join(words))
    if systemd_after is not None:
        main = _BOOT.format(prepare=systemd_after, main=shlex.quote(main))
    script = _SWITCH.format(busybox=initramfs.BUSYBOX, main=shlex.quote(main), all_processes=ALL_PROCESSES,
                            modules=shlex.quote(str(kernel.modules)), release=kernel.release)
    image = os.memfd_create("initramfs")
    try:
        with open(image, "wb", closefd=False) as file:
            file.write(initramfs.build(kernel, (*ROOT_MODULES, *modules), script))
        arguments = [vmm.program, *vmm.options, *guest.machine(smp, memory_mb), "-virtfs", _SHARE,
                     *guest.kernel_arguments(kernel.vmlinuz, f"/proc/self/fd/{image}")]
        outcome = guest.run(arguments, dict(vmm.environment), pass_fds=[image], timeout_s=timeout_s)
    finally:
        os.close(image)
    output = outcome.console.partition(f"{_BEGIN}\n")[2].partition(f"\n{_END}\n")[0]
    status = outcome.results.get("status")
    return Completed(None if status is None else int(status), output, outcome.results.get("kernel", ""), outcome)


PASSED_ON = ("TAPFERRY_TEST_HELPER", "TAPFERRY_CACHE", "XDG_CACHE_HOME", "MUST_RUN")
SUMMARY = re.compile(r"^(\d+) passed, 0 failed, (\d+) skipped$", re.MULTILINE)


def run_here(command: Sequence[str], **options) -> Completed:
    """`command` in this tree, with what tests/run looks for in the environment. OPTIONS go to run()."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment.update(TAPFERRY_BUILD=sandbox.BUILD, TAPFERRY_TIME_FACTOR="3", PYTHONDONTWRITEBYTECODE="1")
    # The newer one takes a third less time for the same.
    return run(command, vmm=guest.qemu("10.0"), directory=sandbox.ROOT, environment=environment, **options)


class KernelHostCase(unittest.TestCase):
    """Tests that run other tests there. Skips where there is no such kernel, or nothing is built."""

    def runs_there(self, *command: str, **options) -> Completed:
        """`command` in this tree, on that kernel."""
        try:
            done = run_here(command, **options)
        except guest.Unavailable as error:
            raise unittest.SkipTest(str(error)) from error
        self.assertRegex(done.kernel, r"^6\.1\.", done)
        return done

    def passes_there(self, *arguments: str, at_least: int = 1, may_skip: bool = False, timeout_s: float = 600,
                     **options) -> str:
        """`tests/run ARGUMENTS` there: none fails, AT_LEAST so many pass, and none skips unless it MAY; the summary."""
        if not os.path.exists(os.path.join(sandbox.BUILD, "tapferry-helper")):
            raise unittest.SkipTest("tapferry-helper is not built")
        done = self.runs_there("python3", "tests/run", *arguments, timeout_s=timeout_s, **options)
        self.assertEqual(done.status, 0, done)
        summary = SUMMARY.search(done.output)
        self.assertIsNotNone(summary, done)
        self.assertGreaterEqual(int(summary[1]), at_least, done)
        if not may_skip:
            self.assertEqual(summary[2], "0", done)
        return f"on kernel {done.kernel} as the host: {summary[0]}"


if __name__ == "__main__":
    completed = run_here(["python3", "tests/run", *sys.argv[1:]], timeout_s=3600, say=print)
    print(completed)
    sys.exit(1 if completed.status is None else completed.status)
