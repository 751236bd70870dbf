# SPDX-License-Identifier: MIT
"""Stands in for the VMM whose name it is called by: takes those of its arguments that are about networks, and does with
the descriptor or the name what that VMM's sources do before a guest runs.  Prints one line of JSON for each interface."""
import argparse
import errno
import fcntl
import json
import os
import re
import struct
import sys

# linux/if_tun.h
TUNSETIFF, TUNGETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454ca, 0x800454d2, 0x400454d0, 0x400454d8
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000
CSUM, TSO4, TSO6, UFO = 0x1, 0x2, 0x4, 0x10
PLAIN = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR


def flags_of(fd):
    """(name, flags) of a queue."""
    request = bytearray(40)  # struct ifreq
    fcntl.ioctl(fd, TUNGETIFF, request)
    return request[:16].split(b"\0")[0].decode(), struct.unpack_from("H", request, 16)[0]


def set_flags(fd, name, flags):
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))


def prepare(fd, offload):
    fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
    fcntl.ioctl(fd, TUNSETOFFLOAD, offload)


def say(name, **facts):
    print(json.dumps({"ifname": name, **facts}), flush=True)


def key_values(text):
    """A device's keys, whose values may be lists in brackets."""
    return dict(part.split("=", 1) for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?", text))


def cloud_hypervisor(arguments):
    """Descriptors above 2, two queues for each; sets what is set already, where a macvtap would take it."""
    for keys in map(key_values, arguments.net):
        fds = [int(fd) for fd in keys["fd"].strip("[]").split(",")]
        assert min(fds) > 2 and int(keys.get("num_queues", 2)) == 2 * len(fds), keys
        for fd in fds:
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
            name, _ = flags_of(fd)
            try:
                set_flags(fd, name, PLAIN | (IFF_MULTI_QUEUE if len(fds) > 1 else 0))
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise
            prepare(fd, CSUM | TSO4 | TSO6)
        say(name, fds=fds, mac=keys["mac"])


def crosvm(arguments):
    """One queue, which must have exactly the flags that it would have given it."""
    assert arguments.command == ["run", "vmlinux"], arguments
    for keys in map(key_values, arguments.net):
        fd = int(keys["tap-fd"])
        name, flags = flags_of(fd)
        assert flags & (PLAIN | IFF_MULTI_QUEUE) == PLAIN, hex(flags)
        prepare(fd, CSUM | TSO4 | TSO6)
        say(name, fds=[fd], mac=keys["mac"])


def firecracker(arguments):
    """The tap of that name, by the user who runs it; with one queue, and held by nobody."""
    with open(arguments.config_file, encoding="ascii") as file:
        for interface in json.load(file)["network-interfaces"]:
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            set_flags(fd, interface["host_dev_name"], PLAIN)
            prepare(fd, CSUM | UFO | TSO4 | TSO6)
            say(flags_of(fd)[0], fds=[fd], mac=interface["guest_mac"])


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in ("--kernel", "--disk", "--cmdline", "--cpus", "--block", "--params", "--config-file"):
        parser.add_argument(option)
    parser.add_argument("--net", action="append", default=[])
    parser.add_argument("--no-api", action="store_true")
    parser.add_argument("command", nargs="*")
    vmm = os.path.basename(sys.argv[0]).replace("-", "_")
    {"cloud_hypervisor": cloud_hypervisor, "crosvm": crosvm, "firecracker": firecracker}[vmm](parser.parse_intermixed_args())


if __name__ == "__main__":
    main()
