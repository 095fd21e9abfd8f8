// SPDX-License-Identifier: Apache-2.0
// Law: the binding of the Node client is the one of the connection that a call uses. Every handshake of one channel
// shows the leaf of its first one, or is refused.
'use strict';
const assert = require('node:assert');
const path = require('node:path');
const { test } = require('node:test');

const lib = path.join(__dirname, '..', '..', '..', 'clients', 'node', 'lib');
const { Connection, Target } = require(path.join(lib, 'connection.js'));
const { channelBinding } = require(path.join(lib, 'proof.js'));

const certificate = (raw, name = 'localhost') => ({ raw: Buffer.from(raw), subject: {}, subjectaltname: `DNS:${name}` });

test('a handshake with another leaf than the first one is refused', () => {
  const connection = new Connection(new Target('localhost:1', '', ''), {});
  assert.strictEqual(connection.check('localhost', certificate('one')), undefined);
  assert.deepStrictEqual(connection.binding, channelBinding(Buffer.from('one')));
  assert.strictEqual(connection.check('localhost', certificate('one')), undefined);
  assert.match(connection.check('localhost', certificate('another')).message, /another certificate/);
  assert.ok(connection.sawAnother);
  assert.deepStrictEqual(connection.binding, channelBinding(Buffer.from('one')));
  connection.channel.close();
});

test('a leaf for another name is refused, and binds nothing', () => {
  const connection = new Connection(new Target('localhost:1', '', ''), {});
  assert.ok(connection.check('localhost', certificate('one', 'elsewhere.example')) instanceof Error);
  assert.strictEqual(connection.binding, null);
  connection.channel.close();
});
