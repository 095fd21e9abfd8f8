# SPDX-License-Identifier: Apache-2.0
"""`gate`: a client that shows a live gate proofs that it must admit, and proofs that it must refuse.

An agent that is enrolled there makes the proofs that hardware must make, and opens the sessions.
"""
import collections
import json
import os
import pathlib
import random
import re
import socket
import ssl
import time

import grpc

from . import wire
from .report import FAILED, PASSED, Finding, Report

Check = collections.namedtuple("Check", "name run")
Answer = collections.namedtuple("Answer", "code details admitted reference")
REFUSED = re.compile(r"forekey: (?:refused|step-up [^ ,]+), reference ([0-9a-f]{16})")
PATIENCE = 20.0
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
CHALLENGE_CALL, CHALLENGE_ENROLL = 1, 2


class Failed(Exception):
    pass


def must(condition, why):
    if not condition:
        raise Failed(why)


class Agent:
    def __init__(self, path, audience):
        self.audience = audience
        self.channel = grpc.insecure_channel(f"unix:{os.path.abspath(path)}")
        gates = [wire.fields_of(gate) for gate in wire.fields_of(self._ask("GetStatus", b"")).get(2, [])]
        self.record = next((gate for gate in gates if wire.get(gate, 1).decode() == audience), None)
        if self.record is None:
            raise ValueError(f"the agent is not enrolled at {audience}")

    def _ask(self, method, request):
        return self.channel.unary_unary(f"/forekey.v1.Agent/{method}")(request, timeout=PATIENCE)

    def open_session(self, binding):
        return wire.fields_of(self._ask("OpenSession", wire.message((1, self.audience), (2, binding))))

    def device_proof(self, method, binding):
        answer = self._ask("GetPrefix", wire.message((1, self.audience), (2, method), (3, binding), (4, 1)))
        return wire.parse_prefix(wire.get(wire.fields_of(answer), 1))


def serialized(proof):
    """A device proof as it is now."""
    return wire.message((1, wire.message(
        (1, proof.challenge), (2, proof.binding), (3, proof.share), (4, proof.digest),
        *((5, wire.message(*((n, one[n][0]) for n in sorted(one)))) for one in proof.assertions))))


class Session:
    def __init__(self, agent, binding):
        told = agent.open_session(binding)
        self.id, self.key, self.binding = wire.get(told, 1), wire.get(told, 2), binding
        self.opened, self.sequence = wire.get(told, 5, 0), 0

    def proof(self, method, sequence=None, later=0, digest=b"", key=None, binding=None, session_id=None, signed=None):
        """The fields of a proof, right but for what is named."""
        proof = wire.SessionProof(b"")
        if sequence is None:
            self.sequence += 1
        proof.id, proof.sequence, proof.digest = session_id or self.id, sequence or self.sequence, digest
        age = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self.opened) // 10**9
        proof.age = max(0, age) + later
        proof.mac = wire.mac(key or self.key, proof.maced(signed or method, binding or self.binding))[:16]
        return proof

    def pieces(self, proof):
        return [wire.message(one) for one in ((1, proof.id), (2, proof.sequence), (3, proof.age), (4, proof.mac),
                                              (5, proof.digest))]

    def prefix(self, method, **changes):
        return wire.message((2, b"".join(self.pieces(self.proof(method, **changes)))))


