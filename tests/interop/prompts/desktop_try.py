#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PINs by Debian's graphical pinentries, on an X server of the script's own: a try by hand, for who changes how the
agent asks. Needs xvfb, xdotool, imagemagick, dbus and the pinentries (pinentry-gtk2, pinentry-qt, pinentry-gnome3).

  desktop_try.py BINARIES [FOLDER FOR SCREENSHOTS [PINENTRY...]]

Of each pinentry: the dialog of a program that has a display and no terminal comes, shows itself in FOLDER/NAME.png, and
the PIN that is typed signs; a dialog that is closed is an answer; a program that ends takes its dialog along; and who has a
terminal alone is asked there, not on the desktop.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/interop/clients")]
from terminal import Terminal  # noqa: E402
from world import AUDIENCE, World, await_for  # noqa: E402

PIN = "135790"
SAY = "/forekey.example.Echo/Say"
SETTLING = 1.0  # what is typed before a dialog has taken the keyboard is lost, and nothing says when that is
PINENTRIES = ["pinentry-gtk-2", "pinentry-qt", "pinentry-gnome3"]


class Desktop:
    """An X server and a bus, as a session has them."""

    def __init__(self):
        ours, theirs = os.pipe()
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(theirs), "-screen", "0", "1000x600x24", "-nolisten", "tcp"],
                                       pass_fds=[theirs], stderr=subprocess.DEVNULL)
        os.close(theirs)
        with os.fdopen(ours) as told:
            self.display = f":{told.readline().strip()}"
        # What the bus starts (gcr-prompter, for pinentry-gnome3) shows itself where the bus was started.
        self.bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address=1"], text=True,
                                    env={**os.environ, "DISPLAY": self.display}, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
        self.address = self.bus.stdout.readline().strip()

    def tool(self, *words):
        return subprocess.run(words, env={**os.environ, "DISPLAY": self.display}, capture_output=True, text=True,
                              check=False).stdout

    def windows(self):
        return self.tool("xdotool", "search", "--onlyvisible", "--name", ".").split()

    def await_dialog(self, program):
        await_for(lambda: self.windows() or program.poll() is not None, "a dialog")
        if not self.windows():
            raise AssertionError(f"{program.args} ended without a dialog: {program.communicate()[0]}")
        time.sleep(SETTLING)

    def await_none(self):
        await_for(lambda: not self.windows(), "an end of the dialog")

    def type(self, *keys):
        for key in keys:
            self.tool("xdotool", "key" if key in ("Return", "Escape") else "type", key)
        self.await_none()

    def close(self):
        for process in (self.bus, self.server):
            process.terminate()
            process.wait()


class Try:
    def __init__(self, binaries, desktop, pinentry, folder):
        self.desktop, self.pinentry, self.folder = desktop, pinentry, folder
        self.path = tempfile.mkdtemp(prefix="forekey-p-", dir="/tmp")
        os.symlink(shutil.which(pinentry), f"{self.path}/pinentry")
        # The agent's own desktop is none: it is the program's that counts.
        self.world = World(binaries, token=["--pin", PIN], fido2='user_verification = "required"', agent=[],
                           environment={"DISPLAY": "", "WAYLAND_DISPLAY": "", "GPG_TTY": "",
                                        "DBUS_SESSION_BUS_ADDRESS": desktop.address,
                                        "PATH": f"{self.path}:{os.environ['PATH']}"})

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "FOREKEY_AGENT_SOCKET": str(self.world.socket), **more}

    def run(self, *words):
        environment = self.environment(DISPLAY=self.desktop.display)
        if "XAUTHORITY" in os.environ:
            environment["XAUTHORITY"] = os.environ["XAUTHORITY"]
        return subprocess.Popen([self.world.binaries / "forekey", *words], env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ended(self, program, good):
        said, _ = program.communicate()
        if (program.returncode == 0) != good:
            raise AssertionError(f"{self.pinentry}: {program.args} ended with {program.returncode}: {said}")
        return said

    def sign(self):
        program = self.run("prefix", "--method", SAY, "--device")
        self.desktop.await_dialog(program)
        return program

    def all(self):
        world = self.world
        invite = world.admin("invite", "--subject", "ada", "--role", "reader")["invite"]
        program = self.run("enroll", invite, "--device", world.uri, "--address", f"localhost:{world.port}", "--yes")
        self.desktop.await_dialog(program)
        self.desktop.type(PIN, "Return")
        self.ended(program, good=True)

        program = self.sign()
        self.desktop.tool("import", "-window", "root", f"{self.folder}/{self.pinentry}.png")
        self.desktop.type(PIN, "Return")
        self.ended(program, good=True)

        program = self.sign()
        program.terminate()
        program.communicate()
        self.desktop.await_none()

        terminal = Terminal()
        terminal.start([world.binaries / "forekey", "prefix", "--method", SAY, "--device"], self.environment(TERM="xterm"))
        terminal.until_shown("PIN:", AUDIENCE)
        if self.desktop.windows():
            raise AssertionError(f"{self.pinentry}: asks on the desktop who sits at a terminal")
        terminal.type(f"{PIN}\r")
        status, said = terminal.ended()
        terminal.close()
        if status != 0:
            raise AssertionError(f"{self.pinentry} on a terminal: {said}")

        program = self.sign()
        self.desktop.type("Escape")
        print(f"{self.pinentry}: good; closed: {self.ended(program, good=False).strip()}")

    def close(self):
        self.world.close()
        shutil.rmtree(self.path)


def main():
    binaries = sys.argv[1]
    folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="forekey-screens-"))
    folder.mkdir(exist_ok=True)
    desktop = Desktop()
    try:
        for pinentry in sys.argv[3:] or PINENTRIES:
            one = Try(binaries, desktop, pinentry, folder)
            try:
                one.all()
            finally:
                one.close()
    finally:
        desktop.close()
    print(f"the dialogs: {folder}/*.png")


if __name__ == "__main__":
    main()
