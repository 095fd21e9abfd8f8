# SPDX-License-Identifier: Apache-2.0
"""How each fault of the schedule is done, and how it is over. None of them waits."""
import os
import signal
import time


class Faults:
    def __init__(self, world, model, note):
        self.world, self.model, self.note = world, model, note
        self.open = {}  # of the schedule's number: what ends it
        self._leaf = 0

    def do(self, event):
        try:
            done = getattr(self, "_" + event.kind.replace("-", "_"))(event)
        except OSError as error:
            self.note(f"          (not done: {error})")
            return
        if event.what == "begin" and done is not None:
            self.open[event.number] = done

    def end(self, event):
        undo = self.open.pop(event.number, None)
        if undo is not None:
            undo()

    def end_all(self):
        for number in list(self.open):
            self.open.pop(number)()
        for disk in self.world.disks:
            self.world.empty(disk)
        for clock in self.world.clocks.values():
            clock.set_right()
        self.world.proxy.delay, self.world.proxy.hole = 0.0, False
        for token in self.world.controls:
            self.world.tell_token(token, "behave")
        for token, request in (("tpm", "lockout off"), ("tpm", "return"), ("fido2", "replug"), ("piv", "insert")):
            self.world.tell_token(token, request)
        try:
            self.world.write_config("calm")
            self.world.put_certificate(self.world.leaf)
        except OSError as error:
            self.note(f"          (files of the gate: {error})")

    # ---- Processes ----

    def _gate_pauses(self, who):
        if who == "gate":
            self.model.gate_pauses.append([time.monotonic(), None])

    def _gate_goes_on(self, who):
        if who == "gate":
            for pause in self.model.gate_pauses:
                pause[1] = pause[1] or time.monotonic()

    def _kill(self, event):
        self.world.programs[event.who].signal(signal.SIGKILL)
        if event.who == "gate":  # no stream outlives it
            self.model.gate_pauses.append([time.monotonic(), time.monotonic() + 1])

    def _terminate(self, event):
        self.world.programs[event.who].signal(signal.SIGTERM)
        if event.who == "gate":
            self.model.gate_pauses.append([time.monotonic(), time.monotonic() + 3])

    def _stop(self, event):
        self._gate_pauses(event.who)
        self.world.stopped(event.who, True)
        return lambda: (self.world.stopped(event.who, False), self._gate_goes_on(event.who))

    def _token_stops(self, event):
        self.world.stopped("token-" + event.who, True)
        return lambda: self.world.stopped("token-" + event.who, False)

    # ---- Disks and clocks ----

    def _disk(self, event):
        if not self.world.fill(event.who):
            self.note("          (not done: the disk is no small file system of its own)")
        return lambda: self.world.empty(event.who)

    def _clock(self, event):
        if abs(self.world.clocks[event.who].wall + event.argument) < 8 * 86400:  # certificates stay good
            self.world.clocks[event.who].step(event.argument)

    def _sleep(self, event):
        self.world.clocks[event.who].sleep(event.argument)

    # ---- The network ----

    def _cut(self, event):
        self.world.proxy.cut()

    def _half_close(self, event):
        self.world.proxy.half_close(event.number)

    def _delay(self, event):
        self.world.proxy.delay = event.argument
        return lambda: setattr(self.world.proxy, "delay", 0.0)

    def _hole(self, event):
        self.world.proxy.hole = True
        return lambda: setattr(self.world.proxy, "hole", False)

    # ---- Tokens ----

    def _tell(self, token, request):
        if self.world.tell_token(token, request) is None:
            self.note(f"          ({token} did not answer to {request!r})")

    def _token_away(self, event):
        away, back = {"tpm": ("vanish", "return"), "fido2": ("unplug", "replug"), "piv": ("remove", "insert")}[event.who]
        self._tell(event.who, away)
        return lambda: self._tell(event.who, back)

    def _token_busy(self, event):
        self._tell(event.who, f"busy {event.argument}")

    def _token_slow(self, event):
        self._tell(event.who, f"latency {event.argument}")
        return lambda: self._tell(event.who, "latency 0")

    def _token_lockout(self, event):
        self._tell(event.who, "lockout on")
        return lambda: self._tell(event.who, "lockout off")

    def _token_service(self, event):
        self._tell(event.who, "restart-pcscd")

    # ---- The gate's files ----

    def _certificate(self, event):
        self._leaf = (self._leaf + 1) % 4
        self.world.put_certificate(self._leaf)
        self.world.programs["gate"].signal(signal.SIGHUP)

    def _certificate_garbage(self, event):
        self.world.replace_file("gate/tls.crt", b"-----BEGIN CERTIFICATE-----\nnone\n")
        return lambda: self._quietly(lambda: self.world.put_certificate(self.world.leaf))

    def _trust(self, event):
        extra = "gate/trust-tpm/extra.pem"
        garbage = event.number % 2 == 0
        self.world.replace_file(extra, b"no certificate\n" if garbage else
                                open(self.world.path("ca.crt"), "rb").read())
        return lambda: self._quietly(lambda: os.unlink(self.world.path(extra)))

    def _rules(self, event):
        self.world.write_config(f"change {event.number}")

    def _rules_garbage(self, event):
        self.world.replace_file("gate/gate.toml", b"[[rule]\nmethods = \n")
        return lambda: self._quietly(lambda: self.world.write_config(f"after {event.number}"))

    def _quietly(self, act):
        try:
            act()
        except OSError as error:  # the disk is full meanwhile: end_all() does it
            self.note(f"          (not undone yet: {error})")
