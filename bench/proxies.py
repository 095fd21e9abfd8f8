# SPDX-License-Identifier: Apache-2.0
"""What may stand in front of a service, as child processes, for run_proxy: `forekey-gate serve` as a proxy, and nginx,
HAProxy and Caddy, as they pass calls on and as they ask a gate about each (examples/fronts, with other paths)."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import pair  # noqa: E402

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples/fronts"
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60
STARTS = 3
SECRET = "of-a-front-in-a-bench-and-nowhere-else"  # the sockets that ask for it live for one run, in a private folder
# As forekey-bench-pair-server enrols the load: bench/grpc_pair/pair_facts.h.
AUDIENCE = "pair.bench"
# All callers come from one address, as they do behind a front: docs/OPERATIONS.md.
GATE = """audience = "{audience}"
[listen]
address = "127.0.0.1:0"
[tls]
certificate = "{folder}/cert.pem"
private_key = "{folder}/key.pem"
[state]
directory = "{folder}/state"
[connections]
per_address = 10000
address_share = 100
forged_refusals = 0
refusals = 0
[[upstream]]
name = "shop"
methods = ["/*/*"]
addresses = ["unix:{socket}"]
[fronts]
http = "unix:{folder}/front.sock"
secret = "{folder}/secret"
"""
# Passing on alone, each in the way that costs it least: one worker, and connections to the service that are kept.
NGINX = """worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/errors;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  upstream service {{ server unix:{socket}; keepalive 16; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {folder}/front.crt;
    ssl_certificate_key {folder}/front.key;
    client_max_body_size 0;
    keepalive_requests 100000000;
    location / {{ grpc_pass grpc://service; }}
  }}
}}
"""
HAPROXY = """defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen front
  bind 127.0.0.1:{port} ssl crt {folder}/front.pem alpn h2
  server service unix@{socket} proto h2
"""
CADDY = """{{
	auto_https off
	admin off
}}
https://localhost:{port} {{
	tls {folder}/front.crt {folder}/front.key
	reverse_proxy unix/{socket} {{
		transport http {{
			versions h2c
		}}
	}}
}}
"""
PLAIN = {"nginx": NGINX, "haproxy": HAPROXY, "caddy": CADDY}
ASKING = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}


def cpu_us(pids):
    """User and system time of processes so far."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 // TICKS


def resident(pids):
    """Bytes of memory that processes have in use."""
    kib = 0
    for pid in pids:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        kib += int(re.search(r"^VmRSS:\s+(\d+)", status, re.M).group(1))
    return kib * 1024


