# SPDX-License-Identifier: MIT
"""A guest without a VM that speaks vhost-user: build/tests/front_end (tests/lib/front), driven by Python.

    front = FrontEnd()
    front.connect(path="/run/x.sock")
    front.start(features=FEATURES, protocol=PROTOCOL)      # negotiates, shares memory, starts all rings
    front.post(count=64, bytes=2048)
    front.send(frames=[{"frame": frame.hex()}])
    front.receive(count=1)["frames"][0]["frame"]

Every command of tests/lib/front/command*.cc is a method; keyword arguments are its members, the answer is a dictionary,
and what has an "error" in it is raised.
"""
import json
import os
import select
import struct
import subprocess

import sandbox
import vhost_frames

PROGRAM = "tests/front_end"
ANSWERS_S = 30

# What QEMU asks for by default, and the rest by name.
OFFLOADS = ["csum", "guest_csum", "guest_tso4", "guest_tso6", "host_tso4", "host_tso6"]
USO = ["guest_uso4", "guest_uso6", "host_uso"]
FEATURES = ["protocol_features", "version_1", "event_idx", "indirect_desc", "mrg_rxbuf", "mq", "mtu", "status",
            *OFFLOADS]
PROTOCOL_BITS = {"mq": 0, "log_shmfd": 1, "rarp": 2, "reply_ack": 3, "mtu": 4, "reset_device": 13,
                 "configure_mem_slots": 15, "status": 16}


def protocol(*names):
    return sum(1 << PROTOCOL_BITS[name] for name in names)


def names_of(bits):
    return {name for name, bit in PROTOCOL_BITS.items() if bits >> bit & 1}


PROTOCOL = protocol("mq", "log_shmfd", "rarp", "reply_ack", "mtu", "reset_device")
SLOTS = protocol("configure_mem_slots")

# Requests, by QEMU's docs/interop/vhost-user.rst.
(GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE, SET_LOG_BASE, SET_LOG_FD, SET_VRING_NUM,
 SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR, GET_PROTOCOL_FEATURES,
 SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE, SEND_RARP, NET_SET_MTU, SET_BACKEND_REQ_FD) = range(1, 22)
RESET_DEVICE, GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG, SET_STATUS, GET_STATUS = 34, 36, 37, 38, 39, 40
VERSION, REPLY, NEED_REPLY = 1, 4, 8


class FrontError(Exception):
    """The command's "error"."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


class FrontEnd:
    """A running front_end; close() ends it."""

    def __init__(self, **options):
        program = os.path.join(sandbox.BUILD, PROGRAM)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self._rest = b""

    def begin(self, command, **members):
        """Give a command without waiting for its end; finish() has the answer."""
        line = json.dumps({"do": command, **members}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()

    def finish(self, seconds=ANSWERS_S):
        fd = self.process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([fd], [], [], seconds)[0]:
                raise AssertionError(f"front_end: no answer in {seconds} s")
            more = os.read(fd, 1 << 20)
            if not more:
                raise AssertionError(f"front_end ended: {self.process.wait()}")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise FrontError(answer["error"], answer.get("code"))
        return answer

    def do(self, command, **members):
        self.begin(command, **members)
        return self.finish()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **members: self.do(name, **members)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    # frames

    def send_frames(self, *frames, header=b"", queue=0, wait=True, **shape):
        """The frames (bytes), one after the other in the same header and shape; all must be taken by the backend."""
        answer = self.do("send", queue=queue, wait=wait,
                         frames=[{"frame": frame.hex(), "header": header.hex(), **shape} for frame in frames])
        if answer["sent"] != len(frames) or (wait and not answer["used"]) or answer["fault"]:
            raise AssertionError(f"send: {answer}")
        return answer

    def receive_frames(self, count, queue=0, timeout_ms=5000, repost=True):
        """What comes in, `count` frames at most: (header, frame, buffers) each.  Not what a bridge says by itself."""
        found = []
        while (wanted := count - len(found)) > 0:
            answer = self.do("receive", queue=queue, count=wanted, timeout_ms=timeout_ms, repost=repost)
            if answer["fault"]:
                raise AssertionError(f"receive: {answer['fault']}")
            came = [(bytes.fromhex(f["header"]), bytes.fromhex(f["frame"]), f["buffers"]) for f in answer["frames"]]
            found += [one for one in came if not vhost_frames.is_chatter(one[1][:6])]
            if len(came) < wanted:
                break
        return found

    # messages and rings

    def ask(self, request, payload=b"", fds=(), flags=VERSION, **options):
        """A message that is replied to; (flags, payload)."""
        answer = self.do("message", request=request, payload=payload.hex(), fds=list(fds), flags=flags, reply=True,
                         **options)
        assert answer["request"] == request, answer
        return answer["flags"], bytes.fromhex(answer["payload"])

    def ask_u64(self, request, payload=b""):
        return struct.unpack("<Q", self.ask(request, payload)[1])[0]

    def acknowledged(self, request, payload=b"", fds=()):
        """The u64 that answers a message with NEED_REPLY: 0 is yes."""
        return struct.unpack("<Q", self.ask(request, payload, fds, VERSION | NEED_REPLY)[1])[0]

    def tell(self, request, payload=b"", fds=(), flags=VERSION):
        self.do("message", request=request, payload=payload.hex(), fds=list(fds), flags=flags)

    def write(self, gpa, data):
        self.do("poke", gpa=gpa, hex=data.hex())

    def read(self, gpa, length):
        return bytes.fromhex(self.do("peek", gpa=gpa, length=length)["hex"])
