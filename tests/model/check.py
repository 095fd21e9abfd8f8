#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks sessions.pml with SPIN: all that must hold does, and with one guard taken out it does not.

Usage: check.py [--trail "-DPART=1 -DNO_LEASE"]: of one variant, print the attack step by step.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "sessions.pml"

# Guards that are taken out, and what is then violated; None: nothing is.
VARIANTS = {
    "-DPART=1": None,
    "-DPART=2": None,
    "-DPART=3": None,
    "-DPART=4": None,
    "-DPART=5": None,
    "-DPART=6": None,
    "-DPART=7": None,
    "-DPART=8": None,
    "-DPART=1 -DNO_LEASE": "held&1",
    "-DPART=1 -DLEASE_FROM_ARRIVAL": "held&1",
    "-DPART=1 -DLEASE_ASKED_ONCE": "held&1",
    "-DPART=1 -DNO_WAIT": "held&1",
    "-DPART=2 -DSHARED_KEY": "admitted[",
    "-DPART=2 -DNO_SERIAL": "resumed[s]<=1",
    "-DPART=2 -DNO_CHALLENGE": "uses[s]>=2",
    "-DPART=3 -DNO_END": "left[0]",
    "-DPART=3 -DEND_LOCAL": "left[0]",
    "-DPART=3 -DINSERT_LATE": "left[r]",
    "-DPART=3 -DENDED_ONCE": "left[r]",
    "-DPART=4 -DNO_WAIT": "held&2",
    "-DPART=5 -DNO_LEASE": "held&1",
    "-DPART=6 -DNO_EPOCH": "held&4",
    "-DPART=7 -DNO_LEASE": "held&2",
    "-DPART=7 -DMOVED_FORGOTTEN": "held&confirmed[r]",
    "-DPART=8 -DANY_SERVER_BELIEVED": "held&1",
    "-DPART=8 -DNO_WAIT": "held&1",
}


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0 and command[0] != "./pan":
        sys.exit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def verify(defines, folder):
    run(["spin", *defines, "-a", str(MODEL)], folder)
    run(["cc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"], folder)
    # -E: a process that waits for ever is no fault here; that it would admit something is.
    return run(["./pan", "-E", "-m100000"], folder)


def judge(told, violated):
    if "max search depth too small" in told or "out of memory" in told:
        return "the search was cut short"
    if "errors: 0" in told:
        return None if violated is None else "no attack was found: the model has lost its teeth"
    found = next((line for line in told.splitlines() if line.startswith("pan:1")), told)
    if violated is None or violated not in found:
        return found
    return None


def main():
    for program in ("spin", "cc"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not installed (Debian: apt-get install spin gcc)")
    if len(sys.argv) == 3 and sys.argv[1] == "--trail":
        defines = sys.argv[2].split()
        with tempfile.TemporaryDirectory() as folder:
            print(verify(defines, folder))
            print(run(["spin", *defines, "-t", "-p", "-k", MODEL.name + ".trail", str(MODEL)], folder))
        return
    wrong = 0
    for variant, violated in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            why = judge(verify(variant.split(), folder), violated)
        wrong += why is not None
        print(f"{'ok  ' if why is None else 'FAIL'} {variant}: "
              f"{why or ('holds' if violated is None else 'finds the attack: ' + violated)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
