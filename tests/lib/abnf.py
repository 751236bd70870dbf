# SPDX-License-Identifier: MIT
"""Grammars in ABNF (RFC 5234) as regular expressions: those without recursion and with one rule a line."""
import re

CORE = {"DIGIT": "[0-9]", "HEXDIG": "[0-9A-Fa-f]", "DQUOTE": '"'}
TOKEN = re.compile(r'\s*(?:"(?P<literal>[^"]*)"|%x(?P<low>[0-9A-F]+)-(?P<high>[0-9A-F]+)|(?P<repeat>\d*\*\d*|\d+)|'
                   r"(?P<name>[a-z][a-z-]*|[A-Z]+)|(?P<mark>[()/]))")


def compile_rules(text):
    """name -> regular expression; the rules of TEXT may use those above and below them."""
    rules = {}
    for line in re.sub(r"\n\s+", " ", text).splitlines():
        name, _, body = line.partition("=")
        rules[name.strip()] = _tokens(body)
    return {name: _expression(name, rules) for name in rules}


def _tokens(body):
    tokens, at = [], 0
    while body[at:].strip():
        found = TOKEN.match(body, at)
        if not found:
            raise ValueError(f"not understood: {body[at:]}")
        tokens.append((found.lastgroup if found["low"] is None else "range", found))
        at = found.end()
    return tokens


def _expression(name, rules):
    if name in CORE:
        return CORE[name]
    parts, repeat = [], ""
    for kind, found in rules[name]:
        if kind == "repeat":
            low, star, high = found["repeat"].partition("*")
            repeat = f"{{{low or 0},{high}}}" if star else f"{{{low}}}"
            continue
        if kind == "mark":
            part = {"(": "(?:", ")": ")", "/": "|"}[found["mark"]]
            if found["mark"] == "(" and repeat:
                raise ValueError("a repeated group needs a name of its own")
            parts.append(part)
            continue
        if kind == "literal":
            part = re.escape(found["literal"])
        elif kind == "range":
            part = f"[\\x{int(found['low'], 16):02x}-\\x{int(found['high'], 16):02x}]"
        else:
            part = _expression(found["name"], rules)
        parts.append(f"(?:{part}){repeat}")
        repeat = ""
    return "".join(parts)
