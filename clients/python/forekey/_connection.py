# SPDX-License-Identifier: Apache-2.0
"""Connections to the gate whose leaf certificate is known.

grpcio does not show a connection's certificate. So a handshake, verified as ever, tells which leaf the gate has; and
then the channel gets that leaf as the only root there is. Every connection of that channel shows that leaf, or does
not come about: the binding is the one of the connection that a call uses, whoever answered the handshake before it.
"""
from __future__ import annotations

import socket
import ssl
import threading
from concurrent import futures
from typing import Any, Dict, Optional, Sequence, Tuple

import grpc

from ._errors import Error, Kind
from ._waiting import Flights, Waiter
from .proof import channel_binding

CONNECT_TIMEOUT = 10.0
# The leaf may be replaced between the handshake and the connection, and a balancer may have several.
_TRIES = 5
_PAUSE = 0.2
# OpenSSL's X509_V_ERR_*.
_CERTIFICATE_TROUBLES = {
    9: ("CERTIFICATE_NOT_YET_VALID", "set this machine's clock, or ask the gate's administrator"),
    10: ("CERTIFICATE_EXPIRED", "set this machine's clock where it is wrong, else the gate's administrator has to "
                                "renew the certificate"),
    62: ("CERTIFICATE_FOR_OTHER_NAME", "use the name that is in the certificate as the gate's address"),
    64: ("CERTIFICATE_FOR_OTHER_NAME", "use the name that is in the certificate as the gate's address"),
}
_UNTRUSTED = ("CERTIFICATE_UNTRUSTED", "compare the CA with the administrator's; if the gate has a new CA, enrol again")


class Target:
    def __init__(self, address: str, ca_pem: str, server_name: str):
        host, colon, port = address.rpartition(":")
        self.address = address
        self.host, self.port = (host.strip("[]"), port) if colon else (address, "443")
        self.ca_pem = ca_pem
        self.server_name = server_name

    def fetch_leaf(self, timeout: float) -> bytes:
        """The DER of the leaf that the gate shows now, verified; raises Error."""
        context = ssl.create_default_context(cadata=self.ca_pem or None)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(["h2"])
        connected = False
        try:
            with socket.create_connection((self.host, int(self.port)), timeout) as plain:
                connected = True
                with context.wrap_socket(plain, server_hostname=self.server_name or self.host) as tls:
                    leaf = tls.getpeercert(binary_form=True)
                    if leaf is None:
                        raise ssl.SSLError("no certificate")
                    return leaf
        except socket.gaierror as error:
            raise self.unreachable("NO_ADDRESS", f"no address is known for {self.host} ({error.strerror})") from None
        except ssl.SSLCertVerificationError as error:
            trouble, advice = _CERTIFICATE_TROUBLES.get(error.verify_code, _UNTRUSTED)
            raise self.unreachable(trouble, f"the gate's TLS certificate is not taken: {error.verify_message}",
                                    advice) from None
        except TimeoutError:
            raise self.unreachable("NO_ANSWER" if connected else "NO_CONNECTION", "no answer in time") from None
        except (ssl.SSLError, ConnectionResetError, EOFError) as error:
            if connected:
                raise self.unreachable("NOT_TLS", f"what answers there does not speak TLS as a gate does ({error})",
                                        "check the port") from None
            raise self.unreachable("NO_CONNECTION", str(error)) from None
        except OSError as error:
            raise self.unreachable("NO_CONNECTION", f"no connection ({error.strerror or error})") from None

    def unreachable(self, trouble: str, details: str, advice: Optional[str] = None) -> Error:
        return Error(Kind.GATE_UNREACHABLE, grpc.StatusCode.UNAVAILABLE,
                     f"tried to connect to the gate at {self.address}: {details}", gate_trouble=trouble, advice=advice)


class Connection:
    """A grpcio channel all of whose connections show one leaf."""

    def __init__(self, target: Target, leaf: bytes, options: Sequence[Tuple[str, Any]]):
        self.leaf, self.binding = leaf, channel_binding(leaf)
        given: Dict[str, Any] = {"grpc.keepalive_time_ms": 300_000, "grpc.keepalive_timeout_ms": 20_000}
        if target.server_name:
            given["grpc.ssl_target_name_override"] = target.server_name
        given.update(options)
        given["grpc.use_local_subchannel_pool"] = 1  # no other channel's connection, which may have another root
        pem = ssl.DER_cert_to_PEM_cert(leaf).encode("ascii")
        self.channel = grpc.secure_channel(target.address, grpc.ssl_channel_credentials(root_certificates=pem),
                                           options=list(given.items()))
        self._state: Optional[grpc.ChannelConnectivity] = None
        self._decided: futures.Future[bool] = futures.Future()
        self.channel.subscribe(self._on_state, try_to_connect=True)

    @property
    def ready(self) -> bool:
        return self._state == grpc.ChannelConnectivity.READY

    def wait(self, seconds: float) -> Optional[bool]:
        """Whether it came about; None where that is not known by then."""
        futures.wait([self._decided], seconds)
        return self._decided.result() if self._decided.done() else None

    def give_up(self) -> None:
        """No new calls. Those that are there go on: they hold the channel."""
        self.channel.unsubscribe(self._on_state)

    def close(self) -> None:
        self.give_up()
        self.channel.close()
        self._decide(False)

    def _on_state(self, state: grpc.ChannelConnectivity) -> None:
        self._state = state
        failed = state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)
        if self.ready or failed:
            self._decide(self.ready)

    def _decide(self, ready: bool) -> None:
        try:
            self._decided.set_result(ready)
        except futures.InvalidStateError:  # it is decided
            pass


class Connector:
    """Safe from any thread. A connection that is lost is made anew, with the leaf that the gate has then."""

    def __init__(self, target: Target, options: Sequence[Tuple[str, Any]]):
        self._target, self._options = target, options
        self._current: Optional[Connection] = None
        self._lock = threading.Lock()  # of _current and closed
        self._flights = Flights()
        self.closed = False

    def connected(self, waiter: Waiter, wait_for_ready: bool) -> Connection:
        """Each caller waits for as long as it may, for a connection that has its own time to come about."""
        while True:
            current = self._current
            if current is not None and current.ready and not self.closed:
                return current
            try:
                made: Connection = waiter.result(self._flights.join("connect", self._connect),
                                                 "a connection to the gate")
                return made
            except Error as error:
                if not wait_for_ready or error.kind != Kind.GATE_UNREACHABLE:
                    raise
                waiter.pause(_PAUSE)

    def _connect(self) -> Connection:
        current = self._current
        if current is not None and current.ready and not self.closed:
            return current  # of the flight before
        if current is not None:
            current.give_up()
        for _ in range(_TRIES):
            self._put(None)
            made = Connection(self._target, self._target.fetch_leaf(CONNECT_TIMEOUT), self._options)
            self._put(made)
            ready = made.wait(CONNECT_TIMEOUT)
            if ready:
                return made
            made.give_up()
            if ready is None:
                raise self._target.unreachable("NO_ANSWER", "no answer in time")
        self._put(None)
        raise self._target.unreachable("", "each connection showed another certificate than the one before, or none came "
                                           "about")

    def _put(self, connection: Optional[Connection]) -> None:
        with self._lock:
            if not self.closed:
                self._current = connection
                return
        if connection is not None:
            connection.close()
        raise Error(Kind.CANCELLED, grpc.StatusCode.CANCELLED, "the channel is closed")

    def close(self) -> None:
        with self._lock:
            self.closed = True
            current, self._current = self._current, None
        if current is not None:
            current.close()
