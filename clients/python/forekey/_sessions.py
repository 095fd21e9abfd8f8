# SPDX-License-Identifier: Apache-2.0
"""The sessions of one channel: one a server certificate, opened by the agent as children of its own."""
from __future__ import annotations

import itertools
import threading
import time
from typing import Any, Dict, Optional, Tuple

import grpc

from . import _agent
from . import proof
from ._errors import Error, Kind
from ._waiting import Flights, Waiter

SECOND = 10**9
# How much earlier than the gate a client gives a session up, and how long before that it looks for another one.
_MAX_MARGIN, _MAX_AGING = 10.0, 120.0
_REFRESH_PAUSE = 5.0
# How long a method that hardware had to sign is not tried with a session first.
_STEP_UP_KNOWN = 60.0
# Certificates that are replaced leave something behind.
_MAX_KEPT = 256


def boot_nanos() -> int:
    """The clock by which sessions age: it does not step, and counts through suspend."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Session:
    """Safe from any thread."""

    def __init__(self, binding: bytes, answer: Any):
        self.id, self.subject, self._key, self.binding = answer.session_id, answer.subject, answer.key, binding
        self._opened = answer.opened_boot_nanos
        self._sequence = itertools.count(1)  # next() of it is one step of the interpreter
        self._used = self._opened
        absolute, idle = float(answer.absolute_s), float(answer.idle_s)
        self.ends_at = self._opened + int(absolute * SECOND)
        self._given_up_at = self.ends_at - int(min(absolute / 10, _MAX_MARGIN) * SECOND)
        self.ages_at = self._given_up_at - int(min(absolute / 5, _MAX_AGING) * SECOND)
        self._idle = int((idle - min(idle / 10, _MAX_MARGIN)) * SECOND)

    def usable(self) -> bool:
        now = boot_nanos()
        return now < self._given_up_at and now - self._used < self._idle

    def aging(self) -> bool:
        return boot_nanos() >= self.ages_at

    def prove(self, method: str, digest: bytes = b"") -> Tuple[bytes, int]:
        """A prefix for one call, and its sequence number."""
        self._used = now = boot_nanos()
        sequence = next(self._sequence)
        age = max(0, now - self._opened) // SECOND
        message = proof.call_mac_bytes(self.id, sequence, age, method, self.binding, digest)
        return proof.session_prefix(self.id, sequence, age, proof.call_mac(self._key, message), digest), sequence


class Proof:
    """What a call goes on with: a session, or a prefix that hardware made for one call of that method."""

    def __init__(self, session: Optional[Session], prefix: bytes = b"", step_up: str = ""):
        self.session, self.step_up = session, step_up
        self._prefix, self._lock = prefix, threading.Lock()

    def take(self) -> bytes:
        """Hardware's prefix, for who comes first; empty for the others."""
        with self._lock:
            prefix, self._prefix = self._prefix, b""
        return prefix


