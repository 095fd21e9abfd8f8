# SPDX-License-Identifier: Apache-2.0
"""What is asked of the agent, over its unix socket (docs/AGENT.md)."""
from __future__ import annotations

import os
import stat
from typing import Any

import grpc

from ._errors import Error, Kind
from .v1 import agent_pb2 as pb

_DETAILS = "grpc-status-details-bin"
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
STATUS_TIMEOUT = 10.0


def find_socket() -> str:
    named = os.environ.get("FOREKEY_AGENT_SOCKET", "")
    if named:
        return named
    runtime, state, home = (_folder(name) for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME"))
    places = [runtime, f"/run/user/{os.geteuid()}", state, home and home + "/.local/state"]
    paths = [place + "/forekey/agent.sock" for place in places if place]
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid():
            return path
    return paths[0]


def _folder(variable: str) -> str:
    value = os.environ.get(variable, "")
    return value if value.startswith("/") else ""


class Agent:
    """Safe from any thread. Has no connection between two questions: the agent may be started again at any time."""

    def __init__(self, socket: str):
        self.socket = socket or find_socket()

    def ask(self, method: str, request: Any, response: Any, timeout: float) -> Any:
        self._check_socket()
        with grpc.insecure_channel("unix:" + os.path.abspath(self.socket), options=_OPTIONS) as channel:
            call = channel.unary_unary(f"/forekey.v1.Agent/{method}", request_serializer=type(request).SerializeToString,
                                       response_deserializer=response.FromString)
            try:
                return call(request, timeout=timeout)
            except grpc.RpcError as error:
                raise self._error(error) from None

    def gate(self, name: str) -> Any:
        """The record of that gate; of the only one, where no name is given."""
        gates = self.ask("GetStatus", pb.GetStatusRequest(), pb.GetStatusResponse, STATUS_TIMEOUT).gates
        names = ", ".join(gate.audience for gate in gates)
        for gate in gates:
            if gate.audience == name or (not name and len(gates) == 1):
                return gate
        if gates and not name:
            raise Error(Kind.AGENT_REFUSED, grpc.StatusCode.INVALID_ARGUMENT,
                        f"the agent is enrolled at several gates ({names})", advice="say which one")
        raise Error(Kind.AGENT_REFUSED, grpc.StatusCode.PERMISSION_DENIED,
                    f"the agent was never enrolled at {name or 'any gate'}" + (f"; it is enrolled at: {names}" if names
                                                                               else ""),
                    reason="gate-not-enrolled", advice="ask for an invite and run forekey enroll")

    def _check_socket(self) -> None:
        try:
            found = os.stat(self.socket)
        except OSError:
            raise self._not_running("") from None
        if not stat.S_ISSOCK(found.st_mode):
            raise Error(Kind.AGENT_NOT_RUNNING, grpc.StatusCode.FAILED_PRECONDITION, f"{self.socket} is not a socket")
        if found.st_uid != os.geteuid():
            raise Error(Kind.AGENT_REFUSED, grpc.StatusCode.PERMISSION_DENIED,
                        f"the agent's socket {self.socket} belongs to uid {found.st_uid}, this program runs as uid "
                        f"{os.geteuid()}", reason="peer-uid-refused")

    def _not_running(self, details: str) -> Error:
        return Error(Kind.AGENT_NOT_RUNNING, grpc.StatusCode.UNAVAILABLE,
                     f"the agent is not running (nothing answers on {self.socket}{': ' + details if details else ''})")

    def _error(self, error: Any) -> Error:
        """An error without AgentErrorDetails did not come from an agent."""
        raw = [value for key, value in error.trailing_metadata() or () if key == _DETAILS]
        details = pb.AgentErrorDetails()
        if not raw or not _parse(details, raw[0]):
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                return self._not_running(error.details())
            kind = Kind.DEADLINE if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED else Kind.AGENT_REFUSED
            return Error(kind, error.code(), error.details())
        return Error(Kind.AGENT_REFUSED, error.code(), error.details(), reason=details.reason,
                     device_trouble=_name(pb.DeviceTrouble, "DEVICE_TROUBLE_", details.device_trouble),
                     gate_trouble=_name(pb.GateTrouble, "GATE_TROUBLE_", details.gate_trouble))


def _parse(message: Any, data: bytes) -> bool:
    try:
        message.ParseFromString(data)
        return True
    except Exception:  # protobuf's DecodeError: another one in each of its implementations
        return False


def _name(enum: Any, begin: str, value: int) -> str:
    return enum.Name(value)[len(begin):] if value and value in enum.values() else ""


def open_session(agent: Agent, gate: str, binding: bytes, timeout: float, rejected: bytes = b"", method: str = "",
                 outlast_nanos: int = 0) -> Any:
    return agent.ask("OpenSession", pb.OpenLocalSessionRequest(
        gate=gate, channel_binding=binding, rejected_session=rejected, method=method,
        outlast_boot_nanos=outlast_nanos), pb.OpenLocalSessionResponse, timeout)


def device_prefix(agent: Agent, gate: str, binding: bytes, timeout: float, method: str,
                  step_up: str) -> bytes:
    answer = agent.ask("GetPrefix", pb.GetPrefixRequest(gate=gate, method=method, channel_binding=binding, device=True,
                                                        step_up=step_up), pb.GetPrefixResponse, timeout)
    return answer.prefix
