# SPDX-License-Identifier: Apache-2.0
"""Applications that call all the while, at a bounded rate."""
import json
import threading
import time

CALLS_PER_SECOND = 15
MOST_WAITING = 8
DEADLINE = 20.0
STREAM_DEADLINE = 300.0


class Load:
    """The calls of one application: unary ones, and one stream after the other."""

    def __init__(self, token, program, model):
        self.token, self.program, self.model = token, program, model
        self._next = 0
        self._waiting = set()
        self._stream = None
        self._messages = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        program.listeners.append(self._hear)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()

    def end(self):
        self._over.set()
        self._thread.join()

    def _hear(self, line):
        try:
            said = json.loads(line)
        except ValueError:
            return
        if "id" not in said:
            return
        call = said["id"]
        if said["event"] == "answer":
            self.model.ended(said["text"], 0)
            if said["text"] != call and "#" not in said["text"]:
                self.model.find("another call's answer", f"{call} got {said['text']}")
        elif said["event"] == "end":
            with self._lock:
                self._waiting.discard(call)
                if call == self._stream:
                    self._stream = None
            if said["code"] != 0:
                self.model.ended(call, said["code"])

    def _run(self):
        while not self._over.wait(1 / CALLS_PER_SECOND):
            self._next += 1
            call = f"{self.token}-{self._next}"
            with self._lock:
                room = len(self._waiting) < MOST_WAITING
                stream = self._stream
            if room:
                with self._lock:
                    self._waiting.add(call)
                self.model.began(call, self.token, deadline=DEADLINE)
                self.program.write(f"say {call} {int(DEADLINE * 1000)}")
            if self._next % 5:
                continue
            if stream is None:
                stream = f"{self.token}-stream-{self._next}"
                with self._lock:
                    self._stream = stream
                self.program.write(f"open {stream} {int(STREAM_DEADLINE * 1000)}")
            message = f"{stream}#{self._next}"
            self.model.began(message, self.token, stream=True)
            self.program.write(f"write {stream} {message}")

    def answered_since(self, since):
        return self.model.last_answer.get(self.token, 0) > since

    def await_answer(self, patience):
        """A call that is made from now on is answered."""
        since = time.monotonic()
        while time.monotonic() < since + patience:
            with self.model.lock:
                done = any(call[0] == self.token and call[1] > since and call[2] == 0
                           for call in self.model.calls.values())
            if done:
                return True
            time.sleep(0.25)
        return False
