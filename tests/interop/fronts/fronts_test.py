#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Services and clients that know nothing of Forekey, behind the real nginx and HAProxy and the gate's own
proxy, and beside `forekey proxy`.

Usage: fronts_test.py BIN [unittest's arguments]
"""
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest

import grpc
import jwt

from deployment import AUDIENCE, EXAMPLES, PATIENCE, ROOT, Deployment

BINARIES = None
UNARY, NODE = "/test.Shop/Echo", "/test.Node/Echo"
CONFIG = """
[[upstream]]
name = "shop"
methods = ["/*/*"]
addresses = ["unix:{root}/shop.sock"]
[[upstream]]
name = "node"
methods = ["/test.Node/*"]
addresses = ["unix:{root}/node.sock"]
[rules]
exempt = ["/test.Shop/Free"]
"""


def stream(channel, method, messages, metadata=()):
    """A call of any kind: the answers, and the trailers. Raises grpc.RpcError."""
    call = channel.stream_stream(method)(iter(messages), metadata=metadata, timeout=PATIENCE)
    return list(call), dict(call.trailing_metadata())


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Fronts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = Deployment(BINARIES)
        cls.addClassCleanup(cls.world.close)
        cls.world.start_gate(CONFIG.format(root=cls.world.root))
        cls.world.python_service()
        cls.world.node_service()

    def refused(self, channel, method, metadata=(), messages=(b"a",)):
        with self.assertRaises(grpc.RpcError) as caught:
            stream(channel, method, messages, metadata)
        return caught.exception


class LocalProxy(Fronts):
    """`forekey proxy`: clients without a change."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        _, address = cls.world.local_proxy("local", "--gate", AUDIENCE, "--listen",
                                           "unix:" + cls.world.path("local.sock"))
        cls.channel = grpc.insecure_channel(address)
        cls.addClassCleanup(cls.channel.close)

    def test_an_unchanged_client_calls_services_that_know_who_it_is(self):
        for method in (UNARY, NODE):
            answers, trailers = stream(self.channel, method, [b"a", b"b"],
                                       (("forekey-subject", "root"), ("forekey-caller", "root"), ("x-own", "1")))
            self.assertEqual(answers, [b"a", b"b"], method)
            self.assertEqual((trailers["x-subject"], trailers["x-roles"]), ("alice", "clerk"), method)
        _, trailers = stream(self.channel, UNARY, [b"a"], (("forekey-made-up", "1"), ("x-own", "1")))
        seen = trailers["x-seen"].split(",")
        self.assertIn("x-own", seen)
        self.assertNotIn("forekey-prefix-bin", seen)
        self.assertNotIn("forekey-made-up", seen)

    def test_a_unary_call_is_one(self):
        self.assertEqual(self.channel.unary_unary(UNARY)(b"x", timeout=PATIENCE), b"x")

    def test_an_unchanged_node_client_does_so_too(self):
        script = """
          const { createRequire } = require('node:module');
          const grpc = createRequire(process.cwd() + '/')('@grpc/grpc-js');
          const client = new grpc.Client(process.argv[1], grpc.credentials.createInsecure());
          const same = (value) => value;
          client.makeUnaryRequest('/test.Shop/Echo', same, same, Buffer.from('hi'), (error, answer) => {
            if (error) { console.error(error); process.exit(1); }
            console.log(answer.toString());
            client.close();
          });"""
        done = subprocess.run(["node", "-e", script, "unix:" + self.world.path("local.sock")], capture_output=True,
                              text=True, cwd=ROOT / "build/fronts-node", timeout=PATIENCE, check=False)
        self.assertEqual(done.stdout, "hi\n", done.stderr)

    def test_a_service_takes_nobodys_word_but_the_gates(self):
        with grpc.insecure_channel("unix:" + self.world.path("shop.sock")) as direct:
            error = self.refused(direct, UNARY, (("forekey-subject", "root"),))
            self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
            self.assertIn("no token", error.details())
            forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0."
            error = self.refused(direct, UNARY, (("forekey-caller", forged),))
            self.assertIn("the gate's token", error.details())

    def test_an_exempt_method_has_no_caller_whatever_it_says(self):
        error = self.refused(self.channel, "/test.Shop/Free", (("forekey-caller", "a.b.c"),))
        self.assertIn("no token of the gate's", error.details())

    def test_a_services_own_refusal_is_run_once_and_keeps_its_words(self):
        error = self.refused(self.channel, UNARY, messages=[b"fail"])
        self.assertEqual((error.code(), error.details()),
                         (grpc.StatusCode.UNAUTHENTICATED, "the service's own"))

    def live_calls(self):
        """At the service, with the one that asks."""
        return int(stream(self.channel, UNARY, [b"a"])[1]["x-live"])

    def test_cancellation_reaches_the_service(self):
        arrived = threading.Event()

        def endless():
            yield b"a"
            arrived.wait(PATIENCE)

        call = self.channel.stream_stream(UNARY)(endless(), timeout=PATIENCE)
        self.assertEqual(next(call), b"a")
        self.assertGreaterEqual(self.live_calls(), 2)
        call.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        # The caller's half of the call never ended, so that nothing but the cancellation can have ended the service's.
        give_up = time.monotonic() + PATIENCE
        while self.live_calls() > 1:
            self.assertLess(time.monotonic(), give_up, "the service was never told")
        arrived.set()

    def test_the_gates_own_methods_are_not_for_its_clients(self):
        error = self.refused(self.channel, "/forekey.v1.Gate/WhoAmI")
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_gate_that_starts_again_is_one_call(self):
        stream(self.channel, UNARY, [b"a"])
        self.world.gate.stop()
        self.world.run_gate()
        answers, _ = stream(self.channel, UNARY, [b"again"])
        self.assertEqual(answers, [b"again"])

    def test_the_socket_is_nobody_elses(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.world.path("local.sock")).st_mode), 0o600)
        done = subprocess.run([BINARIES / "forekey", "proxy", "--socket", self.world.path("agent.sock"), "--listen",
                               "unix:" + self.world.path("local.sock")], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("already", done.stderr)
        open_folder = self.world.root / "open"
        open_folder.mkdir(exist_ok=True)
        open_folder.chmod(0o1777)  # even where nobody may remove what is another one's
        for listen, words in ((f"unix:{open_folder}/p.sock", "lets other users replace"), ("0.0.0.0:0", "must be unix"),
                              ("127.0.0.1:0", "--token-file")):
            done = subprocess.run([BINARIES / "forekey", "proxy", "--socket", self.world.path("agent.sock"), "--listen",
                                   listen], capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertNotEqual(done.returncode, 0, listen)
            self.assertIn(words, done.stderr, listen)

    def test_a_port_wants_the_token_that_only_this_user_can_read(self):
        token_file = self.world.root / "token"
        proxy, address = self.world.local_proxy("port", "--listen", "127.0.0.1:0", "--token-file", str(token_file))
        self.assertEqual(stat.S_IMODE(token_file.stat().st_mode), 0o600)
        token = token_file.read_text()
        with grpc.insecure_channel(address) as channel:
            for metadata in ((), (("forekey-proxy-token", "x"),), (("forekey-proxy-token", token),) * 2):
                error = self.refused(channel, UNARY, metadata)
                self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
                self.assertIn("forekey-proxy-token", error.details())
            _, trailers = stream(channel, UNARY, [b"a"], (("forekey-proxy-token", token),))
            self.assertEqual(trailers["x-subject"], "alice")
            self.assertNotIn("forekey-proxy-token", trailers["x-seen"])
        # One that finds the port taken leaves the other's token as it is.
        done = subprocess.run([BINARIES / "forekey", "proxy", "--socket", self.world.path("agent.sock"), "--listen",
                               address, "--token-file", token_file], capture_output=True, text=True, timeout=PATIENCE,
                              check=False)
        self.assertIn("can't listen", done.stderr)
        self.assertEqual(token_file.read_text(), token)
        # And what somebody else wrote there since stays.
        token_file.write_text("another one's")
        proxy.stop()
        self.assertEqual(token_file.read_text(), "another one's")
        again, _ = self.world.local_proxy("port", "--listen", "127.0.0.1:0", "--token-file", str(token_file))
        again.stop()
        self.assertFalse(token_file.exists())


class FrontTests:
    """What holds behind every front; `channel` and `binding` are its own."""

    def prefixed(self, method, *more):
        return (("forekey-prefix-bin", self.world.prefix(method, self.binding)), *more)

    def test_a_unary_call_and_a_stream_pass_with_the_caller(self):
        answer = self.channel.unary_unary(UNARY)(b"x", metadata=self.prefixed(UNARY), timeout=PATIENCE)
        self.assertEqual(answer, b"x")
        answers, trailers = stream(self.channel, UNARY, [b"a", b"b"], self.prefixed(
            UNARY, ("forekey-subject", "root"), ("forekey-roles", "root"), ("forekey-caller", "root"),
            ("x-forekey-secret", "guess"), ("x-forekey-path", "/test.Shop/Free"), ("x-forekey-peer", "10.1.1.1")))
        self.assertEqual(answers, [b"a", b"b"])
        self.assertEqual((trailers["x-subject"], trailers["x-roles"]), ("alice", "clerk"))
        self.assertNotIn("forekey-prefix-bin", trailers["x-seen"])
        self.assertNotIn("x-forekey-secret", trailers["x-seen"])

    def test_a_refusal_is_one_that_clients_of_grpc_understand(self):
        error = self.refused(self.channel, UNARY)
        self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED, error)
        self.assertEqual(self.world.audit(error.details())["reason"], "prefix-missing")

    def test_a_proof_is_good_once(self):
        metadata = self.prefixed(UNARY)
        stream(self.channel, UNARY, [b"a"], metadata)
        error = self.refused(self.channel, UNARY, metadata)
        self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(self.world.audit(error.details())["reason"], "sequence-replayed")

    def test_two_prefixes_are_refused_whichever_is_good(self):
        for pair in (self.prefixed(UNARY) + (("forekey-prefix-bin", b"x"),),
                     (("forekey-prefix-bin", b"x"),) + self.prefixed(UNARY)):
            error = self.refused(self.channel, UNARY, pair)
            self.assertEqual(self.world.audit(error.details())["reason"], "prefix-repeated")

    def test_a_prefix_of_another_method_or_an_odd_path_is_refused(self):
        error = self.refused(self.channel, "/test.Shop/Other", self.prefixed(UNARY))
        self.assertEqual(self.world.audit(error.details())["reason"], "mac-invalid")
        for path in ("/test.Shop/Echo?x=1", "//test.Shop/Echo", "/test.Shop/%45cho", "/test.Shop/../test.Shop/Echo",
                     "/test.Shop/Echo/"):
            error = self.refused(self.channel, path, self.prefixed(UNARY))
            self.assertNotEqual(error.code(), grpc.StatusCode.OK, path)

    def test_an_exempt_method_has_no_caller_whatever_it_says(self):
        end = time.monotonic() + PATIENCE
        while True:
            error = self.refused(self.channel, "/test.Shop/Free",
                                 (("forekey-subject", "root"), ("forekey-caller", "a.b.c")))
            # HAProxy resets what the service answers before it has read all.
            if "RST_STREAM" not in error.details() or time.monotonic() > end:
                break
        self.assertIn("no token of the gate's", error.details())

    def test_a_services_own_refusal_carries_the_word_that_it_must_not_be_tried_again(self):
        call = self.channel.stream_stream(UNARY)(iter([b"fail"]), metadata=self.prefixed(UNARY), timeout=PATIENCE)
        with self.assertRaises(grpc.RpcError):
            list(call)
        self.assertEqual(call.details(), "the service's own")
        told = dict(call.initial_metadata()) | dict(call.trailing_metadata())
        self.assertEqual(told.get("grpc-retry-pushback-ms"), "-1")


    def test_a_gate_that_does_not_answer_is_unavailable(self):
        gate = self.world.gate.process
        gate.send_signal(signal.SIGSTOP)  # its sockets are there, and take connections
        try:
            state = pathlib.Path(f"/proc/{gate.pid}/stat")
            end = time.monotonic() + PATIENCE
            while state.read_text().rpartition(")")[2].split()[0] != "T":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            error = self.refused(self.channel, UNARY)
        finally:
            gate.send_signal(signal.SIGCONT)
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error)

    def test_a_gate_that_is_down_is_unavailable(self):
        self.world.gate.stop()
        try:
            error = self.refused(self.channel, UNARY)
        finally:
            self.world.run_gate()
            self.world.run([BINARIES / "forekey", "logout"])  # from the session that this gate does not know
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error)
        stream(self.channel, UNARY, [b"a"], self.prefixed(UNARY))

    def test_a_silent_stream_lasts(self):
        """For longer than the second that the tests' nginx would give it by itself."""
        go_on, ended = threading.Event(), threading.Event()

        def messages():
            yield b"a"
            go_on.wait(PATIENCE)
            yield b"b"
        call = self.channel.stream_stream(UNARY)(messages(), metadata=self.prefixed(UNARY), timeout=PATIENCE)
        self.assertEqual(next(call), b"a")
        call.add_done_callback(lambda _: ended.set())
        self.assertFalse(ended.wait(3), call)
        go_on.set()
        self.assertEqual(list(call), [b"b"])


