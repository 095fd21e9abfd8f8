#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/TROUBLESHOOTING.md quotes is what the programs say.

The first cell of each row is a part of a message or the name of a reason: it must stand in the sources, where
a message may be written in several pieces.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUOTED = re.compile(r"^\| `([^`]+)` \|", re.M)
# Two pieces of one literal, or two arguments of one StrCat.
JOINED = re.compile(r'"\s*,?\s*"')


def main():
    said = ""
    for folder in ("src", "hw"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".cc", ".h", ".def"):
                said += JOINED.sub("", path.read_text()) + "\n"
    quoted = QUOTED.findall((ROOT / "docs/TROUBLESHOOTING.md").read_text())
    missing = [text for text in quoted if text not in said]
    for text in missing:
        print(f"docs/TROUBLESHOOTING.md quotes what no program says: {text}", file=sys.stderr)
    print(f"{len(quoted)} messages are quoted, {len(missing)} of them wrongly")
    return 1 if missing or not quoted else 0


if __name__ == "__main__":
    sys.exit(main())
