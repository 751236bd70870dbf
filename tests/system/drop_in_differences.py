# SPDX-License-Identifier: MIT
"""Where tapferry-helper differs from qemu-bridge-helper on purpose: the closed list of test_drop_in.py.

DIFFERENCES: case -> (reason, {what differs: (theirs, ours)}).  A difference that isn't here fails the
test, and so does one that is here and isn't seen any more.
"""

INTERFACE = {"called tapN": True, "up": True, "mtu": 1500, "MAC begins": "fe", "master": "br0"}
MESSAGES = ((b"\0", 1),)
VNET_TAP = ((("no_pi", "tap", "vnet_hdr"), 10, False),)
PLAIN_TAP = ((("no_pi", "tap"), 10, False),)

USAGE = "Usage: "
DENIED = "access denied by acl file"
NO_PARSE = "failed to parse default acl file `"
NO_LINE = "Invalid config line:"
NO_COMMAND = "Unknown command `"
NO_WRITE = "failed to write fd to unix socket: "
NO_TUN = "failed to open /dev/net/tun: "
NO_CREATE = "failed to create tun device: "


def words(theirs, ours):
    """Both refuse, with other words."""
    return {"words": (tuple(theirs), tuple(ours))}


def only_theirs_grants(*ours, taps=VNET_TAP, theirs=()):
    """Theirs hands over, ours refuses with the words OURS."""
    found = {"status": (0, 1), "messages": (MESSAGES, ()), "taps": (taps, ()), "interface": (INTERFACE, None)}
    if theirs:  # it complains, and yet grants
        found["says why"] = (False, True)
    return found | (words(theirs, ours) if theirs or ours else {})


def only_ours_grants(*theirs, taps=VNET_TAP):
    return {"status": (1, 0), "messages": ((), MESSAGES), "taps": ((), taps), "interface": (None, INTERFACE),
            **words(theirs, ())}


def no_signal(*ours):
    """Theirs dies of SIGPIPE without a word, ours says why."""
    return {"status": (-13, 1), "says why": (False, True)} | (words((), ours) if ours else {})


SEEN_EARLY = "the descriptor is looked at before anything is made, and the line says what is wrong with it"
NO_NUMBER = "theirs takes the number that atoi() finds, ours takes none but a number"
TWICE = "an option that is there twice contradicts itself; neither QEMU nor libvirt does that"
FAIL_CLOSED = "a policy that can't be read in full allows nothing"
NO_ORACLE = "absent and denied look alike, so that nobody learns from a refusal what exists"

DIFFERENCES = {
    "form_vnet_twice": (TWICE, only_theirs_grants(USAGE)),
    "form_br_twice": (TWICE, only_theirs_grants(USAGE)),
    "form_fd_twice": (TWICE, only_theirs_grants(USAGE)),
    "form_br_separate_word": ("an option's value may be the next word, as everywhere", only_ours_grants(USAGE, taps=PLAIN_TAP)),
    "form_abbreviated_option": ("getopt_long(3) takes any beginning of an option that is no other's",
                                only_ours_grants(USAGE)),
    "form_br_empty": ("no interface can have an empty name, whatever the policy says", words([DENIED], [])),
    "form_br_absent": (NO_ORACLE, words(["failed to get mtu of bridge `"], [DENIED])),
    "form_br_is_no_bridge": (NO_ORACLE, words(["failed to add interface `"], [DENIED])),
    "form_fd_empty": (NO_NUMBER, words([NO_WRITE], [])),
    "form_fd_not_a_number": (NO_NUMBER, words([NO_WRITE], [])),
    "form_fd_trailing_letters": (NO_NUMBER, only_theirs_grants(taps=PLAIN_TAP)),
    "form_fd_negative": (NO_NUMBER, words([USAGE], [])),
    "form_fd_huge": (NO_NUMBER, no_signal()),

    "fd_datagram": ("a datagram has no end by which the receiver sees a failure", only_theirs_grants(NO_WRITE)),
    "fd_inet": (SEEN_EARLY, no_signal(NO_WRITE)),
    "fd_peer_gone": ("ours outlives SIGPIPE to say why", no_signal(NO_WRITE)),

    "tun_0600": ("the node is opened as root where its mode forbids the caller", only_ours_grants(NO_TUN)),

    "acl_comment_behind": ("a comment may follow a rule", only_ours_grants(DENIED)),
    "acl_carriage_return": ("a line that isn't wholly understood denies everything",
                            only_theirs_grants(NO_LINE, NO_PARSE)),
    "acl_two_names": ("words that mean nothing are an error, not a part of the name",
                      words([DENIED], [NO_LINE, NO_PARSE])),
    "acl_garbage": ("a line of one unknown word is an unknown command",
                    words([NO_LINE, NO_PARSE], [NO_COMMAND, NO_PARSE])),
    "acl_file_world_writable": ("whoever can write the policy can grant himself anything",
                                only_theirs_grants(NO_PARSE)),
    "acl_line_too_long_hides_deny": (FAIL_CLOSED, words([DENIED], [NO_LINE, NO_PARSE])),
    "acl_line_too_long_becomes_allow": (FAIL_CLOSED, only_theirs_grants(NO_LINE, NO_PARSE)),
    "acl_include_missing": (FAIL_CLOSED, only_theirs_grants(NO_PARSE)),
    "acl_include_missing_only": (FAIL_CLOSED, words([DENIED], [NO_PARSE])),
    "acl_include_broken": (FAIL_CLOSED, only_theirs_grants(NO_COMMAND, NO_PARSE, theirs=(NO_LINE,))),
    "acl_include_directory": (FAIL_CLOSED, only_theirs_grants(NO_PARSE)),
}
