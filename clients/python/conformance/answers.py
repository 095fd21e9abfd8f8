#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Answers `forekey-conformance vectors`: docs/PROTOCOL.md in Python.

What the client itself needs comes from it (forekey.proof); the rest, which the agent and the gate do, stands here.
Needs python3-cryptography, and the built package `forekey` on PYTHONPATH.
"""
import base64
import hashlib
import hmac
import json
import re
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from forekey import proof

OPEN_SESSION = "/forekey.v1.Gate/OpenSession"


class Refused(Exception):
    pass


def must(condition, why):
    if not condition:
        raise Refused(why)


def h(text):
    return bytes.fromhex(text)


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def label(name):
    return b"forekey/1 " + name + b"\0"


def big(value, size):
    return int(value).to_bytes(size, "big")


def with_length(data, size=2):
    return big(len(data), size) + data


def text(value):
    return with_length(value.encode())


def hkdf(key, salt, info):
    return mac(mac(salt or bytes(32), key), info + b"\x01")


def agree(private, public):
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Refused(f"a key share: {error}") from None


def public_of(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def signers(v):
    return big(len(v["credential_ids"]), 1) + b"".join(map(h, v["credential_ids"]))


def compare(given, right):
    must(hmac.compare_digest(given, right), "it does not verify")
    return {}


# ---- Challenges, statements, names ----

def challenge(v):
    head = big(v["version"], 1) + big(v["purpose"], 1) + h(v["instance_tag"]) + big(v["issued_ns"], 8) + h(v["random"])
    return {"challenge": (head + mac(h(v["key"]), label(b"challenge") + text(v["audience"]) + head)).hex()}


def check_challenge(v):
    data = h(v["challenge"])
    must(len(data) == 64, "its size")
    compare(data[32:], mac(h(v["key"]), label(b"challenge") + text(v["audience"]) + data[:32]))
    must(data[0] == 1 and data[1] == v["purpose"], "its version or purpose")
    return {}


def credential_id(v):
    return {"credential_id": sha256(label(b"credential") + text(v["audience"]) + text(v["subject"]) +
                                    with_length(h(v["spki"]))).hex()}


def statement(v):
    role = b"open" if v["method"] == OPEN_SESSION else b"call-device"
    return {"statement": (label(role) + text(v["audience"]) + text(v["method"]) + h(v["challenge"]) +
                          h(v["channel_binding"]) + signers(v) + with_length(h(v["key_share"]), 1) +
                          with_length(h(v["request_digest"]), 1)).hex()}


def enroll_statement(v):
    return {"statement": (label(b"enroll") + text(v["audience"]) + h(v["enrollment_id"]) + text(v["subject"]) +
                          big(v["kind"], 1) + with_length(h(v["spki"])) + h(v["channel_binding"]) +
                          h(v["challenge"])).hex()}


NAMES = {"method": r"(?=.{1,512}\Z)/[A-Za-z0-9_.]+/[A-Za-z0-9_]+",
         "audience": r"""[^\s\x00-\x20\x7f-\U0010ffff"'`\\/#]{1,255}""", "subject": r"(?![-.])[A-Za-z0-9._@+-]{1,255}"}


def check_name(v):
    must(re.fullmatch(NAMES[v["kind"]], v["text"], re.ASCII), "it is not well-formed")
    return {}


def step_up(v):
    found = re.match(r"forekey: step-up ([^,]*), reference ", v["message"])
    alternatives = [one.split("&") for one in found[1].split("|")] if found else []
    word = re.compile(r"tpm|fido2(\+uv)?|piv(\+pin|\+touch|-shared)?|cert|password|oidc|call|hardware|"
                      r"(?=.{1,32}\Z)[a-z0-9-]+(\.[a-z0-9-]+)+")
    good = len(alternatives) <= 8 and all(len(words) <= 6 and len(set(words)) == len(words) and
                                          all(map(word.fullmatch, words)) for words in alternatives)
    return {"alternatives": alternatives if good else []}


# ---- Sessions ----

def session_key(v):
    secrets = agree(h(v["client_private"]), h(v["gate_share"])) + agree(h(v["client_private"]), h(v["identity"]))
    info = label(b"session") + sha256(h(v["transcript"])) + h(v["gate_share"]) + h(v["session_id"])
    return {"session_key": hkdf(secrets + h(v["parent_key"]), h(v["salt"]), info).hex()}


def check_confirmation(v):
    return compare(h(v["confirmation"]), mac(h(v["session_key"]), (
        label(b"confirm") + h(v["session_id"]) + h(v["gate_share"]) + big(v["idle_s"], 4) + big(v["absolute_s"], 4) +
        big(v["window"], 4) + with_length(h(v["next_gate_identity"]), 1) + text(v["subject"]))))


def call_mac_of(v):
    return proof.call_mac(h(v["key"]), proof.call_mac_bytes(
        h(v["session_id"]), int(v["sequence"]), v["age_s"], v["method"], h(v["channel_binding"]), h(v["request_digest"])))


