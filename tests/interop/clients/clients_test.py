#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The clients in Python and Node against a real gate and agent. The same must hold for both.

  clients_test.py BINARIES NODE_MODULES [unittest's own words]
"""
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from packages import build_python_client
from world import AUDIENCE, PATIENCE, READER, Process, Proxy, World, await_for

HERE = pathlib.Path(__file__).resolve().parent
BINARIES = NODE_MODULES = PYTHON_PACKAGES = ""
SAY = "/forekey.example.Echo/Say"
FRESH = """[[rule]]
methods = ["/forekey.example.Echo/*"]
any_role = ["reader"]
fresh = "call"
"""


class Driver:
    """A program that makes calls through one of the clients."""

    def __init__(self, world, command, environment):
        self.process = Process(command, environment, world.root / f"driver{len(world.processes)}.log")
        world.processes.append(self.process)
        self.process.start()
        self.answers, self.count = {}, 0
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for text in self.process.process.stdout:
                line = json.loads(text)
                self.answers.pop(line["id"]).put(line)
        except ValueError:  # closed
            pass

    def begin(self, do, **words):
        with self.lock:
            self.count += 1
            answer = self.answers[self.count] = queue.Queue()
            text = json.dumps({"id": self.count, "do": do, "timeout": PATIENCE, **words}) + "\n"
            self.process.process.stdin.write(text.encode())
            self.process.process.stdin.flush()
        return answer

    def do(self, do, **words):
        return self.begin(do, **words).get(timeout=2 * PATIENCE)


class Clients:
    """What must hold for each client."""

    sessions = ""

    @classmethod
    def setUpClass(cls):
        """One world for all: each test leaves it as it was, and looks at what came since it began."""
        cls.world = World(BINARIES, cls.sessions)
        cls.addClassCleanup(cls.world.close)
        cls.world.enroll(READER)

    def driver(self):
        raise NotImplementedError

    def setUp(self):
        self.begin_served, self.begin_audit = len(self.world.served()), len(self.world.audit())
        self.addCleanup(self.world.set_right)

    def served(self):
        return self.world.served()[self.begin_served:]

    def refusals(self):
        return [line for line in self.world.audit()[self.begin_audit:] if line.get("admitted") is False]

    def opened(self, **words):
        driver = self.driver()
        self.assert_ok(driver.do("open", gate=AUDIENCE, socket=str(self.world.socket),
                                 **{"target": f"localhost:{self.world.port}", **words}))
        return driver

    def assert_ok(self, answer):
        self.assertTrue(answer["ok"], answer)
        return answer

    def assert_error(self, answer, **expected):
        self.assertFalse(answer["ok"], answer)
        self.assertEqual({name: answer[name] for name in expected}, expected, answer)
        return answer

    def say(self, driver, text, **words):
        return driver.do("say", text=text, **words)

    def gate_is_gone(self, driver, how):
        """`how` ends or restarts it; the client has seen the end of its connection when this returns."""
        self.assert_ok(driver.do("chat_open", name="until the end"))
        self.assert_ok(driver.do("chat_send", name="until the end", text="live"))
        how()
        self.assert_error(driver.do("chat_send", name="until the end", text="lost"), code="UNAVAILABLE",
                          kind="gate-unreachable")
        self.begin_served = len(self.world.served())

    def say_at_last(self, driver, text):
        """grpcio tells its calls and its channel about a lost connection one after the other: in between, a call may find
        the old certificate's channel."""
        answers = []

        def answered():
            answers.append(self.say(driver, text))
            return answers[-1].get("kind") != "gate-unreachable"
        await_for(answered, "a call that reaches the gate")
        return answers[-1]

    # ---- What goes well ----

    def test_all_kinds_of_calls_under_one_session(self):
        driver = self.opened()
        said = self.assert_ok(self.say(driver, "one"))
        self.assertEqual((said["texts"], said["subject"]), (["one"], "ada"))
        collected = self.assert_ok(driver.do("collect", texts=["a", "b", "c"]))
        self.assertEqual(collected["texts"], ["abc"])
        repeated = self.assert_ok(driver.do("repeat", text="x", times=3))
        self.assertEqual(repeated["texts"], ["x"] * 3)
        self.assertEqual({said["session"], collected["session"], repeated["session"]}, {said["session"]})
        self.assert_ok(driver.do("chat_open", name="chat"))
        for text in ("q", "r"):
            self.assertEqual(self.assert_ok(driver.do("chat_send", name="chat", text=text))["texts"], [text])
        self.assertEqual(self.assert_ok(driver.do("chat_end", name="chat"))["texts"], [])

    def test_many_at_once_open_one_session(self):
        driver = self.opened()
        answers = [driver.begin("say", text=f"{i}") for i in range(50)]
        sessions = {self.assert_ok(answer.get(timeout=PATIENCE))["session"] for answer in answers}
        self.assertEqual(len(sessions), 1)

    def test_a_restart_of_the_gate_is_not_seen(self):
        driver = self.opened()
        session = self.assert_ok(self.say(driver, "before"))["session"]
        for do, words in (("say", {"text": "after"}), ("collect", {"texts": ["a", "f"]}),
                          ("repeat", {"text": "after", "times": 2})):
            self.gate_is_gone(driver, self.world.restart_gate)
            answer = self.assert_ok(driver.do(do, **words))
            self.assertNotEqual(answer["session"], session)
            session = answer["session"]
            self.assertEqual(self.served(), ["after"] if do == "say" else [])
        self.gate_is_gone(driver, self.world.restart_gate)
        self.assert_ok(driver.do("chat_open", name="new"))
        self.assert_ok(driver.do("chat_send", name="new", text="new"))
        self.assertEqual(self.served(), ["new"])

    def test_a_session_that_the_gate_forgot_is_replaced_within_the_call(self):
        driver = self.opened()
        first = self.assert_ok(self.say(driver, "before"))
        for do, words in (("say", {"text": "once"}), ("collect", {"texts": ["a", "b"]}),
                          ("repeat", {"text": "c", "times": 2})):
            # The connection stays, and the session goes: the first attempt of the call finds out.
            self.world.user("logout")
            answer = self.assert_ok(driver.do(do, **words))
            self.assertNotEqual(answer["session"], first["session"])
            first = answer
        self.world.user("logout")
        self.assert_ok(driver.do("chat_open", name="chat"))
        self.assert_ok(driver.do("chat_send", name="chat", text="replayed"))
        self.assertEqual(self.served(), ["before", "once", "replayed"])
        self.assertEqual({line["reason"] for line in self.refusals()}, {"session-ended"})

    def test_a_call_waits_for_a_gate_that_comes_back(self):
        driver = self.opened()
        self.assert_ok(self.say(driver, "before"))
        self.gate_is_gone(driver, lambda: self.world.gate.end(signal.SIGKILL))
        await_for(lambda: self.assert_error(self.say(driver, "did not wait"), code="UNAVAILABLE", kind="gate-unreachable")
                  ["gate_trouble"] == "NO_CONNECTION", "the reason for which there is no connection")
        answer = driver.begin("say", text="waited", wait=True)
        self.world.start_gate()
        self.assert_ok(answer.get(timeout=PATIENCE))
        self.assertEqual(self.served(), ["waited"])

    def test_another_certificate_of_the_gate_is_another_binding(self):
        driver = self.opened()
        first = self.assert_ok(self.say(driver, "before"))
        self.world.put_certificate("leaf1")
        self.gate_is_gone(driver, self.world.restart_gate)
        self.assertNotEqual(self.assert_ok(self.say_at_last(driver, "after"))["session"], first["session"])
        self.assertEqual(self.served(), ["after"])

    def test_hardware_signs_the_call_that_wants_it(self):
        driver = self.opened()
        self.assertNotEqual(self.assert_ok(self.say(driver, "by session"))["session"], "")
        self.world.set_rules(FRESH)
        for text in ("by hardware", "at once"):
            self.assertEqual(self.assert_ok(self.say(driver, text))["session"], "")
        # The second one was not tried with a session.
        self.assertEqual([line["method"] for line in self.refusals()], [SAY])
        self.assertEqual(self.assert_ok(driver.do("collect", texts=["a", "b"]))["session"], "")
        self.assert_ok(driver.do("chat_open", name="chat"))
        self.assert_ok(driver.do("chat_send", name="chat", text="streamed"))
        self.assertEqual(self.served(), ["by session", "by hardware", "at once", "streamed"])

    # ---- What is refused, and how it is told ----

    def test_a_handlers_own_unauthenticated_is_never_run_twice(self):
        driver = self.opened()
        self.assert_error(self.say(driver, "deny"), code="UNAUTHENTICATED", kind="service", reference="",
                          details="the handler's own")
        self.assertEqual(self.served(), ["deny"])

    def test_a_gate_that_was_never_enrolled_at(self):
        driver = self.driver()
        answer = self.assert_error(driver.do("open", gate="nowhere.example", socket=str(self.world.socket)),
                                   code="PERMISSION_DENIED", kind="agent-refused", reason="gate-not-enrolled")
        self.assertIn(AUDIENCE, answer["details"])
        self.assertIn("forekey enroll", answer["advice"])

    def test_no_agent(self):
        driver = self.driver()
        answer = self.assert_error(driver.do("open", gate=AUDIENCE, socket=str(self.world.root / "none.sock")),
                                   code="UNAVAILABLE", kind="agent-not-running")
        self.assertIn("start forekey-agent", answer["advice"])

    def test_an_agent_that_goes_and_comes_back(self):
        driver = self.opened()
        first = self.assert_ok(self.say(driver, "with an agent"))
        self.world.agent.end(signal.SIGKILL)
        self.assertEqual(self.assert_ok(self.say(driver, "without"))["session"], first["session"])
        self.assertEqual(self.served(), ["with an agent", "without"])
        self.gate_is_gone(driver, self.world.restart_gate)
        self.assert_error(self.say_at_last(driver, "no session"), code="UNAVAILABLE", kind="agent-not-running")
        self.world.agent.start()
        self.assert_ok(self.say(driver, "with another one"))
        self.assertEqual(self.served(), ["with another one"])

    def test_a_revoked_credential(self):
        driver = self.opened()
        self.assert_ok(self.say(driver, "before"))
        self.assert_ok(driver.do("chat_open", name="chat"))
        self.assert_ok(driver.do("chat_send", name="chat", text="live"))
        self.world.revoke()
        answer = self.assert_error(self.say(driver, "after"), code="UNAUTHENTICATED", kind="agent-refused")
        self.assertEqual(self.world.why(answer["reference"]), "credential-revoked")
        # A live call ends.
        self.assert_error(driver.do("chat_send", name="chat", text="ended"), code="CANCELLED")
        self.assertEqual(self.served(), ["before", "live"])

    def test_what_no_rule_permits(self):
        driver = self.opened()
        self.world.set_rules(self.world.rules.replace("reader", "manager"))
        answer = self.assert_error(self.say(driver, "no"), code="PERMISSION_DENIED", kind="gate-refused", step_up="")
        self.assertEqual(self.world.why(answer["reference"]), "method-not-permitted")
        self.assertIn("audit log", answer["advice"])

    def test_a_factor_that_nobody_can_give(self):
        driver = self.opened()
        self.world.set_rules(self.world.rules + 'factors = [["tpm"]]\n')
        answer = self.assert_error(self.say(driver, "no"), kind="agent-refused")
        self.assertIn("tpm", answer["details"])
        self.assertEqual(self.served(), [])

    def test_certificates_that_are_not_taken(self):
        for name, trouble in (("untrusted", "CERTIFICATE_UNTRUSTED"), ("other-name", "CERTIFICATE_FOR_OTHER_NAME")):
            self.world.put_certificate(name)
            self.world.restart_gate()
            self.assert_error(self.say(self.opened(), name), code="UNAVAILABLE", kind="gate-unreachable",
                              gate_trouble=trouble)
        self.assertEqual(self.served(), [])

    def test_what_is_no_gate(self):
        plain = Process([sys.executable, "-u", "-c", "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
                         "print(s.getsockname()[1], flush=True)\nwhile True:\n"
                         "  c, _ = s.accept()\n  c.sendall(b'220 mail\\r\\n' * 9)\n  c.close()"], {},
                        self.world.root / "plain.log")
        self.world.processes.append(plain)
        port = plain.start()
        self.assert_error(self.say(self.opened(target=f"localhost:{port}"), "mail"), code="UNAVAILABLE",
                          kind="gate-unreachable", gate_trouble="NOT_TLS")

    # ---- The binding is of the connection that is used ----

    def behind(self, ends_tls):
        proxy = Proxy(self.world, ends_tls)
        self.addCleanup(proxy.close)
        return proxy, self.opened(target=f"localhost:{proxy.port}")

    def test_a_proxy_that_lets_tls_through_is_not_seen(self):
        _, driver = self.behind(lambda _: False)
        self.assert_ok(self.say(driver, "through"))

    def test_a_proxy_that_ends_tls_gets_no_call(self):
        _, driver = self.behind(lambda _: True)
        self.assert_error(self.say(driver, "ended"), code="UNAUTHENTICATED")
        self.assertEqual({line["reason"] for line in self.refusals()}, {"channel-binding-unknown"})
        self.assertEqual(self.served(), [])

    def test_a_proxy_that_ends_tls_of_some_connections(self):
        """Who binds to the certificate of another connection than the call's would be taken in."""
        for name, ends_tls in (("even", lambda n: n % 2 == 0), ("odd", lambda n: n % 2 == 1), ("later", lambda n: n >= 1)):
            proxy, driver = self.behind(ends_tls)
            for i in range(2):
                text = f"{name}-connection-{i}"
                answer = self.say(driver, text)
                if not answer["ok"]:
                    self.assertIn(answer["code"], ("UNAUTHENTICATED", "UNAVAILABLE"), answer)
                self.assertFalse(answer["ok"] and text.encode() in proxy.read, text)
        self.assertLessEqual({line["reason"] for line in self.refusals()}, {"channel-binding-unknown"})

    # ---- Deadlines and cancellation ----

    def test_deadlines(self):
        driver = self.opened()
        self.assert_ok(self.say(driver, "before"))
        self.world.stop_gate()
        late = {"code": "DEADLINE_EXCEEDED", "kind": "deadline"}
        self.assert_error(self.say(driver, "stopped", timeout=0.5), **late)
        self.assert_ok(driver.do("chat_open", name="chat", timeout=0.5))
        self.assert_error(driver.do("chat_send", name="chat", text="stopped"), **late)
        self.world.gate.process.send_signal(signal.SIGCONT)
        self.assert_ok(self.say(driver, "goes on"))

    def test_a_deadline_while_a_token_waits_for_a_touch(self):
        self.world.user("logout")
        driver = self.opened()
        self.world.tell_token("auto-touch off")
        self.assert_error(self.say(driver, "nobody touches", timeout=0.5), code="DEADLINE_EXCEEDED", kind="deadline")
        # The opening went on: it is the next call's.
        answer = driver.begin("say", text="touched")
        self.world.await_touch_wanted()
        self.world.tell_token("touch")
        self.assert_ok(answer.get(timeout=PATIENCE))
        self.assertEqual(self.served(), ["touched"])

    def test_cancel(self):
        driver = self.opened()
        ended = {"code": "CANCELLED", "kind": "cancelled"}
        self.assert_ok(driver.do("chat_open", name="chat"))
        self.assert_ok(driver.do("chat_send", name="chat", text="live"))
        self.assert_error(driver.do("cancel", name="chat"), **ended)
        self.assert_ok(self.say(driver, "others go on"))
        self.world.stop_gate()
        waiting = driver.begin("say", text="stopped", name="unary")
        self.assert_ok(driver.do("chat_open", name="second"))  # and the one before is under way
        self.assert_error(driver.do("cancel", name="unary"), **ended)
        self.assert_error(waiting.get(timeout=PATIENCE), **ended)
        self.assert_error(driver.do("cancel", name="second"), **ended)
        self.world.gate.process.send_signal(signal.SIGCONT)
        self.assert_ok(self.say(driver, "and on"))


class PythonClient(Clients, unittest.TestCase):
    def driver(self):
        return Driver(self.world, [sys.executable, HERE / "driver.py"], {"PYTHONPATH": PYTHON_PACKAGES})

    def test_what_else_a_channel_has(self):
        done = subprocess.run([sys.executable, "-B", HERE / "python_api_test.py", AUDIENCE, self.world.socket,
                               f"localhost:{self.world.port}"], env={**os.environ, "PYTHONPATH": PYTHON_PACKAGES},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


class NodeClient(Clients, unittest.TestCase):
    def driver(self):
        return Driver(self.world, ["node", HERE / "driver.cjs"], {"NODE_PATH": NODE_MODULES})

    def test_what_else_a_channel_has(self):
        done = subprocess.run(["node", "--test", HERE / "node_api_test.cjs"], env={
            **os.environ, "NODE_PATH": NODE_MODULES, "GATE": AUDIENCE, "SOCKET": str(self.world.socket),
            "TARGET": f"localhost:{self.world.port}"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        self.assertEqual(done.returncode, 0, done.stdout)


class LiveCalls(unittest.TestCase):
    """Both clients at the same time, as sessions must end meanwhile."""

    setUpClass, setUp = classmethod(Clients.setUpClass.__func__), Clients.setUp
    assert_ok = Clients.assert_ok

    sessions = '[sessions]\nabsolute = "10s"\nidle = "10s"'

    def test_a_live_call_outlasts_its_session(self):
        self.world.set_rules(self.world.rules + "reauthenticate = true\n")
        drivers = [PythonClient.driver(self), NodeClient.driver(self)]
        for driver in drivers:
            self.assert_ok(driver.do("open", gate=AUDIENCE, socket=str(self.world.socket),
                                     target=f"localhost:{self.world.port}"))
            self.assert_ok(driver.do("chat_open", name="chat"))
            self.assert_ok(driver.do("chat_send", name="chat", text="first"))

        def proved_again():
            return [line for line in self.world.audit() if line.get("method", "").endswith("/ReauthenticateCall")]
        await_for(lambda: len(proved_again()) >= 4, "two proofs more for each call: two sessions are over")
        self.assertEqual({line["admitted"] for line in proved_again()}, {True})
        for driver in drivers:
            self.assert_ok(driver.do("chat_send", name="chat", text="outlasted"))


def main():
    global BINARIES, NODE_MODULES, PYTHON_PACKAGES
    BINARIES, NODE_MODULES = sys.argv[1:3]
    PYTHON_PACKAGES = tempfile.mkdtemp(prefix="forekey-p-")
    try:
        build_python_client(PYTHON_PACKAGES)
        unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
    finally:
        shutil.rmtree(PYTHON_PACKAGES)


if __name__ == "__main__":
    main()
