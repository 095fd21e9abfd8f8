# SPDX-License-Identifier: Apache-2.0
"""A gate with the counting echo service, a security key in software and an agent, in a folder of their own."""
import json
import os
import pathlib
import shutil
import signal
import ssl
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/campaign"))
from processes import ask_control, run, spawn  # noqa: E402

AUDIENCE = "clients.example"
PATIENCE = 60.0
READER = "reader"
RULES = f'[[rule]]\nmethods = ["/forekey.example.Echo/*"]\nany_role = ["{READER}"]\n'


def await_for(predicate, what):
    """Until that is so; there is no event for what another process writes."""
    until = time.monotonic() + PATIENCE
    while not predicate():
        if time.monotonic() > until:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.02)


class Process:
    def __init__(self, command, environment, log):
        self.command, self.environment, self.log = [str(word) for word in command], environment, log
        self.process = None

    def start(self):
        """Returns its first line, which says that it is ready."""
        with open(self.log, "ab") as log:
            self.process = spawn(self.command, env={**os.environ, **self.environment}, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"{self.command} did not start: {pathlib.Path(self.log).read_text()}")
        return line

    def end(self, how=signal.SIGTERM):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()


class World:
    def __init__(self, binaries, sessions="", token=(), fido2="", agent=("--pinentry", "none"), environment=None):
        """`token`, `agent`: further words for them; `environment`: the agent's; `fido2`: lines of the gate's
        [attestation.fido2]."""
        self.binaries = pathlib.Path(binaries)
        # Short: unix sockets below it have at most 107 bytes.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="forekey-i-", dir="/tmp"))
        self.socket = self.root / "agent.sock"
        self.sessions, self.fido2 = sessions, fido2
        self.port = 0
        self.processes = []
        self.rules = RULES
        self.certificate = self.credential = None
        self._make_certificates()
        self.put_certificate("leaf0")
        self.token = self._process("token", ["forekey-sim", "fido2", "--state", self.root / "key", "--trust-out",
                                             self.root / "trust", "--control", self.root / "key.ctl", "--auto-touch",
                                             "--json", *token])
        self.uri = json.loads(self.token.start())["uri"]
        self.write_config()
        self.gate = self._process("gate", ["forekey-test-counting-server", self.root / "gate.toml"])
        self.start_gate()
        self.agent = self._process("agent", ["forekey-agent", "--state", self.root / "agent", "--socket", self.socket,
                                             "--device", self.uri, "--json", *agent], environment)
        self.agent.start()

    def _process(self, name, command, environment=None):
        process = Process([self.binaries / command[0], *command[1:]], environment or {}, self.root / f"{name}.log")
        self.processes.append(process)
        return process

    # ---- Certificates ----

    def _openssl(self, *words):
        made = run(["openssl", *words])
        if not made.ok:
            raise RuntimeError(f"openssl {words}: {made}")

    def _make_certificates(self):
        for ca in ("ca", "other-ca"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                          "-subj", f"/CN={ca}", "-keyout", f"{self.root}/{ca}.key", "-out", f"{self.root}/{ca}.crt")
        for name, ca, host in (("leaf0", "ca", "localhost"), ("leaf1", "ca", "localhost"), ("proxy", "ca", "localhost"),
                               ("untrusted", "other-ca", "localhost"), ("other-name", "ca", "elsewhere.example")):
            at = f"{self.root}/{name}"
            (self.root / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\n")
            self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={host}",
                          "-keyout", f"{at}.key", "-out", f"{at}.csr")
            self._openssl("x509", "-req", "-in", f"{at}.csr", "-CA", f"{self.root}/{ca}.crt", "-CAkey",
                          f"{self.root}/{ca}.key", "-days", "30", "-extfile", f"{at}.ext", "-out", f"{at}.crt")

    def put_certificate(self, name):
        self.certificate = name
        for kind in ("key", "crt"):
            shutil.copy(self.root / f"{name}.{kind}", self.root / f"tls.{kind}")

    # ---- The gate ----

    def write_config(self):
        (self.root / "gate.toml").write_text(f"""audience = "{AUDIENCE}"
[listen]
address = "127.0.0.1:{self.port}"
advertise = "localhost:{self.port or 1}"
drain = "1s"
[tls]
certificate = "tls.crt"
private_key = "tls.key"
ca = "{self.root}/ca.crt"
[state]
directory = "state"
[audit]
admitted = "all"
[connections]
refusals = 0
forged_refusals = 0
[attestation.fido2]
simulator_trust = "{self.root}/trust"
insecure_simulators = true
{self.fido2}
{self.sessions}
{self.rules}""")

    def start_gate(self):
        self.port = int(self.gate.start().split()[-1])
        self.write_config()  # which has the port now: a gate that is started again must be found

    def restart_gate(self, how=signal.SIGKILL):
        self.gate.end(how)
        self.start_gate()

    def set_rules(self, rules):
        self.rules = rules
        self.write_config()
        before = len(self.audit())
        self.gate.process.send_signal(signal.SIGHUP)
        await_for(lambda: any(line.get("detail", "").startswith("rules read again") for line in self.audit()[before:]),
                  "the gate's word that it has the new rules")

    def admin(self, *words):
        done = run([self.binaries / "forekey-gate", *words, "--config", self.root / "gate.toml", "--json"])
        if not done.ok:
            raise RuntimeError(f"forekey-gate {words}: {done}")
        return done.json

    def user(self, *words):
        done = run([self.binaries / "forekey", *words, "--json"], {"FOREKEY_AGENT_SOCKET": str(self.socket)})
        if not done.ok:
            raise RuntimeError(f"forekey {words}: {done}")
        return done.json

    def enroll(self, *roles):
        words = [word for role in roles for word in ("--role", role)]
        invite = self.admin("invite", "--subject", "ada", *words)["invite"]
        self.credential = self.user("enroll", invite, "--device", self.uri, "--address",
                                    f"localhost:{self.port}")["credential_id"]

    def revoke(self):
        self.admin("revoke", self.credential, "--note", "lost")
        self.credential = None

    def stop_gate(self):
        self.gate.process.send_signal(signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{self.gate.process.pid}/stat")
        await_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "a gate that stands still")

    def set_right(self):
        """As it was before a test."""
        self.gate.process.send_signal(signal.SIGCONT)
        self.tell_token("auto-touch on")
        if self.agent.process.poll() is not None:
            self.agent.start()
        if self.certificate != "leaf0":
            self.put_certificate("leaf0")
            self.rules = RULES
            self.restart_gate()
        elif self.gate.process.poll() is not None:
            self.start_gate()
        if self.rules != RULES:
            self.set_rules(RULES)
        if self.credential is None:
            self.user("forget", "--gate", AUDIENCE)
            self.enroll()

    def audit(self):
        path = self.root / "state/audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def why(self, reference):
        """The reason under that number."""
        def found():
            return [line for line in self.audit() if line.get("reference") == reference]
        await_for(found, f"an audit line with reference {reference!r}")
        return found()[0]["reason"]

    def served(self):
        """The texts that the handler of Say or Chat got, in their order."""
        path = self.root / "gate.toml.calls"
        return path.read_text().splitlines() if path.exists() else []

    def tell_token(self, request):
        answer = ask_control(str(self.root / "key.ctl"), request)
        if not answer or not answer.startswith("ok"):
            raise RuntimeError(f"{request}: {answer}")
        return answer

    def await_touch_wanted(self):
        await_for(lambda: '"waits_for_touch":true' in self.tell_token("status"), "a token that waits for a touch")

    def close(self):
        for process in reversed(self.processes):
            process.end()
        shutil.rmtree(self.root, ignore_errors=True)


