# SPDX-License-Identifier: Apache-2.0
"""A client in software, right in all that a gate can see, unless it is told to be careless: `forekey-conformance client`
must find each carelessness."""
import base64
import hmac
import itertools
import json
import os
import queue
import ssl
import socket
import threading
import time

import grpc
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from forekey_conformance import program, wire

ECHO = "/forekey.example.Echo/"


class Wrong(Exception):
    """What the gate did is not right."""


class Peer:
    """A connection to the gate, whose leaf is known."""

    def __init__(self, client, account, target):
        host, port = target.split(":")
        context = ssl.create_default_context(cadata=account.ca)
        context.set_alpn_protocols(["h2"])
        if "any-certificate" in client.careless:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
            leaf = tls.getpeercert(binary_form=True)
        roots = account.ca if "other-connections-leaf" in client.careless else ssl.DER_cert_to_PEM_cert(leaf)
        self.binding = wire.sha256(leaf)
        self.channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(roots.encode()),
                                           options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])

    def ask(self, method, request, timeout, prefix=None):
        metadata = (("forekey-prefix-bin", prefix),) if prefix else ()
        return self.channel.unary_unary(method)(request, timeout=timeout, metadata=metadata)


class Session:
    def __init__(self, key, id_, binding):
        self.key, self.id, self.binding = key, id_, binding
        self.opened, self.sequence = time.monotonic(), itertools.count(1)

    def prove(self, method, digest=b"", careless=""):
        proof = wire.SessionProof(b"")
        proof.id, proof.digest, proof.sequence = self.id, digest, next(self.sequence)
        proof.age = int(time.monotonic() - self.opened)
        if "one-sequence" in careless:
            proof.sequence = min(proof.sequence, 2)
        binding = b"" if "no-binding" in careless else self.binding
        maced = proof.maced(method, binding)
        mac = wire.mac(self.key, maced)[:16]
        body = wire.message((1, self.id), (2, proof.sequence), (3, proof.age), (4, mac), (5, digest))
        if "writes-defaults" in careless and proof.age == 0:
            body = wire.message((1, self.id), (2, proof.sequence)) + b"\x18\x00" + wire.message((4, mac), (5, digest))
        return wire.message((2, body)), maced, proof.sequence


class Account:
    def __init__(self, invite):
        data = base64.urlsafe_b64decode(invite[15:] + "=" * (-(len(invite) - 15) % 4))
        at = 2 + data[1]
        self.audience = data[2:at].decode()
        size = int.from_bytes(data[at:at + 2], "big")
        self.address = data[at + 2:at + 2 + size].decode()
        at += 2 + size
        self.fingerprint, seed = data[at:at + 32], data[at + 32:at + 48]
        certificate = data[at + 52:-4]
        self.ca = ssl.DER_cert_to_PEM_cert(certificate)
        self.invite_key = ed25519.Ed25519PrivateKey.from_private_bytes(
            wire.hkdf(seed, b"", wire.label(b"invite-key") + self.audience.encode()))
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.spki = self.key.public_key().public_bytes(serialization.Encoding.DER,
                                                       serialization.PublicFormat.SubjectPublicKeyInfo)
        self.parent = self.child = self.peer = None

    def sign(self, statement):
        challenge = base64.urlsafe_b64encode(wire.sha256(statement)).rstrip(b"=").decode()
        client_data = json.dumps({"type": "webauthn.get", "challenge": challenge,
                                  "origin": f"forekey://{self.audience}"}).encode()
        data = wire.sha256(self.audience.encode()) + b"\x01" + bytes(4)
        return self.key.sign(data + wire.sha256(client_data), ec.ECDSA(hashes.SHA256())), data, client_data

    def signed_by_invite(self, step, payload):
        return self.invite_key.sign(wire.label(b"invite-" + step) + wire.len2(self.audience) + wire.sha256(payload))