class Sessions:
    """Safe from any thread. What is asked of the agent is asked once, however many calls wait."""

    def __init__(self, agent: _agent.Agent, gate: str, open_timeout: float):
        self._agent, self._gate, self._timeout = agent, gate, open_timeout
        self._lock = threading.Lock()
        self._flights = Flights()
        self._slots: Dict[bytes, Session] = {}
        self._no_refresh_before: Dict[bytes, float] = {}
        self._replaced: Dict[Tuple[bytes, str, bytes], Session] = {}
        self._step_ups: Dict[Tuple[bytes, str], Tuple[str, float]] = {}

    def get(self, binding: bytes, waiter: Waiter) -> Session:
        """A session that is good on connections with that leaf."""
        with self._lock:
            session = self._slots.get(binding)
            pause = self._no_refresh_before.get(binding, 0.0)
        usable = session if session is not None and session.usable() else None
        if usable is not None and (not usable.aging() or time.monotonic() < pause):
            return usable
        flight = self._flights.join(("open", binding), lambda: self._open(binding))
        if usable is not None:
            return usable
        opened: Session = waiter.result(flight, "a session")
        return opened

    def later(self, binding: bytes, ends_after: int) -> Session:
        """One that ends later than that instant of boot_nanos(), for a live call. Blocks, for a touch perhaps."""
        with self._lock:
            session = self._slots.get(binding)
        if session is not None and session.usable() and session.ends_at > ends_after:
            return session
        return self._keep(binding, _agent.open_session(self._agent, self._gate, binding, self._timeout,
                                                       outlast_nanos=ends_after))

    def prefix_for(self, binding: bytes, method: str, waiter: Waiter) -> Tuple[Optional[Session], int, bytes]:
        """Of a first attempt: (session, sequence, prefix); without a session where hardware signs the call."""
        with self._lock:
            step_up, until = self._step_ups.get((binding, method), ("", 0.0))
        if step_up and time.monotonic() < until:
            signing = self._flights.join(object(), lambda: self._sign(binding, method, step_up))
            return None, 0, waiter.result(signing, "hardware to sign the call").take()
        session = self.get(binding, waiter)
        prefix, sequence = session.prove(method)
        return session, sequence, prefix

    def prefix_after(self, rejected: Optional[Session], binding: bytes, method: str,
                     waiter: Waiter) -> Tuple[Optional[Session], int, bytes]:
        """After the gate refused a call with that session (None: with hardware's proof): the agent finds out why, and
        opens another session, with more factors where those were lacking, or has hardware sign this call."""
        key = (binding, method, rejected.id if rejected else b"")
        with self._lock:
            known = self._replaced.get(key) if rejected else None
            self._step_ups.pop((binding, method), None)  # what was done lately was not enough
        if known is not None and known.usable():
            prefix, sequence = known.prove(method)
            return known, sequence, prefix
        found: Proof = waiter.result(self._flights.join(key, lambda: self._replace(key)), "the agent")
        if found.session is not None:
            prefix, sequence = found.session.prove(method)
            return found.session, sequence, prefix
        prefix = found.take()
        if not prefix:  # another call that waited has it
            signing = self._flights.join(object(), lambda: self._sign(binding, method, found.step_up))
            prefix = waiter.result(signing, "hardware to sign the call").take()
        return None, 0, prefix

    def _open(self, binding: bytes) -> Session:
        try:
            return self._keep(binding, _agent.open_session(self._agent, self._gate, binding, self._timeout))
        except Error:
            with self._lock:
                self._no_refresh_before[binding] = time.monotonic() + _REFRESH_PAUSE
            raise

    def _replace(self, key: Tuple[bytes, str, bytes]) -> Proof:
        binding, method, rejected = key
        answer = _agent.open_session(self._agent, self._gate, binding, self._timeout, rejected, method)
        if answer.step_up:
            return self._sign(binding, method, answer.step_up)
        session = self._keep(binding, answer)
        with self._lock:
            _make_room(self._replaced)
            self._replaced[key] = session
        return Proof(session)

    def _sign(self, binding: bytes, method: str, step_up: str) -> Proof:
        prefix = _agent.device_prefix(self._agent, self._gate, binding, self._timeout, method, step_up)
        with self._lock:
            _make_room(self._step_ups)
            self._step_ups[(binding, method)] = (step_up, time.monotonic() + _STEP_UP_KNOWN)
        return Proof(None, prefix, step_up)

    def _keep(self, binding: bytes, answer: Any) -> Session:
        if len(answer.session_id) != 16 or len(answer.key) != 32:
            raise Error(Kind.AGENT_REFUSED, grpc.StatusCode.INTERNAL, "the agent's answer holds no session", advice="")
        session = Session(binding, answer)
        with self._lock:
            _make_room(self._slots)
            self._slots[binding] = session
        return session


def _make_room(kept: Dict[Any, Any]) -> None:
    if len(kept) >= _MAX_KEPT:
        kept.clear()
