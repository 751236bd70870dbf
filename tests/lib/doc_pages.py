# SPDX-License-Identifier: MIT
"""The documents, and the code that they speak of, as text."""
import functools
import glob
import os
import re

import sandbox

ROOT = sandbox.ROOT


@functools.cache
def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def read_file(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.cache
def sources():
    """All C++ of the programs in one text."""
    return "\n".join(read(os.path.relpath(path, ROOT)) for folder in ("base", "net", "lib", "helper", "broker", "vhost", "tools")
                     for path in sorted(glob.glob(f"{ROOT}/{folder}/*.[hc]*")))


def code_blocks(document, language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", read(document), re.M | re.S)
    return [text for name, text in found if name == language]


def quoted(document):
    """What stands between backticks outside of code blocks."""
    text = re.sub(r"^```.*?^```", "", read(document), flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", text)


def table_after(document, heading):
    """The first column of the table that follows a heading or a phrase: the words in backticks."""
    rows = []
    for line in read(document).split(heading, 1)[1].splitlines():
        if line.startswith("| `"):
            rows += re.findall(r"`([^`]+)`", line.split("|")[1])
        elif rows:
            return rows
    return rows
