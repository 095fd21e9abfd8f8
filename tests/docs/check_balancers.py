#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/BALANCERS.md says to HAProxy and nginx, said to the real ones, with gRPC servers behind them that answer with
their name.

  check_balancers.py PAGE
"""
import concurrent.futures
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import grpc

PATIENCE = 60.0
WHO = "/test.Who/AmI"
AFFINITIES = [f"{number:016x}" for number in range(16)]
HAPROXY = """global
    stats socket {socket} mode 600 level admin
    ca-base {root}
defaults
    timeout connect 2s
    timeout client 1h
    timeout server 1h
"""
NGINX = """daemon off;
pid {root}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {block}
}}
"""


def await_for(holds, what):
    until = time.monotonic() + PATIENCE
    while not (got := holds()):
        if time.monotonic() > until:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.02)
    return got


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server(grpc.GenericRpcHandler):
    """A gate, to a balancer."""

    def __init__(self, name, key, certificate):
        self.name = name
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[self])
        self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
        self.server.start()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.name.encode())


class Balancers:
    def __init__(self, page):
        text = pathlib.Path(page).read_text()
        self.by_connection, self.by_call = re.findall(r"^```haproxy\n(.*?)^```", text, re.M | re.S)
        (self.nginx,) = re.findall(r"^```nginx\n(.*?)^```", text, re.M | re.S)
        # What an administrator says at HAProxy's socket.
        self.commands = re.findall(r"^(set server .*|clear table .*)$", text, re.M)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="forekey-b-", dir="/tmp"))
        self.processes = []
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                        self.root / "gate.key", "-out", self.root / "gate.crt"], check=True, capture_output=True)
        self.key, self.certificate = ((self.root / f"gate.{kind}").read_bytes() for kind in ("key", "crt"))
        (self.root / "gate.pem").write_bytes(self.key + self.certificate)
        (self.root / "gates-ca.pem").write_bytes(self.certificate)
        self.servers = [Server(name, self.key, self.certificate) for name in ("one", "two")]

    def close(self):
        for process in self.processes:
            process.terminate()
            process.wait()
        for server in self.servers:
            server.server.stop(None)
        shutil.rmtree(self.root)

    def here(self, block):
        """The page's lines with this machine's addresses and files."""
        for number, server in enumerate(self.servers, 1):
            assert f"10.0.0.{number}:8443" in block
            block = block.replace(f"10.0.0.{number}:8443", f"127.0.0.1:{server.port}")
        return re.sub(r"/etc/(nginx|haproxy)/", f"{self.root}/", block)

    def start(self, *command):
        self.processes.append(subprocess.Popen([str(word) for word in command]))

    def open(self, port):
        def opened():
            channel = grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(self.certificate),
                                          options=[("grpc.use_local_subchannel_pool", 1)])
            try:
                grpc.channel_ready_future(channel).result(timeout=1)
                return channel
            except grpc.FutureTimeoutError:
                channel.close()
                return None
        return await_for(opened, f"a balancer at {port}")

    @staticmethod
    def who(channel, affinity=None):
        return channel.unary_unary(WHO)(b"", metadata=[("forekey-affinity", affinity)] if affinity else [],
                                        timeout=PATIENCE).decode()

    def who_anew(self, port):
        with self.open(port) as channel:
            return self.who(channel)

    def say(self, line):
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(str(self.root / "haproxy.sock"))
            asked.sendall(line.encode() + b"\n")
            answer = b""
            while part := asked.recv(65536):
                answer += part
        return answer.decode().strip()

    def haproxy(self, rest):
        config, admin = self.root / f"haproxy{len(self.processes)}.cfg", self.root / "haproxy.sock"
        config.write_text(HAPROXY.format(root=self.root, socket=admin) + rest)
        self.start("haproxy", "-db", "-f", config)

    # ---- What the page says ----

    def a_gate_is_taken_out(self):
        port = free_port()
        self.haproxy(f"frontend f\n    mode tcp\n    bind 127.0.0.1:{port}\n    default_backend gates\n"
                     + self.here(self.by_connection))
        with self.open(port) as old:
            stays = self.who(old)
            assert {self.who_anew(port) for _ in range(4)} == {stays}, "a client stays at one gate"
            assert len(self.commands) == 2, self.commands
            number = {"one": 1, "two": 2}[stays]
            for line in self.commands:  # the page takes out the first gate
                said = self.say(line.replace("gates/one", f"gates/{stays}").replace("eq 1", f"eq {number}"))
                assert said == "", f"{line}: {said}"
            assert self.who(old) == stays, "its connections stay until they end"
            assert stays not in {self.who_anew(port) for _ in range(4)}, "nobody else comes to it"

    def calls_go_by_the_affinity(self, port, name):
        with self.open(port) as one, self.open(port) as other:
            places = {affinity: {self.who(channel, affinity) for channel in (one, other, one)} for affinity in AFFINITIES}
        assert all(len(at) == 1 for at in places.values()), f"{name}: {places}"
        assert len({place for at in places.values() for place in at}) == 2, f"{name} gives all calls to one gate: {places}"

    def haproxy_goes_by_the_affinity(self):
        port = free_port()
        assert "bind :443" in self.by_call
        self.haproxy(self.here(self.by_call).replace("bind :443", f"bind 127.0.0.1:{port}"))
        self.calls_go_by_the_affinity(port, "HAProxy")

    def nginx_goes_by_the_affinity(self):
        port = free_port()
        assert "listen 443" in self.nginx
        config = self.root / "nginx.conf"
        config.write_text(NGINX.format(root=self.root, block=self.here(self.nginx).replace("listen 443",
                                                                                           f"listen 127.0.0.1:{port}")))
        self.start("nginx", "-p", self.root, "-c", config)
        self.calls_go_by_the_affinity(port, "nginx")
        with self.open(port) as channel:
            assert len({self.who(channel) for _ in range(8)}) == 1, "a client without the header stays by its address"


def main():
    balancers = Balancers(sys.argv[1])
    try:
        balancers.a_gate_is_taken_out()
        balancers.haproxy_goes_by_the_affinity()
        balancers.nginx_goes_by_the_affinity()
    finally:
        balancers.close()


if __name__ == "__main__":
    main()
