# SPDX-License-Identifier: Apache-2.0
"""The streaming calls of one channel, kept alive over the ends of their sessions.

Shortly before a session ends, the calls that it proved are proved again by the next one (docs/PROTOCOL.md, "Live
calls"), where the gate's rule lets them. Where it does not, they end with the session.
"""
from __future__ import annotations

import hashlib
import threading
import weakref
from typing import Any, Dict, List

import grpc

from ._errors import Error
from ._sessions import SECOND, Sessions, boot_nanos
from ._waiting import Waiter
from .v1 import gate_pb2

_METHOD = "/forekey.v1.Gate/ReauthenticateCall"
_CALL_TIMEOUT = 5.0
_LOOK = 1.0
_LONGEST_WAIT = 30.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class LiveCalls:
    """Safe from any thread. Has a thread of its own as long as there are calls."""

    def __init__(self, sessions: Sessions):
        self._sessions = sessions
        self._wake = threading.Condition()
        self._calls: Dict[int, Any] = {}  # weak references
        self._running = self._closed = False

    def add(self, call: Any) -> None:
        with self._wake:
            if self._closed:
                return
            self._calls[id(call)] = weakref.ref(call)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _run(self) -> None:
        while True:
            wait = _LONGEST_WAIT
            for call in self._alive():
                due = self._due(call)
                if due <= boot_nanos():
                    self._attempt(call)
                    due = self._due(call)
                wait = min(wait, max(0.0, (due - boot_nanos()) / SECOND))
                del call  # what waits here holds no call
            with self._wake:
                if self._closed or not self._calls:
                    self._running = False
                    return
                # Most streams end long before they matter here: the thread is not woken for each.
                self._wake.wait(min(wait, _LOOK) if wait < _LONGEST_WAIT else _LOOK)

    def _alive(self) -> List[Any]:
        with self._wake:
            known = {key: reference() for key, reference in self._calls.items()}
            alive = {key: call for key, call in known.items() if call is not None and not call.done()}
            for key in set(known) - set(alive):
                del self._calls[key]
        return list(alive.values())

    def _due(self, call: Any) -> int:
        session = call.attempts.session
        ages = session.ages_at if session is not None else 2**63  # what hardware signed can't be proved again
        return max(ages, call.not_before)

    def _later(self, call: Any, seconds: float) -> None:
        call.not_before = boot_nanos() + int(seconds * SECOND)

    def _attempt(self, call: Any) -> None:
        attempts = call.attempts
        left = (attempts.session.ends_at - boot_nanos()) / SECOND
        pause = _LONGEST_PAUSE if left <= 0 else min(max(left / 8, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        try:
            later = self._sessions.later(attempts.connection.binding, attempts.session.ends_at + SECOND)
            if later.ends_at <= attempts.session.ends_at + SECOND:
                return self._later(call, pause)
            self._reauthenticate(attempts, later)
        except (Error, ValueError):  # the agent could not; or grpcio, of a channel that was closed
            return self._later(call, pause)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED and self._ask_for_more(call, later):
                return self._later(call, 0)
            refused = error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
            return self._later(call, 10.0**9 if refused else pause)
        call.asked_for_more = False
        return None

    def _reauthenticate(self, attempts: Any, later: Any) -> None:
        payload = gate_pb2.ReauthenticateCallPayload(session_id=attempts.session.id,
                                                     sequence=attempts.sequence).SerializeToString()
        prefix, sequence = later.prove(_METHOD, hashlib.sha256(payload).digest())
        call = attempts.connection.channel.unary_unary(
            _METHOD, request_serializer=gate_pb2.ReauthenticateCallRequest.SerializeToString,
            response_deserializer=gate_pb2.ReauthenticateCallResponse.FromString)
        call(gate_pb2.ReauthenticateCallRequest(payload=payload), timeout=_CALL_TIMEOUT,
             metadata=(("forekey-prefix-bin", prefix),))
        attempts.session, attempts.sequence = later, sequence

    def _ask_for_more(self, call: Any, refused: Any) -> bool:
        """Has the agent meet what the rule wants, once for each session that ends."""
        if call.asked_for_more:
            return False
        call.asked_for_more = True
        attempts = call.attempts
        try:
            found = self._sessions.prefix_after(refused, attempts.connection.binding, attempts.method, Waiter(None))
        except Error:
            return False
        # What hardware signed is the method's call, of which there is one already.
        return found[0] is not None
