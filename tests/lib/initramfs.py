# SPDX-License-Identifier: MIT
"""An initramfs for one purpose: load modules, run one shell script with busybox, power off.

The archive is cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux), written here so that
neither device nodes nor root are needed, and uncompressed, since the emulated guest would unpack it at its own cost.
"""

from __future__ import annotations

import pathlib
import stat
import subprocess
from collections.abc import Iterable

from guest_fetch import Kernel, Unavailable

BUSYBOX = pathlib.Path("/bin/busybox")

# What a guest's script can use besides busybox. Results leave the guest as marked lines on its console.
_INIT = """#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
stty -F /dev/ttyS0 raw -echo
for module in $(cat /modules.order); do
  insmod "/modules/$module" || echo "init: insmod $module failed"
done
ip link set lo up

result() { echo "RESULT $1=$2"; }

# reach KEY HOST SIZE [COUNT]: how many of COUNT pings with SIZE bytes of payload were answered
reach() {
  received=$(ping -q -c "${4:-3}" -i 0.1 -W 5 -s "$3" "$2" | sed -n 's/.* \\([0-9]*\\) packets received.*/\\1/p')
  result "$1" "${received:-0}/${4:-3}"
}

. /script
result finished yes
poweroff -f
"""


def build(kernel: Kernel, modules: Iterable[str], script: str, files: dict[str, bytes] | None = None) -> bytes:
    """The archive. `modules` are names; what they depend on comes along. `files` are further ones, mode 0755."""
    if not BUSYBOX.exists():
        raise Unavailable("busybox-static is not installed")
    order = load_order(kernel, modules)
    archive = _Archive()
    for folder in ("bin", "dev", "proc", "sys", "modules"):
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("bin/busybox", stat.S_IFREG | 0o755, BUSYBOX.read_bytes())
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, timeout=10, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            archive.add(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    for path in order:
        archive.add(f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
    archive.add("modules.order", stat.S_IFREG | 0o644, "\n".join(path.name for path in order).encode())
    archive.add("init", stat.S_IFREG | 0o755, _INIT.encode())
    archive.add("script", stat.S_IFREG | 0o644, script.encode() + b"\n")
    folders = {str(parent) for name in files or {} for parent in pathlib.PurePath(name).parents} - {".", "bin"}
    for folder in sorted(folders):
        archive.add(folder, stat.S_IFDIR | 0o755)
    for name, content in (files or {}).items():
        archive.add(name, stat.S_IFREG | 0o755, content)
    return archive.finish()


def load_order(kernel: Kernel, modules: Iterable[str]) -> list[pathlib.Path]:
    """The modules' files, each after those it needs, without those that are built in."""
    needs: dict[str, tuple[pathlib.Path, list[str]]] = {}
    for line in (kernel.modules / "modules.dep").read_text(encoding="ascii").splitlines():
        path, _, dependencies = line.partition(":")
        needs[_module_name(path)] = (kernel.modules / path, [_module_name(name) for name in dependencies.split()])
    builtin = (kernel.modules / "modules.builtin").read_text(encoding="ascii").split()
    built_in = {_module_name(path) for path in builtin}
    order: dict[str, pathlib.Path] = {}

    def visit(name: str) -> None:
        if name in order or name in built_in:
            return
        if name not in needs:
            raise Unavailable(f"kernel: {kernel.release} has no module {name}")
        path, dependencies = needs[name]
        # modules.dep lists what a module needs transitively, nearest first.
        for dependency in reversed(dependencies):
            visit(dependency)
        order[name] = path

    for module in modules:
        visit(_module_name(module))
    return list(order.values())


def _module_name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


class _Archive:
    """Entries of a newc archive: a header of thirteen 8-digit hexadecimal fields, name and data padded to 4 bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        self._count += 1
        inode, links, owner, time, device = self._count, 1, 0, 0, 0
        encoded = name.encode() + b"\0"
        fields = (inode, mode, owner, owner, links, time, len(data), device, device, device, device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._parts += [_padded(header + encoded), _padded(data)]

    def finish(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