class ModelClient:
    def __init__(self, careless="", patience=5.0):
        self.careless, self.patience = careless.split(), patience
        self.accounts, self.lock = {}, threading.RLock()

    def must(self, condition, name, why):
        if not condition and name not in self.careless:
            raise Wrong(why)

    def compare(self, given, right, name, why):
        if "half-" + name in self.careless:
            right = right[:len(given)] if given else right
        if "empty-" + name in self.careless and not given:
            return
        self.must(hmac.compare_digest(given, right), name, why)

    # ---- Enrolment ----

    def enroll(self, asked):
        account = Account(asked["invite"])
        peer = Peer(self, account, account.address)
        challenge = wire.get(wire.fields_of(peer.ask(wire.GATE + "GetChallenge", wire.message((1, 2)), 5)), 1)
        ephemeral = wire.new_identity()
        opening = wire.message((1, challenge), (2, peer.binding), (3, wire.public_of(ephemeral)),
                               (4, account.fingerprint), (5, 2), (7, wire.message((1, os.urandom(16)))))
        answer = wire.fields_of(peer.ask(wire.GATE + "BeginEnrollment", wire.message(
            (1, opening), (2, wire.public_of(account.invite_key)),
            (3, account.signed_by_invite(b"begin", opening))), 5))
        demand = wire.get(answer, 1)
        told = wire.fields_of(demand)
        identity = wire.get(told, 5)
        self.must(wire.sha256(identity) == account.fingerprint, "identity", "another identity than the invite's")
        key = wire.enroll_key(wire.agree(ephemeral, identity), challenge, account.audience)
        self.compare(wire.get(answer, 2), wire.enroll_confirmation(key, 1, opening, demand), "begin", "no confirmation")
        self.must(wire.get(told, 3).decode() == account.audience, "audience", "another audience")
        origin = wire.get(wire.fields_of(wire.get(told, 7)), 2).decode()
        self.must(origin == f"forekey://{account.audience}", "origin", "another origin")
        account.subject, account.identity = wire.get(told, 4).decode(), identity
        signature, data, client_data = account.sign(wire.enroll_statement(
            account.audience, wire.get(told, 1), account.subject, 2, account.spki, peer.binding, challenge))
        proof = wire.message((1, wire.get(told, 2)), (2, account.spki), (3, "model"),
                             (4, wire.message((1, signature), (2, data), (3, client_data))),
                             (6, wire.message((1, b"none"), (2, client_data))))
        answer = wire.fields_of(peer.ask(wire.GATE + "FinishEnrollment", wire.message(
            (1, proof), (2, account.signed_by_invite(b"finish", proof))), 5))
        account.id = wire.credential_id(account.audience, account.subject, account.spki)
        self.compare(wire.get(answer, 2), wire.enroll_confirmation(key, 2, proof, wire.get(answer, 1)), "finish",
                     "no confirmation")
        self.must(wire.get(answer, 1) == account.id, "credential", "another credential")
        self.accounts[account.audience] = account
        return {"ok": True}

    # ---- Sessions ----

    def timeout(self, asked):
        return None if "no-deadline" in self.careless else asked["timeout"]

    def open(self, account, peer, asked):
        timeout = self.timeout(asked)
        challenge = wire.get(wire.fields_of(peer.ask(wire.GATE + "GetChallenge", wire.message((1, 1)), timeout)), 1)
        self.must(len(challenge) == 64, "challenge", "a challenge of another size")
        ephemeral = wire.new_identity()
        payload = wire.message((1, account.fingerprint))
        parts = wire.DeviceProof(b"")
        parts.challenge, parts.binding = challenge, peer.binding
        parts.share, parts.digest = wire.public_of(ephemeral), wire.sha256(payload)
        parts.assertions = [{1: [account.id]}]
        statement = parts.statement(account.audience, wire.GATE + "OpenSession")
        signature, data, client_data = account.sign(statement)
        prefix = wire.message((1, wire.message(
            (1, challenge), (2, peer.binding), (3, parts.share), (4, parts.digest),
            (5, wire.message((1, account.id), (2, signature), (3, data), (4, client_data))))))
        answer = peer.ask(wire.GATE + "OpenSession", wire.message((1, payload)), timeout, prefix)
        return self.believed(account, answer, ephemeral, b"", challenge, statement, peer.binding, "")

    def open_child(self, account, peer, asked):
        ephemeral = wire.new_identity()
        payload = wire.message((1, account.fingerprint), (2, wire.public_of(ephemeral)), (3, peer.binding))
        method = wire.GATE + "OpenChildSession"
        prefix, maced, sequence = account.parent.prove(method, wire.sha256(payload))
        answer = peer.ask(method, wire.message((1, payload)), self.timeout(asked), prefix)
        return self.believed(account, answer, ephemeral, account.parent.key,
                             account.parent.id + sequence.to_bytes(8, "big"), maced, peer.binding, "child-")

    def believed(self, account, answer, ephemeral, parent_key, salt, transcript, binding, who):
        told = wire.fields_of(answer)
        id_, share = wire.get(told, 1), wire.get(told, 2)
        try:
            secret = wire.agree(ephemeral, share)
        except ValueError:
            self.must(False, who + "zero", "an all-zero share")
            secret = bytes(32)
        key = wire.session_key(secret + wire.agree(ephemeral, account.identity) + parent_key, salt, transcript, share, id_)
        if f"no-{who}identity" in self.careless:
            key = wire.session_key(secret + bytes(32) + parent_key, salt, transcript, share, id_)
        if "no-parent" in self.careless:
            key = wire.session_key(secret + wire.agree(ephemeral, account.identity), salt, transcript, share, id_)
        subject = wire.get(told, 8).decode()
        right = wire.confirmation(key, id_, share, wire.get(told, 3, 0), wire.get(told, 4, 0), wire.get(told, 5, 0),
                                  wire.get(told, 6), subject)
        self.compare(wire.get(told, 7), right, who + "confirmation", "no confirmation")
        self.must(subject == account.subject, "subject", "another subject than enrolled")
        return Session(key, id_, binding)

    # ---- Calls ----

    def ready(self, account, asked):
        """A peer and a session for it, opened once for all."""
        with self.lock:
            target = asked.get("target", account.address)
            if account.peer is None or asked.get("target") or "new-session" in self.careless:
                account.peer = Peer(self, account, target)
                if account.child and account.child.binding != account.peer.binding:
                    account.parent = account.child = None
            if "new-session" in self.careless:
                account.parent = account.child = None
            if account.child is None:
                if account.parent is None:
                    account.parent = self.open(account, account.peer, asked)
                account.child = self.open_child(account, account.peer, asked)
            return account.peer, account.child

    def call(self, asked):
        account = self.accounts[asked["gate"]]
        request = wire.message((1, asked["text"]))
        peer, session = self.ready(account, asked)
        prefix = session.prove(ECHO + "Say", careless=self.careless)[0]
        tries = 0
        while True:
            tries += 1
            try:
                answer = peer.ask(ECHO + "Say", request, self.timeout(asked), prefix)
                return {"ok": True, "text": wire.get(wire.fields_of(answer), 1).decode()}
            except grpc.RpcError as error:
                pushed = any(key == "grpc-retry-pushback-ms" for key, _ in error.trailing_metadata())
                again = error.code() == grpc.StatusCode.UNAUTHENTICATED and "no-retry" not in self.careless and (
                    not pushed or "repeats" in self.careless) and tries < (9 if "never-gives-up" in self.careless else 2)
                if not again:
                    raise
            with self.lock:
                if "same-proof" not in self.careless:
                    account.parent = account.child = None
                    peer, session = self.ready(account, asked)
                    prefix = session.prove(ECHO + "Say")[0]

    def calls(self, asked):
        self.call({**asked, "text": "first"})
        threads = [threading.Thread(target=self.call, args=({**asked, "text": f"{i}"},)) for i in range(asked["count"] - 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"ok": True}

    def chat(self, asked):
        if "no-streams" in self.careless:
            return {"ok": False, "why": "no streams"}
        account = self.accounts[asked["gate"]]
        peer, session = self.ready(account, asked)
        metadata = (("forekey-prefix-bin", session.prove(ECHO + "Chat", careless=self.careless)[0]),)
        answers = peer.channel.stream_stream(ECHO + "Chat")(
            iter([wire.message((1, text)) for text in asked["texts"]]), metadata=metadata, timeout=asked["timeout"])
        return {"ok": True, "texts": [wire.get(wire.fields_of(answer), 1).decode() for answer in answers]}

    def ask(self, asked, patience):
        """As program.Program has it."""
        answer = queue.Queue()

        def act():
            try:
                answer.put(getattr(self, asked["do"])(asked))
            except (Wrong, grpc.RpcError, OSError, ValueError, wire.Malformed) as error:
                answer.put({"ok": False, "why": repr(error)[:300]})
        threading.Thread(target=act, daemon=True).start()
        try:
            return answer.get(timeout=patience)
        except queue.Empty:
            raise program.Ended(f"no answer came within {patience:g} s") from None
