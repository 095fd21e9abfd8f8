# SPDX-License-Identifier: Apache-2.0
"""What went wrong, as the application gets it."""
from __future__ import annotations

import enum
import re
from typing import Any, Optional

import grpc

_REFERENCE = re.compile(r"reference ([0-9a-f]{16})\b")
_STEP_UP = re.compile(r"^forekey: step-up ([^\s,]+), reference ")
_PUSHBACK = "grpc-retry-pushback-ms"


class Kind(str, enum.Enum):
    """Who said no."""

    AGENT_NOT_RUNNING = "agent-not-running"
    # The agent, a token of its, or a gate that the agent asked: see reason, device_trouble and gate_trouble.
    AGENT_REFUSED = "agent-refused"
    GATE_UNREACHABLE = "gate-unreachable"
    GATE_REFUSED = "gate-refused"  # see reference, and step_up
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    SERVICE = "service"  # an error of the service's own, behind the gate


_ADVICE = {
    Kind.AGENT_NOT_RUNNING: "start forekey-agent, or say where it is with FOREKEY_AGENT_SOCKET",
    Kind.GATE_REFUSED: "the gate refused; its audit log has the exact reason under the reference number",
    Kind.GATE_UNREACHABLE: "check that the gate is running and that the address, the port and the network in between "
                           "are right",
    Kind.DEADLINE: "the deadline passed: check the network and whether a token waits for a touch, or try again",
}


class Error(grpc.RpcError, grpc.Call):
    """An error of a call, or of forekey.channel(). It is a grpc.RpcError with code() and details() like any other."""

    kind: Kind
    reference: str  # of the gate's refusal: 16 digits of hex, or ""
    step_up: str  # what the gate wants besides ("fido2+uv&call|tpm&password"), or ""
    reason: str  # of a refusal that the agent knows: a name of docs/AUDIT.md, or ""
    device_trouble: str  # "WRONG_PIN", ...: DeviceTrouble of agent.proto, or ""
    gate_trouble: str  # "CERTIFICATE_EXPIRED", ...: GateTrouble of agent.proto, or ""
    advice: str  # what to do next, or ""

    def __init__(self, kind: Kind, code: grpc.StatusCode, details: str, *, reason: str = "", device_trouble: str = "",
                 gate_trouble: str = "", advice: Optional[str] = None, initial: Any = (), trailing: Any = ()):
        self.kind, self.reason = kind, reason
        self.device_trouble, self.gate_trouble = device_trouble, gate_trouble
        found = _REFERENCE.search(details)
        self.reference = found.group(1) if found else ""
        found = _STEP_UP.match(details)
        self.step_up = found.group(1) if found else ""
        self.advice = _ADVICE.get(kind, "") if advice is None else advice
        self._code, self._details, self._initial, self._trailing = code, details, initial, trailing
        super().__init__(str(self))

    def __str__(self) -> str:
        return f"{self._code.name}: {self._details}" + (f" ({self.advice})" if self.advice else "")

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def initial_metadata(self) -> Any:
        return self._initial

    def trailing_metadata(self) -> Any:
        return self._trailing

    # The rest of grpc.Call: the call has ended.
    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> Optional[float]:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


def was_admitted(call: Any) -> bool:
    """The gate adds a pushback to the trailers of an UNAUTHENTICATED that is not its own (docs/PROTOCOL.md, "Retries")."""
    return any(key == _PUSHBACK for key, _ in call.trailing_metadata() or ())


def is_refused_proof(call: Any) -> bool:
    """The gate did not take the proof, and the handler never ran: another proof may be accepted. A refusal has trailers
    alone. What comes behind initial metadata was routed: a front in front of the service puts its pushback there."""
    return (call.code() == grpc.StatusCode.UNAUTHENTICATED and not was_admitted(call)
            and not call.initial_metadata())


def of_call(call: Any) -> Error:
    """Of a grpcio call that ended otherwise than well."""
    code, details = call.code(), call.details() or ""
    kind = Kind.SERVICE
    if not was_admitted(call):
        if _REFERENCE.search(details):
            kind = Kind.GATE_REFUSED
        else:
            kind = {grpc.StatusCode.UNAVAILABLE: Kind.GATE_UNREACHABLE,
                    grpc.StatusCode.DEADLINE_EXCEEDED: Kind.DEADLINE,
                    grpc.StatusCode.CANCELLED: Kind.CANCELLED}.get(code, Kind.SERVICE)
    return Error(kind, code, details, initial=call.initial_metadata(), trailing=call.trailing_metadata())
