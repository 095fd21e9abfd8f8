/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions of one opening at N replicas of one gate over one registry: lease, revocation, resumption,
 * logout, replay. README.md beside this says what is modelled, what is not, and how to run it.
 *
 * Each guard of the protocol can be taken out (-DNO_LEASE, ...); an assertion is then violated.
 */
#define N 2 /* replicas */
#define S 3 /* sessions of the family that there can be: serials 0, 1, 2 */
#define T 5 /* the last instant */
#define LEASE 2

#define REVOKED 1 /* what the registry tells replicas: bits */
#define ENDED 2
#define DISABLED 4 /* the subject was, once: its epoch. It may be enabled again */

#define AT(r, s) ((r) * S + (s))

byte now; /* no replica reads another's clock: each compares instants that it took itself */

/* The registry. */
byte news;            /* REVOKED, ENDED, DISABLED */
bool disabled;        /* now */
byte serial;          /* how many times the family was resumed */
byte allowed_until[N]; /* until when a replica may admit, at most */
byte confirmed[N];    /* what a replica said that it holds */

/* The replicas. */
byte known[N];
bool off[N];        /* the subject is disabled, as far as is known here */
byte until[N];      /* the lease, counted from sending */
bool alive[N * S];  /* in the table */
bool finishing[N * S]; /* went on elsewhere while this replica was on its way out: live calls may end by themselves */
bool used[N * S];   /* the window: each session has one number, 1 */

/* What clients and attackers have. */
bool opened[N * S]; /* somebody has the key of the session that lives there: it was answered */
bool asked[N * S]; /* a ResumeSession with that ticket was sent there: it can be sent again */
byte uses[S];   /* how often who has the key used the ticket */

/* What must hold is told by these. */
byte resumed[S];    /* sessions that came of each */
bool admitted[N * S];   /* the proof with number 1, by key */
byte held;          /* acknowledged as held by all: REVOKED, ENDED, DISABLED */
bool left[N];       /* a logout was answered here */

#ifdef SHARED_KEY
#define KEY(r, s) 0 /* a replica goes on with the old session's key, and a window of its own */
#else
#define KEY(r, s) AT(r, s)
#endif

#ifdef NO_LEASE
#define MAY_ADMIT(r) true
#define WITHIN(end) true
#else
#define MAY_ADMIT(r) (now < until[r])
#ifdef LEASE_ASKED_ONCE
#define WITHIN(end) true
#else
#define WITHIN(end) (now < end)
#endif
#endif

#ifdef NO_EPOCH
#define ENABLED(r) (!off[r])
#else
#define ENABLED(r) (!off[r] && !(known[r] & DISABLED)) /* the session is of before */
#endif

/* Time goes on whatever the others do: they are stopped, and go on later. */
active proctype Clock() {
  do
#if PART == 1 || PART >= 4
  :: now < T -> now++
#endif
  :: now == T -> break
  od
}

/* A heartbeat, which is a read as well; each way of it can be lost, or take long. */
proctype Lease(byte r) {
  byte sent, tells, saw, last, s;
  bool saw_off;
  do
  :: atomic { now < T -> sent = now; tells = known[r] }
     if
     :: d_step {
          allowed_until[r] = now + LEASE;
          confirmed[r] = confirmed[r] | tells;
          saw = news;
          saw_off = disabled;
          last = serial
        }
        if
        :: d_step {
#ifdef LEASE_FROM_ARRIVAL
             until[r] = now + LEASE;
#else
             until[r] = sent + LEASE;
#endif
             known[r] = known[r] | saw;
             off[r] = saw_off;
             s = 0;
             do
             :: s < S ->
                if
                :: saw & ENDED ->
                   alive[AT(r, s)] = false;
#ifndef MOVED_FORGOTTEN
                   finishing[AT(r, s)] = false
#endif
                :: !(saw & ENDED) && s < last ->
#if PART == 7 /* the replica is on its way out */
                   finishing[AT(r, s)] = finishing[AT(r, s)] || alive[AT(r, s)];
#endif
                   alive[AT(r, s)] = false
                :: else
                fi;
                s++
             :: else -> break
             od
           }
        :: skip /* the answer is lost */
        fi
     :: skip /* the question is lost */
     fi
  :: now == T -> break
  od
}

