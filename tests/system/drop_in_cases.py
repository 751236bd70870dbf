# SPDX-License-Identifier: MIT
"""The table of test_drop_in.py: what both helpers are asked, and where ours differs on purpose."""
import dataclasses

LONG = "b" * 15       # the longest name an interface can have
TOO_LONG = "b" * 16
QEMU = ("--use-vnet", "--fd={fd}", "--br=br0")
LIBVIRT = ("--use-vnet", "--br=br0", "--fd={fd}")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    args: tuple = QEMU
    acl: tuple = ("allow br0",)    # lines of /etc/qemu/bridge.conf; None: no such file
    files: tuple = ()              # (path, lines, mode) of further files
    acl_mode: int = 0o644
    user: str = "alice"
    fd: str = "stream"             # what stands behind {fd}: see open_fd() of the test
    tun_mode: int = 0o666
    tun: bool = True               # is there a /dev/net/tun
    setuid: bool = True


def form(name, *args, **more):
    return Case(f"form_{name}", args=args, **more)


def fd_kind(name, **more):
    return Case(f"fd_{name}", fd=name, **more)


def acl(name, *lines, **more):
    return Case(f"acl_{name}", acl=lines, **more)


FORMS = [
    form("qemu_order", *QEMU),
    form("qemu_order_no_vnet", *QEMU[1:]),
    form("libvirt_order", *LIBVIRT),
    form("libvirt_order_no_vnet", *LIBVIRT[1:]),
    form("vnet_last", "--br=br0", "--fd={fd}", "--use-vnet"),
    form("vnet_middle", "--br=br0", "--use-vnet", "--fd={fd}"),
    form("vnet_twice", "--use-vnet", *QEMU),
    form("br_twice", "--br=br1", *QEMU),
    form("fd_twice", "--fd=0", *QEMU),
    form("no_arguments"),
    form("no_br", "--use-vnet", "--fd={fd}"),
    form("no_fd", "--use-vnet", "--br=br0"),
    form("br_empty", "--fd={fd}", "--br="),
    form("br_separate_word", "--fd={fd}", "--br", "br0"),
    form("abbreviated_option", "--use", "--fd={fd}", "--b=br0"),
    form("fd_empty", "--fd=", "--br=br0"),
    form("fd_not_a_number", "--fd=zz", "--br=br0"),
    form("fd_trailing_letters", "--fd={fd}x", "--br=br0"),
    form("fd_negative", "--fd=-1", "--br=br0"),
    form("fd_huge", "--fd=4294967299", "--br=br0"),
    form("unknown_option", "--frobnicate", *QEMU),
    form("stray_word", *QEMU, "br0"),
    form("vnet_with_value", "--use-vnet=1", *QEMU[1:]),
    form("br_longest", "--fd={fd}", f"--br={LONG}", acl=(f"allow {LONG}",)),
    form("br_too_long", "--fd={fd}", f"--br={TOO_LONG}", acl=("allow all",)),
    form("br_absent", "--fd={fd}", "--br=nosuch", acl=("allow all",)),
    form("br_is_no_bridge", "--fd={fd}", "--br=veth0", acl=("allow all",)),
    form("br_large_mtu", "--fd={fd}", "--br=br9000", acl=("allow all",)),
    form("br_small_mtu", "--fd={fd}", "--br=br1280", acl=("allow all",)),
    form("br_down", "--fd={fd}", "--br=brdown", acl=("allow all",)),
]

FDS = [
    fd_kind("seqpacket"),
    fd_kind("datagram"),
    fd_kind("unconnected"),
    fd_kind("listening"),
    fd_kind("inet"),
    fd_kind("pipe"),
    fd_kind("file"),
    fd_kind("directory"),
    fd_kind("closed"),
    fd_kind("peer_gone"),
]

PLACE = [
    Case("tun_0600", tun_mode=0o600),
    Case("tun_missing", tun=False),
    Case("not_setuid", setuid=False),
    Case("caller_is_root", user="root"),
]

