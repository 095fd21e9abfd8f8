# SPDX-License-Identifier: Apache-2.0
"""The model finds what it is there to find: each rule is broken once here, and found by its name."""
import os
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import model
import schedule


class ModelTest(unittest.TestCase):
    def setUp(self):
        self.found = []
        self.model = model.Model(lambda what, detail: self.found.append(what), ["tpm"])
        self.file = tempfile.NamedTemporaryFile("w", suffix=".calls")
        self.addCleanup(self.file.close)

    def served(self, *calls):
        self.file.write("".join(call + "\n" for call in calls))
        self.file.flush()
        self.model.check_served(self.file.name)

    def check(self, credentials=(), invites=(), subjects=()):
        self.model.check_registry(list(credentials), list(invites), list(subjects), {"tpm": "ada"})

    def test_honest_calls_are_no_finding(self):
        self.model.began("a", "tpm")
        self.model.ended("a", 0)
        self.model.began("b", "tpm")
        self.model.ended("b", 14)
        self.served("a")
        self.assertEqual(self.found, [])

    def test_a_call_admitted_twice(self):
        self.model.began("a", "tpm")
        self.served("a", "a")
        self.assertEqual(self.found, ["admitted twice"])

    def test_a_call_that_nobody_sent(self):
        self.served("x")
        self.assertEqual(self.found, ["served what nobody sent"])

    def test_an_answer_to_what_was_not_served(self):
        self.model.began("a", "tpm")
        self.model.ended("a", 0)
        self.served()
        self.assertEqual(self.found, ["answered, and not served"])

    def test_an_answer_while_the_list_of_what_was_served_is_read(self):
        self.model.began("a", "tpm")
        model = self.model

        class Path:
            def __fspath__(self):
                model.ended("a", 0)  # it is written there a moment later
                return os.devnull
        model.check_served(Path())
        self.assertEqual(self.found, [])

    def test_a_call_begun_after_its_right_was_taken(self):
        self.model.began("before", "tpm")
        self.model.rights["tpm"].take(time.monotonic())
        self.model.began("between", "tpm")
        self.model.ended("between", 0)
        self.model.began("slow", "tpm")
        self.model.rights["tpm"].may_come_back(time.monotonic())
        self.model.ended("slow", 0)
        self.model.began("after", "tpm")
        self.served("before", "slow", "after", "between")
        self.assertEqual(self.found, ["admitted after its right was taken away, and that acknowledged"])

    def test_a_stream_has_a_grace_while_the_gate_did_not_run(self):
        now = time.monotonic()
        self.model.rights["tpm"].take(now - 100)
        self.model.calls = {"soon": ["tpm", now - 95, None, True, 0, None], "late": ["tpm", now - 50, None, True, 0, None]}
        self.served("soon")
        self.assertEqual(self.found, [])
        self.model.gate_pauses = [[now - 55, now - 51]]
        self.served("late")
        self.assertEqual(self.found, [])
        self.model.gate_pauses = []
        self.served()
        self.assertEqual(self.found, ["admitted after its right was taken away, and that acknowledged"])

    def test_a_call_that_hangs(self):
        self.model.began("a", "tpm", deadline=20)
        self.model.check_hung(time.monotonic() + 30)
        self.assertEqual(self.found, [])
        self.model.check_hung(time.monotonic() + 1000)
        self.assertEqual(self.found, ["a call outlived its deadline"])

    def test_a_lost_enrolment_and_a_lost_revocation(self):
        self.model.live = {"c1": "tpm"}
        self.check(credentials=[{"id": "c1", "revoked": ""}])
        self.assertEqual(self.found, [])
        self.check()
        self.assertEqual(self.found, ["an enrolment was acknowledged, and is lost"])
        self.model.tried_to_revoke, self.model.revoked = {"c1"}, {"c1"}
        self.check(credentials=[{"id": "c1", "revoked": ""}])
        self.assertEqual(self.found[1:], ["a revocation was acknowledged, and is lost"])

    def test_a_revocation_that_nobody_asked_for(self):
        self.model.live = {"c1": "tpm"}
        self.check(credentials=[{"id": "c1", "revoked": "2026"}])
        self.assertEqual(self.found, ["revoked, and nobody asked for it"])

    def test_invites(self):
        state = {"subject": "ada", "used": 2, "cancelling": False, "cancelled": False}
        self.model.invites = {"i": state}
        self.check(invites=[{"id": "i", "used": "2026", "cancelled": False}])
        self.check(invites=[{"id": "i", "used": "", "cancelled": False}])
        state["used"] = 0
        self.check()
        state["cancelling"] = state["cancelled"] = True
        self.check()
        self.check(invites=[{"id": "i", "used": "", "cancelled": False}])
        self.assertEqual(self.found, ["an invite was used twice", "a used invite can be used again",
                                      "an invite was acknowledged, and is lost",
                                      "an invite's end was acknowledged, and is lost"])

    def test_subjects(self):
        self.model.subjects = {"tpm": {"roles": {"reader"}, "disabled": False}}
        self.check(subjects=[{"subject": "ada", "roles": ["reader"], "disabled": False}])
        self.assertEqual(self.found, [])
        self.check(subjects=[{"subject": "ada", "roles": [], "disabled": True}])
        self.check()
        self.assertEqual(self.found, ["a change of roles was acknowledged, and is lost",
                                      "a subject's switching off or on was acknowledged, and is lost",
                                      "a subject is lost"])

    def test_a_burnt_try(self):
        self.model.check_tries({"piv": 3})
        self.model.check_tries({"piv": 3})
        self.assertEqual(self.found, [])
        self.model.check_tries({"piv": 2})
        self.assertEqual(self.found, ["a try of a PIN was burnt, and nobody had typed one"])


class ScheduleTest(unittest.TestCase):
    def test_follows_from_the_seed_alone(self):
        def text(seed):
            return [str(event) for event in schedule.make(seed, 600, 60)]
        self.assertEqual(text(7), text(7))
        self.assertNotEqual(text(7), text(8))

    def test_what_begins_ends_before_the_next_calm_and_all_kinds_come(self):
        events = schedule.make(1, 3600, 60)
        lasting = {}
        for event in events:
            if event.what == "begin":
                lasting[event.number] = event
            elif event.what == "end":
                del lasting[event.number]
            elif event.what == "calm":
                self.assertEqual(lasting, {}, str(event))
        kinds = {event.kind for event in events}
        self.assertLessEqual(set(schedule.FAULTS) | set(schedule.ACTIONS), kinds)
        self.assertEqual(events[-1].what, "calm")


if __name__ == "__main__":
    unittest.main()
