# SPDX-License-Identifier: MIT
"""A real libvirt in system mode, as libvirt.py has it in session mode: root's libvirtd, whose QEMUs run as an ordinary user."""
import os
import pathlib
import shutil
import subprocess

import libvirt
import processes
import sandbox

# As in a session, and nothing that needs more of a host than the sandbox has.
_CONFIGURATION = """
user = "{user}"
group = "{user}"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
"""


def _add_default_user(user):
    """libvirtd ends without it, though qemu.conf names another. The sandbox's files only."""
    for path, line in (("/etc/passwd", f"libvirt-qemu:x:{user.uid}:{user.gid}::/nonexistent:/usr/sbin/nologin\n"),
                       ("/etc/group", f"libvirt-qemu:x:{user.gid}:\n"), ("/etc/group", f"kvm:x:{user.gid}:\n")):
        with open(path, "r+", encoding="utf-8") as file:
            name = line.split(":", maxsplit=1)[0]
            if f"\n{name}:" not in file.read():
                file.write(line)


class System(libvirt.Session):
    """The host's libvirtd of that version, with private folders of its own; `user` is its QEMUs'."""

    URI = "qemu:///system"

    def __init__(self, box, user, version, stage, helper):
        super().__init__(box, user, version, stage, helper)
        self.runtime = pathlib.Path("/run")
        self.environment = {"HOME": "/root", **self.programs.environment}
        self.user = "root"
        for folder in ("/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt", "/etc/libvirt", "/run/libvirt/qemu"):
            os.makedirs(folder, exist_ok=True)
            if folder.startswith("/var"):
                sandbox.mount("tmpfs", folder, "tmpfs", data="mode=755")
        # Where a session has its pid files.
        pathlib.Path("/run/libvirt/qemu/run").symlink_to(".")
        box.write("/etc/libvirt/qemu.conf", _CONFIGURATION.format(user=user))
        box.write("/etc/libvirt/libvirtd.conf", 'auth_unix_ro = "none"\nauth_unix_rw = "none"\n')
        _add_default_user(box.users[user])
        # The guest's console is a file that QEMU makes there.
        self.folder.chmod(0o777)
        for folder in ("/var/lib/libvirt/qemu", "/var/log/libvirt/qemu"):
            os.makedirs(folder, mode=0o755)
            os.chown(folder, box.users[user].uid, box.users[user].gid)

    def virsh(self, *words, timeout=120):
        return self.box.run([self.programs.virsh, "-c", self.URI, *words], "root", timeout, env=self.environment)


def end():
    """After the last domain: what stayed of libvirtd, and its folders."""
    processes.kill_and_wait(*[pid for name in ("virtlogd", "virtlockd") for pid, _ in processes.named(name)])
    for folder in ("/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"):
        subprocess.run(["umount", "-l", folder], check=True, timeout=10)
    shutil.rmtree("/run/libvirt")
