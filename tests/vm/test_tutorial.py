# SPDX-License-Identifier: MIT
"""docs/TUTORIAL.md, block after block, as somebody would paste it: with a private /usr/local, and the guest's kernel in the
place of the machine's own."""
import os
import pty
import re
import select
import shutil
import time

import links
import sandbox
import status_screens
from doc_pages import code_blocks
from vm_case import VmCase

PAGE = "docs/TUTORIAL.md"
BOOT_S = 120


class Console:
    """A terminal on which a command runs; what it prints is `text`."""

    def __init__(self, box, command, user, **options):
        self._master, slave = pty.openpty()
        os.fchmod(slave, 0o666)
        self.process = box.popen(command, user, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, **options)
        os.close(slave)
        self.text = ""

    def until(self, wanted):
        end = time.monotonic() + BOOT_S
        while wanted not in self.text:
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"never printed {wanted!r}:\n{self.text}")

    def _read(self):
        if not select.select([self._master], [], [], 0.5)[0]:
            return self.process.poll() is None
        try:
            self.text += os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # EIO: the last one that had the other side is gone
            return False
        return True

    def finish(self, keys):
        os.write(self._master, keys.encode())
        end = time.monotonic() + BOOT_S
        while self._read() and time.monotonic() < end:
            pass
        return self.process.wait(20)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


class Tutorial(VmCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sandbox.mount("tmpfs", "/usr/local", "tmpfs", data="mode=755")
        cls.shims = f"{sandbox.BASE}/shims"
        os.mkdir(cls.shims, 0o755)
        # There is nobody to ask for a password.
        cls.box.write(f"{cls.shims}/sudo", '#!/bin/sh\nexec "$@"\n', 0o755)
        cls.box.write(f"{cls.shims}/uname", f"#!/bin/sh\necho {cls.stage.kernel.release}\n", 0o755)
        sandbox.mount("tmpfs", "/boot", "tmpfs", data="mode=755")
        shutil.copy(cls.stage.vmlinuz, f"/boot/vmlinuz-{cls.stage.kernel.release}")
        # modprobe's own uname() is the machine's, which may have no modules at all.
        root = f"{sandbox.BASE}/root"
        shutil.copytree(cls.stage.kernel.modules, f"{root}/lib/modules/{cls.stage.kernel.release}")
        cls.box.write(f"{cls.shims}/modprobe",
                      f'#!/bin/sh\nexec /sbin/modprobe -d {root} -S {cls.stage.kernel.release} "$@"\n', 0o755)
        cls.tree = re.split(r"/build(?:/|$)", sandbox.BUILD)[0]
        cls.variant = sandbox.BUILD.removeprefix(f"{cls.tree}/build").strip("/")

    def setUp(self):
        self.box.delete_links()
        self.box.no_policy()

    def in_shell(self, block):
        """(script, user, folder) of a block: what begins with sudo or make is root's, and make runs in the source."""
        is_roots = bool(re.search(r"\bsudo\b|^make", block))
        is_source = bool(re.search(r"^(sudo )?make", block, re.M))
        # What is built is tested: the programs count as up to date whatever has become of the sources.
        block = re.sub(r"\bmake\b", f"make -o all {self.variant and f'VARIANT={self.variant}'}", block)
        block = block.replace("/sbin/modprobe", "modprobe")
        return (["sh", "-e", "-c", block], "root" if is_roots else "alice",
                {"cwd": self.tree if is_source else self.alice.home,
                 "env": {"PATH": f"{self.shims}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "USER": "alice", "TERM": "dumb", "COLUMNS": "100"}})

    def done(self, block, expected=0):
        command, user, options = self.in_shell(block)
        done = self.box.run(command, user, timeout=120, **options)
        self.assertEqual(done.returncode, expected, f"{block}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def start(self, block):
        command, user, options = self.in_shell(block)
        console = Console(self.box, command, user, **options)
        self.addCleanup(console.close)
        return console

    def test_is_what_happens(self):
        shown, table = code_blocks(PAGE, "text")
        install, bridge, ask, allow, doctor, guest, run, look, run_faster, undo = code_blocks(PAGE, "sh")
        before = self.files()
        self.done(install)
        self.done(bridge)
        self.assertIn("refused", self.done(ask, expected=1))
        self.done(allow)
        self.assertNotIn("problem:", self.done(doctor))
        self.done(guest)
        console = self.start(run)
        console.until(shown.strip())
        console.until("# ")
        said = self.done(look)
        self.assertIn("3 received", said)
        self.assertEqual(status_screens.shape(table), status_screens.shape(said[said.index("INTERFACE"):])[:2], said)
        self.assertEqual(console.finish("poweroff -f\n"), 0)
        self.assertEqual(links.taps(), [])
        faster = self.start(run_faster)
        faster.until(shown.strip())
        faster.until("# ")
        self.assertEqual(faster.finish("\x01x"), 0)
        self.assertTrue(sandbox.eventually(lambda: not links.taps(), 10))
        self.done(undo)
        self.assertEqual(self.files(), before, "nothing is left of the installation")

    @staticmethod
    def files():
        return sorted(os.path.join(folder, name) for top in ("/usr/local", "/etc/tapferry") for folder, _, names in os.walk(top)
                      for name in names)

