# SPDX-License-Identifier: MIT
"""What interfaces there are in this network namespace, as ip(8) tells it; snapshots for leak checks."""
import dataclasses
import json
import subprocess


@dataclasses.dataclass(frozen=True)
class Link:
    """One interface, as far as the tests care."""
    name: str
    index: int
    kind: str          # "tun", "bridge", "veth"..., "" for one without a kind (lo)
    up: bool
    mtu: int
    mac: str
    master: str        # "" when it is nobody's port
    alias: str         # IFLA_IFALIAS
    altnames: tuple
    data: dict = dataclasses.field(compare=False, hash=False, repr=False)  # linkinfo's details
    port: dict = dataclasses.field(compare=False, hash=False, repr=False)  # the bridge port's details
    raw: dict = dataclasses.field(compare=False, hash=False, repr=False)

    @property
    def identity(self):
        """What a leak check compares: state that only a hand-over changes."""
        return (self.name, self.index, self.kind, self.master, self.alias, self.altnames)


def _from_json(entry):
    info = entry.get("linkinfo", {})
    return Link(name=entry["ifname"], index=entry["ifindex"], kind=info.get("info_kind", ""),
                up="UP" in entry["flags"], mtu=entry["mtu"], mac=entry.get("address", ""),
                master=entry.get("master", ""), alias=entry.get("ifalias", ""),
                altnames=tuple(entry.get("altnames", ())), data=info.get("info_data", {}),
                port=info.get("info_slave_data", {}), raw=entry)


def all_links():
    """Every interface, by index."""
    done = subprocess.run(["ip", "-j", "-d", "link", "show"], capture_output=True, check=True)
    entries = json.loads(done.stdout or b"[]")
    return [_from_json(entry) for entry in entries if entry]


def get(name):
    """The interface of that name (or altname), None if there is none."""
    done = subprocess.run(["ip", "-j", "-d", "link", "show", "dev", name], capture_output=True,
                          check=False)
    return _from_json(json.loads(done.stdout)[0]) if done.returncode == 0 else None


def names():
    return [link.name for link in all_links()]


def snapshot():
    """Comparable picture of all interfaces: names, altnames, aliases, masters.  Take one before and
    one after, and assertEqual them."""
    return sorted(link.identity for link in all_links())


def of_kind(kind):
    return [link for link in all_links() if link.kind == kind]


def taps():
    return of_kind("tun")
