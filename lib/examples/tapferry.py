#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libtapferry from Python, through ctypes; as a module, or as a program that does what facts.c does:

    with tapferry.ask("bridge=br0,queues=2") as interface:
        print(interface.record["ifname"], interface.queue_fds)
        subprocess.run([vmm, f"--net=fd={interface.queue_fds[0]}"], pass_fds=interface.queue_fds)
"""
import ctypes
import json
import sys

VIA = {"auto": 0, "helper": 1, "broker": 2}
CODES = {1: "usage", 2: "refused", 3: "unavailable", 4: "timeout", 5: "failed"}


class Handle(ctypes.c_void_p):
    """A pointer to something that only the library looks into."""


def load(path="libtapferry.so.0"):
    """The library, with what its functions take and give; those that aren't named take or give int."""
    library = ctypes.CDLL(path)
    handle, text, number = Handle, ctypes.c_char_p, ctypes.c_uint
    takes = {"ask": [handle, text, ctypes.POINTER(handle), ctypes.POINTER(handle)],
             "up": [handle, text, ctypes.POINTER(handle)],
             "release": [handle, text, ctypes.POINTER(handle)],
             "version": [], "client_new": [], "client_set_via": [handle, ctypes.c_int],
             "client_set_helper": [handle, text], "client_set_broker": [handle, text],
             "client_set_timeout_ms": [handle, ctypes.c_int]}
    gives = {"version": text, "client_new": handle, "error_message": text}
    gives.update({f"grant_{name}": text for name in ("json", "kind", "ifname", "upper", "mac", "rule")})
    gives.update({f"grant_{name}": number for name in ("ifindex", "mtu", "vnet_hdr_sz", "queues", "vhosts")})
    for name in ("queue_fd", "vhost_fd", "take_queue_fd", "take_vhost_fd"):
        takes[f"grant_{name}"] = [handle, number]
    others = ("error_code", "error_free", "grant_free", "client_free", "grant_up")
    for name in {*takes, *gives, *others}:
        function = getattr(library, f"tapferry_{name}")
        function.argtypes = takes.get(name, [handle])
        function.restype = gives.get(name, ctypes.c_int)
    for name in ("error_free", "grant_free", "client_free"):
        getattr(library, f"tapferry_{name}").restype = None
    return library


class Error(Exception):
    """Its text is the line that `tapferry' prints; `code` is one of CODES' words."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = CODES[code]


class Interface:
    """What was handed over: `record` as docs/PROTOCOL.md has it, and the descriptors, which are closed with it."""

    def __init__(self, library, grant):
        self._library, self._grant = library, grant
        self.record = json.loads(library.tapferry_grant_json(grant))
        self.queue_fds = [library.tapferry_grant_queue_fd(grant, i) for i in range(self.record["queues"])]
        self.vhost_fds = [library.tapferry_grant_vhost_fd(grant, i) for i in range(self.record["vhost"])]

    def take(self):
        """All descriptors, queues first; from now on they are the caller's."""
        fds = [self._library.tapferry_grant_take_queue_fd(self._grant, i) for i in range(len(self.queue_fds))]
        return fds + [self._library.tapferry_grant_take_vhost_fd(self._grant, i) for i in range(len(self.vhost_fds))]

    def close(self):
        self._library.tapferry_grant_free(self._grant)
        self._grant = None

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


class Client:
    """Whom to ask and how; what isn't given is as the library has it."""

    def __init__(self, library=None, via=None, helper=None, broker=None, timeout_ms=None):
        self._library = library or load()
        self._client = self._library.tapferry_client_new()
        for name, value in (("via", VIA.get(via, via)), ("helper", helper and helper.encode()),
                            ("broker", broker and broker.encode()), ("timeout_ms", timeout_ms)):
            if value is not None and getattr(self._library, f"tapferry_client_set_{name}")(self._client, value) != 0:
                raise ValueError(f"{name}: {value}")

    def __del__(self):
        self._library.tapferry_client_free(self._client)

    def _call(self, name, *arguments):
        error = Handle()
        if getattr(self._library, f"tapferry_{name}")(self._client, *arguments, ctypes.byref(error)) == 0:
            return
        try:
            raise Error(self._library.tapferry_error_code(error), self._library.tapferry_error_message(error).decode())
        finally:
            self._library.tapferry_error_free(error)

    def ask(self, spec):
        grant = Handle()
        self._call("ask", spec.encode(), ctypes.byref(grant))
        return Interface(self._library, grant)

    def up(self, ifname):
        self._call("up", ifname.encode())

    def release(self, ifname):
        self._call("release", ifname.encode())


def ask(spec, **options):
    """An Interface, by a Client with OPTIONS."""
    return Client(**options).ask(spec)


def main():
    try:
        with ask(sys.argv[1]) as interface:
            print(json.dumps(interface.record))
            for i, fd in enumerate(interface.queue_fds):
                print(f"queue {i} of {interface.record['ifname']} is descriptor {fd}", flush=True)
            sys.stdin.read()
    except Error as error:
        sys.exit(f"{sys.argv[0]}: {error}")


if __name__ == "__main__":
    main()
