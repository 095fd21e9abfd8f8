#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Derives the values of WebAuthn Level 3, section "Test Vectors", and writes w3c_vectors.json.

Everything there is determined: random values are HKDF-SHA-256(IKM = "WebAuthn test vectors", salt = a
counter, info = the name of the vector), and ECDSA nonces are RFC 6979's. So the values can be made
again from that recipe; CHECKS below are digests of the published ones, so that a mistake in the
recipe does not go unnoticed. Needs python3-cryptography only.
"""
import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, ed448, padding, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

RP_ID = "example.org"
ORIGIN = "https://example.org"
EXTRA = "clientDataJSON may be extended with additional fields in the future, such as this: "


def sha256(data):
    return hashlib.sha256(data).digest()


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Random:
    """The values of one vector, in the order in which they are drawn."""

    def __init__(self, info):
        self.info, self.salt = info.encode(), 0

    def draw(self, size):
        key = hmac.new(bytes([self.salt]), b"WebAuthn test vectors", "sha256").digest()
        self.salt += 1
        out, block, counter = b"", b"", 1
        while len(out) < size:
            block = hmac.new(key, block + self.info + bytes([counter]), "sha256").digest()
            out, counter = out + block, counter + 1
        return out[:size]


# ---- Deterministic ECDSA (RFC 6979, section 3.2) ----
ORDERS = {
    "secp256r1": 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551,
    "secp384r1": 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973,
    "secp521r1": 0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409,
}


def der(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def der_integer(value):
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def nonce(order, secret, digest, name):
    bits = order.bit_length()
    size = (bits + 7) // 8

    def to_int(octets):
        value = int.from_bytes(octets, "big")
        return value >> max(0, 8 * len(octets) - bits)

    seed = secret.to_bytes(size, "big") + (to_int(digest) % order).to_bytes(size, "big")
    v, k = b"\1" * len(digest), b"\0" * len(digest)
    for mark in (b"\0", b"\1"):
        k = hmac.new(k, v + mark + seed, name).digest()
        v = hmac.new(k, v, name).digest()
    while True:
        t = b""
        while len(t) < size:
            v = hmac.new(k, v, name).digest()
            t += v
        value = to_int(t[:size])
        if 0 < value < order:
            return value
        k = hmac.new(k, v + b"\0", name).digest()
        v = hmac.new(k, v, name).digest()


def ecdsa(key, message, name="sha256"):
    order = ORDERS[key.curve.name]
    secret = key.private_numbers().private_value
    digest = hashlib.new(name, message).digest()
    k = nonce(order, secret, digest, name)
    r = ec.derive_private_key(k, key.curve).public_key().public_numbers().x % order
    shift = max(0, 8 * len(digest) - order.bit_length())
    s = pow(k, -1, order) * ((int.from_bytes(digest, "big") >> shift) + r * secret) % order
    return der(0x30, der_integer(r) + der_integer(s))


# ---- CBOR, as far as it is needed, keys in canonical order ----
def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    raise ValueError(value)


def cbor(value):
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    entries = sorted(((cbor(k), cbor(v)) for k, v in value.items()),
                     key=lambda e: (e[0][0] >> 5, len(e[0]), e[0]))
    return head(5, len(entries)) + b"".join(k + v for k, v in entries)


# ---- Certificates ----
def subject(unit):
    return x509.Name([
        x509.NameAttribute(NameOID.COMMON_NAME, "WebAuthn test vectors"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "W3C"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        x509.NameAttribute(NameOID.COUNTRY_NAME, "AA")])


def certificate(name, issuer, key, issuer_key, serial, ca, more=()):
    usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment",
                           "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
                           "encipher_only", "decipher_only"), False)
    usage.update({"key_cert_sign": True, "crl_sign": True} if ca else {"digital_signature": True})
    identifier = x509.SubjectKeyIdentifier.from_public_key
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer)
               .public_key(key.public_key()).serial_number(serial)
               .not_valid_before(datetime.datetime(2024, 1, 1))
               .not_valid_after(datetime.datetime(3024, 1, 1))
               .add_extension(x509.BasicConstraints(ca, None), True)
               .add_extension(x509.KeyUsage(**usage), True)
               .add_extension(identifier(key.public_key()), False))
    if not ca:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                identifier(issuer_key.public_key())), False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    tbs = builder.sign(issuer_key, hashes.SHA256()).tbs_certificate_bytes
    algorithm = der(0x30, bytes.fromhex("06082a8648ce3d040302"))
    return der(0x30, tbs + algorithm + der(3, b"\0" + ecdsa(issuer_key, tbs)))


def derive(curve, octets):
    return ec.derive_private_key(int.from_bytes(octets, "big"), curve)


CA_RANDOM = Random("Attestation CA")
CA_KEY = derive(ec.SECP256R1(), CA_RANDOM.draw(32))
CA_NAME = subject("Authenticator Attestation CA")
CA_CERT = certificate(CA_NAME, CA_NAME, CA_KEY, CA_KEY,
                      int.from_bytes(CA_RANDOM.draw(16), "big"), True)


def attestation_certificate(random, tpm=False):
    key = derive(ec.SECP256R1(), random.draw(32))
    serial = int.from_bytes(random.draw(16), "big")
    if not tpm:
        name, more = subject("Authenticator Attestation"), ()
    else:
        name = x509.Name([])
        device = x509.Name([x509.RelativeDistinguishedName([
            x509.NameAttribute(ObjectIdentifier("2.23.133.2.1"), "id:00000000"),
            x509.NameAttribute(ObjectIdentifier("2.23.133.2.2"), "WebAuthn test vectors"),
            x509.NameAttribute(ObjectIdentifier("2.23.133.2.3"), "id:00000000")])])
        more = ((x509.ExtendedKeyUsage([ObjectIdentifier("2.23.133.8.3")]), False),
                (x509.SubjectAlternativeName([x509.DirectoryName(device)]), True))
    return key, certificate(name, CA_NAME, key, CA_KEY, serial, False, more)


# ---- Ceremonies ----
def client_data(random, kind, challenge, cross, top):
    flags = random.draw(1)[0]
    data = {"type": kind, "challenge": b64url(challenge), "origin": ORIGIN, "crossOrigin": cross}
    if top:
        data["topOrigin"] = "https://example.com"
    if flags & 1:
        data["extraData"] = EXTRA + b64url(random.draw(16))
    return json.dumps(data, separators=(",", ":")).encode()


def tpm_statement(key, signed, random):
    point = key.public_key().public_numbers()
    x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
    area = bytes.fromhex("0023000b00040000" "0000" "0010001000030010" "0020") + x + b"\0\x20" + y
    info = (bytes.fromhex("ff5443478017" "0000" "0020") + sha256(signed) +
            bytes.fromhex("0000000000000000111111112222222233" "0000000000000000" "0022000b") +
            sha256(area) + b"\0\0")
    signer, leaf = attestation_certificate(random, tpm=True)
    return {"ver": "2.0", "alg": -7, "x5c": [leaf], "sig": ecdsa(signer, info), "certInfo": info,
            "pubArea": area}


def statement(fmt, key, auth, client, credential_id, random):
    signed = auth + sha256(client)
    if fmt == "none":
        return {}
    if fmt == "packed-self":
        return {"alg": -7, "sig": ecdsa(key, signed)}
    if fmt == "tpm":
        return tpm_statement(key, signed, random)
    signer, leaf = attestation_certificate(random)
    if fmt == "packed":
        return {"alg": -7, "sig": ecdsa(signer, signed), "x5c": [leaf]}
    point = key.public_key().public_bytes(serialization.Encoding.X962,
                                          serialization.PublicFormat.UncompressedPoint)
    signed = b"\0" + sha256(RP_ID.encode()) + sha256(client) + credential_id + point
    return {"sig": ecdsa(signer, signed), "x5c": [leaf]}


def ec_kind(curve, alg, crv, hash_name, secret_size):
    size = (curve.key_size + 7) // 8

    def cose(key):
        point = key.public_key().public_numbers()
        return {1: 2, 3: alg, -1: crv, -2: point.x.to_bytes(size, "big"),
                -3: point.y.to_bytes(size, "big")}
    return (lambda random: derive(curve, random.draw(secret_size)), cose,
            lambda key, message: ecdsa(key, message, hash_name))


def rsa_key(_):
    p, q, e = 2**1279 - 1, 2**2203 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p),
                                 rsa.RSAPublicNumbers(e, p * q)).private_key()


def rsa_cose(key):
    n = key.public_key().public_numbers().n
    return {1: 3, 3: -257, -1: n.to_bytes((n.bit_length() + 7) // 8, "big"), -2: b"\1\0\1"}


def ed_cose(key, alg=-8, crv=6):
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {1: 1, 3: alg, -1: crv, -2: raw}


ES256 = ec_kind(ec.SECP256R1(), -7, 1, "sha256", 32)
ES384 = ec_kind(ec.SECP384R1(), -35, 2, "sha384", 48)
ES512 = ec_kind(ec.SECP521R1(), -36, 3, "sha512", 65)
RS256 = (rsa_key, rsa_cose, lambda key, m: key.sign(m, padding.PKCS1v15(), hashes.SHA256()))
EDDSA = (lambda random: ed25519.Ed25519PrivateKey.from_private_bytes(random.draw(32)), ed_cose,
         lambda key, m: key.sign(m))
ED448 = (lambda random: ed448.Ed448PrivateKey.from_private_bytes(random.draw(57)),
         lambda key: ed_cose(key, -53, 7), lambda key, m: key.sign(m))


def vector(info, fmt, kind, id_size=32, challenge_size=32, cross=False, top=False):
    make, cose, sign = kind
    random = Random(info)
    challenge = random.draw(challenge_size)
    key = make(random)
    client = client_data(random, "webauthn.create", challenge, cross, top)
    aaguid, credential_id = random.draw(16), random.draw(id_size)
    flags = 0x41
    if fmt != "fido-u2f":
        more = random.draw(1)[0] & 0x1c
        flags |= more if more & 8 else more & ~0x18
    public = cbor(cose(key))
    auth = (sha256(RP_ID.encode()) + bytes([flags]) + bytes(4) + aaguid +
            len(credential_id).to_bytes(2, "big") + credential_id + public)
    made = cbor({"fmt": "packed" if fmt == "packed-self" else fmt, "authData": auth,
                 "attStmt": statement(fmt, key, auth, client, credential_id, random)})
    get_challenge = random.draw(challenge_size)
    get_client = client_data(random, "webauthn.get", get_challenge, cross, top)
    more = random.draw(1)[0] & 0x14
    get_flags = flags & 8 | 1 | (more if flags & 8 else more & ~0x18)
    get_auth = sha256(RP_ID.encode()) + bytes([get_flags]) + bytes(4)
    return {"name": info, "challenge": challenge.hex(), "client_data": client.hex(),
            "attestation_object": made.hex(), "public_key": public.hex(),
            "assertion": {"challenge": get_challenge.hex(), "client_data": get_client.hex(),
                          "authenticator_data": get_auth.hex(),
                          "signature": sign(key, get_auth + sha256(get_client)).hex()}}


VECTORS = [
    vector("none.ES256", "none", ES256),
    vector("packed-self.ES256", "packed-self", ES256),
    vector("none.ES256.crossOrigin", "none", ES256, cross=True),
    vector("none.ES256.topOrigin", "none", ES256, cross=True, top=True),
    vector("none.ES256.long-credential-id", "none", ES256, id_size=1023),
    vector("packed.ES256", "packed", ES256),
    vector("packed.ES384", "packed", ES384),
    vector("packed.ES512", "packed", ES512, challenge_size=128),
    vector("packed.RS256", "packed", RS256),
    vector("packed.EdDSA", "packed", EDDSA),
    vector("packed.Ed448", "packed", ED448),
    vector("tpm.ES256", "tpm", ES256),
    vector("fido-u2f.ES256", "fido-u2f", ES256),
]

# SHA-256 of published values.
CHECKS = {
    "none.ES256": "d7789dff05cfd02ac8389a729d74f3a3ca877f7c1f80d73fd4b9d0bc9add1150",
    "packed-self.ES256": "ad70402615d6d80c3f447bf56a77bd0a2a107611a857d0b39f9d65a25091253a",
    "packed.ES256": "8f87c26a44179c5489b3f8f0ba6cc471909886985e5b5b6b72d8b757e581b1cd",
}


def main():
    for made in VECTORS:
        digest = sha256(bytes.fromhex(made["attestation_object"] + made["assertion"]["signature"]))
        if CHECKS.get(made["name"], digest.hex()) != digest.hex():
            print(f"{made['name']}: not the published value ({digest.hex()})", file=sys.stderr)
            return 1
    target = pathlib.Path(__file__).with_name("w3c_vectors.json")
    target.write_text(json.dumps({"root": CA_CERT.hex(), "rp_id": RP_ID, "origin": ORIGIN,
                                  "vectors": VECTORS}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
