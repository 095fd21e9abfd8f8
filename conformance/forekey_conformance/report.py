# SPDX-License-Identifier: Apache-2.0
"""What was found, as text, JSON or JUnit."""
import dataclasses
import json
import xml.etree.ElementTree as xml

PASSED, FAILED, UNSUPPORTED = "passed", "failed", "unsupported"


@dataclasses.dataclass
class Finding:
    check: str  # "parse-prefix: age_s 0, present"
    verdict: str
    why: str = ""  # where it did not pass: what was expected, and what came


class Report:
    def __init__(self, suite, findings):
        self.suite, self.findings = suite, findings

    def count(self, verdict):
        return sum(finding.verdict == verdict for finding in self.findings)

    @property
    def good(self):
        """Something was checked, and nothing failed."""
        return self.count(FAILED) == 0 and self.count(PASSED) > 0

    def text(self):
        lines = [f"{finding.verdict:11} {finding.check}" + (f"\n            {finding.why}" if finding.why else "")
                 for finding in self.findings if finding.verdict != PASSED]
        lines.append(f"{self.suite}: {self.count(PASSED)} passed, {self.count(FAILED)} failed, "
                     f"{self.count(UNSUPPORTED)} not supported")
        return "\n".join(lines) + "\n"

    def json(self):
        return json.dumps({"suite": self.suite, "passed": self.count(PASSED), "failed": self.count(FAILED),
                           "unsupported": self.count(UNSUPPORTED),
                           "checks": [dataclasses.asdict(finding) for finding in self.findings]}, indent=2) + "\n"

    def junit(self):
        suite = xml.Element("testsuite", name=f"forekey-conformance {self.suite}", tests=str(len(self.findings)),
                            failures=str(self.count(FAILED)), skipped=str(self.count(UNSUPPORTED)))
        for finding in self.findings:
            case = xml.SubElement(suite, "testcase", classname=self.suite, name=finding.check)
            if finding.verdict == FAILED:
                xml.SubElement(case, "failure", message=finding.why)
            elif finding.verdict == UNSUPPORTED:
                xml.SubElement(case, "skipped", message=finding.why)
        return xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

    def written(self, form):
        return {"text": self.text, "json": self.json, "junit": self.junit}[form]()
