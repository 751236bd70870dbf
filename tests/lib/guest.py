# SPDX-License-Identifier: MIT
"""Boots a real guest: Debian's 6.1 cloud kernel under an emulating QEMU, started by a user without capabilities.

A guest runs one shell script and powers off, about three seconds in all. What it finds out it prints as lines
`RESULT key=value`, which come back as a dictionary together with everything else that can be known of the run.

    stage = Stage(folder)                       files that the unprivileged user can read
    outcome = stage.boot(qemu("7.2"), REACH_HOST, ["-netdev", ...], user=alice)
    outcome.results["ping64"]                   "3/3"
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import guest_fetch
import initramfs
from guest_fetch import Unavailable

HOST_ADDRESS = "192.0.2.1"
GUEST_ADDRESS = "192.0.2.2"
GUEST_MODULES = ("virtio_pci", "virtio_net")
GUEST_MAC = "52:54:00:12:34:56"

# A panic ends QEMU at once, as a restart does with -no-reboot. What guards against a real processor's faults only costs
# time on an emulated one.
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init"

# The guest of most tests: takes an address, pings the host with a small and with a fragmented packet, counts queues.
REACH_HOST = f"""
ip addr add {GUEST_ADDRESS}/24 dev eth0
ip link set eth0 up
result mac "$(cat /sys/class/net/eth0/address)"
result rx_queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
result tx_queues "$(ls -d /sys/class/net/eth0/queues/tx-* | wc -l)"
reach ping64 {HOST_ADDRESS} 64
reach ping60000 {HOST_ADDRESS} 60000
"""


OnResult = Callable[[str, str], None] | None


class User(Protocol):
    """Who starts QEMU."""

    uid: int
    gid: int
    groups: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Qemu:
    """A QEMU: `program` with the options it always needs. `tree` is where it is unpacked, if not installed."""

    version: str
    program: str
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    tree: pathlib.Path | None = None


@dataclasses.dataclass
class Outcome:
    """How a guest's run ended. `uid` and `capabilities` are QEMU's own, read while the guest ran."""

    status: int | None
    console: str
    stderr: str
    seconds: float
    results: dict[str, str]
    uid: int | None
    capabilities: int | None

    def __str__(self) -> str:
        ending = "timed out" if self.status is None else f"exit status {self.status}"
        tail = "\n".join(self.console.splitlines()[-40:])
        return f"{ending} after {self.seconds:.1f} s, {self.results}\n--- stderr\n{self.stderr}\n--- console\n{tail}"


def qemu(version: str, say: Callable[[str], None] = lambda text: None) -> Qemu:
    """Debian 12's own QEMU ("7.2") or that of its backports ("10.0", from the cache). Raises Unavailable."""
    if version == "7.2":
        program = "/usr/bin/qemu-system-x86_64"
        if not os.path.exists(program):
            raise Unavailable("qemu-system-x86 is not installed")
        return Qemu(_version_of(program, {}), program)
    tree = guest_fetch.ensure("qemu-10", say)
    found = _version_of(f"{tree}/usr/bin/qemu-system-x86_64", _library_path(tree))
    if not found.startswith(version.split(".", maxsplit=1)[0] + "."):
        raise Unavailable(f"the cache has QEMU {found}, not {version}")
    return _unpacked(found, tree)


def _unpacked(version: str, tree: pathlib.Path) -> Qemu:
    return Qemu(version, f"{tree}/usr/bin/qemu-system-x86_64",
                tuple(word for folder in (f"{tree}/usr/share/qemu", f"{tree}/usr/share/seabios", "/usr/lib/ipxe/qemu")
                      for word in ("-L", folder)), tuple(_library_path(tree).items()), tree)


def _library_path(tree: pathlib.Path) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": f"{tree}/usr/lib/x86_64-linux-gnu"}


