# SPDX-License-Identifier: Apache-2.0
"""A program that answers lines of JSON on its standard input with lines on its standard output, in any order."""
import json
import queue
import subprocess
import threading

MOST_LINE = 1 << 20


class Ended(Exception):
    """There will be no more answers."""


class Program:
    def __init__(self, command, patience, environment=None):
        self.command, self.patience = command, patience
        self.answers, self.count = {}, 0
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        except OSError as error:
            raise Ended(f"{command[0]} can't be run: {error.strerror}") from None
        self.broken = None
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def begin(self, question):
        """The question with an id of its own; returns where its answer will be."""
        with self.lock:
            self.count += 1
            answer = self.answers[self.count] = queue.Queue()
            if self.broken:
                answer.put(self.broken)
                return answer
            try:
                self.process.stdin.write(json.dumps({"id": self.count, **question}).encode() + b"\n")
                self.process.stdin.flush()
            except OSError:
                answer.put(Ended("the program ended"))
        return answer

    def ask(self, question, patience=None):
        try:
            answer = self.begin(question).get(timeout=patience or self.patience)
        except queue.Empty:
            raise Ended(f"no answer came within {patience or self.patience:g} s") from None
        if isinstance(answer, Ended):
            raise answer
        return answer

    def _read(self):
        why = "the program ended"
        try:
            while line := self.process.stdout.readline(MOST_LINE):
                answer = json.loads(line)
                with self.lock:
                    self.answers.pop(answer["id"]).put(answer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"the program said what is no answer: {error!r}"
        with self.lock:
            self.broken = Ended(why)
            for answer in self.answers.values():
                answer.put(self.broken)
