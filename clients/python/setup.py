# SPDX-License-Identifier: Apache-2.0
"""What pyproject.toml can't say: the messages (forekey.v1) are generated from ../../proto when the package is built.

  python3 setup.py build --build-lib FOLDER      # needs setuptools and grpcio-tools (Debian: python3-grpc-tools)
"""
import pathlib

from setuptools import setup
from setuptools.command.build_py import build_py

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
MESSAGES = ("agent", "gate")


class BuildWithMessages(build_py):
    def run(self):
        super().run()
        from grpc_tools import protoc

        command = ["protoc", f"-I{PROTO}", f"--python_out={self.build_lib}"]
        if protoc.main(command + [f"forekey/v1/{name}.proto" for name in MESSAGES]) != 0:
            raise RuntimeError(f"the messages in {PROTO} could not be generated")
        package = pathlib.Path(self.build_lib, "forekey", "v1", "__init__.py")
        package.write_text('"""Generated from proto/forekey/v1."""\n', encoding="ascii")


setup(cmdclass={"build_py": BuildWithMessages})
