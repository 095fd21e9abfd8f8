#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`forekey-conformance vectors`: our implementations pass, and each check fails against a broken one.

  vectors_test.py BINARIES NODE_MODULES [unittest's own words]
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/interop/clients"), str(ROOT / "conformance"),
                str(ROOT / "clients/python/conformance")]
from forekey_conformance import program, questions, report, vectors  # noqa: E402
from packages import build_python_client  # noqa: E402

COMMAND = ROOT / "conformance/forekey-conformance"
BINARIES = NODE_MODULES = PYTHON_PACKAGES = ""
ALL = questions.questions(questions.load())


def command(*words, **environment):
    return subprocess.run([sys.executable, COMMAND, "vectors", *words], env={**os.environ, **environment}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)


def failed(found):
    return [finding.check for finding in found.findings if finding.verdict == report.FAILED]


class OurImplementations(unittest.TestCase):
    def test_python(self):
        done = command("--all", sys.executable, ROOT / "clients/python/conformance/answers.py",
                       PYTHONPATH=PYTHON_PACKAGES)
        self.assertEqual((done.returncode, done.stdout), (0, f"vectors: {len(ALL)} passed, 0 failed, 0 not supported\n"))

    def test_node(self):
        done = command("--all", "node", ROOT / "clients/node/conformance/answers.cjs", NODE_PATH=NODE_MODULES)
        self.assertEqual((done.returncode, done.stdout), (0, f"vectors: {len(ALL)} passed, 0 failed, 0 not supported\n"))


    def test_cpp(self):
        """All but what takes fresh randomness in C++."""
        left_out = sum(question.op in ("challenge", "check-challenge", "seal-factors") for question in ALL)
        done = command(f"{BINARIES}/forekey-vector-answers")
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]),
                         (0, f"vectors: {len(ALL) - left_out} passed, 0 failed, {left_out} not supported"))


class EachCheck(unittest.TestCase):
    """In this process: a program for each would take minutes."""

    @classmethod
    def setUpClass(cls):
        import answers
        cls.answers = answers

    def right(self, question):
        return self.answers.answer(question.op, question.input)

    def wrong(self, question):
        """As near to the right answer as can be."""
        if question.expect is None:
            return {"output": {}}
        if not question.expect:
            return {"refused": "it does not verify"}
        output = json.loads(json.dumps(question.expect))
        name = sorted(output)[-1]
        if isinstance(output[name], str):
            output[name] = output[name][:-1] + ("1" if output[name].endswith("0") else "0")
        elif isinstance(output[name], list):
            output[name].append("more")
        else:
            output[name].pop(sorted(output[name])[-1])
        return {"output": output}

    def test_fails_against_a_wrong_answer(self):
        self.assertEqual(failed(vectors.check(ALL, self.right)), [])
        for broken in ALL:
            self.assertEqual(failed(vectors.check([broken], self.wrong)), [broken.id])

    def test_finds_mistakes_that_implementers_make(self):
        a = self.answers
        plain_mac, compare = a.mac, a.compare
        for what, name, mistake, expected in (
            ("little-endian lengths", "with_length", lambda data, size=2: len(data).to_bytes(size, "little") + data,
             "credential-id: 1"),
            ("labels without their zero byte", "label", lambda word: b"forekey/1 " + word, "session-key: 1"),
            ("HKDF without the last step", "hkdf", lambda key, salt, info: plain_mac(salt or bytes(32), key),
             "invite-key: 1"),
            ("a MAC that is compared in part", "compare", lambda given, right: compare(given, right[:len(given)])
             if given else {}, "check-call-mac: 1, mac cut short"),
            ("MACs that are not compared", "compare", lambda given, right: {}, "check-confirmation: 1.1, another subject"),
            ("shares of small order", "agree", lambda private, public: b"\0" * 32,
             "session-key: 1, gate_share of small order (1)"),
            ("protobuf's own parser", "serialize_prefix", None, "parse-prefix: age_s 0, present"),
        ):
            with self.subTest(what):
                if name == "serialize_prefix":
                    found = self.without_the_last_check_of_prefixes()
                else:
                    with unittest.mock.patch.object(a, name, mistake):
                        found = self.check_what_can_be()
                self.assertIn(expected, failed(found))

    def check_what_can_be(self):
        def ask(question):
            try:
                return self.right(question)
            except Exception as error:  # a program would have ended
                return {"refused": repr(error)}
        return vectors.check(ALL, ask)

    def without_the_last_check_of_prefixes(self):
        def parse(given):
            found = self.answers.read(bytes.fromhex(given["prefix"]), {1: ("device", range(1, 2049)),
                                                                      2: ("session", range(1, 2049))})
            return self.answers.parse_session(found["session"][0]) if "session" in found else \
                self.answers.parse_device(found["device"][0])
        with unittest.mock.patch.dict(self.answers.ANSWERS, {"parse-prefix": parse}):
            return self.check_what_can_be()


