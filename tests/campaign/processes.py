# SPDX-License-Identifier: Apache-2.0
"""The programs of a campaign: started like a service manager would, watched, stopped, killed."""
import concurrent.futures
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

# The kernel ends a child with the thread that started it (PR_SET_PDEATHSIG): this one lives as long
# as the campaign, so that nothing is left behind whatever becomes of it.
_spawner = concurrent.futures.ThreadPoolExecutor(max_workers=1)


def keep_stacks():
    """Programs that crash from now on leave a core file, where the system writes them into folders."""
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)


def stacks(program, file, *what):
    """Of all threads, for who reads the findings: a core file's (its path), or a process's ("-p", pid)."""
    try:
        subprocess.run(["gdb", "-batch", "-nx", "-ex", "thread apply all bt", str(program), *map(str, what)],
                       stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        file.write(b"(no stacks: gdb is not there, or took too long)\n")


def spawn(arguments, **options):
    command = ["setpriv", "--pdeathsig", "KILL"] + [str(word) for word in arguments]
    # A session of its own: ^C is for the campaign alone, which then ends the others in order.
    return _spawner.submit(subprocess.Popen, command, start_new_session=True, **options).result()


class Clock:
    """The file that tests/operate/clock/set_clock.cc reads."""

    def __init__(self, path, library):
        self.path, self.library = path, library
        self.wall = self.boot = 0
        self._write()

    def environment(self):
        if not os.path.exists(self.library):
            return {}
        return {"LD_PRELOAD": self.library, "FOREKEY_TEST_CLOCK": self.path}

    def step(self, seconds):
        self.wall += seconds
        self._write()

    def sleep(self, seconds):
        """The machine slept so long."""
        self.wall += seconds
        self.boot += seconds
        self._write()

    def set_right(self):
        self.wall = self.boot  # as long as it slept, time did go by
        self._write()

    def _write(self):
        data = struct.pack("=qq", self.wall * 10**9, self.boot * 10**9)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(fd, data, 0)
        finally:
            os.close(fd)


class Program:
    """A program that should always run: started again when it ended, as systemd does."""

    def __init__(self, name, arguments, environment, log, report):
        self.name, self.arguments, self.log, self.report = name, arguments, log, report
        self.folder = log + ".d"  # where it may leave a core file
        os.makedirs(self.folder, exist_ok=True)
        self.environment = dict(os.environ, **environment)
        self.ready_line = ""
        self.listeners = []  # called with each line of standard output
        self._lock = threading.RLock()
        self._process = None
        self._ready = threading.Event()
        self._wanted = True
        self._expected_end = False
        self.starts = 0

    def start(self):
        with self._lock:
            self._ready.clear()
            self._expected_end = False
            with open(self.log, "ab") as log:
                self._process = spawn(self.arguments, env=self.environment, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log, cwd=self.folder)
            self.starts += 1
            threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def _watch(self, process):
        for line in process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            if not self._ready.is_set():
                self.ready_line = text
                self._ready.set()
            for listener in self.listeners:
                listener(text)
        status = process.wait()
        with self._lock:
            if process is not self._process:
                return
            was_ready, expected, wanted = self._ready.is_set(), self._expected_end, self._wanted
            self._ready.clear()
        if not wanted:
            return
        if was_ready and not expected:
            for core in os.listdir(self.folder):
                with open(self.log, "ab") as log:
                    stacks(self.arguments[0], log, os.path.join(self.folder, core))
            self.report("a process ended by itself", f"{self.name} (pid {process.pid}) ended with {status}; see {self.log}")
        # One that can't start (its disk is full) is tried again: what matters is that it comes back.
        time.sleep(0.5)
        with self._lock:
            if self._wanted and process is self._process:
                self.start()

    def wait_ready(self, patience):
        return self._ready.wait(patience)

    @property
    def ready(self):
        return self._ready.is_set()

    @property
    def pid(self):
        with self._lock:
            return self._process.pid if self._process else 0

    def signal(self, number):
        with self._lock:
            if self._process and self._process.poll() is None:
                if number in (signal.SIGKILL, signal.SIGTERM):
                    self._expected_end = True
                self._process.send_signal(number)

    def write(self, line):
        with self._lock:
            process = self._process
        try:
            process.stdin.write((line + "\n").encode())
            process.stdin.flush()
            return True
        except (OSError, ValueError, AttributeError):
            return False

    def end(self, patience=15):
        with self._lock:
            self._wanted = False
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def note_stacks(self):
        """Where its threads are, at the end of its log."""
        with self._lock, open(self.log, "ab") as log:
            if self._process is not None and self._process.poll() is None:
                stacks(self.arguments[0], log, "-p", self._process.pid)

    def descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except OSError:
            return None


class Outcome:
    """What a command said. `ok` only where it said so: all else is "we don't know"."""

    def __init__(self, status, output, errors):
        self.status, self.output, self.errors = status, output, errors
        self.ok = status == 0

    @property
    def json(self):
        try:
            return json.loads(self.output)
        except ValueError:
            return None

    def __str__(self):
        return f"exit status {self.status}: {self.output.strip()} {self.errors.strip()}"[:600]


def run(arguments, environment=None, patience=90):
    process = spawn(arguments, env=dict(os.environ, **(environment or {})), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        output, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        return Outcome(-1, output, f"had not ended after {patience} s; {errors}")
    return Outcome(process.returncode, output, errors)


def ask_control(path, request, patience=20):
    """A request to a simulator's control socket (simulators/README.md); None where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(patience)
            control.connect(path)
            control.sendall((request + "\n").encode())
            answer = b""
            while not answer.endswith(b"\n"):
                part = control.recv(4096)
                if not part:
                    break
                answer += part
            return answer.decode(errors="replace").strip()
    except OSError:
        return None


