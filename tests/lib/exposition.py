# SPDX-License-Identifier: MIT
"""A strict reader of Prometheus' text exposition format 0.0.4, as far as counters and gauges go."""
import dataclasses
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


@dataclasses.dataclass
class Family:
    """One metric: its samples by their labels, a tuple of (name, value) in the order of writing."""
    name: str
    help: str
    type: str
    samples: dict


def parse(text):
    """name -> Family; ValueError says which line is wrong."""
    families = {}
    if not text.endswith("\n"):
        raise ValueError("the last line doesn't end")
    lines = text.split("\n")[:-1]
    help_text = None
    family = None
    for number, line in enumerate(lines, 1):
        try:
            if line.startswith("# HELP "):
                name, help_text = line[7:].split(" ", 1)
                family = None
            elif line.startswith("# TYPE "):
                family = _family(name, help_text, line[7:], families)
            elif not line.startswith("#"):
                _sample(family, line)
            else:
                raise ValueError("a comment that is neither HELP nor TYPE")
        except (ValueError, AttributeError, UnboundLocalError) as error:
            raise ValueError(f"line {number}: {error}: {line}") from error
    return families


def _family(name, help_text, type_line, families):
    type_name, kind = type_line.split(" ")
    if type_name != name or not NAME.fullmatch(name) or kind not in ("counter", "gauge") or name in families:
        raise ValueError("TYPE that doesn't follow its HELP, or a second time")
    if (kind == "counter") != name.endswith("_total"):
        raise ValueError("counters, and they alone, end with _total")
    families[name] = Family(name, help_text, kind, {})
    return families[name]


def _sample(family, line):
    match = re.fullmatch(r"([^{ ]+)\{(.*)\} (\d+)", line)
    if match[1] != family.name:
        raise ValueError("a sample under another metric")
    labels = []
    rest = match[2]
    while rest:
        label = LABEL.match(rest)
        labels.append((label[1], re.sub(r"\\.", lambda escape: UNESCAPED[escape[0]], label[2])))
        rest = rest[label.end():]
        if rest and not rest.startswith(","):
            raise ValueError("no comma between labels")
        rest = rest[1:]
    if len({name for name, _ in labels}) != len(labels) or tuple(labels) in family.samples:
        raise ValueError("a label or a sample for the second time")
    family.samples[tuple(labels)] = int(match[3])
