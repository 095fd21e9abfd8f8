# SPDX-License-Identifier: Apache-2.0
"""`client`: gates that misbehave in each way that a client must notice.

Each check has a gate of its own, with an audience of its own, at which the client is enrolled first.
"""
import collections
import socket
import threading

from . import program
from .certificates import Authority
from .model_gate import ModelGate
from .report import FAILED, PASSED, UNSUPPORTED, Finding, Report

# A call to which nothing is answered must end by its deadline.
SHORT = 1.0

Check = collections.namedtuple("Check", "name flaw run")


class Failed(Exception):
    pass


class Unsupported(Exception):
    pass


def must(condition, why):
    if not condition:
        raise Failed(why)


class Run:
    """One check: a gate, and the client."""

    def __init__(self, client, authority, number, flaw):
        self.client, self.authority, self.flaw = client, authority, flaw
        self.audience = f"check{number}.conformance.example"
        self.gate = ModelGate(self.audience, authority)

    def close(self):
        self.gate.close()

    def ask(self, do, **words):
        answer = self.client.ask({"do": do, "gate": self.audience, "timeout": self.client.patience, **words},
                                 2 * self.client.patience)
        if answer.get("unsupported") is True:
            raise Unsupported
        if not isinstance(answer.get("ok"), bool):
            raise program.Ended(f"the program's answer has no \"ok\": {answer}")
        return answer

    def enroll(self):
        return self.ask("enroll", invite=self.gate.invite.text)

    def enrolled(self):
        answer = self.enroll()
        must(answer["ok"], f"it could not be enrolled at a gate that is right: {answer.get('why')}")
        self.honest()

    def call(self, text, **words):
        return self.ask("call", text=text, **words)

    def called(self, text):
        answer = self.call(text)
        must(answer["ok"], f"a call to a gate that is right failed: {answer.get('why')}")
        must(answer.get("text") == text, f"the answer is not the gate's: {answer}")

    def honest(self):
        must(not self.gate.violations, "the client sent " + "; ".join(sorted(set(self.gate.violations))[:3]))

    def spoil(self):
        self.gate.flaw = self.flaw


def right(run):
    run.enrolled()
    for text in ("one", "two"):
        run.called(text)
    run.honest()
    must(run.gate.served == ["one", "two"], f"the service got {run.gate.served}")
    must(run.gate.count("OpenSession") == 1, f"{run.gate.count('OpenSession')} sessions were opened for two calls")


def many(run):
    run.enrolled()
    answer = run.ask("calls", count=50)
    must(answer["ok"], f"50 calls at a time failed: {answer.get('why')}")
    run.honest()
    must(len(run.gate.served) == 50, f"the service got {len(run.gate.served)} of 50 calls")


def streams(run):
    run.enrolled()
    answer = run.ask("chat", texts=["a", "b", "c"])
    must(answer["ok"] and answer.get("texts") == ["a", "b", "c"], f"a stream failed: {answer}")
    run.honest()


def refuses_enrolment(run):
    """And does not go on to what its token would prove to the wrong gate."""
    run.spoil()
    answer = run.enroll()
    must(not answer["ok"], "it was enrolled all the same")
    must(run.gate.count("BeginEnrollment") > 0, f"it did not even begin: {answer.get('why')}")
    if run.flaw.startswith("begin-"):
        must(run.gate.count("FinishEnrollment") == 0, "it went on, and sent its token's evidence")
    run.honest()


def refuses_session(run):
    """Whoever answers so does not have the session's key: no call may be made under it."""
    run.enrolled()
    run.spoil()
    answer = run.call("believed")
    opened = "OpenChildSession" if run.flaw.startswith("child-") else "OpenSession"
    if answer["ok"] and run.gate.count("OpenSession") > 0 and run.gate.count(opened) == 0:
        raise Unsupported  # a client without child sessions
    must(not answer["ok"], "the call went through")
    must(run.gate.count(opened) > 0, f"it did not even open a session: {answer.get('why')}")
    must(run.gate.count("/forekey.example.Echo/Say") == 0, "it made a call under a session that it must not believe")
    run.honest()


def refuses_replayed_answer(run):
    """The answer to an earlier opening, confirmation and all."""
    run.enrolled()
    run.spoil()
    run.called("first")
    run.gate.forget_sessions()
    answer = run.call("second")
    if answer["ok"] and run.flaw.startswith("child-") and run.gate.count("OpenChildSession") == 0:
        raise Unsupported
    must(not answer["ok"] and run.gate.served == ["first"], "the call went through")
    run.honest()


def refuses_challenge(run):
    run.enrolled()
    run.spoil()
    must(not run.call("signed")["ok"], "the call went through")
    must(run.gate.count("GetChallenge") > 0 and run.gate.count("OpenSession") == 0,
         "its token signed what is no challenge")


def comes_back(run):
    """A gate that was restarted refuses a session once, and within the call another one is opened."""
    run.enrolled()
    run.called("before")
    run.spoil()
    run.called("after")
    must(run.gate.served == ["before", "after"], f"the service got {run.gate.served}")
    run.honest()


def gives_up(run):
    run.enrolled()
    run.called("before")
    run.spoil()
    before = run.gate.count("/forekey.example.Echo/Say")
    must(not run.call("refused")["ok"], "a call that was refused each time went through")
    tries = run.gate.count("/forekey.example.Echo/Say") - before
    must(tries <= 2, f"it tried {tries} times")
    run.honest()


