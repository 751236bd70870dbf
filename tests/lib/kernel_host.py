# SPDX-License-Identifier: MIT
"""A Debian 6.1 kernel as the host: runs a program of this system under another kernel, as root, and comes back.

The full-flavour kernel is emulated with this process's whole file tree as its root, shared read-only by 9p below an
overlay in the emulated memory. So anything that runs here runs there, with that kernel's own tun, bridge, macvtap and
vhost_net, and can write where it likes without a trace here. Boot to power-off is about seven seconds plus the
program, which runs some ten times slower than here.

    done = kernel_host.run(["python3", "tests/run", "tests/system/test_x.py"], vmm=guest.qemu("7.2"))
    done.status, done.output

A program that makes itself a sandbox there should be run from outside of a sandbox here: its users would exist twice.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Sequence

import guest
import guest_fetch
import initramfs

ROOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
HOST_MODULES = ("tun", "bridge", "veth", "dummy", "macvtap", "vhost_net", "8021q")

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
        say: Callable[[str], None] = lambda text: None) -> Completed:
    """Runs `command` in `directory`, with few variables besides `environment`. Raises Unavailable without a kernel."""
    kernel = guest_fetch.kernel("full", say)
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C", **(environment or {})}
    words = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
    main = _MAIN.format(directory=shlex.quote(directory), begin=shlex.quote(_BEGIN), end=shlex.quote(_END),
                        command=shlex.join(words))
    script = _SWITCH.format(busybox=initramfs.BUSYBOX, main=shlex.quote(main))
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
