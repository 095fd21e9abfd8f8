#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PINs by Debian's pinentry-curses, on terminals: what the person sees, and where what is typed goes.

  curses_test.py BINARIES [unittest's own words]
"""
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/interop/clients")]
from terminal import PATIENCE, Terminal  # noqa: E402
from world import AUDIENCE, World, await_for  # noqa: E402

BINARIES = ""
PINENTRY = "/usr/bin/pinentry-curses"
PIN = "135790"
SAY = "/forekey.example.Echo/Say"
# No desktop, no language: what an agent has on a server.
BARE = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "GPG_TTY": "", "LANG": "", "LC_ALL": "", "LC_CTYPE": ""}


class Prompts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """The system's pinentry is pinentry-curses, and the gate wants the user verified by every signature."""
        cls.path = tempfile.mkdtemp(prefix="forekey-p-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.path)
        os.symlink(PINENTRY, f"{cls.path}/pinentry")
        os.symlink(shutil.which("setpriv"), f"{cls.path}/setpriv")  # which starts the agent
        cls.world = World(BINARIES, token=["--pin", PIN], fido2='user_verification = "required"', agent=[],
                          environment={**BARE, "PATH": cls.path})
        cls.addClassCleanup(cls.world.close)
        terminal = Terminal()
        cls.addClassCleanup(terminal.close)
        world = cls.world
        invite = world.admin("invite", "--subject", "ada", "--role", "reader")["invite"]
        cls.begin(terminal, "enroll", invite, "--device", world.uri, "--address", f"localhost:{world.port}", "--yes")
        terminal.until_shown("PIN:", "to enrol a key")
        terminal.type(f"{PIN}\r")
        status, said = terminal.ended()
        if status != 0:
            raise AssertionError(f"forekey enroll: {said}")

    @classmethod
    def begin(cls, terminal, *words, program=None, term="xterm", **options):
        environment = {"PATH": os.environ["PATH"], "FOREKEY_AGENT_SOCKET": str(cls.world.socket)}
        if term is not None:
            environment["TERM"] = term
        return terminal.start([program or cls.world.binaries / "forekey", *words], environment, **options)

    def setUp(self):
        self.addCleanup(self.no_dialog_is_left)
        self.assertEqual(self.tries_left(), 8)

    def terminal(self, *size):
        terminal = Terminal(*size)
        self.addCleanup(terminal.close)
        return terminal

    def asked(self, *size, **options):
        """A terminal on which a program has a call signed, and the person is asked for the PIN."""
        terminal = self.terminal(*size)
        self.begin(terminal, "prefix", "--method", SAY, "--device", **options)
        terminal.until_shown("PIN:", "<OK>")
        return terminal

    def assert_signed(self, terminal):
        status, said = terminal.ended()
        self.assertEqual(status, 0, said)
        self.assertTrue(terminal.in_order())

    def dialogs(self):
        """The processes of pinentry that the agent runs."""
        agent = self.world.agent.process.pid
        children = [pid for task in pathlib.Path(f"/proc/{agent}/task").iterdir()
                    for pid in (task / "children").read_text().split()]
        return [int(pid) for pid in children]

    def no_dialog_is_left(self):
        await_for(lambda: not self.dialogs(), "an agent without a dialog")

    def tries_left(self):
        status = self.world.tell_token("status")
        return int(status.partition('"pin_retries":')[2].split(",")[0].strip("} "))

    # ---- What the person sees ----

    def test_the_dialog_names_token_gate_method_and_program_and_the_pin_reaches_the_token(self):
        terminal = self.asked(200, 24)
        terminal.until_shown(f"The PIN of security key for {AUDIENCE}", self.world.uri, "(8 tries are left)", f"to sign a call of {SAY} at {AUDIENCE}",
                             f"for {self.world.binaries.resolve()}/forekey (process {terminal.program.pid})")
        self.assertFalse(terminal.in_order(), "the dialog reads keys and shows none")
        terminal.type(f"{PIN}\r")
        self.assert_signed(terminal)
        self.assertNotIn(PIN.encode(), terminal.written)

    def test_a_narrow_window_has_all_of_it_in_more_lines(self):
        terminal = self.asked(44, 24)
        terminal.until_shown("8 tries", SAY, AUDIENCE, f"(process {terminal.program.pid})")
        terminal.type(f"{PIN}\r")
        self.assert_signed(terminal)

    def test_names_in_other_scripts_are_shown_where_the_agent_has_no_language(self):
        folder = pathlib.Path(self.path) / "Prüfung"
        folder.mkdir()
        program = shutil.copy2(self.world.binaries / "forekey", folder / "forekey")
        terminal = self.asked(200, 24, program=program)
        terminal.until_shown("Prüfung/forekey")
        terminal.type(f"{PIN}\r")
        self.assert_signed(terminal)

    def test_a_session_is_another_purpose(self):
        terminal = self.terminal(200, 24)
        self.begin(terminal, "login", "--fresh")
        terminal.until_shown("PIN:", f"to open a session at {AUDIENCE}")
        terminal.type(f"{PIN}\r")
        self.assert_signed(terminal)

    # ---- No PIN, or a wrong one ----

    def test_a_wrong_pin_is_told_and_not_sent_again(self):
        terminal = self.asked()
        terminal.type("000000\r")
        status, said = terminal.ended()
        self.assertEqual(status, 1)
        self.assertIn("wrong", said)
        self.assertEqual(self.tries_left(), 7)
        # At once again, by a person: the right one gives the tries back.
        terminal = self.terminal()
        self.begin(terminal, "login", "--fresh")
        terminal.until_shown("(7 tries are left)", "PIN:")
        terminal.type(f"{PIN}\r")
        self.assert_signed(terminal)

    def forget_the_answer(self):
        """After a closed dialog nobody is asked for five seconds, but by `forekey login`."""
        terminal = self.terminal()
        self.begin(terminal, "login", "--fresh")
        terminal.until_shown("PIN:")
        terminal.type(f"{PIN}\r")
        self.assert_signed(terminal)

    def test_cancel_and_an_empty_pin_give_up_and_cost_no_try(self):
        for keys, text in (("\t\t\r", "none was given"), ("\r", "an empty answer")):
            with self.subTest(keys):
                terminal = self.asked()
                terminal.type(keys)
                status, said = terminal.ended()
                self.assertEqual(status, 2, said)
                self.assertIn(text, said)
                self.assertTrue(terminal.in_order())
                self.forget_the_answer()

    def test_ctrl_c_ends_the_program_and_its_dialog(self):
        terminal = self.asked()
        terminal.type("\x03")
        status, _ = terminal.ended()
        self.assertEqual(status, -signal.SIGINT)
        terminal.until(terminal.in_order, "the terminal in order")

    def test_where_none_is_installed_the_error_says_what_to_install(self):
        os.unlink(f"{self.path}/pinentry")
        self.addCleanup(os.symlink, PINENTRY, f"{self.path}/pinentry")
        terminal = self.terminal()
        self.begin(terminal, "prefix", "--method", SAY, "--device")
        status, said = terminal.ended()
        self.assertEqual(status, 1)
        self.assertIn("No such file or directory (install pinentry-curses for terminals, pinentry-gnome3 or", said)

    def test_on_a_desktop_alone_it_says_what_to_install(self):
        terminal = self.terminal()
        self.begin(terminal, "-c", f"DISPLAY=:1 {self.world.binaries}/forekey prefix --method {SAY} --device 2>&1 | cat",
                   program="/bin/sh")
        self.assertIn("for desktops install pinentry-gnome3 or pinentry-qt", terminal.ended()[1])

    # ---- Windows and terminals ----

    def test_a_window_that_changes_its_size_meanwhile(self):
        terminal = self.asked()
        terminal.type(PIN[:2])
        terminal.resize(60, 30)
        terminal.type(f"{PIN[2:]}\r")
        self.assert_signed(terminal)

    def test_a_window_that_is_too_small_is_said_to_be(self):
        terminal = self.terminal(30, 6)
        self.begin(terminal, "prefix", "--method", SAY, "--device")
        status, said = terminal.ended()
        self.assertEqual(status, 1)
        self.assertIn("make the terminal's window larger", said)

    def test_kinds_of_terminals_that_the_machine_does_not_know(self):
        for term in ("no-such-terminal", "", None):
            with self.subTest(term):
                terminal = self.asked(term=term)
                terminal.type(f"{PIN}\r")
                self.assert_signed(terminal)

    def test_nobody_is_asked_on_a_terminal_without_a_cursor(self):
        terminal = self.terminal()
        self.begin(terminal, "prefix", "--method", SAY, "--device", term="dumb")
        status, said = terminal.ended()
        self.assertEqual(status, 0, said)
        self.assertNotIn(b"PIN", terminal.written)
        self.assertNotIn(b"\x1b", terminal.written)

    def test_a_terminal_that_goes_away_takes_its_dialog_along(self):
        for trap in ("", "trap '' HUP; "):  # the second stays, as what was started with nohup
            with self.subTest(trap):
                terminal = self.terminal()
                self.begin(terminal, "-c", f"{trap}exec {self.world.binaries}/forekey prefix --method {SAY} --device",
                           program="/bin/sh")
                terminal.until_shown("PIN:")
                program = terminal.program
                terminal.vanish()
                self.assertNotEqual(program.wait(PATIENCE), 0)
                self.no_dialog_is_left()

    # ---- Two at once ----

    def test_each_of_two_terminals_has_its_own_dialog(self):
        one, other = self.terminal(200, 24), self.terminal(200, 24)
        for terminal in (one, other):
            self.begin(terminal, "prefix", "--method", SAY, "--device")
        # One token signs one after the other.
        one.until(lambda: other.read() or "PIN:" in one.text() + other.text(), "a dialog")
        first, second = (one, other) if "PIN:" in one.text() else (other, one)
        self.assertNotIn("PIN:", second.text())
        first.until_shown(f"(process {first.program.pid})")
        first.type(f"{PIN}\r")
        self.assert_signed(first)
        second.until_shown("PIN:", f"(process {second.program.pid})")
        second.type(f"{PIN}\r")
        self.assert_signed(second)


def main():
    global BINARIES
    if not os.access(PINENTRY, os.X_OK):
        print(f"skipped: there is no {PINENTRY} (Debian's package pinentry-curses)")
        return
    BINARIES = sys.argv.pop(1)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
