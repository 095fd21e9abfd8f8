// SPDX-License-Identifier: Apache-2.0
import { ChannelInterface, ChannelOptions, Client, ClientOptions, Metadata, ServiceError } from '@grpc/grpc-js';

/** Who said no. */
export declare const Kind: {
  readonly AGENT_NOT_RUNNING: 'agent-not-running';
  /** The agent, a token of its, or a gate that the agent asked: see reason, deviceTrouble and gateTrouble. */
  readonly AGENT_REFUSED: 'agent-refused';
  readonly GATE_UNREACHABLE: 'gate-unreachable';
  /** See reference, and stepUp. */
  readonly GATE_REFUSED: 'gate-refused';
  readonly DEADLINE: 'deadline';
  readonly CANCELLED: 'cancelled';
  /** An error of the service's own, behind the gate. */
  readonly SERVICE: 'service';
};
export type Kind = (typeof Kind)[keyof typeof Kind];

/** What every error has that a call on a gated channel ends with, besides code, details and metadata. */
export interface Told {
  kind: Kind;
  /** Of the gate's refusal: 16 digits of hex, or ''. */
  reference: string;
  /** What the gate wants besides ("fido2+uv&call|tpm&password"), or ''. */
  stepUp: string;
  /** Of a refusal that the agent knows: a name of docs/AUDIT.md, or ''. */
  reason: string;
  /** "WRONG_PIN", ...: DeviceTrouble of agent.proto, or ''. */
  deviceTrouble: string;
  /** "CERTIFICATE_EXPIRED", ...: GateTrouble of agent.proto, or ''. */
  gateTrouble: string;
  /** What to do next, or ''. */
  advice: string;
}
export type GatedError = ServiceError & Told;

/** What forekey.channel() is rejected with. */
export declare class ForekeyError extends Error implements Told {
  code: number;
  details: string;
  metadata: Metadata;
  kind: Kind;
  reference: string;
  stepUp: string;
  reason: string;
  deviceTrouble: string;
  gateTrouble: string;
  advice: string;
}

export interface Options {
  /** '' : $FOREKEY_AGENT_SOCKET, else where docs/AGENT.md says. */
  agentSocket?: string;
  /** "host:port" instead of the address that was enrolled at: another server behind the same gate. */
  target?: string;
  /** The name that the certificate must have where it isn't the target's host. */
  tlsServerName?: string;
  /** How long the opening of a session may take: somebody may have to touch a token. */
  openTimeoutMs?: number;
  /** Channel arguments of @grpc/grpc-js. */
  options?: ChannelOptions;
}

export interface GatedChannel extends ChannelInterface {
  /** A client of that class, as @grpc/proto-loader or the code generators make them, on this channel. */
  client<T extends Client>(
    ClientClass: new (address: string, credentials: any, options?: Partial<ClientOptions>) => T,
    options?: Partial<ClientOptions>): T;
}

/**
 * A channel to a gate that the agent is enrolled at. `gate`: its audience; '': the only one.
 * Rejected with ForekeyError where the agent is not running, or is not enrolled there.
 */
export declare function channel(gate?: string, options?: Options): Promise<GatedChannel>;
