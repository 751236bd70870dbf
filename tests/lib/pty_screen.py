# SPDX-License-Identifier: MIT
"""A terminal for a program to draw on: a pty, and of its control sequences those that `tapferry top` uses."""
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time

SEQUENCE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])")
INCOMPLETE = re.compile(r"(\x1b(\[\??[\d;]*)?|\r+)?\Z")


class PtyScreen:
    """A program on a terminal of COLUMNS by ROWS; `lines` is what is on its screen, changed by whole screens: between the
    beginning and the end of a synchronized update (mode 2026) the one before is shown."""

    def __init__(self, box, command, user="alice", columns=100, rows=30, **options):
        self.master, self._slave = os.openpty()
        self.columns, self.rows = columns, rows
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self._slave)
        os.fchmod(self._slave, 0o666)
        self.process = box.popen(command, user, stdin=self._slave, stdout=self._slave, stderr=subprocess.PIPE,
                                 start_new_session=True, preexec_fn=self._take_terminal, **options)
        self.text = ""      # all that it has written
        self.is_alternate = False
        self.is_cursor_hidden = False
        self._row = 0
        self._is_fresh = True  # nothing was written to this row yet
        self._pending = ""     # the beginning of a sequence whose end hasn't come

    def _take_terminal(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, columns, rows):
        # What was drawn for the size before may still be on its way.
        self._most = (max(columns, self.columns), max(rows, self.rows))
        self.columns, self.rows = columns, rows
        self.lines = []
        self._drawn = []    # the rows of a screen that hasn't ended
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self):
        """The terminal's attributes but for the line discipline's own pending state."""
        return termios.tcgetattr(self._slave)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def read(self, seconds):
        """Draws what comes within SECONDS, or until the program has been quiet for some time."""
        if select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 1 << 20).decode()
            self.text += data
            self._draw(data)
            return True
        return False

    def until(self, wanted, seconds=20):
        """Reads until WANTED(self) is true; the lines then."""
        end = time.monotonic() + seconds
        while not wanted(self):
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError("the screen never was as wanted:\n" + "\n".join(self.lines))
            self.read(min(left, 0.2))
        return self.lines

    def _draw(self, data):
        data = self._pending + data
        self._pending = INCOMPLETE.search(data)[0]
        # The line discipline makes another \r before \n.
        for part in re.split(r"(\x1b\[\??[\d;]*[A-Za-z]|\r+\n)", data.removesuffix(self._pending)):
            found = SEQUENCE.fullmatch(part)
            if part.endswith("\n"):
                self._row += 1
                self._is_fresh = True
            elif found:
                self._control(found[1], found[2])
            elif part:
                self._put(part)

    def _control(self, argument, letter):
        if letter in "hl" and argument in ("?1049", "?25"):
            if argument == "?1049":
                self.is_alternate = letter == "h"
            else:
                self.is_cursor_hidden = letter == "l"
        elif (argument, letter) == ("?2026", "l"):
            self.lines = list(self._drawn)
        elif (argument, letter) == ("?2026", "h"):
            # A terminal that has become lower has lost the rows below.
            del self._drawn[self.rows:]
        elif letter == "H" and argument == "":
            self._row = 0
            self._is_fresh = True
        elif letter == "K" and self._is_fresh and self._row < len(self._drawn):
            self._drawn[self._row] = ""
        elif letter not in "Km":
            raise AssertionError(f"unknown control sequence {argument}{letter}")

    def _put(self, text):
        if "\x1b" in text or len(text) > self._most[0] or self._row >= self._most[1]:
            raise AssertionError(f"unknown, or beyond the screen: row {self._row}: {text!r}")
        self._drawn += [""] * (self._row + 1 - len(self._drawn))
        self._drawn[self._row] = text if self._is_fresh else self._drawn[self._row] + text
        self._is_fresh = False

    def ended(self, seconds=20):
        """The exit status; what it wrote until then has been read."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.wait(1)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process.stderr.close()
        os.close(self.master)
        os.close(self._slave)
