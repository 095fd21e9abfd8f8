#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lets `systemd-analyze verify` read the unit files, which needs no running systemd. Whatever it says is a
# failure; so is a copy with a misspelt key of which it says nothing.
#   unit_files_test.sh SOURCE_DIRECTORY
set -euo pipefail
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The programs need not be installed.
cp "$source/packaging/forekey-agent.socket" "$work"
for unit in forekey-gate forekey-agent forekey-proxy@; do
  sed -E 's,/usr/bin/forekey(-[a-z]+)?,/bin/true,' "$source/packaging/$unit.service" >"$work/${unit/@/@test.example}.service"
  said=$(systemd-analyze verify --man=no "$work/${unit/@/@test.example}.service" 2>&1) || { echo "$said" >&2; exit 1; }
  if [ -n "$said" ]; then echo "$said" >&2; exit 1; fi
done
# docs/OPERATIONS.md and docs/AGENT.md name these figures: not worse than that.
exposure() { systemd-analyze security --offline=true --threshold="$2" "$work/$1.service" >"$work/said" || { cat "$work/said" >&2; exit 1; }; }
exposure forekey-gate 12
exposure forekey-agent 64
# The folder of the sockets that docs/FRONTS.md has fronts ask at is made by the unit, under which nothing else in
# /run can be written.
folder=$(grep -oE 'unix:/run/[a-z-]+/front\.sock' "$source/docs/FRONTS.md" | head -1 | cut -d/ -f3)
grep -qx "RuntimeDirectory=$folder" "$source/packaging/forekey-gate.service" || { echo "forekey-gate.service makes no /run/$folder" >&2; exit 1; }
sed 's/^WatchdogSec=/WachdogSec=/' "$work/forekey-gate.service" >"$work/misspelt.service"
said=$(systemd-analyze verify --man=no "$work/misspelt.service" 2>&1 || true)
if ! grep -q WachdogSec <<<"$said"; then echo "a misspelt key was not noticed: $said" >&2; exit 1; fi