class Nginx(Fronts, FrontTests):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        port = free_port()
        cls.binding = world.nginx(port)
        cls.channel = connect(world, port)
        cls.addClassCleanup(cls.channel.close)

    def test_a_front_without_the_secret_gets_nobody_in(self):
        self.world.write("front-secret", "another secret of some length")
        self.world.gate.process.send_signal(signal.SIGHUP)
        try:
            self.await_admission(False)
        finally:
            self.world.write("front-secret", self.world.secret)
            self.world.gate.process.send_signal(signal.SIGHUP)
            self.await_admission(True)

    def await_admission(self, wanted):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                stream(self.channel, UNARY, [b"a"], self.prefixed(UNARY))
                admitted = True
            except grpc.RpcError:
                admitted = False
            if admitted == wanted:
                return
        self.fail("the gate did not read the secret again")


class VerdictTests:
    """What holds behind fronts that can ask for more than an HTTP 200."""

    def test_a_bare_200_of_nobody_known_admits_nobody(self):
        world = self.world
        channel = self.front(world.bare_socket(), "bare")
        try:
            error = self.refused(channel, UNARY, (("forekey-prefix-bin", b"x"),))
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error)
            self.assertNotIn("token", error.details())  # the service's words
        finally:
            channel.close()


class HaProxy(Fronts, FrontTests, VerdictTests):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        cls.binding = world.certificate("front")
        shutil.copy(world.path("front.crt"), world.path("accepted/haproxy.pem"))
        shutil.copy(world.path("gate/tls/certificate.pem"), world.path("gate-ca.pem"))
        shutil.copy(EXAMPLES / "forekey.lua", world.path("forekey.lua"))
        cls.channel = cls.front(world.front_socket(), "haproxy")
        cls.addClassCleanup(cls.channel.close)

    @classmethod
    def front(cls, asks_at, name):
        world, port = cls.world, free_port()
        text = (EXAMPLES / "haproxy.cfg").read_text()
        for there, here in (("/etc/forekey-front/", str(world.root) + "/"), ("127.0.0.1:8444", f"127.0.0.1:{port}"),
                            ("127.0.0.1:7443", f"127.0.0.1:{world.gate_port}"),
                            ("/run/shop/grpc.sock", world.path("shop.sock"))):
            assert there in text, there
            text = text.replace(there, here)
        world.start(name, ["haproxy", "-db", "-f", world.write(name + ".cfg", text)], environment={
            "FOREKEY_SECRET": world.secret, "FOREKEY_AUTHORIZE": "unix@" + asks_at})
        return connect(world, port)


