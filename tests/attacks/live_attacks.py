#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the attacks on running parts: tests/attacks/live/*/attack.json.

Each says what the attacker does, what stops it, the audit reason, and which tests mount it. This
runner proves that those tests exist and pass: a filter that matches nothing fails.

Usage: live_attacks.py BIN [NAME...]
"""
import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REASONS = set(re.findall(r'FOREKEY_REASON\(\w+, "([a-z0-9-]+)"', (HERE / "../../src/base/reason.def").read_text()))


def mount(bin_folder, test):
    """An error, or None."""
    program = bin_folder / test["program"]
    if not program.exists():
        return f"{program.name} is not built"
    wanted = [f for f in test["filter"].split(":") if f]
    for single in wanted:
        listed = subprocess.run([program, "--gtest_list_tests", f"--gtest_filter={single}"],
                                capture_output=True, text=True, check=False)
        if not re.search(r"^  \S", listed.stdout, re.M):
            return f"{program.name} has no test {single}"
    run = subprocess.run([program, "--gtest_brief=1", f"--gtest_filter={test['filter']}"],
                         capture_output=True, text=True, check=False)
    return None if run.returncode == 0 else run.stdout + run.stderr


def main():
    bin_folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    failed = 0
    folders = sorted(p for p in (HERE / "live").iterdir() if not names or p.name in names)
    for folder in folders:
        attack = json.loads((folder / "attack.json").read_text())
        errors = []
        if attack["reason"] and attack["reason"] not in REASONS:
            errors.append(f"no reason is called {attack['reason']}")
        errors += [e for e in (mount(bin_folder, test) for test in attack["tests"]) if e]
        failed += bool(errors)
        print(f"{'FAILED ' if errors else 'refused'} {folder.name}: {attack['reason'] or attack['stopped_by']}")
        for error in errors:
            print("    " + error.replace("\n", "\n    "))
    print(f"{len(folders) - failed} passed, {failed} failed")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
