// SPDX-License-Identifier: Apache-2.0
// The calls of one channel, kept alive over the ends of their sessions.
//
// Shortly before a session ends, the calls that it proved and that are still there are proved again by the next one
// (docs/PROTOCOL.md, "Live calls"), where the gate's rule lets them. Where it does not, they end with the session.
'use strict';
const crypto = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const { gateService } = require('./agent');
const { bytesField, numberField } = require('./proof');
const { Session, bootNow } = require('./sessions');

const METHOD = gateService.ReauthenticateCall;
const CALL_TIMEOUT_MS = 5000;
const LOOK_S = 1;
const GAIN_S = 1;
const SHORTEST_PAUSE_S = 0.1;
const LONGEST_PAUSE_S = 5;

class LiveCalls {
  constructor(sessions) {
    this.sessions = sessions;
    this.calls = new Map(); // call: when it is due
    this.timer = null;
  }

  add(call) {
    this.calls.set(call, 0);
    this.timer ??= setInterval(() => this.look(), LOOK_S * 1000).unref();
  }

  close() {
    clearInterval(this.timer);
    this.timer = null;
    this.calls.clear();
  }

  look() {
    for (const [call, notBefore] of this.calls) {
      if (call.ended || !call.proved?.session) { // what hardware signed can't be proved again
        this.calls.delete(call);
      } else if (bootNow() >= Math.max(call.proved.session.agesAt, notBefore)) {
        this.calls.set(call, Infinity); // while this is under way
        this.attempt(call);
      }
    }
    if (this.calls.size === 0) this.close();
  }

  async attempt(call) {
    const { session } = call.proved;
    const left = session.endsAt - bootNow();
    const pause = left <= 0 ? LONGEST_PAUSE_S : Math.min(Math.max(left / 8, SHORTEST_PAUSE_S), LONGEST_PAUSE_S);
    let after = pause;
    try {
      const later = await this.sessions.later(call.connection.binding, session, GAIN_S);
      if (later.endsAt > session.endsAt + GAIN_S) after = await this.reauthenticate(call, later, pause);
    } catch {
      // The agent could not: later, perhaps.
    }
    if (this.calls.has(call)) this.calls.set(call, bootNow() + after);
  }

  // How long until the next attempt.
  async reauthenticate(call, later, pause) {
    const payload = Buffer.concat([bytesField(1, call.proved.session.id), numberField(2, call.proved.sequence)]);
    const proved = later.prove(METHOD.path, crypto.createHash('sha256').update(payload).digest());
    const error = await ask(call.connection.channel, proved.prefix, payload);
    if (!error) {
      call.proved = proved;
      call.askedForMore = false;
      return 0;
    }
    if (error.code === grpc.status.UNAUTHENTICATED && !call.askedForMore) {
      // The agent meets what the rule wants, once for each session that ends.
      call.askedForMore = true;
      const { session } = await this.sessions.prefixAfter(later, call.connection.binding, call.method);
      return session instanceof Session ? 0 : Infinity;
    }
    const refused = [grpc.status.UNAUTHENTICATED, grpc.status.PERMISSION_DENIED].includes(error.code);
    return refused ? Infinity : pause;
  }
}

function ask(channel, prefix, payload) {
  const client = new grpc.Client('', grpc.credentials.createInsecure(), { channelOverride: channel });
  const metadata = new grpc.Metadata();
  metadata.add('forekey-prefix-bin', prefix);
  return new Promise((resolve) => {
    client.makeUnaryRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, { payload }, metadata,
      { deadline: Date.now() + CALL_TIMEOUT_MS }, (error) => resolve(error));
  });
}

module.exports = { LiveCalls };
