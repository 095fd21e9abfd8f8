# SPDX-License-Identifier: Apache-2.0
"""The rooms of the tree: what each holds, and whom it may include.

Read by check_tree.py, which fails on an include that is not allowed here, and printed into ARCHITECTURE.md by
`check_tree.py --rooms`. Includes go downward only: a room comes after those that it may include.
"""
import collections

Room = collections.namedtuple("Room", "holds includes")


def together(*sets):
    return frozenset().union(*sets)


BASE = frozenset({"src/base"})
HTTPS = frozenset({"src/https"})
CRYPTO = together(BASE, {"src/crypto"})
WIRE = together(CRYPTO, {"src/wire", "proto"})
VERIFY = together(WIRE, {"src/verify"})
GATE_GROUND = together(VERIFY, {"src/policy", "src/store"})
GATE_SETTINGS = together(BASE, {"src/gate/settings"})
GATE_LIMITS = together(CRYPTO, {"src/gate/limits"})
GATE_TOKEN = together(GATE_GROUND, GATE_SETTINGS, {"src/gate/token"})
GATE_FACTOR = together(GATE_GROUND, GATE_SETTINGS, HTTPS, {"src/gate/factor"})
GATE_AUDIT = together(GATE_TOKEN, GATE_LIMITS, {"src/gate/audit"})
GATE_CALL = together(GATE_AUDIT, {"src/gate/call"})
GATE_SESSION = together(GATE_CALL, GATE_FACTOR, {"src/gate/session"})
GATE_ENROLL = together(GATE_SESSION, {"src/gate/enroll"})
STORE_POSTGRES = together(WIRE, {"src/policy", "src/store", "src/store/postgres"})
GATE_CONFIG = together(GATE_SESSION, STORE_POSTGRES, {"src/gate/config"})
GATE_ADMIN = together(GATE_CONFIG, GATE_ENROLL, {"src/gate/admin"})
GATE_SERVICE = together(GATE_ADMIN, {"src/gate/service"})
GATE_GRPC = together(GATE_SERVICE, {"src/rpc", "src/gate/public", "src/gate/grpc"})
RPC_PROXY = frozenset({"src/rpc", "src/rpc/proxy"})
RPC_ACCEPT = frozenset({"src/rpc/accept"})
GATE_CALLER = together(WIRE, {"src/gate/public", "src/gate/caller"})
GATE_PROXY = together(GATE_GRPC, GATE_CALLER, RPC_PROXY, {"src/gate/proxy"})
GATE_FRONT = together(GATE_GRPC, GATE_CALLER, RPC_ACCEPT, {"src/gate/front"})
GATE_TESTING = frozenset({"src/gate/public", "src/gate/grpc", "src/gate/testing"})
HW = together(WIRE, {"hw"})
CLIENT = together(WIRE, {"src/rpc", "src/client"})
AGENT = together(CLIENT, HW, {"src/agent"})
TERMINAL = together(BASE, {"src/cli/terminal"})
CLI_VERIFY = together(VERIFY, HTTPS, {"src/cli/verify"})
CLI_GATE = together(GATE_PROXY, GATE_FRONT, TERMINAL, {"src/cli/gate"})
CLI_CLIENT = together(CLIENT, RPC_ACCEPT, RPC_PROXY, TERMINAL, {"src/cli/client"})

