# SPDX-License-Identifier: Apache-2.0
# What the tests of installed packages are made of; in_chroot and the autopkgtests of debian/tests run the same.
# They run as root on a machine (or in a chroot) that may be spoilt: users are made, /etc/forekey is written.
#
# Where no systemd runs, what it would do is done here: a unit's program is started by its ExecStart line, as its
# User and with its condition, as they stand in the unit file; its socket is listened on by
# systemd-socket-activate. The sandbox of a unit is then the one thing that is not there.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${FOREKEY_ACCEPTANCE_WORK:-$(mktemp -d /tmp/acceptance-XXXXXX)}
chmod 755 "$work"
rows=() failures=0
gate_unit=/lib/systemd/system/forekey-gate.service
user_units=/usr/lib/systemd/user
declare -A token_of=([alice]=tpm [bob]=fido2 [carol]=piv)
pids=()

# expect WHAT COMMAND...: a row of the table. What the command printed is shown where it failed.
expect() {
  local what=$1 begun=$SECONDS
  shift
  if "$@" >"$work/said" 2>&1; then
    rows+=("works   $what")
    echo "works: $what ($((SECONDS - begun)) s)"
  else
    rows+=("FAILED  $what")
    failures=$((failures + 1))
    echo "FAILED: $what"
    sed 's/^/    /' "$work/said" | tail -n 40
  fi
}

refused() { ! "$@"; }

table() {
  echo
  echo "---------------------------------------------------------------"
  printf '%s\n' "${rows[@]}"
  echo "---------------------------------------------------------------"
  echo "${#rows[@]} steps, $failures failed"
  [ "$failures" = 0 ]
}

end_all() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}

# await COMMAND...: until it succeeds, at most a minute.
await() {
  for _ in $(seq 600); do
    "$@" >/dev/null 2>&1 && return 0
    read -rt 0.1 <> <(:) || true
  done
  echo "waited a minute for: $*"
  return 1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# unit_value FILE KEY: the first one.
unit_value() { sed -n "s/^$2=//p" "$1" | head -n 1; }

# ---- the gate, by its unit ----

gate_condition() {
  local condition
  condition=$(unit_value "$gate_unit" ExecCondition)
  [ -n "$condition" ] || { echo "the unit has no ExecCondition"; return 1; }
  # As systemd splits it: words, and quotes around some; "+" says that root asks.
  eval "${condition#+}"
}

start_gate() {
  gate_condition || { echo "the unit's condition keeps it from starting"; return 1; }
  local user
  user=$(unit_value "$gate_unit" User)
  # shellcheck disable=SC2046
  (cd / && umask "$(unit_value "$gate_unit" UMask)" &&
    # In a container even root may not be allowed more than there is.
    { ulimit -n "$(unit_value "$gate_unit" LimitNOFILE)" 2>/dev/null || ulimit -n "$(ulimit -Hn)"; } &&
    exec setpriv --reuid="$user" --regid="$user" --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
      env -i PATH=/usr/bin:/bin LANG=C.UTF-8 $(unit_value "$gate_unit" ExecStart)) >"$work/gate.out" 2>"$work/gate.log" &
  pids+=($!)
  gate_pid=$!
  await grep -q 'listening on port' "$work/gate.out" || { cat "$work/gate.log"; return 1; }
}

stop_gate() {
  kill "$gate_pid" && wait "$gate_pid"
}

configure_gate() {
  mkdir -p /etc/forekey/trust
  local user
  for user in alice bob carol; do
    cp -r "$work/$user/trust/${token_of[$user]}" /etc/forekey/trust/ || return 1
  done
  chmod -R a+rX /etc/forekey/trust
  gate_port=$(free_port) service_port=$(free_port)
  forekey-gate init --system --audience gate.test --host localhost --host 127.0.0.1 --listen "127.0.0.1:$gate_port" \
    --tpm-simulator-trust /etc/forekey/trust/tpm --fido2-simulator-trust /etc/forekey/trust/fido2 \
    --piv-simulator-trust /etc/forekey/trust/piv || return 1
  cat >>/etc/forekey/gate.toml <<END

[[upstream]]
name = "echo"
methods = ["/forekey.example.Echo/*"]
addresses = ["127.0.0.1:$service_port"]
END
  # Two descriptors for each connection, and some, are what the unit has and the gate's doctor looks for.
  if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt "$(unit_value "$gate_unit" LimitNOFILE)" ]; then
    printf '[connections]\ntotal = 1000\n' >>/etc/forekey/gate.toml
  fi
}

