// SPDX-License-Identifier: Apache-2.0
// Answers `forekey-conformance vectors`: docs/PROTOCOL.md in Node.
//
// What the client itself needs comes from it (lib/proof.js); the rest, which the agent and the gate do, stands here.
'use strict';
const crypto = require('node:crypto');
const path = require('node:path');
const readline = require('node:readline');

const proof = require(path.join(__dirname, '..', 'lib', 'proof.js'));

class Refused extends Error {}

function must(condition, why) {
  if (!condition) throw new Refused(why);
}

const h = (hex) => Buffer.from(hex, 'hex');
const utf8 = (value) => Buffer.from(value, 'utf8');
const cat = (...parts) => Buffer.concat(parts);
const sha256 = (data) => crypto.createHash('sha256').update(data).digest();
const mac = (key, data) => crypto.createHmac('sha256', key).update(data).digest();
const label = (name) => utf8(`forekey/1 ${name}\0`);
const withLength = (data, size = 2) => cat(proof.number(data.length, size), data);
const text = (value) => withLength(utf8(value));
const hkdf = (key, salt, info) => Buffer.from(crypto.hkdfSync('sha256', key, salt, info, 32));
const signers = (v) => cat(proof.number(v.credential_ids.length, 1), ...v.credential_ids.map(h));

const rawKey = (curve, key, secret) => (secret
  ? crypto.createPrivateKey({ format: 'der', type: 'pkcs8',
    key: cat(h(curve === 'X25519' ? '302e020100300506032b656e04220420' : '302e020100300506032b657004220420'), key) })
  : crypto.createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: curve, x: key.toString('base64url') } }));
const publicOf = (key) => Buffer.from(crypto.createPublicKey(key).export({ format: 'jwk' }).x, 'base64url');
const x25519 = (privateKey) => rawKey('X25519', privateKey, true);

function agree(privateKey, share) {
  try {
    return crypto.diffieHellman({ privateKey: x25519(privateKey), publicKey: rawKey('X25519', share, false) });
  } catch (error) {
    throw new Refused(`a key share: ${error.message}`);
  }
}

function compare(given, right) {
  must(given.length === right.length && crypto.timingSafeEqual(given, right), 'it does not verify');
  return {};
}

// ---- Challenges, statements, names ----

const challengeMac = (v, head) => mac(h(v.key), cat(label('challenge'), text(v.audience), head));

function challenge(v) {
  const head = cat(proof.number(v.version, 1), proof.number(v.purpose, 1), h(v.instance_tag),
    proof.number(v.issued_ns, 8), h(v.random));
  return { challenge: cat(head, challengeMac(v, head)).toString('hex') };
}

function checkChallenge(v) {
  const data = h(v.challenge);
  must(data.length === 64, 'its size');
  compare(data.subarray(32), challengeMac(v, data.subarray(0, 32)));
  must(data[0] === 1 && data[1] === v.purpose, 'its version or purpose');
  return {};
}

function credentialId(v) {
  const id = sha256(cat(label('credential'), text(v.audience), text(v.subject), withLength(h(v.spki))));
  return { credential_id: id.toString('hex') };
}

function statement(v) {
  const role = v.method === '/forekey.v1.Gate/OpenSession' ? 'open' : 'call-device';
  return { statement: cat(label(role), text(v.audience), text(v.method), h(v.challenge), h(v.channel_binding),
    signers(v), withLength(h(v.key_share), 1), withLength(h(v.request_digest), 1)).toString('hex') };
}

function enrollStatement(v) {
  return { statement: cat(label('enroll'), text(v.audience), h(v.enrollment_id), text(v.subject),
    proof.number(v.kind, 1), withLength(h(v.spki)), h(v.channel_binding), h(v.challenge)).toString('hex') };
}

