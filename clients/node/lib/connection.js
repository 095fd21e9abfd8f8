// SPDX-License-Identifier: Apache-2.0
// Connections to the gate whose leaf certificate is known.
//
// The first handshake of a channel of @grpc/grpc-js tells its leaf (checkServerIdentity), and every later handshake of
// that channel must show the same one, or is refused; then another channel is made. So the binding is the one of the
// connection that a call uses, whatever balancer or renewal there is.
'use strict';
const fs = require('node:fs');
const tls = require('node:tls');
const grpc = require('@grpc/grpc-js');
const { ForekeyError, Kind } = require('./errors');
const { channelBinding } = require('./proof');

const CONNECT_TIMEOUT_MS = 10_000;
const TRIES = 5;
const PAUSE_MS = 200;
const SYSTEM_ANCHORS = '/etc/ssl/certs/ca-certificates.crt';
const READY = grpc.connectivityState.READY;

class Target {
  constructor(address, caPem, serverName) {
    Object.assign(this, { address, serverName });
    this.ca = caPem || (fs.existsSync(SYSTEM_ANCHORS) ? fs.readFileSync(SYSTEM_ANCHORS, 'ascii') : undefined);
    const at = address.lastIndexOf(':');
    this.host = (at < 0 ? address : address.slice(0, at)).replace(/^\[|\]$/g, '');
    this.port = at < 0 ? 443 : Number(address.slice(at + 1));
  }

  unreachable(gateTrouble, details, advice) {
    return new ForekeyError(Kind.GATE_UNREACHABLE, grpc.status.UNAVAILABLE,
      `tried to connect to the gate at ${this.address}: ${details}`, { gateTrouble, advice });
  }

  // Why no connection came about: a handshake of its own, of which nothing else is used.
  async diagnose() {
    const name = this.serverName || this.host;
    const error = await new Promise((resolve) => {
      const socket = tls.connect({ host: this.host, port: this.port, ca: this.ca, ALPNProtocols: ['h2'],
        servername: /^[\d.]+$|:/.test(name) ? undefined : name, timeout: CONNECT_TIMEOUT_MS,
        checkServerIdentity: (_, cert) => tls.checkServerIdentity(name, cert) });
      const done = (result) => {
        socket.destroy();
        resolve(result);
      };
      socket.once('secureConnect', () => done(null));
      socket.once('error', done);
      socket.once('timeout', () => done({ code: 'TIMEOUT', message: 'no answer in time' }));
    });
    if (!error) return this.unreachable('', 'no connection came about');
    const code = error.code ?? '';
    const details = error.message || code;
    if (code === 'CERT_HAS_EXPIRED') {
      return this.unreachable('CERTIFICATE_EXPIRED', `the gate's TLS certificate is not taken: ${details}`, "set this "
        + "machine's clock where it is wrong, else the gate's administrator has to renew the certificate");
    }
    if (code === 'CERT_NOT_YET_VALID') {
      return this.unreachable('CERTIFICATE_NOT_YET_VALID', `the gate's TLS certificate is not taken: ${details}`,
        "set this machine's clock, or ask the gate's administrator");
    }
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
      return this.unreachable('CERTIFICATE_FOR_OTHER_NAME', `the gate's TLS certificate is not taken: ${details}`,
        "use the name that is in the certificate as the gate's address");
    }
    if (/CERT|SIGNATURE|ISSUER|SELF_SIGNED|INVALID_CA/.test(code)) {
      return this.unreachable('CERTIFICATE_UNTRUSTED', `the gate's TLS certificate is not taken: ${details}`,
        "compare the CA with the administrator's; if the gate has a new CA, enrol again");
    }
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return this.unreachable('NO_ADDRESS', details);
    if (code === 'TIMEOUT') return this.unreachable('NO_ANSWER', details);
    if (/^E(PROTO|RR_SSL)|^ERR_SSL|ECONNRESET/.test(code)) {
      return this.unreachable('NOT_TLS', `what answers there does not speak TLS as a gate does (${details})`,
        'check the port');
    }
    return this.unreachable('NO_CONNECTION', details);
  }
}

// A channel of @grpc/grpc-js all of whose connections show one leaf.
class Connection {
  constructor(target, options) {
    this.leaf = null;
    this.binding = null;
    this.sawAnother = false;
    const name = target.serverName || target.host;
    const checkServerIdentity = (_, certificate) => this.check(name, certificate);
    const credentials = grpc.credentials.createSsl(target.ca ? Buffer.from(target.ca) : null, null, null,
      { checkServerIdentity });
    this.channel = new grpc.Channel(target.address, credentials, {
      'grpc.keepalive_time_ms': 300_000,
      'grpc.keepalive_timeout_ms': 20_000,
      'grpc.enable_retries': 0, // a proof is good once
      ...(target.serverName && { 'grpc.ssl_target_name_override': target.serverName }),
      ...options,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  // Called once a handshake, after the certificate's chain was verified.
  check(name, certificate) {
    const wrong = tls.checkServerIdentity(name, certificate);
    if (wrong) return wrong;
    if (this.leaf === null) {
      this.leaf = certificate.raw;
      this.binding = channelBinding(certificate.raw);
    }
    if (this.leaf.equals(certificate.raw)) return undefined;
    this.sawAnother = true;
    return new Error('the gate shows another certificate than on the connection before');
  }

  get ready() {
    return this.leaf !== null && this.channel.getConnectivityState(false) === READY;
  }

  // Whether it came about, before that time.
  async wait(untilMs) {
    for (;;) {
      const state = this.channel.getConnectivityState(true);
      if (state === READY) return true;
      if (state === grpc.connectivityState.TRANSIENT_FAILURE || state === grpc.connectivityState.SHUTDOWN) return false;
      const late = await new Promise((resolve) => {
        this.channel.watchConnectivityState(state, untilMs, resolve);
      });
      if (late) return false;
    }
  }
}

// A connection that is lost is made anew, with the leaf that the gate has then.
class Connector {
  constructor(target, options) {
    Object.assign(this, { target, options, current: null, connecting: null, closed: false });
  }

  // `call`: ended is true once nobody waits for it.
  async connected(call, waitForReady) {
    for (;;) {
      if (this.closed) throw new ForekeyError(Kind.CANCELLED, grpc.status.CANCELLED, 'the channel is closed');
      if (this.current?.ready) return this.current;
      try {
        this.connecting ??= this.connect().finally(() => {
          this.connecting = null;
        });
        await this.connecting;
      } catch (error) {
        if (!waitForReady || call.ended || error.kind !== Kind.GATE_UNREACHABLE) throw error;
        await new Promise((resolve) => {
          setTimeout(resolve, PAUSE_MS);
        });
      }
    }
  }

  async connect() {
    // Calls that are there go on: closing lets them.
    this.current?.channel.close();
    this.current = null;
    for (let tries = 0; tries < TRIES; ++tries) {
      const connection = new Connection(this.target, this.options);
      if (await connection.wait(Date.now() + CONNECT_TIMEOUT_MS)) {
        if (this.closed) connection.channel.close();
        else this.current = connection;
        return;
      }
      connection.channel.close();
      if (!connection.sawAnother) break;
    }
    throw await this.target.diagnose();
  }

  close() {
    this.closed = true;
    this.current?.channel.close();
  }
}

module.exports = { Connection, Connector, Target };
