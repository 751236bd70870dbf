# SPDX-License-Identifier: MIT
"""An interactive bash or zsh on a terminal, whose Tab key is pressed."""
import fcntl
import os
import re
import select
import signal
import struct
import termios
import time

import sandbox

TAB = "\t"
ALL = "\x18a"     # ^X a: puts all that could stand there on the line
SHOW = "\x18s"    # ^X s: prints the line
CLEAR = "\x05\x15"  # ^E ^U
SHOWN = re.compile(r"\[\[LINE (.*?) LINE\]\]", re.S)

_BASH = """
PS1= PS2=
bind 'set enable-bracketed-paste off'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind '"\\C-xa": insert-completions'
bind -x '"\\C-xs": printf "[[%s %s %s]]\\n" LINE "$READLINE_LINE" LINE'
printf '[[%s ready %s]]\\n' LINE LINE
"""

_ZSH = """
PROMPT= RPROMPT=
unsetopt PROMPT_SP LIST_AMBIGUOUS LIST_BEEP BEEP
fpath=({folder} $fpath)
autoload -Uz compinit && compinit -D -u
zle -C all-matches complete-word _generic
bindkey '^Xa' all-matches
zstyle ':completion:all-matches:*' insert yes
zstyle ':completion:all-matches::::' completer _all_matches _complete
show() {{ printf '[[%s %s %s]]\\n' LINE "$BUFFER" LINE }}
zle -N show
bindkey '^Xs' show
printf '[[%s ready %s]]\\n' LINE LINE
"""


class ShellPty:
    """What becomes of a line when keys are pressed behind it."""

    def __init__(self, box, command, user, env, seconds=60):
        self.seconds = seconds
        self.master, slave = os.openpty()
        # Wide: no line is ever continued on the next.
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 4000, 0, 0))
        os.fchmod(slave, 0o666)
        self.text = ""
        self.process = box.popen(command, user, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=env["HOME"],
                                 preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env={"TERM": "dumb", **env})
        os.close(slave)
        self._shown()

    def _shown(self):
        """The next line that is shown."""
        end = time.monotonic() + self.seconds
        while not (found := SHOWN.search(self.text)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"the shell shows no line; it has written: {self.text!r}")
            self.text += os.read(self.master, 1 << 16).decode(errors="replace")
        self.text = self.text[found.end():]
        return found[1]

    def _is_raw(self):
        """Whether the shell edits lines now; otherwise the terminal would do it."""
        return not termios.tcgetattr(self.master)[3] & termios.ICANON

    def press(self, keys):
        """The line as it is then, which began empty."""
        if not sandbox.eventually(self._is_raw, self.seconds):
            raise AssertionError("the shell doesn't read the terminal")
        os.write(self.master, (CLEAR + keys + SHOW).encode())
        return self._shown()

    def tab(self, line):
        return self.press(line + TAB)

    def all(self, line):
        """The words that could stand at the end of LINE; the last one's part before them is cut off as the shell has it."""
        return self.press(line + ALL).split()

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)


def bash(box, *lines, user="alice", **env):
    """With LINES in its startup file."""
    file = box.write(f"{sandbox.BASE}/bash/rc", "\n".join(lines) + _BASH)
    env = {"HOME": box.users[user].home if user != "root" else "/root", "INPUTRC": "/dev/null", "HISTFILE": "", **env}
    return ShellPty(box, ["/bin/bash", "--noprofile", "--rcfile", file, "-i"], user, env)


def zsh(box, folder, user="alice", **env):
    """FOLDER has its completion functions."""
    startup = f"{sandbox.BASE}/zsh"
    box.write(f"{startup}/.zshrc", _ZSH.format(folder=folder))
    env = {"HOME": box.users[user].home if user != "root" else "/root", "ZDOTDIR": startup, **env}
    return ShellPty(box, ["/usr/bin/zsh", "-d", "-i"], user, env)