class Programs(unittest.TestCase):
    def found(self, source, asked=ALL[:3], patience=20):
        return vectors.check_program(list(asked), [sys.executable, "-c", source], patience)

    def why(self, source, **more):
        found = self.found(source, **more)
        self.assertEqual(found.count(report.PASSED), 0)
        self.assertFalse(found.good)
        return found.findings[-1].why

    def test_that_answer_badly_have_failed(self):
        loop = "import sys, json\nfor line in sys.stdin:\n  v = json.loads(line)\n  "
        self.assertIn("the program ended", self.why("pass"))
        self.assertIn("no answer", self.why("print('what?', flush=True)\ninput()\ninput()"))
        self.assertIn("within 0.5 s", self.why("import sys\nsys.stdin.read()", patience=0.5))
        self.assertIn("no answer", self.why(loop + "print(json.dumps({'id': 99, 'output': {}}), flush=True)"))
        for answer in ("{}", "{'output': {}, 'refused': 'both'}", "{'output': 3}", "{'refused': True}"):
            self.assertIn("neither an output nor a refusal",
                          self.why(loop + f"print(json.dumps({{'id': v['id'], **{answer}}}), flush=True)"))

    def test_that_can_not_be_run_are_told_apart(self):
        self.assertEqual(command("/nonexistent/program").returncode, 2)
        self.assertEqual(command("--only", "dance", "true").returncode, 2)

    def test_that_support_nothing_have_not_passed(self):
        found = self.found("import sys, json\nfor line in sys.stdin:\n  "
                           "print(json.dumps({'id': json.loads(line)['id'], 'unsupported': True}), flush=True)")
        self.assertEqual((found.count(report.UNSUPPORTED), found.good), (3, False))


class Reports(unittest.TestCase):
    def setUp(self):
        self.report = report.Report("vectors", [report.Finding("a", report.PASSED), report.Finding("b", report.FAILED,
                                    "expected <1> & got \"2\""), report.Finding("c", report.UNSUPPORTED)])

    def test_text(self):
        self.assertIn("failed      b\n            expected <1>", self.report.text())
        self.assertIn("1 passed, 1 failed, 1 not supported", self.report.text())

    def test_json(self):
        self.assertEqual([check["verdict"] for check in json.loads(self.report.json())["checks"]],
                         ["passed", "failed", "unsupported"])

    def test_junit(self):
        suite = xml.fromstring(self.report.junit().partition("\n")[2])
        self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("skipped")), ("3", "1", "1"))
        self.assertEqual(suite.find("testcase[@name='b']/failure").get("message"), "expected <1> & got \"2\"")

    def test_printed_questions_have_their_answers(self):
        lines = [json.loads(line) for line in command().stdout.splitlines()]
        self.assertEqual([line["id"] for line in lines], [question.id for question in ALL])
        self.assertEqual(len({line["id"] for line in lines}), len(lines))
        self.assertTrue(all(line["refused"] == (line["expect"] is None) for line in lines))


def main():
    global BINARIES, NODE_MODULES, PYTHON_PACKAGES
    BINARIES, NODE_MODULES = sys.argv[1:3]
    PYTHON_PACKAGES = tempfile.mkdtemp(prefix="forekey-p-")
    try:
        build_python_client(PYTHON_PACKAGES)
        sys.path.insert(0, PYTHON_PACKAGES)
        unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
    finally:
        shutil.rmtree(PYTHON_PACKAGES)


if __name__ == "__main__":
    main()
