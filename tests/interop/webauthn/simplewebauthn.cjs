// SPDX-License-Identifier: Apache-2.0
// Verifies WebAuthn ceremonies with @simplewebauthn/server: a cases file of
// webauthn_libraries_test.cc in, one JSON object out: name of the case -> "ok", or why it was refused.
//   node simplewebauthn.cjs CASES ANSWERS NODE_MODULES
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const library = require(path.join(process.argv[4], '@simplewebauthn/server'));

// This version takes r and s as DER has them, where WebCrypto wants both in the curve's full size, and so
// refuses every 128th good signature (later versions fill them up). Filled up here, so that the test does
// not depend on luck; all else is the library's.
const unwrapping = require(path.join(
    process.argv[4], '@simplewebauthn/server/script/helpers/iso/isoCrypto/unwrapEC2Signature.js'));
unwrapping.unwrapEC2Signature = (der) => {
  const numbers = [];
  for (let at = der[1] & 0x80 ? 3 : 2; at < der.length; at += 2 + der[at + 1]) {
    const number = Buffer.from(der.subarray(at + 2, at + 2 + der[at + 1]));
    numbers.push(number[0] === 0 ? number.subarray(1) : number);
  }
  const size = Math.max(...numbers.map((number) => number.length)) > 32 ? 48 : 32;
  return new Uint8Array(Buffer.concat(
      numbers.map((number) => Buffer.concat([Buffer.alloc(size - number.length), number]))));
};

async function verify(one) {
  for (const identifier of ['packed', 'fido-u2f']) {
    library.SettingsService.setRootCertificates({ identifier, certificates: one.roots });
  }
  const { registration, assertion } = one;
  const expected = {
    expectedOrigin: one.origin,
    expectedRPID: one.rp_id,
    requireUserVerification: false,
  };
  const id = assertion.credential_id;
  const made = await library.verifyRegistrationResponse({
    ...expected,
    supportedAlgorithmIDs: [-7, -8, -35, -257],
    expectedChallenge: registration.challenge,
    response: {
      id, rawId: id, type: 'public-key', clientExtensionResults: {},
      response: {
        clientDataJSON: registration.client_data_json,
        attestationObject: registration.attestation_object,
      },
    },
  });
  if (!made.verified) return 'the attestation is not verified';
  const { credentialID, credentialPublicKey, counter } = made.registrationInfo;
  const got = await library.verifyAuthenticationResponse({
    ...expected,
    expectedChallenge: assertion.challenge,
    response: {
      id, rawId: id, type: 'public-key', clientExtensionResults: {},
      response: {
        clientDataJSON: assertion.client_data_json,
        authenticatorData: assertion.authenticator_data,
        signature: assertion.signature,
      },
    },
    authenticator: { credentialID, credentialPublicKey, counter },
  });
  return got.verified ? 'ok' : 'the assertion is not verified';
}

async function main() {
  const answers = {};
  for (const one of JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))) {
    answers[one.name] = await verify(one).catch((error) => error.message);
  }
  fs.writeFileSync(process.argv[3], JSON.stringify(answers));
}

main();