def call_mac(v):
    return {"mac": call_mac_of(v).hex()}


def check_call_mac(v):
    return compare(h(v["mac"]), call_mac_of(v))


def resumption_mac_of(v):
    return mac(h(v["key"]), label(b"resume") + text(v["audience"]) + text(v["method"]) + sha256(h(v["ticket"])) +
               h(v["challenge"]) + h(v["channel_binding"]) + h(v["key_share"]) + h(v["request_digest"]))


def resumption_mac(v):
    return {"mac": resumption_mac_of(v).hex()}


def check_resumption_mac(v):
    return compare(h(v["mac"]), resumption_mac_of(v))


def factors_key(v, private, other, ephemeral, identity):
    key = hkdf(agree(private, other), b"", label(b"factors") + ephemeral + identity)
    return AESGCM(key), label(b"factors") + text(v["audience"]) + h(v["challenge"]) + signers(v)


def seal_factors(v):
    ephemeral = public_of(X25519PrivateKey.from_private_bytes(h(v["ephemeral_private"])))
    identity = public_of(X25519PrivateKey.from_private_bytes(h(v["identity_private"])))
    box, associated = factors_key(v, h(v["ephemeral_private"]), identity, ephemeral, identity)
    plain = h(v["blinder"]) + text(v["password"]) + text(v["id_token"])
    sealed = box.encrypt(h(v["nonce"]), plain + bytes(-len(plain) % 256), associated)
    return {"sealed": (b"\x01" + ephemeral + h(v["nonce"]) + sealed).hex()}


def open_factors(v):
    sealed, identity = h(v["sealed"]), h(v["identity_private"])
    must(len(sealed) >= 1 + 32 + 12 + 16 and sealed[0] == 1, "its version or size")
    ephemeral = sealed[1:33]
    box, associated = factors_key(v, identity, ephemeral, ephemeral,
                                  public_of(X25519PrivateKey.from_private_bytes(identity)))
    try:
        plain = box.decrypt(sealed[33:45], sealed[45:], associated)
    except InvalidTag:
        raise Refused("it does not open") from None
    found, at = [], 32
    for _ in range(2):
        size = int.from_bytes(plain[at:at + 2], "big")
        found.append(plain[at + 2:at + 2 + size].decode())
        at += 2 + size
    must(len(plain) % 256 == 0 and at <= len(plain) < at + 256 and not any(plain[at:]), "its filling")
    return {"password": found[0], "id_token": found[1]}


def id_token_nonce(v):
    data = label(b"id-token") + text(v["audience"]) + h(v["key_share"]) + signers(v)
    return {"nonce": base64.urlsafe_b64encode(sha256(data)).rstrip(b"=").decode()}


# ---- Prefixes ----

RESUMPTION = {"ticket": range(1, 1025), "challenge": (64,), "channel_binding": (32,), "key_share": (32,),
              "request_digest": (32,), "mac": (32,)}


def fields(*values):
    return b"".join(proof._bytes_field(number, value) if isinstance(value, bytes) else proof._number_field(number, value)
                    for number, value in enumerate(values, 1))


def serialize_prefix(v):
    if "session" in v:
        s = v["session"]
        return {"prefix": proof.session_prefix(h(s["session_id"]), int(s["sequence"]), s["age_s"], h(s["mac"]),
                                               h(s["request_digest"])).hex()}
    if "resumption" in v:
        return {"prefix": proof._bytes_field(3, fields(*(h(v["resumption"][name]) for name in RESUMPTION))).hex()}
    d = v["device"]
    body = fields(h(d["challenge"]), h(d["channel_binding"]), h(d["key_share"]), h(d["request_digest"]))
    for a in d["assertions"]:
        body += proof._bytes_field(5, fields(h(a["credential_id"]), h(a["signature"]), h(a["authenticator_data"]),
                                             h(a["client_data_json"])))
    return {"prefix": proof._bytes_field(1, body).hex()}


