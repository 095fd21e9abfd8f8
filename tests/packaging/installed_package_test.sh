#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a folder, and builds a program of somebody else's against what was installed.
#   installed_package_test.sh BUILD_DIRECTORY SOURCE_DIRECTORY
set -euo pipefail
build=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

cmake --install "$build" --prefix "$prefix" >"$work/install.log"
for program in forekey forekey-agent forekey-gate forekey-sim; do
  "$prefix/bin/$program" --help >/dev/null
done
cmp "$source/udev/70-forekey.rules" "$prefix/lib/udev/rules.d/70-forekey.rules"
# It asks its questions from where it was installed, and is answered by a program that was not.
[ "$("$prefix/bin/forekey-conformance" vectors | wc -l)" -gt 300 ]
"$prefix/bin/forekey-conformance" vectors "$build/bin/forekey-vector-answers" >"$work/conformance.log" ||
  { cat "$work/conformance.log"; exit 1; }
# Nothing of the build's place may be needed, or named, by what was installed.
if grep -rlF -e "$source" -e "$build" "$prefix/lib" --include='*.cmake'; then
  echo "the files above name the place that they were built in" >&2
  exit 1
fi
# The README's snippets compile as they stand, in one file.
python3 - "$source/README.md" "$work/snippets.cc" <<'END'
import re, sys
snippets = re.findall(r"^```cpp\n(.*?)^```$", open(sys.argv[1]).read(), re.S | re.M)
assert len(snippets) >= 4, snippets
open(sys.argv[2], "w").write("\n".join(snippets))
END
cmake -S "$source/tests/packaging/consumer" -B "$work/consumer" -G Ninja -DSNIPPETS="$work/snippets.cc" \
  -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log" || { cat "$work/configure.log"; exit 1; }
cmake --build "$work/consumer"
# The same with add_subdirectory: configured here; to build it all again would take minutes.
cmake -S "$source/tests/packaging/consumer" -B "$work/within" -G Ninja -DFOREKEY_SOURCE="$source" \
  >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
ninja -C "$work/within" -n consumer consumer_test >/dev/null
"$work/consumer/consumer_test"
# With pkg-config, which knows the shared library alone.
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
# shellcheck disable=SC2046
g++ -std=c++20 "$source/tests/packaging/consumer/consumer.cc" -o "$work/consumer/consumer_pkg_config" \
  $(pkg-config --cflags --libs forekey)
export LD_LIBRARY_PATH=$prefix/lib
# A gate in a program of somebody else's: static, shared, shared.
"$prefix/bin/forekey-gate" init --directory "$work/gate" --audience consumer.test --host localhost \
  --listen 127.0.0.1:0 >/dev/null
for program in consumer consumer_shared consumer_pkg_config; do
  program=$work/consumer/$program
  status=0
  "$program" "$work/none.toml" 2>"$work/said" || status=$?
  [ "$status" = 2 ] && grep -q none.toml "$work/said"
  "$program" "$work/gate/gate.toml" "$work/gate/tls/ca.pem" 2>"$work/log" || { cat "$work/log"; exit 1; }
done
[ "$(ldd "$work/consumer"/consumer_{shared,pkg_config} | grep -c "=> $prefix/lib/libforekey.so")" = 2 ]
if ldd "$work/consumer/consumer" | grep libforekey; then exit 1; fi
