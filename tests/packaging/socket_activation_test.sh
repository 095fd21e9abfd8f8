#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The agent on a socket that a service manager listens on: the first call starts it, that call is answered,
# and the socket stays when the agent ends.
#   socket_activation_test.sh BIN
set -euo pipefail
bin=$1
work=$(mktemp -d)
pid=
end() {
  [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; }
  rm -rf "$work"
}
trap end EXIT
fail() { echo "$*" >&2; cat "$work/log" >&2; exit 1; }
mkdir -m 700 "$work/forekey" "$work/state"
socket=$work/forekey/agent.sock
systemd-socket-activate --listen="$socket" "$bin/forekey-agent" --state "$work/state" >"$work/out" 2>"$work/log" &
pid=$!
for _ in $(seq 100); do [ -S "$socket" ] && break; read -rt 0.1 <> <(:) || true; done
[ -S "$socket" ] || fail "systemd-socket-activate did not listen"
[ ! -e "$work/state/lock" ] || fail "the agent ran before anybody called"
said=$(FOREKEY_AGENT_SOCKET=$socket "$bin/forekey" status --json) || fail "the first call failed: $said"
[ -e "$work/state/lock" ] || fail "no agent was started"
grep -q "is ready on $socket" "$work/out" || fail "the agent did not say where it serves"
kill "$pid"
wait "$pid" || fail "the agent did not end well"
pid=
[ -S "$socket" ] || fail "the agent removed the service manager's socket"
# Two of one state folder are one too many, and the second says so.
FOREKEY_AGENT_SOCKET=$work/other/agent.sock "$bin/forekey-agent" --state "$work/state" --socket "$work/other/agent.sock" \
  >"$work/out" 2>"$work/log" &
pid=$!
for _ in $(seq 100); do [ -s "$work/out" ] && break; read -rt 0.1 <> <(:) || true; done
status=0
said=$("$bin/forekey-agent" --state "$work/state" --socket "$work/third/agent.sock" 2>&1) || status=$?
[ "$status" = 2 ] || fail "a second agent of the same state ended with $status: $said"
