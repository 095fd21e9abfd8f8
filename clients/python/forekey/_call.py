# SPDX-License-Identifier: Apache-2.0
"""One call of the application, in one attempt or two.

The gate refuses a proof before the call is routed: then, and only then, the call is made once more with another proof.
An admitted call is never made twice, whatever its handler answers (docs/PROTOCOL.md, "Retries").
"""
from __future__ import annotations

import threading
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import grpc

from ._connection import Connection
from ._errors import Error, Kind, is_refused_proof, of_call
from ._sessions import Session
from ._waiting import Waiter

PREFIX = "forekey-prefix-bin"
# Of what was sent, so much is kept for the second attempt; a call that has sent more has none.
MOST_KEPT = 8 << 20


class Replay:
    """The messages of a request stream, serialized, for one attempt and the next. Each attempt has a reader of its own;
    from when the next one has begun, the one before gets nothing more, and takes nothing away."""

    def __init__(self, messages: Iterator[Any], serialize: Callable[[Any], bytes]):
        self._messages, self._serialize = iter(messages), serialize
        self._pulling, self._lock = threading.Lock(), threading.Lock()
        self._kept: List[bytes] = []
        self._first = 0  # the number of the first that is kept
        self._size, self._ended, self._committed = 0, False, False
        self._newest = 0  # the number of the newest reader

    def reader(self) -> Iterator[bytes]:
        with self._lock:
            self._newest += 1
            return self._read(self._newest)

    def _read(self, reader: int) -> Iterator[bytes]:
        at = 0
        while True:
            with self._lock:
                if reader != self._newest:
                    return
                if at < self._first:
                    raise RuntimeError("the messages that an attempt begins with are not kept any more")
                found = self._kept[at - self._first] if self._has(at) else None
                if found is not None:
                    at += 1
                    self._let_go(at)
            if found is not None:
                yield found
                continue
            # One that waits here for the application may be of an attempt that is over: what it gets is kept.
            with self._pulling:
                with self._lock:
                    there = self._has(at)
                if not there and not self._pull():
                    return

    def _has(self, at: int) -> bool:
        return at - self._first < len(self._kept)

    def may_replay(self) -> bool:
        with self._lock:
            return self._first == 0

    def commit(self) -> None:
        with self._lock:
            self._committed = True

    def _pull(self) -> bool:
        if not self._ended:
            try:
                data = self._serialize(next(self._messages))
            except StopIteration:
                self._ended = True
        if self._ended:
            return False
        with self._lock:
            self._kept.append(data)
            self._size += len(data)
        return True

    def _let_go(self, below: int) -> None:
        if self._committed or self._size > MOST_KEPT:
            self._committed = True
            while self._first < below and self._kept:
                self._size -= len(self._kept.pop(0))
                self._first += 1


class Attempts:
    """What the attempts of one call have in common."""

    def __init__(self, channel: Any, method: str, timeout: Optional[float], options: Dict[str, Any]):
        self._channel, self.method, self._options = channel, method, options
        self.waiter = Waiter(timeout)
        self._made = 0
        self.session: Optional[Session] = None
        self.sequence = 0
        self.connection: Optional[Connection] = None

    def make(self, start: Callable[[Dict[str, Any]], Any]) -> Any:
        """Makes the next attempt: what start(options) gives, which is to use `connection`. Blocks where the agent must be
        asked. Raises nothing but grpc.RpcErrors."""
        try:
            with self._channel.waiters.of(self.waiter):
                options = self._next()
                self.waiter.check()
            return start(options)
        except grpc.RpcError:
            raise
        except Exception as error:  # grpcio's ValueError, where the channel was closed meanwhile
            if self._channel.closed:
                raise Error(Kind.CANCELLED, grpc.StatusCode.CANCELLED, "the channel is closed") from None
            raise Error(Kind.SERVICE, grpc.StatusCode.INTERNAL, f"the call can't be made: {error}", advice="") from error

    def _next(self) -> Dict[str, Any]:
        self._made += 1
        self.waiter.check()
        connection = self._channel.connected(self.waiter, bool(self._options.get("wait_for_ready")))
        sessions = self._channel.sessions
        if self._made == 1:
            found = sessions.prefix_for(connection.binding, self.method, self.waiter)
        else:
            found = sessions.prefix_after(self.session, connection.binding, self.method, self.waiter)
        self.session, self.sequence, prefix = found
        self.connection = connection
        metadata = tuple(self._options.get("metadata") or ()) + ((PREFIX, prefix),)
        # There is a connection. Should it be gone by now, the one leaf that this channel takes may be, too: then waiting
        # would have no end.
        return {**self._options, "metadata": metadata, "timeout": self.waiter.left(), "wait_for_ready": False}

    def may_go_on(self, ended: Any) -> bool:
        return self._made == 1 and is_refused_proof(ended)


