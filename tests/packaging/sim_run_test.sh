#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `forekey-sim run`: what the command finds, its exit status, and that nothing is left, whatever ended it.
#   sim_run_test.sh BIN
set -euo pipefail
bin=$1
# A unix socket's path is short, and so must be the folder that the simulators are in.
work=$(TMPDIR=/tmp mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
fail() { echo "$*" >&2; exit 1; }
mkdir "$work/tmp"
export TMPDIR="$work/tmp"
sim() { "$bin/forekey-sim" run "$@"; }
await() {
  for _ in $(seq 600); do
    "$@" && return
    read -rt 0.1 <> <(:) || true
  done
  fail "waited a minute for: $*"
}
nothing_left() { [ -z "$(ls -A "$work/tmp")" ]; }
# One that has ended, and whose parent (a container's first process, perhaps) has not asked how, is none.
no_such_process() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  case ${stat##*)} in " Z"* | " X"*) return 0 ;; *) return 1 ;; esac
}
# Tasks come and go while they are listed.
children_of() { cat "/proc/$1"/task/*/children 2>/dev/null || true; }

# 1. The exit status is the command's; a signal's, and what could not be started, have the usual ones.
status_of() { local status=0; "$@" >/dev/null 2>&1 || status=$?; echo "$status"; }
[ "$(status_of sim --fido2 -- true)" = 0 ] || fail "true"
[ "$(status_of sim --fido2 -- sh -c 'exit 7')" = 7 ] || fail "exit 7"
[ "$(status_of sim --fido2 -- sh -c 'kill -TERM $$')" = 143 ] || fail "ended by SIGTERM"
[ "$(status_of sim --fido2 -- no-such-command-here)" = 127 ] || fail "no such command"
[ "$(status_of sim --fido2 -- /etc/passwd)" = 126 ] || fail "no program"
[ "$(status_of sim -- true)" = 125 ] || fail "no token was asked for"
# Options behind -- are the command's own, and so are its words.
[ "$(sim --fido2 -- printf '%s|' --tpm -x 'a b')" = '--tpm|-x|a b|' ] || fail "the command's words"
[ "$(echo through | sim --fido2 -- cat)" = through ] || fail "the command has no stdin"

# 2. All three kinds, found by what is in the environment, by programs of others and by the agent.
sim --tpm --fido2 --piv -- sh -euc '
  env >"$1/environment"
  test "$TMPDIR" = "$1/tmp"
  case $FOREKEY_SIM_TRUST in "$1/tmp/"*) ;; *) echo "not in TMPDIR: $FOREKEY_SIM_TRUST" >&2; exit 1 ;; esac
  tpm2_getrandom --hex 4 >"$1/random"
  fido2-token -I "$FOREKEY_SIM_FIDO2_DEVICE" >"$1/token"
  yubico-piv-tool -a version >"$1/card"
  ls "$FOREKEY_SIM_TRUST"/tpm/*.pem "$FOREKEY_SIM_TRUST"/fido2/*.pem "$FOREKEY_SIM_TRUST"/piv/*.pem >/dev/null
  test -S "$FOREKEY_SIM_TPM_REQUESTS" && test -S "$FOREKEY_SIM_FIDO2_REQUESTS" && test -S "$FOREKEY_SIM_PIV_REQUESTS"
' - "$work" || fail "a command with all tokens ended with $?"
for name in TPM FIDO2 PIV; do grep -q "^FOREKEY_SIM_$name=." "$work/environment" || fail "no FOREKEY_SIM_$name"; done
[ "$(wc -c <"$work/random")" -ge 8 ] && grep -q FIDO_2 "$work/token" && grep -q 5.4.3 "$work/card" || fail "a token did not answer"
nothing_left || fail "left: $(ls "$work/tmp")"

# 3. What the command leaves running ends with it, however it hides; tokens can be kept.
sim --fido2 --state "$work/kept" -- sh -c 'setsid sh -c "echo \$\$ >\"$1/stray\"; exec sleep 600" & 
  while ! test -s "$1/stray"; do :; done' - "$work"
no_such_process "$(cat "$work/stray")" || fail "a process of the command's is left"
nothing_left || fail "left: $(ls "$work/tmp")"
[ -n "$(ls -A "$work/kept/fido2")" ] || fail "--state kept nothing"

# 4. Asked to end, it asks the command; killed, the command and the tokens end, and the files go.
"$bin/forekey-sim" run --tpm --piv -- sh -c 'trap "echo asked >\"$1/asked\"; exit 3" TERM; echo $$ >"$1/pid"; while :; do sleep 0.1; done' - "$work" &
pids+=($!)
await test -s "$work/pid"
kill "${pids[0]}"
status=0; wait "${pids[0]}" || status=$?
[ "$status" = 3 ] && [ "$(cat "$work/asked")" = asked ] || fail "SIGTERM ended it with $status"
nothing_left || fail "left: $(ls "$work/tmp")"
rm "$work/pid"
"$bin/forekey-sim" run --tpm --fido2 --piv -- sh -c 'echo $$ >"$1/pid"; exec sleep 600' - "$work" &
pids=($!)
await test -s "$work/pid"
children=$(children_of "${pids[0]}")
[ -n "$children" ] || fail "no children of forekey-sim"
kill -KILL "${pids[0]}"
wait "${pids[0]}" || true
pids=()
for child in $children; do await no_such_process "$child"; done
await nothing_left

# 5. A parent that ignores SIGCHLD, as some runners of CI do.
[ "$(status_of timeout 60 env --ignore-signal=CHLD "$bin/forekey-sim" run --fido2 -- sh -c 'exit 7')" = 7 ] ||
  fail "with SIGCHLD ignored"

# 6. Who outlives its parent and ends is no zombie while the command runs, in this session or in its own.
cat >"$work/orphans" <<'end'
set -eu
for session in "" setsid; do
  rm -f "$1/orphan"
  sh -c '$2 sh -c "echo \$\$ >\"$1/orphan.new\" && mv \"$1/orphan.new\" \"$1/orphan\"" &' - "$1" "$session"
  until test -e "$1/orphan"; do sleep 0.1; done
  orphan=$(cat "$1/orphan")
  for _ in $(seq 600); do test -e "/proc/$orphan" || break; sleep 0.1; done
  test ! -e "/proc/$orphan"
done
end
sim --fido2 -- sh "$work/orphans" "$work" || fail "orphans are not waited for"

# 7. A process that may not be killed, since it has become root, is said and does not hold up the end.
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
become_root() {
  [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null || return 1
  chmod 711 "$work"
  mkdir -m 700 "$work/nobodys"
  cp "$(command -v setpriv)" "$work/nobodys/setpriv"
  chmod 4755 "$work/nobodys/setpriv"
  chown 65534 "$work/nobodys"
  [ "$(nobody "$work/nobodys/setpriv" --reuid=0 id -u 2>/dev/null)" = 0 ] && nobody "$bin/forekey-sim" --help >/dev/null
}
if become_root; then
  status=0
  TMPDIR=/tmp nobody timeout 60 "$bin/forekey-sim" run --fido2 -- sh -c '
    "$1/setpriv" --reuid=0 sleep 600 &
    echo $! >"$1/spared"
    until grep -q "^Uid:.0" "/proc/$!/status"; do sleep 0.1; done
  ' - "$work/nobodys" 2>"$work/said" || status=$?
  spared=$(cat "$work/nobodys/spared")
  kill "$spared" || fail "the process that was to be spared is gone"
  [ "$status" = 0 ] || fail "it ended with $status: $(cat "$work/said")"
  grep -q "process $spared is left running" "$work/said" || fail "it did not say what it left: $(cat "$work/said")"
fi
echo "forekey-sim run is as it should be"
