# SPDX-License-Identifier: MIT
"""A real Open vSwitch in the sandbox: ovsdb-server and ovs-vswitchd, their files below the private /run, with the userspace
datapath, which needs no module.

    switch = open_vswitch.start(box)      # one for the process; needs openvswitch-switch (make deps)
    switch.bridge("br-int")
    switch.ports("br-int")                # names, without the bridge's own
    switch.value("Interface", "tap0", "external_ids:iface-id")
"""
import os
import shutil
import signal
import subprocess
import unittest

import processes
import sandbox

RUN = "/run/openvswitch"
DATABASE = f"{RUN}/db.sock"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
PROGRAMS = ("ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovsdb-tool")


def need_open_vswitch():
    """For setUpModule."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin")]
    if missing:
        raise unittest.SkipTest(f"{', '.join(missing)} not installed (make deps)")


class Switch:

    def __init__(self):
        shutil.rmtree(RUN, ignore_errors=True)
        os.mkdir(RUN, 0o755)
        run("ovsdb-tool", "create", f"{RUN}/conf.db", SCHEMA)
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.start_daemon()

    # the two programs

    def start_database(self):
        run("ovsdb-server", f"{RUN}/conf.db", f"--remote=punix:{DATABASE}", *self.daemon_options("ovsdb-server"))

    def start_daemon(self):
        run("ovs-vswitchd", f"unix:{DATABASE}", *self.daemon_options("ovs-vswitchd"))

    @staticmethod
    def daemon_options(name):
        return ["--detach", "--no-chdir", "--verbose=syslog:off", f"--pidfile={RUN}/{name}.pid", f"--unixctl={RUN}/{name}.ctl",
                f"--log-file={RUN}/{name}.log"]

    @staticmethod
    def pid(name):
        with open(f"{RUN}/{name}.pid", encoding="ascii") as file:
            return int(file.read())

    def stop_database(self):
        processes.kill_and_wait(self.pid("ovsdb-server"))
        os.unlink(DATABASE)

    def freeze(self, name):
        """Until the returned function is called."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        return lambda: os.kill(pid, signal.SIGCONT)

    # what is in it

    def vsctl(self, *words):
        return run("ovs-vsctl", "--no-syslog", "--timeout=30", f"--db=unix:{DATABASE}", *words)

    def bridge(self, name, address=None, datapath="netdev"):
        """DATAPATH: or "system", the kernel's."""
        self.vsctl("add-br", name, "--", "set", "Bridge", name, f"datapath_type={datapath}")
        if address:
            sandbox.ip("addr", "add", address, "dev", name)
        sandbox.ip("link", "set", name, "up")

    def bridges(self):
        return self.vsctl("list-br").split()

    def ports(self, bridge):
        return self.vsctl("list-ports", bridge).split()

    def value(self, table, name, column):
        return self.vsctl("get", table, name, column).strip().strip('"')

    def flows(self, bridge, *flows):
        """These in place of what it has."""
        target = f"{RUN}/{bridge}.mgmt"
        run("ovs-ofctl", "del-flows", target)
        for flow in flows:
            run("ovs-ofctl", "add-flow", target, flow)

    def clear(self):
        """No bridge any more, and none of their interfaces."""
        for name in self.bridges():
            self.vsctl("del-br", name)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/",
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


_switch = None


def start(_box):
    """The Switch of this process's sandbox."""
    global _switch
    if _switch is None:
        _switch = Switch()
    return _switch
