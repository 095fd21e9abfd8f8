# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server in a temporary folder: a unix socket, no TCP; ended by its pid. It can have a standby."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "campaign"))
from processes import spawn  # noqa: E402
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop/clients"))
from world import await_for  # noqa: E402

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")
PATIENCE = 60.0


class Link:
    """A way to a server that can be cut: a unix socket of its own, whose connections end then and are not made again."""

    def __init__(self, server, folder):
        self.server, self.folder, self.broken, self.open = server, pathlib.Path(folder), False, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self):
        return f"postgresql:///postgres?host={self.folder}&user=forekey"

    def cut(self):
        self.broken = True
        for one in self.open:
            self._end(one)

    def mend(self):
        self.broken = False

    def close(self):
        self.cut()
        self._end(self.listener)
        self.listener.close()

    @staticmethod
    def _end(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                if self.broken:
                    raise OSError
                server.connect(str(self.server.folder / ".s.PGSQL.5432"))
            except OSError:
                client.close()
                server.close()
                continue
            self.open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source, sink):
        try:
            while not self.broken and (data := source.recv(65536)):
                sink.sendall(data)
        except OSError:
            pass
        self._end(source)
        self._end(sink)


class Postgres:
    def __init__(self, primary=None):
        # In memory where there is room: the server syncs at every commit, as it does for a gate.
        room = "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 512 << 20 else "/tmp"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="forekey-pg-", dir=room))
        self.who = {}
        if os.geteuid() == 0:  # initdb and postgres refuse to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self.who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.log = self.folder / "log"
        self.process = None
        if primary is not None:
            self._run("pg_basebackup", "-D", self.folder / "data", "-R", "-c", "fast", "-d",
                      f"host={primary.folder} user=forekey dbname=postgres")
            return
        self._run("initdb", "-N", "-D", self.folder / "data", "-U", "forekey", "-E", "UTF8", "--locale=C", "--auth=trust",
                  "--wal-segsize=1")

    def _run(self, program, *words):
        subprocess.run([str(PROGRAMS / program), *map(str, words)], cwd=self.folder, check=True, capture_output=True,
                       **self.who)

    def url(self, *others):
        """Of this server, or of whichever of these takes writes."""
        return f"postgresql:///postgres?host={','.join(str(one.folder) for one in (self, *others))}&user=forekey"

    def standby(self, synchronous=True):
        """A server that follows this one, which runs: with synchronous replication, whose commits then wait for it."""
        other = Postgres(self)
        other.start()
        await_for(lambda: self.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1",
                  "a standby that streams")
        if synchronous:
            self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.sql("SELECT pg_reload_conf()")
            await_for(lambda: self.sql("SELECT sync_state FROM pg_stat_replication") == "sync", "a synchronous standby")
        return other

    def promote(self):
        self.sql("SELECT pg_promote()")

    def sql(self, statement):
        """What psql prints: a row a line."""
        done = subprocess.run([PROGRAMS / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, "-d",
                               f"postgresql:///postgres?host={self.folder}&user=forekey"], capture_output=True, text=True,
                              check=True, timeout=PATIENCE)
        return done.stdout.strip()

    def start(self):
        """Until it accepts connections. One that was killed leaves children that end by themselves: until they did, a
        new one refuses to start."""
        until = time.monotonic() + PATIENCE
        while True:
            with open(self.log, "ab") as log:
                self.process = spawn([PROGRAMS / "postgres", "-D", self.folder / "data", "-k", self.folder, "-c",
                                      "listen_addresses=", "-c", "log_statement=all", "-c", "shared_buffers=16MB"],
                                     cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.who)
            while self.process.poll() is None:
                ready = subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", self.folder], check=False)
                if ready.returncode == 0:
                    return
                if time.monotonic() > until:
                    break
                time.sleep(0.02)
            if time.monotonic() > until:
                raise RuntimeError(f"postgres does not start: {self.log.read_text()[-2000:]}")

    def stop(self, how=signal.SIGQUIT):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)

    def statements(self):
        """What was asked of it since it was made, a text each."""
        marks = ("LOG:  statement: ", "LOG:  execute ")
        return [line.split("LOG:  ", 1)[1] for line in self.log.read_text(errors="replace").splitlines()
                if any(mark in line for mark in marks)]

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
