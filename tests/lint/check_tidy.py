#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy with the repository's .clang-tidy over what was changed, or over everything.

  tests/lint/check_tidy.py [--build build/dev] [--base HEAD~1]   what differs from the base, and is not committed
  tests/lint/check_tidy.py --all                                 every file: before a release

Reads the compile commands of a configured build; in a unity build it runs once for a batch of files. What
protoc makes must be there (build the targets forekey_proto_grpc, forekey_gate_front_proto and forekey_example_proto first), and is not read
itself. Exits 1 and prints where something was found.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDED = re.compile(r'^#include "(.+)"', re.M)


def translation_units(build):
    """What is compiled as one, and the files of ours in it."""
    units = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["file"])
        if "gen" in source.relative_to(source.anchor).parts:
            continue
        files = {source}
        if "Unity" in source.parts:
            files = {pathlib.Path(name) for name in INCLUDED.findall(source.read_text())}
        if all("gen" in file.parts for file in files):
            continue
        units[source] = {os.path.relpath(file, ROOT) for file in files}
    return units


def changed(base):
    names = set()
    for arguments in (["diff", "--name-only", base], ["ls-files", "--others", "--exclude-standard"]):
        output = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        names |= {name for name in output.splitlines() if name.endswith((".h", ".cc"))}
    return names


def concerned(units, names):
    """The units of changed sources, and for a changed header the units of its own folder."""
    folders = {os.path.dirname(name) for name in names if name.endswith(".h")}
    return [source for source, files in units.items()
            if files & names or folders & {os.path.dirname(file) for file in files}]


def checks_of_tests():
    """What tests/.clang-tidy says. clang-tidy finds it by itself for a file in there, but not for a batch of them,
    which is a file of the build folder."""
    text = (ROOT / "tests/.clang-tidy").read_text()
    return re.sub(r"\s+", "", text[text.index("Checks:"):].partition(">")[2])


def tidy(build, source, files):
    command = ["clang-tidy-14", "--quiet", "-p", str(build), str(source)]
    if all(file.startswith("tests/") for file in files):
        command.append(f"--checks={checks_of_tests()}")
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode, result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build/dev", type=pathlib.Path)
    parser.add_argument("--base", default="HEAD~1")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    units = translation_units(options.build)
    sources = list(units) if options.all else concerned(units, changed(options.base))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for status, output in pool.map(lambda source: tidy(options.build, source, units[source]), sources):
            if status != 0:
                failed += 1
                print(output, flush=True)
    print(f"clang-tidy read {len(sources)} of {len(units)} units: {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
