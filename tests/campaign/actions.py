# SPDX-License-Identifier: Apache-2.0
"""What administrators and users do, each told to the model: before it is begun, and when it was
acknowledged. What failed may have been done all the same; it is asked, or done again."""
import threading
import time

from world import SUBJECTS


class Actions:
    PATIENCE = 240.0  # for something to be acknowledged at last, through all faults

    def __init__(self, world, model, note):
        self.world, self.model, self.note = world, model, note
        self.busy = {token: threading.Lock() for token in SUBJECTS}
        self._threads = []
        self._count = 0
        self._backups = 0

    def do(self, event):
        action = getattr(self, "_" + event.kind.replace("-", "_"))
        lock = self.busy.get(event.who)
        if lock is not None and not lock.acquire(blocking=False):
            self.note("          (left out: the one before still runs)")
            return

        def act():
            try:
                action(event.who)
            except Exception as error:  # of this script, not of what it looks at
                self.model.find("the campaign itself failed", f"{event.kind} {event.who}: {error!r}")
            finally:
                if lock is not None:
                    lock.release()
        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        self._threads.append(thread)

    def await_all(self, patience):
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return not self._threads

    def _until_done(self, what, act):
        """As an administrator would: again, until it is acknowledged."""
        until = time.monotonic() + self.PATIENCE
        while True:
            outcome = act()
            if outcome.ok:
                return outcome
            if time.monotonic() > until:
                self.model.find("was never acknowledged", f"{what}: {outcome}")
                return None
            time.sleep(0.5)

    # ---- Enrolment ----

    def invite(self, subject, role=None):
        words = ["invite", "--subject", subject] + (["--role", role] if role else [])
        outcome = self._until_done(f"invite {subject}", lambda: self.world.admin(*words))
        if outcome is None:
            return None
        made = outcome.json
        with self.model.lock:
            self.model.invites[made["id"]] = {"subject": subject, "used": 0, "cancelling": False, "cancelled": False}
        return made

    def enroll(self, token, invite):
        self.model.rights[token].may_come_back(time.monotonic())
        outcome = self.world.enroll(token, invite["invite"])
        if outcome.ok:
            with self.model.lock:
                self.model.invites[invite["id"]]["used"] += 1
        return outcome

    def enroll_at_last(self, token, role=None):
        """With new invites, until one enrolment is acknowledged; then nothing else is live."""
        until = time.monotonic() + self.PATIENCE
        while True:
            invite = self.invite(SUBJECTS[token], role)
            outcome = None if invite is None else self.enroll(token, invite)
            if outcome is not None and outcome.ok:
                credential = outcome.json["credential_id"]
                with self.model.lock:
                    self.model.live[credential] = token
                return credential
            if time.monotonic() > until:
                self.model.find("an enrolment did not succeed, however often", f"{token}: {outcome}")
                return None
            role = None  # the subject may be there by now, and keeps its roles
            time.sleep(1.0)
            self.take_all(token)  # it may have been enrolled without our being told

    def take_all(self, token):
        """Revokes whatever of the subject's is live."""
        subject = SUBJECTS[token]
        listed = self._until_done("credentials", lambda: self.world.admin("credentials"))
        if listed is None:
            return
        complete = True
        for entry in listed.json:
            if entry["subject"] != subject or entry["revoked"]:
                continue
            with self.model.lock:
                self.model.tried_to_revoke.add(entry["id"])
            if self._until_done("revoke", lambda: self.world.admin("revoke", entry["id"])) is None:
                complete = False
                continue
            with self.model.lock:
                self.model.revoked.add(entry["id"])
        if complete:
            self.model.rights[token].take(time.monotonic())

    def _renew(self, token):
        self.take_all(token)
        time.sleep(1.0)
        self.enroll_at_last(token)

    def _enroll_twice(self, token):
        self.take_all(token)
        invite = self.invite(SUBJECTS[token])
        if invite is not None:
            both = [threading.Thread(target=self._enroll_known, args=(token, invite)) for _ in range(2)]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
        self.take_all(token)
        self.enroll_at_last(token)

    def _enroll_known(self, token, invite):
        outcome = self.enroll(token, invite)
        if outcome.ok:
            with self.model.lock:
                self.model.live[outcome.json["credential_id"]] = token

    def _reuse_invite(self, token):
        self.take_all(token)
        invite = self.invite(SUBJECTS[token])
        if invite is not None:
            self._enroll_known(token, invite)
            self._enroll_known(token, invite)
        self.take_all(token)
        self.enroll_at_last(token)

    # ---- Changes ----

    def _change(self, token, key, value, words):
        state = self.model.subjects[token]
        state[key] = None
        if self._until_done(" ".join(words), lambda: self.world.admin("subject", "set", SUBJECTS[token], *words)):
            state[key] = value
            return True
        return False

    def _disable(self, token):
        if self._change(token, "disabled", True, ["--disable"]):
            self.model.rights[token].take(time.monotonic())
        time.sleep(1.0)
        self.model.rights[token].may_come_back(time.monotonic())
        self._change(token, "disabled", False, ["--enable"])

    def _roles(self, token):
        if self._change(token, "roles", set(), ["--no-roles"]):
            self.model.rights[token].take(time.monotonic())
        time.sleep(1.0)
        self.model.rights[token].may_come_back(time.monotonic())
        self._change(token, "roles", {"reader"}, ["--role", "reader"])

    def _wants_pin(self, token):
        """A factor that takes a person's PIN, where nobody can be asked: refused, and no try is burnt."""
        factor = {"tpm": "tpm", "fido2": "fido2+uv", "piv": "piv+pin"}[token]
        self.world.user(token, "login", "--with", factor.split("+", maxsplit=1)[0], "--fresh")
        self.world.user(token, "prefix", "/forekey.example.Echo/Say")

    def _invite(self, _):
        self._count += 1
        self.invite(f"guest{self._count}", "reader")

    def _cancel_invite(self, _):
        with self.model.lock:
            open_ones = [key for key, invite in self.model.invites.items()
                         if invite["subject"].startswith("guest") and not invite["cancelling"]]
            if not open_ones:
                return
            invite = open_ones[0]
            self.model.invites[invite]["cancelling"] = True

        def cancel():
            outcome = self.world.admin("invites", "--cancel", invite)
            listed = outcome if outcome.ok else self.world.admin("invites")
            # An attempt that was not answered may have done it.
            if listed.ok and not outcome.ok and invite not in [entry["id"] for entry in listed.json]:
                return listed
            return outcome
        if self._until_done("cancel", cancel):
            with self.model.lock:
                self.model.invites[invite]["cancelled"] = True

    def _backup(self, _):
        self._backups += 1
        self.world.admin("backup", "--to", self.world.path(f"backup-{self._backups}.sqlite"))
