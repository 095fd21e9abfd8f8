#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads what the libraries of a build define.

Nothing is defined twice: a function that two libraries define with a body of their own each (T in both, or T
in one and an inline W in the other) is one or the other by the accident of link order. And what applications
link exports names of forekey's alone, so that nothing of theirs can be taken for ours.

  tests/lint/check_symbols.py build/dev
"""
import collections
import pathlib
import re
import subprocess
import sys

# Libraries of the product; simulators, examples and tests are never linked with each other.
ROOMS = ("src", "hw", "proto")
# What protoc makes outside of any namespace.
GENERATED = re.compile(r"^(descriptor_table_|scc_info_|TableStruct_|DW\.ref\.|_?forekey_2f|file_level_)")
OURS = re.compile(r"(^|[ (<&*:])forekey::|^(typeinfo|vtable|guard variable|VTT|typeinfo name)\b.*forekey::")

# Envoy's own names, as its protocol wants them: linked into forekey-gate alone, never into applications.
NOT_FOR_APPLICATIONS = ("libforekey_gate_front_proto.a",)

# Taken over on purpose (src/base/deadline.cc): Abseil's own waits go by a clock that people set.
ON_PURPOSE = re.compile(r"^AbslInternalPerThreadSemWait")


def symbols(library):
    output = subprocess.run(["nm", "--demangle", "--defined-only", "--extern-only", str(library)],
                            check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        match = re.match(r"^[0-9a-f]{16} (\w) (.+)$", line)
        if match:
            yield match.group(1), match.group(2)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = pathlib.Path(sys.argv[1])
    libraries = sorted(path for room in ROOMS for path in (build / room).rglob("lib*.a"))
    if not libraries:
        print(f"no libraries under {build}: build it first", file=sys.stderr)
        return 2
    strong, weak = collections.defaultdict(set), collections.defaultdict(set)
    problems = []
    for library in libraries:
        name = library.relative_to(build).as_posix()
        for kind, symbol in symbols(library):
            (weak if kind in "WVu" else strong)[symbol].add(name)
            # Inline functions of others' headers are weak, and the same everywhere.
            if library.name in NOT_FOR_APPLICATIONS:
                continue
            if kind in "TDBRS" and not any(known.search(symbol) for known in (OURS, GENERATED, ON_PURPOSE)):
                problems.append(f"{name}: exports {symbol}, which is not in forekey::")
    for symbol, places in sorted(strong.items()):
        twice = places | weak.get(symbol, set())
        if len(twice) > 1:
            problems.append(f"{symbol}: defined in {', '.join(sorted(twice))}")
    for problem in problems:
        print(problem)
    print(f"checked {len(libraries)} libraries: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
