# SPDX-License-Identifier: Apache-2.0
"""forekey.channel(): a grpc.Channel each of whose calls proves who makes it."""
from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Tuple

import grpc

from . import _call
from ._agent import Agent
from ._connection import Connection, Connector, Target
from ._live import LiveCalls
from ._sessions import Sessions
from ._waiting import Waiter, Waiters


def channel(gate: str = "", *, agent_socket: str = "", target: str = "", tls_server_name: str = "",
            open_timeout: float = 60.0, options: Sequence[Tuple[str, Any]] = ()) -> grpc.Channel:
    """A channel to a gate that the agent is enrolled at.

    gate: its audience; empty: the only one that the agent is enrolled at.
    agent_socket: empty: $FOREKEY_AGENT_SOCKET, else where docs/AGENT.md says.
    target: "host:port" instead of the address that was enrolled at: another server behind the same gate.
    tls_server_name: the name that the certificate must have where it isn't the target's host.
    open_timeout: seconds that the opening of a session may take: somebody may have to touch a token.
    options: grpcio's channel arguments. A retry policy would send a proof twice, and is refused by the gate.

    Raises Error where the agent is not running, or is not enrolled there. The channel is safe from any thread. Fork
    before there is one: two processes would use the same sequence numbers.
    """
    agent = Agent(agent_socket)
    record = agent.gate(gate)
    connector = Connector(Target(target or record.address, record.ca_pem, tls_server_name or record.tls_server_name),
                          options)
    return GatedChannel(connector, Sessions(agent, record.audience, open_timeout))


class GatedChannel(grpc.Channel):
    def __init__(self, connector: Connector, sessions: Sessions):
        self.connector, self.sessions = connector, sessions
        self.live = LiveCalls(sessions)
        self.waiters = Waiters()

    @property
    def closed(self) -> bool:
        return self.connector.closed

    def connected(self, waiter: Waiter, wait_for_ready: bool) -> Connection:
        return self.connector.connected(waiter, wait_for_ready)

    def unary_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None,
                    *_: Any, **__: Any) -> grpc.UnaryUnaryMultiCallable:
        return _call.UnaryUnary(self, "unary_unary", method, request_serializer, response_deserializer)

    def unary_stream(self, method: str, request_serializer: Any = None, response_deserializer: Any = None,
                     *_: Any, **__: Any) -> grpc.UnaryStreamMultiCallable:
        return _call.UnaryStream(self, "unary_stream", method, request_serializer, response_deserializer)

    def stream_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None,
                     *_: Any, **__: Any) -> grpc.StreamUnaryMultiCallable:
        return _call.StreamUnary(self, "stream_unary", method, request_serializer, response_deserializer)

    def stream_stream(self, method: str, request_serializer: Any = None, response_deserializer: Any = None,
                      *_: Any, **__: Any) -> grpc.StreamStreamMultiCallable:
        return _call.StreamStream(self, "stream_stream", method, request_serializer, response_deserializer)

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None],
                  try_to_connect: Optional[bool] = False) -> None:
        raise NotImplementedError("connections come and go beneath this channel: make a call with wait_for_ready")

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        pass

    def close(self) -> None:
        """Ends the calls that are there."""
        self.live.close()
        self.connector.close()
        self.waiters.cancel()

    def __enter__(self) -> "GatedChannel":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
