# SPDX-License-Identifier: Apache-2.0
"""The protocol's bytes, as docs/PROTOCOL.md says them, for the gate and the client that this program plays."""
import base64
import hashlib
import hmac
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey


GATE = "/forekey.v1.Gate/"
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Malformed(Exception):
    pass


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def label(name):
    return b"forekey/1 " + name + b"\0"


def len1(data):
    return len(data).to_bytes(1, "big") + data


def len2(data):
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(2, "big") + data


def hkdf(key, salt, info):
    return mac(mac(salt or bytes(32), key), info + b"\x01")


def agree(private, public):
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def public_of(private):
    return private.public_key().public_bytes(*RAW)


# ---- Protobuf: fields as {number: [values]}, bytes or numbers ----

def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(*fields):
    """(number, value) pairs, in order; defaults are left out."""
    out = b""
    for number, value in fields:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes) and value:
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, int) and value:
            out += varint(number << 3) + varint(value)
    return out


def _read_varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("a varint")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields_of(data, lenient=False):
    found, at = {}, 0
    while at < len(data):
        try:
            tag, at = _read_varint(data, at)
            value, at = _read_varint(data, at)
            if tag & 7 == 2:
                if at + value > len(data):
                    raise Malformed("cut short")
                value, at = data[at:at + value], at + value
            elif tag & 7 != 0:
                raise Malformed("a wire type")
        except Malformed:
            if lenient:
                break
            raise
        found.setdefault(tag >> 3, []).append(value)
    return found


def get(found, number, default=b""):
    return found[number][-1] if number in found else default


def canonical(data, most, repeated=()):
    """Whether the fields are known (1 to `most`), in order, once each, and as short as can be."""
    found = fields_of(data)
    if not all(1 <= number <= most for number in found):
        return False
    pairs = [(number, value) for number in sorted(found) for value in found[number]]
    return message(*pairs) == data and all(len(found[n]) == 1 or n in repeated for n in found)


# ---- Proofs ----

class SessionProof:
    def __init__(self, body, lenient=False):
        found = fields_of(body, lenient)
        self.id, self.sequence, self.age = get(found, 1), get(found, 2, 0), get(found, 3, 0)
        self.mac, self.digest = get(found, 4), get(found, 5)
        self.canonical = lenient or canonical(body, 5)

    def maced(self, method, binding):
        return (label(b"call") + self.id + self.sequence.to_bytes(8, "big") + self.age.to_bytes(4, "big") +
                len2(method) + binding + self.digest)


class DeviceProof:
    def __init__(self, body):
        found = fields_of(body)
        self.challenge, self.binding = get(found, 1), get(found, 2)
        self.share, self.digest = get(found, 3), get(found, 4)
        self.assertions = [fields_of(one) for one in found.get(5, [])]
        self.canonical = canonical(body, 5, repeated=(5,)) and all(canonical(one, 4) for one in found.get(5, []))

    @property
    def signers(self):
        return [get(one, 1) for one in self.assertions]

    def statement(self, audience, method):
        role = b"open" if method == GATE + "OpenSession" else b"call-device"
        return (label(role) + len2(audience) + len2(method) + self.challenge + self.binding +
                len(self.assertions).to_bytes(1, "big") + b"".join(self.signers) + len1(self.share) + len1(self.digest))


def parse_prefix(data):
    found = fields_of(data)
    if len(data) > 2048 or len(found) != 1 or not canonical(data, 2):
        raise Malformed("not one proof in its one encoding")
    return SessionProof(found[2][0]) if 2 in found else DeviceProof(found[1][0])


def verifies(spki, signed, audience, signature, authenticator_data, client_data):
    """A signature by a token over a statement: plain, or as a WebAuthn assertion."""
    if client_data:
        told = json.loads(client_data)
        challenge = base64.urlsafe_b64encode(sha256(signed)).rstrip(b"=").decode()
        if (told.get("type"), told.get("challenge"), told.get("origin")) != (
                "webauthn.get", challenge, f"forekey://{audience}"):
            return False
        signed = authenticator_data + sha256(client_data)
    key = serialization.load_der_public_key(spki)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            bits = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]
            key.verify(signature, signed, ec.ECDSA(bits))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, signed)
        return True
    except InvalidSignature:
        return False


# ---- Sessions and enrolment ----

def session_key(secrets, salt, transcript, gate_share, session_id):
    return hkdf(secrets, salt, label(b"session") + sha256(transcript) + gate_share + session_id)


def confirmation(key, session_id, gate_share, idle, absolute, window, next_identity, subject):
    return mac(key, label(b"confirm") + session_id + gate_share + idle.to_bytes(4, "big") +
               absolute.to_bytes(4, "big") + window.to_bytes(4, "big") + len1(next_identity) + len2(subject))


def credential_id(audience, subject, spki):
    return sha256(label(b"credential") + len2(audience) + len2(subject) + len2(spki))


def enroll_key(secret, challenge, audience):
    return hkdf(secret, challenge, label(b"enroll-confirm") + len2(audience))


def enroll_confirmation(key, step, request, response):
    return mac(key, bytes([step]) + sha256(request) + sha256(response))


def enroll_statement(audience, enrollment_id, subject, kind, spki, binding, challenge):
    return (label(b"enroll") + len2(audience) + enrollment_id + len2(subject) + bytes([kind]) + len2(spki) + binding +
            challenge)


class Invite:
    def __init__(self, audience, address, fingerprint, seed, certificates):
        body = (b"\x01" + len1(audience.encode()) + len2(address) + fingerprint + seed +
                len2(b"".join(map(len2, certificates))))
        self.text = "forekey-invite:" + base64.urlsafe_b64encode(body + sha256(body)[:4]).rstrip(b"=").decode()
        self.audience = audience
        self.key = ed25519.Ed25519PrivateKey.from_private_bytes(
            hkdf(seed, b"", label(b"invite-key") + audience.encode()))

    def signed(self, step, payload):
        return label(b"invite-" + step) + len2(self.audience) + sha256(payload)

    def verifies(self, step, payload, signature):
        try:
            self.key.public_key().verify(signature, self.signed(step, payload))
            return True
        except InvalidSignature:
            return False


def new_identity():
    return X25519PrivateKey.generate()
