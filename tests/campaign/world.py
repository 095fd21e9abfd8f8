# SPDX-License-Identifier: Apache-2.0
"""A gate, three simulated tokens, an agent and an application for each, in a folder of their own."""
import json
import os
import shutil
import signal
import subprocess
import tempfile

from processes import Clock, Program, ask_control, run
from proxy import Proxy

AUDIENCE = "campaign.example"
SUBJECTS = {"tpm": "ada", "fido2": "bob", "piv": "cyd"}
PIN = "246810"
DISK = 256 << 20  # room for the audit log of an hour, with a line for each call


class World:
    def __init__(self, binaries, report):
        self.binaries, self.report = binaries, report
        # Short: unix sockets below it have at most 107 bytes.
        self.root = tempfile.mkdtemp(prefix="forekey-c-", dir="/tmp")
        os.chmod(self.root, 0o700)
        self.disks = {}
        for name in ("gate", "agents"):
            self.disks[name] = self._make_disk(name)
        library = os.path.join(binaries, "forekey-test-clock.so")
        self.clocks = {name: Clock(f"{self.root}/clock.{name}", library) for name in self.disks}
        self.has_clocks = os.path.exists(library)
        self.calls_file = f"{self.root}/calls"
        self.proxy = Proxy()
        self.programs = {}
        self.uris, self.controls = {}, {}
        self.leaf = 0

    def path(self, name):
        return f"{self.root}/{name}"

    def program(self, name):
        return os.path.join(self.binaries, name)

    def _make_disk(self, name):
        """A small file system of its own where that is allowed; else a folder, never full."""
        folder = self.path(name)
        os.mkdir(folder, 0o700)
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "forekey-campaign", folder],
            capture_output=True, check=False).returncode == 0
        return mounted

    # ---- Tokens ----

    def start_tokens(self):
        sim = self.program("forekey-sim")
        commands = {
            "tpm": [sim, "tpm", "--state", self.path("tpm"), "--trust-out", self.path("trust-tpm"), "--json"],
            "fido2": [sim, "fido2", "--state", self.path("key"), "--trust-out", self.path("trust-fido2"),
                      "--control", self.path("key.ctl"), "--pin", PIN, "--auto-touch", "--json"],
            "piv": [sim, "piv", "--firmware", "5.7.4", "--state", self.path("card"), "--trust-out",
                    self.path("trust-piv"), "--socket", self.path("pcscd.sock"), "--control",
                    self.path("card.ctl"), "--json"],
        }
        self.controls = {"tpm": self.path("tpm/tpm.sock.sim"), "fido2": self.path("key.ctl"),
                         "piv": self.path("card.ctl")}
        for token, command in commands.items():
            self._start("token-" + token, command, {})
        for token in commands:
            program = self._await("token-" + token)
            self.uris[token] = json.loads(program.ready_line)["uri"]

    def tell_token(self, token, request):
        return ask_control(self.controls[token], request)

    def tries(self):
        """Tries of PINs that are left: nobody types one here, so they never become fewer."""
        found = {}
        for token, name in (("fido2", "pin_retries"), ("piv", "pin_tries")):
            answer = self.tell_token(token, "status")
            if answer and answer.startswith("ok {"):
                found[token] = json.loads(answer[3:])[name]
        return found

    # ---- The gate ----

    def make_certificates(self, count=4):
        """A CA and some certificates of it, good since long before any clock here is set to."""
        def openssl(*words):
            clock = Clock(self.path("clock.ca"), self.clocks["gate"].library)
            clock.step(-60 * 86400)
            made = run(["openssl", *words], clock.environment())
            if not made.ok:
                raise RuntimeError(f"openssl {words}: {made}")
        with open(self.path("leaf.ext"), "w", encoding="ascii") as extensions:
            extensions.write("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "400",
                "-subj", "/CN=Campaign CA", "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"))
        for i in range(count):
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
                    "-keyout", self.path(f"leaf{i}.key"), "-out", self.path(f"leaf{i}.csr"))
            openssl("x509", "-req", "-in", self.path(f"leaf{i}.csr"), "-CA", self.path("ca.crt"), "-CAkey",
                    self.path("ca.key"), "-set_serial", str(i + 1), "-days", "400", "-extfile", self.path("leaf.ext"),
                    "-out", self.path(f"leaf{i}.crt"))

    def put_certificate(self, number):
        self.leaf = number
        for kind in ("key", "crt"):
            self.replace_file(f"gate/tls.{kind}", open(self.path(f"leaf{number}.{kind}"), "rb").read())

    def replace_file(self, name, data):
        """As a whole, by a rename. Raises OSError where the disk is full."""
        temporary = self.path(name + ".new")
        try:
            with open(temporary, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o600)
            os.rename(temporary, self.path(name))
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def config(self, remark=""):
        return f"""# {remark}
audience = "{AUDIENCE}"
[listen]
address = "127.0.0.1:{self.proxy.target}"
advertise = "localhost:{self.proxy.port}"
drain = "2s"
[tls]
certificate = "tls.crt"
private_key = "tls.key"
ca = "{self.path('ca.crt')}"
[state]
directory = "state"
[audit]
admitted = "all"
[connections]
forged_refusals = 0
refusals = 0
per_address = 100000
per_address_burst = 100000
per_address_per_second = 100000
[limits]
address_proofs_per_second = 100000
address_proof_burst = 100000
stranger_proofs_per_second = 100000
stranger_proof_burst = 100000
[attestation.tpm]
simulator_trust = "{self.path('gate/trust-tpm')}"
insecure_simulators = true
[attestation.fido2]
simulator_trust = "{self.path('trust-fido2')}"
insecure_simulators = true
[attestation.piv]
simulator_trust = "{self.path('trust-piv')}"
insecure_simulators = true
[[rule]]
methods = ["/forekey.example.Echo/*"]
any_role = ["reader"]
"""

    def write_config(self, remark=""):
        self.replace_file("gate/gate.toml", self.config(remark).encode())

    def start_gate(self):
        self.make_certificates()
        shutil.copytree(self.path("trust-tpm"), self.path("gate/trust-tpm"))
        self.put_certificate(0)
        self.write_config()
        self._start("gate", [self.program("forekey-test-counting-server"), self.path("gate/gate.toml")],
                    {**self.clocks["gate"].environment(), "FOREKEY_TEST_CALLS": self.calls_file})
        self.proxy.target = int(self._await("gate").ready_line.split()[-1])
        self.write_config()  # which has the port now: a gate that is started again must be found

    def admin(self, *words, patience=90):
        return run([self.program("forekey-gate"), *words, "--config", self.path("gate/gate.toml"), "--json"],
                   patience=patience)

    # ---- Agents and applications ----

    def start_agents(self):
        for token in SUBJECTS:
            clock = self.clocks["agents"].environment()
            os.makedirs(self.path(f"agents/{token}"), mode=0o700, exist_ok=True)
            socket = self.path(f"agent-{token}.sock")
            self._start("agent-" + token,
                        [self.program("forekey-agent"), "--state", self.path(f"agents/{token}"), "--socket", socket,
                         "--device", self.uris[token], "--pinentry", "none", "--json"],
                        {**clock, "PCSCLITE_CSOCK_NAME": self.path("pcscd.sock")})
            self._await("agent-" + token)

    def start_callers(self):
        for token in SUBJECTS:
            self._start("caller-" + token, [self.program("forekey-test-caller"), self.path(f"agent-{token}.sock")],
                        self.clocks["agents"].environment())
            self._await("caller-" + token)

    def user(self, token, *words, patience=90):
        return run([self.program("forekey"), *words, "--json"],
                   {"FOREKEY_AGENT_SOCKET": self.path(f"agent-{token}.sock")}, patience)

    def enroll(self, token, invite):
        more = []
        if token == "piv":  # signs without a PIN: nobody is there to type one
            more = ["--slot", "9c", "--overwrite", "--pin-policy", "never", "--touch-policy", "never"]
        return self.user(token, "enroll", invite, "--device", self.uris[token], *more)

    # ---- All of them ----

    def _start(self, name, command, environment):
        program = Program(name, command, environment, self.path(name + ".log"), self.report)
        self.programs[name] = program
        program.start()

    def _await(self, name, patience=120):
        if not self.programs[name].wait_ready(patience):
            raise RuntimeError(f"{name} did not start: see {self.path(name + '.log')}")
        return self.programs[name]

    def fill(self, disk):
        """Leaves no room at all. Returns whether it could."""
        if not self.disks[disk]:
            return False
        with open(self.path(f"{disk}/ballast"), "ab", buffering=0) as ballast:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError:
                    pass
        return True

    def empty(self, disk):
        try:
            os.unlink(self.path(f"{disk}/ballast"))
        except FileNotFoundError:
            pass

    def close(self, keep):
        self.proxy.close()
        names = sorted(self.programs, key=lambda name: name.startswith("token"))  # tokens last
        for name in names:
            self.programs[name].end()
        kept = self.root if keep else None
        for disk, mounted in self.disks.items():
            if keep and mounted:
                shutil.copytree(self.path(disk), self.path(disk + ".kept"), dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns("ballast", "*.sock"))
            if mounted:
                subprocess.run(["umount", "-l", self.path(disk)], check=False)
        if not keep:
            shutil.rmtree(self.root, ignore_errors=True)
        return kept

    def stopped(self, name, on):
        self.programs[name].signal(signal.SIGSTOP if on else signal.SIGCONT)
