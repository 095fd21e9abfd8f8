#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The units as an install leaves them: their users exist, their programs are where they say, and what the
# sandbox lets them write is what `init` has them write. Needs no running systemd.
#   installed_units_test.sh BUILD_DIRECTORY
set -euo pipefail
build=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
fail() { echo "$*" >&2; exit 1; }
chmod 755 "$work"
cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
bin=$work/prefix/bin lib=$work/prefix/lib
gate_unit=$lib/systemd/system/forekey-gate.service
agent_unit=$lib/systemd/user/forekey-agent.service
value() { sed -n "s/^$2=//p" "$1" | head -n 1; }

# 1. Each unit's program is the one that was installed, and systemd finds no fault with the unit as it is.
for unit in "$gate_unit" "$agent_unit"; do
  program=$(value "$unit" ExecStart | cut -d' ' -f1)
  [ -x "$program" ] || fail "$unit starts $program, which is not there"
  [ "$(dirname "$program")" = "$bin" ] || fail "$unit starts $program, not what was installed"
done
for units in "$gate_unit" "$agent_unit $lib/systemd/user/forekey-agent.socket"; do
  # shellcheck disable=SC2086
  said=$(systemd-analyze verify --man=no $units 2>&1) || fail "$said"
  [ -z "$said" ] || fail "$said"
done

# ... and so is what a desktop starts for the link of an invite, in a terminal, with the link as one word.
desktop=$work/prefix/share/applications/forekey-invite.desktop
mkdir "$work/fakes"
cat >"$work/fakes/xterm" <<EOF
#!/bin/sh
printf '%s\\n' "\$@" >"$work/opened.part" && mv "$work/opened.part" "$work/opened"
EOF
chmod +x "$work/fakes/xterm"
env -i HOME="$work" PATH="$work/fakes:/usr/bin:/bin" gio launch "$desktop" 'forekey-invite:AbC-_9' >"$work/gio.log" 2>&1 ||
  fail "$(cat "$work/gio.log")"
for _ in $(seq 300); do
  [ -e "$work/opened" ] && break
  read -rt 0.1 <> <(:) || true
done
[ "$(paste -sd' ' "$work/opened")" = "-e $bin/forekey enroll --link forekey-invite:AbC-_9" ] || fail "the link opened: $(cat "$work/opened")"
grep -qx 'MimeType=x-scheme-handler/forekey-invite;' "$desktop" || fail "nothing opens the links of invites"

# 2. sysusers makes the unit's user, and the group of the udev rules.
mkdir -p "$work/root/etc"
for package in forekey forekey-gate; do
  systemd-sysusers --root="$work/root" --replace=/usr/lib/sysusers.d/$package.conf "$lib/sysusers.d/$package.conf"
done
user=$(value "$gate_unit" User)
grep -q "^$user:" "$work/root/etc/passwd" || fail "nobody makes the user $user of $gate_unit"
grep -q '^forekey:' "$work/root/etc/group" || fail "nobody makes the group forekey"

# 3. `init --system` writes where the unit may read, and has state where the unit may write.
[ "/var/lib/$(value "$gate_unit" StateDirectory)" = /var/lib/forekey-gate ] || fail "another StateDirectory"
"$bin/forekey-gate" init --help | grep -q '/var/lib/forekey-gate' || fail "init --system has another state folder"
value "$gate_unit" ExecStart | grep -q 'serve --config /etc/forekey/gate.toml' || fail "another configuration"

# 4. A gate that owns its state and its keys alone: the configuration's folder is not its to write, which
# is what ProtectSystem=strict makes of /etc.
as=()
who=$(id -un)
if [ "$(id -u)" = 0 ]; then
  who=nobody
  as=(setpriv --reuid="$(id -u nobody)" --regid="$(id -g nobody)" --clear-groups)
fi
# The package's own configuration says nothing: the unit does not start with it, and `init` takes its place.
mkdir -m 755 "$work/etc" "$work/etc/forekey"
cp "$source/packaging/gate.toml" "$work/etc/forekey/"
condition=$(value "$gate_unit" ExecCondition)
[ -n "$condition" ] || fail "the unit has no condition"
# Asked as the gate's user, a configuration that it may not read would look like one that says nothing.
[ "${condition#+}" != "$condition" ] || fail "the unit's condition is not asked as root"
condition=${condition#+}
condition=${condition//\/etc\/forekey/$work\/etc\/forekey}
if eval "$condition"; then fail "the unit would start with the package's own configuration"; fi
"$bin/forekey-gate" init --directory "$work/etc/forekey" --state "$work/var/state" --user "$who" \
  --audience units.test --listen 127.0.0.1:0 >/dev/null
eval "$condition" || fail "the unit would not start with what init wrote"
if "$bin/forekey-gate" init --directory "$work/etc/forekey" --state "$work/var/state" --user "$who" \
  --audience again.test >/dev/null 2>&1; then fail "init wrote over a configuration"; fi
[ "$who" = nobody ] || chmod a-w "$work/etc/forekey"
chmod 755 "$work/var" "$work/etc"
"${as[@]}" "$bin/forekey-gate" serve --config "$work/etc/forekey/gate.toml" >"$work/gate.out" 2>"$work/gate.log" &
pids+=($!)
for _ in $(seq 300); do
  grep -q 'listening on port' "$work/gate.out" && break
  kill -0 "${pids[0]}" 2>/dev/null || { cat "$work/gate.log"; fail "the gate did not start"; }
  read -rt 0.1 <> <(:) || true
done
"${as[@]}" "$bin/forekey-gate" status --config "$work/etc/forekey/gate.toml" --json | grep -q '"running": true'
if "${as[@]}" touch "$work/etc/forekey/file" 2>/dev/null; then fail "the gate may write to its configuration"; fi
chmod u+w "$work/etc/forekey"

# 5. From an install a smartcard is simulated, too: pcscd loads the driver from there.
mkfifo "$work/ready"
env -u FOREKEY_IFD "$bin/forekey-sim" piv --json >"$work/ready" 2>"$work/sim.log" &
pids+=($!)
read -rt 60 line <"$work/ready" || { cat "$work/sim.log"; fail "forekey-sim piv did not start"; }
grep -q '"uri":"piv:' <<<"$line" || fail "forekey-sim piv said: $line"
