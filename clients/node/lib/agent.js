// SPDX-License-Identifier: Apache-2.0
// What is asked of the agent, over its unix socket (docs/AGENT.md).
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');
const { ForekeyError, Kind } = require('./errors');

const STATUS_TIMEOUT_MS = 10_000;
const uid = process.geteuid();

// Packed with the package; in a clone, where they are.
const packed = path.join(__dirname, '..', 'proto');
const folder = fs.existsSync(packed) ? packed : path.join(__dirname, '..', '..', '..', 'proto');
const files = ['agent', 'gate'].map((name) => path.join(folder, 'forekey', 'v1', `${name}.proto`));
const services = loader.loadSync(files, {
  includeDirs: [folder], keepCase: true, longs: String, enums: String, defaults: true,
});
const service = services['forekey.v1.Agent'];
const gateService = services['forekey.v1.Gate'];
const root = new protobuf.Root();
root.resolvePath = (_, target) => path.resolve(folder, target);
root.loadSync(files, { keepCase: true });
const AgentErrorDetails = root.lookupType('forekey.v1.AgentErrorDetails');

function findSocket() {
  if (process.env.FOREKEY_AGENT_SOCKET) return process.env.FOREKEY_AGENT_SOCKET;
  const folderOf = (name) => (process.env[name]?.startsWith('/') ? process.env[name] : '');
  const home = folderOf('HOME');
  const places = [folderOf('XDG_RUNTIME_DIR'), `/run/user/${uid}`, folderOf('XDG_STATE_HOME'),
    home && `${home}/.local/state`];
  const paths = places.filter(Boolean).map((place) => `${place}/forekey/agent.sock`);
  return paths.find((one) => {
    const found = fs.statSync(one, { throwIfNoEntry: false });
    return found?.isSocket() && found.uid === uid;
  }) ?? paths[0];
}

// Has no connection between two questions: the agent may be started again at any time.
class Agent {
  constructor(socket) {
    this.socket = socket || findSocket();
  }

  async ask(method, request, timeoutMs) {
    this.checkSocket();
    const client = new grpc.Client(`unix:${path.resolve(this.socket)}`, grpc.credentials.createInsecure(),
      { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_http_proxy': 0, 'grpc.enable_retries': 0 });
    const { path: rpc, requestSerialize, responseDeserialize } = service[method];
    try {
      return await new Promise((resolve, reject) => {
        client.makeUnaryRequest(rpc, requestSerialize, responseDeserialize, request,
          { deadline: Date.now() + timeoutMs },
          (error, answer) => (error ? reject(this.errorOf(error)) : resolve(answer)));
      });
    } finally {
      client.close();
    }
  }

  // The record of that gate; of the only one, where no name is given.
  async gate(name) {
    const { gates } = await this.ask('GetStatus', {}, STATUS_TIMEOUT_MS);
    const found = name ? gates.find((gate) => gate.audience === name) : gates.length === 1 && gates[0];
    if (found) return found;
    const names = gates.map((gate) => gate.audience).join(', ');
    if (gates.length > 0 && !name) {
      throw new ForekeyError(Kind.AGENT_REFUSED, grpc.status.INVALID_ARGUMENT,
        `the agent is enrolled at several gates (${names})`, { advice: 'say which one' });
    }
    throw new ForekeyError(Kind.AGENT_REFUSED, grpc.status.PERMISSION_DENIED,
      `the agent was never enrolled at ${name || 'any gate'}` + (names ? `; it is enrolled at: ${names}` : ''),
      { reason: 'gate-not-enrolled', advice: 'ask for an invite and run forekey enroll' });
  }

  checkSocket() {
    const found = fs.statSync(this.socket, { throwIfNoEntry: false });
    if (!found) throw this.notRunning('');
    if (!found.isSocket()) {
      throw new ForekeyError(Kind.AGENT_NOT_RUNNING, grpc.status.FAILED_PRECONDITION, `${this.socket} is not a socket`);
    }
    if (found.uid !== uid) {
      throw new ForekeyError(Kind.AGENT_REFUSED, grpc.status.PERMISSION_DENIED,
        `the agent's socket ${this.socket} belongs to uid ${found.uid}, this program runs as uid ${uid}`,
        { reason: 'peer-uid-refused' });
    }
  }

  notRunning(more) {
    return new ForekeyError(Kind.AGENT_NOT_RUNNING, grpc.status.UNAVAILABLE,
      `the agent is not running (nothing answers on ${this.socket}${more && `: ${more}`})`);
  }

  // An error without AgentErrorDetails did not come from an agent.
  errorOf(error) {
    const raw = error.metadata?.get('grpc-status-details-bin')[0];
    const told = raw && parseDetails(raw);
    if (!told) {
      if (error.code === grpc.status.UNAVAILABLE) return this.notRunning(error.details);
      const kind = error.code === grpc.status.DEADLINE_EXCEEDED ? Kind.DEADLINE : Kind.AGENT_REFUSED;
      return new ForekeyError(kind, error.code, error.details);
    }
    return new ForekeyError(Kind.AGENT_REFUSED, error.code, error.details, {
      reason: told.reason,
      deviceTrouble: troubleName(told.device_trouble, 'DEVICE_TROUBLE_'),
      gateTrouble: troubleName(told.gate_trouble, 'GATE_TROUBLE_'),
    });
  }

  openSession(gate, channel_binding, timeoutMs, more = {}) {
    return this.ask('OpenSession', { gate, channel_binding, ...more }, timeoutMs);
  }

  async devicePrefix(gate, channel_binding, timeoutMs, method, step_up) {
    const answer = await this.ask('GetPrefix', { gate, method, channel_binding, device: true, step_up }, timeoutMs);
    return answer.prefix;
  }
}

function troubleName(name, begin) {
  return typeof name !== 'string' || name.endsWith('UNSPECIFIED') ? '' : name.slice(begin.length);
}

function parseDetails(raw) {
  try {
    return AgentErrorDetails.toObject(AgentErrorDetails.decode(raw), { enums: String, defaults: true });
  } catch {
    return null;
  }
}

module.exports = { Agent, gateService };
