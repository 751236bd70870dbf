# SPDX-License-Identifier: MIT
"""A whole OVN in the sandbox, over its Open vSwitch (open_vswitch.py): both databases, ovn-northd, and the ovn-controller of one
host."""
import os
import shutil
import unittest

import open_vswitch
import processes

RUN = "/run/ovn"
NORTHBOUND, SOUTHBOUND = f"unix:{RUN}/ovnnb_db.sock", f"unix:{RUN}/ovnsb_db.sock"
PROGRAMS = ("ovn-northd", "ovn-controller", "ovn-nbctl", "ovn-sbctl")


def need_ovn():
    """For setUpModule."""
    open_vswitch.need_open_vswitch()
    missing = [name for name in PROGRAMS if not shutil.which(name, path="/usr/sbin:/usr/bin")]
    if missing:
        raise unittest.SkipTest(f"{', '.join(missing)} not installed (make deps)")


class Ovn:

    def __init__(self, switch):
        self.switch = switch
        shutil.rmtree(RUN, ignore_errors=True)
        os.mkdir(RUN, 0o755)
        for name, schema in (("ovnnb_db", "ovn-nb"), ("ovnsb_db", "ovn-sb")):
            open_vswitch.run("ovsdb-tool", "create", f"{RUN}/{name}.db", f"/usr/share/ovn/{schema}.ovsschema")
            open_vswitch.run("ovsdb-server", f"{RUN}/{name}.db", f"--remote=punix:{RUN}/{name}.sock",
                             f"--unixctl={RUN}/{name}.ctl", *self.options(name))
        self.nbctl("init")
        self.sbctl("init")
        open_vswitch.run("ovn-northd", f"--ovnnb-db={NORTHBOUND}", f"--ovnsb-db={SOUTHBOUND}",
                         f"--unixctl={RUN}/ovn-northd.ctl", *self.options("ovn-northd"))
        switch.vsctl("set", "Open_vSwitch", ".", f"external_ids:ovn-remote={SOUTHBOUND}", "external_ids:system-id=host-a",
                     "external_ids:ovn-encap-type=geneve", "external_ids:ovn-encap-ip=127.0.0.1",
                     "external_ids:ovn-bridge-datapath-type=netdev")
        open_vswitch.run("ovn-controller", f"unix:{open_vswitch.DATABASE}", *self.options("ovn-controller"))

    @staticmethod
    def options(name):
        return ["--detach", "--no-chdir", "--verbose=syslog:off", f"--pidfile={RUN}/{name}.pid",
                f"--log-file={RUN}/{name}.log"]

    def stop_controller(self):
        with open(f"{RUN}/ovn-controller.pid", encoding="ascii") as file:
            processes.kill_and_wait(int(file.read()))

    def nbctl(self, *words):
        return open_vswitch.run("ovn-nbctl", "--no-syslog", "--timeout=60", f"--db={NORTHBOUND}", *words)

    def sbctl(self, *words):
        return open_vswitch.run("ovn-sbctl", "--no-syslog", "--timeout=60", f"--db={SOUTHBOUND}", *words)

    def switch_with_ports(self, name, ports):
        """A logical switch; PORTS: name -> MAC address, which alone can send there."""
        self.nbctl("ls-add", name)
        for port, mac in ports.items():
            self.nbctl("lsp-add", name, port, "--", "lsp-set-addresses", port, mac, "--", "lsp-set-port-security", port, mac)

    def wait_until(self, port, up):
        self.nbctl("wait-until", "Logical_Switch_Port", port, f"up={str(up).lower()}")
