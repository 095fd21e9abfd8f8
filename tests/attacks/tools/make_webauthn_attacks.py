#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/attacks/webauthn: registrations, assertions and metadata that are forged, malformed or
misused, beside honest ones as real tokens make them, and what must be said of each.

Needs python3-cryptography. The files are committed; run this again only to add or change some, whose names
are then the arguments; without any it writes all anew. Keys are made anew each time and
are thrown away.
"""
import json
import pathlib
import shutil
import sys

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from webauthn_evidence import *  # noqa: F403

ATTACKS = pathlib.Path(__file__).resolve().parents[1] / "webauthn"
DATA = ATTACKS.parents[1] / "data" / "webauthn"
AT_TIME = "2026-01-01T00:00:00Z"
RP, SITE = "gate.example", "https://gate.example"
CHALLENGE = bytes(range(32))
AAGUID = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
AAGUID_TEXT = "a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90"
CREDENTIAL_ID = bytes(range(64))
HELLO = 0x60472  # attributes of Windows Hello's keys

P256 = lambda: ec.generate_private_key(ec.SECP256R1())
RSA = lambda bits=2048: rsa.generate_private_key(65537, bits)
ROOT, ATTESTATION, CREDENTIAL, OTHER, AIK, RSA_KEY = P256(), P256(), P256(), P256(), RSA(), RSA()
ROOT_CERT = certificate("Tokens Root", "Tokens Root", ROOT, ROOT,
                        [basic_constraints(True, critical=None)])


def write(name, what, command, flags, files, reason="", proves=None, before=None, status=None):
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    folder = ATTACKS / name
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    expected = {"attack": what, "command": command, "flags": flags,
                "verdict": "refused" if reason else "valid", "reason": reason,
                "exit_status": (1 if reason else 0) if status is None else status}
    if before:
        expected["before"] = before
    if proves:
        expected["proves"] = proves
    (folder / "attack.json").write_text(json.dumps(expected, indent=2) + "\n")


# ---- Registrations ----

def leaf(subject=None, issuer="Tokens Root", key=None, signer=None, extensions=None, **changes):
    return certificate(subject_name() if subject is None else subject, issuer, key or ATTESTATION,
                       signer or ROOT,
                       [basic_constraints(False), aaguid_extension(AAGUID)]
                       if extensions is None else extensions, **changes)


class Registration:
    """An honest packed registration; what is passed is wrong, or otherwise as real ones are."""

    def __init__(self, key=None, flags=UP | UV | AT, rp=RP, client=None, aaguid=AAGUID, cose=None,
                 after=b"", credential_id=CREDENTIAL_ID, **client_more):
        self.key = key or CREDENTIAL
        self.client = client or client_json("webauthn.create", CHALLENGE, SITE, **client_more)
        self.data = auth_data(rp, flags, 9, aaguid, credential_id,
                              cbor(cose_key(self.key)) if cose is None else cose, after)
        self.signed = self.data + sha256_of(self.client)

    def packed(self, chain=None, alg=ES256, signer=None, signature=None):
        return {"alg": alg, "sig": signature or sign_cose(signer or ATTESTATION, self.signed, alg),
                "x5c": [leaf()] if chain is None else chain}

    def self_attested(self, alg=ES256, signer=None):
        return {"alg": alg, "sig": sign_cose(signer or self.key, self.signed)}

    def u2f(self, chain=None, key=None, rp=RP):
        point = cose_key(key or self.key)
        signed = (b"\0" + sha256_of(rp.encode()) + sha256_of(self.client) + CREDENTIAL_ID + b"\4" +
                  point[-2] + point[-3])
        bare = certificate("Tokens U2F 7", "Tokens Root", ATTESTATION, ROOT, [])
        return {"sig": sign_cose(ATTESTATION, signed), "x5c": [bare] if chain is None else chain}

    def tpm(self, alg=RS1, attributes=HELLO, area_key=None, extra=None, aik=None, certified=None,
            attest_changes=None, signer=None, ver="2.0", extensions=None, subject=None, policy=b"\x9d" * 32,
            key_info=None, area=lambda area: area, ca_usages=(), **area_changes):
        area = area(public(area_key or self.key, attributes, policy=policy, **area_changes))
        digest = "sha1" if alg == RS1 else "sha256"
        extra = hashlib.new(digest, self.signed).digest() if extra is None else extra
        info = attest(object_name(certified or area), extra, **(attest_changes or {}))
        if aik is None:
            aik = certificate(b"\x30\x00" if subject is None else subject, "AIK CA", AIK, OTHER,
                              [tpm_san(), ext_key_usage("2.23.133.8.3"), basic_constraints(False),
                               key_usage(DIGITAL_SIGNATURE), certificate_policies()]
                              if extensions is None else extensions, key_info=key_info)
        ca = certificate("AIK CA", "Tokens Root", OTHER, ROOT,
                         [basic_constraints(True, 0), key_usage(CERT_SIGN)] +
                         ([ext_key_usage(*ca_usages, critical=True)] if ca_usages else []))
        return {"alg": alg, "sig": sign_cose(signer or AIK, info, alg), "ver": ver, "x5c": [aik, ca],
                "pubArea": area, "certInfo": info}


def registration(name, what, made, fmt="packed", statement=None, reason="", flags=(), proves=None,
                 raw=None, tail=b"", trust=ROOT_CERT, challenge=CHALLENGE, at=AT_TIME, **order):
    statement = made.packed() if statement is None else statement
    raw = attestation_object(fmt, statement, made.data, **order) if raw is None else raw
    files = {"object.cbor": raw + tail, "client.json": made.client}
    words = ["--kind", "webauthn", "--attestation-object", "object.cbor", "--client-data", "client.json",
             "--challenge", b64url(challenge), "--rp-id", RP, "--origin", SITE, "--at", at, *flags]
    if trust:
        files["trust/root.der"] = trust
        words += ["--trust", "trust"]
    write(name, what, "verify attestation", words, files, reason, proves)


def valid_registrations():
    for alg, key in (("es256", CREDENTIAL), ("es384", ec.generate_private_key(ec.SECP384R1())),
                     ("eddsa", ed25519.Ed25519PrivateKey.generate()), ("rs256", RSA_KEY)):
        registration(f"valid-packed-{alg}", f"packed by ES256 for an {alg} credential",
                     Registration(key=key),
                     proves={"format": "packed", "attestation_type": "basic", "aaguid": AAGUID_TEXT,
                             "aaguid_proved": True, "sign_count": 9, "algorithm": alg.upper().replace(
                                 "EDDSA", "EdDSA")})
    bare = leaf(extensions=[basic_constraints(False, critical=None)])
    made = Registration()
    registration("valid-packed-bare-leaf",
                 "basicConstraints not critical, no AAGUID extension, no key identifiers", made,
                 statement=made.packed([bare]))
    registration("valid-order", "members of the outer object in another order", made,
                 order=("authData", "fmt", "attStmt"))
    registration("valid-tail", "35 unsigned bytes behind the outer object", made, tail=b"\xa0" * 35,
                 proves={"ignored_tail_bytes": 35})
    made = Registration(flags=UP | AT, tokenBinding={"status": "not-supported"}, crossOrigin=False,
                        extra={"type": "webauthn.get"})
    registration("valid-client-data-members", "members of client data that nobody knows", made)
    made = Registration(flags=UP | AT | ED, after=cbor({"credProtect": 2, "hmac-secret": True}))
    registration("valid-extensions", "extension outputs", made,
                 proves={"extensions": ["credProtect", "hmac-secret"]})
    made = Registration(flags=UP | AT)
    point = {k: v for k, v in cose_key(CREDENTIAL).items() if k != -1}
    made = Registration(flags=UP | AT, cose=cbor(point), aaguid=bytes(16))
    registration("valid-u2f-no-crv", "a U2F key as a browser wrote it, a leaf without extensions", made,
                 "fido-u2f", made.u2f(), proves={"format": "fido-u2f", "authenticator_data_signed": False})
    for alg, text in ((RS1, "rs1"), (RS256, "rs256")):
        made = Registration(key=RSA_KEY)
        registration(f"valid-tpm-{text}", "as Windows Hello makes it", made, "tpm", made.tpm(alg),
                     proves={"format": "tpm", "attestation_type": "attca", "tpm_manufacturer": "id:494E5443"})
    made = Registration(key=RSA_KEY)
    registration("valid-tpm-ca-purposes", "an AIK CA of several purposes, as Windows Hello's", made, "tpm",
                 made.tpm(ca_usages=("2.23.133.8.1", "1.3.6.1.4.1.311.21.36", "2.23.133.8.3")))
    made = Registration()
    registration("valid-tpm-es256", "an EC key in the TPM", made, "tpm",
                 made.tpm(attributes=0x40072, exponent=0))
    registration("valid-self", "self attestation, allowed", made, statement=made.self_attested(),
                 flags=["--allow-self"], trust=None, proves={"attestation_type": "self", "aaguid_proved": False})
    registration("valid-none", "no attestation, allowed", made, "none", {}, flags=["--allow-none"],
                 trust=None, proves={"attestation_type": "none"})
    synced = Registration(flags=UP | UV | BE | BS | AT)
    registration("valid-backup-eligible", "a synchronised key, told", synced,
                 proves={"flags": {"up": True, "uv": True, "be": True, "bs": True}})


def refused_ceremonies():
    def one(name, what, reason, made, **more):
        registration(name, what, made, reason=reason, **more)

    one("assertion-as-registration", "type webauthn.get", "client-data-type",
        Registration(client=client_json("webauthn.get", CHALLENGE, SITE)))
    one("other-challenge", "another challenge", "client-data-challenge",
        Registration(client=client_json("webauthn.create", bytes(32), SITE)))
    one("padded-challenge", "the challenge with padding", "client-data-challenge",
        Registration(client=client_json("webauthn.create", CHALLENGE, SITE).replace(
            b64url(CHALLENGE).encode(), b64url(CHALLENGE).encode() + b"=")))
    for name, origin in (("subdomain", "https://gate.example.evil"), ("port", SITE + ":444"),
                         ("scheme", "http://gate.example"), ("slash", SITE + "/")):
        one(f"origin-{name}", f"origin {origin}", "client-data-origin",
            Registration(client=client_json("webauthn.create", CHALLENGE, origin)))
    one("other-rp", "another relying party's rpIdHash", "rp-id-mismatch", Registration(rp="evil.example"))
    one("no-user", "UP is not set", "user-not-present", Registration(flags=UV | AT))
    one("no-uv", "UV is not set and was asked for", "user-not-verified", Registration(flags=UP | AT),
        flags=["--require-uv"])
    one("reserved-bit-1", "reserved bit 1", "flags-invalid", Registration(flags=UP | AT | 0x02))
    one("reserved-bit-5", "reserved bit 5", "flags-invalid", Registration(flags=UP | AT | 0x20))
    one("bs-without-be", "BS without BE", "flags-invalid", Registration(flags=UP | AT | BS))
    one("no-attested-data", "no attested credential data", "flags-invalid", Registration(flags=UP))
    one("gate-backup-eligible", "a synchronised key, where the gate's policy is asked for",
        "backup-eligible", Registration(flags=UP | AT | BE), flags=["--gate-policy"])
    one("gate-cross-origin", "made in a frame of another origin", "client-data-origin",
        Registration(crossOrigin=True), flags=["--gate-policy"])
    one("denied-model", "a model on the deny-list", "aaguid-refused", Registration(),
        flags=["--deny-aaguid", AAGUID_TEXT])
    one("model-not-allowed", "a model that is not on the allow-list", "aaguid-refused", Registration(),
        flags=["--allow-aaguid", "00000000-0000-0000-0000-000000000001"])
    one("level-unknown", "a certification level that nobody reports", "aaguid-refused", Registration(),
        flags=["--min-level", "1"])


def refused_structures():
    made = Registration()
    good = attestation_object("packed", made.packed(), made.data)

    def raw(name, what, content, reason="evidence-malformed", of=made, **more):
        registration(name, what, of, raw=content, reason=reason, **more)

    raw("empty", "no bytes at all", b"")
    raw("truncated", "the last byte is missing", good[:-1])
    raw("one-byte-tail", "one byte behind the outer object", good + b"\0")
    raw("long-tail", "65 bytes behind the outer object", good + bytes(65))
    raw("not-a-map", "an array", cbor([1, 2, 3]))
    raw("indefinite-map", "an indefinite length", b"\xbf" + good[1:] + b"\xff")
    raw("tagged", "a tag before it", b"\xd9\xd9\xf7" + good)
    raw("duplicate-member", "authData twice", cbor(Pairs([("fmt", "packed"), ("attStmt", made.packed()),
                                                          ("authData", made.data), ("authData", made.data)])))
    raw("fourth-member", "a member too many", cbor({"fmt": "packed", "attStmt": made.packed(),
                                                    "authData": made.data, "x": 1}))
    long_length = cbor({"fmt": "packed", "attStmt": made.packed(),
                        "authData": Raw(b"\x5a" + struct.pack(">I", len(made.data)) + made.data)})
    raw("long-length", "a length that is not the shortest", long_length)
    raw("absurd-length", "a byte string of 2^63 bytes", b"\xa1\x63fmt\x5b\x7f" + b"\xff" * 7)
    raw("deep", "nested a thousand deep", b"\x81" * 1000 + b"\0")
    raw("authdata-text", "authData as text", cbor({"fmt": "packed", "attStmt": made.packed(),
                                                   "authData": "x" * 37}))
    for name, what, changed in (
            ("authdata-trailing", "a byte behind authenticator data", Registration(after=b"\0")),
            ("authdata-extensions-unannounced", "extensions without ED",
             Registration(after=cbor({"credProtect": 2}))),
            ("authdata-extensions-missing", "ED without extensions", Registration(flags=UP | AT | ED)),
            ("authdata-extensions-duplicate", "an extension twice",
             Registration(flags=UP | AT | ED, after=cbor(Pairs([("credProtect", 2), ("credProtect", 3)])))),
            ("credential-id-empty", "an empty credential id", Registration(credential_id=b"")),
            ("credential-id-long", "a credential id of 1024 bytes", Registration(credential_id=bytes(1024)))):
        registration(name, what, changed, reason="evidence-malformed")

    point = cose_key(CREDENTIAL)

    def key(name, what, cose, reason="evidence-malformed"):
        registration(f"cose-{name}", what, Registration(cose=cose), reason=reason)

    key("duplicate", "x twice", cbor(Pairs([(1, 2), (3, ES256), (-1, 1), (-2, point[-2]), (-2, point[-2]),
                                            (-3, point[-3])])))
    key("order", "labels out of order", cbor(Pairs([(3, ES256), (1, 2), (-1, 1), (-2, point[-2]), (-3, point[-3])])))
    key("private", "with the private key", cbor({**point, -4: bytes(32)}))
    key("compressed", "a compressed point", cbor({**point, -3: True}))
    key("no-crv", "no curve, and no U2F token", cbor({k: v for k, v in point.items() if k != -1}))
    key("off-curve", "a point that is not on the curve", cbor({**point, -3: bytes(31) + b"\1"}), "key-algorithm")
    key("rs1", "a credential that signs with SHA-1", cbor({**cose_key(RSA_KEY), 3: RS1}), "key-algorithm")
    key("es256k", "an algorithm that is not taken", cbor({**point, 3: -47}), "key-algorithm")
    key("curve", "P-384's number on P-256", cbor({**point, -1: 2}), "key-algorithm")
    key("rsa-1024", "RSA of 1024 bits", cbor(cose_key(RSA(1024))), "key-algorithm")

    base = client_json("webauthn.create", CHALLENGE, SITE)
    for name, what, client in (
            ("duplicate", "type twice", base[:-1] + b',"type":"webauthn.create"}'),
            ("duplicate-escaped", "type twice, once escaped", b'{"\\u0074ype":"webauthn.get",' + base[1:]),
            ("nul", "something behind a NUL byte", base + b"\0{}"),
            ("trailing", "something behind it", base + b"{}"),
            ("not-utf8", "a byte that is not UTF-8", base[:-1] + b',"x":"\xff"}'),
            ("challenge-number", "a challenge that is no text", b'{"type":"webauthn.create","challenge":1,"origin":"https://gate.example"}'),
            ("array", "an array", b"[" + base + b"]"),
            ("long", "16 KiB of it", base + b" " * 16384)):
        registration(f"client-data-{name}", what, Registration(client=client), reason="evidence-malformed")


def refused_statements():
    made = Registration()

    def one(name, what, reason, statement, fmt="packed", of=made, **more):
        registration(name, what, of, fmt, statement, reason, **more)

    one("self-default", "self attestation", "attestation-format-refused", made.self_attested())
    one("none-default", "no attestation", "attestation-format-refused", {}, "none")
    one("self-as-none", "self attestation where only none is allowed", "attestation-format-refused",
        made.self_attested(), flags=["--allow-none"])
    one("none-with-content", "none, with a statement", "evidence-malformed", made.packed(), "none",
        flags=["--allow-none"])
    one("self-other-key", "self attestation by another key", "attestation-signature",
        made.self_attested(signer=OTHER), flags=["--allow-self"])
    one("self-other-algorithm", "self attestation by another algorithm", "attestation-algorithm",
        made.self_attested(alg=RS256), flags=["--allow-self"])
    for fmt in ("android-key", "android-safetynet", "apple", "compound"):
        one(f"format-{fmt}", f"format {fmt}", "attestation-format-refused", made.packed(), fmt)
    one("ecdaa", "packed by ECDAA", "attestation-format-refused",
        {"alg": ES256, "sig": b"s", "ecdaaKeyId": b"k"})
    one("packed-other-registration", "the statement of another registration", "attestation-signature",
        Registration(credential_id=bytes(64)).packed())
    one("packed-signature-flipped", "one bit of the signature", "attestation-signature",
        made.packed(signature=made.packed()["sig"][:-1] + bytes([made.packed()["sig"][-1] ^ 1])))
    one("packed-rs1", "SHA-1 in a packed statement", "attestation-algorithm",
        made.packed([leaf(key=RSA_KEY)], RS1, RSA_KEY))
    one("packed-alg-confusion", "RS256 claimed of an EC key", "attestation-algorithm", made.packed(alg=RS256))
    one("packed-extra-member", "a member too many", "evidence-malformed", {**made.packed(), "x": 1})
    one("packed-empty-chain", "x5c without certificates", "evidence-malformed", made.packed([]))
    one("packed-bad-certificate", "x5c that is no certificate", "certificate-malformed",
        made.packed([leaf() + b"\0"]))
    point = Registration(flags=UP | AT)
    one("u2f-two-certificates", "two certificates", "evidence-malformed",
        point.u2f([leaf(), ROOT_CERT]), "fido-u2f", of=point)
    one("u2f-other-rp", "signed for another relying party", "attestation-signature",
        point.u2f(rp="evil.example"), "fido-u2f", of=point)
    one("u2f-other-key", "signed for another key", "attestation-signature", point.u2f(key=OTHER),
        "fido-u2f", of=point)
    one("u2f-uv", "UV claimed where the signature does not cover it", "user-not-verified", made.u2f(),
        "fido-u2f", flags=["--require-uv"])
    one("u2f-model", "a model claimed where the signature does not cover it", "aaguid-refused",
        made.u2f(), "fido-u2f", flags=["--allow-aaguid", AAGUID_TEXT])
    named = certificate("Tokens U2F 7", "Tokens Root", ATTESTATION, ROOT, [aaguid_extension(AAGUID)])
    bare = Registration(flags=UP | AT, aaguid=bytes(16))
    one("u2f-denied-model", "a model on the deny-list, by its U2F interface", "aaguid-refused",
        bare.u2f([named]), "fido-u2f", of=bare, flags=["--deny-aaguid", AAGUID_TEXT])
    aik_ca = certificate("Tokens Root", "Tokens Root", ROOT, ROOT,
                         [basic_constraints(True), key_usage(CERT_SIGN), ext_key_usage("2.23.133.8.3")])
    registration("u2f-aik-ca", "a U2F statement signed by a TPM's attestation key, whose CA alone says what it is",
                 point, "fido-u2f", point.u2f(), "certificate-purpose", trust=aik_ca)
    mixed_ca = certificate("Tokens Root", "Tokens Root", ROOT, ROOT, [
        basic_constraints(True), key_usage(CERT_SIGN), ext_key_usage("2.23.133.8.3", "1.3.6.1.5.5.7.3.2")])
    registration("u2f-aik-ca-mixed", "a U2F statement below a CA for TPM keys that may do something else, too",
                 point, "fido-u2f", point.u2f(), "certificate-purpose", trust=mixed_ca)
    one("u2f-aik", "a U2F statement signed by a TPM's attestation key", "certificate-purpose",
        point.u2f([certificate(b"\x30\x00", "Tokens Root", ATTESTATION, ROOT, [
            tpm_san(), ext_key_usage("2.23.133.8.3"), basic_constraints(False)])]), "fido-u2f", of=point)
    one("u2f-p384-leaf", "an attestation key on P-384", "certificate-profile",
        point.u2f([leaf(key=ec.generate_private_key(ec.SECP384R1()), extensions=[])]), "fido-u2f", of=point)


def refused_certificates():
    made = Registration()

    def one(name, what, reason, chain, **more):
        registration(name, what, made, statement=made.packed(chain, **more), reason=reason)

    own = [basic_constraints(False), aaguid_extension(AAGUID)]
    one("leaf-ca", "a CA as attestation certificate", "certificate-profile",
        [leaf(extensions=[basic_constraints(True)])])
    one("leaf-no-constraints", "no basicConstraints", "certificate-profile", [leaf(extensions=[])])
    for name, changes in (("unit", {"unit": "Authenticator Attestation CA"}), ("no-unit", {"unit": None}),
                          ("country", {"country": "SWE"}), ("no-country", {"country": None}),
                          ("no-organization", {"organization": None}),
                          ("empty-organization", {"organization": ""}), ("no-name", {"common": None})):
        one(f"leaf-{name}", f"subject: {changes}", "certificate-profile",
            [leaf(subject=subject_name(**changes))])
    one("leaf-aaguid", "another model's certificate", "aaguid-mismatch",
        [leaf(extensions=[own[0], aaguid_extension(bytes(16))])])
    one("leaf-aaguid-critical", "a critical AAGUID extension", "certificate-profile",
        [leaf(extensions=[own[0], aaguid_extension(AAGUID, True)])])
    one("leaf-aaguid-bare", "an AAGUID without its OCTET STRING", "certificate-profile",
        [leaf(extensions=[own[0], extension(AAGUID_OID, AAGUID)])])
    one("leaf-critical", "a critical extension that nobody knows", "certificate-critical-extension",
        [leaf(extensions=own + [extension("1.2.3.4", b"\5\0", True)])])
    one("leaf-expired", "an attestation certificate of the past", "certificate-expired",
        [leaf(not_after="20250101000000Z")])
    one("leaf-forged", "the root's name, not its key", "certificate-signature-invalid", [leaf(signer=OTHER)])
    one("leaf-untrusted", "another root", "certificate-untrusted", [leaf(issuer="Other Root", signer=OTHER)])
    batch = certificate("Batch", "Tokens Root", OTHER, ROOT, [basic_constraints(False)])
    one("issuer-not-ca", "issued by a token", "certificate-not-ca",
        [leaf(issuer="Batch", signer=OTHER), batch])
    slot = certificate("YubiKey PIV Attestation 9a", "Batch", ATTESTATION, OTHER, [])
    one("leaf-piv-slot", "a PIV key of the token, attested for another purpose", "certificate-profile",
        [slot, certificate("Batch", "Tokens Root", OTHER, ROOT, [basic_constraints(True, 0)])])
    registration("no-trust", "no trust anchors at all", made, reason="certificate-untrusted", trust=None)


def refused_tpm():
    made = Registration(key=RSA_KEY)

    def one(name, what, reason, of=made, flags=(), shown=None, **changes):
        """shown: {member: what stands there, or a function of what was there; None for nothing}"""
        statement = of.tpm(**changes)
        for member, value in (shown or {}).items():
            statement[member] = value(statement[member]) if callable(value) else value
        statement = {member: value for member, value in statement.items() if value is not None}
        registration(f"tpm-{name}", what, of, "tpm", statement, reason, flags=flags)

    one("other-key", "pubArea of another key", "credential-mismatch", area_key=RSA())
    one("certified-other", "certified is another key", "attest-name",
        certified=public(RSA(), HELLO, policy=b"\x9d" * 32))
    one("attributes-changed", "attributes that were not certified", "attest-name", attributes=0x60472,
        certified=public(RSA_KEY, 0x60470, policy=b"\x9d" * 32))
    one("extra-data", "another registration's", "attest-extra-data", extra=bytes(20))
    one("extra-data-empty", "no extraData", "attest-extra-data", extra=b"")
    one("extra-data-sha256", "SHA-256 where the statement says SHA-1", "attest-extra-data",
        extra=hashlib.sha256(made.signed).digest())
    one("magic", "not made by a TPM", "attest-magic", attest_changes={"magic": 0xFF544348})
    one("quote", "a quote", "attest-type", attest_changes={"kind": 0x8018})
    one("signature", "signed by another key", "attestation-signature", signer=RSA_KEY)
    one("version-1", "ver 1.2", "evidence-malformed", ver="1.2")
    one("restricted", "a restricted key", "key-attributes", attributes=HELLO | RESTRICTED)
    one("decrypts-only", "a key that does not sign", "key-attributes", attributes=HELLO & ~SIGN)
    for name, bit in (("exportable", FIXED_TPM), ("moving-parent", FIXED_PARENT), ("imported", ORIGIN)):
        one(f"gate-{name}", "a key that may leave, or came from software", "key-attributes",
            flags=["--gate-policy"], attributes=HELLO & ~bit)
    one("sha1-name", "a name by SHA-1", "key-algorithm", name_alg="sha1", policy=b"\x9d" * 20)
    one("storage-key", "a storage key's parameters", "key-algorithm", aes=128)
    one("pss-scheme", "a key that can only make PSS", "key-algorithm", scheme=("rsapss", "sha256"))
    null = u16(0x10)
    one("ecdaa-scheme", "a key that signs in a group's name", "key-algorithm", of=Registration(),
        attributes=0x40072, area=lambda area: area.replace(
            null + null + u16(3), null + u16(0x1A) + u16(0x0B) + u16(0) + u16(3)))
    one("unknown-scheme", "a scheme that nobody knows", "evidence-malformed", area=lambda area: area.replace(
        null + null + u16(2048), null + u16(0x7777) + u16(0x0B) + u16(2048)))
    one("pub-area-sized", "pubArea with its TPM2B size before it", "evidence-malformed",
        shown={"pubArea": sized})
    one("pub-area-size-wrong", "pubArea with a wrong size before it", "evidence-malformed",
        shown={"pubArea": lambda area: u16(len(area) + 1) + area})
    one("cert-info-sized", "certInfo with its TPM2B size before it", "evidence-malformed",
        shown={"certInfo": sized})
    one("cert-info-size-wrong", "certInfo with a wrong size before it", "evidence-malformed",
        shown={"certInfo": lambda info: u16(len(info) - 1) + info})
    one("ecdaa", "attestation by ECDAA", "attestation-format-refused",
        shown={"x5c": None, "ecdaaKeyId": bytes(32)})
    one("ecdaa-and-chain", "ECDAA beside a chain", "attestation-format-refused",
        shown={"ecdaaKeyId": bytes(32)})
    one("no-alg", "no algorithm", "evidence-malformed", shown={"alg": None})
    one("unknown-alg", "an algorithm that nobody knows", "attestation-algorithm", shown={"alg": -999})
    one("other-alg", "SHA-256 claimed of a SHA-1 signature", "attest-extra-data", shown={"alg": RS256})
    for name, key in (("rsa-8200", rsa_spki(1 << 8199 | 1)), ("rsa-1024", rsa_spki(1 << 1023 | 1)),
                      ("exponent-1", rsa_spki(1 << 2047 | 1, 1)),
                      ("exponent-long", rsa_spki(1 << 2047 | 1, 1 << 2000 | 1))):
        one(f"aik-{name}", f"an attestation key that is not accepted: {name}", "attestation-algorithm",
            key_info=key)
    san, eku, none_ca = tpm_san(), ext_key_usage("2.23.133.8.3"), basic_constraints(False)
    one("aik-no-eku", "an AIK certificate without its purpose", "certificate-purpose", extensions=[san, none_ca])
    one("aik-ek-eku", "an EK's certificate", "certificate-purpose",
        extensions=[san, ext_key_usage("2.23.133.8.1"), none_ca])
    one("aik-ca-for-eks", "a CA for EKs issues an AIK's certificate", "certificate-purpose",
        ca_usages=("2.23.133.8.1",))
    one("aik-subject", "a subject that is not empty", "certificate-profile", subject=subject_name())
    one("aik-ca", "a CA", "certificate-profile", extensions=[san, eku, basic_constraints(True)])
    one("aik-san-not-critical", "the alternative name not critical", "certificate-profile",
        extensions=[tpm_san(critical=None), eku, none_ca])
    one("aik-no-san", "no alternative name", "certificate-profile", extensions=[eku, none_ca])
    attributes = {"manufacturer": rdn("2.23.133.2.1", "id:494E5443"), "model": rdn("2.23.133.2.2", "Model X"),
                  "version": rdn("2.23.133.2.3", "id:13")}
    for name in attributes:
        for times in (0, 2):
            values = [v for n, v in attributes.items() for _ in range(times if n == name else 1)]
            one(f"aik-{times}-{name}", f"{times} of the TPM's {name}", "certificate-profile", extensions=[
                extension("2.5.29.17", seq(tlv(0xA4, seq(tlv(0x31, *values)))), True), eku, none_ca])
    one("aik-other-model", "another model's certificate", "aaguid-mismatch",
        extensions=[san, eku, none_ca, aaguid_extension(bytes(16))])


# ---- Assertions ----

def assertion(name, what, reason="", key=None, signer=None, flags=UP | UV, client=None, cose=None,
              rp=RP, after=b"", count=9, signature=None, data=None, words=(), proves=None):
    key = key or CREDENTIAL
    client = client or client_json("webauthn.get", CHALLENGE, SITE)
    data = auth_data(rp, flags, count, extensions=after) if data is None else data
    made = sign_cose(signer or key, data + sha256_of(client),
                     ES384 if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == 384 else None)
    files = {"auth.bin": data, "client.json": client, "sig.bin": signature(made) if signature else made,
             "key.cose": cbor(cose_key(key)) if cose is None else cose}
    write(f"assert-{name}", what, "verify assertion",
          ["--kind", "webauthn", "--authenticator-data", "auth.bin", "--client-data", "client.json",
           "--signature", "sig.bin", "--public-key", "key.cose", "--challenge", b64url(CHALLENGE),
           "--rp-id", RP, "--origin", SITE, *words], files, reason, proves)


def assertions():
    for alg, key in (("es256", CREDENTIAL), ("es384", ec.generate_private_key(ec.SECP384R1())),
                     ("eddsa", ed25519.Ed25519PrivateKey.generate()), ("rs256", RSA_KEY)):
        assertion(f"valid-{alg}", "an honest one", key=key, words=["--require-uv"],
                  proves={"sign_count": 9, "flags": {"up": True, "uv": True, "be": False, "bs": False}})
    assertion("valid-extensions", "extension outputs", flags=UP | ED, after=cbor({"appid": True}))
    assertion("registration-type", "type webauthn.create", "client-data-type",
              client=client_json("webauthn.create", CHALLENGE, SITE))
    assertion("other-challenge", "another challenge", "client-data-challenge",
              client=client_json("webauthn.get", bytes(32), SITE))
    assertion("other-origin", "another origin", "client-data-origin",
              client=client_json("webauthn.get", CHALLENGE, "https://evil.example"))
    assertion("gate-cross-origin", "in a frame of another origin", "client-data-origin",
              client=client_json("webauthn.get", CHALLENGE, SITE, crossOrigin=True), words=["--gate-policy"])
    assertion("other-rp", "another relying party's rpIdHash", "rp-id-mismatch", rp="evil.example")
    assertion("no-user", "UP is not set", "user-not-present", flags=UV)
    assertion("no-uv", "UV is not set and was asked for", "user-not-verified", flags=UP, words=["--require-uv"])
    assertion("reserved-bit", "a reserved bit", "flags-invalid", flags=UP | 0x20)
    assertion("bs-without-be", "BS without BE", "flags-invalid", flags=UP | BS)
    assertion("attested-data", "a registration's authenticator data", "flags-invalid",
              data=Registration().data)
    assertion("trailing", "a byte behind authenticator data", "evidence-malformed", after=b"\0")
    assertion("short", "36 bytes of authenticator data", "evidence-malformed", data=bytes(36))
    assertion("duplicate-member", "challenge twice", "evidence-malformed",
              client=client_json("webauthn.get", CHALLENGE, SITE)[:-1] + b',"challenge":"AAAA"}')
    assertion("other-key", "signed by another key", "signature-invalid", signer=OTHER)
    assertion("signature-trailing", "a byte behind the signature", "signature-invalid", signature=lambda s: s + b"\0")
    assertion("signature-empty", "no signature", "signature-invalid", signature=lambda s: b"")
    assertion("rs1-key", "a key that signs with SHA-1", "key-algorithm", key=RSA_KEY,
              cose=cbor({**cose_key(RSA_KEY), 3: RS1}))
    assertion("key-trailing", "a byte behind the key", "evidence-malformed",
              cose=cbor(cose_key(CREDENTIAL)) + b"\0")
    for name, before, now, reason in (("grew", 8, 9, ""), ("zero", 0, 0, ""), ("same", 9, 9, "counter-rollback"),
                                      ("smaller", 10, 9, "counter-rollback"), ("reset", 10, 0, "counter-rollback")):
        assertion(f"counter-{name}", f"counter {now} after {before}", reason, count=now,
                  words=["--previous-count", str(before)])


# ---- Metadata ----

MDS_ROOT, MDS_SIGNER = P256(), RSA()
MDS_ROOT_CERT = certificate("Metadata Root", "Metadata Root", MDS_ROOT, MDS_ROOT, [basic_constraints(True)])


def mds_signer(extensions=(), issuer="Metadata Root", signer=None, **changes):
    return certificate("mds.example", issuer, changes.pop("key", MDS_SIGNER), signer or MDS_ROOT,
                       [basic_constraints(False), *extensions], **changes)


def entry(roots=(ROOT_CERT,), statuses=("FIDO_CERTIFIED_L1",), aaguid=AAGUID_TEXT, **more):
    statement = {"description": "Token Seven", "attestationTypes": ["basic_full"],
                 "attestationRootCertificates": [base64.b64encode(r).decode() for r in roots]}
    reports = [{"status": s, "effectiveDate": "2024-01-01"} if isinstance(s, str) else s for s in statuses]
    return {"aaguid": aaguid, "metadataStatement": statement, "statusReports": reports, **more}


def payload(*entries, **changes):
    return {"legalHeader": "read me", "no": 7, "nextUpdate": "2026-02-01",
            "entries": list(entries) or [entry()], **changes}


def import_mds(name, what, reason="", blob=None, root=MDS_ROOT_CERT, proves=None, crls=()):
    blob = jws(payload(), MDS_SIGNER, [mds_signer()]) if blob is None else blob
    files = {"blob.jwt": blob, "root.der": root, **{f"{i}.crl": der for i, der in enumerate(crls)}}
    write(f"mds-{name}", what, "trust import-mds",
          ["blob.jwt", "--root", "root.der", "--at", AT_TIME] +
          [word for i in range(len(crls)) for word in ("--crl", f"{i}.crl")], files, reason, proves)


def mds_registration(name, what, made, reason="", statement=None, fmt="packed", entries=(), flags=(), proves=None,
                     root=("--mds-root", "root.der"), before=None, status=None, trust=None):
    blob = jws(payload(*entries), MDS_SIGNER, [mds_signer()])
    statement = made.packed() if statement is None else statement
    trusted = {"trust/root.der": trust} if trust else {}
    write(f"mds-{name}", what, "verify attestation",
          ["--kind", "webauthn", "--attestation-object", "object.cbor", "--client-data", "client.json",
           "--challenge", b64url(CHALLENGE), "--rp-id", RP, "--origin", SITE, "--at", AT_TIME,
           "--mds", "blob.jwt", *root, *(["--trust", "trust"] if trust else []), *flags],
          {**trusted, "object.cbor": attestation_object(fmt, statement, made.data), "client.json": made.client,
           "blob.jwt": blob, "root.der": MDS_ROOT_CERT}, reason, proves, before, status)


def metadata():
    import_mds("valid", "an honest BLOB",
               proves={"no": 7, "entries": 1, "entries_kept": 1, "anchors_kept": 1, "stale": False})
    ec_signer = P256()
    older = certificate("Metadata Root", "Older Root", MDS_ROOT, OTHER, [basic_constraints(True)])
    import_mds("valid-cross-signed", "by ES256, with the root cross-signed by one that is not trusted",
               blob=jws(payload(), ec_signer, [mds_signer(key=ec_signer), older]) + b"\n")
    odd = certificate("Odd Root", "Nobody", OTHER, OTHER, [basic_constraints(False)], serial=b"\0",
                      not_after="20250101000000Z")
    uaf = {"aaid": "4e4e#4005", "metadataStatement": {}}
    bad_roots = entry((ROOT_CERT, b"not a certificate", odd), aaguid="00000000-0000-0000-0000-000000000002")
    import_mds("valid-odd-entries", "UAF entries, odd roots, one that is no certificate",
               blob=jws(payload(entry(), uaf, bad_roots), MDS_SIGNER, [mds_signer()]),
               proves={"entries": 3, "entries_kept": 2, "anchors_kept": 3})
    good = jws(payload(), MDS_SIGNER, [mds_signer()]).split(b".")
    other = jws(payload(no=8), MDS_SIGNER, [mds_signer()]).split(b".")
    import_mds("payload-swapped", "another BLOB's payload", "metadata-invalid",
               b".".join([good[0], other[1], good[2]]))
    import_mds("forged-signer", "a signer of the root's name, not its key", "certificate-signature-invalid",
               jws(payload(), MDS_SIGNER, [mds_signer(signer=OTHER)]))
    import_mds("other-root", "another root", "certificate-untrusted",
               root=certificate("Other", "Other", OTHER, OTHER, [basic_constraints(True)]))
    import_mds("expired-signer", "a signer of the past", "certificate-expired",
               jws(payload(), MDS_SIGNER, [mds_signer(not_after="20250101000000Z")]))
    web = ext_key_usage("1.3.6.1.5.5.7.3.1")
    import_mds("web-server", "signed by somebody's web server, under the same CA", "metadata-invalid",
               jws(payload(), MDS_SIGNER, [mds_signer([web, subject_alt_dns("shop.example")])]))
    import_mds("valid-web-server", "signed by FIDO's own host",
               blob=jws(payload(), MDS_SIGNER, [mds_signer([web, subject_alt_dns("mds.fidoalliance.org")])]))
    mail = ext_key_usage("1.3.6.1.5.5.7.3.4")
    import_mds("mail-signer", "signed by somebody's mail certificate, under the same CA", "metadata-invalid",
               jws(payload(), MDS_SIGNER, [mds_signer([mail])]))
    own_host = subject_alt_dns("mds.fidoalliance.org")
    below = lambda usage: certificate("Issuing CA", "Metadata Root", OTHER, MDS_ROOT,
                                      [basic_constraints(True, 0), key_usage(CERT_SIGN), usage])
    by_issuing = dict(issuer="Issuing CA", signer=OTHER)
    import_mds("mail-ca", "a CA for mail issues a certificate for FIDO's host", "certificate-purpose",
               jws(payload(), MDS_SIGNER, [mds_signer([web, own_host], **by_issuing), below(mail)]))
    import_mds("web-ca", "a CA for web servers issues a certificate that says of no purpose and no host",
               "metadata-invalid", jws(payload(), MDS_SIGNER, [mds_signer(**by_issuing), below(web)]))
    import_mds("valid-web-ca", "FIDO's own host, below a CA for web servers",
               blob=jws(payload(), MDS_SIGNER, [mds_signer([web, own_host], **by_issuing), below(web)]))
    header = lambda text: b64url(text).encode() + b".e30.eA"
    deep = b"[" * 90000 + b"]" * 90000
    import_mds("deep-header", "an unsigned header of 90,000 arrays inside one another", "metadata-invalid",
               header(b'{"alg":' + deep + b"}"))
    import_mds("two-algorithms", "a header that names its algorithm twice", "metadata-invalid",
               header(b'{"alg":"RS256","alg":"ES256"}'))
    lists = lambda *serials: crl("Metadata Root", MDS_ROOT, serials)
    import_mds("revoked-signer", "a signer whose key was lost", "certificate-revoked",
               jws(payload(), MDS_SIGNER, [mds_signer(serial=b"\x51")]), crls=[lists(b"\x51")])
    import_mds("crl-of-another", "lists, and none of the signer's issuer", "crl-invalid",
               crls=[crl("Another Root", OTHER)])
    import_mds("valid-crl", "a signer that is on no list", crls=[lists(b"\x52")],
               proves={"revocation_checked": True})
    import_mds("alg-none", "alg none", "metadata-invalid",
               jws(payload(), MDS_SIGNER, [mds_signer()], alg="none").rsplit(b".", 1)[0] + b".")
    import_mds("alg-hs256", "alg HS256", "metadata-invalid", jws(payload(), MDS_SIGNER, [mds_signer()], alg="HS256"))
    import_mds("no-x5c", "a chain to be fetched", "metadata-invalid",
               jws(payload(), MDS_SIGNER, [], x5u="https://mds.example/chain"))
    import_mds("crit", "a critical header parameter", "metadata-invalid",
               jws(payload(), MDS_SIGNER, [mds_signer()], crit=["b64"]))
    import_mds("not-json", "a payload that is no JSON", "metadata-invalid", jws(b"hello", MDS_SIGNER, [mds_signer()]))
    import_mds("no-number", "no serial number", "metadata-invalid",
               jws(payload(no="7"), MDS_SIGNER, [mds_signer()]))
    import_mds("two-parts", "no signature", "metadata-invalid", b".".join(good[:2]))

    older_blob = jws(payload(no=6), MDS_SIGNER, [mds_signer()])
    import_flags = ["--root", "root.der", "--at", AT_TIME]
    write("mds-rollback", "an older BLOB than one that was imported", "trust import-mds",
          ["older.jwt", *import_flags],
          {"blob.jwt": jws(payload(), MDS_SIGNER, [mds_signer()]), "older.jwt": older_blob,
           "root.der": MDS_ROOT_CERT}, "metadata-rollback",
          before={"command": "trust import-mds", "flags": ["blob.jwt", *import_flags]})
    made = Registration()
    imported = {"command": "trust import-mds", "flags": ["blob.jwt", *import_flags]}
    mds_registration("valid-imported", "a BLOB that was imported needs no root", made, root=(), before=imported,
                     proves={"model": "Token Seven", "metadata_no": 7})
    mds_registration("not-imported", "a BLOB that nobody verified", made, root=(), status=2)
    mds_registration("valid-registration", "a model that the metadata knows", made, flags=["--min-level", "1"],
                     proves={"model": "Token Seven", "certification_level": 1})
    for status in ("REVOKED", "USER_VERIFICATION_BYPASS", "ATTESTATION_KEY_COMPROMISE",
                   "USER_KEY_REMOTE_COMPROMISE", "USER_KEY_PHYSICAL_COMPROMISE"):
        mds_registration(f"status-{status.lower()}", f"status {status}", made, "authenticator-status",
                         entries=[entry(statuses=("FIDO_CERTIFIED_L1", status))])
    mds_registration("valid-other-batch", "a compromise of another batch", made, entries=[entry(statuses=(
        {"status": "ATTESTATION_KEY_COMPROMISE",
         "certificate": base64.b64encode(MDS_ROOT_CERT).decode()},))])
    mds_registration("level", "a lower certification level than asked for", made, "aaguid-refused",
                     flags=["--min-level", "2"])
    mds_registration("unknown-model", "a model that the metadata does not know", made, "certificate-untrusted",
                     entries=[entry(aaguid="00000000-0000-0000-0000-000000000002")])
    other_root = certificate("Other Vendor", "Other Vendor", OTHER, OTHER, [basic_constraints(True)])
    mds_registration("other-models-root", "a chain to another model's root", made, "certificate-untrusted",
                     entries=[entry((other_root,)), entry(aaguid="00000000-0000-0000-0000-000000000002")])
    own = leaf()
    mds_registration("valid-leaf-as-root", "a leaf listed as its own root", made, entries=[entry((own,))],
                     statement=made.packed([own]))
    u2f = {k: v for k, v in entry().items() if k != "aaguid"}
    u2f["attestationCertificateKeyIdentifiers"] = [key_id(ATTESTATION).hex()]
    mds_registration("valid-u2f", "a U2F model, found by its attestation key", made, fmt="fido-u2f",
                     statement=made.u2f(), entries=[u2f], proves={"model": "Token Seven"})
    named = certificate("Tokens U2F 7", "Tokens Root", ATTESTATION, ROOT, [aaguid_extension(AAGUID)])
    old = Registration(flags=UP | AT, aaguid=bytes(16))
    mds_registration("u2f-revoked-model", "a revoked model by its U2F interface", old, "authenticator-status",
                     fmt="fido-u2f", statement=old.u2f([named]), trust=ROOT_CERT,
                     entries=[entry(statuses=("REVOKED",))])
    in_tpm = Registration(key=RSA_KEY)
    mds_registration("valid-tpm", "a model whose roots vouch for the AIK", in_tpm, fmt="tpm",
                     statement=in_tpm.tpm(), flags=["--min-level", "1", "--allow-aaguid", AAGUID_TEXT],
                     proves={"model": "Token Seven", "aaguid_proved": True})
    by_others = dict(made=in_tpm, fmt="tpm", statement=in_tpm.tpm(), trust=ROOT_CERT,
                     entries=[entry((MDS_ROOT_CERT,))])
    mds_registration("tpm-anothers-level", "a TPM's owner claims a certified token's model", reason="aaguid-refused",
                     flags=["--min-level", "1"], **by_others)
    mds_registration("tpm-anothers-model", "a TPM's owner claims the only model that may be", reason="aaguid-refused",
                     flags=["--allow-aaguid", AAGUID_TEXT], **by_others)
    mds_registration("tpm-anothers-status", "a TPM's owner claims a model that is known to be bad",
                     **{**by_others, "entries": [entry((MDS_ROOT_CERT,), statuses=("REVOKED",))]},
                     reason="authenticator-status")
    mds_registration("valid-tpm-no-model", "a TPM whose model nobody vouches for, where none is asked for",
                     proves={"aaguid_proved": False}, **by_others)
    mds_registration("u2f-by-aaguid", "a U2F token that names a model", made, "certificate-untrusted",
                     fmt="fido-u2f", statement=made.u2f())


# ---- WebAuthn Level 3, "Test Vectors" ----

def published():
    vectors = json.loads((DATA / "w3c_vectors.json").read_text())
    for vector in vectors["vectors"]:
        name = "valid-w3c-" + vector["name"].lower().replace(".", "-")
        common = ["--kind", "webauthn", "--client-data", "client.json", "--rp-id", vectors["rp_id"],
                  "--origin", vectors["origin"]]
        write(name, "a published test vector", "verify attestation",
              common + ["--attestation-object", "object.cbor", "--trust", "trust", "--at", AT_TIME,
                        "--challenge", b64url(bytes.fromhex(vector["challenge"])), "--allow-self", "--allow-none"],
              {"object.cbor": bytes.fromhex(vector["attestation_object"]),
               "client.json": bytes.fromhex(vector["client_data"]),
               "trust/root.der": bytes.fromhex(vectors["root"])})
        made = vector["assertion"]
        write(name.replace("w3c", "w3c-assert"), "a published test vector", "verify assertion",
              common + ["--authenticator-data", "auth.bin", "--signature", "sig.bin", "--public-key", "key.cose",
                        "--challenge", b64url(bytes.fromhex(made["challenge"]))],
              {"auth.bin": bytes.fromhex(made["authenticator_data"]),
               "client.json": bytes.fromhex(made["client_data"]),
               "sig.bin": bytes.fromhex(made["signature"]),
               "key.cose": bytes.fromhex(vector["public_key"])})


if __name__ == "__main__":
    valid_registrations()
    refused_ceremonies()
    refused_structures()
    refused_statements()
    refused_certificates()
    refused_tpm()
    assertions()
    metadata()
    published()
