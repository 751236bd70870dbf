# SPDX-License-Identifier: MIT
"""A private world for tests and the demo: what root may break here, nobody outside sees.

Use:

    sandbox.reexec()                 # scripts only; under tests/run the namespaces are there already
    box = sandbox.enter()            # private /etc, /run, /dev, /sys; users; idempotent
    box.bridge("br0")                # an interface of this network namespace
    box.policy("allow br0")          # /etc/tapferry/policy.conf (root, 0644)
    helper = box.install_helper()    # setuid root copy of build/tapferry-helper that users can reach
    proc = box.run([helper, "--version"], user="alice")

enter() refuses to work in the network namespace that the test run was started from, so a test file
started by hand can't touch the host.  Everything that users have to reach is copied below BASE,
since the checkout may lie where they may not look.
"""
import ctypes
import dataclasses
import os
import pwd
import shutil
import subprocess
import sys
import time

import links
from syslog_listener import SyslogListener

OUTSIDE = "TAPFERRY_OUTSIDE_NET"
BASE = "/run/tapferry-test"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TAPFERRY_BUILD", os.path.join(ROOT, "build"))
IS_SANITIZED = os.path.basename(BUILD) in ("asan", "tsan")  # which has no system call filters, and threads and memory of its own
QEMU_HELPER = "/usr/lib/qemu/qemu-bridge-helper"
TUN_DEVICE = os.makedev(10, 200)  # Documentation/admin-guide/devices.txt

MS_NOSUID, MS_NODEV, MS_BIND = 0x2, 0x4, 0x1000  # mount(2)

_libc = ctypes.CDLL(None, use_errno=True)
_box = None


# --- namespaces -----------------------------------------------------------------------------------

def namespace_command(command):
    """The argument list that runs COMMAND as pid 1 of new mount, net, pid, uts and ipc namespaces."""
    return ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
            "--propagation", "private", "--mount-proc", "--", *command]


def namespace_environment(**more):
    """This environment, and the mark by which enter() knows that it isn't outside any more."""
    return dict(os.environ, **{OUTSIDE: os.readlink("/proc/self/ns/net")}, **more)


def reexec():
    """Start the running script again inside new namespaces; returns only in there."""
    if is_inside():
        return
    if os.geteuid() != 0:
        sys.exit(f"{os.path.basename(sys.argv[0])}: namespaces need root: run it with sudo")
    command = namespace_command([sys.executable, *sys.argv])
    os.execvpe(command[0], command, namespace_environment())


def is_inside():
    outside = os.environ.get(OUTSIDE)
    return outside is not None and outside != os.readlink("/proc/self/ns/net")


