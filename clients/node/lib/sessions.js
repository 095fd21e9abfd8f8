// SPDX-License-Identifier: Apache-2.0
// The sessions of one channel: one a server certificate, opened by the agent as children of its own.
'use strict';
const os = require('node:os');
const grpc = require('@grpc/grpc-js');
const { ForekeyError, Kind } = require('./errors');
const proof = require('./proof');

// How much earlier than the gate a client gives a session up, and how long before that it looks for another one.
const MAX_MARGIN_S = 10;
const MAX_AGING_S = 120;
const REFRESH_PAUSE_S = 5;
// How long a method that hardware had to sign is not tried with a session first.
const STEP_UP_KNOWN_S = 60;
// Certificates that are replaced leave something behind.
const MAX_KEPT = 256;

// Seconds of the clock by which sessions age (CLOCK_BOOTTIME): it does not step, and counts through suspend.
const bootNow = () => os.uptime();

class Session {
  // `asked`, `answered`: when the agent was, by bootNow().
  constructor(binding, answer, asked, answered) {
    this.id = answer.session_id;
    this.key = answer.key;
    this.subject = answer.subject;
    this.binding = binding;
    const opened = Number(answer.opened_boot_nanos) / 1e9;
    // A container may show an uptime of its own; then the answer's time is near enough.
    this.openedAt = opened > asked - 2 && opened < answered + 2 ? opened : answered;
    this.skew = this.openedAt - opened; // between the agent's clock and this one
    this.sequence = 0n;
    this.usedAt = this.openedAt;
    this.endsAt = this.openedAt + answer.absolute_s;
    this.givenUpAt = this.endsAt - Math.min(answer.absolute_s / 10, MAX_MARGIN_S);
    this.agesAt = this.givenUpAt - Math.min(answer.absolute_s / 5, MAX_AGING_S);
    this.idleS = answer.idle_s - Math.min(answer.idle_s / 10, MAX_MARGIN_S);
  }

  usable() {
    const now = bootNow();
    return now < this.givenUpAt && now - this.usedAt < this.idleS;
  }

  aging() {
    return bootNow() >= this.agesAt;
  }

  // A prefix for one call, and its sequence number.
  prove(method, digest = Buffer.alloc(0)) {
    this.usedAt = bootNow();
    const sequence = ++this.sequence;
    const age = Math.max(0, Math.floor(this.usedAt - this.openedAt));
    const message = proof.callMacBytes(this.id, sequence, age, method, this.binding, digest);
    const prefix = proof.sessionPrefix(this.id, sequence, age, proof.callMac(this.key, message), digest);
    return { session: this, sequence, prefix };
  }
}

// What is asked of the agent is asked once, however many calls wait.
class Sessions {
  constructor(agent, gate, openTimeoutMs) {
    Object.assign(this, { agent, gate, openTimeoutMs });
    this.flights = new Map();
    this.slots = new Map();
    this.noRefreshBefore = new Map();
    this.replaced = new Map();
    this.stepUps = new Map();
  }

  // A session that is good on connections with that leaf.
  async get(binding) {
    const slot = binding.toString('hex');
    const session = this.slots.get(slot);
    const usable = session?.usable();
    if (usable && (!session.aging() || bootNow() < (this.noRefreshBefore.get(slot) ?? 0))) return session;
    const flight = this.join(`open ${slot}`, () => this.open(binding, slot));
    if (!usable) return flight;
    flight.catch(() => {}); // the next call looks again
    return session;
  }

  // One that ends later than that instant, for a live call: for a touch, perhaps.
  async later(binding, session, gainS) {
    const current = this.slots.get(binding.toString('hex'));
    if (current?.usable() && current.endsAt > session.endsAt + gainS) return current;
    const after = BigInt(Math.ceil((session.endsAt + gainS - session.skew) * 1e9));
    return this.ask(binding, { outlast_boot_nanos: String(after) });
  }

  // Of a first attempt: { session, sequence, prefix }; without a session where hardware signs the call.
  async prefixFor(binding, method) {
    const known = this.stepUps.get(`${binding.toString('hex')} ${method}`);
    if (known && bootNow() < known.until) return this.sign(binding, method, known.stepUp);
    return (await this.get(binding)).prove(method);
  }

  // After the gate refused a call with that session (null: with hardware's proof): the agent finds out why, and opens
  // another session, with more factors where those were lacking, or has hardware sign this call.
  async prefixAfter(rejected, binding, method) {
    const key = `${binding.toString('hex')} ${method} ${rejected?.id.toString('hex')}`;
    this.stepUps.delete(`${binding.toString('hex')} ${method}`); // what was done lately was not enough
    const known = rejected && this.replaced.get(key);
    if (known?.usable()) return known.prove(method);
    const found = await this.join(key, async () => {
      const answer = await this.ask(binding, { rejected_session: rejected?.id ?? Buffer.alloc(0), method });
      if (answer instanceof Session) keep(this.replaced, key, answer);
      return answer;
    });
    // What hardware signs is good for one call: each has its own.
    return found instanceof Session ? found.prove(method) : this.sign(binding, method, found.stepUp);
  }

  async open(binding, slot) {
    try {
      return await this.ask(binding, {});
    } catch (error) {
      if (error instanceof ForekeyError) keep(this.noRefreshBefore, slot, bootNow() + REFRESH_PAUSE_S);
      throw error;
    }
  }

  // A session, or { stepUp } where none is enough.
  async ask(binding, more) {
    const asked = bootNow();
    const answer = await this.agent.openSession(this.gate, binding, this.openTimeoutMs, more);
    if (answer.step_up) return { stepUp: answer.step_up };
    if (answer.session_id.length !== 16 || answer.key.length !== 32) {
      throw new ForekeyError(Kind.AGENT_REFUSED, grpc.status.INTERNAL, "the agent's answer holds no session");
    }
    const session = new Session(binding, answer, asked, bootNow());
    keep(this.slots, binding.toString('hex'), session);
    return session;
  }

  async sign(binding, method, stepUp) {
    const prefix = await this.agent.devicePrefix(this.gate, binding, this.openTimeoutMs, method, stepUp);
    keep(this.stepUps, `${binding.toString('hex')} ${method}`, { stepUp, until: bootNow() + STEP_UP_KNOWN_S });
    return { session: null, sequence: 0n, prefix };
  }

  // Who asks for what is being worked on waits for that result. Work goes on when its waiters have gone.
  join(key, work) {
    let flight = this.flights.get(key);
    if (!flight) {
      flight = work().finally(() => this.flights.delete(key));
      this.flights.set(key, flight);
    }
    return flight;
  }
}

function keep(kept, key, value) {
  if (kept.size >= MAX_KEPT) kept.clear();
  kept.set(key, value);
}

module.exports = { Session, Sessions, bootNow };
