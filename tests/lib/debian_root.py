# SPDX-License-Identifier: MIT
"""A small Debian of its own to install into and to remove from: an overlay of the cached one, in the sandbox's network.

    root = DebianRoot(box)
    before = root.files()
    root.done("apt-get install -y /debs/*.deb")
    root.changes(before)                    ["added /usr/bin/tapferry", ...]

The tree under test and its build lie at their own places in it, read-only; this system, for its QEMU, below /outside.
"""
import hashlib
import os
import pathlib
import re
import stat
import subprocess

import guest
import guest_fetch
import sandbox

USER = "alice"
# What package management and the C library keep for themselves.
VOLATILE = re.compile(r"^/(proc|sys|dev|tmp|root|outside|debs|run/systemd|var/(lib/(dpkg|apt)|cache|log)"
                      rf"|etc/(passwd-|group-|shadow-|gshadow-|ld\.so\.cache|\.pwd\.lock)|{sandbox.BASE[1:]})(/|$)")
QEMU = "/opt/qemu-system-x86_64"
_OUTSIDE_LIBRARIES = ":".join(f"/outside{path}" for path in (
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu/pulseaudio",
    "/usr/lib/x86_64-linux-gnu/ceph"))
# The outside's QEMU with the outside's libraries, which what it starts doesn't get.
_QEMU_SCRIPT = f"""#!/bin/sh
export QEMU_MODULE_DIR=/outside/usr/lib/x86_64-linux-gnu/qemu
exec /outside/lib64/ld-linux-x86-64.so.2 --library-path {_OUTSIDE_LIBRARIES} \\
  /outside/usr/bin/qemu-system-x86_64 -L /outside/usr/share/qemu -L /outside/usr/share/seabios "$@"
"""
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NUMBER = iter(range(100))


class DebianRoot:
    """`path` is where it lies. Raises guest_fetch.Unavailable."""

    def __init__(self, box):
        self.box = box
        lower = guest_fetch.ensure("debian-root")
        top = f"{sandbox.BASE}/debian-{next(_NUMBER)}"
        os.mkdir(top, 0o755)
        sandbox.mount("tmpfs", top, "tmpfs", data="mode=755")
        self.path = f"{top}/root"
        for name in ("upper", "work", "root"):
            os.mkdir(f"{top}/{name}", 0o755)
        sandbox.mount("overlay", self.path, "overlay", data=f"lowerdir={lower},upperdir={top}/upper,workdir={top}/work")
        for source, target in (("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "run"), ("tmpfs", "tmp")):
            sandbox.mount(source, f"{self.path}/{target}", source, data="mode=1777" if target == "tmp" else None)
        os.mkdir(f"{self.path}/debs")
        self._bind("/dev", "/dev")
        self._bind("/", "/outside")
        self._bind(sandbox.ROOT, sandbox.ROOT)
        self._bind(sandbox.BUILD, sandbox.BUILD)
        self.write(QEMU, _QEMU_SCRIPT, 0o755)
        self.done(f"useradd --create-home --shell /bin/sh {USER}; rm -f /etc/*-")
        # Guests' files are where they are outside, too.
        os.makedirs(f"{sandbox.BASE}/guest", 0o755, exist_ok=True)
        self._bind(f"{sandbox.BASE}/guest", f"{sandbox.BASE}/guest")

    def _bind(self, source, target):
        os.makedirs(f"{self.path}{target}", 0o755, exist_ok=True)
        sandbox.mount(source, f"{self.path}{target}", flags=sandbox.MS_BIND)

    # programs

    def words(self, command, user="root"):
        """The argument list that runs COMMAND (another one) in there as USER."""
        uid, gid = (self.id_of(user) if user != "root" else (0, 0))
        return ["chroot", f"--userspec={uid}:{gid}", f"--groups={gid}", self.path, "env", _PATH, *command]

    def id_of(self, user):
        """(uid, gid) in its /etc/passwd; None when there is no such user."""
        found = re.search(rf"^{user}:[^:]*:(\d+):(\d+):", self.read("/etc/passwd"), re.M)
        return (int(found[1]), int(found[2])) if found else None

    def run(self, script, user="root", timeout=120):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
                       "HOME": "/root" if user == "root" else f"/home/{user}"}
        return subprocess.run(self.words(["/bin/sh", "-e", "-c", script], user), env=environment, cwd="/",
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)

    def done(self, script, user="root", **options):
        """As run(), and it must have worked; what it printed."""
        done = self.run(script, user, **options)
        if done.returncode:
            raise AssertionError(f"{script}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def boot(self, stage, script, network, prefix=()):
        """A guest whose QEMU runs in there as USER, started by PREFIX."""
        vmm = guest.Qemu("7.2", QEMU)
        return stage.boot(vmm, script, network, prefix=self.words(prefix, USER))

    # files

    def read(self, path):
        return pathlib.Path(f"{self.path}{path}").read_text(encoding="utf-8")

    def write(self, path, text, mode=0o644):
        target = pathlib.Path(f"{self.path}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def status(self, path):
        """(uid, gid, mode bits) of a file, None when it isn't there."""
        try:
            status = os.lstat(f"{self.path}{path}")
        except FileNotFoundError:
            return None
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    def files(self):
        """What is where: path -> kind, mode, owner and content of everything that isn't volatile."""
        found = {}
        for folder, folders, names in os.walk(self.path):
            here = folder.removeprefix(self.path)
            folders[:] = [name for name in folders if not VOLATILE.match(f"{here}/{name}")]
            for name in (*folders, *names):
                path = f"{here}/{name}"
                if not VOLATILE.match(path) and path not in (sandbox.ROOT, sandbox.BUILD):
                    found[path] = _fingerprint(f"{self.path}{path}")
            folders[:] = [name for name in folders if f"{here}/{name}" not in (sandbox.ROOT, sandbox.BUILD)]
        return found

    def changes(self, before):
        """What is otherwise than in BEFORE, one line each."""
        now = self.files()
        return sorted([f"added {path}" for path in now.keys() - before.keys()] +
                      [f"removed {path}" for path in before.keys() - now.keys()] +
                      [f"changed {path}" for path in now.keys() & before.keys() if now[path] != before[path]])


def _fingerprint(path):
    status = os.lstat(path)
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid, content
