#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# version_test.sh BIN SOURCE: every program prints its name and the one version there is.
set -euo pipefail
bin=$1 source=$2
version=$(sed -n 's/.*kForekeyVersion\[\] = "\(.*\)";/\1/p' "$source/src/base/version.h")
[ -n "$version" ] || { echo "src/base/version.h names no version"; exit 1; }
for program in forekey forekey-agent forekey-gate forekey-sim; do
  said=$("$bin/$program" --version)
  [ "$said" = "$program $version" ] || { echo "$program --version says: $said"; exit 1; }
  echo "$said"
done
