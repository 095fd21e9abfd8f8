#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of docs/CI.md as scripts: the steps of each ```yaml block, in their order, in one shell each.

  run_ci_examples.py BIN CI.md

Blocks that begin with ```sh file=NAME are written to NAME first. BIN, the folder of the built programs, stands
for the packages: steps that install them (apt-get) are left out.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from run_page import free_port


def steps_of(block):
    """`- run: COMMAND` of GitHub's, and the lines below `script:` of GitLab's."""
    return re.findall(r"^\s*- (?:run: )?(?!uses:)(.+)$", block, re.M)


def run_example(bin_folder, page, number, steps):
    with tempfile.TemporaryDirectory(prefix="forekey-ci-") as name:
        folder = pathlib.Path(name)
        port = free_port()
        for file, text in re.findall(r"^```sh file=(\S+)\n(.*?)^```$", page, re.M | re.S):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text.replace("127.0.0.1:7443", f"127.0.0.1:{port}"))
            (folder / file).chmod(0o755)
        (folder / "tmp").mkdir()
        environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": name, "LANG": "C.UTF-8",
                       "GITHUB_PATH": f"{name}/github-path", "TMPDIR": f"{name}/tmp"}
        # A CI ends at the first step that fails.
        shell = subprocess.Popen(["bash", "-euc", "\n".join(steps)], cwd=folder, env=environment,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, start_new_session=True)
        try:
            output, _ = shell.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            output = shell.communicate()[0] + "\nstill running after three minutes"
        wanted = [f"hello from the {kind}  ({kind}-user)" for kind in ("tpm", "fido2", "piv")]
        missing = [line for line in wanted if line not in output]
        left = sorted(path.name for path in (folder / "tmp").iterdir())
        if shell.returncode != 0 or missing or left:
            print(output)
            print(f"example {number}: status {shell.returncode}, missing: {missing}, left: {left}")
            return False
        print(f"example {number}: {len(steps)} steps are good")
        return True


def main():
    bin_folder, page = sys.argv[1], pathlib.Path(sys.argv[2]).read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    if len(examples) != 2:
        sys.exit(f"{sys.argv[2]} has {len(examples)} examples, and two are known")
    good = True
    for number, block in enumerate(examples, 1):
        steps = [step for step in steps_of(block) if not step.startswith("apt-get")]
        if not any("forekey-sim run" in step for step in steps):
            sys.exit(f"example {number} does not run forekey-sim: {steps}")
        good = run_example(bin_folder, page, number, steps) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