class Gate:
    def __init__(self, agent, address, method, audit=None):
        self.agent, self.method = agent, method
        self.audit = pathlib.Path(audit) if audit else None
        host, _, port = address.rpartition(":")
        name = wire.get(agent.record, 8).decode() or host
        context = ssl.create_default_context(cadata=wire.get(agent.record, 7).decode() or None)
        context.set_alpn_protocols(["h2"])
        with socket.create_connection((host, int(port)), PATIENCE) as plain, \
                context.wrap_socket(plain, server_hostname=name) as tls:
            leaf = tls.getpeercert(binary_form=True)
        self.binding = wire.sha256(leaf)
        pinned = grpc.ssl_channel_credentials(ssl.DER_cert_to_PEM_cert(leaf).encode())
        self.channel = grpc.secure_channel(address, pinned, options=[("grpc.ssl_target_name_override", name),
                                                                    ("grpc.enable_retries", 0)])
        self.session = Session(agent, self.binding)
        self.references = set()

    def send(self, *prefixes, method=None, request=b""):
        metadata = tuple(("forekey-prefix-bin", prefix) for prefix in prefixes)
        try:
            _, call = self.channel.unary_unary(method or self.method).with_call(request, timeout=PATIENCE,
                                                                               metadata=metadata)
        except grpc.RpcError as error:
            call = error
        pushback = [value for key, value in call.trailing_metadata() or () if key == "grpc-retry-pushback-ms"]
        admitted = pushback == ["-1"] or call.code() not in (
            UNAUTHENTICATED, DENIED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
        found = REFUSED.fullmatch(call.details() or "")
        return Answer(call.code(), call.details() or "", admitted, found[1] if found else "")

    def ask(self, name, request, *prefixes):
        return self.send(*prefixes, method=wire.GATE + name, request=request)

    def challenge(self, purpose=CHALLENGE_CALL):
        answer = self.channel.unary_unary(wire.GATE + "GetChallenge")(wire.message((1, purpose)), timeout=PATIENCE)
        return wire.get(wire.fields_of(answer), 1)

    def admits(self, *prefixes, **words):
        answer = self.send(*prefixes, **words)
        must(answer.admitted, f"it was refused, and must be admitted: {answer.code.name} {answer.details}")
        return answer

    def refuses(self, reason, *prefixes, code=(UNAUTHENTICATED,), **words):
        answer = self.send(*prefixes, **words)
        must(not answer.admitted, f"it was admitted, and must be refused ({reason})")
        must(answer.code in code, f"the code is {answer.code.name}, and must be {code[0].name} ({reason})")
        must(answer.reference, f"the answer is not a refusal with its reference alone: {answer.details!r}")
        must(answer.reference not in self.references, "one reference number for two refusals")
        self.references.add(answer.reference)
        if self.audit is not None:
            told = self._reason(answer.reference)
            must(told in reason.split(" or "), f"the audit log has the reason {told}, and must have {reason}")

    def _reason(self, reference):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for line in self.audit.read_text(encoding="utf-8").splitlines():
                if reference in line and line.endswith("}"):
                    return json.loads(line).get("reason")
            time.sleep(0.02)
        return None


# ---- What must be admitted ----

def admits_session_proofs(gate):
    for _ in range(3):
        gate.admits(gate.session.prefix(gate.method))


def admits_out_of_order(gate):
    session = Session(gate.agent, gate.binding)
    for sequence in (40, 7, 39, 1, 41):
        gate.admits(session.prefix(gate.method, sequence=sequence))


def admits_device_proof(gate):
    gate.admits(serialized(gate.agent.device_proof(gate.method, gate.binding)))


def knows_caller(gate):
    must(gate.ask("WhoAmI", b"", gate.session.prefix(wire.GATE + "WhoAmI")).code == grpc.StatusCode.OK,
         "WhoAmI did not answer")


def says_unimplemented(gate):
    method = "/no.Such/Method"
    answer = gate.send(gate.session.prefix(method), method=method)
    must(answer.code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED),
         f"an unknown method with a good proof: {answer.code.name}")


def issues_challenges(gate):
    made = [gate.challenge(purpose) for purpose in (CHALLENGE_CALL, CHALLENGE_ENROLL, CHALLENGE_CALL)]
    must(all(len(one) == 64 for one in made), "a challenge is not of 64 bytes")
    must(len(set(made)) == 3, "one challenge was issued twice")


# ---- The prefix (LAW 1, section 7) ----

def refuses_none(gate):
    gate.refuses("prefix-missing")


def refuses_unknown_method_alike(gate):
    gate.refuses("prefix-missing", method="/no.Such/Method")


