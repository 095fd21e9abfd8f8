# SPDX-License-Identifier: Apache-2.0
"""A terminal with a screen, in software, and programs on it."""
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

PATIENCE = 60.0
FRAME = re.compile(r"^ *([lm]q[q ]*[kj]?|x ) *$|^ *x(?= )|(?<= )x *$")
CONTROL = re.compile(rb"\x1b(\[[0-9;?]*[a-zA-Z]|[()][0-9A-Z]|[=>])")


class Terminal:
    def __init__(self, columns=80, rows=24):
        self.ours, self.theirs = os.openpty()
        self.name = os.ttyname(self.theirs)
        self.before = termios.tcgetattr(self.theirs)
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.program = None
        self._set_size(columns, rows)

    def _set_size(self, columns, rows):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)

    def start(self, words, environment, **options):
        """As a shell does it: a session of the terminal's, whose keyboard it has."""
        tty = self.theirs

        def take():
            os.setsid()
            fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
        self.program = subprocess.Popen([str(word) for word in words], stdin=tty, stdout=tty, stderr=tty, preexec_fn=take,
                                        env=environment, **options)
        return self.program

    def read(self, patience=0.02):
        """What has been written since; False where nothing was."""
        if not select.select([self.ours], [], [], patience)[0]:
            return False
        try:
            part = os.read(self.ours, 65536)
        except OSError:
            return False
        self.written += part
        self.stream.feed(part)
        return bool(part)

    def until(self, holds, what):
        until = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > until:
                raise AssertionError(f"never came: {what}; the screen has\n{self.text()}\nwritten: {self.written!r}")
            self.read()

    def text(self):
        """The screen, without the frame that a dialog has, in one line."""
        return " ".join(" ".join(FRAME.sub(" ", line) for line in self.screen.display).split())

    def until_shown(self, *texts):
        self.until(lambda: all(text in self.text() for text in texts), texts)

    def type(self, text):
        os.write(self.ours, text.encode())

    def in_order(self):
        """Whether keys are shown and lines taken as before."""
        return termios.tcgetattr(self.theirs) == self.before

    def ended(self):
        """The exit status of the program, and what it said after the last dialog."""
        self.until(lambda: self.program.poll() is not None, "the end of the program")
        while self.read():
            pass
        said = CONTROL.sub(b"", self.written.rpartition(b"\x1b[?1049l")[2])
        return self.program.returncode, " ".join(said.decode(errors="replace").split())

    def vanish(self):
        """The window is closed, or the connection lost."""
        for end in (self.ours, self.theirs):
            os.close(end)
        self.ours = self.theirs = None

    def close(self):
        if self.program is not None and self.program.poll() is None:
            self.program.send_signal(signal.SIGKILL)
            self.program.wait()
        if self.ours is not None:
            self.vanish()
