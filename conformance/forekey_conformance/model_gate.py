# SPDX-License-Identifier: Apache-2.0
"""A gate in front of an echo service, right in all that a client sees, unless it is told a flaw.

It takes FIDO2 keys, looks at no attestation, and keeps a record of what clients do that none may do (`violations`).
"""
import json
import os
import threading
import time
from concurrent import futures

import grpc

from . import wire

ECHO = "/forekey.example.Echo/"
WINDOW, IDLE, ABSOLUTE = 1024, 1800, 43200
KIND_FIDO2 = 2
AGE_DRIFT = 30


class Refusal(Exception):
    """As a gate says it; `reason`: as docs/AUDIT.md has it; `violation`: what no client may do, where that is one."""

    def __init__(self, reason, violation="", code=grpc.StatusCode.UNAUTHENTICATED):
        super().__init__(reason)
        self.reason, self.violation, self.code = reason, violation, code


class Session:
    def __init__(self, key, binding, parent=None):
        self.key, self.binding, self.parent = key, binding, parent
        self.opened, self.used, self.highest = time.monotonic(), set(), 0


class ModelGate:
    """`flaw`: what it does wrong to clients (client_checks.py). `lax`: what it does not look at, by the reason that it
    would refuse for, and some names more. `audit`: a file that gets a line for each refusal."""

    def __init__(self, audience, authority, flaw="", leaf=None, lax=(), audit=None):
        self.audience, self.flaw, self.lax, self.audit = audience, flaw, lax, audit
        self.subject = "ada"
        self.lock = threading.RLock()
        self.identity = wire.new_identity()
        self.violations, self.seen, self.served = [], [], []
        self.challenges, self.sessions, self.credentials, self.enrollments = set(), {}, {}, {}
        self.prefixes, self.used_challenges, self.ended = set(), set(), set()
        self.kept_answer = None
        self.leaf = leaf or authority.leaf()
        self.binding = wire.sha256(self.leaf.der)
        self.stopped = threading.Event()
        self.pool = futures.ThreadPoolExecutor(max_workers=32)
        self.server = grpc.server(self.pool, handlers=[Handler(self)], options=[("grpc.so_reuseport", 0)])
        self.port = self.server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([(self.leaf.key_pem, self.leaf.pem)]))
        self.invite = wire.Invite(audience, f"localhost:{self.port}", wire.sha256(wire.public_of(self.identity)),
                                  os.urandom(16), [authority.der])
        self.server.start()

    def close(self):
        self.stopped.set()
        self.server.stop(0).wait()
        self.pool.shutdown(wait=False)

    def has(self, *flaws):
        return self.flaw in flaws

    def need(self, condition, reason, violation="", code=grpc.StatusCode.UNAUTHENTICATED):
        if not condition and reason not in self.lax:
            raise Refusal(reason, violation, code)

    def refuse(self, refusal, context):
        reference = os.urandom(8).hex()
        with self.lock:
            if refusal.violation:
                self.violations.append(refusal.violation)
            if self.audit:
                with open(self.audit, "a", encoding="ascii") as file:
                    file.write(json.dumps({"reference": reference, "reason": refusal.reason}) + "\n")
        context.abort(refusal.code, f"forekey: refused, reference {reference}")

    def count(self, method):
        with self.lock:
            return sum(one == method for one in self.seen)

    # ---- Enrolment ----

    def get_challenge(self, request, _):
        challenge = bytes([1, wire.get(wire.fields_of(request), 1, 1)]) + os.urandom(62)
        if "one-challenge" in self.lax:
            challenge = bytes([1, 1]) + bytes(62)
        with self.lock:
            self.challenges.add(challenge)
        if self.has("short-challenge"):
            challenge = challenge[:63]
        return wire.message((1, challenge), (2, 120))

    def begin_enrollment(self, request, _):
        found = wire.fields_of(request)
        payload = wire.get(found, 1)
        opening = wire.fields_of(payload)
        self.need(wire.get(found, 2) == wire.public_of(self.invite.key), "invite-unknown", "an invite of another gate")
        self.need(self.invite.verifies(b"begin", payload, wire.get(found, 3)) or "invite-unknown" in self.lax,
                  "invite-signature-invalid", "an invite's signature that does not verify")
        self.need(wire.get(opening, 2) == self.binding, "channel-binding-unknown",
                  "an enrolment bound to another certificate")
        enrollment_id = os.urandom(16)
        identity = wire.new_identity() if self.has("begin-other-identity") else self.identity
        audience = "other." + self.audience if self.has("begin-other-audience") else self.audience
        origin = "forekey://other.example" if self.has("begin-other-origin") else f"forekey://{self.audience}"
        token = wire.message((1, self.audience), (2, origin), (3, wire.varint(-7)), (5, os.urandom(16)))
        demand = wire.message((1, enrollment_id), (2, enrollment_id), (3, audience), (4, self.subject),
                              (5, wire.public_of(identity)), (7, token))
        key = wire.enroll_key(wire.agree(identity, wire.get(opening, 3)), wire.get(opening, 1), self.audience)
        with self.lock:
            self.enrollments[enrollment_id] = key, wire.get(opening, 1)
        proof = wire.enroll_confirmation(key, 1, payload, demand)
        if self.has("begin-wrong-confirmation"):
            proof = flip(proof)
        if self.has("begin-short-confirmation"):
            proof = proof[:16]
        if self.has("begin-no-confirmation"):
            proof = b""
        if self.has("begin-other-subject"):  # by who sits between: the confirmation is of what was there before
            demand = demand.replace(wire.message((4, "ada")), wire.message((4, "eve")))
        return wire.message((1, demand), (2, proof))

    def finish_enrollment(self, request, _):
        found = wire.fields_of(request)
        payload = wire.get(found, 1)
        told = wire.fields_of(payload)
        self.need(self.invite.verifies(b"finish", payload, wire.get(found, 2)), "invite-signature-invalid",
                  "an invite's signature that does not verify")
        with self.lock:
            key, challenge = self.enrollments.pop(wire.get(told, 1), (None, None))
        if key is None:
            raise Refusal("enrollment-ticket-invalid", "another ticket than was given")
        spki, possession = wire.get(told, 2), wire.fields_of(wire.get(told, 4))
        statement = wire.enroll_statement(self.audience, wire.get(told, 1), self.subject, KIND_FIDO2, spki, self.binding,
                                          challenge)
        if not wire.verifies(spki, statement, self.audience, wire.get(possession, 1), wire.get(possession, 2),
                             wire.get(possession, 3)):
            raise Refusal("possession-invalid", "possession of the key that is not proved")
        credential = wire.credential_id(self.audience, self.subject, spki)
        with self.lock:
            self.credentials[credential] = spki
        if self.has("finish-other-credential"):
            credential = flip(credential)
        proof = wire.enroll_confirmation(key, 2, payload, credential)
        if self.has("finish-wrong-confirmation"):
            proof = flip(proof)
        return wire.message((1, credential), (2, proof))

    # ---- Proofs ----

    def verified(self, method, metadata):
        """The proof of one call, verified; and the session, where it is one's."""
        values = [value for key, value in metadata if key == "forekey-prefix-bin"]
        self.need(values, "prefix-missing", f"no prefix in a call of {method}")
        if not values:
            return None, None
        self.need(len(values) == 1, "prefix-repeated", "two prefixes in a call")
        data = values[0]
        with self.lock:
            if data in self.prefixes:
                self.violations.append("one prefix in two calls")
            self.prefixes.add(data)
        self.need(len(data) <= 2048, "prefix-oversize", "a prefix of more than 2048 bytes")
        proof = self.parsed(data)
        own = method == wire.GATE + "OpenSession"
        self.need(not own or isinstance(proof, wire.DeviceProof), "prefix-wrong-kind", "a session's proof for OpenSession")
        with_digest = method in (wire.GATE + "OpenSession", wire.GATE + "OpenChildSession",
                                 wire.GATE + "ReauthenticateCall")
        self.need(bool(proof.digest) == with_digest or "digest" in self.lax, "prefix-malformed",
                  "a digest where there must be none")
        if isinstance(proof, wire.DeviceProof):
            return proof, self.verified_device(proof, method)
        return proof, self.verified_session(proof, method)

    def parsed(self, data):
        """One that is lax takes what protobuf's own parser would, and more."""
        try:
            proof = wire.parse_prefix(data)
            self.need(proof.canonical and (isinstance(proof, wire.DeviceProof) or len(proof.mac) == 16 or
                                           "short-mac" in self.lax), "prefix-malformed",
                      "a prefix in another encoding than the one")
            return proof
        except (wire.Malformed, KeyError):
            self.need(False, "prefix-malformed", "a prefix that is malformed")
            lenient = wire.fields_of(data, lenient=True)
            return wire.SessionProof(wire.get(lenient, 2), lenient=True)

    def verified_device(self, proof, method):
        if "device" in self.lax:
            raise Refusal("signature-invalid")
        with self.lock:
            known = proof.challenge in self.challenges
            used = proof.challenge in self.used_challenges
            if "consumes-early" in self.lax:
                self.used_challenges.add(proof.challenge)
        statement = proof.statement(self.audience, method)

        def binding():
            self.need(proof.binding == self.binding, "channel-binding-unknown",
                      "a device proof bound to another certificate than the connection's")

        def challenge():
            self.need(known, "challenge-forged", "a challenge that was not issued")
            self.need(proof.challenge[1:2] == b"\1", "challenge-wrong-purpose", "a challenge for something else")
            self.need(not used, "challenge-replayed", "a challenge that was used")

        def credentials():
            self.need(proof.assertions and all(one in self.credentials for one in proof.signers), "credential-unknown",
                      "a credential that is not enrolled")

        def signatures():
            self.need(all(one in self.credentials and wire.verifies(
                self.credentials[one], statement, self.audience, *(wire.get(assertion, n) for n in (2, 3, 4)))
                for one, assertion in zip(proof.signers, proof.assertions)), "signature-invalid",
                      "a signature that does not verify")
        order = [binding, challenge, credentials, signatures]
        for check in reversed(order) if "order" in self.lax else order:
            check()
        with self.lock:
            self.used_challenges.add(proof.challenge)

    def verified_session(self, proof, method):
        if "session" in self.lax:
            raise Refusal("mac-invalid")
        with self.lock:
            session = self.sessions.get(proof.id)
            ended = proof.id in self.ended
        self.need(session is not None, "session-unknown")
        if session is None:
            return None
        self.need(not ended, "session-ended")
        self.need(session.binding == self.binding, "channel-binding-unknown",
                  "a session on a connection with another certificate")
        if "moves-early" in self.lax:
            session.highest = max(session.highest, proof.sequence)
        right = wire.mac(session.key, proof.maced(method, self.binding))[:16]
        if "short-mac" in self.lax:
            right = right[:len(proof.mac)]
        if "oracle" in self.lax and right != proof.mac:
            time.sleep(0.005)
        self.need(right == proof.mac, "mac-invalid", "a MAC that does not verify")
        self.need(abs(time.monotonic() - session.opened - proof.age) <= AGE_DRIFT, "age-drift",
                  "an age that is not the session's")
        with self.lock:
            self.need(proof.sequence not in session.used, "sequence-replayed", "a sequence number that was used")
            self.need(proof.sequence > max(0, session.highest - WINDOW), "sequence-too-old",
                      "a sequence number before the window")
            if "in-order" in self.lax:
                self.need(proof.sequence > session.highest, "sequence-too-old")
            session.used.add(proof.sequence)
            session.highest = max(session.highest, proof.sequence)
        return session

    def end_session(self, _, proof, __):
        with self.lock:
            self.ended.add(proof.id)
        return b""

    # ---- Sessions ----

    def open_session(self, request, proof):
        payload = wire.get(wire.fields_of(request), 1)
        if not isinstance(proof, wire.DeviceProof):
            return b""
        self.need(proof.share, "prefix-malformed", "OpenSession without a key share")
        self.need(proof.digest == wire.sha256(payload), "request-digest-mismatch",
                  "a request that is not the one that was proved")
        self.need(wire.get(wire.fields_of(payload), 1) == wire.sha256(wire.public_of(self.identity)),
                  "gate-identity-unknown", "a session for another identity than the pinned one")
        return self.opened("", proof.share, b"", proof.challenge, proof.statement(
            self.audience, wire.GATE + "OpenSession"), self.binding, None)

    def open_child_session(self, request, proof, session):
        payload = wire.get(wire.fields_of(request), 1)
        told = wire.fields_of(payload)
        self.need(proof.digest == wire.sha256(payload), "request-digest-mismatch",
                  "a request that is not the one that was proved")
        self.need(session.parent is None, "child-not-allowed", "a child that opens a child",
                  grpc.StatusCode.PERMISSION_DENIED)
        return self.opened("child-", wire.get(told, 2), session.key, proof.id + proof.sequence.to_bytes(8, "big"),
                           proof.maced(wire.GATE + "OpenChildSession", self.binding), wire.get(told, 3), session)

    def opened(self, who, share, parent_key, salt, transcript, binding, parent):
        def has(flaw):
            return self.has(who + flaw)
        ephemeral, session_id = wire.new_identity(), os.urandom(16)
        identity = wire.new_identity() if has("other-identity") else self.identity
        gate_share = wire.public_of(ephemeral)
        secrets = wire.agree(ephemeral, share) + wire.agree(identity, share) + parent_key
        if has("zero-share"):  # all secrets but the identity's would be known
            gate_share = bytes(32)
            secrets = bytes(32) + wire.agree(identity, share) + parent_key
        if has("no-identity"):  # by who has no identity at all
            secrets = wire.agree(ephemeral, share) + bytes(32) + parent_key
        if has("no-parent"):
            secrets = secrets[:64]
        key = wire.session_key(secrets, salt, transcript, gate_share, session_id)
        subject = "eve" if has("says-other-subject") else self.subject
        fields = {"session_id": session_id, "gate_share": gate_share, "idle": IDLE, "absolute": ABSOLUTE,
                  "window": WINDOW, "next": b"", "subject": subject}
        proof = wire.confirmation(key, session_id, gate_share, IDLE, ABSOLUTE, WINDOW, b"", subject)
        fields["confirmation"] = {"wrong-confirmation": flip(proof), "short-confirmation": proof[:16],
                                  "no-confirmation": b""}.get(self.flaw.removeprefix(who) if self.flaw.startswith(who)
                                                              else "", proof)
        # By who sits between: the confirmation is of what was there before.
        for flaw, name, value in (("other-subject", "subject", "eve"), ("longer", "absolute", 10 * ABSOLUTE),
                                  ("other-window", "window", 2 * WINDOW), ("other-next", "next", os.urandom(32)),
                                  ("other-id", "session_id", os.urandom(16))):
            if has(flaw):
                fields[name] = value
        answer = wire.message(*((number, fields[name]) for number, name in enumerate(
            ("session_id", "gate_share", "idle", "absolute", "window", "next", "confirmation", "subject"), 1)))
        with self.lock:
            self.sessions[fields["session_id"]] = Session(key, binding, parent)
            if has("replayed") and self.kept_answer is not None:
                answer = self.kept_answer  # whoever makes a proof under it believed it
                self.sessions[wire.get(wire.fields_of(answer), 1)] = Session(os.urandom(32), binding, parent)
            elif has("replayed"):
                self.kept_answer = answer
        return answer

    def forget_sessions(self):
        with self.lock:
            self.sessions.clear()