def refuses_two(gate):
    gate.refuses("prefix-repeated", gate.session.prefix(gate.method), gate.session.prefix(gate.method))
    gate.refuses("prefix-repeated", gate.session.prefix(gate.method), b"\x12\x00")


def refuses_oversize(gate):
    gate.refuses("prefix-oversize", gate.session.prefix(gate.method) + bytes(2048))


def encodings(session, method):
    """What another reader might take for the same proof."""
    def pieces():
        return session.pieces(session.proof(method, later=1))

    def wrap(*parts):
        return wire.message((2, b"".join(parts)))
    identity, sequence, age, mac, _ = pieces()
    yield "garbage", b"garbage"
    yield "a byte left over", wrap(identity, sequence, age, mac) + b"\0"
    identity, sequence, age, mac, _ = pieces()
    yield "cut short", wrap(identity, sequence, age, mac)[:-1]
    yield "fields out of order", wrap(sequence, identity, age, mac)
    identity, sequence, age, mac, _ = pieces()
    yield "an unknown field in the proof", wrap(identity, sequence, age, mac, wire.message((6, b"x")))
    identity, sequence, age, mac, _ = pieces()
    yield "an unknown field in the prefix", wrap(identity, sequence, age, mac) + wire.message((3, b"x"))
    identity, sequence, age, mac, _ = pieces()
    yield "a field twice", wrap(identity, sequence, age, age, mac)
    identity, sequence, age, mac, _ = pieces()
    yield "a sequence that is not minimal", wrap(identity, sequence[:-1] + bytes([sequence[-1] | 0x80, 0]), age, mac)
    identity, sequence, age, mac, _ = pieces()
    yield "the same proof twice", wrap(identity, sequence, age, mac) * 2
    identity, sequence, age, mac, _ = pieces()
    yield "an empty digest, present", wrap(identity, sequence, age, mac, b"\x2a\x00")
    identity, sequence, age, mac, _ = pieces()
    yield "half a MAC", wrap(identity, sequence, age, wire.message((4, mac[2:10])))
    yield "no MAC", wrap(identity, sequence, age)
    fresh = Session.proof(session, method)
    fresh.age = 0
    fresh.mac = wire.mac(session.key, fresh.maced(method, session.binding))[:16]
    yield "age_s 0, present", wire.message((2, wire.message((1, fresh.id), (2, fresh.sequence)) + b"\x18\x00" +
                                           wire.message((4, fresh.mac))))


def encoding_check(name):
    def run(gate):
        session = Session(gate.agent, gate.binding)
        gate.refuses("prefix-malformed", dict(encodings(session, gate.method))[name])
    return run


def refuses_wrong_kind(gate):
    gate.refuses("prefix-wrong-kind", gate.session.prefix(wire.GATE + "OpenSession"), method=wire.GATE + "OpenSession")


def refuses_digest(gate):
    gate.refuses("prefix-malformed", gate.session.prefix(gate.method, digest=bytes(32)))


# ---- Session proofs (LAW 2, section 10) ----

def refuses_mac(gate):
    gate.refuses("mac-invalid", gate.session.prefix(gate.method, key=bytes(32)))


def refuses_other_method(gate):
    gate.refuses("mac-invalid", gate.session.prefix(gate.method, signed="/forekey.example.Echo/Chat"))


def refuses_other_binding(gate):
    gate.refuses("mac-invalid", gate.session.prefix(gate.method, binding=bytes(32)))


def refuses_unknown_session(gate):
    gate.refuses("session-unknown", gate.session.prefix(gate.method, session_id=os.urandom(16)))


def refuses_replay(gate):
    prefix = gate.session.prefix(gate.method)
    gate.admits(prefix)
    gate.refuses("sequence-replayed", prefix)


def refuses_what_is_before_the_window(gate):
    session = Session(gate.agent, gate.binding)
    gate.admits(session.prefix(gate.method, sequence=10**6))
    gate.refuses("sequence-too-old", session.prefix(gate.method, sequence=1))


def refuses_ages(gate):
    gate.refuses("age-drift", gate.session.prefix(gate.method, later=60))


