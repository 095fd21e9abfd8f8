#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of a page of docs, in the order in which they stand, in one shell.

  run_page.py BIN PAGE

Blocks that begin with ```sh are run and must succeed; those with ```sh fails must fail. Other blocks are
not commands. BIN is the folder of the built programs. Ports of the page are replaced by free ones, so that
pages may name ports that are easy to read.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```sh( fails)?\n(.*?)^```$", re.M | re.S)
PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+\b")


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return str(chosen.getsockname()[1])


def script_of(page):
    """One bash script: each block says which it is, and ends the script where it went wrong."""
    lines = ["set -u"]
    for number, (fails, commands) in enumerate(BLOCK.findall(page), 1):
        wanted = "fail" if fails else "succeed"
        lines.append(f"echo '== block {number}, must {wanted}'")
        if fails:
            lines.append(f"if ( set -e\n{commands}); then echo 'block {number} did not fail' >&2; exit 1; fi")
        else:
            lines.append(f"set -e\n{commands}set +e")
    return "\n".join(lines) + "\n"


def main():
    bin_folder, page = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = page.read_text()
    for port in sorted(set(PORT.findall(text))):
        text = re.sub(rf"(?<=127\.0\.0\.1:){port}\b", free_port(), text)
    script = script_of(text)
    if "== block" not in script:
        sys.exit(f"{page} has no command")
    folder = tempfile.mkdtemp(prefix="forekey-docs-")
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": folder, "LANG": "C.UTF-8"}
    shell = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                             start_new_session=True)
    try:
        status = shell.wait(timeout=180)
    except subprocess.TimeoutExpired:
        print(f"{page.name}: still running after three minutes", file=sys.stderr)
        status = 1
    finally:
        # What the page started and did not end: all of the shell's own session.
        try:
            os.killpg(shell.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        shell.wait()
    if status != 0:
        for log in sorted(pathlib.Path(folder).rglob("*.log")):
            print(f"-- {log.name}\n{log.read_text(errors='replace')[-4000:]}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
