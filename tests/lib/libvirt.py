# SPDX-License-Identifier: MIT
"""A real libvirt in session mode, as an ordinary user runs one: a libvirtd of the user's own, started by hand inside the
sandbox without D-Bus and systemd, virsh to talk to it, and domains that boot the guest of guest.py.

    with Session(box, "alice", "9.0", stage, helper) as session:    or "11.3", from the cache
        domain = session.domain("vm1", guest.REACH_HOST, [BRIDGE], session.emulator(guest.qemu("10.0")))
        domain.define()
        domain.start()
        results = domain.wait_until_off()                           {"ping64": "3/3", ...}

A guest's results are lines on its serial console, which libvirt writes to a file. A domain may keep running (a script
that ends in `sleep 1000`): wait_for() waits for one of its results, destroy() ends it. Leaving the `with` ends all that
the session started, and says so when something stayed.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.sax.saxutils
from collections.abc import Sequence

import guest
import guest_fetch
import processes
import sandbox
from guest_fetch import Unavailable

VERSIONS = ("9.0", "11.3")
LIBRARIES = "usr/lib/x86_64-linux-gnu"

# libvirt waits until a QEMU that it ended is gone, zombies included, and a QEMU is nobody's child: whoever adopts it has
# to wait for it, as an init does and the tests' process 1 doesn't. This runs a user's command as such an init, and ends
# with it.
_INIT = """
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
uid, gid, groups, program = sys.argv[1:]
child = subprocess.Popen([program], user=int(uid), group=int(gid), extra_groups=[int(n) for n in groups.split()])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
while True:
    pid, status = os.wait()
    if pid == child.pid:
        sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""


@dataclasses.dataclass(frozen=True)
class Programs:
    """A libvirt: `tree` is "/" or where it is unpacked."""

    version: str
    tree: pathlib.Path

    @property
    def environment(self) -> dict[str, str]:
        if str(self.tree) == "/":
            return {}
        libraries = self.tree / LIBRARIES
        return {"LD_LIBRARY_PATH": str(libraries), "LIBVIRT_DRIVER_DIR": f"{libraries}/libvirt/connection-driver"}

    @property
    def libvirtd(self) -> str:
        return str(self.tree / "usr/sbin/libvirtd")

    @property
    def virsh(self) -> str:
        return str(self.tree / "usr/bin/virsh")


def programs(version: str) -> Programs:
    """Debian 12's own libvirt ("9.0") or that of its backports ("11.3", from the cache). Raises Unavailable."""
    tree = pathlib.Path("/") if version == "9.0" else guest_fetch.ensure("libvirt-11")
    found = Programs(version, tree)
    if not os.path.exists(found.libvirtd):
        raise Unavailable("libvirt-daemon is not installed")
    said = subprocess.run([found.libvirtd, "--version"], env={**os.environ, **found.environment}, capture_output=True,
                          text=True, timeout=30, check=False)
    if f" {version}." not in said.stdout:
        raise Unavailable(f"{found.libvirtd} is not of version {version}: {said.stdout}{said.stderr}".strip())
    return found