#ifdef NO_WAIT
#define HOLDS(r, what) true
#else
#define HOLDS(r, what) ((confirmed[r] & what) || now >= allowed_until[r])
#endif

proctype Administrator() {
  news = news | REVOKED;
  HOLDS(0, REVOKED);
  HOLDS(1, REVOKED);
  held = held | REVOKED
}

/* After a failover the old server may take writes again. It has nothing of the news since, and its
 * rows say that each replica has seen all that it has: whoever waits may have asked it. */
proctype AdministratorAtAnyServer() {
  bool at_old;
  news = news | REVOKED; /* at the new one */
  if
  :: at_old = true
  :: at_old = false
  fi;
  if
  :: at_old ->
#ifdef ANY_SERVER_BELIEVED
     held = held | REVOKED
#else
     skip /* it lacks the change: what became of it is told as not known */
#endif
  :: else ->
     HOLDS(0, REVOKED);
     HOLDS(1, REVOKED);
     held = held | REVOKED
  fi
}

proctype DisablesAndEnables() {
  d_step { disabled = true; news = news | DISABLED }
  if
  :: HOLDS(0, DISABLED); HOLDS(1, DISABLED); held = held | DISABLED
  :: skip /* nobody waits for it: it is enabled at once */
  fi;
  disabled = false;
  HOLDS(0, DISABLED);
  HOLDS(1, DISABLED);
  held = held | DISABLED
}

/* Whoever has seen the proof of a session sends it wherever they like, as often as they like. Between
 * the three steps the process may be stopped for as long as there is time. */
proctype Call(byte r; byte s) {
  byte end;
  bool judged;
  do
  :: d_step { opened[AT(r, s)] && MAY_ADMIT(r) -> end = until[r]; judged = false }
     if
     :: d_step {
          !(known[r] & REVOKED) && ENABLED(r) && alive[AT(r, s)] && !used[AT(r, s)] ->
          used[AT(r, s)] = true;
          assert(!left[r]);            /* nothing, where it was answered, after a logout */
          assert(!admitted[KEY(r, s)]);   /* nothing is admitted twice */
          admitted[KEY(r, s)] = true;
          judged = true
        }
     :: d_step { (known[r] & REVOKED) || !ENABLED(r) || !alive[AT(r, s)] || used[AT(r, s)] -> skip }
     fi;
     if
     :: d_step {
          judged && WITHIN(end) ->
          /* Nothing after it was acknowledged as held everywhere; but where this replica itself has
           * confirmed, what it had judged before is a call under way. */
          assert(!(held & REVOKED & ~confirmed[r]));
          assert(!(held & ENDED & ~confirmed[r]));
          assert(!(held & DISABLED & ~confirmed[r]))
        }
     :: d_step { !judged || !WITHIN(end) -> skip }
     fi
  :: now == T -> break
  od
}

/* A call that was admitted long ago, and that is looked at now and then. */
proctype LiveCall(byte r; byte s) {
  byte end;
  bool judged;
  do
  :: d_step { MAY_ADMIT(r) -> end = until[r]; judged = false }
     if
     :: d_step {
          alive[AT(r, s)] || finishing[AT(r, s)] ->
          assert(!(held & confirmed[r] & ENDED)); /* not once this replica has told that it holds the end */
          judged = true
        }
     :: d_step { !alive[AT(r, s)] && !finishing[AT(r, s)] -> skip }
     fi;
     if
     :: d_step { judged && WITHIN(end) -> assert(!(held & ENDED & ~confirmed[r])) }
     :: d_step { !judged || !WITHIN(end) -> skip }
     fi
  :: now == T -> break
  od
}

/* Somebody with the key, or who has only seen the message, resumes session s of replica `from` at
 * replica r. */