class Multi:
    """Of one method."""

    def __init__(self, channel: Any, kind: str, method: str, serializer: Any, deserializer: Any):
        self._channel, self._kind, self._method = channel, kind, method
        self._serializer, self._deserializer = serializer, deserializer
        self._made: Tuple[Optional[Connection], Any] = (None, None)

    def inner(self, connection: Optional[Connection]) -> Any:
        assert connection is not None  # of an attempt that was made
        made, multi = self._made
        if made is not connection:
            multi = getattr(connection.channel, self._kind)(self._method, request_serializer=None,
                                                            response_deserializer=self._deserializer)
            self._made = (connection, multi)
        return multi

    def serialize(self, message: Any) -> bytes:
        try:
            return self._serializer(message) if self._serializer else message
        except Exception as error:  # as grpcio has it
            raise Error(Kind.SERVICE, grpc.StatusCode.INTERNAL, f"the request can't be serialized: {error}",
                        advice="") from error

    def attempts(self, timeout: Optional[float], metadata: Any, credentials: Any, wait_for_ready: Any,
                 compression: Any) -> Attempts:
        options = {"metadata": metadata, "credentials": credentials, "wait_for_ready": wait_for_ready,
                   "compression": compression}
        return Attempts(self._channel, self._method, timeout, {name: value for name, value in options.items()
                                                               if value is not None})

    def blocking(self, attempts: Attempts, request: Callable[[], Any], may_replay: Callable[[], bool]) -> Any:
        def start(options: Dict[str, Any]) -> Any:
            return self.inner(attempts.connection).with_call(request(), **options)

        while True:
            try:
                return attempts.make(start)
            except Error:
                raise
            except grpc.RpcError as error:
                if not attempts.may_go_on(error) or not may_replay():
                    raise of_call(error) from None


def _always() -> bool:
    return True


class UnaryUnary(Multi, grpc.UnaryUnaryMultiCallable):
    def __call__(self, request: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
                 wait_for_ready: Any = None, compression: Any = None) -> Any:
        return self.with_call(request, timeout, metadata, credentials, wait_for_ready, compression)[0]

    def with_call(self, request: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
                  wait_for_ready: Any = None, compression: Any = None) -> Any:
        data = self.serialize(request)
        attempts = self.attempts(timeout, metadata, credentials, wait_for_ready, compression)
        return self.blocking(attempts, lambda: data, _always)

    def future(self, request: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
               wait_for_ready: Any = None, compression: Any = None) -> "GatedCall":
        data = self.serialize(request)
        attempts = self.attempts(timeout, metadata, credentials, wait_for_ready, compression)
        return GatedCall(attempts, lambda options: self.inner(attempts.connection).future(data, **options))


class UnaryStream(Multi, grpc.UnaryStreamMultiCallable):
    def __call__(self, request: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
                 wait_for_ready: Any = None, compression: Any = None) -> "GatedCall":
        data = self.serialize(request)
        attempts = self.attempts(timeout, metadata, credentials, wait_for_ready, compression)
        return GatedCall(attempts, lambda options: self.inner(attempts.connection)(data, **options), None,
                         self._channel.live)


class StreamUnary(Multi, grpc.StreamUnaryMultiCallable):
    def __call__(self, request_iterator: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
                 wait_for_ready: Any = None, compression: Any = None) -> Any:
        return self.with_call(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)[0]

    def with_call(self, request_iterator: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
                  wait_for_ready: Any = None, compression: Any = None) -> Any:
        call = self.future(request_iterator, timeout, metadata, credentials, wait_for_ready, compression)
        return call.result(), call

    def future(self, request_iterator: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
               wait_for_ready: Any = None, compression: Any = None) -> "GatedCall":
        replay = Replay(request_iterator, self.serialize)
        attempts = self.attempts(timeout, metadata, credentials, wait_for_ready, compression)
        return GatedCall(attempts, lambda options: self.inner(attempts.connection).future(replay.reader(), **options),
                         replay, self._channel.live)


class StreamStream(Multi, grpc.StreamStreamMultiCallable):
    def __call__(self, request_iterator: Any, timeout: Any = None, metadata: Any = None, credentials: Any = None,
                 wait_for_ready: Any = None, compression: Any = None) -> "GatedCall":
        replay = Replay(request_iterator, self.serialize)
        attempts = self.attempts(timeout, metadata, credentials, wait_for_ready, compression)
        return GatedCall(attempts, lambda options: self.inner(attempts.connection)(replay.reader(), **options), replay,
                         self._channel.live)


