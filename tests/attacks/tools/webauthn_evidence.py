# SPDX-License-Identifier: Apache-2.0
"""Encoders of WebAuthn evidence for attacks: CBOR, COSE keys, authenticator data, statements, JWS.

Written from the specifications by hand: it shares no code with the verifiers, and can write what is
wrong. Certificates and TPM structures come from tpm_evidence.
"""
import base64
import hashlib
import json
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from tpm_evidence import *  # noqa: F403

UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
ES256, EDDSA, ES384, ES512, RS256, RS1 = -7, -8, -35, -36, -257, -65535
AAGUID_OID = "1.3.6.1.4.1.45724.1.1.4"


def sha256_of(data):
    return hashlib.sha256(data).digest()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# ---- CBOR: entries in the order given ----

def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(value)


class Raw(bytes):
    """CBOR that is written as it stands."""


class Pairs(list):
    """A map's entries, where a dict would not do: repeated keys."""


def cbor(value):
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list) and not isinstance(value, Pairs):
        return head(4, len(value)) + b"".join(map(cbor, value))
    entries = value.items() if isinstance(value, dict) else value
    return head(5, len(entries)) + b"".join(cbor(k) + cbor(v) for k, v in entries)


# ---- Keys ----

def cose_key(key):
    public = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {1: 1, 3: EDDSA, -1: 6, -2: raw}
    numbers = public.public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {1: 3, 3: RS256, -1: numbers.n.to_bytes(key.key_size // 8, "big"), -2: b"\1\0\1"}
    alg, crv, size = {"secp256r1": (ES256, 1, 32), "secp384r1": (ES384, 2, 48)}[key.curve.name]
    return {1: 2, 3: alg, -1: crv, -2: numbers.x.to_bytes(size, "big"),
            -3: numbers.y.to_bytes(size, "big")}


def sign_cose(key, message, alg=None):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, rsa.RSAPrivateKey):
        digest = hashes.SHA1() if alg == RS1 else hashes.SHA256()
        return key.sign(message, padding.PKCS1v15(), digest)
    return key.sign(message, ec.ECDSA(hashes.SHA384() if alg == ES384 else hashes.SHA256()))


# ---- Ceremonies ----

def auth_data(rp_id, flags, count=9, aaguid=b"", credential_id=b"", key=b"", extensions=b""):
    attested = aaguid + struct.pack(">H", len(credential_id)) + credential_id + key if flags & AT else b""
    return sha256_of(rp_id.encode()) + bytes([flags]) + struct.pack(">I", count) + attested + extensions


def client_json(kind, challenge, origin, **more):
    return json.dumps({"type": kind, "challenge": b64url(challenge), "origin": origin, **more},
                      separators=(",", ":")).encode()


def attestation_object(fmt, statement, data, order=("fmt", "attStmt", "authData")):
    members = {"fmt": fmt, "attStmt": statement, "authData": data}
    return cbor({name: members[name] for name in order})


# ---- Certificates ----

def subject_name(country="SE", organization="Tokens AB", unit="Authenticator Attestation",
                 common="Tokens FIDO Attestation 7"):
    parts = (("2.5.4.6", country, 0x13), ("2.5.4.10", organization, 0x0C), ("2.5.4.11", unit, 0x0C),
             ("2.5.4.3", common, 0x0C))
    return seq(*[tlv(0x31, rdn(number, text, tag)) for number, text, tag in parts if text is not None])


def aaguid_extension(aaguid, critical=None):
    return extension(AAGUID_OID, tlv(0x04, aaguid), critical)


def certificate_policies(critical=True):
    return extension("2.5.29.32", seq(seq(oid("1.3.6.1.4.1.311.21.31"))), critical)


def subject_alt_dns(host):
    return extension("2.5.29.17", seq(tlv(0x82, host.encode())))


def key_id(key):
    """SHA-1 of the public key's bits."""
    return hashlib.sha1(key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)).digest()


# ---- FIDO Metadata Service 3 ----

def jws(payload, signer, chain, alg=None, **header):
    alg = alg or ("RS256" if isinstance(signer, rsa.RSAPrivateKey) else "ES256")
    head_json = {"alg": alg, "typ": "JWT", "x5c": [base64.b64encode(c).decode() for c in chain]}
    head_json.update(header)
    signed = (b64url(json.dumps(head_json).encode()) + "." +
              b64url(payload if isinstance(payload, bytes) else json.dumps(payload).encode())).encode()
    if isinstance(signer, rsa.RSAPrivateKey):
        made = signer.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = utils.decode_dss_signature(signer.sign(signed, ec.ECDSA(hashes.SHA256())))
        made = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return signed + b"." + b64url(made).encode()
