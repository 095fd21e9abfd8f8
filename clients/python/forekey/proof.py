# SPDX-License-Identifier: Apache-2.0
"""The proof of one call under a session: docs/PROTOCOL.md, sections 7 and 10. Needs nothing but the standard library."""
from __future__ import annotations

import hashlib
import hmac

MAC_SIZE = 16


def call_mac_bytes(session_id: bytes, sequence: int, age_s: int, method: str, channel_binding: bytes,
                   request_digest: bytes = b"") -> bytes:
    path = method.encode("ascii")
    return (b"forekey/1 call\0" + session_id + sequence.to_bytes(8, "big") + age_s.to_bytes(4, "big") +
            len(path).to_bytes(2, "big") + path + channel_binding + request_digest)


def call_mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()[:MAC_SIZE]


def session_prefix(session_id: bytes, sequence: int, age_s: int, mac: bytes, request_digest: bytes = b"") -> bytes:
    """A serialized forekey.v1.Prefix, in its one encoding: ascending fields, minimal varints, no defaults."""
    proof = (_bytes_field(1, session_id) + _number_field(2, sequence) + _number_field(3, age_s) +
             _bytes_field(4, mac) + _bytes_field(5, request_digest))
    return _bytes_field(2, proof)


def channel_binding(leaf_der: bytes) -> bytes:
    """Of the server's leaf certificate, as the connection showed it that the call uses."""
    return hashlib.sha256(leaf_der).digest()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""


def _number_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value) if value else b""