proctype Resume(byte from; byte r; byte s; bool has_key) {
  bool good = false;
  if
  :: d_step {
       has_key && opened[AT(from, s)] && MAY_ADMIT(r) && !(known[r] & REVOKED) ->
       uses[s]++; asked[AT(r, s)] = true; good = true
     }
#ifdef NO_CHALLENGE
  :: d_step { !has_key && asked[AT(r, s)] && MAY_ADMIT(r) && !(known[r] & REVOKED) -> good = true }
#endif
  :: now == T
  fi;
  if
  :: good ->
#ifndef INSERT_LATE
     alive[AT(r, s + 1)] = true;
#endif
     atomic {
       if
#ifdef NO_SERIAL
       :: !(news & ENDED) ->
#elif defined(NO_END)
       :: serial == s ->
#else
       :: !(news & ENDED) && serial == s ->
#endif
          serial = s + 1;
          resumed[s]++;
          assert(resumed[s] <= 1);     /* one session comes of a session */
          assert(!(left[0] || left[1])); /* none after an acknowledged logout */
       :: else ->
          if
          :: !(news & ENDED) ->
             assert(uses[s] >= 2); /* who has no key ends nothing */
             news = news | ENDED
          :: else
          fi;
          alive[AT(r, s + 1)] = false;
          good = false
       fi
     }
     if
     :: good ->
#ifdef INSERT_LATE
        alive[AT(r, s + 1)] = true;
#endif
        d_step { alive[AT(r, s)] = false; opened[AT(r, s + 1)] = true }
     :: else
     fi
  :: else
  fi
}

/* The client logs out with a session that lives in the replica. */
proctype Logout(byte r; byte s) {
  if
  :: opened[AT(r, s)] && alive[AT(r, s)] && MAY_ADMIT(r) ->
     d_step { alive[AT(r, 0)] = false; alive[AT(r, 1)] = false; alive[AT(r, 2)] = false };
     /* Here it waits for a thread and for the registry. */
#ifndef END_LOCAL
     news = news | ENDED;
#endif
#ifndef ENDED_ONCE
     d_step { alive[AT(r, 0)] = false; alive[AT(r, 1)] = false; alive[AT(r, 2)] = false };
#endif
     left[r] = true;
     HOLDS(1 - r, ENDED); /* here it is held already */
     held = held | ENDED
  :: now == T
  fi
}

init {
  atomic {
    until[0] = LEASE; until[1] = LEASE;
    allowed_until[0] = LEASE; allowed_until[1] = LEASE;
    alive[AT(0, 0)] = true; opened[AT(0, 0)] = true;
#if PART == 1 /* lease and revocation: replica 0 has the session, and may be cut off or stopped */
    run Lease(0);
    run Administrator();
    run Call(0, 0)
#elif PART == 2 /* resumption and replay, in no time at all */
    run Resume(0, 1, 0, true);  /* the client */
    run Resume(0, 0, 0, true);  /* a thief of its key, or the client again: an answer was lost */
    run Resume(0, 1, 0, false); /* somebody who has seen the message */
    run Call(0, 0);
    run Call(1, 1);
    run Call(0, 1);
    run Call(1, 0)
#elif PART == 3 /* a logout where the session lives, while it is resumed there */
    run Logout(0, 0);
    run Resume(0, 0, 0, true);
    run Call(0, 0);
    run Call(0, 1)
#elif PART == 4 /* a logout that the other replica, where the session was resumed, has to hear of */
    run Lease(1);
    run Logout(0, 0);
    run Resume(0, 1, 0, true);
    run Call(1, 1)
#elif PART == 5 /* a revocation, while the session is resumed at the other replica */
    run Lease(1);
    run Administrator();
    run Resume(0, 1, 0, true);
    run Call(1, 1)
#elif PART == 6 /* a subject is disabled and enabled again, whether the replica has looked or not */
    run Lease(0);
    run DisablesAndEnables();
    run Call(0, 0)
#elif PART == 7 /* a replica on its way out lets a call finish whose session goes on elsewhere, until a logout there */
    run Lease(0);
    run Resume(0, 1, 0, true);
    run Logout(1, 1);
    run LiveCall(0, 0)
#elif PART == 8 /* a revocation, while an old server answers whoever asks it */
    run Lease(0);
    run AdministratorAtAnyServer();
    run Call(0, 0)
#endif
  }
}