def forged_numbers_move_nothing(gate):
    session = Session(gate.agent, gate.binding)
    gate.refuses("mac-invalid", session.prefix(gate.method, sequence=10**9, key=bytes(32)))
    gate.admits(session.prefix(gate.method, sequence=1))


def refuses_grandchildren(gate):
    payload = wire.message((1, bytes(32)), (2, wire.public_of(wire.new_identity())), (3, gate.binding))
    method = wire.GATE + "OpenChildSession"
    gate.refuses("child-not-allowed", gate.session.prefix(method, digest=wire.sha256(payload)), method=method,
                 request=wire.message((1, payload)), code=(DENIED,))


def ends_sessions(gate):
    session = Session(gate.agent, gate.binding)
    answer = gate.ask("EndSession", b"", session.prefix(wire.GATE + "EndSession"))
    must(answer.code == grpc.StatusCode.OK, f"EndSession: {answer.code.name} {answer.details}")
    gate.refuses("session-ended", session.prefix(gate.method))


# ---- Device proofs (section 8) ----

def device_check(reason, change):
    def run(gate):
        proof = gate.agent.device_proof(gate.method, gate.binding)
        right = serialized(proof)
        change(gate, proof)
        gate.refuses(reason, serialized(proof))
        if reason != "signature-invalid":
            return
        gate.admits(right)  # what failed consumed nothing
    return run


def refuses_device_replay(gate):
    prefix = serialized(gate.agent.device_proof(gate.method, gate.binding))
    gate.admits(prefix)
    gate.refuses("challenge-replayed", prefix)


def refuses_device_proof_of_other_method(gate):
    prefix = serialized(gate.agent.device_proof("/forekey.example.Echo/Chat", gate.binding))
    # A security key signs client data, whose challenge is what a gate may compare first.
    gate.refuses("signature-invalid or client-data-challenge", prefix, code=(UNAUTHENTICATED, DENIED))


def flip(data, at=-1):
    data = bytearray(data)
    data[at] ^= 0x10
    return bytes(data)


def set_(**values):
    def change(gate, proof):
        for name, value in values.items():
            setattr(proof, name, value(gate, proof))
    return change


def change_assertion(number, value):
    def change(_, proof):
        proof.assertions[0][number] = [value(proof.assertions[0][number][0])]
    return change


def both(*changes):
    def change(gate, proof):
        for one in changes:
            one(gate, proof)
    return change


OTHER_BINDING = set_(binding=lambda gate, proof: bytes(32))
FORGED = set_(challenge=lambda gate, proof: flip(proof.challenge))
FOR_ENROLMENT = set_(challenge=lambda gate, proof: gate.challenge(CHALLENGE_ENROLL))
UNKNOWN_CREDENTIAL = change_assertion(1, lambda _: os.urandom(32))
BAD_SIGNATURE = change_assertion(2, flip)


# ---- Enrolment (section 15) ----

def refuses_unknown_invite(gate):
    key = wire.Invite("x", "x", bytes(32), os.urandom(16), []).key
    identity_share = wire.public_of(wire.new_identity())
    opening = wire.message((1, gate.challenge(CHALLENGE_ENROLL)), (2, gate.binding), (3, identity_share),
                           (4, bytes(32)), (5, 2), (7, wire.message((1, os.urandom(16)))))
    signature = key.sign(wire.label(b"invite-begin") + wire.len2(gate.agent.audience) + wire.sha256(opening))
    answer = gate.ask("BeginEnrollment", wire.message((1, opening), (2, wire.public_of(key)), (3, signature)))
    must(answer.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED) and answer.reference,
         f"an enrolment without an invite: {answer.code.name} {answer.details}")