class Session:
    """The libvirtd of `user`, its files in a new folder below the user's home, `helper` as its bridge_helper."""

    def __init__(self, box: sandbox.Sandbox, user: str, version: str, stage: guest.Stage, helper: str) -> None:
        self.box, self.user, self.stage = box, user, stage
        self.programs = self._reachable(programs(version))
        who = box.users[user]
        # A short path, since the addresses of sockets are.
        self.folder = pathlib.Path(sandbox.BASE, f"lv-{user}-{version}")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.runtime, self.home = self.folder / "run", self.folder / "home"
        for folder in (self.folder, self.runtime, self.home, self.home / ".config", self.home / ".config/libvirt"):
            folder.mkdir(mode=0o700)
            os.chown(folder, who.uid, who.gid)
        box.write(f"{self.home}/.config/libvirt/qemu.conf",
                  f'bridge_helper = "{helper}"\nsecurity_driver = "none"\nstdio_handler = "file"\n', owner=user)
        self.environment = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), **self.programs.environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._domains: list[Domain] = []
        self._mounts: list[str] = []

    def _reachable(self, found: Programs) -> Programs:
        """At a path that every user can reach; its CPU models where it looks for them."""
        if str(found.tree) == "/":
            return found
        here = self.stage.folder / f"libvirt-{found.version}"
        if not here.exists():
            here.mkdir(mode=0o755)
            subprocess.run(["mount", "--bind", found.tree, here], check=True, timeout=10)
        return Programs(found.version, here)

    def __enter__(self) -> Session:
        if str(self.programs.tree) != "/":
            self._mount(self.programs.tree / "usr/share/libvirt", "/usr/share/libvirt")
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        left = []
        try:
            for domain in self._domains:
                self.virsh("destroy", domain.name)
            left = [domain.name for domain in self._domains if domain.pid() and processes.is_running(domain.pid())]
        finally:
            self.stop()
            for target in self._mounts:
                sandbox.umount(target)
        if left and kind is None:
            raise AssertionError(f"QEMU of {left} still runs")

    def _mount(self, source: pathlib.Path, target: str) -> None:
        """For a path that is compiled in, until the session ends; seen in the tests' own mount namespace only."""
        if target not in self._mounts:
            sandbox.mount(str(source), target, flags=sandbox.MS_BIND)
            self._mounts.append(target)

    def start(self) -> None:
        """Starts libvirtd, and returns when it answers."""
        who = self.box.users[self.user]
        words = [str(who.uid), str(who.gid), " ".join(map(str, who.groups)), self.programs.libvirtd]
        with open(self.folder / "libvirtd.log", "ab") as log:
            self._process = self.box.popen([sys.executable, "-c", _INIT, *words], "root", env=self.environment,
                                           stdout=log, stderr=log, start_new_session=True)
        process, socket = self._process, self.runtime / "libvirt/libvirt-sock"
        sandbox.eventually(lambda: socket.exists() or process.poll() is not None, 60)
        # Without its socket virsh would start a libvirtd by itself.
        if not socket.exists() or self.virsh("list").returncode != 0:
            raise AssertionError(f"libvirtd doesn't answer: {self.log()}")

    def stop(self) -> None:
        """Ends libvirtd; domains would go on running."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                raise
            self._process = None

    def log(self) -> str:
        return (self.folder / "libvirtd.log").read_text(encoding="utf-8", errors="replace")

    def virsh(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """virsh as the user; status, stdout and stderr."""
        return self.box.run([self.programs.virsh, "-c", "qemu:///session", *words], self.user, timeout,
                            env=self.environment)

    def must(self, *words: str) -> str:
        """As virsh(), and it has to work; its stdout."""
        done = self.virsh(*words)
        if done.returncode != 0:
            raise AssertionError(f"virsh {' '.join(words)}: {done.stderr}{self.log()}")
        return done.stdout

    def emulator(self, vmm: guest.Qemu) -> str:
        """A path that libvirt can start as <emulator>: a QEMU from the cache needs its libraries and files named. One session
        can't have both QEMUs: libvirt makes each show its modules, and another version's end it."""
        if vmm.tree is None:
            return vmm.program
        vmm = self.stage.reachable(vmm)
        self._mount(vmm.tree / LIBRARIES / "qemu", f"/{LIBRARIES}/qemu")
        variables = "".join(f"export {name}='{value}'\n" for name, value in vmm.environment)
        options = " ".join(f"'{word}'" for word in vmm.options)
        return self.box.write(f"{sandbox.BASE}/bin/qemu-{vmm.version}",
                              f"#!/bin/sh\n{variables}exec '{vmm.program}' {options} \"$@\"\n", mode=0o755)

    def domain(self, name: str, script: str, interfaces: Sequence[str], emulator: str, **how: object) -> Domain:
        """A domain whose guest runs `script`; `how` as for Domain."""
        domain = Domain(self, name, script, interfaces, emulator, **how)
        self._domains.append(domain)
        return domain


class Domain:
    """A TCG domain with the test guest and the <interface> elements `interfaces`. `shared_memory`: as vhost-user needs
    it; `spare_ports`: PCIe ports for NICs that are plugged in later."""

    def __init__(self, session: Session, name: str, script: str, interfaces: Sequence[str], emulator: str, *,
                 smp: int = 1, shared_memory: bool = False, spare_ports: int = 0) -> None:
        self.session, self.name = session, name
        self.console_path = session.folder / f"{name}.console"
        image = session.stage.initramfs(script)
        shared = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>" if shared_memory else ""
        root = "<controller type='pci' index='0' model='pcie-root'/>"
        ports = root + "<controller type='pci' model='pcie-root-port'/>" * spare_ports if spare_ports else ""
        quoted = xml.sax.saxutils.escape
        self.xml = f"""<domain type='qemu'>
  <name>{quoted(name)}</name>
  <memory unit='MiB'>256</memory>{shared}
  <vcpu>{smp}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{session.stage.vmlinuz}</kernel>
    <initrd>{image}</initrd>
    <cmdline>{guest.KERNEL_WORDS}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>{quoted(emulator)}</emulator>
    <controller type='usb' model='none'/><memballoon model='none'/>{ports}
    <serial type='file'><source path='{self.console_path}'/></serial>
    {"".join(interfaces)}
  </devices>
</domain>
"""

    def define(self) -> None:
        path = self.session.box.write(f"{self.session.folder}/{self.name}.xml", self.xml)
        self.session.must("define", "--validate", path)

    def start(self) -> None:
        self.session.must("start", self.name)

    def state(self) -> str:
        return self.session.must("domstate", self.name).strip()

    def destroy(self) -> None:
        self.session.must("destroy", self.name)

    def undefine(self) -> None:
        self.session.must("undefine", self.name)

    def live_xml(self) -> str:
        return self.session.must("dumpxml", self.name)

    def pid(self) -> int | None:
        """QEMU's, while it runs."""
        try:
            return int((self.session.runtime / f"libvirt/qemu/run/{self.name}.pid").read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def qemu_log(self) -> str:
        """QEMU's command line and what it said."""
        try:
            path = self.session.home / f".cache/libvirt/qemu/log/{self.name}.log"
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def console(self) -> str:
        try:
            return self.console_path.read_bytes().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def results(self) -> dict[str, str]:
        """What the guest has found out up to now."""
        return dict(re.findall(r"^RESULT (\w+)=(.*)\n", self.console(), re.MULTILINE))

    def wait_for(self, key: str, timeout_s: float = 120) -> str:
        """The guest's result `key`, as soon as there is one."""
        sandbox.eventually(lambda: key in self.results() or not self.pid(), timeout_s)
        if key not in self.results():
            raise AssertionError(f"no result {key} from {self}")
        return self.results()[key]

    def wait_until_off(self, timeout_s: float = 120) -> dict[str, str]:
        """All results, when the guest has powered off and libvirt knows it."""
        end = time.monotonic() + timeout_s
        while self.state() != "shut off":
            if time.monotonic() > end:
                raise AssertionError(f"still running: {self}")
            time.sleep(0.1)
        return self.results()

    def __str__(self) -> str:
        tail = "\n".join(self.console().splitlines()[-40:])
        return f"{self.name}: {self.results()}\n--- console\n{tail}\n--- QEMU\n{self.qemu_log()[-4000:]}"
