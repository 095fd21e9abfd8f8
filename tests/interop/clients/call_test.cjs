// SPDX-License-Identifier: Apache-2.0
// What becomes of a call of the Node client that waits for the agent while its connection or its channel goes.
'use strict';
const assert = require('node:assert');
const path = require('node:path');
const { after, before, test } = require('node:test');
const grpc = require('@grpc/grpc-js');

const { GatedChannel } = require(path.join(__dirname, '..', '..', '..', 'clients', 'node', 'lib', 'channel.js'));

const WAIT = { deadline: Infinity };
const SAY = { path: '/a.B/Say', requestStream: false, responseStream: false, requestSerialize: (text) => Buffer.from(text),
  requestDeserialize: String, responseSerialize: (text) => Buffer.from(text), responseDeserialize: String };

let server;
let port;
let refuse = false;
const prefixes = [];

before(async () => {
  server = new grpc.Server();
  server.addService({ Say: SAY }, { Say: (call, done) => {
    prefixes.push(String(call.metadata.get('forekey-prefix-bin')[0]));
    if (refuse) done({ code: grpc.status.UNAUTHENTICATED, details: 'no' });
    else done(null, call.request);
  } });
  port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(),
      (error, bound) => (error ? reject(error) : resolve(bound)));
  });
});
after(() => server.forceShutdown());

const connection = () => ({ binding: Buffer.alloc(32),
  channel: new grpc.Channel(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {}) });

// A channel whose agent answers when the test says so.
class Waiting {
  constructor(...connections) {
    Object.assign(this, { connections, asked: [], at: 0, wanted: [] });
    const connector = { target: { address: 'gate' }, close: () => connections[this.at].channel.close(),
      connected: async () => connections[this.at] };
    this.gated = new GatedChannel(connector, { prefixFor: () => this.ask(), prefixAfter: () => this.ask() });
    this.client = this.gated.client(grpc.makeClientConstructor({ Say: SAY }, 'a.B'));
  }

  ask() {
    return new Promise((resolve) => {
      this.asked.push((prefix) => resolve({ session: null, sequence: 0n, prefix: Buffer.from(prefix) }));
      this.wanted.splice(0).forEach((told) => told());
    });
  }

  // What answers the agent's question of that number.
  async question(number) {
    while (this.asked.length <= number) await new Promise((resolve) => { this.wanted.push(resolve); });
    return this.asked[number];
  }

  say(text) {
    return new Promise((resolve, reject) => {
      this.client.Say(text, WAIT, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }
}

test('a call whose connection was replaced while the agent was asked goes on with the new one', async () => {
  prefixes.length = 0;
  const waiting = new Waiting(connection(), connection());
  const answer = waiting.say('x');
  const first = await waiting.question(0);
  waiting.connections[0].channel.close();
  waiting.at = 1;
  first('of the first connection');
  (await waiting.question(1))('of the second one');
  assert.strictEqual(await answer, 'x');
  assert.deepStrictEqual(prefixes, ['of the second one']);
  waiting.gated.close();
});

test('a call that waits for the agent ends with its channel', async () => {
  prefixes.length = 0;
  const waiting = new Waiting(connection());
  const answer = waiting.say('x');
  const question = await waiting.question(0);
  waiting.gated.close();
  await assert.rejects(answer, { code: grpc.status.CANCELLED, kind: 'cancelled' });
  question('that nobody waits for');
  await new Promise(setImmediate); // a rejection that nobody handles would be told by now
  assert.deepStrictEqual(prefixes, []);
});

test('so does one that waits for another proof', async () => {
  refuse = true;
  const waiting = new Waiting(connection());
  const answer = waiting.say('x');
  (await waiting.question(0))('refused');
  const again = await waiting.question(1);
  waiting.gated.close();
  await assert.rejects(answer, { code: grpc.status.CANCELLED, kind: 'cancelled' });
  again('that nobody waits for');
  refuse = false;
});
