# SPDX-License-Identifier: Apache-2.0
"""Waiting with a deadline, which another thread can end; and work of which there is one at a time for many waiters."""
from __future__ import annotations

import contextlib
import threading
import time
from concurrent import futures
from typing import Any, Callable, Dict, Hashable, Iterator, Optional, Set

import grpc

from ._errors import Error, Kind


class Waiter:
    """Of one call: until its deadline (seconds from now; None: for ever), or until cancel()."""

    def __init__(self, timeout: Optional[float]):
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._cancelled: futures.Future[None] = futures.Future()

    def left(self) -> Optional[float]:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def cancel(self) -> None:
        try:
            self._cancelled.set_result(None)
        except futures.InvalidStateError:
            pass

    def cancelled(self) -> bool:
        return self._cancelled.done()

    def check(self) -> None:
        if self.cancelled():
            raise Error(Kind.CANCELLED, grpc.StatusCode.CANCELLED, "the call was cancelled")
        if self.left() == 0.0:
            raise self.late("the call's deadline passed before it was sent")

    def late(self, details: str) -> Error:
        return Error(Kind.DEADLINE, grpc.StatusCode.DEADLINE_EXCEEDED, details)

    def result(self, future: futures.Future[Any], what: str) -> Any:
        futures.wait([future, self._cancelled], self.left(), futures.FIRST_COMPLETED)
        if not future.done():
            self.check()
            raise self.late(f"the call's deadline passed while it waited for {what}")
        return future.result()

    def pause(self, seconds: float) -> None:
        left = self.left()
        futures.wait([self._cancelled], seconds if left is None else min(seconds, left))
        self.check()


class Waiters:
    """Those of one channel that wait now, to be ended together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Set[Waiter] = set()

    @contextlib.contextmanager
    def of(self, waiter: Waiter) -> Iterator[None]:
        with self._lock:
            self._waiting.add(waiter)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(waiter)

    def cancel(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for waiter in waiting:
            waiter.cancel()


class Flights:
    """Who asks for what is being worked on waits for that result. Work goes on when its waiters have gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: Dict[Hashable, futures.Future[Any]] = {}

    def join(self, key: Hashable, work: Callable[[], Any]) -> futures.Future[Any]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight
            flight = self._flights[key] = futures.Future()
        # Of its own, and no pool's: a touch that nobody makes does not keep the program from ending.
        threading.Thread(target=self._fly, args=(key, flight, work), daemon=True).start()
        return flight

    def _fly(self, key: Hashable, flight: futures.Future[Any], work: Callable[[], Any]) -> None:
        try:
            result, error = work(), None
        except BaseException as raised:  # the waiters' to handle
            result, error = None, raised
        with self._lock:
            del self._flights[key]
        if error is None:
            flight.set_result(result)
        else:
            flight.set_exception(error)