def flip(data):
    return bytes([data[0] ^ 1]) + data[1:]


class Handler(grpc.GenericRpcHandler):
    def __init__(self, gate):
        self.gate = gate

    def service(self, details):
        gate, method = self.gate, details.method
        short = method.removeprefix(wire.GATE)
        with gate.lock:
            gate.seen.append(short)

        def judged(function):
            def run(request, context):
                try:
                    return function(request, context)
                except Refusal as refusal:
                    return gate.refuse(refusal, context)
            return run

        def proved(function):
            return judged(lambda request, context: function(request, *gate.verified(method, details.invocation_metadata)))

        def unknown(*_):
            raise Refusal("", code=grpc.StatusCode.INTERNAL if "unknown" in gate.lax else grpc.StatusCode.UNIMPLEMENTED)

        exempt = {"GetChallenge": gate.get_challenge, "BeginEnrollment": gate.begin_enrollment,
                  "FinishEnrollment": gate.finish_enrollment}
        own = {"OpenSession": lambda request, proof, _: gate.open_session(request, proof),
               "OpenChildSession": gate.open_child_session, "EndSession": gate.end_session,
               "WhoAmI": lambda *_: wire.message((1, gate.subject)), "GetRequirements": lambda *_: b""}
        if gate.has(f"silent-{short}"):
            return grpc.unary_unary_rpc_method_handler(lambda *_: gate.stopped.wait() and b"")
        if short in exempt:
            return self.unary(judged(exempt[short]), short)
        if short in own and short not in gate.lax:
            return self.unary(proved(own[short]), short)
        if method == ECHO + "Say":
            return self.unary(judged(lambda request, context: self.say(request, context, details)), "Say")
        if method == ECHO + "Chat":
            return grpc.stream_stream_rpc_method_handler(lambda requests, context: self.chat(requests, context, details))
        return None if "routes-first" in gate.lax else self.unary(proved(unknown), short)

    def unary(self, function, short):
        if not self.gate.has(f"endless-{short}"):
            return grpc.unary_unary_rpc_method_handler(function)

        def endless(request, context):
            answer = function(request, context)
            while not self.gate.stopped.is_set() and context.is_active():
                yield answer
        return grpc.unary_stream_rpc_method_handler(endless)

    def admit(self, context, details):
        """The flaws of calls: whose proofs are good."""
        gate = self.gate
        gate.verified(details.method, details.invocation_metadata)
        if gate.has("refuses-all"):
            raise Refusal("session-unknown")
        if gate.has("refuses-once"):
            gate.flaw = ""
            gate.forget_sessions()
            raise Refusal("session-unknown")
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))

    def say(self, request, context, details):
        self.admit(context, details)
        text = wire.get(wire.fields_of(request), 1)
        with self.gate.lock:
            self.gate.served.append(text.decode())
        if self.gate.has("own-unauthenticated"):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the handler's own")
        return wire.message((1, text), (2, self.gate.subject))

    def chat(self, requests, context, details):
        try:
            self.admit(context, details)
        except Refusal as refusal:
            self.gate.refuse(refusal, context)
        for request in requests:
            text = wire.get(wire.fields_of(request), 1)
            with self.gate.lock:
                self.gate.served.append(text.decode())
            yield wire.message((1, text), (2, self.gate.subject))
