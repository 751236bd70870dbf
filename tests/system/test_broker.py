# SPDX-License-Identifier: MIT
"""tapferryd: the same answers as the helper's, by a socket, without a setuid bit anywhere."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import unittest

import links
import processes
import sandbox
from broker_case import BROKER, SERVICE, SOCKET, BrokerCase, BrokerError, need_broker

TIMEOUT = 600


def setUpModule():
    need_broker()


class Open(BrokerCase):
    """Open hands over what the policy allows."""

    def test_gives_a_tap_on_the_bridge_with_its_record(self):
        opened = self.open("bridge=br0")
        link = opened.link
        self.assertEqual(opened.grant, {
            "version": 1, "kind": "bridge", "ifname": link.name, "ifindex": link.index, "upper": "br0", "queues": 1,
            "vhost": 0, "vnet_hdr": True, "vnet_hdr_sz": 12, "mac": link.mac, "mtu": link.mtu, "up": True,
            "rule": "policy.conf:2"})
        self.assertEqual((link.master, link.up), ("br0", True))
        self.assertEqual([(tap.name, tap.nonblocking) for tap in opened.taps], [(link.name, True)])
        self.assertEqual((opened.parameters["queue_fds"], opened.parameters["vhost_fds"]), ([0], []))

    def test_gives_each_queue_a_descriptor(self):
        opened = self.open("bridge=br0,queues=8")
        self.assertEqual(opened.parameters["queue_fds"], list(range(8)))
        self.assertEqual({tap.name for tap in opened.taps}, {opened.grant["ifname"]})

    def test_the_interface_is_the_callers_and_goes_with_its_last_descriptor(self):
        opened = self.open("bridge=br0")
        self.assertIn(f"uid={self.box.users['alice'].uid} ", opened.link.alias)
        name = opened.grant["ifname"]
        opened.close()
        self.assertGone(name)

    def test_gives_a_macvtap_that_goes_with_its_last_descriptor(self):
        opened = self.open("macvtap=v0,queues=2")
        self.assertEqual((opened.link.kind, len(opened.fds)), ("macvtap", 2))
        name = opened.grant["ifname"]
        opened.close()
        self.assertGone(name)

    def test_one_connection_can_ask_again_and_again(self):
        client = self.client()
        names = {self.open("bridge=br0", client=client).grant["ifname"] for _ in range(3)}
        self.assertEqual(len(names), 3)

    def test_calls_that_come_together_are_answered_in_their_order(self):
        client = self.client()
        calls = [{"method": f"{BROKER}.Explain", "parameters": {"net": f"bridge=br{n}"}} for n in range(4)]
        client.send_bytes(b"".join(json.dumps(call).encode() + b"\0" for call in calls))
        asked = [client.result()[0]["explanation"]["request"] for _ in calls]
        self.assertEqual(asked, [f"bridge=br{n}" for n in range(4)])

    def test_what_comes_in_single_bytes_is_served_as_well(self):
        client = self.client()
        for byte in json.dumps({"method": f"{BROKER}.Open", "parameters": {"net": "bridge=br0"}}).encode() + b"\0":
            client.send_bytes(bytes([byte]))
        _parameters, fds = client.result()
        self.assertEqual(len(fds), 1)
        os.close(fds[0])

    def test_the_interface_goes_with_a_client_that_does_not_wait(self):
        before = links.snapshot()
        for _ in range(5):
            client = self.client()
            client.send(f"{BROKER}.Open", net="bridge=br0")
            client.close()
        self.assertTrue(sandbox.eventually(lambda: links.snapshot() == before and not processes.of_program(self.helper)))


class Documents(BrokerCase):
    """PROTOCOL.md, as somebody would use it."""

    def client_program(self):
        with open(f"{sandbox.ROOT}/docs/PROTOCOL.md", encoding="utf-8") as page:
            text = re.findall(r"^```python\n(.*?)^```$", page.read(), re.M | re.S)[1]
        return self.box.write(f"{sandbox.BASE}/bin/client.py", text)

    def test_its_client_in_python_gets_an_interface(self):
        done = self.box.run(["/usr/bin/python3", self.client_program(), "bridge=br0,queues=2"])
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertRegex(done.stdout, r"\Atap\d+ fe(:[0-9a-f]{2}){5} \[\d+, \d+\]\n\Z")

    def test_its_client_in_python_is_refused(self):
        done = self.box.run(["/usr/bin/python3", self.client_program(), "bridge=br1"])
        self.assertEqual((done.stdout, done.returncode), ("", 1))
        self.assertIn("access denied by acl file", done.stderr)

    def test_has_all_methods_and_errors_of_the_description(self):
        text = self.client().call(f"{SERVICE}.GetInterfaceDescription", interface=BROKER)[0]["description"]
        names = re.findall(r"^(?:method|error) (\w+)", text, re.M)
        self.assertEqual(len(names), 9)
        with open(f"{sandbox.ROOT}/docs/PROTOCOL.md", encoding="utf-8") as page:
            rows = re.findall(r"^\| `org\.tapferry\.Broker\.(\w+)` \|", page.read(), re.M)
        self.assertEqual(sorted(rows), sorted(names))


class Granted(BrokerCase):
    """Up and Release, of what was granted before."""

    def setUp(self):
        super().setUp()
        self.box.policy("allow bridge=br0 user=alice,bob name=vm-* persist=on", "allow macvtap=v0 user=alice name=vm-*",
                        "allow bridge=br1 user=alice name=vm-* up=off")

    def test_up(self):
        for spec in ("bridge=br0,name=vm-1,up=off", "macvtap=v0,name=vm-1,up=off"):
            opened = self.open(spec)
            self.assertFalse(opened.link.up)
            self.refuses(f"{BROKER}.Refused", f"{BROKER}.Up", "bob", ifname="vm-1")
            self.assertFalse(opened.link.up)
            self.assertEqual(self.client().call(f"{BROKER}.Up", ifname="vm-1"), ({}, []))
            self.assertTrue(opened.link.up)
            opened.close()
            self.assertGone("vm-1")

    def test_up_of_what_its_rule_keeps_down(self):
        opened = self.open("bridge=br1,name=vm-1")
        uid = self.box.users["alice"].uid
        self.assertEqual(self.refuses(f"{BROKER}.Refused", f"{BROKER}.Up", ifname="vm-1").message,
                         f"tapferry-helper: bring up vm-1: uid {uid} has no interface of that name, or its rule has up=off")
        self.assertFalse(opened.link.up)

    def test_release(self):
        self.open("bridge=br0,name=vm-1,persist=on").close()
        self.check_release()

    def test_release_of_a_macvtap(self):
        self.box.policy("allow macvtap=v0 user=alice name=vm-* persist=on")
        opened = self.open("macvtap=v0,name=vm-1,persist=on")
        node = f"/dev/tap{opened.link.index}"
        opens = ["/bin/sh", "-c", f"exec 3<>{node}"]
        self.assertEqual([self.box.run(opens, user).returncode == 0 for user in ("alice", "bob")], [True, False])
        opened.close()
        self.check_release()
        self.assertFalse(os.path.exists(node))

    def check_release(self):
        self.assertIsNotNone(links.get("vm-1"))
        others = self.refuses(f"{BROKER}.Refused", f"{BROKER}.Release", "bob", ifname="vm-1").message
        absent = self.refuses(f"{BROKER}.Refused", f"{BROKER}.Release", "bob", ifname="vm-2").message
        self.assertEqual(others.replace("vm-1", "vm-2"), absent)
        self.assertIsNotNone(links.get("vm-1"))
        self.assertEqual(self.client().call(f"{BROKER}.Release", ifname="vm-1"), ({}, []))
        self.assertIsNone(links.get("vm-1"))

    def test_what_is_no_name(self):
        for method in ("Up", "Release"):
            for name in ("", "../x", "a b", "--fd=3", "x" * 900, "\x01", "br0", "lo"):
                self.refuses(f"{BROKER}.Refused", f"{BROKER}.{method}", ifname=name)
            for parameters in ({}, {"ifname": 1}, {"net": "bridge=br0"}, {"ifname": "vm-1", "net": "tap"}, {"ifname": "x" * 1025}):
                self.refuses(f"{SERVICE}.InvalidParameter", f"{BROKER}.{method}", **parameters)


class Refusals(BrokerCase):
    """What isn't allowed gets the helper's own line."""

    def test_what_no_rule_allows(self):
        error = self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", net="bridge=br1")
        uid = self.box.users["alice"].uid
        self.assertEqual(error.message,
                         f"tapferry-helper: access denied by acl file: bridge=br1 is not allowed to uid {uid}, or there is no such "
                         "interface; `tapferry explain --net=bridge=br1' says which rule decides")

    def test_a_bridge_that_does_not_exist_gets_the_same_words(self):
        denied = self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", net="bridge=br1").message
        absent = self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", net="bridge=br7").message
        self.assertEqual(denied.replace("br1", "br7"), absent)

    def test_rules_for_users_and_groups_hold_for_who_connected(self):
        self.box.policy("allow bridge=br0 user=alice", "allow bridge=br1 group=vms", "deny * user=mallory")
        self.open("bridge=br0", "alice")
        self.open("bridge=br1", "carol")  # by her group alone
        self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", "bob", net="bridge=br0")
        self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", "mallory", net="bridge=br1")

    def test_a_quota_holds_across_broker_and_helper(self):
        self.box.policy("allow bridge=br0 user=alice max=2")
        first = self.open("bridge=br0")
        self.open("bridge=br0")
        self.assertIn("max=2", self.refuses(f"{BROKER}.Failed", f"{BROKER}.Open", net="bridge=br0").message)
        first.close()
        self.open("bridge=br0")

    def test_a_spec_that_is_none(self):
        error = self.refuses(f"{BROKER}.Failed", f"{BROKER}.Open", net="bridge=br0,colour=red")
        self.assertIn("colour", error.message)

    def test_a_user_without_a_number_here(self):
        nobody = sandbox.User("nobody", 65534, 65534, ())
        self.box.users["nobody"] = nobody
        error = self.refuses(f"{BROKER}.Failed", f"{BROKER}.Open", "nobody", net="bridge=br0")
        self.assertIn("uid 65534 stands for all that this user namespace has no number for", error.message)

    def test_every_refusal_is_in_the_audit_log(self):
        self.refuses(f"{BROKER}.Refused", f"{BROKER}.Open", net="bridge=br1")
        uid = self.box.users["alice"].uid

        def logged(*words):
            return any(all(word in line for word in words) for line in map(str, self.box.syslog.lines()))

        self.assertTrue(sandbox.eventually(lambda: logged("tapferry-helper[", f"uid={uid} ", "result=refused")))
        self.assertTrue(sandbox.eventually(lambda: logged("tapferryd[", f"uid={uid} pid={os.getpid()} ", "bridge=br1")))


class OtherMethods(BrokerCase):
    """Explain, List, and what every Varlink service has."""

    def test_explain_says_what_the_helper_says(self):
        explanation, _ = self.client().call(f"{BROKER}.Explain", net="bridge=br0,queues=2")
        explanation = explanation["explanation"]
        self.assertEqual((explanation["allowed"], explanation["rule"], explanation["user"]),
                         (True, "policy.conf:2", "alice"))

    def test_list_has_ones_own_interfaces(self):
        own = self.open("bridge=br0").grant
        other = self.open("macvtap=v0", "carol").grant
        listed = self.client().call(f"{BROKER}.List")[0]["interfaces"]
        self.assertEqual([(one["ifname"], one["ifindex"], one["kind"], one["upper"], one["uid"], one["up"], one["rule"])
                          for one in listed],
                         [(own["ifname"], own["ifindex"], "bridge", "br0", self.box.users["alice"].uid, True,
                           "policy.conf:2")])
        everybodys = self.client("root").call(f"{BROKER}.List")[0]["interfaces"]
        self.assertEqual({one["ifname"] for one in everybodys}, {own["ifname"], other["ifname"]})

    def test_the_service_describes_itself(self):
        info = self.client().call(f"{SERVICE}.GetInfo")[0]
        self.assertEqual(info["interfaces"], [SERVICE, BROKER])
        for interface in info["interfaces"]:
            text = self.client().call(f"{SERVICE}.GetInterfaceDescription", interface=interface)[0]["description"]
            self.assertIn(f"interface {interface}\n", text)

    def test_what_is_not_there_gets_varlinks_own_errors(self):
        for error, parameters, method, given in (
                ("InterfaceNotFound", {"interface": "org.example"}, "org.example.Open", {}),
                ("MethodNotFound", {"method": f"{BROKER}.Close"}, f"{BROKER}.Close", {}),
                ("InvalidParameter", {"parameter": "net"}, f"{BROKER}.Open", {}),
                ("InvalidParameter", {"parameter": "net"}, f"{BROKER}.Open", {"net": 5}),
                ("InvalidParameter", {"parameter": "net"}, f"{BROKER}.Open", {"net": "x" * 1025}),
                ("InvalidParameter", {"parameter": "fd"}, f"{BROKER}.Open", {"net": "bridge=br0", "fd": 3}),
                ("InterfaceNotFound", {"interface": "a.b"}, f"{SERVICE}.GetInterfaceDescription", {"interface": "a.b"})):
            with self.subTest(method=method, given=given):
                caught = self.refuses(f"{SERVICE}.{error}", method, **given)
                self.assertEqual(caught.parameters, parameters)

    def test_oneway_gets_no_reply_and_makes_nothing(self):
        client, before = self.client(), links.snapshot()
        client.send_bytes(json.dumps({"method": f"{BROKER}.Open", "oneway": True,
                                      "parameters": {"net": "bridge=br0"}}).encode() + b"\0")
        self.assertIn("vendor", client.call(f"{SERVICE}.GetInfo")[0], "the first reply is the second call's")
        self.assertEqual(links.snapshot(), before)


class Hostile(BrokerCase):
    """What isn't Varlink ends its own connection, and nothing else."""

    def test_garbage_gets_one_error_and_the_end(self):
        deep = b"[" * 5000
        for text in (b"hello", b"[]", b"{", b"{}}", b"{\"method\":1}", b"{\"method\":\"a\\u0000b\"}", b"\xff{}", b"// x\n{}",
                     b"{\"method\":\"a.b\",\"parameters\":" + deep + b"}", b"{\"method\":\"a.b\",\"parameters\":[]}",
                     b"{} {}", b"{\"method\":1e5}", b"", b"var a={}"):
            with self.subTest(text=text[:40]):
                client = self.client()
                client.send_bytes(text + b"\0")
                with self.assertRaises(BrokerError) as caught:
                    client.result()
                self.assertEqual(caught.exception.name, f"{BROKER}.Malformed")
                with self.assertRaises((EOFError, ConnectionResetError)):
                    client.receive()

    def test_a_call_without_end_is_cut_off(self):
        client = self.client()
        with self.assertRaises((EOFError, ConnectionResetError, BrokenPipeError, BrokerError)):
            for _ in range(1000):
                client.send_bytes(b"{" + b" " * 4096)
            client.result()

    def test_descriptors_that_a_client_sends_are_dropped(self):
        client = self.client()
        read_end, write_end = os.pipe()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", write_end))]
        client.sock.sendmsg([json.dumps({"method": f"{SERVICE}.GetInfo"}).encode() + b"\0"], rights)
        os.close(write_end)
        client.result()
        self.assertEqual(os.read(read_end, 1), b"", "somebody has the other end still")
        os.close(read_end)

    def test_the_one_that_parses_has_no_privilege_at_all(self):
        pid = self.broker_pid()
        status = processes.status(pid)
        self.assertEqual({status[key] for key in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")}, {"0" * 16})
        self.assertEqual((status["NoNewPrivs"], status["Groups"].strip()), ("1", ""))
        ids = set(status["Uid"].split() + status["Gid"].split())
        self.assertEqual(len(ids), 1)
        self.assertNotIn(ids.pop(), ["0", str(self.box.users["alice"].uid)])

    def test_the_one_with_privilege_has_what_it_needs_effective(self):
        status = processes.status(self.daemon.pid)
        # kill, setgid, setuid, setpcap; linux/capability.h
        self.assertEqual(int(status["CapEff"], 16), 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8)
        # Besides: dac_override, fowner, net_admin, sys_ptrace, mknod.
        wanted = int(status["CapEff"], 16) | 1 << 1 | 1 << 3 | 1 << 12 | 1 << 19 | 1 << 27
        self.assertEqual(int(status["CapBnd"], 16), wanted & int(processes.status(os.getpid())["CapBnd"], 16))


class Life(BrokerCase):
    """Start, end, and being killed."""

    def test_killed_and_restarted_the_macvtaps_stay_watched_over(self):
        kept, let_go = self.open("macvtap=v0"), self.open("macvtap=v0")
        self.stop_daemon(signal.SIGKILL)
        self.assertIsNotNone(kept.link, "who holds it keeps it")
        gone = let_go.grant["ifname"]
        let_go.close()
        self.assertGone(gone)  # while there was no broker
        self.start_daemon()
        listed = self.client().call(f"{BROKER}.List")[0]["interfaces"]
        self.assertEqual([one["ifname"] for one in listed], [kept.grant["ifname"]])
        name = kept.grant["ifname"]
        kept.close()
        self.assertGone(name)

    def test_a_killed_broker_process_ends_the_daemon_and_leaves_nothing(self):
        opened = self.open("bridge=br0")
        pid = self.broker_pid()
        os.kill(pid, signal.SIGKILL)
        self.daemon.wait(20)
        said = self.stop_daemon()
        self.assertIn("tapferryd: serve clients: tapferry-broker has ended", said)
        self.assertIsNotNone(opened.link)

    def test_the_socket_goes_with_a_daemon_that_ends(self):
        self.assertEqual(self.stop_daemon(), "")
        self.assertFalse(os.path.exists(SOCKET))

    def test_a_second_daemon_is_refused(self):
        done = self.box.run(self.daemon_command(), "root")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, f"tapferryd: listen at {SOCKET}: another tapferryd does already\n")

    def test_needs_root(self):
        done = self.box.run(self.daemon_command(), "alice")
        self.assertEqual((done.returncode, done.stderr),
                         (1, "tapferryd: serve clients: not started by root; see tapferryd(8)\n"))

    def test_without_its_user_it_says_how_to_add_it(self):
        self.stop_daemon()
        with open("/etc/passwd", encoding="ascii") as file:
            passwd = file.read()
        self.box.write("/etc/passwd", "".join(line + "\n" for line in passwd.splitlines() if "tapferry-broker" not in line))
        self.addCleanup(self.box.write, "/etc/passwd", passwd)
        done = self.box.run(self.daemon_command(), "root")
        self.assertEqual(done.returncode, 1)
        self.assertIn("become the system user tapferry-broker: /etc/passwd has none; add it: useradd", done.stderr)

    def test_a_service_managers_socket_is_taken_and_readiness_told(self):
        self.stop_daemon()
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(told.close)
        told.bind("/run/notify")
        self.addCleanup(os.unlink, "/run/notify")
        told.settimeout(20)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(SOCKET)
        self.addCleanup(os.unlink, SOCKET)
        os.chmod(SOCKET, 0o666)
        listener.listen()
        script = 'exec 3<&"$1"; LISTEN_FDS=1 LISTEN_PID=$$ NOTIFY_SOCKET=/run/notify; export LISTEN_FDS LISTEN_PID NOTIFY_SOCKET; shift; exec "$@"'
        self.daemon = self.box.popen(["bash", "-c", script, "sh", str(listener.fileno()), *self.daemon_command()], "root",
                                     pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.assertEqual(told.recv(100), b"READY=1\nSTATUS=serving")
        self.assertEqual(self.open("bridge=br0").link.master, "br0")
        self.assertEqual(self.stop_daemon(), "")
        self.assertEqual(told.recv(100), b"STOPPING=1")
        self.assertTrue(os.path.exists(SOCKET), "it is the manager's")


if __name__ == "__main__":
    unittest.main()
