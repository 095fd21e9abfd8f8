# SPDX-License-Identifier: Apache-2.0
"""The vectors as questions: an operation, its input, and what must come out; None where it must be refused."""
import collections
import json
import pathlib

Question = collections.namedtuple("Question", "id op input expect")

HERE = pathlib.Path(__file__).resolve()
# Beside the program where it is installed; in the repository where it is not.
PLACES = (HERE.parents[1] / "forekey-v1.json", HERE.parents[2] / "tests/vectors/forekey-v1.json")


def load(path=None):
    place = pathlib.Path(path) if path else next((one for one in PLACES if one.exists()), PLACES[0])
    return json.loads(place.read_text(encoding="utf-8"))


def only(vector, *names):
    return {name: vector[name] for name in names}


def flipped(text, at=0):
    """Hex with one bit of byte `at` changed."""
    data = bytearray(bytes.fromhex(text))
    data[at] ^= 0x10  # no bit that X25519 passes over
    return bytes(data).hex()


def changed(value):
    """Something else of the same kind."""
    if isinstance(value, int):
        return value - 1 if value > 1 else value + 1
    return flipped(value) if value and set(value) <= set("0123456789abcdef") and len(value) % 2 == 0 else value + "x"


class Collector:
    def __init__(self):
        self.questions = []

    def ask(self, op, what, given, expect):
        self.questions.append(Question(f"{op}: {what}", op, given, expect))

    def refuse_changes(self, op, what, given, names, proof):
        """A proof over something that is not the same in one place, and a proof that is not the same."""
        for name in names:
            self.ask(op, f"{what}, another {name}", {**given, name: changed(given[name])}, None)
        self.ask(op, f"{what}, {proof} with another first byte", {**given, proof: flipped(given[proof])}, None)
        self.ask(op, f"{what}, {proof} with another last byte", {**given, proof: flipped(given[proof], -1)}, None)
        self.ask(op, f"{what}, {proof} cut short", {**given, proof: given[proof][:-2]}, None)
        self.ask(op, f"{what}, {proof} with a byte more", {**given, proof: given[proof] + "00"}, None)
        self.ask(op, f"{what}, no {proof}", {**given, proof: ""}, None)


def challenges(all_, vectors):
    for i, v in enumerate(vectors, 1):
        all_.ask("challenge", f"{i}", only(v, "key", "audience", "version", "purpose", "instance_tag", "issued_ns",
                                           "random"), only(v, "challenge"))
        given = only(v, "key", "audience", "purpose", "challenge")
        all_.ask("check-challenge", f"{i}", given, {})
        all_.refuse_changes("check-challenge", f"{i}", given, ("key", "audience"), "challenge")
        all_.ask("check-challenge", f"{i}, for another purpose", {**given, "purpose": 3 - v["purpose"]}, None)
        for name, at in (("purpose", 1), ("instance tag", 2), ("issue time", 4), ("random value", 12)):
            all_.ask("check-challenge", f"{i}, another {name} in it",
                     {**given, "challenge": flipped(v["challenge"], at)}, None)


def statements(all_, vectors):
    for i, v in enumerate(vectors["credential_ids"], 1):
        all_.ask("credential-id", f"{i}", only(v, "audience", "subject", "spki"), only(v, "credential_id"))
    for i, v in enumerate(vectors["call_statements"], 1):
        all_.ask("statement", f"{i}, of {v['method']}", only(v, "audience", "method", "challenge", "channel_binding",
                 "credential_ids", "key_share", "request_digest"), only(v, "statement"))
    for i, v in enumerate(vectors["enroll_statements"], 1):
        all_.ask("enroll-statement", f"{i}, of kind {v['kind']}", only(v, "audience", "enrollment_id", "subject", "kind",
                 "spki", "channel_binding", "challenge"), only(v, "statement"))


def sessions(all_, vectors, invalid_shares):
    for i, v in enumerate(vectors, 1):
        given = only(v, "client_private", "gate_share", "identity", "parent_key", "salt", "transcript", "session_id")
        all_.ask("session-key", f"{i}", given, only(v, "session_key"))
        for j, share in enumerate(invalid_shares, 1):
            for name in ("gate_share", "identity"):
                all_.ask("session-key", f"{i}, {name} of small order ({j})", {**given, name: share["share"]}, None)
        for j, c in enumerate(v["confirmations"], 1):
            given = {**only(v, "session_key", "session_id", "gate_share"), **c}
            all_.ask("check-confirmation", f"{i}.{j}", given, {})
            all_.refuse_changes("check-confirmation", f"{i}.{j}", given, [
                name for name in given if name != "confirmation" and given[name] != ""], "confirmation")


def factors(all_, vectors):
    for i, v in enumerate(vectors["sealed_factors"], 1):
        context = only(v, "audience", "challenge", "credential_ids")
        all_.ask("seal-factors", f"{i}", {**context, **only(v, "ephemeral_private", "identity_private", "blinder",
                 "nonce", "password", "id_token")}, only(v, "sealed"))
        given = {**context, **only(v, "identity_private", "sealed")}
        all_.ask("open-factors", f"{i}", given, only(v, "password", "id_token"))
        all_.refuse_changes("open-factors", f"{i}", given, ("audience", "challenge", "identity_private"), "sealed")
        other = {**given, "credential_ids": [changed(one) for one in v["credential_ids"]]}
        all_.ask("open-factors", f"{i}, other signers", other, None)
    for i, v in enumerate(vectors["id_token_nonces"], 1):
        all_.ask("id-token-nonce", f"{i}", only(v, "audience", "key_share", "credential_ids"), only(v, "nonce"))


