# SPDX-License-Identifier: Apache-2.0
"""Replicas of one gate over one PostgreSQL, behind a real balancer of connections (HAProxy), with users: a simulated
token, an agent and an application for each. All of it is real programs, in a folder of their own."""
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[0] / "interop/clients"), str(HERE.parents[0] / "campaign")]
from processes import ask_control, run, spawn  # noqa: E402
from world import PATIENCE, Process, await_for  # noqa: E402

AUDIENCE = "cluster.example"
# Who needs which token. Each comes in by a port of their own, which stands for their machine's address.
USERS = {"ada": "tpm", "bob": "fido2", "dan": "fido2"}
PASSPHRASE = "of a cluster that lives for a minute\n"

BALANCER = """global
  log stderr local0 notice
  stats socket {stats} mode 600 level user
defaults
  mode tcp
  log global
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 1s
  retries 5
  option redispatch 1
frontend users
{binds}
  default_backend gates
backend gates
  balance roundrobin
  # A client stays where it is for as long as that replica is up. Here all clients have one address, so the port that
  # they come in by stands for it: elsewhere this is "type ip" and "stick on src".
  stick-table type integer size 1k
  stick on dst_port
  default-server check check-ssl verify none check-alpn h2 inter 500ms fastinter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""

CONFIG = """audience = "{audience}"
[listen]
address = "127.0.0.1:{port}"
advertise = "localhost:{public}"
drain = "2s"
[tls]
certificate = "{root}/tls.crt"
private_key = "{root}/tls.key"
ca = "{root}/ca.crt"
[state]
directory = "state"
registry = "{registry}"
[cluster]
name = "{name}"
lease = "{lease}s"
[sessions]
resumption = true
[audit]
admitted = "all"
[connections]
forged_refusals = 0
refusals = 0
per_address = 10000
per_address_burst = 100000
per_address_per_second = 100000
address_share = 100
[attestation.tpm]
simulator_trust = "{root}/trust-ada"
insecure_simulators = true
[attestation.fido2]
simulator_trust = "{root}/trust-fido2"
insecure_simulators = true
[[rule]]
methods = ["/forekey.example.Echo/*"]
any_role = ["reader"]
"""


class Replica(Process):
    """A gate with an echo service, which notes each text that it served."""

    def __init__(self, cluster, name, public):
        self.cluster, self.name, self.public, self.port = cluster, name, public, 0
        self.folder = cluster.root / name
        self.folder.mkdir(mode=0o700)
        self.config = self.folder / "gate.toml"
        super().__init__([cluster.binaries / "forekey-test-counting-server", self.config], {}, self.folder / "log")
        self.write_config()

    def write_config(self):
        self.config.write_text(CONFIG.format(audience=AUDIENCE, port=self.port, public=self.public, root=self.cluster.root,
                                             registry=self.cluster.registry(self), name=self.name, lease=self.cluster.lease))

    def start(self):
        self.port = int(super().start().split()[-1])
        self.write_config()  # which has the port now: a gate that is started again must be found

    def signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        await_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"{self.name} that stands still")

    def served(self):
        path = pathlib.Path(f"{self.config}.calls")
        return path.read_text().splitlines() if path.exists() else []

    def calls_of(self, user):
        return [text for text in self.served() if text.startswith(user + "-")]

    def audit(self):
        lines = []
        for text in (self.folder / "state/audit.jsonl").read_text(errors="replace").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:  # cut short by a kill
                pass
        return lines


class Cluster:
    def __init__(self, binaries, registry, lease=3, replicas=3):
        """`registry`: its URL, or what says it for a replica."""
        self.binaries, self.lease = pathlib.Path(binaries), lease
        self.registry = registry if callable(registry) else lambda replica: registry
        # Short: unix sockets below it have at most 107 bytes.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="forekey-k-", dir="/tmp"))
        self.processes, self.replicas, self.users = [], [], {}
        self.balancer = None
        self.listeners = {user: socket.create_server(("127.0.0.1", 0)) for user in USERS}
        self.ports = {user: one.getsockname()[1] for user, one in self.listeners.items()}
        self._make_certificates()
        self._start_tokens()
        self._start_replicas(replicas)
        self._start_balancer()

    def _openssl(self, *words):
        made = run(["openssl", *words])
        if not made.ok:
            raise RuntimeError(f"openssl {words}: {made}")

    def _make_certificates(self):
        """All replicas have one certificate: which of them a client meets is not its business."""
        at, curve = str(self.root), ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self._openssl("req", "-x509", *curve, "-days", "30", "-subj", "/CN=ca", "-keyout", at + "/ca.key", "-out",
                      at + "/ca.crt")
        (self.root / "tls.ext").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        self._openssl("req", *curve, "-subj", "/CN=localhost", "-keyout", at + "/tls.key", "-out", at + "/tls.csr")
        self._openssl("x509", "-req", "-in", at + "/tls.csr", "-CA", at + "/ca.crt", "-CAkey", at + "/ca.key", "-days", "30",
                      "-extfile", at + "/tls.ext", "-out", at + "/tls.crt")

    def _process(self, name, command, environment=None):
        process = Process([self.binaries / command[0], *command[1:]], environment or {}, self.root / f"{name}.log")
        self.processes.append(process)
        return process

    def _start_tokens(self):
        (self.root / "trust-fido2").mkdir()
        for user, kind in USERS.items():
            trust = self.root / f"trust-{user}"
            more = ["--control", self.root / f"{user}.ctl", "--auto-touch"] if kind == "fido2" else []
            token = self._process(f"token-{user}", ["forekey-sim", kind, "--state", self.root / f"token-{user}",
                                                    "--trust-out", trust, *more, "--json"])
            self.users[user] = {"kind": kind, "uri": json.loads(token.start())["uri"]}
            if kind == "fido2":
                for file in trust.iterdir():
                    shutil.copy(file, self.root / "trust-fido2" / f"{user}-{file.name}")

    def _start_replicas(self, count):
        public = self.ports[next(iter(USERS))]
        for number in range(1, count + 1):
            replica = Replica(self, f"gate-{number}", public)
            self.replicas.append(replica)
            self.processes.append(replica)
            if number > 1:  # the first made the identity; the others get it
                self.command(replica, "identity", "import", "--from", self.root / "identity.sealed")
            replica.start()
            if number == 1:
                self.command(replica, "identity", "export", "--to", self.root / "identity.sealed")

    def _start_balancer(self):
        config = self.root / "haproxy.cfg"
        config.write_text(BALANCER.format(
            stats=self.root / "haproxy.sock",
            binds="\n".join(f"  bind fd@{one.fileno()}" for one in self.listeners.values()),
            servers="\n".join(f"  server {one.name} 127.0.0.1:{one.port}" for one in self.replicas)))
        with open(self.root / "haproxy.log", "ab") as log:
            self.balancer = spawn(["haproxy", "-db", "-f", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  pass_fds=[one.fileno() for one in self.listeners.values()])

    def _balancer_says(self, replica):
        """"UP", "UP 1/2", "DOWN", ..."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(PATIENCE)
            asked.connect(str(self.root / "haproxy.sock"))
            asked.sendall(b"show stat\n")
            answer = b""
            while part := asked.recv(65536):
                answer += part
        rows = list(csv.DictReader(answer.decode().removeprefix("# ").splitlines()))
        return next(row["status"] for row in rows if row["svname"] == replica.name)

    def await_balancer(self, *replicas):
        """Until it gives connections to these: however late it looks, on a busy machine."""
        for replica in replicas or self.replicas:
            await_for(lambda one=replica: self._balancer_says(one) == "UP", f"a balancer that knows that {replica.name} is up")

    def command(self, replica, *words):
        done = subprocess.run([str(word) for word in (self.binaries / "forekey-gate", *words, "--config", replica.config)],
                              input=PASSPHRASE, capture_output=True, text=True, check=False, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"forekey-gate {words}: {done.stdout}{done.stderr}")
        return done.stdout

    def admin(self, replica, *words):
        return json.loads(self.command(replica, *words, "--json"))

    def user(self, user, *words):
        done = run([self.binaries / "forekey", *words, "--json"],
                   {"FOREKEY_AGENT_SOCKET": str(self.root / f"agent-{user}.sock")})
        if not done.ok:
            raise RuntimeError(f"forekey {words}: {done}")
        return done.json

    def enroll(self, user):
        """Starts the user's agent, enrols their token, opens a session, and starts their application."""
        facts, sock = self.users[user], self.root / f"agent-{user}.sock"
        agent = self._process(f"agent-{user}", ["forekey-agent", "--state", self.root / f"agent-{user}", "--socket", sock,
                                                "--device", facts["uri"], "--json"])
        agent.start()
        invite = self.admin(self.replicas[0], "invite", "--subject", user, "--role", "reader")["invite"]
        facts["credential"] = self.user(user, "enroll", invite, "--device", facts["uri"], "--address",
                                        f"localhost:{self.ports[user]}")["credential_id"]
        self.user(user, "login")
        facts["signatures"] = self.signatures(user)
        facts["caller"] = self._process(f"caller-{user}", ["forekey-test-caller", sock])
        facts["caller"].start()

    def signatures(self, user):
        """How often the user's security key has signed: once a touch."""
        if self.users[user]["kind"] != "fido2":
            return 0
        return json.loads(ask_control(str(self.root / f"{user}.ctl"), "status")[3:])["counter"]

    def close(self, keep=False):
        for process in reversed(self.processes):
            process.end()
        if self.balancer is not None and self.balancer.poll() is None:
            self.balancer.terminate()
            self.balancer.wait(PATIENCE)
        for one in self.listeners.values():
            one.close()
        if keep:
            print(f"kept: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)


class Load:
    """One user's application, which calls at a steady rate. A call that ended with UNAVAILABLE is made again, under
    another text, as an application does whose calls may be made twice; so it is counted whether the gate admitted one
    of them twice."""

    def __init__(self, cluster, user, per_second, deadline):
        self.user, self.per_second, self.deadline = user, per_second, deadline
        self.process = cluster.users[user]["caller"].process
        self.calls = {}  # text -> what became of it
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.over = threading.Event()
        self.count = 0
        self.threads = [threading.Thread(target=body, daemon=True) for body in (self._read, self._run)]
        for thread in self.threads:
            thread.start()

    def _say(self, text):
        with self.lock:
            self.calls[text] = {"began": time.time(), "code": None, "message": "", "again": None}
            self.process.stdin.write(f"say {text} {int(self.deadline * 1000)}\n".encode())
            self.process.stdin.flush()

    def _run(self):
        while not self.over.wait(1 / self.per_second):
            self.count += 1
            try:
                self._say(f"{self.user}-{self.count}")
            except (ValueError, OSError):  # its application was ended
                return

    def _read(self):
        try:
            for line in self.process.stdout:
                said = json.loads(line)
                if said.get("event") == "answer":
                    with self.lock:
                        self.calls[said["id"]]["text"] = said["text"]
                elif said.get("event") == "end":
                    self._ended(said["id"], said["code"], said["message"])
        except ValueError:  # closed, at the end of all
            pass

    def _ended(self, text, code, message):
        base, _, tries = text.partition("~")
        again = f"{base}~{int(tries or 0) + 1}" if code == 14 and int(tries or 0) < 40 else None
        with self.changed:
            self.calls[text].update(code=code, message=message, again=again)
            self.changed.notify_all()
        if again is not None:
            threading.Timer(0.25, self._say, [again]).start()

    def last(self, text):
        """What became of a call in the end. Called with the lock held."""
        while self.calls[text]["again"] in self.calls:
            text = self.calls[text]["again"]
        return self.calls[text]

    def await_end(self):
        self.over.set()
        self.threads[1].join()
        with self.changed:
            return self.changed.wait_for(lambda: all(
                call["code"] is not None and call["again"] in (None, *self.calls) for call in self.calls.values()),
                4 * self.deadline)

    def await_answer(self):
        """A call that begins from now on is answered."""
        with self.changed:
            since = self.count
            return self.changed.wait_for(lambda: any(
                call["code"] == 0 and int(re.search(r"-(\d+)", text)[1]) > since for text, call in self.calls.items()),
                PATIENCE)