class GatedCall(grpc.Call, grpc.Future):  # type: ignore[misc]
    """A call that has been started: iterator of its answers, or future of its only one. The start itself waits for the
    agent where there is no session yet; what goes wrong then is told where the answers are asked for."""

    def __init__(self, attempts: Attempts, start: Callable[[Dict[str, Any]], Any], replay: Optional[Replay] = None,
                 live: Any = None):
        self._attempts, self._start, self._replay = attempts, start, replay
        self._lock = threading.Lock()
        self._inner: Any = None
        self._failed: Optional[Error] = None
        self._committed = False
        # What live calls know of it: whether the agent was asked for more, and when it is tried again at the soonest.
        self.asked_for_more, self.not_before = False, 0
        self._begin()
        self._first = self._inner
        if self._failed is None:
            self._go_on_unasked()
            if live is not None:
                live.add(self)

    # ---- The attempts ----

    def _begin(self) -> None:
        try:
            self._inner = self._attempts.make(self._start)
        except grpc.RpcError as error:
            self._failed = error if isinstance(error, Error) else of_call(error)
            return
        if self._attempts.waiter.cancelled():  # before cancel() could see this attempt
            self._inner.cancel()

    def _go_on_unasked(self) -> None:
        """A first attempt that was refused is followed by the second one, though nobody may ask for an answer."""
        # grpcio cancels a call of which there is nothing left: what waits here holds no call.
        reference = weakref.ref(self)

        def on_end() -> None:  # on a thread of grpcio's, which must not wait
            call = reference()
            if call is not None and call._first.code() == grpc.StatusCode.UNAUTHENTICATED:
                threading.Thread(target=call._again, args=(call._first,), daemon=True).start()

        if not self._first.add_callback(on_end):
            on_end()

    def _may_go_on(self, ended: Any) -> bool:
        return (ended is self._first and not self._committed and is_refused_proof(ended)
                and (self._replay is None or self._replay.may_replay()))

    def _again(self, ended: Any) -> bool:
        """Whether the call goes on in another attempt (or failed to), after one that ended. Blocks."""
        with self._lock:
            if self._inner is not ended or self._failed is not None:
                return True
            if not self._may_go_on(ended):
                return False
            self._begin()
            return True

    def _commit(self) -> None:
        if not self._committed:
            self._committed = True
            if self._replay is not None:
                self._replay.commit()

    def _ended(self) -> Any:
        """The attempt that was the last one, once it has ended; an Error where there was none."""
        while self._failed is None:
            inner = self._inner
            inner.code()  # returns when it has ended
            if not self._again(inner):
                return inner
        return self._failed

    # ---- What live calls need ----

    @property
    def attempts(self) -> Attempts:
        return self._attempts

    # ---- An iterator ----

    def __iter__(self) -> "GatedCall":
        return self

    def __next__(self) -> Any:
        while self._failed is None:
            inner = self._inner
            try:
                message = next(inner)
                self._commit()
                return message
            except grpc.RpcError:
                if not self._again(inner):
                    raise of_call(inner) from None
        raise self._failed

    # ---- grpc.Future ----

    def result(self, timeout: Optional[float] = None) -> Any:
        waiter = Waiter(timeout)
        while self._failed is None:
            inner = self._inner
            try:
                return inner.result(waiter.left())
            except grpc.RpcError:
                if not self._again(inner):
                    raise of_call(inner) from None
        raise self._failed

    def exception(self, timeout: Optional[float] = None) -> Optional[Exception]:
        try:
            self.result(timeout)
            return None
        except Error as error:
            return error

    def traceback(self, timeout: Optional[float] = None) -> Any:
        error = self.exception(timeout)
        return error.__traceback__ if error is not None else None

    def cancel(self) -> bool:
        self._attempts.waiter.cancel()
        return self._failed is None and bool(self._inner.cancel())

    def cancelled(self) -> bool:
        failed = self._failed
        return bool(self._inner.cancelled()) if failed is None else failed.code() == grpc.StatusCode.CANCELLED

    def running(self) -> bool:
        return not self.done()

    def done(self) -> bool:
        while self._failed is None:
            inner = self._inner
            done = bool(inner.done()) and not self._may_go_on(inner)
            if inner is self._inner:  # and no attempt has followed meanwhile
                return done
        return True

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        def wait() -> None:
            try:
                self._ended()
            finally:
                fn(self)

        threading.Thread(target=wait, daemon=True).start()

    # ---- grpc.Call ----

    def initial_metadata(self) -> Any:
        return () if self._failed is not None else self._inner.initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._ended().trailing_metadata()

    def code(self) -> grpc.StatusCode:
        return self._ended().code()

    def details(self) -> str:
        return self._ended().details()

    def is_active(self) -> bool:
        return not self.done()

    def time_remaining(self) -> Optional[float]:
        return self._attempts.waiter.left()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self.done():
            return False
        self.add_done_callback(lambda _: callback())
        return True
