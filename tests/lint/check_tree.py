#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that hold for the whole tree: who may include whom, vendor headers, secrets, tests.

Exits 1 and names file, line and rule when one is broken. Run from anywhere.

  tests/lint/check_tree.py           checks, ARCHITECTURE.md's table of rooms included
  tests/lint/check_tree.py --rooms   prints that table
"""
import pathlib
import re
import sys

from rooms import ROOMS, table

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Where the vendors' own headers may be named.
VENDOR = {
    re.compile(r"<tss2/"): ("hw/tpm", "tests", "simulators/tpm"),
    re.compile(r"<fido"): ("hw/fido2", "tests", "bench"),
    re.compile(r"<(PCSC/|winscard|pcsclite|wintypes|ifdhandler)"): ("hw/piv", "tests", "simulators/piv"),
    re.compile(r"<cjose/"): ("src/verify", "tests"),
    re.compile(r"<libpq"): ("src/store/postgres", "tests"),
    re.compile(r"<curl/"): ("src/https", "tests"),
    re.compile(r"<boost/"): ("src/gate/front", "tests"),
    re.compile(r"<grpc"): ("src/rpc", "src/gate/grpc", "src/gate/public", "src/gate/proxy", "src/gate/front", "src/gate/testing", "src/client", "src/agent", "src/cli", "tests", "bench", "examples"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<][^">]+[">])')
SECRET_WORD = re.compile(r"\b(secret|password|pin|mac|seed|private_key|session_key|confirmation)\w*(\(\))?(\.view\(\))?$", re.I)
COMPARISON = re.compile(r"([\w.\->()]+)\s*(?:==|!=)\s*([\w.\->()]+)")

# Waits that go by the wall clock, which may be set back while they last.
STEPPING_WAIT = re.compile(
    r"\b(AwaitWith(Timeout|Deadline)|WaitWith(Timeout|Deadline)|WaitForNotificationWith(Timeout|Deadline)"
    r"|(Reader)?LockWhenWith(Timeout|Deadline)|wait_for|wait_until|try_lock_for|try_lock_until"
    r"|pthread_cond_timedwait|pthread_mutex_timedlock|sem_timedwait)\s*\(")
WALL_CLOCK = re.compile(r"absl::Now\(|GetCurrentTimeNanos\(|system_clock::now\(|\bgettimeofday\(|CLOCK_REALTIME|\btime\((nullptr|NULL|0)\)")


def room_of(path: str) -> str:
    parts = path.split("/")
    if path.startswith("examples/demo/"):
        return "examples/demo"
    if parts[0] != "src":
        return parts[0]
    nested = parts[1] in ("gate", "cli", "store", "rpc") and len(parts) > 3
    return "/".join(parts[:3] if nested else parts[:2])


def included_room(name: str):
    if name.startswith('"forekey/v1/'):
        return "proto"
    match = re.match(r'"(src/(?:gate|cli|store|rpc)/[a-z0-9_]+(?=/)|src/[a-z0-9_]+|hw|simulators|tests|examples)/', name)
    return match.group(1) if match else None


def check_includes(path, number, line, problems):
    match = INCLUDE.match(line)
    if not match:
        return
    name, room = match.group(1), room_of(path)
    target = included_room(name)
    if room in ROOMS and target and target != room and target not in ROOMS[room].includes:
        problems.append(f"{path}:{number}: {room} may not include {target} ({name})")
    if room not in ("tests", "bench") and target == "tests":
        problems.append(f"{path}:{number}: only tests include tests")
    if name == '"hw/drivers.h"' and room not in ("src/cli", "hw", "tests", "examples/demo"):
        problems.append(f"{path}:{number}: only programs name the list of drivers")
    for pattern, places in VENDOR.items():
        if pattern.match(name) and not path.startswith(places):
            problems.append(f"{path}:{number}: {name} belongs in {', '.join(places)}")


def check_secrets(path, number, line, problems):
    code = line.split("//")[0]
    if re.search(r"\b(mem|str)n?cmp\s*\(", code) and path != "src/base/secret.cc":
        problems.append(f"{path}:{number}: use ConstantTimeEqual (or ==, where it is no secret)")
    for left, right in COMPARISON.findall(code):
        for side, other in ((left, right), (right, left)):
            if SECRET_WORD.search(side) and not re.fullmatch(r"nullptr|0|\w*::k\w+|k[A-Z]\w*|true|false", other) \
                    and not re.search(r"(size|empty|kind|policy|error|type|tries)\w*\(?\)?$", side, re.I):
                problems.append(f"{path}:{number}: compare secrets with ConstantTimeEqual: {line.strip()}")
                return


def check_clocks(path, number, line, problems):
    code = line.split("//")[0]
    if STEPPING_WAIT.search(code) and path != "src/base/alarm_thread.cc":
        problems.append(f"{path}:{number}: waits by a clock that may be set: use src/base/deadline.h")
    # Commands live for one question; they may ask what day it is.
    if WALL_CLOCK.search(code) and path not in ("src/base/clock.cc", "src/base/deadline.cc") \
            and not path.startswith("src/cli/"):
        problems.append(f"{path}:{number}: Deadline for waits and ages, CallDeadline() for calls of gRPC, "
                        "Clock::WallNow() for dates")
    # Not even there: a deadline that was reckoned by the wall clock moves when that is set.
    if re.search(r"set_deadline\(.*(::now\(|absl::Now|context_?->deadline)", code):
        problems.append(f"{path}:{number}: CallDeadline() for calls of gRPC")


def check_tests(path, number, line, problems):
    for pattern, rule in (
        (r"\bsleep_for\b|absl::SleepFor|\busleep\(", "wait for the event, don't sleep"),
        (r"DISABLED_|GTEST_SKIP", "a test that doesn't test"),
        (r"EXPECT_TRUE\(true\)", "a test that doesn't test"),
    ):
        if re.search(pattern, line):
            problems.append(f"{path}:{number}: {rule}")


def check_width(path, number, line, problems):
    """The formatter breaks code at 100 columns, and leaves comments as they are."""
    if line.lstrip().startswith("//") and len(line.rstrip("\n")) > 100 and "://" not in line:
        problems.append(f"{path}:{number}: a comment of {len(line)} columns: break it at 100")


def check_architecture(problems):
    """Its table of rooms, and its links: [`Name`](path) is a name that stands in the file."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    if table() not in text:
        problems.append("ARCHITECTURE.md: its table of rooms is not what `check_tree.py --rooms` prints")
    for name, path in re.findall(r"\[`([\w:]+)`\]\(([\w./]+)\)", text):
        file = ROOT / path
        if not file.is_file() or not re.search(rf"\b{name.split('::')[-1]}\b", file.read_text()):
            problems.append(f"ARCHITECTURE.md: {path} has no {name}")


def main():
    if sys.argv[1:] == ["--rooms"]:
        print(table())
        return 0
    problems = []
    check_architecture(problems)
    for path in sorted(ROOT.rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix not in (".h", ".cc") or name.startswith(("build", ".", "node_modules")):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            check_includes(name, number, line, problems)
            check_width(name, number, line, problems)
            if name.startswith(("src/", "hw/")):
                check_secrets(name, number, line, problems)
                check_clocks(name, number, line, problems)
            if name.startswith(("tests/", "simulators/")):
                check_tests(name, number, line, problems)
            if "AttestationBuilder" in line and not name.startswith(("src/verify/", "tests/toy/")):
                problems.append(f"{name}:{number}: only verifiers build a VerifiedAttestation")
    for problem in problems:
        print(problem)
    print(f"checked the tree: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
