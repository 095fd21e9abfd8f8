# SPDX-License-Identifier: Apache-2.0
"""What a Python program may do with the channel besides calling stubs, as docs/CLIENTS.md says. Run by clients_test.py's
PythonApi, with AUDIENCE, SOCKET and TARGET as arguments, and the built packages on PYTHONPATH."""
import concurrent.futures
import gc
import inspect
import sys
import threading
import time
import types
import unittest

import echo_pb2
import grpc

import forekey
from forekey import _agent, _call, _channel, _connection, _live, _waiting

AUDIENCE, SOCKET, TARGET = sys.argv[1:4]
ECHO = "/forekey.example.Echo/"
TIMEOUT = 60.0


def method(channel, kind, name):
    return getattr(channel, kind)(ECHO + name, request_serializer=echo_pb2.EchoRequest.SerializeToString,
                                  response_deserializer=echo_pb2.EchoResponse.FromString)


class Seen(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    def __init__(self):
        self.methods = []

    def intercept_unary_unary(self, continuation, details, request):
        self.methods.append(details.method)
        return continuation(details, request)

    def intercept_stream_stream(self, continuation, details, requests):
        self.methods.append(details.method)
        return continuation(details, requests)


class PythonApi(unittest.TestCase):
    def setUp(self):
        self.channel = forekey.channel(AUDIENCE, agent_socket=SOCKET, target=TARGET)
        self.addCleanup(self.channel.close)
        self.say = method(self.channel, "unary_unary", "Say")
        self.collect = method(self.channel, "stream_unary", "Collect")

    def test_is_a_grpc_channel_with_types(self):
        self.assertIsInstance(self.channel, grpc.Channel)
        self.assertIn("gate", inspect.signature(forekey.channel).parameters)

    def test_with_call_has_the_metadata(self):
        answer, call = self.say.with_call(echo_pb2.EchoRequest(text="x"), timeout=TIMEOUT)
        self.assertEqual((answer.text, call.code()), ("x", grpc.StatusCode.OK))

    def test_futures(self):
        call = self.say.future(echo_pb2.EchoRequest(text="x"), timeout=TIMEOUT)
        ended = threading.Event()
        call.add_done_callback(lambda done: ended.set())
        self.assertEqual(call.result(TIMEOUT).text, "x")
        self.assertTrue(ended.wait(TIMEOUT))
        self.assertTrue(call.done())
        self.assertIsNone(call.exception())
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_a_future_that_fails_has_the_error(self):
        call = self.say.future(echo_pb2.EchoRequest(text="deny"), timeout=TIMEOUT)
        error = call.exception(TIMEOUT)
        self.assertIsInstance(error, forekey.Error)
        self.assertEqual((error.kind, error.code()), (forekey.Kind.SERVICE, grpc.StatusCode.UNAUTHENTICATED))

    def test_interceptors_of_the_application(self):
        seen = Seen()
        channel = grpc.intercept_channel(self.channel, seen)
        self.assertEqual(method(channel, "unary_unary", "Say")(echo_pb2.EchoRequest(text="x"), timeout=TIMEOUT).text, "x")
        answers = method(channel, "stream_stream", "Chat")(iter([echo_pb2.EchoRequest(text="y")]), timeout=TIMEOUT)
        self.assertEqual([answer.text for answer in answers], ["y"])
        self.assertEqual(seen.methods, [ECHO + "Say", ECHO + "Chat"])

    def test_an_error_is_a_grpc_error(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.say(echo_pb2.EchoRequest(text="deny"), timeout=TIMEOUT)
        self.assertEqual(raised.exception.details(), "the handler's own")
        self.assertIn("UNAUTHENTICATED: the handler's own", str(raised.exception))

    def test_more_than_is_kept_for_a_second_attempt(self):
        text = "m" * (1 << 20)
        requests = (echo_pb2.EchoRequest(text=text[:1 << 19]) for _ in range(4))
        self.assertEqual(len(self.collect(requests, timeout=TIMEOUT).text), 4 << 19)

    def test_from_many_threads(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            texts = list(pool.map(lambda i: self.say(echo_pb2.EchoRequest(text=f"{i}"), timeout=TIMEOUT).text, range(200)))
        self.assertEqual(texts, [f"{i}" for i in range(200)])

    def test_what_cannot_be_serialized_is_told(self):
        with self.assertRaises(forekey.Error) as raised:
            self.say("no message", timeout=TIMEOUT)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INTERNAL)

    def test_a_closed_channel_makes_no_calls(self):
        with forekey.channel(AUDIENCE, agent_socket=SOCKET, target=TARGET) as channel:
            say = method(channel, "unary_unary", "Say")
            say(echo_pb2.EchoRequest(text="x"), timeout=TIMEOUT)
        with self.assertRaises(forekey.Error) as raised:
            say(echo_pb2.EchoRequest(text="x"), timeout=TIMEOUT)
        self.assertEqual(raised.exception.kind, forekey.Kind.CANCELLED)


class Replay(unittest.TestCase):
    """Of the messages of a stream, for one attempt and the next."""

    def replay(self, messages):
        return _call.Replay(iter(messages), lambda message: message)

    def test_gives_each_attempt_all(self):
        replay = self.replay([b"a", b"b", b"c"])
        first = replay.reader()
        self.assertEqual([next(first), next(first)], [b"a", b"b"])
        self.assertTrue(replay.may_replay())
        self.assertEqual(list(replay.reader()), [b"a", b"b", b"c"])

    def test_keeps_what_an_attempt_that_is_over_got(self):
        asked, given = threading.Event(), threading.Event()

        def messages():
            yield b"a"
            asked.set()
            given.wait(TIMEOUT)
            yield b"b"
        replay = self.replay(messages())
        first = replay.reader()
        next(first)
        waits = threading.Thread(target=next, args=(first, None))
        waits.start()
        self.assertTrue(asked.wait(TIMEOUT))
        second = replay.reader()
        self.assertEqual(next(second), b"a")
        given.set()
        self.assertEqual(list(second), [b"b"])
        waits.join()

    def test_an_attempt_that_is_over_takes_nothing_away(self):
        asked, given = threading.Event(), threading.Event()

        def messages():
            yield b"a"
            asked.set()
            given.wait(TIMEOUT)
            yield from (b"b", b"c")
        replay = self.replay(messages())
        first = replay.reader()
        next(first)
        waits = threading.Thread(target=list, args=(first,))
        waits.start()
        self.assertTrue(asked.wait(TIMEOUT))
        second = replay.reader()
        self.assertEqual(next(second), b"a")
        replay.commit()  # by the second attempt
        given.set()
        waits.join()
        self.assertEqual(list(second), [b"b", b"c"])

    def test_keeps_nothing_once_the_call_was_admitted(self):
        replay = self.replay([b"a", b"b", b"c"])
        reader = replay.reader()
        next(reader)
        replay.commit()
        self.assertEqual(list(reader), [b"b", b"c"])
        self.assertFalse(replay.may_replay())
        self.assertEqual(replay._size, 0)

    def test_keeps_no_more_than_it_may(self):
        replay = self.replay([bytes(_call.MOST_KEPT // 2)] * 5)
        self.assertEqual(sum(map(len, replay.reader())), _call.MOST_KEPT // 2 * 5)
        self.assertFalse(replay.may_replay())
        self.assertLessEqual(replay._size, _call.MOST_KEPT)


class Connected:
    """Channel, sessions and connection in one, without a gate."""
    binding, live, closed = b"", None, False

    def __init__(self, channel):
        self.channel, self.sessions, self.waiters = channel, self, _waiting.Waiters()
        self.agent = lambda waiter: None  # what happens while it is asked for the second proof

    def connected(self, waiter, wait_for_ready):
        return self

    def prefix_for(self, binding, method, waiter):
        return None, 0, b"first"

    def prefix_after(self, session, binding, method, waiter):
        self.agent(waiter)
        return None, 0, b"second"


class Attempts(unittest.TestCase):
    """Whether a call is made a second time, by what the first attempt was answered."""

    def setUp(self):
        self.prefixes = []
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((self,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.addCleanup(channel.close)
        self.connected = Connected(channel)
        self.admitted, self.ended = threading.Event(), threading.Event()

    def service(self, details):
        def hold(context):
            context.add_callback(self.ended.set)
            self.admitted.set()
            self.ended.wait(TIMEOUT)

        def refuse(_, context):
            self.prefixes.append(dict(context.invocation_metadata())["forekey-prefix-bin"])
            if details.method == "/a.B/RefusedOnce" and self.prefixes[-1] == b"second":
                self.admitted.set()
                return b""
            if details.method == "/a.B/Held" or details.method == "/a.B/HeldOnce" and self.prefixes[-1] == b"second":
                hold(context)
            if details.method == "/a.B/Admitted":  # as a front tells it, that has no trailers to add to
                context.send_initial_metadata((("x-of-a-front", "1"),))
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
        return {"Stream": grpc.stream_stream_rpc_method_handler,
                "Unary": grpc.unary_unary_rpc_method_handler}[dict(details.invocation_metadata)["kind"]](refuse)

    def calls(self, method):
        """One of each way to make a call, until it has failed."""
        def options(kind):
            return {"timeout": TIMEOUT, "metadata": (("kind", kind),)}
        unary = _call.UnaryUnary(self.connected, "unary_unary", method, None, None)
        stream = _call.StreamStream(self.connected, "stream_stream", method, None, None)
        yield lambda: unary(b"x", **options("Unary"))
        yield lambda: unary.future(b"x", **options("Unary")).result()
        yield lambda: list(stream(iter([b"x"]), **options("Stream")))

    def test_what_was_admitted_is_not_made_again(self):
        for call in self.calls("/a.B/Admitted"):
            self.prefixes.clear()
            self.assertRaises(forekey.Error, call)
            self.assertEqual(self.prefixes, [b"first"])

    def test_what_was_refused_is_made_once_more(self):
        for call in self.calls("/a.B/Refused"):
            self.prefixes.clear()
            self.assertRaises(forekey.Error, call)
            self.assertEqual(self.prefixes, [b"first", b"second"])

    def future(self, method, timeout=TIMEOUT):
        unary = _call.UnaryUnary(self.connected, "unary_unary", method, None, None)
        return unary.future(b"x", timeout=timeout, metadata=(("kind", "Unary"),))

    def stream(self, method):
        stream = _call.StreamStream(self.connected, "stream_stream", method, None, None)
        return stream(iter([b"x"]), timeout=TIMEOUT, metadata=(("kind", "Stream"),))

    def await_done(self, call):
        until = time.monotonic() + TIMEOUT
        while not call.done():
            self.assertLess(time.monotonic(), until, "a call that is never done")
            time.sleep(0.01)

    def test_a_call_that_was_refused_goes_on_though_nobody_asks_for_its_answer(self):
        call = self.future("/a.B/RefusedOnce")
        self.await_done(call)
        self.assertEqual(self.prefixes, [b"first", b"second"])
        self.assertEqual((call.code(), call.result()), (grpc.StatusCode.OK, b""))

    def test_a_call_is_not_done_while_it_waits_for_another_proof(self):
        asked, answer = threading.Event(), threading.Event()
        self.connected.agent = lambda _: (asked.set(), answer.wait(TIMEOUT))
        call = self.future("/a.B/RefusedOnce")
        self.assertTrue(asked.wait(TIMEOUT))
        self.assertFalse(call.done())
        self.assertTrue(call.is_active())
        answer.set()
        self.await_done(call)
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_a_call_whose_deadline_passes_while_it_waits_for_another_proof_is_done(self):
        never = concurrent.futures.Future()
        self.connected.agent = lambda waiter: waiter.result(never, "the agent")
        call = self.future("/a.B/RefusedOnce", 1.0)
        self.await_done(call)
        self.assertEqual(call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_refused_stream_of_which_too_much_was_sent_is_done(self):
        self.addCleanup(setattr, _call, "MOST_KEPT", _call.MOST_KEPT)
        _call.MOST_KEPT = 0
        call = self.stream("/a.B/Refused")
        self.assertEqual(call.code(), grpc.StatusCode.UNAUTHENTICATED)
        self.await_done(call)

    def test_a_call_that_is_dropped_ends(self):
        for method in ("/a.B/Held", "/a.B/HeldOnce"):
            self.admitted.clear()
            self.ended.clear()
            call = self.stream(method)
            self.assertTrue(self.admitted.wait(TIMEOUT))
            del call
            gc.collect()
            self.assertTrue(self.ended.wait(TIMEOUT), method)

    def test_a_cancel_while_the_second_attempt_begins_is_not_lost(self):
        calls = []
        known = threading.Event()
        def cancel(_):
            known.wait(TIMEOUT)
            calls[0].cancel()
        self.connected.agent = cancel
        calls.append(self.future("/a.B/HeldOnce"))
        known.set()
        self.await_done(calls[0])
        self.assertEqual(calls[0].code(), grpc.StatusCode.CANCELLED)
        self.assertTrue(calls[0].cancelled())

    def test_a_callback_comes_where_the_channel_is_closed_before_the_second_attempt(self):
        asked, answer, called = threading.Event(), threading.Event(), threading.Event()
        self.connected.agent = lambda _: (asked.set(), answer.wait(TIMEOUT))
        call = self.future("/a.B/Refused")
        call.add_done_callback(lambda _: called.set())
        self.assertTrue(asked.wait(TIMEOUT))
        self.connected.closed = True
        self.connected.channel.close()
        answer.set()
        self.assertTrue(called.wait(TIMEOUT))
        self.assertEqual((call.exception().kind, call.done()), (forekey.Kind.CANCELLED, True))

    def test_a_blocking_call_whose_channel_is_closed_before_it_begins(self):
        self.connected.closed = True
        self.connected.channel.close()
        unary = _call.UnaryUnary(self.connected, "unary_unary", "/a.B/Refused", None, None)
        with self.assertRaises(forekey.Error) as raised:
            unary(b"x", timeout=TIMEOUT)
        self.assertEqual(raised.exception.kind, forekey.Kind.CANCELLED)

    def test_waiting_calls_end_together(self):
        never, asked = concurrent.futures.Future(), threading.Event()
        self.connected.agent = lambda waiter: (asked.set(), waiter.result(never, "the agent"))
        call = self.future("/a.B/Refused")
        self.assertTrue(asked.wait(TIMEOUT))
        self.connected.waiters.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)


class LiveCalls(unittest.TestCase):
    def test_a_new_call_is_not_put_off_for_one_that_is_gone(self):
        class Call:
            def __init__(self):
                self.attempts, self.not_before = types.SimpleNamespace(session=types.SimpleNamespace(ages_at=7)), 0

            def done(self):
                return False

        live = _live.LiveCalls(None)
        live._running = True  # without a thread
        gone = Call()
        live.add(gone)
        live._later(gone, 10.0**9)
        at = id(gone)
        del gone
        others = [Call()]
        while id(others[-1]) != at and len(others) < 1000:
            others.append(Call())
        live.add(others[-1])
        self.assertEqual(live._due(others[-1]), 7)


class SlowTarget(_connection.Target):
    """The gate's, whose handshake is answered when the test says so."""

    def __init__(self):
        super().__init__(TARGET, _agent.Agent(SOCKET).gate(AUDIENCE).ca_pem, "")
        self.handshakes, self.asked, self.answer = 0, threading.Event(), threading.Event()

    def fetch_leaf(self, timeout):
        self.handshakes += 1
        self.asked.set()
        if not self.answer.wait(timeout):
            raise self.unreachable("NO_ANSWER", "no answer in time")
        return super().fetch_leaf(timeout)


class Connecting(unittest.TestCase):
    def setUp(self):
        self.target = SlowTarget()
        self.connector = _connection.Connector(self.target, ())
        self.addCleanup(self.target.answer.set)
        self.addCleanup(self.connector.close)

    def test_a_connection_outlasts_who_waited_for_it_first(self):
        with self.assertRaises(forekey.Error) as raised:
            self.connector.connected(_waiting.Waiter(0.01), False)
        self.assertEqual(raised.exception.kind, forekey.Kind.DEADLINE)
        self.target.answer.set()
        self.assertTrue(self.connector.connected(_waiting.Waiter(TIMEOUT), False).ready)
        self.assertEqual(self.target.handshakes, 1)

    def test_a_connection_that_is_made_while_the_channel_closes_is_closed(self):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            connected = pool.submit(self.connector.connected, _waiting.Waiter(TIMEOUT), False)
            self.assertTrue(self.target.asked.wait(TIMEOUT))
            self.connector.close()
            self.target.answer.set()
            self.assertEqual(connected.exception().kind, forekey.Kind.CANCELLED)

    def test_a_call_that_waits_for_a_connection_ends_with_its_channel(self):
        channel = _channel.GatedChannel(self.connector, None)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            said = pool.submit(method(channel, "unary_unary", "Say"), echo_pb2.EchoRequest(text="x"), timeout=TIMEOUT)
            self.assertTrue(self.target.asked.wait(TIMEOUT))
            channel.close()
            self.assertEqual(said.exception().kind, forekey.Kind.CANCELLED)


unittest.main(argv=sys.argv[:1] + sys.argv[4:])