const NAMES = {
  method: /^(?=[^]{1,512}$)\/[A-Za-z0-9_.]+\/[A-Za-z0-9_]+$/,
  audience: /^[!$-&(-.0-[\]-_a-~]{1,255}$/,
  subject: /^(?![-.])[A-Za-z0-9._@+-]{1,255}$/,
};

function checkName(v) {
  must(NAMES[v.kind].test(v.text), 'it is not well-formed');
  return {};
}

const WORD = new RegExp('^(tpm|fido2(\\+uv)?|piv(\\+pin|\\+touch|-shared)?|cert|password|oidc|call|hardware'
  + '|(?=.{1,32}$)[a-z0-9-]+(\\.[a-z0-9-]+)+)$');

function stepUp(v) {
  const found = /^forekey: step-up ([^,]*), reference /.exec(v.message);
  const alternatives = found ? found[1].split('|').map((one) => one.split('&')) : [];
  const good = alternatives.length <= 8 && alternatives.every((words) => words.length <= 6
    && new Set(words).size === words.length && words.every((word) => WORD.test(word)));
  return { alternatives: good ? alternatives : [] };
}

// ---- Sessions ----

function sessionKey(v) {
  const secrets = cat(agree(h(v.client_private), h(v.gate_share)), agree(h(v.client_private), h(v.identity)),
    h(v.parent_key));
  const info = cat(label('session'), sha256(h(v.transcript)), h(v.gate_share), h(v.session_id));
  return { session_key: hkdf(secrets, h(v.salt), info).toString('hex') };
}

function checkConfirmation(v) {
  return compare(h(v.confirmation), mac(h(v.session_key), cat(label('confirm'), h(v.session_id), h(v.gate_share),
    proof.number(v.idle_s, 4), proof.number(v.absolute_s, 4), proof.number(v.window, 4),
    withLength(h(v.next_gate_identity), 1), text(v.subject))));
}

const callMacOf = (v) => proof.callMac(h(v.key), proof.callMacBytes(h(v.session_id), v.sequence, v.age_s, v.method,
  h(v.channel_binding), h(v.request_digest)));
const callMac = (v) => ({ mac: callMacOf(v).toString('hex') });
const checkCallMac = (v) => compare(h(v.mac), callMacOf(v));

const resumptionMacOf = (v) => mac(h(v.key), cat(label('resume'), text(v.audience), text(v.method), sha256(h(v.ticket)),
  h(v.challenge), h(v.channel_binding), h(v.key_share), h(v.request_digest)));
const resumptionMac = (v) => ({ mac: resumptionMacOf(v).toString('hex') });
const checkResumptionMac = (v) => compare(h(v.mac), resumptionMacOf(v));

function factorsKey(v, secret, ephemeral, identity) {
  return {
    key: hkdf(secret, '', cat(label('factors'), ephemeral, identity)),
    associated: cat(label('factors'), text(v.audience), h(v.challenge), signers(v)),
  };
}

function sealFactors(v) {
  const ephemeral = publicOf(x25519(h(v.ephemeral_private)));
  const identity = publicOf(x25519(h(v.identity_private)));
  const { key, associated } = factorsKey(v, agree(h(v.ephemeral_private), identity), ephemeral, identity);
  const plain = cat(h(v.blinder), text(v.password), text(v.id_token));
  const box = crypto.createCipheriv('aes-256-gcm', key, h(v.nonce)).setAAD(associated);
  const sealed = cat(box.update(cat(plain, Buffer.alloc((256 - plain.length % 256) % 256))), box.final());
  return { sealed: cat(h('01'), ephemeral, h(v.nonce), sealed, box.getAuthTag()).toString('hex') };
}

function openFactors(v) {
  const sealed = h(v.sealed);
  must(sealed.length >= 1 + 32 + 12 + 16 && sealed[0] === 1, 'its version or size');
  const ephemeral = sealed.subarray(1, 33);
  const { key, associated } = factorsKey(v, agree(h(v.identity_private), ephemeral), ephemeral,
    publicOf(x25519(h(v.identity_private))));
  const box = crypto.createDecipheriv('aes-256-gcm', key, sealed.subarray(33, 45)).setAAD(associated)
    .setAuthTag(sealed.subarray(-16));
  let plain;
  try {
    plain = cat(box.update(sealed.subarray(45, -16)), box.final());
  } catch {
    throw new Refused('it does not open');
  }
  let at = 32;
  const [password, idToken] = [0, 1].map(() => {
    const size = plain.readUInt16BE(at);
    at += 2 + size;
    return plain.toString('utf8', at - size, at);
  });
  must(plain.length % 256 === 0 && at <= plain.length && plain.length < at + 256
    && plain.subarray(at).every((byte) => byte === 0), 'its filling');
  return { password, id_token: idToken };
}

function idTokenNonce(v) {
  return { nonce: sha256(cat(label('id-token'), text(v.audience), h(v.key_share), signers(v))).toString('base64url') };
}

// ---- Prefixes ----

const ASSERTION = ['credential_id', 'signature', 'authenticator_data', 'client_data_json'];
const RESUMPTION = ['ticket', 'challenge', 'channel_binding', 'key_share', 'request_digest', 'mac'];
const DEVICE = ['challenge', 'channel_binding', 'key_share', 'request_digest'];
const bytesFields = (v, names) => cat(...names.map((name, i) => proof.bytesField(i + 1, h(v[name]))));

function serializePrefix(v) {
  if (v.session) {
    const s = v.session;
    return { prefix: proof.sessionPrefix(h(s.session_id), s.sequence, s.age_s, h(s.mac), h(s.request_digest))
      .toString('hex') };
  }
  if (v.resumption) return { prefix: proof.bytesField(3, bytesFields(v.resumption, RESUMPTION)).toString('hex') };
  const assertions = v.device.assertions.map((one) => proof.bytesField(5, bytesFields(one, ASSERTION)));
  return { prefix: proof.bytesField(1, cat(bytesFields(v.device, DEVICE), ...assertions)).toString('hex') };
}

// shape: number -> [name, least and largest size; without them a number].
function read(data, shape) {
  const found = {};
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      must(at < data.length && shift < 64n, 'cut short');
      const byte = data[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const tag = varint();
    const [name, least, largest] = shape[tag >> 3n] ?? [];
    must(name, 'an unknown field');
    must((tag & 7n) === (least === undefined ? 0n : 2n), 'another wire type');
    let value = varint();
    if (least !== undefined) {
      must(value >= least && value <= largest && BigInt(at) + value <= data.length, name);
      at += Number(value);
      value = data.subarray(at - Number(value), at);
    }
    (found[name] ??= []).push(value);
  }
  return found;
}

function one(found, name, needed = true) {
  must(found[name]?.length === 1 || (!needed && !found[name]), `not one ${name}`);
  return found[name]?.[0] ?? Buffer.alloc(0);
}

const hexOf = (found, name, needed) => one(found, name, needed).toString('hex');

function parseSession(data) {
  const found = read(data, { 1: ['session_id', 16, 16], 2: ['sequence'], 3: ['age_s'], 4: ['mac', 16, 16],
    5: ['request_digest', 32, 32] });
  const sequence = one(found, 'sequence');
  const age = found.age_s ? one(found, 'age_s') : 0n;
  must(sequence > 0n && sequence < 2n ** 64n && age < 2n ** 32n, 'a number that is too large');
  return { session: { session_id: hexOf(found, 'session_id'), sequence: String(sequence), age_s: Number(age),
    mac: hexOf(found, 'mac'), request_digest: hexOf(found, 'request_digest', false) } };
}

function parseDevice(data) {
  const found = read(data, { 1: ['challenge', 64, 64], 2: ['channel_binding', 32, 32], 3: ['key_share', 32, 32],
    4: ['request_digest', 32, 32], 5: ['assertions', 1, 2048] });
  const assertions = (found.assertions ?? []).map((raw) => {
    const a = read(raw, { 1: ['credential_id', 32, 32], 2: ['signature', 1, 512], 3: ['authenticator_data', 1, 1024],
      4: ['client_data_json', 1, 1024] });
    return Object.fromEntries(ASSERTION.map((name, i) => [name, hexOf(a, name, i < 2)]));
  });
  must(assertions.length >= 1 && assertions.length <= 3, 'their number');
  must(assertions.every((a, i) => i === 0 || assertions[i - 1].credential_id < a.credential_id), 'their order');
  return { device: { ...Object.fromEntries(DEVICE.map((name, i) => [name, hexOf(found, name, i < 2)])), assertions } };
}

function parseResumption(data) {
  const found = read(data, { 1: ['ticket', 1, 1024], 2: ['challenge', 64, 64], 3: ['channel_binding', 32, 32],
    4: ['key_share', 32, 32], 5: ['request_digest', 32, 32], 6: ['mac', 32, 32] });
  return { resumption: Object.fromEntries(RESUMPTION.map((name) => [name, hexOf(found, name)])) };
}

function parsePrefix(v) {
  const data = h(v.prefix);
  must(data.length <= 2048, 'its size');
  const found = read(data, { 1: ['device', 1, 2048], 2: ['session', 1, 2048], 3: ['resumption', 1, 2048] });
  must(Object.keys(found).length === 1, 'not one kind of proof');
  const [kind] = Object.keys(found);
  const output = { device: parseDevice, session: parseSession, resumption: parseResumption }[kind](one(found, kind));
  must(serializePrefix(output).prefix === v.prefix, 'not the one encoding');
  return output;
}

// ---- Invites and enrolment ----

function parseInvite(v) {
  const encoded = /^forekey-invite:([A-Za-z0-9_-]+)$/.exec(v.text)?.[1];
  must(encoded && v.text.length <= 32768, 'its alphabet or size');
  const all = Buffer.from(encoded, 'base64url');
  must(all.toString('base64url') === encoded, 'bits that mean nothing');
  const data = all.subarray(0, -4);
  must(all.length > 4 && sha256(data).subarray(0, 4).equals(all.subarray(-4)), 'the checksum');
  let at = 1;
  const take = (size) => {
    must(at + size <= data.length, 'cut short');
    at += size;
    return data.subarray(at - size, at);
  };
  must(data[0] === 1, 'its version');
  const audience = take(take(1)[0]).toString();
  const address = take(take(2).readUInt16BE()).toString();
  const fingerprint = take(32).toString('hex');
  const seed = take(16).toString('hex');
  const end = take(2).readUInt16BE() + at;
  const certificates = [];
  while (at < end) certificates.push(take(take(2).readUInt16BE()).toString('hex'));
  must(at === end && end === data.length, 'something left over');
  return { audience, address, identity_fingerprint: fingerprint, seed, ca_certificates: certificates };
}

const keyOfInvite = (v) => rawKey('Ed25519', hkdf(h(v.seed), '', cat(label('invite-key'), utf8(v.audience))), true);
const inviteKey = (v) => ({ public_key: publicOf(keyOfInvite(v)).toString('hex') });

function inviteSignature(v) {
  const data = cat(utf8(`${v.label}\0`), text(v.audience), sha256(h(v.payload)));
  return { signature: crypto.sign(null, data, keyOfInvite(v)).toString('hex') };
}

function confirmationOf(v) {
  const key = hkdf(agree(h(v.client_private), h(v.identity)), h(v.challenge),
    cat(label('enroll-confirm'), text(v.audience)));
  return mac(key, cat(proof.number(v.step, 1), sha256(h(v.request_payload)), sha256(h(v.response_payload))));
}

const enrollmentConfirmation = (v) => ({ confirmation: confirmationOf(v).toString('hex') });
const checkEnrollmentConfirmation = (v) => compare(h(v.confirmation), confirmationOf(v));

const ANSWERS = {
  challenge, 'check-challenge': checkChallenge, 'credential-id': credentialId, statement,
  'enroll-statement': enrollStatement, 'check-name': checkName, 'step-up': stepUp, 'session-key': sessionKey,
  'check-confirmation': checkConfirmation, 'call-mac': callMac, 'check-call-mac': checkCallMac,
  'resumption-mac': resumptionMac, 'check-resumption-mac': checkResumptionMac,
  'seal-factors': sealFactors, 'open-factors': openFactors, 'id-token-nonce': idTokenNonce,
  'serialize-prefix': serializePrefix, 'parse-prefix': parsePrefix, 'parse-invite': parseInvite,
  'invite-key': inviteKey, 'invite-signature': inviteSignature, 'enrollment-confirmation': enrollmentConfirmation,
  'check-enrollment-confirmation': checkEnrollmentConfirmation,
};

function answer({ op, input }) {
  if (!Object.hasOwn(ANSWERS, op)) return { unsupported: true };
  try {
    return { output: ANSWERS[op](input) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { refused: error.message };
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ id: asked.id, ...answer(asked) })}\n`);
});