def does_not_repeat(run):
    """The gate said in the trailers that the call was admitted."""
    run.enrolled()
    run.spoil()
    must(not run.call("once")["ok"], "the service's own UNAUTHENTICATED was not told")
    must(run.gate.served == ["once"], f"an admitted call was made {len(run.gate.served)} times")


def ends_in_time(run):
    run.enrolled()
    run.spoil()
    answer = run.call("late", timeout=SHORT)
    if answer["ok"] and run.flaw.endswith("OpenChildSession") and run.gate.count("OpenChildSession") == 0:
        raise Unsupported
    must(not answer["ok"], "the call went through")


class Splitter:
    """Passes connections on: each to the port that `choose(number)` names."""

    def __init__(self, choose):
        self.choose, self.number = choose, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.choose(self.number)))
            except OSError:
                return
            self.number += 1
            self.ends += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self.ends.clear()

    def close(self):
        self.listener.close()
        self.cut()


def binds_to_each_connection(run):
    """Two servers of one gate, with a leaf each; each connection comes to the other one. A call may fail; a proof that is
    bound to the certificate of another connection than its own may never come."""
    other = ModelGate(run.audience, run.authority)
    for shared in ("identity", "credentials", "challenges", "used_challenges", "ended", "sessions",
                   "enrollments", "prefixes", "violations", "invite"):
        setattr(other, shared, getattr(run.gate, shared))
    splitter = Splitter(lambda number: (run.gate, other)[number % 2].port)
    try:
        run.enrolled()
        for i in range(4):
            run.call(f"{i}", target=f"localhost:{splitter.port}")
            splitter.cut()
        must(splitter.number >= 2, "it never came to the other server")
        run.honest()
    finally:
        splitter.close()
        other.close()


def refuses_leaf(run):
    """No prefix goes to who has a certificate that another CA made."""
    stranger = ModelGate(run.audience, Authority("somebody else"))
    way = Splitter(lambda _: stranger.port)
    try:
        run.enrolled()
        must(not run.call("told", target=f"localhost:{way.port}")["ok"], "the call went through")
        must(way.number > 0, "it never connected")
        must(not stranger.seen, f"it sent {stranger.seen}")
    finally:
        way.close()
        stranger.close()


def checks():
    made = [Check("a gate that is right", "", right), Check("many calls at a time", "", many),
            Check("a stream", "", streams)]
    for flaw, what in (("begin-wrong-confirmation", "a wrong confirmation of the demand"),
                       ("begin-short-confirmation", "half a confirmation of the demand"),
                       ("begin-no-confirmation", "no confirmation of the demand"),
                       ("begin-other-identity", "another identity than the invite's"),
                       ("begin-other-audience", "a demand of another audience"),
                       ("begin-other-origin", "an origin of another audience"),
                       ("begin-other-subject", "another subject than was confirmed"),
                       ("finish-wrong-confirmation", "a wrong confirmation of the credential"),
                       ("finish-other-credential", "another credential than the token's")):
        made.append(Check(f"enrolment: {what}", flaw, refuses_enrolment))
    for who, name in (("", "session"), ("child-", "child session")):
        for flaw, what in (("wrong-confirmation", "a wrong confirmation"), ("short-confirmation", "half a confirmation"),
                           ("no-confirmation", "no confirmation"), ("other-identity", "another identity's key"),
                           ("no-identity", "a key without the identity"), ("zero-share", "an all-zero share"),
                           ("other-subject", "another subject than was confirmed"),
                           ("longer", "a longer lifetime than was confirmed"),
                           ("other-window", "another window than was confirmed"),
                           ("other-next", "another next identity than was confirmed"),
                           ("other-id", "another session id than was confirmed")):
            made.append(Check(f"{name}: {what}", who + flaw, refuses_session))
    made.append(Check("session: another subject than enrolled, confirmed", "says-other-subject", refuses_session))
    made.append(Check("child session: a key without the parent's", "child-no-parent", refuses_session))
    made.append(Check("child session: the answer to an earlier opening", "child-replayed", refuses_replayed_answer))
    made.append(Check("session: the answer to an earlier opening", "replayed", refuses_replayed_answer))
    made.append(Check("session: a challenge of 63 bytes", "short-challenge", refuses_challenge))
    made += [Check("call: a session that was forgotten", "refuses-once", comes_back),
             Check("call: each proof is refused", "refuses-all", gives_up),
             Check("call: the service's own UNAUTHENTICATED", "own-unauthenticated", does_not_repeat),
             Check("certificate: another one on each connection", "", binds_to_each_connection),
             Check("certificate: of another CA", "", refuses_leaf)]
    for short in ("GetChallenge", "OpenSession", "OpenChildSession", "Say"):
        method = "/forekey.example.Echo/Say" if short == "Say" else short
        made.append(Check(f"time: {short} is never answered", f"silent-{method}", ends_in_time))
        made.append(Check(f"time: {short} is answered without end", f"endless-{short}", ends_in_time))
    return made


def check_client(client, chosen=None):
    """`client`: a program.Program, or what has its ask() and patience."""
    authority = Authority()
    findings = []
    for number, check in enumerate(checks() if chosen is None else chosen):
        run = Run(client, authority, number, check.flaw)
        try:
            check.run(run)
            findings.append(Finding(check.name, PASSED))
        except (Failed, program.Ended) as failed:
            findings.append(Finding(check.name, FAILED, str(failed)))
        except Unsupported:
            findings.append(Finding(check.name, UNSUPPORTED))
        finally:
            run.close()
    return Report("client", findings)
