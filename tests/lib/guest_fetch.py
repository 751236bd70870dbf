# SPDX-License-Identifier: MIT
"""What the guests are made of, Debian kernels, a newer QEMU and a newer libvirt; others' tools, Prometheus' linter and
systemd's varlinkctl; and a small Debian to install into: downloaded once and kept in a cache.

Nothing is installed. apt resolves and downloads with a configuration and a state directory of its own, which are
thrown away afterwards; packages are unpacked beside their final place and renamed, so that an interrupted download
leaves nothing that looks finished. With a warm cache no network and no apt is used at all.

    python3 tests/lib/guest_fetch.py [NAME...]      fetch what is missing, say what there is
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

APT_TIMEOUT_S = 600
ITEMS = ("kernel-cloud", "kernel-full", "qemu-10", "libvirt-11", "prometheus", "debian-root", "varlinkctl")
BENCH_ITEMS = ("passt",)  # that of Debian 13, which speaks vhost-user; for `make bench` only
_NEWER = "trixie"
# Those that a session-mode libvirtd needs; what else they ask for (a newer systemd) only services use.
_LIBVIRT = ("libvirt0", "libvirt-common", "libvirt-clients", "libvirt-daemon", "libvirt-daemon-common",
            "libvirt-daemon-driver-qemu")
# What the packages need, so that apt finds all of it without a network; what `make install` needs; users and capabilities.
_ROOT_PACKAGES = ("apparmor", "iproute2", "libcap-ng0", "libcap2-bin", "libglib2.0-0", "libjson-glib-1.0-0", "libmnl0",
                  "libseccomp2", "liburing2", "libvirt0", "make", "systemd")
# varlinkctl and all that it is linked with, down to the C library: it is started by that one's own loader.
_VARLINKCTL = ("systemd", "libsystemd-shared", "libc6", "libacl1", "libaudit1", "libblkid1", "libcap-ng0", "libcap2",
               "libcrypt1", "libmount1", "libpam0g", "libpcre2-8-0", "libseccomp2", "libselinux1", "libssl3t64", "zlib1g", "libzstd1")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """Something can be neither found in the cache nor downloaded; the text says what and why."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An unpacked Debian kernel: `vmlinuz` to boot, `modules` as /lib/modules/RELEASE with modules.dep."""

    release: str
    vmlinuz: pathlib.Path
    modules: pathlib.Path


def cache_dir() -> pathlib.Path:
    """$TAPFERRY_CACHE, else tapferry below $XDG_CACHE_HOME or ~/.cache. Under sudo ~ is root's own home."""
    if os.environ.get("TAPFERRY_CACHE"):
        return pathlib.Path(os.environ["TAPFERRY_CACHE"])
    home = pathlib.Path(os.environ.get("HOME") or "/")
    if "SUDO_UID" in os.environ or str(home) == "/":
        return pathlib.Path(pwd.getpwuid(os.geteuid()).pw_dir, ".cache", "tapferry")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache", "tapferry")


def kernel(flavour: str, say: Callable[[str], None] = lambda text: None) -> Kernel:
    """The kernel of a flavour, "cloud" (small, for guests) or "full" (has 9p, vhost_net, macvtap: for hosts)."""
    tree = ensure(f"kernel-{flavour}", say)
    (modules,) = (tree / "lib/modules").iterdir()
    return Kernel(modules.name, tree / f"boot/vmlinuz-{modules.name}", modules)


def ensure(item: str, say: Callable[[str], None] = lambda text: None) -> pathlib.Path:
    """Directory of an item of ITEMS in the cache, fetched first when it is missing. Raises Unavailable."""
    place = cache_dir() / item
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may want the same thing at the same time
        if not place.is_dir():
            for stale in place.parent.glob("fetch.*"):  # of a download that was killed; we hold the lock
                shutil.rmtree(stale, ignore_errors=True)
            say(f"downloading {item} into {place.parent}")
            with tempfile.TemporaryDirectory(prefix="fetch.", dir=place.parent) as work:
                _fetch(item, pathlib.Path(work), place)
    return place


def prefetch(say: Callable[[str], None]) -> None:
    """Fetches all that is missing, where there is a network: tests have none. What fails is said, and skipped there."""
    for item in ITEMS:
        try:
            ensure(item, say)
        except Unavailable as error:
            say(f"{item}: {error}")


