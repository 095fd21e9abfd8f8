#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Replicas of one gate, real programs behind HAProxy: PostgreSQL fails over to a standby, all replicas are restarted one
after the other, the identity is rotated. (Kills and stops: `run`, beside this.)

  cluster_test.py BINARIES [unittest's own words]
"""
import collections
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from cluster import Cluster, Load, await_for  # noqa: E402
from postgres import Link, Postgres  # noqa: E402

BINARIES = None
LEASE = 3
OPENING = "/forekey.v1.Gate/OpenSession"


class ClusterTest(unittest.TestCase):
    users = ("ada", "bob")
    synchronous = None  # no standby
    registry = None     # the servers' own URL

    def setUp(self):
        self.primary = Postgres()
        self.addCleanup(self.primary.close)
        self.primary.start()
        self.standby = None
        if self.synchronous is not None:
            self.standby = self.primary.standby(self.synchronous)
            self.addCleanup(self.standby.close)
        others = [self.standby] if self.standby else []
        self.cluster = Cluster(BINARIES, self.registry or self.primary.url(*others), LEASE)
        self.addCleanup(self.cluster.close)
        for user in self.users:
            self.cluster.enroll(user)
        self.loads = [Load(self.cluster, user, 10, 20.0) for user in self.users]
        self.addCleanup(lambda: [load.over.set() for load in self.loads])
        self.await_answers()

    def await_answers(self):
        for load in self.loads:
            self.assertTrue(load.await_answer(), f"{load.user} is not answered any more")

    def openings(self, user):
        """By hardware."""
        return sum(line["event"] == "session-opened" and line["admitted"] and line["method"] == OPENING and
                   line["subject"] == user for replica in self.cluster.replicas for line in replica.audit())

    def end_load(self):
        """Every call was answered in the end, none was served twice, and nobody touched a token again."""
        for load in self.loads:
            self.assertTrue(load.await_end())
            for text in load.calls:
                self.assertEqual(load.last(text)["code"], 0, (text, load.last(text)))
            self.assertEqual(self.openings(load.user), 1)
            self.assertEqual(self.cluster.signatures(load.user), self.cluster.users[load.user]["signatures"])
        served = collections.Counter(text for replica in self.cluster.replicas for text in replica.served())
        self.assertEqual([text for text, count in served.items() if count > 1], [])

    @staticmethod
    def await_calls(load, more):
        before = load.count
        await_for(lambda: load.count > before + more, "more calls")

    def await_renewals(self, server):
        """Until all replicas have renewed their leases at that server: sessions' calls go on without it."""
        now = server.sql("SELECT clock_timestamp()")
        count = f"SELECT count(*) FROM forekey.replicas WHERE renewed_at > '{now}' AND seen >= 0"
        await_for(lambda: server.sql(count) == str(len(self.cluster.replicas)), "replicas that renew their leases there")

    def told_unavailable(self):
        return [(text, call["message"]) for load in self.loads for text, call in list(load.calls.items())
                if call["code"] == 14]


class RollingRestart(ClusterTest):
    def test_loses_no_call_and_asks_for_no_touch(self):
        for _ in range(2):
            for replica in self.cluster.replicas:
                replica.end(signal.SIGTERM)
                replica.start()
                self.cluster.await_balancer(replica)
            self.await_answers()
        self.end_load()
        self.assertEqual(self.told_unavailable(), [], "the application made calls again that the library should have saved")


class CutFromTheDatabase(ClusterTest):
    def registry(self, replica):
        """Each has a way of its own."""
        link = self.links[replica.name] = Link(self.primary, replica.folder)
        self.addCleanup(link.close)
        self.registry_urls[replica.name] = link.url()
        return link.url()

    def setUp(self):
        self.links, self.registry_urls = {}, {}
        make = self.registry
        self.registry = lambda replica: self.registry_urls.get(replica.name) or make(replica)
        super().setUp()

    def test_a_replica_admits_until_its_lease_ends_and_again_when_it_hears_of_it(self):
        ada = self.loads[0]
        cut = max(self.cluster.replicas, key=lambda replica: len(replica.calls_of("ada")))
        self.links[cut.name].cut()
        await_for(lambda: any(text.startswith("ada-") for text, _ in self.told_unavailable()), "calls that are refused")
        refused = [line for line in cut.audit() if line.get("reason") == "lease-ended"]
        self.assertNotEqual(refused, [])
        # What was judged within the lease may still be on its way to the handler: at first for as long as some calls take.
        self.await_calls(ada, 20)
        served = len(cut.served())
        self.await_calls(ada, 20)
        self.assertEqual(len(cut.served()), served, "it admitted a call without a lease")
        self.links[cut.name].mend()
        self.await_answers()
        self.end_load()


class Failover(ClusterTest):
    synchronous = True

    def test_to_a_synchronous_standby_keeps_all_that_was_acknowledged(self):
        one, two, _ = self.cluster.replicas
        self.cluster.enroll("dan")
        dan = Load(self.cluster, "dan", 10, 20.0)
        self.assertTrue(dan.await_answer())
        invites = [self.cluster.admin(two, "invite", "--subject", f"guest{i}", "--role", "reader")["id"] for i in range(5)]
        said = self.cluster.admin(one, "revoke", self.cluster.users["dan"]["credential"], "--note", "lost")
        self.assertEqual(len(set(said["spread"]["confirmed"])), 3)
        revoked = dan.count
        self.primary.stop(signal.SIGKILL)
        down = time.monotonic()
        # Nothing is acknowledged that is not durable.
        with self.assertRaises(RuntimeError):
            self.cluster.admin(two, "invite", "--subject", "nobody", "--role", "reader")
        await_for(lambda: self.told_unavailable(), "calls that are refused since the lease has ended")
        self.standby.promote()
        promoted = time.monotonic()
        self.await_answers()
        print(f"down for {promoted - down:.1f} s; answered {time.monotonic() - promoted:.1f} s after the promotion; the "
              f"lease is {LEASE} s", flush=True)
        known = self.standby.sql("SELECT encode(id, 'hex') FROM forekey.invites").splitlines()
        self.assertEqual([one for one in invites if one not in known], [])
        self.assertEqual(self.standby.sql("SELECT count(*) FROM forekey.subjects WHERE name = 'nobody'"), "0")
        # What is changed now is held everywhere again.
        self.await_renewals(self.standby)
        self.cluster.admin(two, "invite", "--subject", "later", "--role", "reader")
        self.assertTrue(dan.await_end())
        for text, call in dan.calls.items():
            if int(text.split("-")[1].split("~")[0]) > revoked + 1:
                self.assertNotEqual(call["code"], 0, f"{text}, after the revocation was acknowledged")
        self.end_load()

    def test_moves_on_from_a_primary_that_lives_takes_connections_and_can_not_commit(self):
        self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        self.primary.sql("SELECT pg_reload_conf()")
        await_for(lambda: self.primary.sql("SHOW synchronous_standby_names") == "nobody", "a primary that waits for nobody")
        self.standby.promote()
        promoted = time.monotonic()
        self.await_renewals(self.standby)
        print(f"leases are renewed {time.monotonic() - promoted:.1f} s after the promotion; the lease is {LEASE} s", flush=True)
        self.await_answers()
        said = self.cluster.admin(self.cluster.replicas[0], "revoke", self.cluster.users["bob"]["credential"], "--note", "lost")
        self.assertEqual(len(set(said["spread"]["confirmed"])), 3)
        self.assertEqual(self.primary.sql("SELECT count(*) FROM forekey.credentials WHERE revoked_at IS NOT NULL"), "0")
        # One that starts knows no host that was good: it begins with the old primary.
        again = self.cluster.replicas[2]
        again.end(signal.SIGTERM)
        began = time.monotonic()
        again.start()
        print(f"a gate is up {time.monotonic() - began:.1f} s after its start", flush=True)
        self.cluster.await_balancer(again)
        self.await_renewals(self.standby)
        left = f"so the server {self.primary.folder}:"
        self.assertTrue(any(left in line.get("detail", "") for line in again.audit()), left)
        self.assertTrue(self.loads[0].await_answer())

    def test_of_a_database_that_only_stops_for_a_while_is_seen_by_nobody_within_the_lease(self):
        self.primary.stop(signal.SIGINT)
        self.primary.start()
        self.await_answers()
        self.end_load()


class AsynchronousFailover(ClusterTest):
    synchronous = False

    def test_loses_what_the_standby_had_not_got_but_replicas_go_on_refusing_what_they_heard_of(self):
        one = self.cluster.replicas[0]
        self.cluster.enroll("dan")
        self.standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.sql("SELECT pg_reload_conf()")
        await_for(lambda: self.primary.sql("SELECT count(*) FROM pg_stat_replication") == "0", "a standby that is cut off")
        said = self.cluster.admin(one, "revoke", self.cluster.users["dan"]["credential"], "--note", "lost")
        self.assertEqual(len(set(said["spread"]["confirmed"])), 3)
        self.primary.stop(signal.SIGKILL)
        self.standby.promote()
        self.await_renewals(self.standby)
        self.await_answers()
        self.assertEqual(self.standby.sql("SELECT count(*) FROM forekey.credentials WHERE revoked_at IS NOT NULL"), "0",
                         "the new primary never heard of the revocation")
        with self.assertRaisesRegex(RuntimeError, "reference ([0-9a-f]{16})") as caught:
            self.cluster.user("dan", "login", "--fresh")
        reference = re.search("reference ([0-9a-f]{16})", str(caught.exception))[1]
        self.assertEqual([line["reason"] for replica in self.cluster.replicas for line in replica.audit()
                          if line.get("reference") == reference], ["credential-revoked"])
        # What docs/CLUSTER.md says to do.
        said = self.cluster.admin(one, "revoke", self.cluster.users["dan"]["credential"], "--note", "lost, once more")
        self.assertEqual(len(set(said["spread"]["confirmed"])), 3)
        self.assertEqual(self.standby.sql("SELECT count(*) FROM forekey.credentials WHERE revoked_at IS NOT NULL"), "1")
        self.end_load()


class Rotation(ClusterTest):
    def test_is_announced_by_all_replicas_or_by_none(self):
        one, *others = self.cluster.replicas
        with self.assertRaisesRegex(RuntimeError, "replica"):
            self.cluster.admin(one, "rotate-identity")
        for load in self.loads:
            self.assertTrue(load.await_end())
        for replica in self.cluster.replicas:
            replica.end(signal.SIGTERM)
        sealed = self.cluster.root / "rotated.sealed"
        self.cluster.command(one, "rotate-identity")
        self.cluster.command(one, "identity", "export", "--to", sealed)
        one.start()
        # Who still has the old one alone does not come up beside it.
        with self.assertRaisesRegex(RuntimeError, "did not start"):
            others[0].start()
        for replica in others:
            (replica.folder / "state/identity/keys").rename(replica.folder / "keys.old")
            self.cluster.command(replica, "identity", "import", "--from", sealed)
            replica.start()
        self.cluster.await_balancer()
        # The agents pinned the old one. They follow the announcement, at whichever replica they meet.
        for user in self.users:
            for _ in range(2):
                self.cluster.user(user, "login", "--fresh")
            self.assertEqual(self.cluster.user(user, "whoami")["subject"], user)


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=1)
