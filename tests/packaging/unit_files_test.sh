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
for unit in forekey-gate forekey-agent; do
  sed -E 's,/usr/bin/forekey-[a-z]+,/bin/true,' "$source/packaging/$unit.service" >"$work/$unit.service"
  said=$(systemd-analyze verify --man=no "$work/$unit.service" 2>&1) || { echo "$said" >&2; exit 1; }
  if [ -n "$said" ]; then echo "$said" >&2; exit 1; fi
done
sed 's/^WatchdogSec=/WachdogSec=/' "$work/forekey-gate.service" >"$work/misspelt.service"
said=$(systemd-analyze verify --man=no "$work/misspelt.service" 2>&1 || true)
if ! grep -q WachdogSec <<<"$said"; then echo "a misspelt key was not noticed: $said" >&2; exit 1; fi