class Caddy(Fronts, FrontTests, VerdictTests):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        world = cls.world
        cls.binding = world.certificate("front")
        shutil.copy(world.path("front.crt"), world.path("accepted/caddy.pem"))
        shutil.copy(world.path("gate/tls/certificate.pem"), world.path("gate-ca.pem"))
        cls.channel = cls.front(world.front_socket(), "caddy")
        cls.addClassCleanup(cls.channel.close)

    @classmethod
    def front(cls, asks_at, name):
        world, port = cls.world, free_port()
        text = (EXAMPLES / "Caddyfile").read_text()
        for there, here in (("/etc/forekey-front/", str(world.root) + "/"), ("localhost:8445", f"localhost:{port}"),
                            ("127.0.0.1:7443", f"127.0.0.1:{world.gate_port}"),
                            ("unix//run/forekey/front.sock", "unix/" + asks_at),
                            ("unix//run/shop/grpc.sock", "unix/" + world.path("shop.sock"))):
            assert there in text, there
            text = text.replace(there, here)
        world.start(name, ["caddy", "run", "--adapter", "caddyfile", "--config", world.write(name + "file", text)],
                    environment={"FOREKEY_SECRET": world.secret, "HOME": str(world.root),
                                 "XDG_DATA_HOME": str(world.root), "XDG_CONFIG_HOME": str(world.root)})
        return connect(world, port)

    def test_all_that_is_the_gates_is_taken_off(self):
        _, trailers = stream(self.channel, UNARY, [b"a"], self.prefixed(UNARY, ("forekey-made-up", "1"),
                                                                       ("forekey-verdict", "admitted"), ("x-own", "1")))
        self.assertEqual(trailers["x-subject"], "alice")
        self.assertIn("x-own", trailers["x-seen"])
        for name in ("forekey-made-up", "forekey-verdict", "forekey-prefix-bin"):
            self.assertNotIn(name, trailers["x-seen"])