def _version_of(program: str, environment: dict[str, str]) -> str:
    text = subprocess.run([program, "--version"], env={**os.environ, **environment}, capture_output=True, text=True,
                          timeout=30, check=False)
    match = re.search(r"version (\d+\.\d+(\.\d+)?)", text.stdout)
    if not match:
        raise Unavailable(f"{program} --version: {text.stderr.strip() or text.stdout.strip()}")
    return match[1]


class Stage:
    """Makes kernel, initramfs and QEMU readable in `folder` for users who may not enter the cache, and boots.

    `folder` exists, is readable by all, and belongs to a mount namespace of ours (an unpacked QEMU is mounted into it).
    """

    def __init__(self, folder: str | os.PathLike[str], say: Callable[[str], None] = lambda text: None) -> None:
        self.folder = pathlib.Path(folder)
        self.kernel = guest_fetch.kernel("cloud", say)
        self.vmlinuz = self._put("vmlinuz", self.kernel.vmlinuz.read_bytes())
        self._boots = 0

    def _put(self, name: str, content: bytes) -> pathlib.Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def reachable(self, vmm: Qemu) -> Qemu:
        """The same QEMU at a path that every user can reach."""
        if vmm.tree is None or vmm.tree.is_relative_to(self.folder):
            return vmm
        here = self.folder / f"qemu-{vmm.version}"
        if not here.exists():
            here.mkdir(mode=0o755)
            subprocess.run(["mount", "--bind", vmm.tree, here], check=True, timeout=10)
        return _unpacked(vmm.version, here)

    def arguments(self, vmm: Qemu, script: str, smp: int = 1, memory_mb: int = 256,
                  files: dict[str, bytes] | None = None) -> list[str]:
        """QEMU's command line without its network: the machine, the kernel and an initramfs that runs `script`, with
        `files` in it."""
        image = self.initramfs(script, files)
        return [vmm.program, *vmm.options, *machine(smp, memory_mb), *kernel_arguments(self.vmlinuz, image)]

    def initramfs(self, script: str, files: dict[str, bytes] | None = None) -> pathlib.Path:
        """A new initramfs that runs `script`, with `files` in it."""
        self._boots += 1
        return self._put(f"initramfs-{self._boots}", initramfs.build(self.kernel, GUEST_MODULES, script, files))

    def boot(self, vmm: Qemu, script: str, network: Sequence[str], *, user: User | None = None,
             prefix: Sequence[str] = (), smp: int = 1, pass_fds: Sequence[int] = (), timeout_s: float = 120,
             on_result: OnResult = None, files: dict[str, bytes] | None = None) -> Outcome:
        """Boots, waits until the guest has powered off or `timeout_s` is over, and kills what is left.

        `prefix` is put before QEMU's command line (`tapferry run ... --`). Without `user` QEMU runs as the caller.
        `on_result` hears of each result as it comes.
        """
        vmm = self.reachable(vmm)
        command = [*prefix, *self.arguments(vmm, script, smp, files=files), *network]
        return run(command, dict(vmm.environment), user, pass_fds, timeout_s, on_result)


def program_files(program: str) -> dict[str, bytes]:
    """An installed program and the libraries that it needs, at their own places, for the initramfs."""
    needed = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30, check=True).stdout
    paths = [program, *re.findall(r"(/\S+) \(0x", needed)]
    return {path.lstrip("/"): pathlib.Path(path).read_bytes() for path in paths}


# What an emulated processor pays for at every memory access or system call, and no guest here needs: page tables of five
# levels, and protections that change on the way into the kernel. Without them it uses a third less time.
CPU = "max,la57=off,smap=off,smep=off,umip=off,pku=off"


