#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Verifies WebAuthn ceremonies with Debian's python3-fido2: a cases file of webauthn_libraries_test.cc
in, one JSON object out: name of the case -> "ok", or why it was refused. Needs the distribution's own
interpreter, whose package it is.
  python_fido2.py CASES ANSWERS"""
import base64
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fido2.attestation import Attestation
from fido2.attestation.base import InvalidSignature, UntrustedAttestation, verify_x509_chain
from fido2.client import ClientData
from fido2.ctap2 import AttestationObject, AuthenticatorData
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity


def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def attestation_verifier(roots):
    """To one of `roots`, which must have signed the last certificate of the path."""
    def verify(attestation_object, client_data_hash):
        result = Attestation.for_type(attestation_object.fmt)().verify(
            attestation_object.att_statement, attestation_object.auth_data, client_data_hash)
        if not roots:  # self attestation: there is no path
            if result.trust_path:
                raise UntrustedAttestation("a path where none was expected")
            return
        for root in roots:
            try:
                return verify_x509_chain(result.trust_path + [root])
            except InvalidSignature:
                continue
        raise UntrustedAttestation("no root signed it")
    return verify


def verify(case):
    roots = [x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
             for pem in case["roots"]]
    server = Fido2Server(PublicKeyCredentialRpEntity(case["rp_id"], "gate"), attestation="direct",
                         verify_origin=lambda origin: origin == case["origin"],
                         verify_attestation=attestation_verifier(roots))
    made, got = case["registration"], case["assertion"]
    _, state = server.register_begin({"id": b"user", "name": "user"}, challenge=raw(made["challenge"]))
    credential = server.register_complete(state, ClientData(raw(made["client_data_json"])),
                                          AttestationObject(raw(made["attestation_object"]))).credential_data
    _, state = server.authenticate_begin([credential], challenge=raw(got["challenge"]))
    server.authenticate_complete(state, [credential], raw(got["credential_id"]),
                                 ClientData(raw(got["client_data_json"])),
                                 AuthenticatorData(raw(got["authenticator_data"])), raw(got["signature"]))


def answer(case):
    try:
        verify(case)
        return "ok"
    except Exception as error:  # whatever the library refuses with
        return f"{type(error).__name__}: {error}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({case["name"]: answer(case) for case in cases}, file)


if __name__ == "__main__":
    main()
