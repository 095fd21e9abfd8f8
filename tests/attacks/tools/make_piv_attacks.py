#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/attacks/piv: forged, malformed and misused PIV evidence, honest evidence with each
quirk of real cards, and what must be said of it.

Needs python3-cryptography. The files are committed; run this again only to add or change some, whose names
are then the arguments; without any it writes all anew. Keys are made anew each time and are
thrown away.
"""
import base64
import hashlib
import json
import pathlib
import shutil
import sys
import textwrap

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from tpm_evidence import (CERT_SIGN, DIGITAL_SIGNATURE, basic_constraints, bits, certificate, crl, ext_key_usage,
                          extension, integer, key_usage, name, oid, seq, sign, signature_algorithm, spki,
                          tlv)

ATTACKS = pathlib.Path(__file__).resolve().parents[1] / "piv"
AT = ["--at", "2026-01-01T00:00:00Z"]
YUBICO = "1.3.6.1.4.1.41482.3"
BEFORE, AFTER, NEVER = "20160314000000Z", "20520417000000Z", "99991231235959Z"

P256 = lambda: ec.generate_private_key(ec.SECP256R1())
P384 = lambda: ec.generate_private_key(ec.SECP384R1())
RSA = lambda bits=2048: rsa.generate_private_key(65537, bits)

ROOT, F9, SLOT, OTHER, SLOT_RSA = RSA(), RSA(), P256(), P256(), RSA()
ROOT_NAME, F9_NAME = "Yubico PIV Root CA Serial 263751", "Yubico PIV Attestation"


def pem(*ders):
    blocks = []
    for der in ders:
        body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
        blocks.append(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    return "text around it is ignored\n".join(blocks).encode()


# ---- Certificates ----

def firmware(text):
    return extension(f"{YUBICO}.3", bytes(int(n) for n in text.split(".")))


def serial_extension(value):
    return extension(f"{YUBICO}.7", integer(value))


def policies(pin, touch):
    return extension(f"{YUBICO}.8", bytes([pin, touch]))


def form_factor(value):
    return extension(f"{YUBICO}.9", bytes([value]))


def issue(subject, issuer, key, signer, extensions, **more):
    return certificate(subject, issuer, key, signer, extensions,
                       **{**dict(not_before=BEFORE, not_after=AFTER), **more})


def root(path_length=1, subject=ROOT_NAME, key=None, **more):
    key = key or ROOT
    return issue(subject, subject, key, key,
                 [basic_constraints(True, path_length, critical=None), key_usage(CERT_SIGN, None)],
                 serial=b"\x04\x06\x47", **more)


def f9(version="5.4.3", constraints=True, subject=F9_NAME, issuer=ROOT_NAME, signer=None, key=None,
       more=(), **options):
    extensions = [firmware(version)] if version else []
    if constraints:
        extensions.insert(0, basic_constraints(True, 0))
    return issue(subject, issuer, key or F9, signer or ROOT, extensions + list(more), **options)


def slot_extensions(version="5.4.3", serial=12345678, pin=2, touch=1, form=1):
    result = [firmware(version)]
    if serial is not None:
        result.append(serial_extension(serial))
    result.append(policies(pin, touch))
    if form is not None:
        result.append(form_factor(form))
    return result


def slot(number="9a", key=None, signer=None, issuer=F9_NAME, extensions=None, subject=None, **fields):
    """serial: the card's as a number, or the certificate's own as octets."""
    options = {k: fields.pop(k) for k in list(fields)
               if k in ("version", "serial", "pin", "touch", "form") and not isinstance(fields[k], bytes)}
    return issue(subject or f"YubiKey PIV Attestation {number}", issuer, key or SLOT, signer or F9,
                 slot_extensions(**options) if extensions is None else extensions,
                 **{"serial": b"\x01\xa4" + b"\x5c" * 14, **fields})


def write(name, what, reason="", certificate=None, intermediates=None, trust=None, flags=(),
          proves=None, files=None):
    """intermediates, trust: file contents, or None for the good ones."""
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    folder = ATTACKS / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "trust").mkdir(parents=True)
    (folder / "slot.crt").write_bytes(slot() if certificate is None else certificate)
    line = ["--kind", "piv", "--certificate", "slot.crt", "--trust", "trust"]
    for i, content in enumerate([f9()] if intermediates is None else intermediates):
        (folder / f"intermediate{i}.crt").write_bytes(content)
        line += ["--intermediates", f"intermediate{i}.crt"]
    for i, content in enumerate([root()] if trust is None else trust):
        (folder / "trust" / f"root{i}.crt").write_bytes(content)
    for path, content in (files or {}).items():
        (folder / path).write_bytes(content)
    expected = {"attack": what, "flags": line + list(flags) + AT,
                "verdict": "refused" if reason else "valid", "reason": reason,
                "exit_status": 1 if reason else 0}
    if proves:
        expected["proves"] = proves
    (folder / "attack.json").write_text(json.dumps(expected, indent=2) + "\n")


# ---- Honest cards ----

def honest():
    write("valid-5-4-3", "none: an honest 5.4.3", proves={
        "proof": "attestation", "serial": 12345678, "firmware": "5.4.3", "f9_firmware": "5.4.3",
        "slot": "9a", "pin_policy": "once", "touch_policy": "never", "form_factor": "usb-a-keychain",
        "fips": False, "cspn": False, "factors": ["piv-shared"]})
    write("valid-dedicated", "none: a retired slot, PIN and touch always",
          certificate=slot("82", pin=3, touch=2), flags=["--refuse-shared"],
          proves={"slot": "82", "factors": ["piv", "piv+pin", "piv+touch"]})
    write("valid-9c-cached", "none: cached touch is no touch per signature",
          certificate=slot("9c", pin=3, touch=3), proves={
              "slot": "9c", "touch_policy": "cached", "factors": ["piv", "piv+pin"]})
    write("valid-match-always", "none: a finger is no PIN",
          certificate=slot("9c", version="5.7.2", pin=5, touch=1, form=6), intermediates=[f9("5.7.2")],
          proves={"pin_policy": "match-always", "form_factor": "usb-a-bio", "factors": ["piv"]})
    write("valid-unknown-values", "none: values of later firmware are kept and claim nothing",
          certificate=slot("9c", version="6.1.0", pin=9, touch=8, form=0x19), proves={
              "pin_policy": "unknown (0x09)", "touch_policy": "unknown (0x08)",
              "form_factor": "unknown (0x19)", "factors": ["piv"]})
    write("valid-4-3-5", "none: an F9 without basicConstraints, a slot without form factor",
          certificate=slot(version="4.3.5", form=None, key=SLOT_RSA),
          intermediates=[f9("4.3.5", constraints=False)],
          proves={"firmware": "4.3.5", "form_factor": None, "serial": 12345678})
    write("valid-4-4-5", "none: a 4.4.5 without basicConstraints in its F9",
          certificate=slot(version="4.4.5", form=None),
          intermediates=[f9("4.4.5", constraints=False)])
    write("valid-5-2-4", "none: a 5.2.4 without basicConstraints in its F9",
          certificate=slot(version="5.2.4"), intermediates=[f9("5.2.4", constraints=False)])
    write("valid-f9-of-other-firmware", "none: the batch's F9 is of 4.3.1, the card of 4.3.5",
          certificate=slot(version="4.3.5", form=None),
          intermediates=[f9("4.3.1", constraints=False)],
          proves={"firmware": "4.3.5", "f9_firmware": "4.3.1"})
    write("valid-f9-differs", "none: the F9's firmware is not the slot's",
          certificate=slot(version="5.4.3"), intermediates=[f9("5.2.6")],
          proves={"firmware": "5.4.3", "f9_firmware": "5.2.6"})
    u2f = P256()
    write("valid-4-3-7-u2f-root", "none: a 4.3.7 without serial, below the U2F root",
          certificate=slot(version="4.3.7", form=None, serial=None),
          intermediates=[f9("4.3.7", constraints=False, signer=u2f,
                            issuer="Yubico U2F Root CA Serial 457200631")],
          trust=[root(), root(0, "Yubico U2F Root CA Serial 457200631", u2f)],
          proves={"serial": None, "firmware": "4.3.7"})
    write("valid-two-roots", "none: two roots with one key, name and serial, path lengths 0 and 1",
          trust=[root(0), root(1)])
    write("valid-two-roots-one-file", "none: the same in one PEM bundle, and the wrong one sent along",
          trust=[pem(root(0), root(1))], intermediates=[pem(root(0), f9())])
    top, middle, batch, key = P384(), P384(), P384(), P384()
    chain = [
        issue("Yubico Attestation Intermediate B 1", "Yubico Attestation Root 1", middle, top,
              [basic_constraints(True, 2), key_usage(CERT_SIGN)], digest="sha384", not_after=NEVER),
        issue("Yubico PIV Attestation B 1", "Yubico Attestation Intermediate B 1", batch, middle,
              [basic_constraints(True, 1), key_usage(CERT_SIGN)], digest="sha384", not_after=NEVER),
        f9("5.7.4", subject="YubiKey PIV Attestation F9", issuer="Yubico PIV Attestation B 1",
           signer=batch, key=key, digest="sha384", not_after=NEVER)]
    new_root = issue("Yubico Attestation Root 1", "Yubico Attestation Root 1", top, top,
                     [basic_constraints(True), key_usage(CERT_SIGN)], digest="sha384", not_after=NEVER)
    new_slot = dict(version="5.7.4", key=P384(), signer=key, issuer="YubiKey PIV Attestation F9",
                    not_after=NEVER, digest="sha384")
    five = ["YubiKey PIV Attestation 95", "YubiKey PIV Attestation F9", "Yubico PIV Attestation B 1",
            "Yubico Attestation Intermediate B 1", "Yubico Attestation Root 1"]
    write("valid-5-7-4", "none: five certificates without end, another wording, one PEM bundle",
          certificate=slot("95", **new_slot), intermediates=[pem(chain[1], f9(), chain[2], chain[0])],
          trust=[root(0), new_root], proves={"slot": "95", "path": [f"CN={cn}" for cn in five]})
    write("valid-bundle", "none: the slot's certificate first in a bundle with its F9",
          certificate=pem(slot(), f9()), intermediates=[])
    write("valid-f9-is-anchor", "none: an administrator trusts one batch's F9", intermediates=[],
          trust=[f9()])
    write("valid-fips", "none: a FIPS model by the form factor's bit",
          certificate=slot(form=0x83), flags=["--fips"],
          proves={"fips": True, "form_factor": "usb-c-keychain"})
    write("valid-fips-f9", "none: a FIPS model by the F9's extension", flags=["--fips"],
          intermediates=[f9(more=[extension(f"{YUBICO}.10", b"\x01")])], proves={"fips": True})
    write("valid-cspn", "none: CSPN by the F9's extension",
          intermediates=[f9(more=[extension(f"{YUBICO}.11", b"")])], proves={"cspn": True, "fips": False})
    write("valid-negative-serial", "none: sixteen random octets as the certificate's serial",
          certificate=slot(serial=b"\x9c" + b"\x31" * 15))
    write("valid-serial-padding", "none: random octets that happen to begin with ff 80",
          certificate=slot(serial=b"\xff\x80" + b"\x31" * 14))
    write("valid-roca-reported", "none: a weakness is said, and refused only where asked",
          certificate=slot("9c", version="4.3.3", form=None, key=SLOT_RSA),
          intermediates=[f9("4.3.3", constraints=False)],
          proves={"weaknesses": ["YSA-2017-01: RSA keys made by this firmware can be factored "
                                 "(CVE-2017-15361)"]})


# ---- Forged and misused attestations ----

def forged():
    forger = RSA()
    write("other-key", "a true attestation, shown for another key", "credential-mismatch",
          flags=["--public-key", "key.der"], files={"key.der": spki(OTHER)})
    write("imported-key", "an imported key's own certificate shown as an attestation",
          "certificate-untrusted",
          certificate=slot(key=OTHER, signer=OTHER, issuer="YubiKey PIV Attestation 9a"))
    write("imported-key-other-attestation", "the attestation of 9a's key for an imported key in 9c",
          "piv-slot-mismatch", flags=["--slot", "9c"])
    write("f9-forged", "an F9 under the vendor's names, made by the attacker",
          "certificate-signature-invalid", certificate=slot(signer=forger),
          intermediates=[f9(key=forger, signer=forger)])
    write("f9-and-root-forged", "the whole chain under the vendor's names, root sent along",
          "certificate-signature-invalid", certificate=slot(signer=forger),
          intermediates=[f9(key=forger, signer=forger), root(key=forger)])
    write("f9-customised", "the owner loaded an F9 of his own", "certificate-untrusted",
          certificate=slot(signer=forger, issuer="My PIV Attestation"),
          intermediates=[f9(key=forger, signer=forger, subject="My PIV Attestation", issuer="My CA"),
                         root(subject="My CA", key=forger)])
    write("slot-forged", "a slot's certificate under the true F9's name, signed by another key",
          "certificate-signature-invalid", certificate=slot(signer=forger))
    write("slot-self-signed", "a slot's certificate signed by itself", "certificate-signature-invalid",
          certificate=slot(signer=SLOT))
    honest_slot = slot(serial=12345678, pin=2, touch=1)
    for attack, what, old, new in (
            ("extension-tampered", "the policy was changed after signing", b"\x04\x02\x02\x01",
             b"\x04\x02\x03\x02"),
            ("serial-swapped", "the serial number was changed after signing", integer(12345678),
             integer(12345679)),
            ("firmware-tampered", "the firmware was changed after signing", b"\x04\x03\x05\x04\x03",
             b"\x04\x03\x05\x07\x04"),
            ("slot-tampered", "the slot was changed after signing", b"Attestation 9a",
             b"Attestation 9c")):
        assert honest_slot.count(old) == 1
        write(attack, what, "certificate-signature-invalid",
              certificate=honest_slot.replace(old, new))
    write("f9-as-slot", "the F9's own certificate shown as a slot's", "certificate-profile",
          certificate=f9(), intermediates=[])
    write("old-f9-as-slot", "an F9 without basicConstraints shown as a slot's",
          "piv-attestation-extension", certificate=f9("4.3.5", constraints=False), intermediates=[])
    write("slot-f9", "an attestation that names slot f9", "certificate-profile",
          certificate=slot("f9"))
    write("no-slot", "an attestation that names no slot", "certificate-profile",
          certificate=slot(subject="YubiKey PIV Attestation"))
    write("two-slots", "an attestation that names two slots", "certificate-profile",
          certificate=slot(subject="YubiKey PIV Attestation 9a 9c"))
    for version in ("5.4.3", "4.3.5"):
        tag = version.replace(".", "-")
        good = f9(version, constraints=version != "4.3.5")
        own = slot("9a", version=version, form=None)
        write(f"leaf-of-leaf-{tag}", "the slot's key issues an attestation of a key in software",
              "certificate-not-ca",
              certificate=slot("9c", version=version, pin=3, touch=2, key=OTHER, signer=SLOT,
                               issuer="YubiKey PIV Attestation 9a"),
              intermediates=[own, good])
    write("leaf-of-nameless-leaf", "a slot's certificate without a slot in its name as an issuer",
          "certificate-not-ca",
          certificate=slot("9c", version="4.3.5", key=OTHER, signer=SLOT, issuer=F9_NAME + " X"),
          intermediates=[slot(subject=F9_NAME + " X", version="4.3.5"), f9("4.3.5", constraints=False)])
    write("f9-below-f9", "an F9 without basicConstraints issues another one", "certificate-not-ca",
          certificate=slot(version="4.3.5", signer=OTHER, issuer="Yubico PIV Attestation 2"),
          intermediates=[f9("4.3.5", constraints=False),
                         f9("4.3.5", constraints=False, subject="Yubico PIV Attestation 2",
                            issuer=F9_NAME, key=OTHER, signer=F9)])
    write("f9-no-constraints", "an F9 of firmware that has basicConstraints comes without",
          "certificate-not-ca", intermediates=[f9(constraints=False)])
    write("f9-no-constraints-4-4-2", "4.4.2 is no firmware without basicConstraints",
          "certificate-not-ca", certificate=slot(version="4.4.2", form=None),
          intermediates=[f9("4.4.2", constraints=False)])
    write("f9-not-ca", "an F9 that says it is no CA, of old firmware", "certificate-not-ca",
          certificate=slot(version="4.3.5"),
          intermediates=[f9("4.3.5", constraints=False, more=[basic_constraints(False)])])
    write("f9-no-cert-sign", "an F9 whose keyUsage lacks keyCertSign", "certificate-not-ca",
          intermediates=[f9(more=[key_usage(DIGITAL_SIGNATURE)])])
    write("root-pathlen-0", "only the root that allows no CA below it", "certificate-not-ca",
          trust=[root(0)])
    u2f = P256()
    write("u2f-root-5-4-3", "the U2F root's path length is excused for a 4.3.7 alone",
          "certificate-not-ca", trust=[root(0, "Yubico U2F Root CA Serial 457200631", u2f)],
          intermediates=[f9(signer=u2f, issuer="Yubico U2F Root CA Serial 457200631")])
    write("other-root-4-3-7", "the path length of another root is not excused for a 4.3.7",
          "certificate-not-ca", certificate=slot(version="4.3.7", form=None), trust=[root(0)],
          intermediates=[f9("4.3.7", constraints=False)])
    chain, signer, issuer = [], ROOT, ROOT_NAME
    for i in range(6):
        key = P256()
        chain.append(issue(f"CA {i}", issuer, key, signer, [basic_constraints(True), key_usage(CERT_SIGN)]))
        signer, issuer = key, f"CA {i}"
    chain.append(f9(issuer=issuer, signer=signer))
    write("chain-too-long", "six CAs between the F9 and its root", "certificate-not-ca",
          intermediates=chain, trust=[root(None)])
    write("f9-expired", "the F9 has expired", "certificate-expired",
          intermediates=[f9(not_after="20250101000000Z")])
    write("f9-not-yet-valid", "the F9 is not valid yet", "certificate-expired",
          intermediates=[f9(not_before="20270101000000Z")])
    write("slot-expired", "the slot's certificate has expired", "certificate-expired",
          certificate=slot(not_after="20250101000000Z"))
    write("f9-missing", "the F9 was not sent", "certificate-untrusted", intermediates=[])
    write("untrusted-root", "an honest chain to a root that nobody configured", "certificate-untrusted",
          trust=[root(subject="Other Root", key=OTHER)])
    write("sha1-slot", "a slot's certificate signed with SHA-1", "certificate-algorithm",
          certificate=slot(digest="sha1"))
    write("sha1-f9", "an F9 signed with SHA-1", "certificate-algorithm",
          intermediates=[f9(digest="sha1")])
    short = RSA(1024)
    write("rsa-1024-f9", "an F9 of 1024 bits", "certificate-algorithm", certificate=slot(signer=short),
          intermediates=[f9(key=short)])
    write("rsa-1024-slot", "a slot's key of 1024 bits", "key-algorithm", certificate=slot(key=RSA(1024)))
    write("x25519-slot", "a slot's key that can't sign", "key-algorithm",
          certificate=slot(version="5.7.1", key=x25519.X25519PrivateKey.generate()))
    write("openpgp-attestation", "the vendor's attestation of an OpenPGP key",
          "piv-attestation-extension",
          certificate=slot(extensions=[extension("1.3.6.1.4.1.41482.5.2", b"\x04\x00"),
                                       extension("1.3.6.1.4.1.41482.5.4", b"\x05\x04\x03")]))
    write("slot-is-ca", "a slot's certificate that is a CA's", "certificate-profile",
          certificate=slot(extensions=slot_extensions() + [basic_constraints(True)]))
    write("f9-revoked", "the vendor revoked the F9", "certificate-revoked",
          intermediates=[f9(serial=b"\x77\x01")], flags=["--crl", "root.crl"],
          files={"root.crl": crl(ROOT_NAME, ROOT, [b"\x77\x01"])})
    write("crl-expired", "the revocation list is too old", "crl-expired", flags=["--crl", "root.crl"],
          files={"root.crl": crl(ROOT_NAME, ROOT, until="20251215000000Z")})
    renewed = RSA()
    key_id = lambda key: extension("2.5.29.35", seq(tlv(0x80, hashlib.sha1(
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)).digest())))
    write("valid-crl-renewed-key", "none: the list of the vendor's renewed key says nothing of the old one's",
          flags=["--crl", "root.crl"], files={"root.crl": crl(ROOT_NAME, renewed, more=[key_id(renewed)])},
          proves={"revocation_checked": False})
    write("crl-forged-key-id", "a list that somebody else signed, with the vendor's key identifier", "crl-invalid",
          flags=["--crl", "root.crl"], files={"root.crl": crl(ROOT_NAME, renewed, more=[key_id(ROOT)])})
    brainpool = ec.generate_private_key(ec.BrainpoolP256R1())
    write("brainpool-f9", "an F9 on a brainpool curve", "certificate-algorithm",
          certificate=slot(signer=brainpool), intermediates=[f9(key=brainpool)])
    write("brainpool-slot", "a slot's key on a brainpool curve, in a chain that leads nowhere", "key-algorithm",
          certificate=slot(key=brainpool), intermediates=[])
    write("crl-forged", "a revocation list that somebody else signed", "crl-invalid",
          flags=["--crl", "root.crl"], files={"root.crl": crl(ROOT_NAME, OTHER)})


# ---- Extensions and encodings ----

def malformed():
    def with_extension(number, value, keep=True):
        base = {3: firmware("5.4.3"), 7: serial_extension(1), 8: policies(2, 1), 9: form_factor(1)}
        base[number] = extension(f"{YUBICO}.{number}", value)
        if not keep:
            del base[number]
        return slot(extensions=list(base.values()))

    bad = "piv-attestation-extension"
    for attack, number, value in (
            ("firmware-der", 3, tlv(0x04, b"\x05\x04\x03")), ("firmware-short", 3, b"\x05\x04"),
            ("firmware-trailing", 3, b"\x05\x04\x03\x00"), ("firmware-empty", 3, b""),
            ("policies-short", 8, b"\x02"), ("policies-trailing", 8, b"\x02\x01\x00"),
            ("policies-der", 8, tlv(0x04, b"\x02\x01")),
            ("form-factor-empty", 9, b""), ("form-factor-trailing", 9, b"\x01\x00"),
            ("form-factor-der", 9, integer(1)),
            ("serial-raw", 7, (12345678).to_bytes(4, "big")), ("serial-empty", 7, b""),
            ("serial-negative", 7, b"\x02\x01\x80"), ("serial-trailing", 7, integer(12345678) + b"\x00"),
            ("serial-padded", 7, b"\x02\x04\x00\x00\x00\x05"), ("serial-huge", 7, integer(1 << 80)),
            ("serial-long-length", 7, b"\x02\x81\x01\x05"), ("serial-indefinite", 7, b"\x02\x80\x05\x00\x00"),
            ("serial-cut", 7, b"\x02\x04\x01\x02")):
        write(attack, f"extension .{number} is not of its form", bad,
              certificate=with_extension(number, value))
    write("firmware-missing", "no firmware version", bad, certificate=with_extension(3, b"", keep=False))
    write("policies-missing", "no PIN and touch policy", bad,
          certificate=with_extension(8, b"", keep=False))
    write("extension-twice", "two policies, the first strong", "certificate-malformed",
          certificate=slot(extensions=[policies(3, 2)] + slot_extensions()))
    write("extension-critical", "a critical extension that is none of ours",
          "certificate-critical-extension",
          certificate=slot(extensions=slot_extensions() + [extension("1.2.3.4", b"", True)]))
    der = slot()
    assert der[:2] == b"\x30\x82"
    write("der-indefinite", "the outer SEQUENCE has no length", "certificate-malformed",
          certificate=b"\x30\x80" + der[4:] + b"\x00\x00")
    write("der-long-length", "the outer length has a superfluous octet", "certificate-malformed",
          certificate=b"\x30\x83\x00" + der[2:])
    write("der-trailing", "something follows the certificate", "certificate-malformed",
          certificate=der + b"\x00")
    write("der-cut", "the certificate is cut off", "certificate-malformed", certificate=der[:-1])
    write("der-oversize", "a certificate of 70 kB", "certificate-malformed",
          certificate=slot(extensions=slot_extensions() + [extension("1.2.3.4", b"\x00" * 70000)]))
    write("empty", "an empty file", "certificate-malformed", certificate=b"")
    write("garbage", "something else altogether", "certificate-malformed", certificate=b"hello\n")


# ---- What a policy asks for ----

def policy():
    refused = lambda attack, what, reason, flags, **more: write(
        f"policy-{attack}", what, reason, flags=flags, **more)
    for number in ("9a", "9d", "9e"):
        refused(f"shared-{number}", "a slot that other software signs with", "piv-shared-key",
                ["--refuse-shared"], certificate=slot(number))
    refused("touch-downgrade", "cached where always was asked", "piv-policy",
            ["--require-touch", "always"], certificate=slot(touch=3))
    refused("touch-never", "never where cached was asked", "piv-policy", ["--require-touch", "cached"])
    refused("touch-unknown", "an unknown policy is no strong one", "piv-policy",
            ["--require-touch", "cached"], certificate=slot(touch=7))
    refused("pin-downgrade", "once where always was asked", "piv-policy", ["--require-pin", "always"])
    refused("pin-never", "never where once was asked", "piv-policy", ["--require-pin", "once"],
            certificate=slot(pin=1))
    refused("pin-finger", "a finger where a PIN was asked", "piv-policy", ["--require-pin", "once"],
            certificate=slot(pin=5))
    refused("firmware", "5.4.3 where 5.7 was asked", "piv-firmware", ["--min-firmware", "5.7"])
    refused("no-fips", "no FIPS model", "piv-form-factor", ["--fips"])
    refused("form-factor", "another form factor", "piv-form-factor", ["--form-factor", "usb-c-nano"])
    refused("no-form-factor", "a card that tells no form factor", "piv-form-factor",
            ["--form-factor", "usb-a-keychain"], certificate=slot(form=None))
    refused("serial", "another card", "device-not-pinned", ["--serial", "1"])
    refused("no-serial", "a card that tells no serial", "device-not-pinned", ["--serial", "1"],
            certificate=slot(serial=None))
    old = dict(intermediates=[f9("4.3.3", constraints=False)])
    refused("roca", "an RSA key of firmware that makes weak ones", "piv-firmware",
            ["--refuse-weak-firmware", "recoverable"],
            certificate=slot(version="4.3.3", form=None, key=SLOT_RSA), **old)
    write("valid-roca-ec", "none: an EC key of firmware that makes weak RSA keys",
          certificate=slot(version="4.3.3", form=None), flags=["--refuse-weak-firmware", "all"], **old)
    refused("biased-nonces", "an EC key of 4.4.4", "piv-firmware",
            ["--refuse-weak-firmware", "recoverable"],
            certificate=slot(version="4.4.4", form=None), intermediates=[f9("4.4.4")])
    refused("eucleak", "an EC key of firmware before 5.7", "piv-firmware",
            ["--refuse-weak-firmware", "all"])
    write("valid-eucleak-tolerated", "none: it takes the opened card",
          flags=["--refuse-weak-firmware", "recoverable"])
    write("valid-eucleak-rsa", "none: an RSA key of firmware before 5.7",
          certificate=slot(key=SLOT_RSA), flags=["--refuse-weak-firmware", "all"])
    write("valid-5-7-0", "none: fixed firmware", certificate=slot(version="5.7.0"),
          flags=["--refuse-weak-firmware", "all", "--min-firmware", "5.7.0"])
    refused("eucleak-bio", "an EC key of a Bio before 5.7.2", "piv-firmware",
            ["--refuse-weak-firmware", "all"], certificate=slot(version="5.7.1", form=6))


# ---- What an organisation's list of firmware says ----

def firmware_lists():
    def listed(attack, what, reason, *rules, **more):
        text = "forekey-firmware-list 1\n" + "".join(f"{rule}\n" for rule in rules)
        write(attack, what, reason, flags=["--firmware", "firmware.list"],
              files={"firmware.list": text.encode()}, **more)
    listed("list-too-old", "5.4.3 where the list's least is 5.7", "firmware-too-old",
           "piv yubikey least 5.7")
    listed("list-weak", "an EC key of firmware that the list calls weak", "firmware-weak",
           "piv yubikey weak 5.0-5.6 ecdsa : YSA-2024-03")
    listed("list-weak-bio", "a Bio, of which the list has all", "firmware-weak",
           "piv yubikey-bio weak all", certificate=slot(version="5.7.2", form=6))
    listed("valid-list", "none: the list is about RSA keys, the Bio, and older firmware", "",
           "piv yubikey weak all rsa", "piv yubikey-bio weak all", "piv yubikey least 5.4.3")


# ---- Cards without attestation ----

def cards():
    hardware, software, usage = "2.16.840.1.101.3.2.1.3.13", "1.2.3.4.5", "1.2.3.4.99"
    ca_key, card_key = P256(), P256()

    def policy_extension(*oids):
        return extension("2.5.29.32", seq(*[seq(oid(o)) for o in oids]))

    def ca(*oids, and_also=(), **more):
        return issue("Agency Issuing CA", "Agency Root", ca_key, OTHER,
                     [basic_constraints(True, 0), key_usage(CERT_SIGN), *and_also] +
                     ([policy_extension(*oids)] if oids else []), **more)

    def card(*oids, ekus=("1.3.6.1.5.5.7.3.2",), more=(), **fields):
        extensions = [key_usage(DIGITAL_SIGNATURE)] + list(more)
        if ekus:
            extensions.append(ext_key_usage(*ekus))
        if oids:
            extensions.append(policy_extension(*oids))
        return issue("Jane Doe", "Agency Issuing CA", card_key, ca_key, extensions,
                     **{"serial": b"\x51", **fields})

    top = issue("Agency Root", "Agency Root", OTHER, OTHER, [basic_constraints(True), key_usage(CERT_SIGN)])
    good = crl("Agency Issuing CA", ca_key, [b"\x52"])

    def show(attack, what, reason="", certificate=None, intermediates=None, flags=(), **more):
        write(f"card-{attack}", what, reason, certificate=certificate or card(hardware),
              intermediates=intermediates or [ca(hardware)], trust=[top],
              flags=["--card-certificate"] + list(flags), **more)

    mean = ["--policy-oid", hardware]
    show("valid", "none: nothing says hardware", certificate=card(),
         proves={"proof": "certificate", "hardware": False, "factors": ["cert"]})
    show("valid-hardware", "none: the policy says hardware", flags=mean,
         proves={"hardware": True, "policy": hardware, "factors": ["piv-shared"]})
    show("valid-dedicated", "none: an extKeyUsage of Forekey's own",
         certificate=card(hardware, ekus=(usage,)), proves={"factors": ["piv"]},
         flags=mean + ["--dedicated-eku", usage, "--refuse-shared"])
    show("valid-any-policy", "none: the issuing CA asserts anyPolicy", flags=mean,
         intermediates=[ca("2.5.29.32.0")], proves={"hardware": True})
    show("valid-crl", "none: not on the list", flags=["--crl", "ca.crl"], files={"ca.crl": good},
         proves={"revocation_checked": True})
    # requireExplicitPolicy 0 and inhibitPolicyMapping 0; inhibitAnyPolicy 0.
    strict = [extension("2.5.29.36", seq(tlv(0x80, b"\0"), tlv(0x81, b"\0")), True),
              extension("2.5.29.54", integer(0), True)]
    show("valid-explicit-policy", "none: the issuing CA must have and assert a policy, as below a bridge",
         flags=mean, intermediates=[ca(hardware, and_also=strict)], proves={"hardware": True})
    show("explicit-policy", "a policy that the issuing CA may not assert, where one is required",
         "certificate-policy", certificate=card(software), intermediates=[ca(hardware, and_also=strict)])
    show("explicit-policy-none", "no policy where one is required", "certificate-policy",
         certificate=card(), intermediates=[ca(hardware, and_also=strict)])
    show("explicit-policy-any", "anyPolicy where it counts for nothing", "certificate-policy",
         certificate=card("2.5.29.32.0"), intermediates=[ca(hardware, and_also=strict)])
    show("policy-missing", "another policy than the one that means hardware", "certificate-policy",
         certificate=card(software), flags=mean)
    show("policy-ca-lacks-it", "a CA that may not assert the policy", "certificate-policy",
         intermediates=[ca(software)], flags=mean)
    show("policy-ca-has-none", "a CA without any policy", "certificate-policy",
         intermediates=[ca()], flags=mean)
    # The issuing CA, and another below it that is given more than it has.
    below_key = P256()
    below = lambda *more: issue("Agency Sub CA", "Agency Issuing CA", below_key, ca_key,
                                [basic_constraints(True, 0), key_usage(CERT_SIGN), *more])
    open_ca = lambda *more: issue("Agency Issuing CA", "Agency Root", ca_key, OTHER,
                                  [basic_constraints(True, 1), key_usage(CERT_SIGN), *more])
    of_below = issue("Jane Doe", "Agency Sub CA", card_key, below_key,
                     [key_usage(DIGITAL_SIGNATURE), ext_key_usage("1.3.6.1.5.5.7.3.2"), policy_extension(hardware)])
    any_policy, no_any = "2.5.29.32.0", lambda n, critical=True: extension("2.5.29.54", integer(n), critical)
    maps = lambda theirs, ours, critical=True: extension("2.5.29.33", seq(seq(oid(theirs), oid(ours))), critical)
    show("policy-inhibited-any", "anyPolicy of a CA below one that has switched it off", "certificate-policy",
         certificate=of_below, flags=mean, intermediates=[
             open_ca(policy_extension(hardware), no_any(0)), below(policy_extension(software, any_policy))])
    show("policy-inhibited-any-not-critical", "the same, where the CA does not call that critical",
         "certificate-policy", certificate=of_below, flags=mean, intermediates=[
             open_ca(policy_extension(hardware), no_any(0, None)), below(policy_extension(any_policy))])
    show("policy-mapped", "a CA makes another policy into the one that means hardware", "certificate-policy",
         flags=mean, intermediates=[ca(any_policy, and_also=[maps(software, hardware)])])
    show("policy-mapped-away", "a CA gives the policy that means hardware another name", "certificate-policy",
         certificate=card(hardware), flags=mean, intermediates=[
             ca(hardware, any_policy, and_also=[maps(hardware, software, None)])])
    show("valid-inhibited-any-later", "none: anyPolicy is switched off for those further below",
         certificate=of_below, flags=mean, proves={"hardware": True}, intermediates=[
             open_ca(policy_extension(hardware), no_any(1)), below(policy_extension(any_policy))])
    show("valid-explicit-policy-later", "none: a policy is required of certificates further below", flags=[],
         certificate=card(), proves={"factors": ["cert"]},
         intermediates=[ca(and_also=[extension("2.5.29.36", seq(tlv(0x80, b"\2")), True)])])
    show("explicit-policy-not-critical", "a policy is required, and nothing calls that critical",
         "certificate-policy", certificate=card(),
         intermediates=[ca(hardware, and_also=[extension("2.5.29.36", seq(tlv(0x80, b"\0")))])])
    show("shared", "a certificate for TLS clients", "piv-shared-key", flags=["--refuse-shared"])
    show("any-purpose", "a certificate without extKeyUsage is for anything", "piv-shared-key",
         certificate=card(hardware, ekus=()), flags=["--refuse-shared", "--dedicated-eku", usage])
    show("dedicated-and-logon", "a reserved extKeyUsage beside another", "piv-shared-key",
         certificate=card(hardware, ekus=(usage, "1.3.6.1.4.1.311.20.2.2")),
         flags=["--refuse-shared", "--dedicated-eku", usage])
    show("eku", "another extKeyUsage than asked for", "certificate-purpose",
         flags=["--eku", "1.3.6.1.4.1.311.20.2.2"])
    web, client = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
    show("ca-for-web-servers", "a CA for web servers below the agency's issues a card's certificate",
         "certificate-purpose", intermediates=[ca(hardware, and_also=[ext_key_usage(web, critical=True)])])
    show("ca-not-dedicated", "a CA that may not give the extKeyUsage of Forekey's own", "certificate-purpose",
         certificate=card(hardware, ekus=(usage,)), flags=mean + ["--dedicated-eku", usage],
         intermediates=[ca(hardware, and_also=[ext_key_usage(client)])])
    show("eku-ca-lacks-it", "the extKeyUsage that is asked for, from a CA that may give others alone",
         "certificate-purpose", certificate=card(hardware, ekus=(client, usage)), flags=["--eku", usage],
         intermediates=[ca(hardware, and_also=[ext_key_usage(client)])])
    show("valid-ca-purposes", "none: a CA of several purposes", flags=["--eku", client],
         intermediates=[ca(hardware, and_also=[ext_key_usage(web, client)])])
    show("no-signing", "a certificate for decryption", "certificate-purpose",
         certificate=issue("Jane Doe", "Agency Issuing CA", card_key, ca_key, [key_usage(0x20)]))
    show("ca", "the issuing CA's certificate shown as a card's", "certificate-profile",
         certificate=ca(hardware))
    show("issuer-expired", "the issuing CA has expired", "certificate-expired",
         intermediates=[ca(hardware, not_after="20250101000000Z")])
    show("expired", "the card's certificate has expired", "certificate-expired",
         certificate=card(hardware, not_after="20250101000000Z"))
    show("revoked", "the card was lost", "certificate-revoked", flags=["--crl", "ca.crl"],
         files={"ca.crl": crl("Agency Issuing CA", ca_key, [b"\x50", b"\x51"])})
    show("issuer-revoked", "the issuing CA was revoked", "certificate-revoked",
         intermediates=[ca(hardware, serial=b"\x61")], flags=["--crl", "ca.crl", "--crl", "root.crl"],
         files={"ca.crl": good, "root.crl": crl("Agency Root", OTHER, [b"\x61"])})
    show("crl-renewed-key", "only the list of the issuing CA's renewed key", "crl-invalid",
         flags=["--crl", "ca.crl"], files={"ca.crl": crl("Agency Issuing CA", below_key, more=[
             extension("2.5.29.35", seq(tlv(0x80, b"renewed")))])})
    show("crl-missing", "a list, but none of the card's issuer", "crl-invalid",
         flags=["--crl", "root.crl"], files={"root.crl": crl("Agency Root", OTHER)})
    show("crl-partial", "a list of a part of the certificates", "crl-invalid", flags=["--crl", "ca.crl"],
         files={"ca.crl": crl("Agency Issuing CA", ca_key, more=[
             extension("2.5.29.28", seq(tlv(0x82, b"\xff")), True)])})
    delta = crl("Agency Issuing CA", ca_key, [b"\x51"], more=[extension("2.5.29.27", integer(1), True)])
    both = ["--crl", "ca.crl", "--crl", "ca+.crl"]
    show("crl-delta", "the card's revocation stands in a delta beside the complete list", "crl-invalid",
         flags=both, files={"ca.crl": good, "ca+.crl": delta})
    show("crl-some-reasons", "the card's revocation stands in a list for some reasons alone", "crl-invalid",
         flags=both, files={"ca.crl": good, "ca+.crl": crl("Agency Issuing CA", ca_key, [b"\x51"], more=[
             extension("2.5.29.28", seq(tlv(0x83, b"\x05\x60")), True)])})
    show("crl-distribution-point", "a list for one distribution point, which does not call that critical",
         "crl-invalid", flags=both,
         files={"ca.crl": good, "ca+.crl": crl("Agency Issuing CA", ca_key, [b"\x51"], more=[
             extension("2.5.29.28", seq(tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://agency.example/2.crl")))))])})
    show("crl-indirect-entry", "an entry, and those behind it, made another issuer's", "crl-invalid",
         flags=["--crl", "ca.crl"], files={"ca.crl": crl("Agency Issuing CA", ca_key, [b"\x51"], entry=[
             extension("2.5.29.29", seq(tlv(0xA4, name("Another CA"))))])})
    show("revoked-by-an-old-list", "the list that names the card has expired, a newer one has forgotten it",
         "certificate-revoked", flags=both,
         files={"ca.crl": good, "ca+.crl": crl("Agency Issuing CA", ca_key, [b"\x51"],
                                               until="20251215000000Z")})
    show("revoked-by-sha1", "the list that names the card is signed with SHA-1", "certificate-revoked",
         flags=both, files={"ca.crl": good,
                            "ca+.crl": crl("Agency Issuing CA", ca_key, [b"\x51"], digest="sha1")})
    show("crl-no-end", "a list that does not say how long it holds", "crl-invalid",
         flags=["--crl", "ca.crl"], files={"ca.crl": crl("Agency Issuing CA", ca_key, until=None)})
    show("crl-sha1", "a list signed with SHA-1", "crl-invalid", flags=["--crl", "ca.crl"],
         files={"ca.crl": crl("Agency Issuing CA", ca_key, digest="sha1")})
    show("crl-trailing", "something follows the list", "crl-invalid", flags=["--crl", "ca.crl"],
         files={"ca.crl": good + b"\x00"})
    write("card-as-attestation", "a card's certificate shown as an attestation", "piv-attestation-extension",
          certificate=card(hardware), intermediates=[ca(hardware)], trust=[top])


if __name__ == "__main__":
    if not sys.argv[1:]:
        for old in ATTACKS.iterdir():
            shutil.rmtree(old)
    honest()
    forged()
    malformed()
    policy()
    firmware_lists()
    cards()
