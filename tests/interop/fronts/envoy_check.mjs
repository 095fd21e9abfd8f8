// SPDX-License-Identifier: Apache-2.0
// Plays Envoy: asks the gate by Envoy's own protos, as npm's @grpc/grpc-js-xds brings them.
//
//   node envoy_check.mjs ADDRESS SECRET < JSON
//
// JSON: {path, headers: [[name, base64 of the value]], raw: whether as encode_raw_headers has them, upstream}.
// Prints the answer as JSON, or {"error": code}.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(process.cwd() + '/');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const deps = path.join(process.cwd(), 'node_modules/@grpc/grpc-js-xds/deps');
const definition = loader.loadSync('envoy/service/auth/v3/external_auth.proto', {
  keepCase: true, longs: String, enums: String, oneofs: true,
  includeDirs: ['envoy-api', 'protoc-gen-validate', 'xds', 'googleapis'].map(
    (folder) => path.join(deps, folder)),
});
const { Authorization } = grpc.loadPackageDefinition(definition).envoy.service.auth.v3;

const [address, secret] = process.argv.slice(2);
const asked = JSON.parse(readFileSync(0, 'utf8'));
const http = { method: 'POST', path: asked.path, protocol: 'HTTP/2', headers: {} };
const values = asked.headers.map(([name, value]) => [name, Buffer.from(value, 'base64')]);
if (asked.raw) {
  http.header_map = { headers: values.map(([key, raw_value]) => ({ key, raw_value })) };
} else {
  for (const [name, value] of values) {
    http.headers[name] = name in http.headers ? `${http.headers[name]},${value}` : value.toString();
  }
}
const metadata = new grpc.Metadata();
if (secret) metadata.set('x-forekey-secret', secret);
const client = new Authorization(address, grpc.credentials.createInsecure());
client.Check({ attributes: {
  source: { address: { socket_address: { address: '192.0.2.7', port_value: 4711 } } },
  request: { http }, context_extensions: asked.upstream ? { upstream: asked.upstream } : {},
} }, metadata, { deadline: Date.now() + 30000 }, (error, answer) => {
  console.log(JSON.stringify(error ? { error: error.code, details: error.details } : answer));
  client.close();
});
