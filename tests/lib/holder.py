# SPDX-License-Identifier: MIT
"""What the holder of a tap's descriptor can try without any privilege: each attempt is made by a process of his own, as
the user that he is, on the descriptor that it inherits."""
import ctypes
import fcntl
import os
import struct

import sandbox

# linux/if_tun.h, linux/sockios.h
TUNSETNOCSUM, TUNSETPERSIST, TUNSETOWNER, TUNSETLINK = 0x400454c8, 0x400454cb, 0x400454cc, 0x400454cd
TUNSETOFFLOAD, TUNSETTXFILTER, TUNSETSNDBUF = 0x400454d0, 0x400454d1, 0x400454d4
TUNATTACHFILTER, TUNDETACHFILTER, TUNSETVNETHDRSZ, TUNSETQUEUE = 0x401054d5, 0x401054d6, 0x400454d8, 0x400454d9
TUNSETSTEERINGEBPF, TUNSETFILTEREBPF, TUNSETCARRIER = 0x800454e0, 0x800454e1, 0x400454e2
SIOCSIFHWADDR = 0x8924
IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE = 0x0200, 0x0400
ARPHRD_ETHER, ARPHRD_NONE = 1, 0xfffe


def as_user(name, attempt):
    """ATTEMPT() in a process of user NAME; 0, or the errno that it met."""
    user = sandbox.enter().users[name]
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups(list(user.groups))
            os.setgid(user.gid)
            os.setuid(user.uid)
            attempt()
            code = 0
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def try_ioctl(fd, request, argument, user="alice"):
    """One ioctl on FD; 0 or the errno."""
    return as_user(user, lambda: fcntl.ioctl(fd, request, argument))


def hardware_address(name, mac, family=ARPHRD_ETHER):
    """The struct ifreq of SIOCSIFHWADDR."""
    return struct.pack("16sH6s16x", name.encode(), family, bytes.fromhex(mac.replace(":", "")))


def attach_filter(fd, instructions, user="alice"):
    """TUNATTACHFILTER of classic BPF INSTRUCTIONS, (code, jt, jf, k) each; 0 or the errno."""
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(program)
    argument = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
    return try_ioctl(fd, TUNATTACHFILTER, argument, user)
