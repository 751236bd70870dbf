# SPDX-License-Identifier: MIT
"""What a run of the helper must keep to, whatever fails in it:

- status 0 and the whole hand-over (or the whole answer); or another status, nothing sent, and one line that says why;
- killed: the whole hand-over or nothing of it, never a byte without its descriptor;
- what is received is what an undisturbed run gives, and its audit line is with syslog;
- a request that the policy forbids is never granted;
- afterwards there is no interface, name, port or process that wasn't there before, and what was there is as it was.

Each function here returns the promises that were broken, as a list of texts.
"""
import json
import os
import re
import signal
import subprocess

import links
import sandbox
import strace

LINE = re.compile(r"\Atapferry-helper: [^\n]+\n\Z")


def is_killed(got):
    return got is not None and got.status == -signal.SIGKILL


def is_at_persist(injection):
    """An interface is made persistent when the message was sent: a tap that couldn't be goes with its descriptors, a macvtap at
    once."""
    return injection.call.is_late


# --- the message ----------------------------------------------------------------------------------

def picture(got):
    """A hand-over without what differs from run to run, to be compared with the undisturbed one's."""
    link = links.get(got.taps[0].name)
    seen = {"taps": [(tap.name == link.name, tap.flag_names, tap.header_size, tap.nonblocking) for tap in got.taps],
            "kind": link.kind, "up": link.up, "mtu": link.mtu, "master": link.master,
            "alias": re.sub(r"since=\d+", "since=", link.alias).replace(link.mac, "its own"), "mac": link.mac[:2] if link.master else "any",
            "slots": [name.rpartition(".")[0] for name in link.altnames],
            "addresses": link.raw.get("inet6_addr_gen_mode"), "isolated": link.port.get("isolated"),
            "locked": (link.port.get("locked"), link.port.get("learning")), "rules": _traffic_control(link.name),
            "accept_ra": _accept_ra(link.name)}
    if got.data == b"\0":
        return seen
    record = got.record
    own = (record.pop("ifname"), record.pop("ifindex"), record.pop("mac"))
    return {**seen, "record": record, "own": own == (link.name, link.index, link.mac),
            "ends": got.data.endswith(b"}\n")}


def _without_persist(seen):
    taps = [(own, [flag for flag in flags if flag != "persist"], *more) for own, flags, *more in seen["taps"]]
    return {**seen, "taps": taps}


def _accept_ra(name):
    with open(f"/proc/sys/net/ipv6/conf/{name}/accept_ra", encoding="ascii") as file:
        return file.read().strip()


def _traffic_control(name):
    """Rates and filters of the interface."""
    shown = [subprocess.run(["tc", *what, "dev", name], capture_output=True, text=True, check=True).stdout
             for what in (("qdisc", "show"), ("filter", "show", "ingress"), ("filter", "show", "egress"))]
    return "".join(shown).replace(name, "NAME")


def of_message(got, expected, syslog, injection):
    """GOT has a message; EXPECTED is the picture() of an undisturbed run."""
    if len(got.messages) != 1:
        return [f"{len(got.messages)} messages"]
    if is_at_persist(injection) and got.status > 0 and expected["kind"] == "macvtap":
        return []
    if not got.taps or not got.taps[0].name:
        return [f"no tap came with {got.data!r}"]
    broken = []
    try:
        seen = picture(got)
    except (OSError, ValueError, AttributeError, KeyError) as error:
        return [f"what was received can't be looked at: {error!r}"]
    if is_at_persist(injection):
        seen, expected = _without_persist(seen), _without_persist(expected)
    wrong = {key: (seen.get(key), expected.get(key)) for key in {*seen, *expected}
             if seen.get(key) != expected.get(key)}
    if wrong:
        broken.append(f"not as without a fault (is, should be): {wrong}")
    if not any("result=granted" in line.text for line in syslog.lines(at_least=1)):
        broken.append("handed over without an audit line")
    return broken


# --- status and words -----------------------------------------------------------------------------

def says_no(answer):
    """Whether an --explain's JSON says that the request is refused."""
    try:
        return json.loads(answer)["allowed"] is False
    except (ValueError, KeyError):
        return False


def of_answer(outcome, injection, got, expected, syslog):
    """Everything that the caller sees of a run; OUTCOME is what an undisturbed one comes to."""
    broken = []
    # After a kill, or without waiting for it, the auditor may not have got to closing what it inherited.
    if not got.eof and not is_killed(got) and injection.call.name != "wait4":
        broken.append("something still holds the socket")
    if got.messages and outcome != "granted":
        broken.append(f"POLICY BYPASSED: {got.messages} was sent")
    elif got.messages:
        broken += of_message(got, expected, syslog, injection)
        if got.status != 0 and not is_killed(got) and not is_at_persist(injection):
            broken.append(f"status {got.status} though the message was sent")
    if got.stdout and outcome != "explained":
        broken.append(f"stdout {got.stdout!r}")
    if got.status == 0:
        broken += _of_success(outcome, got, expected)
    elif got.status > 0:
        broken += _of_words(injection, got.stderr)
    elif not (is_killed(got) and injection.action == strace.KILL) and injection.call.phase != strace.START:
        broken.append(f"ended by signal {-got.status}")
    return broken


def _of_success(outcome, got, expected):
    if got.stderr:
        return [f"status 0, yet it says {got.stderr!r}"]
    if outcome == "refused":
        return ["POLICY BYPASSED: status 0"]
    if outcome == "granted" and not got.messages:
        return ["status 0, and nothing was sent"]
    if outcome == "explained" and got.stdout != expected and not says_no(got.stdout):
        return [f"POLICY BYPASSED: explained {got.stdout!r}"]
    return []


def _of_words(injection, words):
    call = injection.call
    if call.name == "write" and call.text.startswith("2,") and words == "":
        return []  # it was stderr that failed
    if call.phase == strace.START:
        # ld.so speaks for itself, and calls the program by its path.
        return [] if words.count("\n") <= 1 else [f"more than a line: {words!r}"]
    return [] if LINE.match(words) else [f"not one line of explanation: {words!r}"]


# --- what is left ---------------------------------------------------------------------------------

def interfaces():
    """name -> what a hand-over could change of it; a bridge's MAC and MTU follow its ports."""
    return {link.name: (link.identity, link.up, (link.mtu, link.mac) if link.kind == "tun" else ())
            for link in links.all_links()}


def of_interfaces(before, goes=(), changes=(), stays=()):
    """Against BEFORE; those in GOES may be gone, those in CHANGES be different, those in STAYS be there.  Waits a little:
    the kernel may be busy with what the last descriptor took along."""
    found = []

    def is_clean():
        now = interfaces()
        found[:] = [f"left behind: {now[name]}" for name in now if name not in before and name not in stays]
        found.extend(f"gone: {name}" for name in before if name not in now and name not in goes)
        found.extend(f"{name} was {before[name]} and is {now[name]}" for name in before
                     if name in now and name not in changes and now[name] != before[name])
        return not found

    sandbox.eventually(is_clean, 2)
    return found


def of_processes(program, seconds=2):
    """No process runs PROGRAM any more, at most SECONDS later; what does is ended."""
    if sandbox.eventually(lambda: not _processes_of(program), seconds):
        return []
    left = _processes_of(program)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    sandbox.eventually(lambda: not _processes_of(program), 5)
    return [f"{len(left)} processes are left"]


def _processes_of(program):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/exe") == program:
                    found.append(int(entry))
            except OSError:
                pass  # gone meanwhile, or not looking at any program
    return found