def read(data, shape):
    """shape: number -> (name, sizes or None for a number). What does not come out the same is not the one encoding."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            must(at < len(data) and shift < 64, "cut short")
            byte, at = data[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        must(tag >> 3 in shape, "an unknown field")
        name, sizes = shape[tag >> 3]
        must(tag & 7 == (0 if sizes is None else 2), "another wire type")
        value = varint()
        if sizes is not None:
            must(value in sizes and at + value <= len(data), name)
            value, at = data[at:at + value], at + value
        found.setdefault(name, []).append(value)
    return found


def one(found, name, needed=True):
    must(len(found.get(name, ())) == 1 or not needed and name not in found, f"not one {name}")
    return found[name][0] if name in found else b""


def parse_session(data):
    found = read(data, {1: ("session_id", (16,)), 2: ("sequence", None), 3: ("age_s", None), 4: ("mac", (16,)),
                        5: ("request_digest", (32,))})
    sequence, age = one(found, "sequence"), one(found, "age_s", False) or 0
    must(0 < sequence < 2**64 and age < 2**32, "a number that is too large")
    return {"session": {"session_id": one(found, "session_id").hex(), "sequence": str(sequence), "age_s": age,
                        "mac": one(found, "mac").hex(), "request_digest": one(found, "request_digest", False).hex()}}


def parse_device(data):
    found = read(data, {1: ("challenge", (64,)), 2: ("channel_binding", (32,)), 3: ("key_share", (32,)),
                        4: ("request_digest", (32,)), 5: ("assertions", range(1, 2049))})
    assertions = []
    for raw in found.get("assertions", ()):
        a = read(raw, {1: ("credential_id", (32,)), 2: ("signature", range(1, 513)),
                       3: ("authenticator_data", range(1, 1025)), 4: ("client_data_json", range(1, 1025))})
        assertions.append({name: one(a, name, name in ("credential_id", "signature")).hex() for name in
                           ("credential_id", "signature", "authenticator_data", "client_data_json")})
    ids = [a["credential_id"] for a in assertions]
    must(1 <= len(ids) <= 3 and ids == sorted(set(ids)), "the assertions")
    names = (("challenge", True), ("channel_binding", True), ("key_share", False), ("request_digest", False))
    return {"device": {**{name: one(found, name, needed).hex() for name, needed in names}, "assertions": assertions}}


def parse_resumption(data):
    found = read(data, dict(enumerate(RESUMPTION.items(), 1)))
    return {"resumption": {name: one(found, name).hex() for name in RESUMPTION}}


def parse_prefix(v):
    data = h(v["prefix"])
    must(len(data) <= 2048, "its size")
    kinds = {"device": parse_device, "session": parse_session, "resumption": parse_resumption}
    found = read(data, {number: (name, range(1, 2049)) for number, name in enumerate(kinds, 1)})
    must(len(found) == 1, "not one kind of proof")
    kind = next(iter(found))
    output = kinds[kind](one(found, kind))
    must(serialize_prefix(output)["prefix"] == v["prefix"], "not the one encoding")
    return output


# ---- Invites and enrolment ----

def parse_invite(v):
    encoded = re.fullmatch(r"forekey-invite:([A-Za-z0-9_-]+)", v["text"])
    must(encoded and len(v["text"]) <= 32768, "its alphabet or size")
    try:
        data = base64.urlsafe_b64decode(encoded[1] + "=" * (-len(encoded[1]) % 4))
    except ValueError as error:
        raise Refused(str(error)) from None
    must(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == encoded[1], "bits that mean nothing")
    must(sha256(data[:-4])[:4] == data[-4:], "the checksum")
    data, at = data[:-4], 1

    def take(size):
        nonlocal at
        must(at + size <= len(data), "cut short")
        at += size
        return data[at - size:at]

    must(data[:1] == b"\x01", "its version")
    audience = take(take(1)[0])
    address = take(int.from_bytes(take(2), "big"))
    fingerprint, seed, end = take(32), take(16), int.from_bytes(take(2), "big") + at
    certificates = []
    while at < end:
        certificates.append(take(int.from_bytes(take(2), "big")).hex())
    must(at == end == len(data), "something left over")
    return {"audience": audience.decode(), "address": address.decode(), "identity_fingerprint": fingerprint.hex(),
            "seed": seed.hex(), "ca_certificates": certificates}


def key_of_invite(v):
    return Ed25519PrivateKey.from_private_bytes(hkdf(h(v["seed"]), b"", label(b"invite-key") + v["audience"].encode()))


def invite_key(v):
    return {"public_key": public_of(key_of_invite(v)).hex()}


def invite_signature(v):
    data = v["label"].encode() + b"\0" + text(v["audience"]) + sha256(h(v["payload"]))
    return {"signature": key_of_invite(v).sign(data).hex()}


def confirmation_of(v):
    key = hkdf(agree(h(v["client_private"]), h(v["identity"])), h(v["challenge"]),
               label(b"enroll-confirm") + text(v["audience"]))
    return mac(key, big(v["step"], 1) + sha256(h(v["request_payload"])) + sha256(h(v["response_payload"])))


def enrollment_confirmation(v):
    return {"confirmation": confirmation_of(v).hex()}


def check_enrollment_confirmation(v):
    return compare(h(v["confirmation"]), confirmation_of(v))


ANSWERS = {function.__name__.replace("_", "-"): function for function in (
    challenge, check_challenge, credential_id, statement, enroll_statement, check_name, step_up, session_key,
    check_confirmation, call_mac, check_call_mac, resumption_mac, check_resumption_mac, seal_factors, open_factors, id_token_nonce, serialize_prefix,
    parse_prefix, parse_invite, invite_key, invite_signature, enrollment_confirmation, check_enrollment_confirmation)}


def answer(op, given):
    if op not in ANSWERS:
        return {"unsupported": True}
    try:
        return {"output": ANSWERS[op](given)}
    except Refused as refused:
        return {"refused": str(refused)}


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"id": asked["id"], **answer(asked["op"], asked["input"])}), flush=True)


if __name__ == "__main__":
    main()
