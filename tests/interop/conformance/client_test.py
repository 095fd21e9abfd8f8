#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`forekey-conformance client`: our clients pass, and each check fails against a careless one.

  client_test.py BINARIES NODE_MODULES [unittest's own words]
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = ROOT / "tests/interop/conformance"
CLIENTS = ROOT / "tests/interop/clients"
sys.path[:0] = [str(CLIENTS), str(ROOT / "conformance"), str(HERE)]
from forekey_conformance import client_checks, report  # noqa: E402
from model_client import ModelClient  # noqa: E402
from packages import build_python_client  # noqa: E402

BINARIES = NODE_MODULES = PYTHON_PACKAGES = ""


class OurClients(unittest.TestCase):
    """All at the same time: most of it is waiting."""

    @classmethod
    def setUpClass(cls):
        drivers = {"cpp": [], "python": [sys.executable, str(CLIENTS / "driver.py")],
                   "node": ["node", str(CLIENTS / "driver.cjs")]}
        cls.runs = {name: subprocess.Popen(
            [sys.executable, "-B", ROOT / "conformance/forekey-conformance", "client", "--all", "--patience", "60",
             sys.executable, "-B", HERE / "our_client.py", BINARIES, *driver],
            env={**os.environ, "PYTHONPATH": PYTHON_PACKAGES, "NODE_PATH": NODE_MODULES}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) for name, driver in drivers.items()}

    def passes(self, name):
        said, errors = self.runs[name].communicate()
        self.assertEqual((self.runs[name].returncode, said),
                         (0, f"client: {len(client_checks.checks())} passed, 0 failed, 0 not supported\n"), errors)

    def test_cpp(self):
        self.passes("cpp")

    def test_python(self):
        self.passes("python")

    def test_node(self):
        self.passes("node")


# What a client neglects, and the checks that must find it.
CARELESS = {
    "no-binding": ["a gate that is right"],
    "writes-defaults": ["a gate that is right"],
    "new-session": ["a gate that is right"],
    "one-sequence": ["many calls at a time"],
    "no-streams": ["a stream"],
    "begin": ["enrolment: a wrong confirmation of the demand", "enrolment: another subject than was confirmed"],
    "half-begin": ["enrolment: half a confirmation of the demand"],
    "empty-begin": ["enrolment: no confirmation of the demand"],
    "identity": ["enrolment: another identity than the invite's"],
    "audience": ["enrolment: a demand of another audience"],
    "origin": ["enrolment: an origin of another audience"],
    "finish": ["enrolment: a wrong confirmation of the credential"],
    "credential": ["enrolment: another credential than the token's"],
    **{who + name: [f"{who.replace('-', ' ')}session: {check}" for check in found]
       for who in ("", "child-") for name, found in {
           "confirmation subject": [
               "a wrong confirmation", "another identity's key", "another subject than was confirmed",
               "a longer lifetime than was confirmed", "another window than was confirmed",
               "another next identity than was confirmed", "another session id than was confirmed",
               "the answer to an earlier opening"]}.items()},
    "half-confirmation": ["session: half a confirmation"],
    "half-child-confirmation": ["child session: half a confirmation"],
    "empty-confirmation": ["session: no confirmation"],
    "empty-child-confirmation": ["child session: no confirmation"],
    "no-identity": ["session: a key without the identity"],
    "no-child-identity": ["child session: a key without the identity"],
    "zero": ["session: an all-zero share"],
    "child-zero": ["child session: an all-zero share"],
    "no-parent": ["child session: a key without the parent's"],
    "subject": ["session: another subject than enrolled, confirmed"],
    "challenge": ["session: a challenge of 63 bytes"],
    "no-retry": ["call: a session that was forgotten"],
    "same-proof": ["call: a session that was forgotten"],
    "never-gives-up": ["call: each proof is refused"],
    "repeats": ["call: the service's own UNAUTHENTICATED"],
    "other-connections-leaf": ["certificate: another one on each connection"],
    "any-certificate": ["certificate: of another CA"],
    "no-deadline": [f"time: {short} is {how}" for short in ("GetChallenge", "OpenSession", "OpenChildSession", "Say")
                    for how in ("never answered", "answered without end")],
}


class EachCheck(unittest.TestCase):
    def test_passes_a_client_that_is_right(self):
        found = client_checks.check_client(ModelClient(patience=60))
        self.assertEqual([finding for finding in found.findings if finding.verdict != report.PASSED], [])

    def test_fails_against_a_careless_client(self):
        checks = {check.name: check for check in client_checks.checks()}
        self.assertEqual(set(checks), {name for names in CARELESS.values() for name in names})
        for careless, names in CARELESS.items():
            for name in names:
                with self.subTest(f"{careless}: {name}"):
                    patience = 0.7 if careless == "no-deadline" else 60
                    with unittest.mock.patch.object(client_checks, "SHORT", 0.2):
                        found = client_checks.check_client(ModelClient(careless, patience), [checks[name]])
                    self.assertEqual([finding.verdict for finding in found.findings], [report.FAILED])


def main():
    global BINARIES, NODE_MODULES, PYTHON_PACKAGES
    BINARIES, NODE_MODULES = sys.argv[1:3]
    PYTHON_PACKAGES = tempfile.mkdtemp(prefix="forekey-p-")
    try:
        build_python_client(PYTHON_PACKAGES)
        unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
    finally:
        shutil.rmtree(PYTHON_PACKAGES)


if __name__ == "__main__":
    main()
