#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Manual pages and completions of every program, read by the programs that read them.
#   pages_test.sh BIN
set -euo pipefail
bin=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH="$bin:$PATH" HOME="$work"
fail() { echo "$*" >&2; exit 1; }

# Every option that --help names stands in the page, for the program and each of its commands.
check_page() {
  local page=$1 option command
  shift
  for option in $("$@" --help | grep -oE '^ +(-[a-zA-Z],)?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
    grep -qF -- "$option" "$page" || fail "$page has no $option of: $*"
  done
  for command in $("$@" --help | sed -n '/^Subcommands:/,/^$/p' | grep -oE '^  [a-z0-9-]+' || true); do
    check_page "$page" "$@" "$command"
  done
}

for program in forekey forekey-agent forekey-gate forekey-sim; do
  "$program" --page manual >"$work/$program.1"
  # Without a date the same program always has the same page.
  mandoc -T lint -W warning "$work/$program.1" | grep -v 'missing date' >"$work/lint" || true
  [ ! -s "$work/lint" ] || { cat "$work/lint"; fail "$program: its page"; }
  mandoc -T utf8 "$work/$program.1" | sed 's/.\x08//g' >"$work/$program.txt"
  check_page "$work/$program.txt" "$program"
  for shell in bash zsh fish; do
    "$program" --page "$shell" >"$work/$program.$shell"
    "$shell" -n "$work/$program.$shell"
  done
done

# What each shell offers where a person presses tab.
offered_by_bash() {
  bash --norc -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _forekey; echo "${COMPREPLY[@]}"' \
    - "$work/forekey.bash" "$@"
}
[ "$(offered_by_bash forekey enr)" = enroll ] || fail "bash: enr"
[ "$(offered_by_bash forekey trust import-m)" = import-mds ] || fail "bash: trust import-m"
[ "$(offered_by_bash forekey enroll --inv)" = "" ] || fail "bash: enroll has no --inv"
[ "$(offered_by_bash forekey enroll --optio)" = "--option --option-file" ] || fail "bash: enroll --optio"
offered_by_fish() {
  fish --no-config -c '. $argv[1]; complete -C $argv[2]' "$work/forekey.fish" "$1" | cut -f1 | tr '\n' ' '
}
[ "$(offered_by_fish 'forekey enr')" = "enroll " ] || fail "fish: enr"
[ "$(offered_by_fish 'forekey trust import-m')" = "import-mds " ] || fail "fish: trust import-m"
offered_by_zsh() {
  # The completion's own words: what it hands to _describe and _files.
  zsh -f -c '_describe() { local name=$@[-1]; print -l -- ${(P)name}; }; _files() { print FILES; }
             words=(${=2}); CURRENT=$#words; PREFIX=$words[-1]; source $1' - "$work/forekey.zsh" "$1"
}
offered_by_zsh 'forekey enr' | grep >/dev/null '^enroll:' || fail "zsh: enroll"
offered_by_zsh 'forekey trust imp' | grep >/dev/null '^import-mds:' || fail "zsh: import-mds"
offered_by_zsh 'forekey enroll --op' | grep >/dev/null -- '^--option:' || fail "zsh: --option"
echo "pages and completions of four programs are good"