ROOMS = {
    "proto": Room("the messages on the wire, to the agent and to the administrator", frozenset()),
    "src/base": Room("bytes, clocks, files, secrets, reasons of refusals", BASE),
    "src/https": Room("one document of another server, over HTTPS", HTTPS),
    "src/rpc": Room("Abseil's statuses as gRPC's and back; deadlines of calls", frozenset({"src/rpc"})),
    "src/rpc/accept": Room("sockets for programs of this machine, and an accept loop in front of a gRPC server",
                           RPC_ACCEPT),
    "src/rpc/proxy": Room("passes calls on, whatever they are about", RPC_PROXY),
    "src/crypto": Room("public keys, digests, MACs, key agreement, certificate paths, revocation lists", CRYPTO),
    "src/wire": Room("what is signed and sent: built, parsed and serialized, without I/O", WIRE),
    "src/verify": Room("verifiers of attestations and assertions: functions of bytes, trust, policy and time",
                       VERIFY),
    "src/policy": Room("rules, roles and factors: what a call of a method needs", together(VERIFY, {"src/policy"})),
    "src/store": Room("what outlives a call: registry (SQLite), sessions, replay windows, used challenges",
                      together(WIRE, {"src/policy", "src/store"})),
    "src/store/postgres": Room("the registry in PostgreSQL, which the replicas of one gate share", STORE_POSTGRES),
    "src/gate/settings": Room("reads one TOML file, with a line for every mistake", GATE_SETTINGS),
    "src/gate/limits": Room("token buckets by address, and the limits that are made of them", GATE_LIMITS),
    "src/gate/token": Room("the seam of token kinds, and TPM, FIDO2 and PIV behind it; trust that is read again",
                           GATE_TOKEN),
    "src/gate/factor": Room("the seam of further factors, and password and OpenID Connect behind it", GATE_FACTOR),
    "src/gate/audit": Room("the audit log: written, chained, read and checked", GATE_AUDIT),
    "src/gate/call": Room("judges one call: challenge, proof, session, binding, rules", GATE_CALL),
    "src/gate/session": Room("opens and ends sessions; the gate's identity", GATE_SESSION),
    "src/gate/enroll": Room("enrolment: invite, attestation, possession, credential", GATE_ENROLL),
    "src/gate/config": Room("the configuration: data and how it is read", GATE_CONFIG),
    "src/gate/admin": Room("invites, subjects, revocation, recheck, backup: with a running gate or without",
                           GATE_ADMIN),
    "src/gate/service": Room("wires the rooms into one gate, serves peers' methods, reads changed files again",
                             GATE_SERVICE),
    "src/gate/public": Room("`<forekey/gate.h>`: what a service owner includes", frozenset({"src/gate/public"})),
    "src/gate/caller": Room("tells services who calls: metadata, and a token by keys of the gate's own", GATE_CALLER),
    "src/gate/grpc": Room("the gate inside gRPC: processor, caller, connections, live calls, admin socket, metrics",
                          GATE_GRPC),
    "src/gate/proxy": Room("the services behind `forekey-gate serve`: which method is whose, and how calls get there",
                           GATE_PROXY),
    "src/gate/front": Room("answers nginx, HAProxy, Caddy and Envoy, who ask about each call", GATE_FRONT),
    "src/gate/testing": Room("`<forekey/testing.h>`: callers for unit tests of applications' handlers", GATE_TESTING),
    "hw": Room("the seam of hardware keys (`hw/device_key.h`), and a driver a folder", HW),
    "src/client": Room("the client's half of the protocol, and `<forekey/client.h>`", CLIENT),
    "src/agent": Room("the daemon on the workstation: accounts, sessions, PIN and touch prompts", AGENT),
    "src/cli/terminal": Room("what a person at a terminal sees and types", TERMINAL),
    "src/cli/verify": Room("`forekey verify` and `forekey trust`: they read files; `trust fetch` asks a server", CLI_VERIFY),
    "src/cli/gate": Room("the commands of `forekey-gate`", CLI_GATE),
    "src/cli/client": Room("the commands of `forekey` that talk to the agent", CLI_CLIENT),
    "src/cli": Room("one `*_main.cc` a program: the only places that wire everything",
                    together(CLI_VERIFY, CLI_GATE, CLI_CLIENT, AGENT, {"src/cli"})),
    # They share no encoder with the verifiers: one bug would cancel itself.
    "simulators": Room("tokens in software, for tests; they share no encoder with the verifiers",
                       together(TERMINAL, {"simulators"})),
    "examples": Room("an echo service with a gate, and its client",
                     together(BASE, {"src/client", "src/gate/public", "examples"})),
    # It also attacks: it makes what the product's own parts would never make.
    "examples/demo": Room("what `scripts/demo` runs, its attacks included",
                          together(CLIENT, HW, {"examples", "examples/demo"})),
}


def may_include(room):
    """The fewest names from which the rest follows; "alone" behind a room from which nothing more does."""
    allowed = set(ROOMS[room].includes) - {room}
    whole = {one for one in allowed if ROOMS[one].includes <= allowed}
    covered = {one for other in whole for one in ROOMS[other].includes if one != other}
    names = [f"`{one}`" for one in sorted(whole - covered)]
    names += [f"`{one}` alone" for one in sorted(allowed - whole - covered)]
    return ", ".join(names) or "nothing"


def table():
    lines = ["| room | what it holds | may include, and what these may |", "|---|---|---|"]
    for name, room in ROOMS.items():
        lines.append(f"| `{name}` | {room.holds} | {may_include(name)} |")
    return "\n".join(lines)
