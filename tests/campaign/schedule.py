# SPDX-License-Identifier: Apache-2.0
"""What happens when: all of it follows from the seed, before anything is started."""
import random

DAY = 86400
STEPS = [-7200, -600, -180, 180, 600, 7200, -3 * DAY, -DAY, DAY, 3 * DAY]
PARTS = ["gate", "agent-tpm", "agent-fido2", "agent-piv"]

# Fault: (weight, who, longest seconds that it lasts, arguments to choose from).
FAULTS = {
    "kill": (5, PARTS, 0, None),
    "terminate": (2, PARTS, 0, None),
    "stop": (4, PARTS, 4, None),
    "disk": (3, ["gate", "agents"], 4, None),
    "clock": (5, ["gate", "agents"], 0, STEPS),
    "sleep": (2, ["gate", "agents"], 0, [60, 3600, 10 * 3600]),
    "cut": (4, ["proxy"], 0, None),
    "half-close": (3, ["proxy"], 0, None),
    "delay": (3, ["proxy"], 5, [0.02, 0.2, 1.0]),
    "hole": (2, ["proxy"], 4, None),
    "token-away": (4, ["tpm", "fido2", "piv"], 4, None),
    "token-busy": (3, ["tpm", "fido2"], 0, [1, 3, 10]),
    "token-slow": (2, ["tpm"], 5, [50, 300]),
    "token-lockout": (2, ["tpm"], 4, None),
    "token-stops": (2, ["tpm", "fido2", "piv"], 3, None),
    "token-service": (2, ["piv"], 0, None),
    "certificate": (3, ["gate"], 0, None),
    "certificate-garbage": (1, ["gate"], 4, None),
    "trust": (2, ["gate"], 4, None),
    "rules": (3, ["gate"], 0, None),
    "rules-garbage": (1, ["gate"], 4, None),
}

# What administrators and users do meanwhile: (weight, whom it is done to).
ACTIONS = {
    "renew": (6, True),  # revoke all of a subject's, and enrol anew
    "disable": (4, True),  # and enable again
    "roles": (4, True),  # take them away, and give them back
    "enroll-twice": (2, True),  # one invite, two at once
    "reuse-invite": (2, True),
    "wants-pin": (2, True),  # where nobody can be asked
    "invite": (4, False),
    "cancel-invite": (2, False),
    "backup": (1, False),
}
TOKENS = ["tpm", "fido2", "piv"]


class Event:
    def __init__(self, at, what, kind, who, argument=None, number=0):
        self.at, self.what, self.kind, self.who, self.argument = at, what, kind, who, argument
        self.number = number

    def __str__(self):
        argument = "" if self.argument is None else f" {self.argument}"
        return f"{self.at:7.2f} s  {self.what:6} {self.kind} {self.who}{argument}"


def _choose(chance, table):
    return chance.choices(list(table), weights=[entry[0] for entry in table.values()])[0]


def make(seed, seconds, calm_every):
    """Events by their time; "calm" ones, where all faults are over and everything is checked."""
    chance = random.Random(seed)
    events, at, number = [], 1.0, 0
    next_calm = min(calm_every, seconds)
    while at < seconds:
        number += 1
        if chance.random() < 0.72:
            kind = _choose(chance, FAULTS)
            _, parts, longest, arguments = FAULTS[kind]
            who = chance.choice(parts)
            argument = chance.choice(arguments) if arguments else None
            events.append(Event(at, "begin" if longest else "fault", kind, who, argument, number))
            if longest:
                end = min(at + chance.uniform(0.2, longest), next_calm)
                events.append(Event(end, "end", kind, who, argument, number))
        else:
            kind = _choose(chance, ACTIONS)
            who = chance.choice(TOKENS) if ACTIONS[kind][1] else "gate"
            events.append(Event(at, "action", kind, who, None, number))
        at += chance.expovariate(1 / 0.9) + 0.05
        if at >= next_calm:
            events.append(Event(next_calm, "calm", "calm", "all"))
            next_calm += calm_every
    if not events or events[-1].what != "calm":
        events.append(Event(seconds, "calm", "calm", "all"))
    return sorted(events, key=lambda event: event.at)