def checks():
    made = [
        ("a session's proofs are admitted", admits_session_proofs),
        ("sequence numbers may come out of order", admits_out_of_order),
        ("a device proof is admitted", admits_device_proof),
        ("WhoAmI answers", knows_caller),
        ("an unknown method with a good proof is unknown", says_unimplemented),
        ("challenges have 64 bytes, and each is another one", issues_challenges),
        ("prefix: none", refuses_none),
        ("prefix: none, of an unknown method", refuses_unknown_method_alike),
        ("prefix: two", refuses_two),
        ("prefix: more than 2048 bytes", refuses_oversize),
    ]
    names = ("garbage", "a byte left over", "cut short", "fields out of order", "an unknown field in the proof",
             "an unknown field in the prefix", "a field twice", "a sequence that is not minimal", "the same proof twice",
             "an empty digest, present", "half a MAC", "no MAC", "age_s 0, present")
    made += [(f"prefix: {name}", encoding_check(name)) for name in names]
    made += [
        ("prefix: a session's, for OpenSession", refuses_wrong_kind),
        ("prefix: a request digest where there must be none", refuses_digest),
        ("session: a MAC by another key", refuses_mac),
        ("session: a MAC of another method", refuses_other_method),
        ("session: a MAC over another certificate", refuses_other_binding),
        ("session: one that does not exist", refuses_unknown_session),
        ("session: a proof that was used", refuses_replay),
        ("session: a number before the window", refuses_what_is_before_the_window),
        ("session: an age that is not its own", refuses_ages),
        ("session: a forged number moves nothing", forged_numbers_move_nothing),
        ("session: a child opens no child", refuses_grandchildren),
        ("session: one that was ended", ends_sessions),
        ("device: a proof that was used", refuses_device_replay),
        ("device: a proof of another method", refuses_device_proof_of_other_method),
        ("device: another certificate", device_check("channel-binding-unknown", OTHER_BINDING)),
        ("device: a forged challenge", device_check("challenge-forged", FORGED)),
        ("device: a challenge for an enrolment", device_check("challenge-wrong-purpose", FOR_ENROLMENT)),
        ("device: a credential that is not enrolled", device_check("credential-unknown", UNKNOWN_CREDENTIAL)),
        ("device: another signature, which consumes nothing", device_check("signature-invalid", BAD_SIGNATURE)),
        ("order: the certificate before the challenge", device_check("channel-binding-unknown",
                                                                     both(OTHER_BINDING, FORGED))),
        ("order: the challenge before the credential", device_check("challenge-forged",
                                                                    both(FORGED, UNKNOWN_CREDENTIAL))),
        ("order: the credential before the signature", device_check("credential-unknown",
                                                                    both(UNKNOWN_CREDENTIAL, BAD_SIGNATURE))),
        ("enrolment: an invite that the gate never made", refuses_unknown_invite),
    ]
    return [Check(*one) for one in made]


def timing_check(rounds):
    """Whether a forged proof of a session that exists takes as long to refuse as one of a session that does not. Pairs in
    a random order; where neither is slower, the forged one is in half of them, give or take what chance does."""
    def run(gate):
        session = Session(gate.agent, gate.binding)
        slower = 0
        for _ in range(rounds):
            took = {}
            pair = [("forged", {"key": bytes(32)}), ("unknown", {"session_id": os.urandom(16)})]
            random.shuffle(pair)
            for name, change in pair:
                prefix = session.prefix(gate.method, **change)
                begun = time.perf_counter()
                gate.send(prefix)
                took[name] = time.perf_counter() - begun
            slower += took["forged"] > took["unknown"]
        most = 4 * (rounds / 4) ** 0.5  # four standard deviations
        must(abs(slower - rounds / 2) <= most, f"the forged one was slower in {slower} of {rounds} pairs: who asks learns "
             "which sessions exist")
    return Check("timing: a forged proof takes as long as one of no session", run)


def check_gate(gate, chosen=None):
    findings = []
    for check in checks() if chosen is None else chosen:
        try:
            check.run(gate)
            findings.append(Finding(check.name, PASSED))
        except Failed as failed:
            findings.append(Finding(check.name, FAILED, str(failed)))
        except grpc.RpcError as error:
            findings.append(Finding(check.name, FAILED, f"it could not be tried: {error.code().name} {error.details()}"))
    return Report("gate", findings)
