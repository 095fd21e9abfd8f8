# SPDX-License-Identifier: Apache-2.0
"""The command line."""
import argparse
import sys

from . import program, questions, vectors


def parser():
    top = argparse.ArgumentParser(
        prog="forekey-conformance", description="Asks an implementation of Forekey's protocol whether it is right.",
        epilog="Exit status: 0 all passed, 1 something failed, 2 usage, or it could not be run. More: docs/CONFORMANCE.md")
    commands = top.add_subparsers(dest="command", required=True)
    one = commands.add_parser("vectors", help="every input and every expected byte, printed, or asked of a program",
                              description="Without PROGRAM, prints the questions with their answers, a line of JSON "
                              "each. With it, asks them: {\"id\", \"op\", \"input\"} a line; the program answers with "
                              "{\"id\", \"output\"}, {\"id\", \"refused\": \"why\"} or {\"id\", \"unsupported\": true}.")
    one.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGUMENT...]")
    one.add_argument("--vectors", metavar="FILE", help="forekey-v1.json, where it is not beside this program")
    one.add_argument("--only", metavar="OP", help="questions of this operation alone")
    one.add_argument("--all", action="store_true", help="what the program does not support has failed")
    add_report_options(one)
    one = commands.add_parser("client", help="a gate that misbehaves in each way that a client must notice",
                              description="Tells PROGRAM, line by line, to enrol itself and to make calls.")
    one.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM [ARGUMENT...]")
    one.add_argument("--only", metavar="WORDS", default="", help="checks whose names have these words alone")
    one.add_argument("--all", action="store_true", help="what the program does not support has failed")
    add_report_options(one)
    one = commands.add_parser("gate", help="shows a live gate what it must admit, and what it must refuse",
                              description="Against a gate with a test registry, whose limits for refusals are off. An "
                              "agent that is enrolled there makes the proofs that hardware must make.")
    one.add_argument("address", metavar="HOST:PORT")
    one.add_argument("--agent", metavar="SOCKET", required=True)
    one.add_argument("--gate", metavar="AUDIENCE", required=True)
    one.add_argument("--method", metavar="/PKG.SERVICE/METHOD", default="/forekey.example.Echo/Say",
                     help="one that the subject may call, with an empty request, by session or by device proof")
    one.add_argument("--timing", type=int, metavar="PAIRS", default=0,
                     help="also whether a forged proof takes as long as one of no session, by so many pairs (1000)")
    one.add_argument("--audit", metavar="FILE", help="the gate's audit log: each refusal must be for its reason")
    one.add_argument("--only", metavar="WORDS", default="", help="checks whose names have these words alone")
    add_report_options(one)
    return top


def add_report_options(one):
    one.add_argument("--report", choices=("text", "json", "junit"), default="text")
    one.add_argument("--output", metavar="FILE", help="where the report goes; default: standard output")
    one.add_argument("--patience", type=float, default=30.0, metavar="SECONDS", help="for one answer; default: 30")


def write(report, options):
    text = report.written(options.report)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)
    return 0 if report.good and not (getattr(options, "all", False) and report.count("unsupported")) else 1


def run_vectors(options):
    asked = questions.questions(questions.load(options.vectors))
    if options.only:
        asked = [question for question in asked if question.op == options.only]
        if not asked:
            raise ValueError(f"there is no operation {options.only}")
    if not options.program:
        for line in vectors.lines(asked):
            print(line)
        return 0
    return write(vectors.check_program(asked, options.program, options.patience), options)


def run_client(options):
    if not options.program:
        raise ValueError("which program? forekey-conformance client PROGRAM [ARGUMENT...]")
    from . import client_checks  # needs grpcio and cryptography
    chosen = [check for check in client_checks.checks() if options.only in check.name]
    with program.Program(options.program, options.patience) as client:
        return write(client_checks.check_client(client, chosen), options)


def run_gate(options):
    from . import gate_checks  # needs grpcio and cryptography
    gate = gate_checks.Gate(gate_checks.Agent(options.agent, options.gate), options.address, options.method,
                            options.audit)
    chosen = [check for check in gate_checks.checks() if options.only in check.name]
    if options.timing:
        chosen.append(gate_checks.timing_check(options.timing))
    return write(gate_checks.check_gate(gate, chosen), options)


def main(arguments):
    options = parser().parse_args(arguments)
    try:
        return {"vectors": run_vectors, "client": run_client, "gate": run_gate}[options.command](options)
    except BrokenPipeError:
        return 0
    except (OSError, ValueError, program.Ended) as error:
        print(f"forekey-conformance: {error}", file=sys.stderr)
        return 2
