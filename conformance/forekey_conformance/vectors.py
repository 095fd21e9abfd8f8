# SPDX-License-Identifier: Apache-2.0
"""`vectors`: prints every question with its answer, or has an implementation answer them."""
import json

from . import program
from .report import FAILED, PASSED, UNSUPPORTED, Finding, Report


def lines(questions):
    for question in questions:
        yield json.dumps({**question._asdict(), "refused": question.expect is None}, ensure_ascii=False)


def judge(question, answer):
    """The answer of an implementation: {"output": {...}}, {"refused": "why"} or {"unsupported": true}."""
    def found(verdict, why=""):
        return Finding(question.id, verdict, why)
    if not isinstance(answer, dict):
        return found(FAILED, f"the answer is no object: {answer!r}")
    if answer.get("unsupported") is True:
        return found(UNSUPPORTED)
    refused = isinstance(answer.get("refused"), str)
    output = answer.get("output")
    if refused == isinstance(output, dict):
        return found(FAILED, f"the answer is neither an output nor a refusal: {json.dumps(answer)[:200]}")
    if question.expect is None:
        return found(PASSED) if refused else found(FAILED, "it was accepted, and must be refused")
    if refused:
        return found(FAILED, f"it was refused, and must be accepted: {answer['refused'][:200]}")
    for name, value in question.expect.items():
        if output.get(name) != value:
            return found(FAILED, f"{name}: expected {json.dumps(value)}, got {json.dumps(output.get(name))}")
    return found(PASSED)


def check(questions, ask):
    """`ask(question)`: its answer. Raises program.Ended where there will be no more answers."""
    findings = []
    for question in questions:
        try:
            findings.append(judge(question, ask(question)))
        except program.Ended as ended:
            findings.append(Finding(question.id, FAILED, str(ended)))
            break
    return Report("vectors", findings)


def check_program(questions, command, patience):
    with program.Program(command, patience) as asked:
        return check(questions, lambda question: asked.ask({"op": question.op, "input": question.input}))
