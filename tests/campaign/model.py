# SPDX-License-Identifier: Apache-2.0
"""What must be true: acknowledged, admitted, taken away. Asked while the world is calm."""
import threading
import time

# A stream is ended by a look at the live calls that a revocation wakes; a message that was sent this
# long after it, to a gate that ran all the while, must not be served.
STREAM_GRACE = 10.0


class Rights:
    """When one subject may call. In between is "we don't know": a change was asked for."""

    def __init__(self):
        self.taken = []  # [since, until]: acknowledged that it may not, until a change is begun

    def take(self, now):
        if not self.taken or self.taken[-1][1] is not None:
            self.taken.append([now, None])

    def may_come_back(self, now):
        if self.taken and self.taken[-1][1] is None:
            self.taken[-1][1] = now

    def forbidden(self, begun, ended, grace=0.0):
        """Whether it had no right all the time from its beginning to its end (None: not ended yet)."""
        return any(since + grace < begun and (until is None or (ended is not None and ended < until))
                   for since, until in self.taken)


class Model:
    def __init__(self, report, tokens):
        self.report = report
        self.lock = threading.RLock()
        self.rights = {token: Rights() for token in tokens}
        self.calls = {}  # id -> [token, begun, code or None, is a message of a stream, deadline, ended or None]
        self.invites = {}  # id -> {"subject", "used": how often acknowledged, "cancelling", "cancelled"}
        self.live = {}  # credential id -> token: enrolment acknowledged, no revocation tried
        self.revoked = set()  # acknowledged
        self.tried_to_revoke = set()
        self.subjects = {}  # token -> {"roles": set or None (unknown), "disabled": bool or None}
        self.tries = None
        self.answered = 0
        self.last_answer = {}
        self.gate_pauses = []  # [from, to]: when it did not run
        self.reported = set()

    def find(self, what, detail):
        """Each finding once."""
        if (what, detail) not in self.reported:
            self.reported.add((what, detail))
            self.report(what, detail)

    # ---- Calls ----

    def began(self, call, token, stream=False, deadline=0.0):
        with self.lock:
            self.calls[call] = [token, time.monotonic(), None, stream, deadline, None]

    def ended(self, call, code):
        with self.lock:
            if call not in self.calls:
                return
            token = self.calls[call][0]
            self.calls[call][2] = code
            self.calls[call][5] = time.monotonic()
            if code == 0:
                self.answered += 1
                self.last_answer[token] = time.monotonic()

    def _ran(self, since, until):
        return not any(begin < until and (end is None or end > since) for begin, end in self.gate_pauses)

    def check_served(self, path):
        with self.lock:  # calls go on meanwhile: of those that end from here on, nothing is known yet
            answered = [(call, state[0]) for call, state in self.calls.items() if state[2] == 0]
        counts = {}
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                for line in file:
                    counts[line.rstrip("\n")] = counts.get(line.rstrip("\n"), 0) + 1
        except FileNotFoundError:
            pass
        with self.lock:
            for call, count in counts.items():
                if call not in self.calls:
                    self.find("served what nobody sent", call)
                    continue
                token, begun, _, stream, _, ended = self.calls[call]
                if count > 1:
                    self.find("admitted twice", f"{call} of {token}: {count} times")
                if not self.rights[token].forbidden(begun, ended, STREAM_GRACE if stream else 0.0):
                    continue
                if stream and not self._ran(begun - STREAM_GRACE, begun + 1):
                    continue
                self.find("admitted after its right was taken away, and that acknowledged", f"{call} of {token}, begun at {begun:.3f}; taken {self.rights[token].taken}")
            for call, token in answered:
                if call not in counts:
                    self.find("answered, and not served", f"{call} of {token}")
        return sum(counts.values())

    def check_hung(self, now, slack=90):
        with self.lock:
            for call, (token, begun, code, stream, deadline, _) in self.calls.items():
                if code is None and not stream and now > begun + deadline + slack:
                    self.find("a call outlived its deadline", f"{call} of {token}, begun {now - begun:.0f} s ago")

    # ---- What administrators were told ----

    def check_registry(self, credentials, invites, subjects, names):
        with self.lock:
            known = {entry["id"]: entry for entry in credentials}
            for credential, token in self.live.items():
                entry = known.get(credential)
                if entry is None:
                    self.find("an enrolment was acknowledged, and is lost", f"{credential} of {token}")
                elif entry["revoked"] and credential not in self.tried_to_revoke:
                    self.find("revoked, and nobody asked for it", f"{credential} of {token}: {entry}")
            for credential in self.revoked:
                if credential not in known or not known[credential]["revoked"]:
                    self.find("a revocation was acknowledged, and is lost", credential)
            listed = {entry["id"]: entry for entry in invites}
            for invite, state in self.invites.items():
                entry = listed.get(invite)
                if entry is None:  # a cancelled one need not be listed
                    if not state["cancelling"]:
                        self.find("an invite was acknowledged, and is lost", invite)
                    continue
                if state["used"] > 1:
                    self.find("an invite was used twice", invite)
                if state["used"] and not entry["used"]:
                    self.find("a used invite can be used again", f"{invite}: {entry}")
                if state["cancelled"] and not entry["used"] and not entry.get("cancelled"):
                    self.find("an invite's end was acknowledged, and is lost", f"{invite}: {entry}")
            people = {entry["subject"]: entry for entry in subjects}
            for token, state in self.subjects.items():
                entry = people.get(names[token])
                if entry is None:
                    self.find("a subject is lost", names[token])
                    continue
                if state["roles"] is not None and set(entry["roles"]) != state["roles"]:
                    self.find("a change of roles was acknowledged, and is lost", f"{entry}, not {state}")
                if state["disabled"] is not None and entry["disabled"] != state["disabled"]:
                    self.find("a subject's switching off or on was acknowledged, and is lost", f"{entry}, not {state}")

    def check_tries(self, tries):
        with self.lock:
            if self.tries is None:
                self.tries = dict(tries)
            for token, left in tries.items():
                before = self.tries.setdefault(token, left)
                if left < before:
                    self.find("a try of a PIN was burnt, and nobody had typed one", f"{token}: {before} were left, now {left}")
