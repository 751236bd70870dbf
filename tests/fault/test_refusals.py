# SPDX-License-Identifier: MIT
"""What the policy forbids stays forbidden, whatever fails while it is read: the deny lies in files of an include, and
an allow that stands before them would grant the request if they were passed over."""
import unittest

import strace
from fault_case import FaultCase, Form, net, set_up_module as setUpModule  # noqa: F401

TIMEOUT = 1800

# Calls on files, by which a policy could be taken for absent, or shorter than it is.  EACCES isn't among the errors:
# so the kernel says that a file is kept from this caller, and such an include is passed over by intention.
READING = ("openat", "newfstatat", "read", "getdents64", "lseek", "fstatfs")
ALSO = ("ENOENT", "ENFILE", "EIO", "EINVAL", "ELOOP", "ESTALE", "EOVERFLOW")
# What runs out and then stays out.  (With EINTR for ever a program that tries again does so for ever.)
LASTING = {"openat": "EMFILE", "newfstatat": "ENOMEM", "read": "EIO", "getdents64": "ENOMEM", "mmap": "ENOMEM",
           "brk": "ENOMEM", "capset": "EPERM", "sendto": "ENOBUFS", "recvmsg": "ENOMEM", "recvfrom": "ENOMEM",
           "poll": "ENOMEM"}


class Refusal(FaultCase):

    def setUp(self):
        super().setUp()
        self.box.policy("allow all", "allow bridge=*", "include /etc/tapferry/policy.d/*.conf",
                        "include /etc/tapferry/more/first.conf")
        self.box.policy_include("10-other.conf", "deny bridge=br7")
        self.box.policy_include("20-deny.conf", "deny bridge=br1 user=alice")
        self.box.write("/etc/tapferry/more/first.conf", "include /etc/tapferry/more/second.conf\n")
        self.box.write("/etc/tapferry/more/second.conf", "deny bridge=br0 user=alice\n")
        self.box.qemu_conf("allow all")

    def plan(self, front, shift):
        request = [call for call in front if call.phase == strace.REQUEST]
        reading = [call for call in request if call.name in READING]
        lasting = [strace.Injection(call, LASTING[call.name], True) for call in request if call.name in LASTING]
        return [*self.short_plan(front, shift), *self.whole_plan(reading, 32, ALSO), *lasting]

    def check(self, form, shift):
        front, _, expected = self.trace(form)
        self.run_plan(form, self.plan(front, shift), expected)

    def test_control_without_the_denies(self):
        self.refused("bridge=br1", says="access denied")
        self.box.policy_include("20-deny.conf", "# no more")
        self.granted("bridge=br1")

    def test_by_a_file_of_a_glob(self):
        self.check(Form("refused by a file of a glob", net("bridge=br1"), "refused", "access denied"), 0)

    def test_by_a_nested_include_in_qemus_form(self):
        self.check(Form("refused by a nested include", ("--br=br0", "--use-vnet", "--fd={fd}"), "refused",
                        "access denied"), 1)

    def test_explained(self):
        self.check(Form("--explain of a refusal", ("--explain", "--net=bridge=br1"), "explained", "20-deny.conf:1"), 2)


if __name__ == "__main__":
    unittest.main()
