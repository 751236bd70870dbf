# SPDX-License-Identifier: MIT
"""A program that has libtapferry in it, as a VMM would: does what its first argument says with the rest, options of
tapferry.Client as one JSON object first, and prints what it found as JSON.  It runs as an unprivileged user, beside a copy
of lib/examples/tapferry.py."""
import contextlib
import fcntl
import json
import os
import signal
import sys
import threading

import tapferry

TUNGETIFF = 0x800454d2  # linux/if_tun.h


def say(**found):
    print(json.dumps(found), flush=True)


def tap_name(fd):
    request = bytearray(40)  # struct ifreq
    fcntl.ioctl(fd, TUNGETIFF, request)
    return request[:16].split(b"\0")[0].decode()


def open_fds():
    return sorted(os.listdir("/proc/self/fd"))


def has_child():
    """Also one that waitpid(2) gives only to those who ask for clones."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)  # __WALL
        return True
    return False


def error_of(function, *arguments):
    try:
        function(*arguments)
    except tapferry.Error as error:
        return [error.code, str(error)]
    return None


def hold(client, spec):
    """The record and the descriptors of an interface that is held until stdin ends."""
    with client.ask(spec) as interface:
        flags = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK != 0 for fd in interface.queue_fds]
        cloexec = [fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC != 0 for fd in interface.queue_fds]
        if interface.record["up"]:
            os.write(interface.queue_fds[0], bytes(interface.record["vnet_hdr_sz"]) + b"\xff" * 6 +
                 b"\x52\x54\0\0\0\1" + b"\x88\xb5" + bytes(46))
        say(record=interface.record, taps=[tap_name(fd) for fd in interface.queue_fds], nonblocking=flags, cloexec=cloexec)
        sys.stdin.read()


def accessors(client, spec):
    """What each tapferry_grant_NAME() says, beside the record."""
    library = tapferry.load()
    with client.ask(spec) as interface:
        grant = interface._grant
        names = ("kind", "ifname", "ifindex", "upper", "mac", "mtu", "vnet_hdr_sz", "up", "rule", "queues", "vhosts")
        found = {name: getattr(library, f"tapferry_grant_{name}")(grant) for name in names}
        found = {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}
        beyond = [getattr(library, f"tapferry_grant_{name}")(grant, number)
                  for name in ("queue_fd", "vhost_fd", "take_queue_fd", "take_vhost_fd")
                  for number in (interface.record["queues"], 2**32 - 1)]
        say(record=interface.record, found=found, beyond=beyond)


def take(client, spec):
    """Descriptors that were taken outlive what they came with."""
    interface = client.ask(spec)
    fds = interface.take()
    again = interface.take()
    interface.close()
    say(names=[tap_name(fd) for fd in fds], again=again)


def errors(client, *requests):
    """The error of each request: a SPEC, or "up NAME", "release NAME"."""
    found = []
    for request in requests:
        function, _, name = request.partition(" ")
        if name:
            found.append(error_of(getattr(client, function), name))
        else:
            found.append(error_of(client.ask, request))
    say(errors=found, has_child=has_child())


def many(client, spec, refused, times):
    """Whether descriptors and children are as before after as many hand-overs and refusals."""
    client.ask(spec).close()
    before = open_fds()
    for number in range(int(times)):
        client.ask(spec).close()
        if number % 4 == 0:
            error_of(client.ask, refused)
    say(same_fds=open_fds() == before, has_child=has_child())


def threads(client, spec, number, times):
    """Interfaces of several threads at once, each with a client of its own."""
    names, failures = [], []

    def run():
        try:
            for _ in range(int(times)):
                with client.ask(spec) as interface:
                    names.append((interface.record["ifname"], tap_name(interface.queue_fds[0])))
        except Exception as error:
            failures.append(str(error))
    running = [threading.Thread(target=run) for _ in range(int(number))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    say(names=names, failures=failures, has_child=has_child())


def signals(client, spec, refused):
    """What a program with a SIGCHLD handler notices, one that ignores SIGCHLD, and one whose other thread waits for
    every child."""
    seen, reaped, stop = [], [], threading.Event()
    found = {}

    def reap():
        while not stop.is_set():
            with contextlib.suppress(ChildProcessError):
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid != 0:
                    reaped.append(pid)
    for number in (signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, lambda number, _frame: seen.append(number))
    found["handler"] = [client.ask(spec).close(), error_of(client.ask, refused)]
    waiter = threading.Thread(target=reap)
    waiter.start()
    found["waits"] = [client.ask(spec).close(), error_of(client.ask, refused)]
    stop.set()
    waiter.join()
    is_same = signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    found["ignored"] = [client.ask(spec).close(), error_of(client.ask, refused)]
    with open("/proc/self/status", encoding="ascii") as status:
        bits = next(int(line.split()[1], 16) for line in status if line.startswith("SigIgn"))
    say(found=found, seen=seen, reaped=reaped, is_same=is_same, stays_ignored=bits >> signal.SIGCHLD - 1 & 1)


def forked(client, spec):
    """A child of fork(2) asks for itself."""
    with client.ask(spec) as ours:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            with client.ask(spec) as own:
                os.write(writer, own.record["ifname"].encode())
            os._exit(0)
        os.close(writer)
        name = os.read(reader, 100).decode()
        say(ours=ours.record["ifname"], childs=name, status=os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    globals()[sys.argv[1]](tapferry.Client(**json.loads(sys.argv[2])), *sys.argv[3:])
