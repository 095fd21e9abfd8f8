#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/attacks/tpm: forged, malformed and misused TPM evidence, and what must be said of it.

Needs python3-cryptography. The files are committed; run this again only to add or change some, whose names
are then the arguments; without any it writes all anew. Keys are made anew each time and are
thrown away.
"""
import hashlib
import json
import pathlib
import shutil
import sys

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tpm_evidence import *  # noqa: F403

ATTACKS = pathlib.Path(__file__).resolve().parents[1] / "tpm"
AT = ["--at", "2026-01-01T00:00:00Z"]
EK_USAGE, AK_USAGE = "2.23.133.8.1", "2.23.133.8.3"
EXTRA = bytes(range(32))

P256 = lambda: ec.generate_private_key(ec.SECP256R1())
P384 = lambda: ec.generate_private_key(ec.SECP384R1())
RSA = lambda bits=2048: rsa.generate_private_key(65537, bits)

ROOT, CA, OTHER = P384(), RSA(), P256()
EK = {"rsa": RSA(), "p256": P256(), "p384": P384()}
AK = {"rsa": RSA(), "p256": P256()}
KEY = {"p256": P256(), "p384": P384(), "rsa": RSA()}


def write(name, what, flags, files, reason="", proves=None):
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    folder = ATTACKS / name
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    expected = {"attack": what, "flags": ["--kind", "tpm"] + flags + AT,
                "verdict": "refused" if reason else "valid", "reason": reason,
                "exit_status": 1 if reason else 0}
    if proves:
        expected["proves"] = proves
    (folder / "attack.json").write_text(json.dumps(expected, indent=2) + "\n")


# ---- Endorsement ----

def root_certificate(**changes):
    options = dict(subject="Root", issuer="Root", key=ROOT, signer=ROOT, digest="sha384",
                   extensions=[basic_constraints(True), key_usage(CERT_SIGN)])
    return certificate(**{**options, **changes})


def ca_certificate(**changes):
    options = dict(subject="Issuing CA", issuer="Root", key=CA, signer=ROOT,
                   extensions=[basic_constraints(True, 0), key_usage(CERT_SIGN)])
    return certificate(**{**options, **changes})


def ek_extensions(kind="rsa", usage=None, ekus=(EK_USAGE,), san=None, more=(), ca=None):
    usage = usage or (KEY_ENCIPHERMENT if kind == "rsa" else KEY_AGREEMENT)
    result = [basic_constraints(True) if ca else basic_constraints(False), key_usage(usage)]
    result.append(san or tpm_san())
    if ekus:
        result.append(ext_key_usage(*ekus))
    return result + list(more)


def ek_certificate(kind="rsa", **changes):
    options = dict(subject=b"\x30\x00", issuer="Issuing CA", key=EK[kind], signer=CA,
                   extensions=ek_extensions(kind))
    return certificate(**{**options, **changes})


def ek_public(kind="rsa", attributes=EK_ATTRIBUTES, key=None, **changes):
    wide = kind == "p384"
    options = dict(name_alg="sha384" if wide else "sha256", policy=b"\x83" * (48 if wide else 32),
                   aes=256 if wide else 128)
    return public(key or EK[kind], attributes, **{**options, **changes})


def endorsement(name, what, reason="", ek=None, ca=None, root=None, public_area=None, proves=None):
    """ca: the intermediates, or None for the good one; public_area: None for none."""
    files = {"ek.cert": ek_certificate() if ek is None else ek,
             "trust/root.der": root_certificate() if root is None else root}
    flags = ["--ek-cert", "ek.cert", "--trust", "trust"]
    for i, intermediate in enumerate([ca_certificate()] if ca is None else ca):
        files[f"intermediate{i}.der"] = intermediate
        flags += ["--intermediates", f"intermediate{i}.der"]
    if public_area is not None:
        files["ek.pub"] = public_area
        flags += ["--ek-public", "ek.pub"]
    write(name, what, flags, files, reason, proves)


def endorsements():
    for kind in EK:
        endorsement(f"valid-ek-{kind}", f"none: an honest {kind} EK and its public area",
                    ek=ek_certificate(kind), public_area=ek_public(kind),
                    proves={"manufacturer": "Intel", "model": "Model X", "ek_public_compared": True})
    endorsement("valid-ek-explicit-false", "none: critical=FALSE spelled out, as Intel and AMD do",
                ek=ek_certificate(extensions=[
                    basic_constraints(False, critical=False), key_usage(KEY_ENCIPHERMENT),
                    tpm_san(), ext_key_usage(EK_USAGE, critical=False)]))
    endorsement("valid-ek-ecc-key-encipherment", "none: an ECC EK whose keyUsage is keyEncipherment",
                ek=ek_certificate("p256", extensions=ek_extensions("p256", KEY_ENCIPHERMENT)))
    endorsement("valid-ek-three-rdns", "none: TPM attributes as three RDNs, PrintableString",
                ek=ek_certificate(extensions=ek_extensions(
                    san=tpm_san(one_rdn=False, tag=0x13, manufacturer="id:4E544300"))),
                proves={"manufacturer": "Nuvoton", "version": "id:13"})
    der = ek_certificate()
    endorsement("valid-ek-nv-filler", "none: an NV index with filler behind the certificate",
                ek=der + b"\xff" * 300)
    endorsement("valid-ek-nv-header", "none: TCG_PCCLIENT_STORED_CERT before the certificate",
                ek=b"\x10\x01\x00" + u16(len(der) + 2) + b"\x10\x02" + der + b"\x00" * 40)
    endorsement("valid-ek-expired-root", "none: the EK outlives the vendor's root",
                root=root_certificate(not_after="20250101000000Z"))
    endorsement("valid-ek-serial-zeros", "none: an intermediate's serial has leading zeros (STM)",
                ca=[ca_certificate(serial=b"\0\0\0\x21")])
    endorsement("valid-ek-name-encodings", "none: the same name in two string types",
                root=root_certificate(subject=name("Root", 0x13), issuer=name("Root", 0x13)))
    endorsement("valid-ek-critical-ca-policies", "none: critical certificatePolicies and EKU on a CA",
                ca=[ca_certificate(extensions=[
                    basic_constraints(True, 0), key_usage(CERT_SIGN),
                    extension("2.5.29.32", seq(seq(oid("2.5.29.32.0"))), True),
                    ext_key_usage(EK_USAGE, critical=True)])])

    google = dict(subject=name("a machine's number"), extensions=[key_usage(KEY_ENCIPHERMENT)])
    for_eks = [basic_constraints(True, 0), key_usage(CERT_SIGN), ext_key_usage(EK_USAGE)]
    endorsement("valid-ek-no-eku", "none: a virtual TPM, whose purpose stands in its CA's certificate alone",
                ek=ek_certificate(**google), ca=[ca_certificate(extensions=for_eks)])
    endorsement("no-eku-ca-of-two-purposes", "a certificate without a purpose, of a CA for AKs too",
                "certificate-purpose", ek=ek_certificate(**google),
                ca=[ca_certificate(extensions=for_eks[:2] + [ext_key_usage(EK_USAGE, AK_USAGE)])])
    endorsement("no-eku-signs", "a virtual TPM's AK certificate, by the CA of its EK certificate",
                "certificate-purpose", ca=[ca_certificate(extensions=for_eks)],
                ek=ek_certificate(**{**google, "extensions": [key_usage(DIGITAL_SIGNATURE)]}))

    web, any_purpose = "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"
    sub = lambda *usages, critical=None: ca_certificate(
        extensions=for_eks[:2] + [ext_key_usage(*usages, critical=critical)])
    endorsement("ca-for-web-servers", "a CA for web servers below the vendor's root issues an EK certificate",
                "certificate-purpose", ca=[sub(web, critical=True)])
    endorsement("ca-for-aks", "a CA for AKs issues an EK certificate", "certificate-purpose",
                ca=[sub(AK_USAGE)])
    endorsement("ca-for-aks-above", "a CA for AKs has a CA for EKs below it", "certificate-purpose",
                ca=[certificate("Issuing CA", "AK CA", CA, OTHER, for_eks),
                    certificate("AK CA", "Root", OTHER, ROOT,
                                [basic_constraints(True, 1), key_usage(CERT_SIGN),
                                 ext_key_usage(AK_USAGE)])])
    endorsement("valid-ek-ca-of-many-purposes", "none: a CA for EKs, AKs and platforms",
                ca=[sub("2.23.133.8.2", AK_USAGE, EK_USAGE, critical=True)])
    endorsement("valid-ek-ca-of-any-purpose", "none: a CA for any purpose", ca=[sub(AK_USAGE, any_purpose)])
    endorsement("valid-ek-anchor-purpose", "none: an anchor is trusted whatever it says it is for",
                root=root_certificate(extensions=[basic_constraints(True), key_usage(CERT_SIGN),
                                                  ext_key_usage(web, critical=True)]))

    # ecdsa-with-SHA384 with parameters, which it must not have.
    odd = dict(digest="sha384", algorithm=seq(oid("1.2.840.10045.4.3.3"), b"\x05\x00"))
    indirect = extension("2.5.29.31", seq(seq(
        tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://vendor.example/indirect.crl"))),
        tlv(0xA2, tlv(0xA4, name("On-die 1"))))))
    chain, signer, issuer = [], ROOT, "Root"
    for i in range(1, 6):
        key = P384()
        chain.append(certificate(f"On-die {i}", issuer, key, signer, [
            basic_constraints(True, 5 - i), key_usage(CERT_SIGN), indirect], **odd))
        signer, issuer = key, f"On-die {i}"
    endorsement("valid-ek-on-die", "none: five CAs, three of them in the processor, and CRLs of another issuer",
                ek=ek_certificate("p256", issuer=issuer, signer=signer,
                                  extensions=ek_extensions("p256", more=[indirect]), **odd), ca=chain,
                root=root_certificate(**odd))

    forger = RSA()
    endorsement("forged-chain", "a chain under the vendor's names with the attacker's keys",
                "certificate-signature-invalid", ek=ek_certificate(signer=forger),
                ca=[ca_certificate(key=forger, signer=P384())])
    endorsement("forged-leaf", "an EK certificate under the true CA's name, signed by another key",
                "certificate-signature-invalid", ek=ek_certificate(signer=forger))
    endorsement("untrusted-ca", "an EK certificate of a CA that nobody trusts, its root sent along",
                "certificate-untrusted",
                ek=ek_certificate(issuer="My CA", signer=OTHER),
                ca=[certificate("My CA", "My CA", OTHER, OTHER,
                                [basic_constraints(True), key_usage(CERT_SIGN)])])
    endorsement("self-signed", "an EK certificate signed by an attacker's key under its own name",
                "certificate-untrusted", ek=ek_certificate("p256", issuer=b"\x30\x00",
                                                           signer=EK["p256"]))
    endorsement("intermediate-missing", "the path can't be built", "certificate-untrusted", ca=[])
    endorsement("no-eku", "a certificate of the vendor without the EK's EKU",
                "certificate-purpose", ek=ek_certificate(extensions=ek_extensions(ekus=())))
    endorsement("other-eku", "a certificate of the vendor for TLS servers", "certificate-purpose",
                ek=ek_certificate(extensions=ek_extensions(ekus=("1.3.6.1.5.5.7.3.1",))))
    endorsement("ak-certificate", "an AK certificate shown as an EK certificate",
                "certificate-purpose",
                ek=ek_certificate(extensions=ek_extensions(usage=DIGITAL_SIGNATURE, ekus=(AK_USAGE,))))
    endorsement("ak-certificate-with-ek-eku", "a vTPM's AK certificate that carries the EK's EKU",
                "certificate-purpose",
                ek=ek_certificate(extensions=ek_extensions(usage=DIGITAL_SIGNATURE)))
    endorsement("no-key-usage", "a certificate that does not say what its key is for",
                "certificate-purpose",
                ek=ek_certificate(extensions=[basic_constraints(False), tpm_san(),
                                              ext_key_usage(EK_USAGE)]))
    endorsement("ca-as-ek", "a CA certificate shown as an EK certificate", "certificate-profile",
                ek=ek_certificate(extensions=ek_extensions(usage=CERT_SIGN | KEY_ENCIPHERMENT,
                                                           ca=True)))
    endorsement("pathlen", "a CA below one that may have none below it", "certificate-not-ca",
                ek=ek_certificate(issuer="Sub", signer=OTHER),
                ca=[ca_certificate(), certificate("Sub", "Issuing CA", OTHER, CA, [
                    basic_constraints(True), key_usage(CERT_SIGN)])])
    chain, signer, issuer = [], ROOT, "Root"
    for i in range(8):
        key = P256()
        chain.append(certificate(f"CA {i}", issuer, key, signer,
                                 [basic_constraints(True), key_usage(CERT_SIGN)]))
        signer, issuer = key, f"CA {i}"
    endorsement("path-too-long", "eight intermediates in a row", "certificate-not-ca",
                ek=ek_certificate(issuer=issuer, signer=signer), ca=chain)
    endorsement("intermediate-not-ca", "an end-entity certificate issues an EK certificate",
                "certificate-not-ca",
                ca=[ca_certificate(extensions=[basic_constraints(False), key_usage(CERT_SIGN)])])
    endorsement("intermediate-no-cert-sign", "a CA whose keyUsage lacks keyCertSign",
                "certificate-not-ca",
                ca=[ca_certificate(extensions=[basic_constraints(True), key_usage(DIGITAL_SIGNATURE)])])
    endorsement("ek-issues-ek", "the owner of a genuine certificate issues another",
                "certificate-not-ca",
                ek=ek_certificate(issuer="Genuine", signer=OTHER),
                ca=[ca_certificate(), certificate("Genuine", "Issuing CA", OTHER, CA, ek_extensions())])
    endorsement("intermediate-expired", "an expired intermediate", "certificate-expired",
                ca=[ca_certificate(not_after="20250101000000Z")])
    endorsement("ek-expired", "an expired EK certificate", "certificate-expired",
                ek=ek_certificate(not_after="20250101000000Z"))
    endorsement("ek-not-yet-valid", "an EK certificate of the future", "certificate-expired",
                ek=ek_certificate(not_before="20300101000000Z"))
    unknown = extension("1.2.3.4.5", b"\x05\x00", True)
    endorsement("critical-extension", "an EK certificate with an unknown critical extension",
                "certificate-critical-extension",
                ek=ek_certificate(extensions=ek_extensions(more=[unknown])))
    endorsement("critical-extension-ca", "an intermediate with an unknown critical extension",
                "certificate-critical-extension",
                ca=[ca_certificate(extensions=[basic_constraints(True), key_usage(CERT_SIGN), unknown])])
    endorsement("name-constraints", "an intermediate with critical nameConstraints",
                "certificate-critical-extension",
                ca=[ca_certificate(extensions=[basic_constraints(True), key_usage(CERT_SIGN),
                                               extension("2.5.29.30", seq(), True)])])
    endorsement("sha1-leaf", "an EK certificate signed with SHA-1", "certificate-algorithm",
                ek=ek_certificate(digest="sha1"))
    small = RSA(1024)
    endorsement("rsa-1024-ca", "an intermediate with an RSA key of 1024 bits",
                "certificate-algorithm", ek=ek_certificate(signer=small),
                ca=[ca_certificate(key=small)])
    endorsement("rsa-1024-ek", "an EK of 1024 bits", "ek-unsupported", ek=ek_certificate(key=small))
    oaep = seq(seq(oid("1.2.840.113549.1.1.7"), seq()),
               spki(EK["rsa"])[spki(EK["rsa"]).index(b"\x03\x82"):])
    endorsement("tpm12", "the EK certificate of a TPM 1.2", "ek-unsupported",
                ek=ek_certificate(key_info=oaep))
    endorsement("ek-mismatch", "a true certificate of another TPM", "ek-mismatch",
                public_area=ek_public("rsa", key=RSA()))
    endorsement("ek-mismatch-kind", "a certificate of this TPM's other EK", "ek-mismatch",
                public_area=ek_public("p256"))
    for what, attributes in {"signs": EK_ATTRIBUTES | SIGN, "exportable": EK_ATTRIBUTES & ~FIXED_TPM,
                             "unrestricted": EK_ATTRIBUTES & ~RESTRICTED,
                             "imported": EK_ATTRIBUTES & ~ORIGIN}.items():
        endorsement(f"ek-template-{what}", f"an EK public area that is no EK's: {what}",
                    "ek-template", public_area=ek_public(attributes=attributes))
    endorsement("ek-public-trailing", "a byte behind the EK's public area", "evidence-malformed",
                public_area=ek_public() + b"\0")

    endorsement("nv-garbage", "something other than filler behind the certificate",
                "certificate-malformed", ek=der + b"\xff\xff\x42")
    endorsement("nv-second-certificate", "a second certificate behind the first",
                "certificate-malformed", ek=der + ek_certificate("p256"))
    endorsement("der-truncated", "a certificate cut off", "certificate-malformed", ek=der[:-1])
    endorsement("der-signature-trailing", "a byte inside the signature, behind it",
                "certificate-signature-invalid", ek=ek_certificate(signature_suffix=b"\0"))
    endorsement("der-flipped-bit", "one bit of the signed part changed",
                "certificate-signature-invalid", ek=der.replace(b"Model X", b"Model Y"))
    body = der[4:]
    endorsement("der-long-length", "the outer length in more octets than needed",
                "certificate-malformed", ek=b"\x30\x83\x00" + u16(len(body)) + body)
    endorsement("der-inner-algorithm", "the outer signature algorithm is not the signed one",
                "certificate-signature-invalid",
                ek=der[:body.rindex(oid("1.2.840.113549.1.1.11")) + 4]
                + oid("1.2.840.113549.1.1.12") + der[body.rindex(oid("1.2.840.113549.1.1.11")) + 15:])
    endorsement("san-duplicate", "two manufacturers in one certificate", "certificate-profile",
                ek=ek_certificate(extensions=ek_extensions(san=extension(
                    "2.5.29.17",
                    seq(tlv(0xA4, seq(tlv(0x31, rdn("2.23.133.2.1", "id:494E5443"),
                                          rdn("2.23.133.2.1", "id:414D4400"))))), True))))
    endorsement("duplicate-extension", "keyUsage is there twice", "certificate-malformed",
                ek=ek_certificate(extensions=ek_extensions(more=[key_usage(DIGITAL_SIGNATURE)])))


# ---- The certified key ----

SCHEMES = {"rsa": ("rsassa", "sha256"), "pss": ("rsapss", "sha256"), "p256": ("ecdsa", "sha256")}


def key_attack(name, what, reason="", ak="p256", ak_attributes=AK_ATTRIBUTES, ak_changes=None,
               key="p256", key_attributes=KEY_ATTRIBUTES, key_changes=None, certified=None,
               extra=EXTRA, expected=EXTRA, signer=None, attest_changes=None, signature=None,
               change=None, proves=None):
    """change: {file: function of its bytes}, applied last, as somebody on the way would."""
    scheme = SCHEMES[ak]
    ak_key = AK["rsa" if ak == "pss" else ak]
    ak_area = public(ak_key, ak_attributes, **{"scheme": scheme, **(ak_changes or {})})
    key_area = public(KEY[key], key_attributes, **(key_changes or {}))
    name_alg = (key_changes or {}).get("name_alg", "sha256")
    info = attest(certified or object_name(key_area, name_alg), extra, **(attest_changes or {}))
    made = tpm_signature(signer or ak_key, info, **{"scheme": scheme[0], **(signature or {})})
    files = {"ak.pub": ak_area, "key.pub": key_area, "info": info, "sig": made}
    for path, function in (change or {}).items():
        files[path] = function(files[path])
    write(name, what, ["--ak-public", "ak.pub", "--key-public", "key.pub", "--certify-info", "info",
                       "--signature", "sig", "--qualifying-data", expected.hex()],
          files, reason, proves)


def keys():
    for ak in SCHEMES:
        for key in KEY:
            key_attack(f"valid-key-{key}-by-{ak}", f"none: a {key} key certified by a {ak} AK",
                       ak=ak, key=key, proves={"key_no_da": True, "certified_key": True})
    key_attack("valid-key-2b", "none: everything with its TPM2B size before it",
               change={"ak.pub": sized, "key.pub": sized, "info": sized})
    key_attack("valid-key-fixed-scheme", "none: the key names its scheme",
               key_changes={"scheme": ("ecdsa", "sha256")})
    key_attack("valid-key-exponent", "none: the RSA exponent spelled out", key="rsa",
               key_changes={"exponent": 65537})

    key_attack("ak-not-restricted", "an AK that signs whatever it is given", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES & ~RESTRICTED)
    key_attack("ak-decrypts", "an AK that decrypts too", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES | DECRYPT)
    key_attack("ak-exportable", "an AK that can be duplicated", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES & ~FIXED_TPM)
    key_attack("ak-moving-parent", "an AK that can be moved to another parent", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES & ~FIXED_PARENT)
    key_attack("ak-imported", "an AK that was born outside", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES & ~ORIGIN)
    key_attack("ak-not-signing", "an AK that does not sign", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES & ~SIGN)
    key_attack("ak-reserved-bit", "an AK with a reserved attribute", "ak-attributes",
               ak_attributes=AK_ATTRIBUTES | 1 << 31)
    key_attack("ak-no-scheme", "an AK without a scheme of its own", "key-algorithm",
               ak_changes={"scheme": None})
    key_attack("ak-sha1-scheme", "an AK that signs with SHA-1", "key-algorithm",
               ak_changes={"scheme": ("ecdsa", "sha1")}, signature={"digest": "sha1"})
    key_attack("ak-sha1-name", "an AK with a Name by SHA-1", "key-algorithm",
               ak_changes={"name_alg": "sha1"})
    key_attack("key-exportable", "a key that can be duplicated", "key-attributes",
               key_attributes=KEY_ATTRIBUTES & ~FIXED_TPM)
    key_attack("key-moving-parent", "a key that can be moved to another parent", "key-attributes",
               key_attributes=KEY_ATTRIBUTES & ~FIXED_PARENT)
    key_attack("key-imported", "a key that was born outside", "key-attributes",
               key_attributes=KEY_ATTRIBUTES & ~ORIGIN)
    key_attack("key-encrypted-duplication", "a key with encryptedDuplication", "key-attributes",
               key_attributes=KEY_ATTRIBUTES | ENCRYPTED_DUPLICATION)
    key_attack("key-restricted", "a restricted key shown as the signing key", "key-attributes",
               key_attributes=KEY_ATTRIBUTES | RESTRICTED,
               key_changes={"scheme": ("ecdsa", "sha256")})
    key_attack("key-decrypts", "a key that decrypts too", "key-attributes",
               key_attributes=KEY_ATTRIBUTES | DECRYPT)
    key_attack("key-not-signing", "a key that does not sign", "key-attributes",
               key_attributes=KEY_ATTRIBUTES & ~SIGN)
    key_attack("key-sha1-name", "a key with a Name by SHA-1", "key-algorithm",
               key_changes={"name_alg": "sha1"})
    key_attack("key-pss-scheme", "a key that can only make PSS", "key-algorithm", key="rsa",
               key_changes={"scheme": ("rsapss", "sha256")})
    key_attack("key-exponent-3", "an RSA key with exponent 3", "key-algorithm", key="rsa",
               key_changes={"exponent": 3})
    key_attack("certify-other-key", "a true certification of another key", "attest-name",
               certified=object_name(public(P256(), KEY_ATTRIBUTES)))
    key_attack("attributes-upgraded", "an exportable key's attributes changed after certification",
               "attest-name", key_attributes=KEY_ATTRIBUTES & ~FIXED_TPM,
               change={"key.pub": lambda b: b[:4] + u32(KEY_ATTRIBUTES) + b[8:]})
    key_attack("name-empty", "a certification of nothing", "attest-name",
               attest_changes={"tail": sized(b"") + sized(b"")})
    key_attack("extra-data-other", "a true certification for another enrolment",
               "attest-extra-data", extra=bytes(32))
    key_attack("extra-data-empty", "a certification without a challenge", "attest-extra-data",
               extra=b"")
    key_attack("extra-data-prefix", "extraData is only the beginning of what it must be",
               "attest-extra-data", extra=EXTRA[:31])
    key_attack("extra-data-longer", "extraData has something behind what it must be",
               "attest-extra-data", extra=EXTRA + b"\0")
    key_attack("magic", "an attestation that no TPM made", "attest-magic",
               attest_changes={"magic": 0xFF544348})
    quote = u32(1) + u16(ALG["sha256"]) + b"\x03\x01\x00\x00" + sized(bytes(32))
    key_attack("quote", "a quote shown as a certification", "attest-type",
               attest_changes={"kind": 0x8018, "tail": quote})
    key_attack("creation", "a creation attestation shown as a certification", "attest-type",
               attest_changes={"kind": 0x801A})
    key_attack("software-ak", "a certification signed by a software key", "attest-signature",
               signer=P256())
    key_attack("software-ak-rsa", "a certification signed by another RSA key", "attest-signature",
               ak="rsa", signer=RSA())
    key_attack("self-certified", "the key certifies itself", "attest-signature", signer=KEY["p256"])
    key_attack("sha1-signature", "a signature with SHA-1 by an AK that signs with SHA-256",
               "attest-signature", ak="rsa", signature={"digest": "sha1"})
    key_attack("other-scheme", "PKCS#1 v1.5 by an AK whose scheme is PSS", "attest-signature",
               ak="pss", signature={"scheme": "rsassa"})
    key_attack("attest-changed", "one byte of the attestation changed after signing",
               "attest-signature", change={"info": lambda b: b.replace(b"\x51" * 32, b"\x53" * 32)})
    key_attack("signature-zero", "a signature of zeros", "attest-signature",
               change={"sig": lambda b: b[:4] + sized(bytes(32)) + sized(bytes(32))})

    for path in ("ak.pub", "key.pub", "info", "sig"):
        short = path.replace(".", "-")
        key_attack(f"trailing-{short}", f"a byte behind {path}", "evidence-malformed",
                   change={path: lambda b: b + b"\0"})
        key_attack(f"truncated-{short}", f"{path} without its last byte", "evidence-malformed",
                   change={path: lambda b: b[:-1]})
        key_attack(f"empty-{short}", f"{path} is empty", "evidence-malformed",
                   change={path: lambda b: b""})
    key_attack("2b-size-wrong", "a TPM2B size that is one too large", "evidence-malformed",
               change={"key.pub": lambda b: u16(len(b) + 1) + b})
    key_attack("2b-twice", "a TPM2B inside a TPM2B", "evidence-malformed",
               change={"key.pub": lambda b: sized(sized(b))})
    key_attack("point-too-long", "a coordinate with a zero before it", "evidence-malformed",
               change={"key.pub": lambda b: b[:-68] + sized(b"\0" + b[-66:-34]) + b[-34:]})
    key_attack("r-too-long", "r with zeros before it, longer than any curve's", "evidence-malformed",
               signature={"pad": 40})
    key_attack("modulus-short", "an RSA modulus shorter than keyBits", "evidence-malformed",
               key="rsa", change={"key.pub": lambda b: b[:-258] + sized(b[-255:])})
    key_attack("safe-two", "clockInfo.safe is neither YES nor NO", "evidence-malformed",
               attest_changes={"safe": 2})
    area = public(KEY["p256"], KEY_ATTRIBUTES)
    area = area[:-1] + bytes([area[-1] ^ 1])
    key_attack("point-off-curve", "a point that is not on its curve", "key-algorithm",
               certified=object_name(area), change={"key.pub": lambda _: area})


# ---- Firmware: 7.2.1.0 of an Intel, in all of them ----

OWNER, ENDORSEMENT, PLATFORM = 0x40000001, 0x4000000B, 0x4000000C


def firmware_attack(name, what, reason="", rule="tpm INTC least 7.3", hierarchy=ENDORSEMENT,
                    signer=None, proves=None):
    ak_area = public(AK["p256"], AK_ATTRIBUTES, scheme=SCHEMES["p256"])
    key_area = public(KEY["p256"], KEY_ATTRIBUTES)
    info = attest(object_name(key_area), EXTRA,
                  signer=signer or qualified_name(ak_area, hierarchy))
    files = {"ek.cert": ek_certificate(), "trust/root.der": root_certificate(),
             "intermediate0.der": ca_certificate(), "ak.pub": ak_area, "key.pub": key_area,
             "info": info, "sig": tpm_signature(AK["p256"], info, SCHEMES["p256"][0]),
             "firmware.list": f"forekey-firmware-list 1\n{rule}\n".encode()}
    write(name, what, ["--ek-cert", "ek.cert", "--trust", "trust", "--intermediates",
                       "intermediate0.der", "--ak-public", "ak.pub", "--key-public", "key.pub",
                       "--certify-info", "info", "--signature", "sig", "--qualifying-data",
                       EXTRA.hex(), "--firmware", "firmware.list"], files, reason, proves)


def firmwares():
    for name, hierarchy in (("endorsement", ENDORSEMENT), ("platform", PLATFORM)):
        firmware_attack(f"valid-firmware-{name}", "none: firmware that is good enough, and proved",
                        rule="tpm INTC least 7.2", hierarchy=hierarchy,
                        proves={"firmware": "7.2.1.0", "firmware_proved": True})
    firmware_attack("valid-firmware-of-others", "none: the list is about other makers and models",
                    rule="tpm IFX weak all\ntpm INTC/OTHER least 9", hierarchy=OWNER,
                    proves={"firmware_proved": False})
    firmware_attack("firmware-too-old", "firmware below the least version", "firmware-too-old")
    firmware_attack("firmware-weak", "firmware that the list calls weak", "firmware-weak",
                    rule="tpm INTC weak 7.0-7.2 : a reason")
    firmware_attack("firmware-hidden", "an AK of the owner hierarchy, whose TPM hides the version",
                    "firmware-unproved", rule="tpm INTC least 7.2", hierarchy=OWNER)
    firmware_attack("firmware-hidden-child", "an AK under a key of the endorsement hierarchy",
                    "firmware-unproved", rule="tpm INTC weak 6",
                    signer=u16(0x0b) + hashlib.sha256(
                        qualified_name(ek_public(), ENDORSEMENT) +
                        object_name(public(AK["p256"], AK_ATTRIBUTES,
                                           scheme=SCHEMES["p256"]))).digest())
    firmware_attack("firmware-anothers-signer", "the qualified name of another key of that hierarchy",
                    "firmware-unproved", rule="tpm INTC least 7.2",
                    signer=qualified_name(ek_public(), ENDORSEMENT))


if __name__ == "__main__":
    if not sys.argv[1:]:
        for old in ATTACKS.iterdir():
            shutil.rmtree(old)
    endorsements()
    keys()
    firmwares()