as_gate() { setpriv --reuid=forekey-gate --regid=forekey-gate --init-groups "$@"; }

start_service() {
  setpriv --reuid=nobody --regid=nogroup --clear-groups python3 "$here/echo_service.py" "$service_port" >"$work/service.out" 2>&1 &
  pids+=($!)
  await grep -q ready "$work/service.out" || { cat "$work/service.out"; return 1; }
}

# ---- users with a token each ----

as_user() {
  local user=$1
  shift
  (cd / && exec setpriv --reuid="$user" --regid="$user" --init-groups env -i PATH=/usr/bin:/bin LANG=C.UTF-8 HOME="/home/$user" \
    USER="$user" XDG_RUNTIME_DIR="$work/run/$user" $(cat "$work/$user/pcsc" 2>/dev/null) "$@")
}

make_user() {
  useradd --create-home --shell /bin/bash "$1" 2>/dev/null || id "$1" >/dev/null || return 1
  mkdir -p "$work/run" "$work/$1"
  install -d -m 700 -o "$1" -g "$1" "$work/run/$1"
}

# The user's token in software, with `forekey-sim run` around a command that waits; what it is called goes
# into $work/USER.
start_token() {
  local user=$1 kind=${token_of[$1]}
  rm -f "/home/$user/environment"
  # Without systemd nobody has made the folder of pcscd's own socket.
  mkdir -p /run/pcscd && chmod 1777 /run/pcscd
  as_user "$user" forekey-sim run "--$kind" -- sh -c 'env >"$HOME/new"; mv "$HOME/new" "$HOME/environment"; exec sleep infinity' \
    >"$work/$user/sim.log" 2>&1 &
  pids+=($!)
  await test -s "/home/$user/environment" || { cat "$work/$user/sim.log"; return 1; }
  local variable trust
  variable=$(sed -n "s/^FOREKEY_SIM_${kind^^}=//p" "/home/$user/environment")
  trust=$(sed -n 's/^FOREKEY_SIM_TRUST=//p' "/home/$user/environment")
  echo "$variable" >"$work/$user/uri"
  grep '^PCSCLITE_CSOCK_NAME=' "/home/$user/environment" >"$work/$user/pcsc" || true
  rm -rf "$work/$user/trust"
  cp -r "$trust" "$work/$user/trust"
}

# The agent by forekey-agent.socket and forekey-agent.service. A token in software is not found by itself:
# `systemctl --user edit forekey-agent` would add --device, which is done here.
start_agent() {
  local user=$1 socket program
  socket=$(unit_value "$user_units/forekey-agent.socket" ListenStream)
  socket=${socket/\%t/$work/run/$user}
  program=$(unit_value "$user_units/forekey-agent.service" ExecStart)
  # The rest of the user's environment is not handed on, as a user's service manager does.
  # shellcheck disable=SC2016,SC2086
  as_user "$user" sh -c 'umask 077; mkdir -p "$(dirname "$1")"; exec systemd-socket-activate \
    -E XDG_RUNTIME_DIR ${PCSCLITE_CSOCK_NAME:+-E PCSCLITE_CSOCK_NAME} --listen="$@"' - "$socket" $program \
    --device "$(cat "$work/$user/uri")" >"$work/$user/agent.out" 2>"$work/$user/agent.log" &
  pids+=($!)
  await test -S "$socket" || { cat "$work/$user/agent.log"; return 1; }
}

doctor_is_content() { as_user "$1" forekey doctor; }

