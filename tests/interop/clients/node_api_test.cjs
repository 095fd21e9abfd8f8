// SPDX-License-Identifier: Apache-2.0
// What a Node program may do with the channel besides plain calls, as docs/CLIENTS.md says. Run by clients_test.py's
// NodeClient, with GATE, SOCKET and TARGET in the environment.
'use strict';
const assert = require('node:assert');
const path = require('node:path');
const { after, before, test } = require('node:test');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const root = path.join(__dirname, '..', '..', '..');
const forekey = require(path.join(root, 'clients', 'node'));
const loaded = loader.loadSync(path.join(root, 'examples', 'echo.proto'), { keepCase: true, defaults: true });
const { Echo } = grpc.loadPackageDefinition(loaded).forekey.example;
const { GATE, SOCKET, TARGET } = process.env;
const deadline = () => ({ deadline: Date.now() + 60_000 });

let channel;
before(async () => {
  channel = await forekey.channel(GATE, { agentSocket: SOCKET, target: TARGET });
});
after(() => channel.close());

function say(client, text, options = deadline()) {
  return new Promise((resolve, reject) => {
    client.Say({ text }, options, (error, answer) => (error ? reject(error) : resolve(answer.text)));
  });
}

test('clients share a channel, and interceptors of the application run', async () => {
  const methods = [];
  const seen = (options, nextCall) => {
    methods.push(options.method_definition.path);
    return new grpc.InterceptingCall(nextCall(options));
  };
  assert.strictEqual(await say(channel.client(Echo, { interceptors: [seen] }), 'of the client'), 'of the client');
  // Those of one call take the place of the client's: the proof is below all of them.
  assert.strictEqual(await say(channel.client(Echo), 'of the call', { ...deadline(), interceptors: [seen] }),
    'of the call');
  assert.deepStrictEqual(methods, ['/forekey.example.Echo/Say', '/forekey.example.Echo/Say']);
});

test('call credentials of the application are sent besides', async () => {
  let asked = 0;
  const credentials = grpc.credentials.createFromMetadataGenerator((_, callback) => {
    asked += 1;
    const metadata = new grpc.Metadata();
    metadata.add('authorization', 'Bearer of the application');
    callback(null, metadata);
  });
  assert.strictEqual(await say(channel.client(Echo), 'x', { ...deadline(), credentials }), 'x');
  assert.strictEqual(asked, 1);
});

test('waitForReady says when there is a connection', async () => {
  const other = await forekey.channel(GATE, { agentSocket: SOCKET, target: TARGET });
  await new Promise((resolve, reject) => {
    other.client(Echo).waitForReady(Date.now() + 60_000, (error) => (error ? reject(error) : resolve()));
  });
  assert.strictEqual(other.getConnectivityState(false), grpc.connectivityState.READY);
  other.close();
  await assert.rejects(say(other.client(Echo), 'closed'), { kind: 'cancelled', code: grpc.status.CANCELLED });
});

test('a stream of many messages comes back whole', async () => {
  const chat = channel.client(Echo).Chat(deadline());
  const texts = [];
  const ended = new Promise((resolve, reject) => {
    chat.on('data', ({ text }) => texts.push(text));
    chat.on('end', resolve);
    chat.on('error', reject);
  });
  const sent = Array.from({ length: 500 }, (_, i) => `${i}`);
  for (const text of sent) chat.write({ text });
  chat.end();
  await ended;
  assert.deepStrictEqual(texts, sent);
});

test('an error is a ServiceError that says what to do', async () => {
  await assert.rejects(say(channel.client(Echo), 'deny'), (error) => error instanceof Error
    && error.code === grpc.status.UNAUTHENTICATED && error.details === "the handler's own" && error.kind === 'service');
  await assert.rejects(forekey.channel('nowhere.example', { agentSocket: SOCKET }), (error) => error instanceof
    forekey.ForekeyError && error.reason === 'gate-not-enrolled' && error.advice.includes('forekey enroll'));
});