NESTED = tuple((f"/etc/qemu/n{i}.conf", (f"include /etc/qemu/n{i + 1}.conf",), 0o644) for i in range(4))

ACLS = [
    Case("acl_file_missing", acl=None),
    acl("file_unreadable", "allow br0", acl_mode=0o600),
    acl("file_world_writable", "allow br0", acl_mode=0o666),
    acl("empty"),
    acl("allow_all", "allow all"),
    acl("allow_all_upper_case", "allow ALL"),
    acl("allow_other", "allow br1"),
    acl("allow_prefix", "allow br"),
    acl("allow_longer", "allow br00"),
    acl("allow_twice", "allow br0", "allow br0"),
    acl("deny_before", "deny br0", "allow br0"),
    acl("deny_after", "allow br0", "deny br0"),
    acl("deny_other", "allow br0", "deny br1"),
    acl("deny_all_before", "deny all", "allow br0"),
    acl("deny_all_after", "allow br0", "deny all"),
    acl("allow_all_deny_one", "allow all", "deny br0"),
    acl("allow_all_deny_other", "allow all", "deny br1"),
    acl("deny_only", "deny br0"),
    acl("comment_lines", "# br0", "", "   ", "  # more", "allow br0", "#deny br0"),
    acl("comment_behind", "allow br0 # the lab"),
    acl("blanks_around", "  allow   br0  "),
    acl("tabs", "\tallow\tbr0\t"),
    acl("carriage_return", "allow br0\r"),
    acl("two_names", "allow br0 br1"),
    acl("no_name", "allow br0", "allow"),
    acl("no_name_deny", "allow br0", "deny"),
    acl("unknown_command", "allow br0", "permit br0"),
    acl("unknown_command_upper_case", "ALLOW br0"),
    acl("garbage", "allow br0", "%$&/"),
    acl("name_too_long", "allow br0", f"allow {TOO_LONG}"),
    acl("name_too_long_deny", "allow br0", f"deny {TOO_LONG}"),
    acl("line_too_long", "allow br0", "#" + "x" * 5000),
    acl("line_too_long_hides_deny", "allow br0", "#" + "x" * 4094 + "deny br0"),
    acl("line_too_long_becomes_allow", "#" + "x" * 4094 + "allow br0"),
    acl("include", "include /etc/qemu/a.conf", files=(("/etc/qemu/a.conf", ("allow br0",), 0o644),)),
    acl("include_deny", "allow br0", "include /etc/qemu/a.conf",
        files=(("/etc/qemu/a.conf", ("deny br0",), 0o644),)),
    acl("include_deny_first", "include /etc/qemu/a.conf", "allow br0",
        files=(("/etc/qemu/a.conf", ("deny br0",), 0o644),)),
    acl("include_unreadable", "allow br0", "include /etc/qemu/a.conf",
        files=(("/etc/qemu/a.conf", ("deny br0",), 0o600),)),
    acl("include_unreadable_allow", "include /etc/qemu/a.conf",
        files=(("/etc/qemu/a.conf", ("allow br0",), 0o600),)),
    acl("include_missing", "allow br0", "include /etc/qemu/missing.conf"),
    acl("include_missing_only", "include /etc/qemu/missing.conf"),
    acl("include_nested", "include /etc/qemu/n0.conf",
        files=(*NESTED, ("/etc/qemu/n4.conf", ("allow br0",), 0o644))),
    acl("include_nested_deny", "allow br0", "include /etc/qemu/n0.conf",
        files=(*NESTED, ("/etc/qemu/n4.conf", ("deny br0",), 0o644))),
    acl("include_broken", "allow br0", "include /etc/qemu/a.conf",
        files=(("/etc/qemu/a.conf", ("nonsense",), 0o644),)),
    acl("include_directory", "allow br0", "include /etc/qemu"),
    acl("include_without_path", "allow br0", "include"),
]

CASES = FORMS + FDS + PLACE + ACLS