def connect(world, port):
    """A channel to a front; waits until it is there."""
    credentials = grpc.ssl_channel_credentials(pathlib.Path(world.path("front.crt")).read_bytes())
    channel = grpc.secure_channel(f"localhost:{port}", credentials)
    grpc.channel_ready_future(channel).result(PATIENCE)
    return channel


class Endpoint(Fronts):
    """/authorize, asked by strangers and by fronts that have been fooled."""

    def ask(self, headers, path="/authorize", method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", self.world.front_port, timeout=PATIENCE)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def raw(self, data):
        """Everything that comes until the end, or until the server waits for more."""
        with socket.create_connection(("127.0.0.1", self.world.front_port), timeout=PATIENCE) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got = b""
            try:
                while more := connection.recv(65536):
                    got += more
            except ConnectionResetError:
                pass
            return got

    def known(self):
        return [("x-forekey-secret", self.world.secret), ("x-forekey-path", UNARY), ("x-forekey-upstream", "shop")]

    def test_who_does_not_know_the_secret_is_told_nothing(self):
        good = self.world.prefix(UNARY)
        prefix = ("forekey-prefix-bin", base64.b64encode(good).decode())
        for secret in ([], [("x-forekey-secret", "")], [("x-forekey-secret", "guess")],
                       [("x-forekey-secret", self.world.secret)] * 2):
            status, body = self.ask(secret + [("x-forekey-path", UNARY), prefix])
            self.assertEqual(status, 500)
            self.assertIn(b"secret", body)
        # The proof was not used up.
        self.assertEqual(self.ask(self.known() + [prefix])[0], 200)
        self.assertEqual(self.ask(self.known() + [prefix])[0], 401)

    def test_two_paths_are_nobodys_question(self):
        self.assertEqual(self.ask(self.known() + [("x-forekey-path", "/a.B/C")])[0], 500)
        self.assertEqual(self.ask([("x-forekey-secret", self.world.secret)])[0], 500)

    def test_the_gates_own_methods_are_not_judged_here(self):
        status, _ = self.ask([("x-forekey-secret", self.world.secret), ("x-forekey-upstream", "shop"),
                              ("x-forekey-path", "/forekey.v1.Gate/GetChallenge")])
        self.assertEqual(status, 403)

    def test_what_is_too_much_is_refused(self):
        self.assertTrue(self.raw(b"GET /authorize HTTP/1.1\r\n" + b"".join(
            b"x-%d: y\r\n" % i for i in range(10000)) + b"\r\n").startswith(b"HTTP/1.1 431"))
        self.assertTrue(self.raw(b"GET /authorize HTTP/1.1\r\n" + b"".join(
            b"x-%d: y\r\n" % i for i in range(500)) + b"\r\n").startswith(b"HTTP/1.1 431"))
        self.assertTrue(self.raw(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431"))

    def test_nothing_of_a_body_becomes_a_request(self):
        inner = b"GET /healthz HTTP/1.1\r\n\r\n"
        for head in (b"content-length: %d\r\n" % len(inner), b"transfer-encoding: chunked\r\n",
                     b"content-length: %d\r\ntransfer-encoding: chunked\r\n" % len(inner),
                     b"content-length: 0\r\ncontent-length: %d\r\n" % len(inner),
                     b"transfer-encoding: identity\r\n"):
            got = self.raw(b"POST /authorize HTTP/1.1\r\n" + head + b"\r\n" + inner)
            self.assertEqual(got.count(b"HTTP/1.1 "), 1, got)
            self.assertRegex(got, rb"^HTTP/1\.1 4\d\d", head)

    def test_half_requests_hold_up_nobody(self):
        halves = [socket.create_connection(("127.0.0.1", self.world.front_port), timeout=PATIENCE) for _ in range(100)]
        for half in halves:
            half.sendall(b"GET /authorize HTTP/1.1\r\nx-fore")
        self.assertEqual(self.ask([], "/healthz")[0], 200)
        for half in halves:
            half.close()
        # More than there is room for: those beyond are closed, and the rest is served.
        many = [socket.create_connection(("127.0.0.1", self.world.front_port), timeout=PATIENCE) for _ in range(400)]
        for one in many:
            one.close()
        for _ in range(200):
            try:
                self.assertEqual(self.ask([], "/healthz")[0], 200)
                break
            except OSError:
                pass
        else:
            self.fail("never served again")

    def test_keys_are_there_for_everybody(self):
        status, body = self.ask([], "/.well-known/jwks.json")
        self.assertEqual(status, 200)
        self.assertIn(b'"kty":"EC"', body)
        self.assertNotIn(b'"d"', body)
        self.assertEqual(self.ask([], "/.well-known/jwks.json", "DELETE")[0], 405)
        self.assertEqual(self.ask([], "/authorize/")[0], 404)

    def test_a_service_without_a_name_gets_no_token(self):
        header = ("forekey-prefix-bin", base64.b64encode(self.world.prefix(UNARY)).decode())
        self.assertEqual(self.ask(self.known()[:2] + [header])[0], 500)
        self.assertEqual(self.ask(self.known() + [header])[0], 200)  # the proof was not used up

    def test_only_get_and_post_ask(self):
        for method, status in (("GET", 401), ("POST", 401), ("PUT", 405), ("OPTIONS", 405)):
            self.assertEqual(self.ask(self.known(), method=method)[0], status, method)


class Envoy(Fronts):
    """Envoy's own protos ask; the numbers of ours are theirs."""

    def check(self, headers, path=UNARY, raw=True, secret=None, upstream="shop"):
        asked = {"path": path, "raw": raw, "upstream": upstream,
                 "headers": [[name, base64.b64encode(value).decode()] for name, value in headers]}
        done = subprocess.run(["node", pathlib.Path(__file__).with_name("envoy_check.mjs"),
                               f"127.0.0.1:{self.world.envoy_port}", self.world.secret if secret is None else secret],
                              input=json.dumps(asked), capture_output=True, text=True, timeout=PATIENCE, check=False,
                              cwd=ROOT / "build/fronts-node")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def header(self, method=UNARY):
        return ("forekey-prefix-bin", base64.b64encode(self.world.prefix(method)).rstrip(b"="))

    def test_an_admitted_call_gets_its_caller_and_loses_what_is_the_gates(self):
        for raw in (True, False):
            answer = self.check([self.header(), ("forekey-subject", b"root"), ("forekey-made-up", b"1"),
                                 ("x-own", b"1")], raw=raw)
            self.assertEqual(answer.get("status", {}).get("code", 0), 0, answer)
            ok = answer["ok_response"]
            headers = {one["header"]["key"]: one["header"]["value"] for one in ok["headers"]}
            self.assertEqual((headers["forekey-subject"], headers["forekey-roles"]), ("alice", "clerk"))
            self.assertEqual({one["append_action"] for one in ok["headers"]}, {"OVERWRITE_IF_EXISTS_OR_ADD"})
            self.assertEqual(sorted(ok["headers_to_remove"]), ["forekey-made-up", "forekey-prefix-bin"])
            self.assertEqual(ok["response_headers_to_add"][0]["header"],
                             ok["response_headers_to_add"][0]["header"] | {"key": "grpc-retry-pushback-ms",
                                                                           "value": "-1"})
            fields = answer["dynamic_metadata"]["fields"]
            self.assertEqual(fields["forekey-subject"]["stringValue"], "alice")
            self.assertNotIn("forekey-caller", fields)
            claims = jwt.decode(headers["forekey-caller"],
                                jwt.PyJWKClient(self.world.jwks()).get_signing_key_from_jwt(
                                    headers["forekey-caller"]).key,
                                algorithms=["ES256"], audience="shop", issuer=AUDIENCE)
            self.assertEqual((claims["sub"], claims["method"]), ("alice", UNARY))

    def test_a_refusal_has_a_status_and_a_reference(self):
        answer = self.check([])
        self.assertEqual(answer["status"]["code"], 16)
        self.assertEqual(answer["denied_response"]["status"]["code"], "Unauthorized")
        self.assertEqual(self.world.audit(answer["denied_response"]["body"])["reason"], "prefix-missing")
        self.assertEqual(self.world.audit(answer["status"]["message"])["peer"], "ipv4:192.0.2.7:0")

    def test_two_values_are_two_raw_or_joined(self):
        for raw in (True, False):
            answer = self.check([self.header(), ("forekey-prefix-bin", b"AAAA")], raw=raw)
            self.assertEqual(self.world.audit(answer["status"]["message"])["reason"], "prefix-repeated")

    def test_a_service_without_a_name_gets_no_token(self):
        header = self.header()
        self.assertEqual(self.check([header], upstream="")["status"]["code"], 13)
        self.assertIn("ok_response", self.check([header]))

    def test_who_is_not_envoy_is_told_nothing_and_uses_nothing_up(self):
        header = self.header()
        self.assertEqual(self.check([header], secret="guess")["error"], 16)
        self.assertIn("ok_response", self.check([header]))


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=1)
