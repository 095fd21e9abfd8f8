# SPDX-License-Identifier: Apache-2.0
"""The Python client, built for a test."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


def build_python_client(folder):
    """As pip would, with Debian's packages alone; and the messages of the echo service."""
    subprocess.run([sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder, "build", "--build-base",
                    f"{folder}/base", "--build-lib", folder], cwd=ROOT / "clients/python", check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}/examples", f"--python_out={folder}",
                    "echo.proto"], check=True)
