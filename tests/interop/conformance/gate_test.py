#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`forekey-conformance gate`: our gate passes, and each check fails against one that is lax there.

  gate_test.py BINARIES [unittest's own words]
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/interop/clients"), str(ROOT / "conformance")]
from forekey_conformance import gate_checks, report  # noqa: E402
from forekey_conformance.certificates import Authority  # noqa: E402
from forekey_conformance.model_gate import ModelGate  # noqa: E402
from world import AUDIENCE, READER, Process, World, run  # noqa: E402

BINARIES = ""
LIMITS = """[limits]
address_proofs_per_second = 100000
address_proof_burst = 100000
stranger_proofs_per_second = 100000
stranger_proof_burst = 100000
"""
ANYTHING = ("prefix-missing", "prefix-malformed", "session-unknown")
LENIENT = ("prefix-malformed",)

# Each check, and what a gate that is found by it neglects.
LAX = {
    "a session's proofs are admitted": ("session",),
    "sequence numbers may come out of order": ("in-order",),
    "a device proof is admitted": ("device",),
    "WhoAmI answers": ("WhoAmI",),
    "an unknown method with a good proof is unknown": ("unknown",),
    "challenges have 64 bytes, and each is another one": ("one-challenge",),
    "prefix: none": ("prefix-missing",),
    "prefix: none, of an unknown method": ("routes-first",),
    "prefix: two": ("prefix-repeated",),
    "prefix: more than 2048 bytes": ("prefix-oversize", *LENIENT),
    "prefix: garbage": ANYTHING, "prefix: cut short": ANYTHING, "prefix: no MAC": (*LENIENT, "mac-invalid"),
    "prefix: half a MAC": ("short-mac",),
    **{f"prefix: {name}": LENIENT for name in (
        "a byte left over", "fields out of order", "an unknown field in the proof", "an unknown field in the prefix",
        "a field twice", "a sequence that is not minimal", "the same proof twice", "an empty digest, present",
        "age_s 0, present")},
    "prefix: a session's, for OpenSession": ("prefix-wrong-kind",),
    "prefix: a request digest where there must be none": ("digest",),
    "session: a MAC by another key": ("mac-invalid",),
    "session: a MAC of another method": ("mac-invalid",),
    "session: a MAC over another certificate": ("mac-invalid",),
    "session: one that does not exist": ("session-unknown",),
    "session: a proof that was used": ("sequence-replayed",),
    "session: a number before the window": ("sequence-too-old",),
    "session: an age that is not its own": ("age-drift",),
    "session: a forged number moves nothing": ("moves-early",),
    "session: a child opens no child": ("child-not-allowed",),
    "session: one that was ended": ("session-ended",),
    "device: a proof that was used": ("challenge-replayed",),
    "device: a proof of another method": ("signature-invalid",),
    "device: another certificate": ("channel-binding-unknown",),
    "device: a forged challenge": ("challenge-forged",),
    "device: a challenge for an enrolment": ("challenge-wrong-purpose",),
    "device: a credential that is not enrolled": ("credential-unknown",),
    "device: another signature, which consumes nothing": ("consumes-early",),
    "order: the certificate before the challenge": ("order",),
    "order: the challenge before the credential": ("order",),
    "order: the credential before the signature": ("order",),
    "enrolment: an invite that the gate never made": ("invite-unknown",),
}


class OurGate(unittest.TestCase):
    def test_passes_with_each_reason_in_its_audit_log(self):
        world = World(BINARIES, LIMITS)
        self.addCleanup(world.close)
        world.enroll(READER)
        done = subprocess.run(
            [sys.executable, "-B", ROOT / "conformance/forekey-conformance", "gate", "--agent", world.socket, "--gate",
             AUDIENCE, "--audit", world.root / "state/audit.jsonl", f"localhost:{world.port}"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((done.returncode, done.stdout),
                         (0, f"gate: {len(gate_checks.checks())} passed, 0 failed, 0 not supported\n"), done.stderr)


class EachCheck(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Our agent makes the proofs."""
        folder = tempfile.TemporaryDirectory(prefix="forekey-g-", dir="/tmp")
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        cls.authority = Authority()
        binaries = pathlib.Path(BINARIES)
        token = Process([binaries / "forekey-sim", "fido2", "--state", cls.root / "key", "--auto-touch", "--json"], {},
                        cls.root / "token.log")
        cls.uri = json.loads(token.start())["uri"]
        cls.addClassCleanup(token.end)
        agent = Process([binaries / "forekey-agent", "--state", cls.root / "agent", "--socket", cls.root / "agent.sock",
                         "--device", cls.uri, "--pinentry", "none", "--json"], {}, cls.root / "agent.log")
        agent.start()
        cls.addClassCleanup(agent.end)
        cls.gates = 0

    def checked(self, names, lax=(), more=()):
        EachCheck.gates += 1
        audit = self.root / f"audit{self.gates}"
        audit.touch()
        gate = ModelGate(f"lax{self.gates}.example", self.authority, audit=audit)
        self.addCleanup(gate.close)
        done = run([pathlib.Path(BINARIES) / "forekey", "enroll", gate.invite.text, "--json"],
                   {"FOREKEY_AGENT_SOCKET": str(self.root / "agent.sock")})
        self.assertTrue(done.ok, done)
        shown = gate_checks.Gate(gate_checks.Agent(self.root / "agent.sock", gate.audience), f"localhost:{gate.port}",
                                 "/forekey.example.Echo/Say", audit)
        gate.lax = lax
        found = gate_checks.check_gate(shown, [check for check in gate_checks.checks() if check.name in names] + list(more))
        return {finding.check: finding for finding in found.findings}

    def test_passes_a_gate_that_is_right(self):
        found = self.checked({check.name for check in gate_checks.checks()})
        self.assertEqual([finding for finding in found.values() if finding.verdict != report.PASSED], [])

    def test_fails_against_a_lax_gate(self):
        self.assertEqual(set(LAX), {check.name for check in gate_checks.checks()})
        for lax in sorted(set(LAX.values())):
            names = {name for name, found_by in LAX.items() if found_by == lax}
            with self.subTest(lax):
                found = self.checked(names, lax)
                self.assertEqual({name for name in names if found[name].verdict == report.FAILED}, names,
                                 {name: finding.why for name, finding in found.items()})


    def test_finds_a_gate_that_takes_longer_for_sessions_that_exist(self):
        found = self.checked((), ("oracle",), [gate_checks.timing_check(100)])
        self.assertEqual([finding.verdict for finding in found.values()], [report.FAILED])


def main():
    global BINARIES
    BINARIES = sys.argv[1]
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])


if __name__ == "__main__":
    main()
