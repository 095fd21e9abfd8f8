// SPDX-License-Identifier: Apache-2.0
// The proof of one call under a session: docs/PROTOCOL.md, sections 7 and 10.
'use strict';
const crypto = require('node:crypto');

const MAC_SIZE = 16;

function number(value, size) {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(value));
  return out.subarray(8 - size);
}

function callMacBytes(sessionId, sequence, ageS, method, channelBinding, requestDigest = Buffer.alloc(0)) {
  const path = Buffer.from(method, 'latin1');
  return Buffer.concat([Buffer.from('forekey/1 call\0'), sessionId, number(sequence, 8), number(ageS, 4),
    number(path.length, 2), path, channelBinding, requestDigest]);
}

function callMac(key, message) {
  return crypto.createHmac('sha256', key).update(message).digest().subarray(0, MAC_SIZE);
}

// A serialized forekey.v1.Prefix, in its one encoding: ascending fields, minimal varints, no defaults.
function sessionPrefix(sessionId, sequence, ageS, mac, requestDigest = Buffer.alloc(0)) {
  return bytesField(2, Buffer.concat([bytesField(1, sessionId), numberField(2, sequence), numberField(3, ageS),
    bytesField(4, mac), bytesField(5, requestDigest)]));
}

// Of the server's leaf certificate, as the connection showed it that the call uses.
function channelBinding(leafDer) {
  return crypto.createHash('sha256').update(leafDer).digest();
}

function varint(value) {
  const out = [];
  let left = BigInt(value);
  for (; left >= 0x80n; left >>= 7n) out.push(Number(left & 0x7fn) | 0x80);
  out.push(Number(left));
  return Buffer.from(out);
}

function bytesField(field, value) {
  return value.length === 0 ? value : Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);
}

function numberField(field, value) {
  return BigInt(value) === 0n ? Buffer.alloc(0) : Buffer.concat([varint(field * 8), varint(value)]);
}

module.exports = { bytesField, callMac, callMacBytes, channelBinding, number, numberField, sessionPrefix, varint };
