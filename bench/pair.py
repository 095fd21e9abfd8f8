# SPDX-License-Identifier: Apache-2.0
"""The server of bench/grpc_pair as a child process, and loads for it: what run_pair, run_flood, run_proxy and run_all
share.

On a busy machine a load may fail (a handshake's time is over, a connection is not made): it is tried again, and what it
wrote is shown. A server that ends is an error with what it wrote.
"""
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

ATTEMPTS = 3
END_SECONDS = 120
LOAD_SECONDS = 300
VALGRIND = ["valgrind", "--tool=callgrind", "--separate-threads=no", "--dump-instr=no", "--compress-strings=no"]


class Failed(Exception):
    pass


def tail(path, lines=20):
    with open(path, encoding="utf-8", errors="replace") as text:
        return "".join(text.readlines()[-lines:])


class Loaded:
    """What loads are put on: `directory` has its facts.json, `bin` the loads, `errors` is what it writes to stderr.
    Who inherits says whether it is running(), and what it is called."""

    def failure(self, what):
        return Failed(f"{self} {what}:\n{tail(self.errors)}")

    def command(self, calls, in_flight, kind, *host):
        return [os.path.join(self.bin, "forekey-bench-pair-load"), self.directory, str(calls), str(in_flight), kind,
                *host]

    def load(self, calls, in_flight, kind=None):
        for attempt in range(ATTEMPTS):
            try:
                done = subprocess.run(self.command(calls, in_flight, kind or self.kind), capture_output=True, text=True,
                                      check=False, timeout=LOAD_SECONDS)
            except subprocess.TimeoutExpired as late:
                raise self.failure(f"did not serve {calls} calls within {LOAD_SECONDS} s; it wrote") from late
            if done.returncode == 0:
                return json.loads(done.stdout)
            if not self.running():
                raise self.failure("ended under load")
            print(f"{self}: a load of {kind or self.kind} calls failed ({attempt + 1} of {ATTEMPTS}): "
                  f"{done.stderr.strip()}", file=sys.stderr)
        raise self.failure(f"was up, but {ATTEMPTS} loads failed; it wrote")

    @contextlib.contextmanager
    def streams(self, count, connections):
        """Meanwhile so many streams live and say nothing."""
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(self.command(count, connections, "streams-" + self.kind), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=errors, text=True)
            late = threading.Timer(END_SECONDS, process.kill)
            late.start()
            try:
                opened = process.stdout.readline().strip() == "open"
                late.cancel()
                if opened:
                    yield
                    late = threading.Timer(END_SECONDS, process.kill)
                    late.start()
                process.stdin.close()
                if process.wait() != 0 or not opened:
                    errors.seek(0)
                    why = errors.read().strip() or f"exit status {process.returncode}"
                    raise self.failure(f"did not keep {count} streams ({why}); it wrote")
            finally:
                late.cancel()
                if process.poll() is None:
                    process.kill()
                    process.wait()
                process.stdout.close()


class Server(Loaded):
    """`counted`: under valgrind, so that instructions() can be asked."""

    def __init__(self, bin_dir, flags, counted=False):
        self.folder = tempfile.TemporaryDirectory(prefix="forekey-pair-")
        self.directory = self.folder.name
        self.bin = bin_dir
        self.flags = flags
        self.kind = "gated" if "--gated" in flags else "worded" if "--bare" in flags else "plain"
        self.errors = os.path.join(self.directory, "stderr")
        self.profile = os.path.join(self.directory, "callgrind")
        under = [*VALGRIND, f"--callgrind-out-file={self.profile}"] if counted else []
        self.dumps = 0
        with open(self.errors, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [*under, os.path.join(bin_dir, "forekey-bench-pair-server"), "--directory", self.directory, *flags],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        if self.line() != "ready":
            raise self.failure("did not start")
        with open(os.path.join(self.directory, "facts.json"), encoding="utf-8") as facts:
            self.port = json.load(facts)["port"]

    def __str__(self):
        return f"the server {' '.join(self.flags)}"

    def running(self):
        return self.process.poll() is None

    def pids(self):
        return [self.process.pid]

    def line(self):
        return self.process.stdout.readline().strip()

    def usage(self):
        try:
            self.process.stdin.write("usage\n")
            self.process.stdin.flush()
            return json.loads(self.line())
        except (BrokenPipeError, json.JSONDecodeError) as error:
            raise self.failure("ended") from error

    def instructions(self, calls, in_flight):
        """User instructions a call, of the server alone, without its MACs: those are SHA instructions in life, of which
        valgrind knows none, and what OpenSSL does instead is ten times as many. Two loads of different length, so that
        what a connection and a session cost once is in neither."""
        few = calls // 4
        return (self.counted_load(calls, in_flight) - self.counted_load(few, in_flight)) / (calls - few)

    def counted_load(self, calls, in_flight):
        return self.counted(lambda: self.load(calls, in_flight))

    def idle_instructions(self, seconds):
        """User instructions a second, of a server to which nothing is said meanwhile."""
        return self.counted(lambda: time.sleep(seconds)) / seconds

    def counted(self, work):
        self.control("-z")
        work()
        self.control("-d")
        self.dumps += 1
        done = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100",
                               f"{self.profile}.{self.dumps}"], capture_output=True, text=True, check=False)
        if not (total := re.search(r"^ *([\d,]+) .*PROGRAM TOTALS", done.stdout, re.M)):
            raise Failed(f"callgrind_annotate gave no total: {done.stdout[:1000]}{done.stderr}")
        mac = re.search(r"^ *([\d,]+) .*forekey::HmacSha256::Matches\(", done.stdout, re.M)
        return sum(sign * int(found.group(1).replace(",", "")) for sign, found in ((1, total), (-1, mac)) if found)

    def control(self, what):
        done = subprocess.run(["callgrind_control", what, str(self.process.pid)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"callgrind_control {what}: {done.stdout}{done.stderr}")

    def stop(self):
        try:
            self.process.stdin.close()
            self.process.wait(timeout=END_SECONDS)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
