# SPDX-License-Identifier: Apache-2.0
"""A CA and leaves for localhost, good for a day."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    def __init__(self, name="forekey-conformance"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0), None)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def leaf(self, host="localhost"):
        return Leaf(self, host)

    def _sign(self, subject, key, constraints, host):
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1)).add_extension(constraints, critical=True))
        if host:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return made.sign(self.key, hashes.SHA256())


class Leaf:
    def __init__(self, authority, host):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority._sign(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]), key,
                                      x509.BasicConstraints(ca=False, path_length=None), host)
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption())
