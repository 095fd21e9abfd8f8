#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The formatter decides: every C++ file is as clang-format 14 with the repository's .clang-format leaves it.
#   tests/lint/check_format.sh         names the files that differ, exits 1 where there are any
#   tests/lint/check_format.sh --fix   mends them
set -euo pipefail
cd "$(dirname "$0")/../.."
files() { git ls-files -z '*.h' '*.cc'; }
if [ "${1:-}" = --fix ]; then
  files | xargs -0 -n 50 clang-format-14 -i
  exit
fi
bad=$(files | xargs -0 -n 50 clang-format-14 --dry-run 2>&1 | sed -n 's/:[0-9]*:[0-9]*: warning: .*//p' | sort -u)
if [ -n "$bad" ]; then
  printf '%s\n' "$bad"
  echo "not as the formatter has it: tests/lint/check_format.sh --fix"
  exit 1
fi
echo "checked the format: every file is as the formatter has it"