def machine(smp: int, memory_mb: int) -> list[str]:
    """Without -nodefaults QEMU would add a NIC and a disc drive of its own, without tcg it would look for /dev/kvm."""
    return ["-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg", "-cpu", CPU, "-smp", str(smp),
            "-m", str(memory_mb), "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]


def kernel_arguments(vmlinuz: pathlib.Path, image: pathlib.Path | str) -> list[str]:
    return ["-kernel", str(vmlinuz), "-initrd", str(image), "-append", KERNEL_WORDS]


def virtio_nic(netdev: str, queues: int = 1, mac: str = GUEST_MAC) -> list[str]:
    """The guest's NIC. Two vectors a queue, one each for the control queue and for configuration changes."""
    device = f"virtio-net-pci,netdev={netdev},mac={mac},romfile="
    if queues > 1:
        device += f",mq=on,vectors={2 * queues + 2}"
    return ["-device", device]


def run(command: Sequence[str], environment: dict[str, str] | None = None, user: User | None = None,
        pass_fds: Sequence[int] = (), timeout_s: float = 120, on_result: OnResult = None) -> Outcome:
    """Runs a command that prints a guest's console on stdout, in a session of its own, until the timeout at most."""
    credentials = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}
    start = time.monotonic()
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **(environment or {})}
    with subprocess.Popen(list(command), cwd="/", env=variables, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=tuple(pass_fds),
                          start_new_session=True, **credentials) as process:
        observed = _Observed(process.pid, on_result)
        try:
            _collect(process, observed, start + timeout_s)
            status: int | None = process.wait(max(0.1, start + timeout_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = None
        finally:
            # Also after a clean end: nothing of the session may stay. (The group's number can't be in use again
            # by others while one of its processes lives; when none does, there is nothing to kill.)
            _kill_group(process.pid)
    return Outcome(status, observed.console(), observed.text[1].decode(errors="replace"), time.monotonic() - start,
                   observed.results, observed.uid, observed.capabilities)


class _Observed:
    """What a running guest and its QEMU have shown so far: console and stderr, results, QEMU's credentials."""

    def __init__(self, pid: int, on_result: OnResult) -> None:
        self.text = [b"", b""]
        self.results: dict[str, str] = {}
        self.uid: int | None = None
        self.capabilities: int | None = None
        self._pid = pid
        self._on_result = on_result

    def console(self) -> str:
        return self.text[0].decode(errors="replace").replace("\r", "")

    def add(self, stream: int, data: bytes) -> None:
        self.text[stream] += data
        if stream != 0 or b"\n" not in data:
            return
        for key, value in re.findall(r"^RESULT (\w+)=(.*)\n", self.console(), re.MULTILINE):
            if not self.results:
                self._read_credentials()
            if key not in self.results:
                self.results[key] = value
                if self._on_result:
                    self._on_result(key, value)

    def _read_credentials(self) -> None:
        """At the first result: by then whoever started QEMU has changed what he was to change."""
        try:
            status = pathlib.Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8")
        except OSError:
            return
        self.uid = int(re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)[1])
        # Inheritable, permitted, effective or ambient: any of them would be too much.
        self.capabilities = 0
        for value in re.findall(r"^Cap(?:Inh|Prm|Eff|Amb):\s+([0-9a-f]+)$", status, re.MULTILINE):
            self.capabilities |= int(value, 16)


def _collect(process: subprocess.Popen[bytes], observed: _Observed, deadline: float) -> None:
    """Reads both streams until QEMU has ended. Not until they are closed: a process left behind may hold them."""
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            for stream, file in enumerate((process.stdout, process.stderr)):
                os.set_blocking(file.fileno(), False)
                selector.register(file, selectors.EVENT_READ, stream)
            running = True
            while running:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise subprocess.TimeoutExpired(process.args, 0)
                ready = [key for key, _ in selector.select(left)]
                # What was written before the end is in the pipes by the time that the end is seen.
                running = all(key.fd != ended for key in ready)
                for key in ready if running else list(selector.get_map().values()):
                    if key.fd != ended and not _read_waiting(key.fd, key.data, observed):
                        selector.unregister(key.fileobj)
    finally:
        os.close(ended)


def _read_waiting(fd: int, stream: int, observed: _Observed) -> bool:
    """Takes what is waiting; whether more can come."""
    while True:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        observed.add(stream, data)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