class InFront(pair.Loaded):
    """One that callers connect to, in a folder of its own. What it asks or passes calls on to has its own object."""

    def __init__(self, bin_dir, name, kind):
        self.bin, self.name, self.kind = bin_dir, name, kind
        # Short: unix sockets below it have at most 107 bytes.
        self.folder = tempfile.TemporaryDirectory(prefix="forekey-p-", dir="/tmp")
        self.directory = self.folder.name
        self.errors = self.path("errors")
        self.process = None

    def __str__(self):
        return self.name

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        path = pathlib.Path(self.path(name))
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    def running(self):
        return self.process.poll() is None

    def pids(self):
        """With its children: an nginx has a master, which does nothing, and a worker."""
        pid = self.process.pid
        return [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def spawn(self, words, **environment):
        with open(self.errors, "a", encoding="utf-8") as errors:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                            text=True, env={**os.environ, **environment})

    def stop(self):
        if self.process is not None and self.running():
            self.process.terminate()
            try:
                self.process.wait(timeout=pair.END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()


class GatesProxy(InFront):
    """`forekey-gate serve`, at which the load is enrolled; fronts may ask it, too."""

    def __init__(self, bin_dir, service):
        super().__init__(bin_dir, "forekey-gate serve", "gated")
        try:
            self.enrol()
            self.write("gate.toml", GATE.format(audience=AUDIENCE, folder=self.directory, socket=service))
            self.write("secret", SECRET)
            self.spawn([os.path.join(bin_dir, "forekey-gate"), "serve", "--config", self.path("gate.toml")])
            said = self.process.stdout.readline().split()
            if not said:
                raise self.failure("did not start")
            self.port = int(said[-1])
            facts = json.loads(pathlib.Path(self.path("facts.json")).read_text(encoding="utf-8"))
            self.write("facts.json", json.dumps({**facts, "port": self.port}))
        except BaseException:
            self.stop()
            raise

    def enrol(self):
        """A server of the pair leaves certificate, identity, registry and what the load has to know."""
        with open(self.errors, "a", encoding="utf-8") as errors:
            done = subprocess.run([os.path.join(self.bin, "forekey-bench-pair-server"), "--directory", self.directory,
                                   "--gated"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                  check=False, timeout=START_SECONDS)
        if done.returncode != 0:
            raise self.failure("could not be prepared")


class Front(InFront):
    """nginx, haproxy or caddy. Passes calls on to the service, or asks the gate about each before it does. Either way
    it shows the gate's certificate, by which the load knows it."""

    def __init__(self, bin_dir, program, service, gate, asks):
        super().__init__(bin_dir, f"{program}, asks" if asks else program, "gated" if asks else "plain")
        self.program, self.service, self.gate, self.asks = program, service, gate, asks
        try:
            for _ in range(STARTS):  # a port that was free may be another one's by then
                if self.start():
                    return
            raise self.failure("did not start")
        except BaseException:
            self.stop()
            raise

    def command(self, *words):
        return super().command(*words, *(["localhost"] if self.program == "caddy" else []))  # which serves by name

    def start(self):
        certificate, key = (pathlib.Path(self.gate.path(name)).read_text() for name in ("cert.pem", "key.pem"))
        for name, text in (("front.crt", certificate), ("front.key", key), ("front.pem", certificate + key),
                           ("gate-ca.pem", certificate), ("secret.conf", f'set $forekey_secret "{SECRET}";\n')):
            self.write(name, text)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        facts = json.loads(pathlib.Path(self.gate.path("facts.json")).read_text(encoding="utf-8"))
        self.write("facts.json", json.dumps({**facts, "port": self.port}))
        text = self.asking() if self.asks else \
            PLAIN[self.program].format(folder=self.directory, port=self.port, socket=self.service)
        self.spawn(self.words(self.write("config", self.with_room(text))), FOREKEY_SECRET=SECRET, HOME=self.directory,
                   FOREKEY_AUTHORIZE="unix@" + self.gate.path("front.sock"), XDG_DATA_HOME=self.directory,
                   XDG_CONFIG_HOME=self.directory)
        end = time.monotonic() + START_SECONDS
        while self.running() and time.monotonic() < end:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.05)
        return False

    def words(self, config):
        return {"nginx": ["nginx", "-e", self.errors, "-c", config, "-g",
                          "daemon off;" + ("user root;" if os.geteuid() == 0 else "")],
                "haproxy": ["haproxy", "-db", "-f", config],
                "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", config]}[self.program]

    def asking(self):
        """The example, with this folder's paths."""
        text = (EXAMPLES / ASKING[self.program]).read_text(encoding="utf-8")
        shutil.copy(EXAMPLES / "forekey.lua", self.directory)
        for there, here in (("/run/forekey-front/error.log", self.errors), ("/run/forekey-front/", self.path("")),
                            ("/etc/forekey-front/", self.path("")), ("127.0.0.1:8443", f"127.0.0.1:{self.port}"),
                            ("127.0.0.1:8444", f"127.0.0.1:{self.port}"), ("localhost:8445", f"localhost:{self.port}"),
                            ("127.0.0.1:7443", f"127.0.0.1:{self.gate.port}"),
                            ("/run/shop/grpc.sock", self.service),
                            ("/run/forekey/front.sock", self.gate.path("front.sock"))):
            text = text.replace(there, here)
        if "forekey-front" in text.replace(self.directory, "") or "/run/" in text:
            raise pair.Failed(f"{ASKING[self.program]} names a path that this bench does not know")
        return text

    def with_room(self, text):
        """For a thousand streams, each of which is a connection of nginx's to the service."""
        folders = "".join(f"  {name}_temp_path {self.path(name)};\n"
                          for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = text.replace("worker_connections 1024", "worker_connections 8192")
        return text.replace("\nhttp {\n", "\nhttp {\n" + folders)
