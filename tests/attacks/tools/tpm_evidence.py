# SPDX-License-Identifier: Apache-2.0
"""Encoders of TPM evidence for attacks: X.509 in DER, TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE.

Written from RFC 5280 and the TPM 2.0 Library, Part 2, by hand: it shares no code with the verifiers,
and can write what is wrong. Only keys and signatures come from python3-cryptography.
"""
import hashlib
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
ALG = {"rsa": 1, "sha1": 4, "aes": 6, "sha256": 0xB, "sha384": 0xC, "null": 0x10, "rsassa": 0x14,
       "rsapss": 0x16, "ecdsa": 0x18, "ecc": 0x23, "cfb": 0x43}
CURVES = {"secp256r1": (3, 32), "secp384r1": (4, 48)}

FIXED_TPM, FIXED_PARENT, ORIGIN = 1 << 1, 1 << 4, 1 << 5
USER_WITH_AUTH, ADMIN_WITH_POLICY, NO_DA = 1 << 6, 1 << 7, 1 << 10
ENCRYPTED_DUPLICATION = 1 << 11
RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18
HARDWARE = FIXED_TPM | FIXED_PARENT | ORIGIN
EK_ATTRIBUTES = HARDWARE | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT  # template L-1
AK_ATTRIBUTES = HARDWARE | USER_WITH_AUTH | RESTRICTED | SIGN
KEY_ATTRIBUTES = HARDWARE | USER_WITH_AUTH | NO_DA | SIGN


# ---- DER ----

def tlv(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        length = bytes([size])
    else:
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        length = bytes([0x80 | len(digits)]) + digits
    return bytes([tag]) + length + body


def seq(*parts):
    return tlv(0x30, *parts)


def oid(dotted):
    first, second, *rest = [int(n) for n in dotted.split(".")]
    body = b""
    for number in [first * 40 + second] + rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, number & 0x7F | 0x80)
        body += bytes(digits)
    return tlv(0x06, body)


def integer(value):
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(body, unused=0):
    return tlv(0x03, bytes([unused]), body)


def rdn(dotted, text, tag=0x0C):
    return seq(oid(dotted), tlv(tag, text.encode()))


def name(common_name, tag=0x0C):
    return seq(tlv(0x31, rdn("2.5.4.3", common_name, tag))) if common_name else seq()


def extension(dotted, value, critical=None):
    flag = b"" if critical is None else tlv(0x01, b"\xff" if critical else b"\x00")
    return seq(oid(dotted), flag, tlv(0x04, value))


def basic_constraints(ca, path_length=None, critical=True):
    parts = [tlv(0x01, b"\xff")] if ca else []
    if path_length is not None:
        parts.append(integer(path_length))
    return extension("2.5.29.19", seq(*parts), critical)


def key_usage(first_byte, critical=True):
    unused = (first_byte & -first_byte).bit_length() - 1
    return extension("2.5.29.15", bits(bytes([first_byte]), unused), critical)


DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, KEY_AGREEMENT, CERT_SIGN = 0x80, 0x20, 0x08, 0x06


def ext_key_usage(*dotted, critical=None):
    return extension("2.5.29.37", seq(*[oid(d) for d in dotted]), critical)


def tpm_san(critical=True, one_rdn=True, tag=0x0C, manufacturer="id:494E5443"):
    """One multi-valued RDN, model first (not the DER order of a SET), or three RDNs."""
    values = [rdn("2.23.133.2.2", "Model X", tag), rdn("2.23.133.2.3", "id:13", tag),
              rdn("2.23.133.2.1", manufacturer, tag)]
    directory = seq(tlv(0x31, *values)) if one_rdn else seq(*[tlv(0x31, v) for v in values])
    return extension("2.5.29.17", seq(tlv(0xA4, directory)), critical)


def spki(key):
    return key.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def rsa_spki(modulus, exponent=65537):
    return seq(seq(oid("1.2.840.113549.1.1.1"), b"\x05\x00"), bits(seq(integer(modulus), integer(exponent))))


def signature_algorithm(signer, digest):
    if isinstance(signer, rsa.RSAPrivateKey):
        number = {"sha1": 5, "sha256": 11, "sha384": 12}[digest]
        return seq(oid(f"1.2.840.113549.1.1.{number}"), tlv(0x05))
    return seq(oid({"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2",
                    "sha384": "1.2.840.10045.4.3.3"}[digest]))


def sign(signer, data, digest, pss=False):
    if isinstance(signer, rsa.RSAPrivateKey):
        pad = padding.PSS(padding.MGF1(HASHES[digest]), padding.PSS.DIGEST_LENGTH) if pss else padding.PKCS1v15()
        return signer.sign(data, pad, HASHES[digest])
    return signer.sign(data, ec.ECDSA(HASHES[digest]))


