// SPDX-License-Identifier: Apache-2.0
// A gRPC service behind a Forekey gate that checks for itself who calls.
//
//   node node_service.mjs LISTEN UPSTREAM AUDIENCE JWKS_URL
//
// It needs @grpc/grpc-js and jose. It echoes what comes to /test.Node/Echo, and says who called in the
// trailers.
import { createRequire } from 'node:module';

const require = createRequire(process.cwd() + '/');
const grpc = require('@grpc/grpc-js');
const jose = require('jose');

const [listen, upstream, audience, jwksUrl] = process.argv.slice(2);
const method = '/test.Node/Echo';
// Fetched once and kept; a key that is not known yet has it fetched again.
const keys = jose.createRemoteJWKSet(new URL(jwksUrl));

// Signature, issuer, audience, age and method: all of them, or the call is not the gate's.
async function callerOf(call) {
  const tokens = call.metadata.get('forekey-caller');
  if (tokens.length !== 1) throw new Error('no token of the gate\'s, or more than one');
  const { payload } = await jose.jwtVerify(tokens[0], keys, {
    algorithms: ['ES256'], issuer: audience, audience: upstream,
    requiredClaims: ['exp', 'iat', 'sub', 'aud', 'iss', 'method'],
  });
  if (payload.method !== method) throw new Error('the gate\'s token is for another method');
  return payload;
}

const bytes = (value) => value;
const server = new grpc.Server();
server.addService({
  Echo: { path: method, requestStream: true, responseStream: true, requestSerialize: bytes,
    requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes },
}, {
  Echo: async (call) => {
    try {
      const caller = await callerOf(call);
      const trailers = new grpc.Metadata();
      trailers.set('x-subject', caller.sub);
      trailers.set('x-roles', caller.roles.join(','));
      call.on('data', (message) => call.write(message));
      call.on('end', () => call.end(trailers));
    } catch (error) {
      call.emit('error', { code: grpc.status.UNAUTHENTICATED, details: error.message });
    }
  },
});
server.bindAsync(listen, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`listening ${port}`);
});
