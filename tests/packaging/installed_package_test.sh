#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a folder, and builds a program of somebody else's against what was installed.
#   installed_package_test.sh BUILD_DIRECTORY SOURCE_DIRECTORY
set -euo pipefail
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
for program in forekey forekey-agent forekey-gate forekey-sim; do
  "$work/prefix/bin/$program" --help >/dev/null
done
cmp "$source/udev/70-forekey.rules" "$work/prefix/lib/udev/rules.d/70-forekey.rules"
# Nothing of the build's place may be needed, or named, by what was installed.
if grep -rlF -e "$source" -e "$build" "$work/prefix/lib" --include='*.cmake'; then
  echo "the files above name the place that they were built in" >&2
  exit 1
fi
cmake -S "$source/tests/packaging/consumer" -B "$work/consumer" -G Ninja \
  -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log" || { cat "$work/configure.log"; exit 1; }
cmake --build "$work/consumer"
# The same with add_subdirectory: configured here; to build it all again would take minutes.
cmake -S "$source/tests/packaging/consumer" -B "$work/within" -G Ninja -DFOREKEY_SOURCE="$source" \
  >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
ninja -C "$work/within" -n consumer >/dev/null
status=0
"$work/consumer/consumer" "$work/none.toml" 2>"$work/said" || status=$?
[ "$status" = 2 ] && grep -q none.toml "$work/said"