def certificate(subject, issuer, key, signer, extensions, serial=b"\x11\x22", digest="sha256",
                not_before="20240101000000Z", not_after="20340101000000Z", key_info=None,
                signature_suffix=b"", algorithm=None):
    """subject and issuer: a name's DER, or a common name; algorithm: an AlgorithmIdentifier's DER."""
    as_name = lambda n: n if isinstance(n, bytes) else name(n)
    algorithm = algorithm or signature_algorithm(signer, digest)
    tbs = seq(tlv(0xA0, integer(2)), tlv(0x02, serial), algorithm, as_name(issuer),
              seq(tlv(0x18, not_before.encode()), tlv(0x18, not_after.encode())),
              as_name(subject), key_info or spki(key), tlv(0xA3, seq(*extensions)))
    return seq(tbs, algorithm, bits(sign(signer, tbs, digest) + signature_suffix))


def crl(issuer, signer, revoked=(), update="20251201000000Z", until="20260201000000Z", digest="sha256",
        more=(), entry=()):
    algorithm = signature_algorithm(signer, digest)
    entries = [seq(tlv(0x02, number), tlv(0x18, update.encode()), *([seq(*entry)] if entry else []))
               for number in revoked]
    parts = [integer(1), algorithm, name(issuer), tlv(0x18, update.encode())]
    if until:
        parts.append(tlv(0x18, until.encode()))
    if entries:
        parts.append(seq(*entries))
    if more:
        parts.append(tlv(0xA0, seq(*more)))
    tbs = seq(*parts)
    return seq(tbs, algorithm, bits(sign(signer, tbs, digest)))


# ---- TPM 2.0 Library, Part 2 ----

def u16(value):
    return struct.pack(">H", value)


def u32(value):
    return struct.pack(">I", value)


def sized(data):
    return u16(len(data)) + data


def public(key, attributes, scheme=None, name_alg="sha256", policy=b"", aes=None, exponent=0,
           strip_zeros=False):
    """TPMT_PUBLIC. scheme: None or ("rsassa", "sha256"); aes: None or bits."""
    symmetric = u16(ALG["aes"]) + u16(aes) + u16(ALG["cfb"]) if aes else u16(ALG["null"])
    detail = u16(ALG[scheme[0]]) + u16(ALG[scheme[1]]) if scheme else u16(ALG["null"])
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        head, rest = ALG["rsa"], (u16(key.key_size) + u32(exponent)
                                  + sized(numbers.n.to_bytes(key.key_size // 8, "big")))
    else:
        curve, size = CURVES[key.curve.name]
        point = [n.to_bytes(size, "big") for n in (numbers.x, numbers.y)]
        if strip_zeros:
            point = [p.lstrip(b"\0") for p in point]
        head, rest = ALG["ecc"], u16(curve) + u16(ALG["null"]) + b"".join(sized(p) for p in point)
    return (u16(head) + u16(ALG[name_alg]) + u32(attributes) + sized(policy) + symmetric + detail
            + rest)


def object_name(area, name_alg="sha256"):
    return u16(ALG[name_alg]) + hashlib.new(name_alg, area).digest()


def qualified_name(area, hierarchy, name_alg="sha256"):
    """Of a primary key of that hierarchy."""
    digest = hashlib.new(name_alg, u32(hierarchy) + object_name(area, name_alg)).digest()
    return u16(ALG[name_alg]) + digest


def attest(certified_name, extra_data, magic=0xFF544347, kind=0x8017, safe=1, tail=None,
           signer=b"\x00\x0b" + b"\x51" * 32):
    head = u32(magic) + u16(kind) + sized(signer) + sized(extra_data)
    clock = struct.pack(">QIIB", 123456789, 7, 3, safe)
    tail = sized(certified_name) + sized(b"\x00\x0b" + b"\x52" * 32) if tail is None else tail
    return head + clock + struct.pack(">Q", 0x0007000200010000) + tail


def tpm_signature(signer, data, scheme, digest="sha256", claim=None, pad=0):
    """TPMT_SIGNATURE. claim: what it says of its hash, where that is a lie; pad: zeros before r."""
    made = sign(signer, data, digest, pss=scheme == "rsapss")
    head = u16(ALG[scheme]) + u16(ALG[claim or digest])
    if scheme != "ecdsa":
        return head + sized(made)
    size = CURVES[signer.curve.name][1]
    r, s = [n.to_bytes(size, "big") for n in utils.decode_dss_signature(made)]
    return head + sized(b"\0" * pad + r) + sized(s)
