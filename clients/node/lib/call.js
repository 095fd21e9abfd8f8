// SPDX-License-Identifier: Apache-2.0
// One call of the application, in one attempt or two, below all interceptors.
//
// The gate refuses a proof before the call is routed: then, and only then, the call is made once more with another
// proof. An admitted call is never made twice, whatever its handler answers (docs/PROTOCOL.md, "Retries").
'use strict';
const grpc = require('@grpc/grpc-js');
const { ForekeyError, Kind, isRefusedProof, statusOf, toldStatus } = require('./errors');

const PREFIX = 'forekey-prefix-bin';
// Of what was sent, so much is kept for the second attempt; a call that has sent more has none.
const MOST_KEPT = 8 << 20;
const MAX_TIMER_MS = 2 ** 31 - 1;

let number = 0;

// A connection that was lost is shut down by the call that makes another one; so it may be while the agent is asked.
function isShutDown(connection) {
  return connection.channel.getConnectivityState(false) === grpc.connectivityState.SHUTDOWN;
}

// The Call of @grpc/grpc-js, as channels make it.
class GatedCall {
  constructor(channel, method, deadline, host, parent, propagate) {
    Object.assign(this, { channel, method, deadline, host, parent, propagate });
    this.number = ++number;
    this.inner = null;
    this.attempt = 0;
    this.proved = null; // { session, sequence } of the attempt
    this.connection = null;
    this.committed = false;
    this.ended = false;
    this.messages = []; // { context, message, written }
    this.at = 0; // the next of them to be sent
    this.sending = false;
    this.kept = 0;
    this.mayReplay = true;
    this.halfClosed = false;
    this.closedInner = false;
    this.reading = false;
  }

  getCallNumber() {
    return this.number;
  }

  getPeer() {
    return this.inner?.getPeer() ?? this.channel.getTarget();
  }

  getAuthContext() {
    return this.inner?.getAuthContext?.() ?? null;
  }

  setCredentials(credentials) {
    this.credentials = credentials;
  }

  start(metadata, listener) {
    this.metadata = metadata;
    this.listener = listener;
    const left = (this.deadline instanceof Date ? this.deadline.getTime() : this.deadline) - Date.now();
    if (left < MAX_TIMER_MS) {
      // Until there is an attempt, which has the deadline itself.
      this.timer = setTimeout(() => {
        if (this.inner === null) this.fail(Kind.DEADLINE, grpc.status.DEADLINE_EXCEEDED,
          'the deadline passed while the call waited for a connection or for the agent');
      }, Math.max(0, left));
    }
    this.begin();
  }

  // Never throws: what goes wrong is what the call ends with.
  async begin() {
    const attempt = ++this.attempt;
    const rejected = this.proved?.session ?? null;
    this.inner = null;
    this.channel.waiting.add(this);
    try {
      while (!await this.prove(attempt, rejected)) {
        // Again, on the connection that there is now.
      }
      if (!this.ended) this.startInner(attempt);
    } catch (error) {
      this.end(statusOf(error));
    } finally {
      this.channel.waiting.delete(this);
    }
  }

  // Whether there is a proof for a connection that takes calls, or the call has ended meanwhile.
  async prove(attempt, rejected) {
    const { connector, sessions } = this.channel;
    const connection = await connector.connected(this, this.metadata.getOptions().waitForReady);
    const proved = attempt === 1 ? await sessions.prefixFor(connection.binding, this.method)
      : await sessions.prefixAfter(rejected, connection.binding, this.method);
    Object.assign(this, { proved, connection });
    return this.ended || !isShutDown(connection);
  }

  startInner(attempt) {
    const metadata = this.metadata.clone();
    metadata.add(PREFIX, this.proved.prefix);
    // There is a connection. Should it be gone by now, the one leaf that this channel takes may be, too: then waiting
    // would have no end.
    metadata.setOptions({ ...metadata.getOptions(), waitForReady: false });
    const inner = this.connection.channel.createCall(this.method, this.deadline, this.host, this.parent,
      this.propagate);
    if (this.credentials) inner.setCredentials(this.credentials);
    this.inner = inner;
    Object.assign(this, { at: 0, sending: false, closedInner: false });
    inner.start(metadata, {
      onReceiveMetadata: (received) => {
        this.commit();
        this.listener.onReceiveMetadata(received);
      },
      onReceiveMessage: (message) => {
        this.commit();
        this.reading = false;
        this.listener.onReceiveMessage(message);
      },
      onReceiveStatus: (status) => {
        if (attempt === 1 && !this.committed && this.mayReplay && !this.ended && isRefusedProof(status)) {
          this.begin();
        } else {
          this.end(toldStatus(status));
        }
      },
    });
    if (this.reading) inner.startRead();
    this.pump();
    this.channel.live.add(this);
  }

  sendMessageWithContext(context, message) {
    this.messages.push({ context, message, written: false });
    this.kept += message.length;
    this.pump();
  }

  halfClose() {
    this.halfClosed = true;
    this.pump();
  }

  startRead() {
    this.reading = true;
    this.inner?.startRead();
  }

  cancelWithStatus(code, details) {
    if (this.inner) this.inner.cancelWithStatus(code, details);
    else this.fail(Kind.CANCELLED, code, details);
  }

  // One message at a time, so that backpressure is what it was.
  pump() {
    const { inner } = this;
    if (inner === null || this.sending) return;
    if (this.at === this.messages.length) {
      if (this.halfClosed && !this.closedInner) {
        this.closedInner = true;
        inner.halfClose();
      }
      return;
    }
    const sent = this.messages[this.at];
    this.sending = true;
    const callback = (error) => {
      if (inner !== this.inner) return; // of an attempt that is over
      // An attempt that fails may be followed by another one, which the application does not see.
      if (error && !this.committed) return;
      if (!sent.written) sent.context.callback?.(error);
      sent.written = true;
      this.sending = false;
      this.at += 1;
      this.letGo();
      this.pump();
    };
    inner.sendMessageWithContext({ flags: sent.context.flags, callback }, sent.message);
  }

  commit() {
    this.committed = true;
    this.letGo();
  }

  letGo() {
    if (this.kept > MOST_KEPT) this.mayReplay = false;
    if (!this.committed && this.mayReplay) return;
    for (const { message } of this.messages.splice(0, this.at)) this.kept -= message.length;
    this.at = 0;
    this.mayReplay = false;
  }

  fail(kind, code, details) {
    this.end(statusOf(new ForekeyError(kind, code, details)));
  }

  end(status) {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.timer);
    // As a call of @grpc/grpc-js does: never within the method that led here.
    process.nextTick(() => {
      this.listener.onReceiveStatus(status);
      for (const { context, written } of this.messages) if (!written) context.callback?.();
      this.messages = [];
    });
  }
}

module.exports = { GatedCall };