def mount(source, target, fstype=None, flags=0, data=None):
    """mount(2); OSError names the target."""
    def text(value):
        return None if value is None else value.encode()
    if _libc.mount(text(source), text(target), text(fstype), flags, text(data)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def umount(target):
    if _libc.umount2(target.encode(), 2) != 0:  # MNT_DETACH
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def enter():
    """The Sandbox of this process; made at the first call."""
    global _box
    if _box is None:
        if not is_inside():
            raise RuntimeError("not in namespaces of its own: use tests/run or sandbox.reexec()")
        _box = Sandbox()
    return _box


# --- users ----------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    groups: tuple  # supplementary gids

    @property
    def home(self):
        return f"{BASE}/home/{self.name}"


# Names that are prefixes of each other are here on purpose (bob, bobby; vms, vmsters).
USERS = {"alice": ["vms"], "bob": ["vmsters"], "bobby": [], "mallory": ["vms", "jailed"], "carol": ["vms"]}
GROUPS = ["vms", "vmsters", "jailed"]
FIRST_ID = 2001
WARDEN_USER = "tapferry"  # the system user that the helper's maker and warden run as


def _add_users():
    """Append USERS and GROUPS to the private passwd and group; name -> User."""
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    start = next(n for n in range(FIRST_ID, 60000, 100) if not taken & set(range(n, n + 20)))
    gids = {name: start + 10 + i for i, name in enumerate(GROUPS)}
    users = {}
    for i, (name, groups) in enumerate(USERS.items()):
        users[name] = User(name, start + i, start + i, tuple(gids[g] for g in groups))
    with open("/etc/passwd", "a", encoding="ascii") as passwd, \
            open("/etc/group", "a", encoding="ascii") as group:
        for user in users.values():
            passwd.write(f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:/bin/sh\n")
            group.write(f"{user.name}:x:{user.gid}:\n")
        for name, gid in gids.items():
            members = ",".join(u for u, groups in USERS.items() if name in groups)
            group.write(f"{name}:x:{gid}:{members}\n")
    _add_warden_user(start + 19)
    for user in users.values():
        os.makedirs(user.home, mode=0o700)
        os.chown(user.home, user.uid, user.gid)
    users["root"] = User("root", 0, 0, ())
    return users


def _add_warden_user(uid):
    """As sysusers.d/tapferry.conf does; one that the machine has stays."""
    if any(entry.pw_name == WARDEN_USER for entry in pwd.getpwall()):
        return
    with open("/etc/passwd", "a", encoding="ascii") as passwd, open("/etc/group", "a", encoding="ascii") as group:
        passwd.write(f"{WARDEN_USER}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin\n")
        group.write(f"{WARDEN_USER}:x:{uid}:\n")


# --- the sandbox ----------------------------------------------------------------------------------

class Sandbox:
    """Private directories, users, policy files and programs of one test process; made by enter()."""

    def __init__(self):
        mount("sysfs", "/sys", "sysfs")  # an older mount would show the outer namespace's interfaces
        mount("tmpfs", "/run", "tmpfs", data="mode=755")
        for path, mode in ((BASE, 0o755), (f"{BASE}/bin", 0o755), (f"{BASE}/home", 0o755),
                           (f"{BASE}/tmp", 0o1777), ("/run/lock", 0o1777)):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, mode)
        os.environ["TMPDIR"] = f"{BASE}/tmp"
        self._private_etc()
        self._private_dev()
        self.users = _add_users()
        self.syslog = SyslogListener("/dev/log")
        ip("link", "set", "lo", "up")

    @staticmethod
    def _private_etc():
        staging = f"{BASE}/etc"
        os.mkdir(staging)
        mount("tmpfs", staging, "tmpfs", data="mode=755")
        subprocess.run(["cp", "-a", "/etc/.", staging], check=True)
        for path in ("qemu", "tapferry"):
            shutil.rmtree(f"{staging}/{path}", ignore_errors=True)
            os.mkdir(f"{staging}/{path}", 0o755)
        mount(staging, "/etc", flags=MS_BIND)

    @staticmethod
    def _private_dev():
        staging = f"{BASE}/dev"
        os.mkdir(staging)
        mount("tmpfs", staging, "tmpfs", data="mode=755")
        for name in ("null", "zero", "full", "random", "urandom", "tty", "kvm", "vhost-net"):
            if os.path.exists(f"/dev/{name}"):
                status = os.stat(f"/dev/{name}")
                os.mknod(f"{staging}/{name}", status.st_mode, status.st_rdev)
                os.chmod(f"{staging}/{name}", status.st_mode & 0o7777)
        for name in ("net", "pts", "shm"):
            os.mkdir(f"{staging}/{name}")
        os.mknod(f"{staging}/net/tun", 0o20666, TUN_DEVICE)
        os.chmod(f"{staging}/net/tun", 0o666)
        for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                             ("stderr", "fd/2"), ("ptmx", "pts/ptmx")):
            os.symlink(target, f"{staging}/{name}")
        mount("devpts", f"{staging}/pts", "devpts", data="newinstance,ptmxmode=0666,mode=620")
        mount("tmpfs", f"{staging}/shm", "tmpfs", data="mode=1777")
        mount(staging, "/dev", flags=MS_BIND)
        mount(f"{staging}/pts", "/dev/pts", flags=MS_BIND)
        mount(f"{staging}/shm", "/dev/shm", flags=MS_BIND)

    def tun_mode(self, mode):
        """Set /dev/net/tun's mode: 0o666 as udev makes it, 0o600 as the bare kernel does."""
        os.chmod("/dev/net/tun", mode)

    # programs

    def install(self, source, name=None, mode=0o755):
        """A root-owned copy of SOURCE that every user can run; its path."""
        target = f"{BASE}/bin/{name or os.path.basename(source)}"
        fresh = f"{target}.new"  # a running copy can't be written to, but it can be replaced
        shutil.copyfile(source, fresh)
        os.chown(fresh, 0, 0)
        os.chmod(fresh, mode)
        os.rename(fresh, target)
        return target

    def install_helper(self, source=None, name=None, caps=None):
        """Copy the helper (default: build/tapferry-helper), setuid root, or with file capabilities
        CAPS (a text for setcap, e.g. "cap_net_admin,cap_setpcap+ep") and no setuid bit."""
        source = source or os.path.join(BUILD, "tapferry-helper")
        target = self.install(source, name, 0o755 if caps else 0o4755)
        if caps:
            subprocess.run(["setcap", caps, target], check=True)
        return target

    def nosuid_copy(self, program):
        """PROGRAM as seen through a nosuid mount: its setuid bit and capabilities mean nothing."""
        directory = f"{BASE}/nosuid"
        if not os.path.isdir(directory):
            os.mkdir(directory)
            mount("tmpfs", directory, "tmpfs", MS_NOSUID, "mode=755")
        target = f"{directory}/{os.path.basename(program)}"
        shutil.copy2(program, target)
        os.chmod(target, 0o4755)
        return target

    # policy

    def write(self, path, text, mode=0o644, owner="root", group=None):
        """Write TEXT (str or bytes) with exactly this mode and owner (and the owner's group)."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        user = self.users[owner]
        os.chown(path, user.uid, user.gid if group is None else group)
        os.chmod(path, mode)
        return path

    def policy(self, *rules, **how):
        """Write RULES (lines) as /etc/tapferry/policy.conf; HOW as for write()."""
        return self.write("/etc/tapferry/policy.conf", _lines(rules), **how)

    def qemu_conf(self, *rules, **how):
        """Write RULES as /etc/qemu/bridge.conf."""
        return self.write("/etc/qemu/bridge.conf", _lines(rules), **how)

    def policy_include(self, name, *rules, **how):
        """Write RULES as /etc/tapferry/policy.d/NAME."""
        return self.write(f"/etc/tapferry/policy.d/{name}", _lines(rules), **how)

    def no_policy(self):
        """Neither our policy nor QEMU's exists any more."""
        for path in ("/etc/tapferry", "/etc/qemu"):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path, 0o755)

    # interfaces

    def bridge(self, name, address=None, mtu=None):
        """Make bridge NAME, up; ADDRESS as 192.0.2.1/24."""
        ip("link", "add", name, "type", "bridge")
        if mtu:  # set, not given at birth: only then it stays when ports come and go
            ip("link", "set", name, "mtu", str(mtu))
        if address:
            ip("addr", "add", address, "dev", name)
        ip("link", "set", name, "up")
        return name

    def veth(self, name, peer, master=None):
        ip("link", "add", name, "type", "veth", "peer", "name", peer)
        if master:
            ip("link", "set", name, "master", master)
        ip("link", "set", name, "up")
        ip("link", "set", peer, "up")

    def delete_links(self):
        """Delete every interface that can be deleted."""
        for link in links.all_links():
            if link.kind in ("bridge", "veth", "tun", "dummy", "macvtap", "vrf", "bond"):
                subprocess.run(["ip", "link", "del", link.name], check=False,
                               stderr=subprocess.DEVNULL)

    # processes

    def popen(self, command, user="alice", env=None, **options):
        """subprocess.Popen of COMMAND as USER: the user's uids, gids and groups, no capabilities, a
        bare environment, cwd /.  OPTIONS go to Popen (preexec_fn runs as the user)."""
        who = self.users[user] if isinstance(user, str) else user
        home = who.home if who.uid else "/root"
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": home,
                       "USER": who.name, "TMPDIR": f"{BASE}/tmp"}
        environment.update(env or {})
        options.setdefault("cwd", "/")
        options.setdefault("stdin", subprocess.DEVNULL)
        if who.uid:
            options.update(user=who.uid, group=who.gid, extra_groups=list(who.groups))
        return subprocess.Popen(command, env=environment, **options)

    def run(self, command, user="alice", timeout=30, **options):
        """popen() to the end; a CompletedProcess with stdout and stderr as text."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        with self.popen(command, user, text=True, errors="replace", **options) as proc:
            try:
                out, err = proc.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                proc.kill()
                raise
        return subprocess.CompletedProcess(command, proc.returncode, out, err)


# --- small helpers --------------------------------------------------------------------------------

def _lines(rules):
    return "".join(f"{rule}\n" for rule in rules)


def ip(*words):
    """Run ip(8); RuntimeError carries what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def eventually(condition, seconds=5.0):
    """Poll CONDITION until it is true; its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.01)