class Proxy:
    """Sits between. Connection n (from 0) for which ends_tls(n) is true is ended here, with the proxy's own certificate
    of the same CA, and made anew to the gate; the others go through as they are."""

    def __init__(self, world, ends_tls):
        self.world, self.ends_tls = world, ends_tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.open = []
        self.read = bytearray()  # what it could read of what clients sent
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client, number):
        try:
            server = socket.create_connection(("127.0.0.1", self.world.port))
            self.open += [client, server]
            if self.ends_tls(number):
                ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                ours.load_cert_chain(self.world.root / "proxy.crt", self.world.root / "proxy.key")
                ours.set_alpn_protocols(["h2"])
                theirs = ssl.create_default_context(cafile=self.world.root / "ca.crt")
                theirs.set_alpn_protocols(["h2"])
                client = ours.wrap_socket(client, server_side=True)
                server = theirs.wrap_socket(server, server_hostname="localhost")
                self.open += [client, server]
            seen = self.read if self.ends_tls(number) else bytearray()
            for source, sink, read in ((client, server, seen), (server, client, bytearray())):
                threading.Thread(target=self._copy, args=(source, sink, read), daemon=True).start()
        except OSError:
            client.close()

    @staticmethod
    def _copy(source, sink, read):
        try:
            while data := source.recv(65536):
                read += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        for one in self.open:
            one.close()