def calls(all_, vectors):
    for i, v in enumerate(vectors["call_macs"], 1):
        given = only(v, "key", "session_id", "sequence", "age_s", "method", "channel_binding", "request_digest")
        all_.ask("call-mac", f"{i}", given, only(v, "mac"))
        checked = {**given, "mac": v["mac"]}
        all_.ask("check-call-mac", f"{i}", checked, {})
        names = [name for name in given if given[name] != "" and name != "sequence"]
        all_.refuse_changes("check-call-mac", f"{i}", checked, names, "mac")
        all_.ask("check-call-mac", f"{i}, another sequence",
                 {**checked, "sequence": str(int(v["sequence"]) ^ 1 or 2)}, None)


def resumptions(all_, vectors):
    for i, v in enumerate(vectors, 1):
        given = only(v, "key", "audience", "method", "ticket", "challenge", "channel_binding", "key_share",
                     "request_digest")
        all_.ask("resumption-mac", f"{i}", given, only(v, "mac"))
        checked = {**given, "mac": v["mac"]}
        all_.ask("check-resumption-mac", f"{i}", checked, {})
        all_.refuse_changes("check-resumption-mac", f"{i}", checked, list(given), "mac")
        proof = only(v, "ticket", "challenge", "channel_binding", "key_share", "request_digest", "mac")
        all_.ask("serialize-prefix", f"resumption {i}", {"resumption": proof}, {"prefix": v["prefix"]})
        all_.ask("parse-prefix", f"resumption {i}", {"prefix": v["prefix"]}, {"resumption": proof})
        for why, changed_prefix in (("cut short", v["prefix"][:-2]), ("with a byte more", v["prefix"] + "00"),
                                    ("twice", v["prefix"] * 2)):
            all_.ask("parse-prefix", f"resumption {i}, {why}", {"prefix": changed_prefix}, None)
        for name in proof:
            all_.ask("parse-prefix", f"resumption {i}, without its {name}",
                     {"prefix": resumption_prefix({**proof, name: ""})}, None)
            all_.ask("parse-prefix", f"resumption {i}, its {name} with a byte too many",
                     {"prefix": resumption_prefix({**proof, name: proof[name] + "00" * (1024 if name == "ticket" else 1)})},
                     None)


def resumption_prefix(proof):
    def field(number, value):
        size, length = len(value), b""
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + value if value else b""
    body = b"".join(field(number, bytes.fromhex(value)) for number, value in enumerate(proof.values(), 1))
    return field(3, body).hex()


def enrollments(all_, vectors):
    for i, v in enumerate(vectors["enrollment_confirmations"], 1):
        given = only(v, "client_private", "identity", "challenge", "audience", "step", "request_payload",
                     "response_payload")
        all_.ask("enrollment-confirmation", f"{i}", given, only(v, "confirmation"))
        checked = {**given, "confirmation": v["confirmation"]}
        all_.ask("check-enrollment-confirmation", f"{i}", checked, {})
        all_.refuse_changes("check-enrollment-confirmation", f"{i}", checked, list(given)[1:], "confirmation")


def prefixes(all_, vectors):
    for i, v in enumerate(vectors["prefixes"], 1):
        kind = "session" if "session" in v else "device"
        all_.ask("serialize-prefix", f"{i}, {kind}", {kind: v[kind]}, {"prefix": v["bytes"]})
        all_.ask("parse-prefix", f"{i}, {kind}", {"prefix": v["bytes"]}, {kind: v[kind]})
    for v in vectors["invalid_prefixes"]:
        all_.ask("parse-prefix", v["why"], {"prefix": v["bytes"]}, None)


def invites(all_, vectors):
    for i, v in enumerate(vectors["invites"], 1):
        all_.ask("parse-invite", f"{i}", only(v, "text"), only(v, "audience", "address", "identity_fingerprint", "seed",
                                                               "ca_certificates"))
        all_.ask("invite-key", f"{i}", only(v, "audience", "seed"), only(v, "public_key"))
        for s in v["signatures"]:
            all_.ask("invite-signature", f"{i}, {s['label']}", {**only(v, "audience", "seed"),
                     **only(s, "label", "payload")}, only(s, "signature"))
    for v in vectors["invalid_invites"]:
        all_.ask("parse-invite", v["why"], only(v, "text"), None)


def words(all_, vectors):
    for v in vectors["names"]:
        shown = v["text"] if len(v["text"]) < 60 else f"{len(v['text'])} characters"
        all_.ask("check-name", f"{v['kind']} {shown!r}", only(v, "kind", "text"), {} if v["valid"] else None)
    for v in vectors["step_ups"]:
        all_.ask("step-up", repr(v["message"]), only(v, "message"), only(v, "alternatives"))


def questions(vectors):
    all_ = Collector()
    challenges(all_, vectors["challenges"])
    statements(all_, vectors)
    sessions(all_, vectors["session_keys"], vectors["invalid_shares"])
    factors(all_, vectors)
    calls(all_, vectors)
    resumptions(all_, vectors["resumption_macs"])
    enrollments(all_, vectors)
    prefixes(all_, vectors)
    invites(all_, vectors)
    words(all_, vectors)
    return all_.questions