enroll() {
  local user=$1 invite options=()
  [ "${token_of[$user]}" != piv ] || options=(--pin-policy never)
  invite=$(as_gate forekey-gate invite --subject "$user") || { echo "$invite"; return 1; }
  as_user "$user" forekey enroll "$invite" --device "$(cat "$work/$user/uri")" "${options[@]}" || return 1
  as_user "$user" forekey whoami
}

says_hello() {
  local said
  said=$(as_user "$1" /usr/lib/forekey/examples/forekey-example-echo-client "hello of $1") || { echo "$said"; return 1; }
  echo "$said"
  [ "$said" = "hello of $1  ($1)" ]
}

why_refused() {
  as_gate forekey-gate audit show --reason "$1" | tee "$work/audit"
  [ -s "$work/audit" ]
}

# A call without any prefix, by a client that knows nothing of Forekey.
stranger_is_refused() {
  python3 - "$gate_port" <<'END'
import sys

import grpc
root = open("/etc/forekey/tls/ca.pem", "rb").read()
channel = grpc.secure_channel(f"localhost:{sys.argv[1]}", grpc.ssl_channel_credentials(root))
try:
    channel.unary_unary("/forekey.example.Echo/Say")(b"", timeout=20)
except grpc.RpcError as error:
    print(error.code(), error.details())
    raise SystemExit(0 if error.code() == grpc.StatusCode.UNAUTHENTICATED else 1)
raise SystemExit("it was answered")
END
}

# ---- the library ----

# library_builds shared|static|pkg-config: and runs a gate.
library_builds() {
  local how=$1 folder=$work/consumer-$1 source=$here/../../tests/packaging/consumer target
  rm -rf "$folder" && mkdir -p "$folder" || return 1
  case $how in
    pkg-config)
      # shellcheck disable=SC2046
      g++ -std=c++20 "$source/consumer.cc" -o "$folder/consumer" $(pkg-config --cflags --libs forekey) || return 1 ;;
    *)
      target=$([ "$how" = static ] && echo consumer || echo consumer_shared)
      { cmake -S "$source" -B "$folder/build" && cmake --build "$folder/build" --target "$target"; } >"$folder/log" 2>&1 ||
        { tail -n 30 "$folder/log"; return 1; }
      cp "$folder/build/$target" "$folder/consumer" ;;
  esac
  ldd "$folder/consumer" >"$folder/libraries"
  case $how in
    static) refused grep libforekey "$folder/libraries" || return 1 ;;
    *) grep -E "libforekey.so.* => (/usr)?/lib/" "$folder/libraries" || { cat "$folder/libraries"; return 1; } ;;
  esac
  forekey-gate init --directory "$folder/gate" --audience consumer.test --host localhost --listen 127.0.0.1:0 || return 1
  "$folder/consumer" "$folder/gate/gate.toml" "$folder/gate/tls/ca.pem"
}

# ---- everything that needs one version ----

try_tokens() {
  local user
  expect "the unit's condition holds, since nothing is configured yet" refused gate_condition
  for user in alice bob carol; do
    expect "$user has a ${token_of[$user]} token in software" eval "make_user $user && start_token $user"
  done
  expect "forekey-gate init writes a configuration in the place of the package's" configure_gate
  expect "forekey-gate check-config" as_gate forekey-gate check-config
  expect "a service in another language" start_service
  expect "the gate starts by its unit" start_gate
  expect "forekey-gate doctor" as_gate forekey-gate doctor
  expect "a call without a prefix is refused" stranger_is_refused
  for user in alice bob carol; do
    expect "$user's agent is started by its socket" start_agent "$user"
    expect "$user: forekey doctor" doctor_is_content "$user"
    expect "$user enrols (${token_of[$user]})" enroll "$user"
    expect "$user calls (${token_of[$user]})" says_hello "$user"
  done
  expect "forekey-gate revoke" as_gate forekey-gate revoke --subject alice --note "laptop lost"
  expect "alice is refused at once" refused says_hello alice
  expect "the audit log says why" why_refused credential-revoked
  expect "bob goes on" says_hello bob
}
