// SPDX-License-Identifier: Apache-2.0
// forekey.channel(): a channel of @grpc/grpc-js each of whose calls proves who makes it.
'use strict';
const grpc = require('@grpc/grpc-js');
const { Agent } = require('./agent');
const { GatedCall } = require('./call');
const { Connector, Target } = require('./connection');
const { Kind } = require('./errors');
const { LiveCalls } = require('./live');
const { Sessions } = require('./sessions');

class GatedChannel {
  constructor(connector, sessions) {
    this.connector = connector;
    this.sessions = sessions;
    this.live = new LiveCalls(sessions);
    this.waiting = new Set(); // calls that wait for a connection or for the agent
  }

  client(ClientClass, options = {}) {
    // The channel has credentials of its own; these are not looked at.
    return new ClientClass(this.getTarget(), grpc.credentials.createInsecure(), { ...options, channelOverride: this });
  }

  createCall(method, deadline, host, parentCall, propagateFlags) {
    return new GatedCall(this, method, deadline, host, parentCall, propagateFlags);
  }

  getTarget() {
    return this.connector.target.address;
  }

  // IDLE where there is no connection: the next call makes one.
  getConnectivityState(tryToConnect) {
    if (this.connector.closed) return grpc.connectivityState.SHUTDOWN;
    if (this.connector.current?.ready) return grpc.connectivityState.READY;
    if (tryToConnect) this.connector.connected({ ended: false }, false).catch(() => {});
    return this.connector.connecting ? grpc.connectivityState.CONNECTING : grpc.connectivityState.IDLE;
  }

  // client.waitForReady(): says when there is a connection, which it makes.
  watchConnectivityState(currentState, deadline, callback) {
    if (this.getConnectivityState(false) !== currentState) {
      process.nextTick(callback);
      return;
    }
    const waiter = { ended: false };
    const until = deadline instanceof Date ? deadline.getTime() : deadline;
    const done = (error) => {
      if (waiter.ended) return;
      waiter.ended = true;
      clearTimeout(timer);
      callback(error);
    };
    const timer = setTimeout(() => done(new Error('Deadline passed without connectivity state change')),
      Math.min(Math.max(0, until - Date.now()), 2 ** 31 - 1));
    this.connector.connected(waiter, true).then(() => done(), done);
  }

  getChannelzRef() {
    return this.connector.current?.channel.getChannelzRef();
  }

  close() {
    this.live.close();
    this.connector.close();
    for (const call of this.waiting) call.fail(Kind.CANCELLED, grpc.status.CANCELLED, 'the channel is closed');
  }
}

async function channel(gate = '', options = {}) {
  const agent = new Agent(options.agentSocket);
  const record = await agent.gate(gate);
  const target = new Target(options.target || record.address, record.ca_pem,
    options.tlsServerName || record.tls_server_name);
  return new GatedChannel(new Connector(target, options.options),
    new Sessions(agent, record.audience, options.openTimeoutMs ?? 60_000));
}

module.exports = { GatedChannel, channel };
