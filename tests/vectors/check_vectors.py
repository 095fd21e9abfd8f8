#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks tests/vectors/forekey-v1.json against docs/PROTOCOL.md without any of Forekey's code.

Needs Python's standard library and python3-cryptography (X25519, Ed25519, AES-GCM). It is also the shortest
complete description of the signed bytes: read it beside docs/PROTOCOL.md.
"""
import base64
import hashlib
import hmac
import json
import re
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LABEL = b"forekey/1 "


def h(text):
    return bytes.fromhex(text)


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf32(key, salt, info):
    """RFC 5869 with SHA-256, one block of output."""
    return mac(mac(salt or bytes(32), key), info + b"\x01")


def len1(data):
    return len(data).to_bytes(1, "big") + data


def len2(data):
    return len(data).to_bytes(2, "big") + data


def public_of(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def agree(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(public))


def same(got, want, what):
    if got != want:
        sys.exit(f"{what}: computed {got!r}, the file says {want!r}")


# ---- protobuf's wire format, as docs/PROTOCOL.md allows it ----

class Malformed(Exception):
    pass


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_bytes(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value if value else b""


def put_number(number, value):
    return varint(number << 3) + varint(value) if value else b""


def read_varint(data, at):
    value = shift = 0
    begin = at
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("varint")
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            break
    if value >> 64 or varint(value) != data[begin:at]:
        raise Malformed("a varint that is not minimal")
    return value, at


def read_fields(data, repeated=()):
    """Field numbers and values in ascending order, each once unless it is repeated."""
    at, last, fields = 0, 0, []
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number < last or (number == last and number not in repeated):
            raise Malformed("fields out of order or repeated")
        last = number
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 2:
            size, at = read_varint(data, at)
            if size > len(data) - at:
                raise Malformed("a length past the end")
            value, at = data[at:at + size], at + size
        else:
            raise Malformed("another wire type")
        if not value:
            raise Malformed("a default value that is present")
        fields.append((number, value))
    return fields


def take(fields, shape):
    """shape: number -> (name, smallest, largest, required); sizes for bytes, values for numbers."""
    out = {}
    for number, value in fields:
        if number not in shape:
            raise Malformed("an unknown field")
        name, low, high, _ = shape[number]
        numeric = name in ("sequence", "age_s")
        if numeric != isinstance(value, int):
            raise Malformed("a field of another wire type")
        if not low <= (value if numeric else len(value)) <= high:
            raise Malformed(name)
        out[name] = value
    for name, _, _, required in shape.values():
        if required and name not in out:
            raise Malformed(f"no {name}")
    return out


SESSION = {1: ("session_id", 16, 16, True), 2: ("sequence", 1, 2**64 - 1, True),
           3: ("age_s", 1, 2**32 - 1, False), 4: ("mac", 16, 16, True),
           5: ("request_digest", 32, 32, False)}
DEVICE = {1: ("challenge", 64, 64, True), 2: ("channel_binding", 32, 32, True),
          3: ("key_share", 32, 32, False), 4: ("request_digest", 32, 32, False)}
RESUMPTION = {1: ("ticket", 1, 1024, True), 2: ("challenge", 64, 64, True),
              3: ("channel_binding", 32, 32, True), 4: ("key_share", 32, 32, True),
              5: ("request_digest", 32, 32, True), 6: ("mac", 32, 32, True)}
ASSERTION = {1: ("credential_id", 32, 32, True), 2: ("signature", 1, 512, True),
             3: ("authenticator_data", 1, 1024, False), 4: ("client_data_json", 1, 1024, False)}


def parse_prefix(data):
    if len(data) > 2048:
        raise Malformed("oversize")
    fields = read_fields(data)
    if len(fields) != 1 or fields[0][0] not in (1, 2, 3) or isinstance(fields[0][1], int):
        raise Malformed("not one proof")
    number, body = fields[0]
    if number == 2:
        return {"session": take(read_fields(body), SESSION)}
    if number == 3:
        return {"resumption": take(read_fields(body), RESUMPTION)}
    inner = read_fields(body, repeated=(5,))
    device = take([f for f in inner if f[0] != 5], DEVICE)
    raw = [value for n, value in inner if n == 5]
    if any(isinstance(value, int) for value in raw):
        raise Malformed("an assertion of another wire type")
    device["assertions"] = [take(read_fields(value), ASSERTION) for value in raw]
    ids = [a["credential_id"] for a in device["assertions"]]
    if not 1 <= len(ids) <= 3 or ids != sorted(set(ids)):
        raise Malformed("assertions")
    return {"device": device}


def serialize_session(p):
    return put_bytes(2, put_bytes(1, h(p["session_id"])) + put_number(2, int(p["sequence"])) +
                     put_number(3, p["age_s"]) + put_bytes(4, h(p["mac"])) +
                     put_bytes(5, h(p["request_digest"])))


def serialize_device(p):
    body = b"".join(put_bytes(i, h(p[name])) for i, name in
                    enumerate(("challenge", "channel_binding", "key_share", "request_digest"), 1))
    for a in p["assertions"]:
        body += put_bytes(5, b"".join(
            put_bytes(i, h(a[name])) for i, name in
            enumerate(("credential_id", "signature", "authenticator_data", "client_data_json"), 1)))
    return put_bytes(1, body)


# ---- invites ----

def parse_invite(text):
    if not re.fullmatch(r"forekey-invite:[A-Za-z0-9_-]+", text):
        raise Malformed("scheme or alphabet")
    encoded = text[len("forekey-invite:"):]
    if len(encoded) % 4 == 1:
        raise Malformed("length")
    data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != encoded:
        raise Malformed("unused bits")
    body, check = data[:-4], data[-4:]
    if sha256(body)[:4] != check:
        raise Malformed("checksum")
    return body


def check_invite(v):
    cas = b"".join(len2(h(c)) for c in v["ca_certificates"])
    body = (b"\x01" + len1(v["audience"].encode()) + len2(v["address"].encode()) +
            h(v["identity_fingerprint"]) + h(v["seed"]) + len2(cas))
    same(parse_invite(v["text"]), body, "invite")
    seed = hkdf32(h(v["seed"]), b"", LABEL + b"invite-key\0" + v["audience"].encode())
    key = Ed25519PrivateKey.from_private_bytes(seed)
    same(public_of(key).hex(), v["public_key"], "invite public key")
    for s in v["signatures"]:
        statement = s["label"].encode() + b"\0" + len2(v["audience"].encode()) + sha256(h(s["payload"]))
        same(statement.hex(), s["statement"], "invite statement")
        same(key.sign(statement).hex(), s["signature"], "invite signature")


# ---- everything else, one function a section ----

def check_challenge(v):
    head = (bytes([v["version"], v["purpose"]]) + h(v["instance_tag"]) +
            int(v["issued_ns"]).to_bytes(8, "big") + h(v["random"]))
    tag = mac(h(v["key"]), LABEL + b"challenge\0" + len2(v["audience"].encode()) + head)
    same((head + tag).hex(), v["challenge"], "challenge")


def check_credential_id(v):
    data = (LABEL + b"credential\0" + len2(v["audience"].encode()) + len2(v["subject"].encode()) +
            len2(h(v["spki"])))
    same(sha256(data).hex(), v["credential_id"], "credential_id")


def check_call_statement(v):
    role = b"open" if v["method"] == "/forekey.v1.Gate/OpenSession" else b"call-device"
    statement = (LABEL + role + b"\0" + len2(v["audience"].encode()) + len2(v["method"].encode()) +
                 h(v["challenge"]) + h(v["channel_binding"]) + bytes([len(v["credential_ids"])]) +
                 b"".join(h(i) for i in v["credential_ids"]) + len1(h(v["key_share"])) +
                 len1(h(v["request_digest"])))
    same(statement.hex(), v["statement"], "call statement")
    same(sha256(statement).hex(), v["sha256"], "call statement's hash")
    key = Ed25519PrivateKey.from_private_bytes(h(v["ed25519_seed"]))
    Ed25519PublicKey.from_public_bytes(public_of(key)).verify(h(v["ed25519_signature"]), statement)


def check_enroll_statement(v):
    statement = (LABEL + b"enroll\0" + len2(v["audience"].encode()) + h(v["enrollment_id"]) +
                 len2(v["subject"].encode()) + bytes([v["kind"]]) + len2(h(v["spki"])) +
                 h(v["channel_binding"]) + h(v["challenge"]))
    same(statement.hex(), v["statement"], "enrolment statement")


def check_session_key(v):
    same(sha256(h(v["identity"])).hex(), v["identity_fingerprint"], "identity fingerprint")
    for private, public in (("client_private", "client_share"), ("gate_private", "gate_share"),
                            ("identity_private", "identity")):
        same(public_of(X25519PrivateKey.from_private_bytes(h(v[private]))).hex(), v[public], public)
    ephemeral = agree(h(v["client_private"]), h(v["gate_share"]))
    identity = agree(h(v["client_private"]), h(v["identity"]))
    same(ephemeral.hex(), v["ephemeral_secret"], "ephemeral secret")
    same(identity.hex(), v["identity_secret"], "identity secret")
    info = LABEL + b"session\0" + sha256(h(v["transcript"])) + h(v["gate_share"]) + h(v["session_id"])
    key = hkdf32(ephemeral + identity + h(v["parent_key"]), h(v["salt"]), info)
    same(key.hex(), v["session_key"], "session key")
    same(mac(key, LABEL + b"tls-anchors\0" + h(v["session_id"]) + v["tls_anchors"].encode()).hex(),
         v["tls_anchors_mac"], "TLS anchors")
    for c in v["confirmations"]:
        message = (LABEL + b"confirm\0" + h(v["session_id"]) + h(v["gate_share"]) +
                   c["idle_s"].to_bytes(4, "big") + c["absolute_s"].to_bytes(4, "big") +
                   c["window"].to_bytes(4, "big") + len1(h(c["next_gate_identity"])) +
                   len2(c["subject"].encode()))
        same(mac(key, message).hex(), c["confirmation"], "confirmation")


def check_sealed_factors(v):
    ephemeral = X25519PrivateKey.from_private_bytes(h(v["ephemeral_private"]))
    identity = public_of(X25519PrivateKey.from_private_bytes(h(v["identity_private"])))
    key = hkdf32(agree(h(v["ephemeral_private"]), identity), b"",
                 LABEL + b"factors\0" + public_of(ephemeral) + identity)
    associated = (LABEL + b"factors\0" + len2(v["audience"].encode()) + h(v["challenge"]) +
                  bytes([len(v["credential_ids"])]) + b"".join(h(i) for i in v["credential_ids"]))
    plain = h(v["blinder"]) + len2(v["password"].encode()) + len2(v["id_token"].encode())
    plain += bytes(-len(plain) % 256)
    same(plain.hex(), v["plain"], "factors")
    box = AESGCM(key).encrypt(h(v["nonce"]), plain, associated)
    same((b"\x01" + public_of(ephemeral) + h(v["nonce"]) + box).hex(), v["sealed"], "sealed factors")


def check_id_token_nonce(v):
    message = (LABEL + b"id-token\0" + len2(v["audience"].encode()) + h(v["key_share"]) +
               bytes([len(v["credential_ids"])]) + b"".join(h(i) for i in v["credential_ids"]))
    nonce = base64.urlsafe_b64encode(sha256(message)).rstrip(b"=").decode()
    same(nonce, v["nonce"], "ID token nonce")


def check_call_mac(v):
    message = (LABEL + b"call\0" + h(v["session_id"]) + int(v["sequence"]).to_bytes(8, "big") +
               v["age_s"].to_bytes(4, "big") + len2(v["method"].encode()) +
               h(v["channel_binding"]) + h(v["request_digest"]))
    same(message.hex(), v["bytes"], "MACed bytes")
    same(mac(h(v["key"]), message)[:16].hex(), v["mac"], "call MAC")


def check_enrollment_confirmation(v):
    secret = agree(h(v["client_private"]), h(v["identity"]))
    key = hkdf32(secret, h(v["challenge"]),
                 LABEL + b"enroll-confirm\0" + len2(v["audience"].encode()))
    same(key.hex(), v["key"], "enrolment key")
    message = bytes([v["step"]]) + sha256(h(v["request_payload"])) + sha256(h(v["response_payload"]))
    same(mac(key, message).hex(), v["confirmation"], "enrolment confirmation")


def check_resumption_mac(v):
    message = (LABEL + b"resume\0" + len2(v["audience"].encode()) + len2(v["method"].encode()) +
               sha256(h(v["ticket"])) + h(v["challenge"]) + h(v["channel_binding"]) +
               h(v["key_share"]) + h(v["request_digest"]))
    same(message.hex(), v["bytes"], "MACed bytes of a resumption")
    same(mac(h(v["key"]), message).hex(), v["mac"], "MAC of a resumption")
    names = ("ticket", "challenge", "channel_binding", "key_share", "request_digest", "mac")
    data = put_bytes(3, b"".join(put_bytes(i, h(v[name])) for i, name in enumerate(names, 1)))
    same(data.hex(), v["prefix"], "resumption proof")
    same(list(parse_prefix(data)), ["resumption"], "kind of proof")


def check_prefix(v):
    data = serialize_session(v["session"]) if "session" in v else serialize_device(v["device"])
    same(data.hex(), v["bytes"], "prefix")
    same(list(parse_prefix(data)), [k for k in v if k != "bytes"], "kind of proof")


def refuses(function, argument, why):
    try:
        function(argument)
    except Malformed:
        return
    sys.exit(f"accepted, though it must be refused: {why}")


def check_share(v):
    try:
        agree(h(v["client_private"]), h(v["share"]))
    except ValueError:  # python3-cryptography has OpenSSL refuse it
        return
    sys.exit(f"accepted, though it agrees on zero: {v['share']}")


NAMES = {"method": re.compile(r"/[A-Za-z0-9_.]+/[A-Za-z0-9_]+"), "audience": re.compile(r"[!$-&(-.0-\[\]-_a-~]{1,255}"),
         "subject": re.compile(r"(?![-.])[A-Za-z0-9._@+-]{1,255}")}


def check_name(v):
    valid = NAMES[v["kind"]].fullmatch(v["text"]) is not None and len(v["text"].encode()) <= 512
    same(valid, v["valid"], f"{v['kind']} {v['text']!r}")


TOKEN_FACTORS = {"tpm", "fido2", "fido2+uv", "piv", "piv+pin", "piv+touch", "piv-shared", "cert"}


def is_step_up_word(word):
    own = len(word) <= 32 and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", word)
    return word in TOKEN_FACTORS | {"password", "oidc", "call", "hardware"} or bool(own)


def read_step_up(message):
    found = re.match(r"forekey: step-up (.*?), reference ", message)
    alternatives = [one.split("&") for one in found.group(1).split("|")] if found else []
    good = len(alternatives) <= 8 and all(
        len(words) <= 6 and len(set(words)) == len(words) and all(map(is_step_up_word, words))
        for words in alternatives)
    return alternatives if good else []


def check_step_up(v):
    same(read_step_up(v["message"]), v["alternatives"], f"step-up in {v['message']!r}")


CHECKS = {
    "challenges": check_challenge,
    "credential_ids": check_credential_id,
    "call_statements": check_call_statement,
    "enroll_statements": check_enroll_statement,
    "session_keys": check_session_key,
    "sealed_factors": check_sealed_factors,
    "id_token_nonces": check_id_token_nonce,
    "call_macs": check_call_mac,
    "resumption_macs": check_resumption_mac,
    "enrollment_confirmations": check_enrollment_confirmation,
    "prefixes": check_prefix,
    "invalid_prefixes": lambda v: refuses(parse_prefix, h(v["bytes"]), v["why"]),
    "invites": check_invite,
    "invalid_invites": lambda v: refuses(parse_invite, v["text"], v["why"]),
    "invalid_shares": check_share,
    "names": check_name,
    "step_ups": check_step_up,
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    same(vectors.pop("protocol"), "forekey/1", "protocol")
    vectors.pop("about")
    same(sorted(vectors), sorted(CHECKS), "sections")
    total = 0
    for name, check in CHECKS.items():
        if not vectors[name]:
            sys.exit(f"{name} is empty")
        for vector in vectors[name]:
            check(vector)
            total += 1
    print(f"{total} vectors agree with the specification")


if __name__ == "__main__":
    main()