def _fetch(item: str, work: pathlib.Path, place: pathlib.Path) -> None:
    if item == "debian-root":
        _run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--aptopt=Acquire::Retries 3",
              f"--include={','.join(_ROOT_PACKAGES)}", _codename(), str(work / "tree"), *_sources(None)])
        os.rename(work / "tree", place)
        return
    backports = f"{_codename()}-backports"
    suite = {"qemu-10": backports, "libvirt-11": backports, "passt": _NEWER, "varlinkctl": _NEWER}.get(item)
    apt = _PrivateApt(work / "apt", suite)
    if item == "passt":
        # It needs a newer C library than this system's, and is started by that one's own loader.
        archives = apt.download(f"passt/{_NEWER}", f"libc6/{_NEWER}")
    elif item == "qemu-10":
        archives = apt.download_with_missing_libraries("qemu-system-x86", backports)
    elif item == "libvirt-11":
        archives = apt.download(*(f"{package}/{backports}" for package in _LIBVIRT))
    elif item == "varlinkctl":
        archives = apt.download(*(f"{package}/{_NEWER}" for package in _VARLINKCTL))
    elif item == "prometheus":
        archives = apt.download("prometheus")  # for promtool
    else:
        suffix = "cloud-amd64" if item == "kernel-cloud" else "amd64"
        archives = apt.download(apt.newest(re.compile(rf"linux-image-6\.1\.0-(\d+)-{suffix}")))
    tree = work / "tree"
    tree.mkdir(mode=0o755)
    for archive in archives:
        _run(["dpkg-deb", "--extract", str(archive), str(tree)])
    if item.startswith("kernel-"):
        (modules,) = (tree / "lib/modules").iterdir()
        _run(["depmod", "--basedir", str(tree), modules.name])
    os.rename(tree, place)


class _PrivateApt:
    """apt with its own sources, lists and archives below `root`; the host's are only read."""

    def __init__(self, root: pathlib.Path, suite: str | None) -> None:
        self.archives = root / "archives"
        for folder in (self.archives / "partial", root / "lists/partial", root / "parts"):
            folder.mkdir(parents=True)
        sources = root / "sources.list"
        sources.write_text("".join(f"{line}\n" for line in _sources(suite)), encoding="ascii")
        self.options = [
            f"-oDir::Etc::SourceList={sources}",
            f"-oDir::Etc::SourceParts={root}/parts",
            f"-oDir::State::Lists={root}/lists",
            f"-oDir::Cache={root}",
            f"-oDir::Cache::Archives={self.archives}",
            "-oAcquire::Languages=none",
            "-oAcquire::PDiffs=false",
            "-oAcquire::Retries=3",
            "-oAcquire::http::Timeout=30",
            # The cache may be below a home that apt's own user can't enter. Signatures are checked all the same.
            "-oAPT::Sandbox::User=",
            # Nothing is installed, so dpkg's lock isn't needed.
            "-oDebug::NoLocking=1",
        ]
        self._apt("apt-get", "update", "-qq", "--error-on=any")

    def _apt(self, tool: str, *words: str) -> str:
        return _run([tool, *self.options, *words], cwd=self.archives)

    def newest(self, pattern: re.Pattern[str]) -> str:
        """The package whose name matches in full and whose first group is the largest number."""
        names = self._apt("apt-cache", "pkgnames", "linux-image-").split()
        found = [(int(match[1]), name) for name in names if (match := pattern.fullmatch(name))]
        # A name stays known after its package went from the archive: take the newest that has a version.
        for _, name in sorted(found, reverse=True):
            if "Candidate: (none)" not in self._apt("apt-cache", "policy", name):
                return name
        raise Unavailable(f"no package of apt's matches {pattern.pattern}")

    def download(self, *packages: str) -> list[pathlib.Path]:
        self._apt("apt-get", "download", "-qq", *packages)
        return sorted(self.archives.glob("*.deb"))

    def download_with_missing_libraries(self, package: str, release: str) -> list[pathlib.Path]:
        """A package of `release` and whatever it needs that this system doesn't have in that version."""
        self._apt("apt-get", "install", "-qq", "--yes", "--download-only", "--no-install-recommends",
                  f"--target-release={release}", package, "seabios")
        return sorted(self.archives.glob("*.deb"))


def _sources(suite: str | None) -> list[str]:
    """apt lines of Debian's own suites as this system has them, and those of another suite on the same mirror."""
    codename = _codename()
    rows = _run(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                 "Created-By: Packages"]).split("\n")
    rows = [row.split() for row in dict.fromkeys(rows) if len(row.split()) == 3]
    ours = [row for row in rows if re.fullmatch(rf"{codename}(-updates|-security)?", row[1])]
    main = [row[0] for row in ours if row[1] == codename and row[2] == "main"]
    if not main:
        raise Unavailable(f"apt's sources have no suite {codename}")
    option = f"[signed-by={_KEYRING}] " if os.path.exists(_KEYRING) else ""
    if suite is not None:
        ours.append([main[0], suite, "main"])
    return [f"deb {option}{' '.join(row)}" for row in ours]


def _codename() -> str:
    text = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    match = re.search(r"^VERSION_CODENAME=(\w+)$", text, re.MULTILINE)
    if not match:
        raise Unavailable("/etc/os-release names no release")
    return match[1]


def _run(argv: list[str], cwd: pathlib.Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=APT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        first = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[0]
        words = [word for word in argv if not word.startswith("-")]
        raise Unavailable(f"{' '.join(words)}: {first}")
    return done.stdout


def main(names: list[str]) -> int:
    for name in names or ITEMS:
        if name not in ITEMS + BENCH_ITEMS:
            print(f"guest_fetch: {name}: not one of {', '.join(ITEMS + BENCH_ITEMS)}", file=sys.stderr)
            return 2
        try:
            print(ensure(name, print))
        except Unavailable as error:
            print(f"guest_fetch: {name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
