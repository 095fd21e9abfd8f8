// SPDX-License-Identifier: Apache-2.0
// What went wrong, as the application gets it.
'use strict';
const grpc = require('@grpc/grpc-js');

const Kind = Object.freeze({
  AGENT_NOT_RUNNING: 'agent-not-running',
  AGENT_REFUSED: 'agent-refused',
  GATE_UNREACHABLE: 'gate-unreachable',
  GATE_REFUSED: 'gate-refused',
  DEADLINE: 'deadline',
  CANCELLED: 'cancelled',
  SERVICE: 'service',
});
const ADVICE = {
  'agent-not-running': 'start forekey-agent, or say where it is with FOREKEY_AGENT_SOCKET',
  'gate-refused': 'the gate refused; its audit log has the exact reason under the reference number',
  'gate-unreachable':
    'check that the gate is running and that the address, the port and the network in between are right',
  deadline: 'the deadline passed: check the network and whether a token waits for a touch, or try again',
};
const PUSHBACK = 'grpc-retry-pushback-ms';
const REFERENCE = /reference ([0-9a-f]{16})\b/;
const STEP_UP = /^forekey: step-up ([^\s,]+), reference /;

class ForekeyError extends Error {
  constructor(kind, code, details, more = {}) {
    const told = describe(kind, details, more);
    super(`${code} ${grpc.status[code]}: ${details}` + (told.advice ? ` (${told.advice})` : ''));
    Object.assign(this, { name: 'ForekeyError', code, details, metadata: new grpc.Metadata() }, told);
  }
}

function describe(kind, details, more = {}) {
  return {
    kind,
    reference: REFERENCE.exec(details)?.[1] ?? '',
    stepUp: STEP_UP.exec(details)?.[1] ?? '',
    reason: more.reason ?? '',
    deviceTrouble: more.deviceTrouble ?? '',
    gateTrouble: more.gateTrouble ?? '',
    advice: more.advice ?? ADVICE[kind] ?? '',
  };
}

// The gate adds a pushback to the trailers of an UNAUTHENTICATED that is not its own (docs/PROTOCOL.md, "Retries").
function wasAdmitted(status) {
  return status.metadata?.get(PUSHBACK).length > 0;
}

// The gate did not take the proof, and the handler never ran: another proof may be accepted.
function isRefusedProof(status) {
  return status.code === grpc.status.UNAUTHENTICATED && !wasAdmitted(status);
}

// What @grpc/grpc-js makes an error of, with what is known besides.
function toldStatus(status) {
  if (status.code === grpc.status.OK || status.kind) return status;
  let kind = Kind.SERVICE;
  if (!wasAdmitted(status)) {
    kind = REFERENCE.test(status.details) ? Kind.GATE_REFUSED : {
      [grpc.status.UNAVAILABLE]: Kind.GATE_UNREACHABLE,
      [grpc.status.DEADLINE_EXCEEDED]: Kind.DEADLINE,
      [grpc.status.CANCELLED]: Kind.CANCELLED,
    }[status.code] ?? Kind.SERVICE;
  }
  return { ...status, ...describe(kind, status.details) };
}

function statusOf(error) {
  if (!(error instanceof ForekeyError)) {
    return toldStatus({ code: grpc.status.INTERNAL, details: String(error), metadata: new grpc.Metadata() });
  }
  const { code, details, metadata, kind, reference, stepUp, reason, deviceTrouble, gateTrouble, advice } = error;
  return { code, details, metadata, kind, reference, stepUp, reason, deviceTrouble, gateTrouble, advice };
}

module.exports = { ForekeyError, Kind, isRefusedProof, statusOf, toldStatus };
