# SPDX-License-Identifier: Apache-2.0
"""A gate (`forekey-gate serve`), a simulated security key, an agent, and services behind the gate, in a
folder of their own; ports are the system's choice."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples/fronts"
AUDIENCE = "fronts.example"
PATIENCE = 60


class Program:
    """A process whose first lines of output are waited for, and whose log is kept for messages."""

    def __init__(self, words, log, environment=None, cwd=None):
        self.log = pathlib.Path(log)
        with open(log, "ab") as errors:
            self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=errors,
                                            env={**os.environ, **(environment or {})}, cwd=cwd, text=True)

    def line(self):
        """Its next line; an end of the program is an error that holds its log."""
        found = []
        reader = threading.Thread(target=lambda: found.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(PATIENCE)
        if not found or not found[0]:
            raise RuntimeError(f"{self.process.args}: no line; its log: {self.log.read_text()[-2000:]}")
        return found[0].strip()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def answer_at(path, handle):
    """A unix socket where `handle` is called with each connection, on a thread of its own."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            handle(self.request)

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(path, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Deployment:
    def __init__(self, binaries):
        self.binaries = pathlib.Path(binaries)
        # Short: unix sockets below it have at most 107 bytes.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="forekey-f-", dir="/tmp"))
        self.programs, self.sockets = [], []
        self.front_port = self.envoy_port = 0
        self.secret = base64.urlsafe_b64encode(os.urandom(24)).decode()

    def path(self, name):
        return str(self.root / name)

    def run(self, words, check=True, agent="agent"):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False,
                              env={**os.environ, "FOREKEY_AGENT_SOCKET": self.path(agent + ".sock")}, timeout=PATIENCE)
        if check and done.returncode != 0:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, name, words, **options):
        program = Program(words, self.path(name + ".log"), **options)
        self.programs.append(program)
        return program

    def write(self, name, text, mode=0o600):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def certificate(self, name):
        """A certificate that vouches for itself, for localhost; the same for the same name."""
        if not os.path.exists(self.path(name + ".crt")):
            self.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                      "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                      self.path(name + ".key"), "-out", self.path(name + ".crt")])
        pem = (self.root / (name + ".crt")).read_text() + (self.root / (name + ".key")).read_text()
        self.write(name + ".pem", pem)
        der = subprocess.run(["openssl", "x509", "-in", self.path(name + ".crt"), "-outform", "DER"],
                             capture_output=True, check=True).stdout
        return hashlib.sha256(der).hexdigest()

    # ---- The gate and who is enrolled at it ----

    def start_key(self, name="key"):
        """A security key in software, which the gate that is started later trusts. Returns its URI."""
        key = self.start("sim-" + name, [self.binaries / "forekey-sim", "fido2", "--state", self.path(name), "--trust-out",
                                         self.path(name + ".trust"), "--auto-touch", "--json"])
        uri = json.loads(key.line())["uri"]
        os.makedirs(self.path("trust"), exist_ok=True)
        for file in (self.root / (name + ".trust")).iterdir():
            shutil.copy(file, self.path(f"trust/{name}-{file.name}"))
        return uri

    def start_agent(self, uri, subject="alice", name="agent", front=None):
        """The subject's agent, enrolled with that key at the gate, or at a front's host:port, by the front's certificate."""
        agent = self.start(name, [self.binaries / "forekey-agent", "--state", self.path(name), "--socket",
                                  self.path(name + ".sock"), "--device", uri, "--json"])
        agent.line()
        invite = json.loads(self.admin("invite", "--subject", subject, "--role", "clerk", "--json"))["invite"]
        words = ["--address", front, "--ca", self.path("front.crt")] if front else []
        return json.loads(self.run([self.binaries / "forekey", "enroll", invite, "--device", uri, *words, "--json"],
                                   agent=name))["credential_id"]

    def start_gate(self, config):
        uri = self.start_key()
        self.run([self.binaries / "forekey-gate", "init", "--directory", self.path("gate"), "--audience", AUDIENCE,
                  "--host", "localhost", "--listen", "127.0.0.1:0", "--json"])
        self.write("front-secret", self.secret)
        os.mkdir(self.path("accepted"))
        # What is put there later is seen within a second; who made it before needs it at once.
        if os.path.exists(self.path("front.crt")):
            shutil.copy(self.path("front.crt"), self.path("accepted/nginx.pem"))
        toml = self.root / "gate/gate.toml"
        text = toml.read_text()
        text = text.replace("[tls]\n", f"[tls]\naccepted_certificates = \"{self.path('accepted')}\"\n")
        toml.write_text(f"""{text}
[attestation.fido2]
simulator_trust = "{self.path('trust')}"
insecure_simulators = true
[connections]
forged_refusals = 0
refusals = 0
[fronts]
http = "127.0.0.1:0"
envoy = "127.0.0.1:0"
secret = "{self.path('front-secret')}"
{config}""")
        self.run_gate()
        self.credential = self.start_agent(uri)

    def run_gate(self):
        log = self.root / "gate.log"
        told_before = len(log.read_text()) if log.exists() else 0
        self.gate = self.start("gate", [self.binaries / "forekey-gate", "serve", "--config",
                                        self.path("gate/gate.toml")])
        self.gate_port = int(self.gate.line().split()[-1])
        # Whoever is started again must be found where it was.
        toml = self.root / "gate/gate.toml"
        text = toml.read_text().replace('address = "127.0.0.1:0"', f'address = "127.0.0.1:{self.gate_port}"')
        fronts = None
        end = time.monotonic() + PATIENCE
        while fronts is None and time.monotonic() < end:  # a moment after the line above
            fronts = re.search(r"over HTTP at 127.0.0.1:\d+, port (\d+); Envoy asks at 127.0.0.1:\d+, port (\d+)",
                               log.read_text()[told_before:])
        self.front_port, self.envoy_port = (int(port) for port in fronts.groups())
        text = text.replace('http = "127.0.0.1:0"', f'http = "127.0.0.1:{self.front_port}"')
        text = text.replace('envoy = "127.0.0.1:0"', f'envoy = "127.0.0.1:{self.envoy_port}"')
        toml.write_text(text)

    def front_socket(self):
        """A unix socket in front of [fronts] http, for examples that ask there; this gate's own is a port, so that a
        gate that starts again is where it was for services, too."""
        def pass_on(connection):
            try:
                to = socket.create_connection(("127.0.0.1", self.front_port), timeout=PATIENCE)
            except OSError:  # the gate is down
                return
            with to:
                back = threading.Thread(target=copy, args=(to, connection), daemon=True)
                back.start()
                copy(connection, to)
                back.join(PATIENCE)
        path = self.path("front.sock")
        self.sockets.append(answer_at(path, pass_on))
        return path

    def bare_socket(self):
        """One that admits everybody with HTTP 200, and is no gate."""
        def admit(connection):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nforekey-subject: root\r\nconnection: close\r\n\r\n")
        path = self.path("bare.sock")
        self.sockets.append(answer_at(path, admit))
        return path

    def admin(self, *words):
        return self.run([self.binaries / "forekey-gate", *words, "--config", self.path("gate/gate.toml")])

    def jwks(self):
        return f"http://127.0.0.1:{self.front_port}/.well-known/jwks.json"

    def prefix(self, method, binding=None):
        """The bytes of a prefix for one call of `method`, on a connection with that certificate."""
        words = [self.binaries / "forekey", "prefix", "--method", method]
        text = self.run(words + (["--channel-binding", binding] if binding else [])).strip()
        return base64.b64decode(text + "=" * (-len(text) % 4))

    def audit(self, message):
        """The audit log's line that a refusal's message names."""
        reference = message.split()[-1]
        for line in (self.root / "gate/state/audit.jsonl").read_text().splitlines():
            if reference in line:
                return json.loads(line)
        raise AssertionError(f"no audit line for: {message}")

    def local_proxy(self, name, *words, agent="agent"):
        proxy = self.start(name, [self.binaries / "forekey", "proxy", "--socket", self.path(agent + ".sock"), "--json",
                                  *words])
        return proxy, json.loads(proxy.line())["address"]

    def python_service(self, name="shop"):
        """Named "shop" in the gate's tokens, at a socket of that other name."""
        self.start("python-" + name, [sys.executable, EXAMPLES / "python_service.py", f"unix:{self.path(name)}.sock",
                                      "shop", AUDIENCE, self.jwks()]).line()

    def node_service(self):
        self.start("node", ["node", EXAMPLES / "node_service.mjs", "unix:" + self.path("node.sock"), "node", AUDIENCE,
                            self.jwks()], cwd=ROOT / "build/fronts-node").line()

    def nginx(self, port, service="shop"):
        """In front of that service, asking the gate: examples/fronts/nginx.conf with this folder's paths. Its
        certificate is made; returns the channel binding of those who connect to it."""
        binding = self.certificate("front")
        shutil.copy(self.path("front.crt"), self.path("accepted/nginx.pem"))
        shutil.copy(self.path("gate/tls/certificate.pem"), self.path("gate-ca.pem"))
        self.write("secret.conf", f'set $forekey_secret "{self.secret}";\n')
        text = (EXAMPLES / "nginx.conf").read_text()
        for name, here in (("/run/forekey-front/", f"{self.root}/"), ("/etc/forekey-front/", f"{self.root}/"),
                           ("127.0.0.1:8443", f"127.0.0.1:{port}"), ("127.0.0.1:7443", f"127.0.0.1:{self.gate_port}"),
                           ("/run/shop/grpc.sock", self.path(service + ".sock")),
                           ("/run/forekey/front.sock", self.front_socket())):
            assert name in text, name
            text = text.replace(name, here)
        folders = "".join(f"{name}_temp_path {self.root}/nginx-{name};\n"
                          for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        # The server's own words hold, and not what nginx does by itself after a minute.
        text = text.replace("http {\n", "http {\nclient_body_timeout 1s;\n" + folders)
        self.start("nginx", ["nginx", "-c", self.write("nginx.conf", text), "-g",
                             "daemon off;" + ("user root;" if os.geteuid() == 0 else "")])
        return binding

    def close(self):
        for server in self.sockets:
            server.shutdown()
            server.server_close()
        for program in reversed(self.programs):
            try:
                program.stop()
            except (subprocess.TimeoutExpired, OSError):
                program.process.kill()
        shutil.rmtree(self.root, ignore_errors=True)
