#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""forekey-gate.toml(5) has an entry for every key that the gate reads, and mandoc finds no fault with it.

The keys are taken from the readers in src/gate: table.String("audience", ...), table.Duration(...) and so on.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
READ = re.compile(r'\.(?:String|Path|Strings|StringLists|Bool|Number|Duration|Bytes|Table|Tables)\(\s*"(\w+)"')
# Readers that take the key from a table of the same names, one beside the other.
LISTED = re.compile(r'^\s*\{"([a-z_]+)",\s*&', re.M)


def keys_of_the_code():
    keys = {}
    for path in sorted((ROOT / "src/gate").rglob("*.cc")):
        text = path.read_text()
        if "ConfigTable" not in text and "ConfigReader" not in text:
            continue
        for key in READ.findall(text) + LISTED.findall(text):
            keys.setdefault(key, path.relative_to(ROOT).as_posix())
    return keys


def main():
    keys = keys_of_the_code()
    # 100 is less than there are: a pattern that finds none any more must not pass.
    if len(keys) < 100:
        sys.exit(f"only {len(keys)} keys found in src/gate: this test does not know how they are read")
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "forekey-gate.toml.5"
        subprocess.run([ROOT / "packaging/config_page.py", ROOT / "docs/CONFIG.md", "0", page], check=True)
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True).stdout
        text = page.read_text()
    faults = [line for line in lint.splitlines() if "missing date" not in line]
    titles = re.findall(r"^\.TP\n(.*)$|^\.SS (.*)$", text, re.M)
    words = set(re.findall(r"\w+", " ".join(part for title in titles for part in title).replace("\\-", "-")
                           .replace("\\fB", " ").replace("\\fR", " ")))
    for key, place in sorted(keys.items()):
        if key not in words:
            faults.append(f"{key}, which {place} reads, has no entry in the page (docs/CONFIG.md)")
    for fault in faults:
        print(fault)
    print(f"looked for {len(keys)} keys: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
